"""Staging: the fresh directory in which one attempt writes an artifact."""

from __future__ import annotations

import json
import shutil
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ft_assets.artifacts.artifact import file_name
from ft_assets.disk import is_out_of_room, out_of_room, release, room, size_of, try_flock
from ft_assets.spill import slices

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Staging", "remove_abandoned"]


class Staging:
    """A directory of its own for each attempt; removed on exit unless it was committed or refused.

    A lock file beside it is held as long as the attempt lives, so that what a killed process left behind can
    be told from work in progress (`remove_abandoned`). A full disk anywhere in the `with` block, whichever
    library meets it, becomes a `UserError`.

    Args:
        area: the store's staging area, on the same file system as the place of publication.
        task: name of the task.
        asset: name of the asset.
    """

    def __init__(self, area: Path, task: str, asset: str) -> None:
        self.task = task
        self.asset = asset
        self.path = area / f"{task}.{asset}.{uuid.uuid4().hex}"
        self._lock_path = self.path.with_name(f"{self.path.name}.lock")
        self._lock: int | None = None

    def __enter__(self) -> Staging:
        with self._room("the staging directory", 0):
            self._lock = try_flock(self._lock_path)
            if self._lock is None:  # a cleaner looked at it in the instant between making and locking
                self.path = self.path.with_name(f"{self.task}.{self.asset}.{uuid.uuid4().hex}")
                self._lock_path = self.path.with_name(f"{self.path.name}.lock")
                return self.__enter__()
            self.path.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        full = (
            out_of_room(f"{self.task}/{self.asset}", self.path, self.size())
            if is_out_of_room(error)
            else None
        )
        self.close()
        if full is not None:
            raise full from error

    def close(self) -> None:
        """Removes the directory, if it is still there, and gives up the lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            release(self._lock_path, self._lock)
            self._lock = None

    def size(self) -> int:
        """Bytes written so far."""
        return size_of(self.path)

    def write_table(self, name: str, table: pa.Table) -> Path:
        """Writes `<name>.parquet` (zstd; texts as plain strings, so that every reader sees the same
        types)."""
        import pyarrow.parquet as pq

        path = self._file(file_name(name, ".parquet"))
        schema = _plain_strings(table.schema)
        with self._room(path.name, table.nbytes), pq.ParquetWriter(path, schema, compression="zstd") as file:
            for part in slices(table):
                file.write_table(part.cast(schema))
        return path

    def write_json(self, name: str, obj: Any) -> Path:
        """Writes `<name>.json`, readable, in the order given."""
        text = json.dumps(obj, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        return self.write_text(file_name(name, ".json"), text)

    def write_text(self, name: str, text: str) -> Path:
        """Writes a text file in UTF-8."""
        path = self._file(file_name(name, ""))
        # A lone surrogate in a text from outside must not end the stage here.
        data = text.encode("utf-8", "backslashreplace")
        with self._room(path.name, len(data)):
            path.write_bytes(data)
        return path

    def _file(self, name: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _room(self, name: str, needed: int) -> AbstractContextManager[None]:
        return room(f"{name} of {self.task}/{self.asset}", self.path, needed)


def remove_abandoned(area: Path) -> int:
    """Removes the staging directories, and the lock files, whose processes have ended without tidying up; gives
    the bytes freed."""
    freed = 0
    for lock_path in area.glob("*.lock"):
        lock = try_flock(lock_path)
        if lock is not None:
            folder = lock_path.with_suffix("")
            before = size_of(folder)
            shutil.rmtree(folder, ignore_errors=True)
            freed += before - size_of(folder)
            release(lock_path, lock)
    return freed


def _plain_strings(schema: pa.Schema) -> pa.Schema:
    import pyarrow as pa

    is_ = pa.types
    fields = [
        field.with_type(pa.string())
        if is_.is_large_string(field.type) or is_.is_string_view(field.type)
        else field
        for field in schema
    ]
    return pa.schema(fields, metadata=schema.metadata)
