"""What was made once of the same content is kept on the disk. Whatever is there may be deleted at any time, and what
has changed there is not used: each entry holds the hashes of its files.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TypeVar

from ft_assets.disk import folders, is_out_of_room
from ft_assets.versions import file_sha256

__all__ = ["ContentCache"]

Made = TypeVar("Made")

_LONGEST_WRITE_SECONDS = 3_600
_HASHES = "sha256"


class ContentCache:
    """Entries in a folder, each in a folder of its own, named by a hash of all that decides what is in it.

    Args:
        folder: is made when the first entry is written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str, read: Callable[[Path], Made], *unreadable: type[Exception]) -> Made | None:
        """What is kept under a key; None if it is not there, or not whole.

        Args:
            key: the hash.
            read: reads the entry's folder.
            unreadable: what `read` raises of an entry that is not whole, beside `OSError`.
        """
        entry = self._folder / key
        not_whole: tuple[type[Exception], ...] = (OSError, UnicodeDecodeError, *unreadable)
        try:
            if (entry / _HASHES).read_text() != _hashes(entry):
                return None
            found = read(entry)
            os.utime(entry)
            return found
        except not_whole:
            return None

    def write(self, key: str, write: Callable[[Path], None]) -> None:
        """Keep something under a key. Without room on the disk nothing is kept.

        Args:
            key: the hash.
            write: writes into the folder that it is given.
        """
        entry, draft = self._folder / key, self._folder / f".{uuid.uuid4().hex}"
        try:
            draft.mkdir(parents=True)
            write(draft)
            (draft / _HASHES).write_text(_hashes(draft))
            shutil.rmtree(entry, ignore_errors=True)  # one that could not be read
            draft.rename(entry)
        except Exception as error:  # safetensors has its own kind of error for a full disk
            shutil.rmtree(draft, ignore_errors=True)
            # If another process has just written the same entry, that one stays.
            if not is_out_of_room(error) and not entry.exists():
                raise

    def keep(self, *, most: int | None = None, only: Collection[str] | None = None) -> None:
        """Remove entries, and what processes that were killed have left.

        Args:
            most: how many stay: those used last.
            only: the keys of those that stay.
        """
        for left in self._folder.glob(".*"):
            if time.time() - _used(left) > _LONGEST_WRITE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        entries = folders(self._folder)
        gone = [] if most is None else sorted(entries, key=_used, reverse=True)[most:]
        gone += [] if only is None else [entry for entry in entries if entry.name not in only]
        for entry in gone:
            shutil.rmtree(entry, ignore_errors=True)


def _hashes(entry: Path) -> str:
    """Name and hash of each file of an entry, as one text."""
    files = sorted(path for path in entry.rglob("*") if path.is_file() and path.name != _HASHES)
    return "".join(f"{file_sha256(path)}  {path.relative_to(entry).as_posix()}\n" for path in files)


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0
