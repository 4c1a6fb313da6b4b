"""Files that are looked at again and again: their content, without reading what has not changed, and whether they
are whole."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ft_assets.errors import UserError
from ft_assets.versions import file_sha256

__all__ = ["SETTLED_SECONDS", "FileWatch"]

SETTLED_SECONDS = 5.0
"""A file that has not been written to for so long counts as whole."""


class FileWatch:
    """The SHA-256 of files by their content; a file whose size, time stamp and number are the same is not read again.

    What it remembers may be deleted at any time: then files are read once more.

    Args:
        memory: an SQLite file; its folder exists.
        now: seconds since the epoch, for tests.
    """

    def __init__(self, memory: Path, now: float | None = None) -> None:
        self._memory = memory
        self._now = time.time() if now is None else now
        self._unsaved: set[str] = set()
        with self._open() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS files"
                " (path TEXT PRIMARY KEY, stamp TEXT NOT NULL, seen REAL NOT NULL, sha256 TEXT)"
            )
            self._known = {
                path: (stamp, seen, sha256)
                for path, stamp, seen, sha256 in database.execute(
                    "SELECT path, stamp, seen, sha256 FROM files"
                )
            }

    def sha256(self, path: Path) -> str:
        """The SHA-256 of a whole file.

        Raises:
            UserError: it is still being written, or has just vanished.
        """
        try:
            stat = path.stat()
            stamp = f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ino}"
            known, seen, sha256 = self._known.get(str(path), ("", self._now, None))
            if known == stamp and sha256 is not None:
                return str(sha256)
            # By its own time stamp; by ours where that lies in the future, as after a clock was set back.
            quiet = self._now - stat.st_mtime
            if known == stamp and quiet < 0:
                quiet = self._now - seen
            if not quiet >= SETTLED_SECONDS:
                self._remember(path, stamp, seen if known == stamp else self._now, None)
                raise UserError(f"{path.name} is still being written", where=str(path), do="wait")
            found = file_sha256(path)
        except OSError as error:
            raise UserError(f"{path.name} cannot be read: {error.strerror}", where=str(path)) from error
        self._remember(path, stamp, self._now, found)
        return found

    def _remember(self, path: Path, stamp: str, seen: float, sha256: str | None) -> None:
        self._known[str(path)] = (stamp, seen, sha256)
        self._unsaved.add(str(path))

    def save(self) -> None:
        """Keep what was found; without it the next look reads the files again."""
        if self._unsaved:
            rows = [(path, *self._known[path]) for path in self._unsaved]
            with self._open() as database:
                database.executemany("REPLACE INTO files VALUES (?, ?, ?, ?)", rows)
            self._unsaved.clear()

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._memory, timeout=30)) as database, database:
            yield database
