"""Rows taken over from the last raw examples: files that stand first and are as they were are not read again.

Taken over is the longest beginning of the files, in reading order. Nothing stands before it that did not stand there
before, so its rows keep their ids; and how many equal rows it holds is told by these ids, which were given in order.
What is taken over and what is read after it are together what reading all files would give.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import QUARANTINE_SCHEMA, RAW_SCHEMA, example_ids
from ft_assets.data.ledger.keys import example_keys
from ft_assets.spill import take

if TYPE_CHECKING:
    from ft_assets.artifacts import Artifact
    from ft_assets.data.config import SourceConfig
    from ft_assets.sources import ResolvedFile

__all__ = ["EqualRows", "TakenOver", "take_over"]


@dataclass(frozen=True, eq=False)
class TakenOver:
    """The first files of a task, as they were read before; without arguments none.

    Attributes:
        examples: Their rows (`RAW_SCHEMA`), in source order.
        quarantine: Their rows that were refused (`QUARANTINE_SCHEMA`).
        files: What the summary says of each, in reading order.
        forms: What it says of how they were read, where rows are conversations.
    """

    examples: pa.Table = field(default_factory=RAW_SCHEMA.empty_table)
    quarantine: pa.Table = field(default_factory=QUARANTINE_SCHEMA.empty_table)
    files: Sequence[Mapping[str, Any]] = ()
    forms: Sequence[Mapping[str, Any]] = ()

    @property
    def rows(self) -> int:
        """Rows of these files, refused ones included."""
        return sum(file["rows"] for file in self.files)

    def still_to_read(
        self, sources: Sequence[tuple[SourceConfig, Sequence[ResolvedFile]]]
    ) -> list[tuple[SourceConfig, Sequence[ResolvedFile]]]:
        """The sources without the files that are taken over, and without those of which nothing is left."""
        left, rest = len(self.files), []
        for source, files in sources:
            here = min(left, len(files))
            left -= here
            if here < len(files) or not files:
                rest.append((source, files[here:]))
        return rest


def take_over(last: Artifact, unchanged: Sequence[tuple[str, str]]) -> TakenOver:
    """What can be taken over from the last raw examples.

    It ends before the first file that was refused as a whole (what was wrong may have been the disk), that has lost
    erased rows (the ids of the others no longer tell how many equal ones there were), or whose name stands in several
    sources (quarantine names no source).

    Args:
        last: Raw examples, made by the same code with the same configuration and the same erased rows.
        unchanged: Source name and file name of those files, from the first one in reading order, whose content is what
            it was when these were made.
    """
    files = last.summary["files"]
    names = Counter(file["file"] for file in files)
    number = 0
    for file, name in zip(files, unchanged, strict=False):
        if (file["source"], file["file"]) != name or names[file["file"]] > 1:
            break
        if file.get("unreadable") or file.get("erased"):
            break
        number += 1
    if not number:
        return TakenOver()
    taken = files[:number]
    its_names = {file["file"] for file in taken}
    refused = last.table("quarantine")
    of_taken = pc.is_in(refused["file"], pa.array(sorted(its_names), pa.string()))
    return TakenOver(
        examples=last.table().slice(0, sum(file["rows"] - file["refused"] for file in taken)),
        quarantine=take(refused, np.flatnonzero(of_taken)),
        files=taken,
        forms=[form for form in last.summary.get("forms", []) if form["file"] in its_names],
    )


class EqualRows:
    """How many rows of a table that comes before have a certain digest; told by the table's ids alone.

    Args:
        ids: The `example_id` of all its rows: of those with one digest the ids of 0, 1, 2 … (`example_ids`).
    """

    def __init__(self, ids: pa.ChunkedArray) -> None:
        self._known = np.sort(example_keys(ids).to_numpy())

    def count(self, digests: Sequence[bytes]) -> np.ndarray:
        """The number of rows with each of these digests."""
        found = np.zeros(len(digests), dtype=np.int64)
        places = np.flatnonzero(self._have(digests, found + 1))
        again = [digests[place] for place in places.tolist()]
        # The most that any of them has is below twice this power of two; its bits are found from the highest down.
        step = 1
        while self._have(again, np.full(len(again), 2 * step)).any():
            step *= 2
        number = np.zeros(len(again), dtype=np.int64)
        while step:
            number += step * self._have(again, number + step)
            step //= 2
        found[places] = number
        return found

    def _have(self, digests: Sequence[bytes], numbers: np.ndarray) -> np.ndarray:
        """Whether there are at least as many rows with each digest."""
        if not len(self._known):
            return np.zeros(len(digests), dtype=bool)
        ids = pa.array(example_ids(digests, (numbers - 1).tolist()), pa.string())
        last = example_keys(pa.chunked_array([ids])).to_numpy()
        return self._known[np.minimum(self._known.searchsorted(last), len(self._known) - 1)] == last
