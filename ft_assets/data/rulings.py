"""What corrections say about texts: which text each of them means, and which of several has the last word.

A correction names a row. What it says holds for the text of that row, so also where an equal row stands for it today,
or where equal rows contradict each other. Not here: the file (`corrections`), labelling (`labels`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import CleaningConfig
from ft_assets.data.corrections import Correction, holding
from ft_assets.data.personal import free_of
from ft_assets.errors import UserError
from ft_assets.spill import slices

__all__ = ["Rulings", "rulings"]

_LISTED_IDS = 20
_ID = re.compile("[0-9a-f]{16}")
_SCHEMA = {"text_key": pl.String, "ruling": pl.String, "at": pl.String, "line": pl.Int64}


@dataclass(frozen=True, eq=False)
class Rulings:
    """What holds for the texts of a task.

    Attributes:
        texts: One line a text: text_key, ruling (a label, or `REJECT`), at (when, ISO 8601 in UTC) and line.
        lines: How many corrections there are.
        unused: Ids that no row has, each once, sorted; what does not look like an id as the line where it stands
            first (`line 7`), because with columns mixed up it may be anything, and these are shown.
    """

    texts: pl.DataFrame
    lines: int = 0
    unused: tuple[str, ...] = ()

    @classmethod
    def none(cls) -> Rulings:
        """No corrections."""
        return cls(pl.DataFrame(schema=_SCHEMA))

    def summary(self) -> dict[str, object]:
        """For the stage's summary: lines, texts, unused (ids) and the first of these."""
        listed = list(self.unused[:_LISTED_IDS])
        return {
            "lines": self.lines,
            "texts": self.texts.height,
            "unused": len(self.unused),
            "unused_ids": listed,
        }


def rulings(corrections: Sequence[Correction], table: pa.Table, merged: pa.Table) -> Rulings:
    """The ruling on each text that is corrected: what `corrections.holding` gives.

    Args:
        corrections: All lines of the file.
        table: Rows with example_id and text_key.
        merged: Rows that were merged into those (`MERGED_SCHEMA`).

    Raises:
        UserError: As many people say different things about one text at the same time: names the lines.
    """
    if not corrections:
        return Rulings.none()
    asked = sorted({each.example_id for each in corrections})
    lives_as = _lives_as(asked, merged)
    keys = _text_keys(table, set(lives_as.values()))
    about: dict[str, list[Correction]] = {}
    for each in corrections:
        if (key := keys.get(lives_as[each.example_id])) is not None:
            about.setdefault(key, []).append(each)
    texts = []
    for key, said in sorted(about.items()):
        held = sorted(holding(said), key=lambda each: each.line)
        if len({each.label for each in held}) > 1:
            raise UserError(
                "two corrections of the same time say different things about one text",
                where=f"lines {', '.join(str(each.line) for each in held)} of the corrections",
                do="take one of them out, or give the one that holds a later `at`",
            )
        texts.append((key, held[-1].label, held[-1].at, held[-1].line))
    missing = {each for each in asked if lives_as[each] not in keys}
    return Rulings(
        pl.DataFrame(texts, schema=_SCHEMA, orient="row"), len(corrections), _as_shown(missing, corrections)
    )


def _as_shown(ids: set[str], corrections: Sequence[Correction]) -> tuple[str, ...]:
    # Some numbers of cards and accounts have sixteen hex digits, too.
    like_ids, default = [each for each in ids if _ID.fullmatch(each)], CleaningConfig()
    free = free_of(pl.Series(like_ids, dtype=pl.String), default.personal_data, default.phone_regions)
    safe = {each for each, is_free in zip(like_ids, free, strict=True) if is_free}
    lines = {each.example_id: each.line for each in reversed(corrections)}
    return (*sorted(safe), *(f"line {line}" for line in sorted(lines[each] for each in ids - safe)))


def _lives_as(ids: Sequence[str], merged: pa.Table) -> dict[str, str]:
    """Each of the ids with that of the row that stands for it."""
    found = {each: each for each in ids}
    while True:
        wanted = pa.array(sorted(set(found.values())), pa.string())
        into: dict[str, str] = {}
        for part in slices(merged):
            hits = part.filter(pc.is_in(part["example_id"], value_set=wanted))
            into.update(zip(hits["example_id"].to_pylist(), hits["merged_into"].to_pylist(), strict=True))
        if not into:
            return found
        # What a row was merged into may have been merged itself.
        found = {each: into.get(place, place) for each, place in found.items()}


def _text_keys(table: pa.Table, ids: set[str]) -> dict[str, str]:
    wanted, found = pa.array(sorted(ids), pa.string()), dict[str, str]()
    for part in slices(table.select(["example_id", "text_key"])):
        hits = part.filter(pc.is_in(part["example_id"], value_set=wanted))
        found.update(zip(hits["example_id"].to_pylist(), hits["text_key"].to_pylist(), strict=True))
    return found
