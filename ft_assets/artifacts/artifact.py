"""An artifact: a committed directory, its manifest, and whether the one still matches the other."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ft_assets.errors import UserError
from ft_assets.spill import SLICE_ROWS, collected
from ft_assets.versions import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MANIFEST",
    "RESERVED",
    "STORE_FORMAT",
    "Artifact",
    "check_name",
    "check_version",
    "damages",
    "file_name",
    "parse_manifest",
]

MANIFEST = "manifest.json"
STORE_FORMAT = 1

# Names become directories: no dots, no separators, nothing that a file system treats in its own way.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
RESERVED = frozenset({"index", "refused", "damaged", "retired"})
"""Folders of an asset that are no data versions."""


@dataclass(frozen=True)
class Artifact:
    """A committed, verified, immutable directory.

    Found by its build key, the manifest is that of the build; opened by its data version, that of the build that
    published these bytes first. A later build with equal output points at the same files.
    """

    path: Path
    manifest: Mapping[str, Any]

    @property
    def task(self) -> str:
        """The task that it belongs to."""
        return self.manifest["task"]

    @property
    def asset(self) -> str:
        """The asset that published it."""
        return self.manifest["asset"]

    @property
    def data_version(self) -> str:
        """The hash of what came out."""
        return self.manifest["data_version"]

    @property
    def build_key(self) -> str:
        """The hash of what went in."""
        return self.manifest["build_key"]

    @property
    def summary(self) -> dict[str, Any]:
        """Counts and the like, for people."""
        return self.manifest["summary"]

    @property
    def inputs(self) -> dict[str, str]:
        """The data version of each input, by name."""
        return self.manifest["inputs"]

    @property
    def files(self) -> dict[str, dict[str, Any]]:
        """Size and SHA-256 of each file, by its name relative to the artifact."""
        return self.manifest["files"]

    def file(self, name: str) -> Path:
        """The path of one of its files.

        Raises:
            UserError: the artifact has no such file.
        """
        if name not in self.files:
            raise UserError(
                f"artifact {self.task}/{self.asset} has no file '{name}'",
                where=f"{self.path}, files: {', '.join(sorted(self.files)) or 'none'}",
                do=f"materialise {self.task}/{self.asset} with this version of ft_assets",
            )
        return self.path / name

    def table(self, name: str = "examples", columns: Sequence[str] | None = None) -> pa.Table:
        """Reads `<name>.parquet`, or some of its columns; mapped from disk if it is large (`ft_assets.spill`)."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file(file_name(name, ".parquet"))) as file:
            names = file.schema_arrow.names if columns is None else list(columns)
            schema = pa.schema([file.schema_arrow.field(each) for each in names], file.schema_arrow.metadata)
            batches = file.iter_batches(batch_size=SLICE_ROWS, columns=names)
            return collected((pa.Table.from_batches([batch]).select(names) for batch in batches), schema)

    def head(self, rows: int, name: str = "examples", columns: Sequence[str] | None = None) -> pa.Table:
        """The first rows of `<name>.parquet`, or some of their columns; little more of the file is read."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.file(file_name(name, ".parquet"))) as file:
            names = file.schema_arrow.names if columns is None else list(columns)
            found = [file.schema_arrow.empty_table().select(names)]
            # A batch ends where a group of rows does.
            for batch in file.iter_batches(batch_size=rows, columns=names):
                found.append(pa.Table.from_batches([batch]).select(names))
                if sum(each.num_rows for each in found) >= rows:
                    break
            return pa.concat_tables(found).slice(0, rows)

    def json(self, name: str) -> Any:
        """Reads `<name>.json`."""
        return json.loads(self.file(file_name(name, ".json")).read_bytes())


def file_name(name: str, ending: str) -> str:
    """`name` with its ending, checked: a relative path that stays inside the artifact.

    Raises:
        ValueError: it is absolute, climbs out, or is the store's own (`manifest.json`).
    """
    full = name if name.endswith(ending) else f"{name}{ending}"
    path = PurePosixPath(full)
    if path.is_absolute() or ".." in path.parts or "\\" in full or not path.parts or full == MANIFEST:
        raise ValueError(f"'{name}' is no name for a file in an artifact")
    return path.as_posix()


def check_name(kind: str, name: str) -> str:
    """A task's or asset's name that is safe as a directory.

    Raises:
        UserError: it is empty, over 100 characters, or has other characters than letters, digits, `_` and
            `-`.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} is no name for a {kind}",
            do="use up to 100 letters, digits, '_' and '-', beginning with a letter or digit",
        )
    return name


def check_version(kind: str, version: str) -> str:
    """A data version or build key that is safe as a directory or file name.

    Raises:
        ValueError: it is not (versions come from `ft_assets.versions`, so this is no user's mistake).
    """
    if not _NAME.fullmatch(version) or version in RESERVED:
        raise ValueError(f"{version!r} is no {kind}")
    return version


def damages(directory: Path, manifest: Mapping[str, Any] | None) -> list[str]:
    """What no longer matches the manifest: a sentence for each file, empty if all is well.

    Every byte is read and hashed (about 1 GB/s): a flipped bit in a weights file loads without a word
    otherwise.
    """
    if manifest is None:
        return [f"{MANIFEST} is missing or is no JSON"]
    if manifest.get("store_format") != STORE_FORMAT:
        return [f"store format {manifest.get('store_format')!r}, this version reads {STORE_FORMAT}"]
    found = []
    for name, expected in manifest["files"].items():
        path = directory / file_name(name, "")
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != expected["size"]:
            found.append(f"{name} has {path.stat().st_size} bytes, not {expected['size']}")
        elif file_sha256(path) != expected["sha256"]:
            found.append(f"{name} has other contents than were published")
    return found


def parse_manifest(data: bytes | None) -> dict[str, Any] | None:
    """A manifest from its text; None if it is missing or damaged.

    A file name in it that leads out of the artifact is damage, too.
    """
    try:
        manifest = json.loads(data or b"")
        for name, entry in manifest["files"].items():
            file_name(name, "")
            entry["size"], entry["sha256"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return manifest
