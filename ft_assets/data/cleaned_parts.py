"""What cleaning has made of parts of the raw rows, kept by their content: rows that have been cleaned by the same rules
are not cleaned again when others are added.

Where a part ends is decided by its own rows (content-defined chunking, as in rsync and backup tools): rows added, taken
out or changed anywhere make new no more than the parts that they stand in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from ft_assets.content_cache import ContentCache
from ft_assets.spill import slices
from ft_assets.versions import hash_json, table_version

__all__ = ["CleanedPart", "CleanedParts", "parts"]

_LAST_DIGITS = 3
"""An id that ends in as many zeros ends a part: one of 4,096 rows does."""


@dataclass(frozen=True)
class CleanedPart:
    """What became of the rows of one part.

    Attributes:
        usable: The rows that may be kept.
        refused: The others.
        told: What has been changed, as plain JSON.
    """

    usable: pa.Table
    refused: pa.Table
    told: dict[str, dict[str, int]]


class CleanedParts:
    """Cleaned parts in a folder.

    Args:
        folder: Whatever is in it may be deleted at any time. None: nothing is kept.
        rules: Hash of all that decides what cleaning makes of a row.
    """

    def __init__(self, folder: Path | None, rules: str) -> None:
        self._entries = ContentCache(folder) if folder else None
        self._rules = rules
        self._used: set[str] = set()

    def get(self, part: pa.Table, make: Callable[[pa.Table], CleanedPart]) -> CleanedPart:
        """The part cleaned: as it is kept, else made and kept."""
        if self._entries is None:
            return make(part)
        key = hash_json({"rules": self._rules, "rows": table_version(part)})
        self._used.add(key)
        found = self._entries.read(key, _read, pa.ArrowInvalid, ValueError)
        if found is not None:
            return found
        made = make(part)
        self._entries.write(key, lambda folder: _write(folder, made))
        return made

    def forget_others(self) -> None:
        """Remove the parts that were not asked for: their rows are no longer there, or the rules are others."""
        if self._entries is not None:
            self._entries.keep(only=self._used)


def parts(table: pa.Table) -> Iterator[pa.Table]:
    """The table in parts, none of them copied.

    Args:
        table: rows with an `example_id`.
    """
    ends = pc.ends_with(table["example_id"], "0" * _LAST_DIGITS)
    cuts = 1 + np.flatnonzero(ends.to_numpy())
    start = 0
    for end in [*cuts.tolist(), table.num_rows]:
        if end > start or not table.num_rows:
            yield from slices(table.slice(start, end - start))
        start = end


def _write(folder: Path, part: CleanedPart) -> None:
    for name, table in (("usable", part.usable), ("refused", part.refused)):
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        with pa.ipc.new_file(folder / f"{name}.arrow", table.schema, options=options) as file:
            file.write_table(table)
    (folder / "told.json").write_text(json.dumps(part.told), encoding="utf-8")


def _read(folder: Path) -> CleanedPart:
    usable, refused = (
        pa.ipc.open_file(folder / f"{name}.arrow").read_all() for name in ("usable", "refused")
    )
    return CleanedPart(usable, refused, json.loads((folder / "told.json").read_bytes()))
