"""What of an earlier reading holds still: the rows of all files before the first one that is new, changed or gone.

An id counts the equal rows that stand before a row, so what is taken over has to come first: then nothing stands before
it that did not before, and its ids stay. Files are read in the order of their names, so exports that are named by date
are taken over until the last one. Not here: reading the rest (`readers`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import QUARANTINE_SCHEMA, RAW_SCHEMA, StageTables, example_ids
from ft_assets.data.ledger.keys import example_keys

__all__ = ["NOTHING", "SourceFile", "TakenOver", "equal_before", "taken_over"]

SourceFile = tuple[str, str, str | None]
"""Source, name and content of a file; the content is None where it is not known before it is read."""


@dataclass(frozen=True, eq=False)
class TakenOver:
    """The rows of the first files.

    Attributes:
        files: How many these are.
        examples: Their rows (`RAW_SCHEMA`), in their order.
        refused: Those that could not be read (`QUARANTINE_SCHEMA`).
        entries: What the summary says of each of these files.
        forms: What it says of how they were read, where rows are conversations.
    """

    files: int = 0
    examples: pa.Table = field(default_factory=RAW_SCHEMA.empty_table)
    refused: pa.Table = field(default_factory=QUARANTINE_SCHEMA.empty_table)
    entries: Sequence[Mapping[str, Any]] = ()
    forms: Sequence[Mapping[str, str]] = ()

    @property
    def rows(self) -> int:
        """Rows that came in."""
        return sum(entry["rows"] for entry in self.entries)


NOTHING = TakenOver()


def taken_over(earlier: StageTables, then: Sequence[SourceFile], now: Sequence[SourceFile]) -> TakenOver:
    """What holds still of an earlier reading by the same code and configuration.

    It ends before a file of which anything was erased, or that could not be read at all: whether such a file can be
    used now, nothing says but reading it. And before one whose name two sources have, since refused rows name no
    source.

    Args:
        earlier: The tables and the summary of the reading.
        then: All files of that time, in the order of reading.
        now: All files, in the order of reading.
    """
    entries: Sequence[Mapping[str, Any]] = earlier.summary["files"]
    names = Counter(name for _, name, _ in then) | Counter(name for _, name, _ in now)
    known = {file[:2]: file for file in then}
    count = 0
    for entry, file in zip(entries, now, strict=False):
        same = (entry["source"], entry["file"]) == file[:2] and known.get(file[:2]) == file
        if not same or file[2] is None or names[file[1]] > 1 or entry.keys() & {"erased", "unreadable"}:
            break
        count += 1
    if not count:
        return NOTHING
    kept = entries[:count]
    read = [entry["file"] for entry in kept]
    refused = earlier.quarantine.filter(pc.is_in(earlier.quarantine["file"], pa.array(read, pa.string())))
    examples = earlier.examples.slice(0, sum(entry["rows"] - entry["refused"] for entry in kept))
    forms = [form for form in earlier.summary.get("forms", []) if form["file"] in set(read)]
    return TakenOver(count, examples, refused, kept, forms)


def equal_before(digests: pa.ChunkedArray, ids: pa.ChunkedArray) -> np.ndarray:
    """How many rows equal to each of these (by their digests) there are among those with these ids."""
    found = np.zeros(len(digests), dtype=np.int64)
    if not len(ids) or not len(digests):
        return found
    there = np.sort(example_keys(ids).to_numpy())
    own, left = digests.to_pylist(), np.arange(len(digests))
    while len(left):
        following = example_ids((own[place] for place in left), found[left].tolist())
        keys = example_keys(pa.chunked_array([following])).to_numpy()
        left = left[there[np.minimum(np.searchsorted(there, keys), len(there) - 1)] == keys]
        found[left] += 1
    return found
