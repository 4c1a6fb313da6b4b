"""The tables of builds, read as far as a question needs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ft_assets.errors import UserError
from ft_assets.lineage.graph import Build
from ft_assets.versions import file_sha256

if TYPE_CHECKING:
    import polars as pl

__all__ = ["read", "rows_of"]


def read(build: Build, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame | None:
    """Some columns of `<name>.parquet`; None if the artifact is gone, or has no such table.

    Raises:
        UserError: the file is not what was published.
    """
    path = _verified(build, name)
    if path is None:
        return None
    import polars as pl

    return pl.read_parquet(path, columns=None if columns is None else list(columns), use_pyarrow=True)


def rows_of(build: Build, name: str, example_id: str) -> list[dict[str, object]] | None:
    """The rows of one example in `<name>.parquet`; None and errors as for `read`."""
    path = _verified(build, name)
    if path is None:
        return None
    import pyarrow.parquet as pq

    rows: list[dict[str, object]] = pq.read_table(
        path, filters=[("example_id", "==", example_id)]
    ).to_pylist()
    return rows


def _verified(build: Build, name: str) -> Path | None:
    entry = (build.record.get("files") or {}).get(f"{name}.parquet")
    path = build.path / f"{name}.parquet"
    if entry is None or not path.is_file():
        return None
    stat = path.stat()
    if _sha256(path, stat.st_size, stat.st_mtime_ns) != entry["sha256"]:
        raise UserError(
            f"{build.task}/{build.asset} {build.data_version} is damaged: {path.name} has other contents than were "
            "published",
            where=str(path),
            do=f"materialise {build.task}/{build.asset}: it is built again; and look at that disk",
        )
    return path


@lru_cache(maxsize=4096)
def _sha256(path: Path, size: int, modified: int) -> str:
    """Read once for as long as the file is the same."""
    return file_sha256(path)
