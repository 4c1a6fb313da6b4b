"""Clusters that are on several sides: which of their rows go where, and which have to be quarantined.

Few rows, looked at one by one. Not here: all others (`assignment`).
"""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np
import polars as pl

from ft_assets.data.ledger.entries import SIDES
from ft_assets.data.ledger.reasons import HOW, REASONS, TRAIN

__all__ = ["Contest"]


class Contest:
    """The clusters that are on several sides, or on one that not all can join: few rows, looked at one by one with all
    that links them.

    Rows with one text go together; texts are linked by the groups of their rows, and as near duplicates. Plain numbers
    stand for the texts (`text`), for the rows (`row`) and for the groups.

    Args:
        rows: `example`, `text`, `group` and `cluster` of each; `side`, `how` and `sides` as far as they are settled;
            `of_group`, the side of its group; `period`, the place in `SIDES` of the split that its time is of.
        pairs: `a` and `b`, the examples of near duplicates among them.
        closed: sides that new rows cannot join.
    """

    def __init__(self, rows: pl.DataFrame, pairs: pl.DataFrame, closed: Set[int]) -> None:
        self._closed = closed
        self._side: list[int | None] = rows["side"].to_list()
        self._how: list[str | None] = rows["how"].to_list()
        self._sides: list[int | None] = rows["sides"].to_list()
        self._examples: list[int] = rows["example"].to_list()
        self._clusters: list[int] = rows["cluster"].to_list()
        # In the order of the keys, so that no order of rows counts.
        number = {key: text for text, key in enumerate(rows["text"].unique().sort())}
        self._text = [number[key] for key in rows["text"]]
        self._rows: list[list[int]] = [[] for _ in number]
        self._period = [TRAIN] * len(number)
        """That of each text, by the newest of its new rows."""
        for row, (text, period) in enumerate(zip(self._text, rows["period"].fill_null(TRAIN), strict=True)):
            self._rows[text].append(row)
            if self._how[row] is None:
                self._period[text] = min(self._period[text], period)
        self._groups: list[set[int]] = [set() for _ in number]
        self._group_side: dict[int, int] = {}
        for text, group, side in zip(self._text, rows["group"], rows["of_group"], strict=True):
            if group is not None:
                self._groups[text].add(group)
                if side is not None:
                    self._group_side[group] = side
        self._near: list[set[int]] = [set() for _ in number]
        text_of = dict(zip(self._examples, self._text, strict=True))
        for a, b in pairs.select("a", "b").iter_rows():
            if text_of[a] != text_of[b]:
                self._near[text_of[a]].add(text_of[b])
                self._near[text_of[b]].add(text_of[a])
        self._at: dict[int, int] = {}
        """The side of each text that has one."""

    def settled(self) -> pl.DataFrame:
        """What becomes of each row: `side`, `how`, `sides`, and `part`, the number of the part of its cluster that it
        is in. Asked once."""
        self._part_recorded()
        self._join_texts()
        self._spread()
        return pl.DataFrame(
            {
                "side": pl.Series(self._side, dtype=pl.UInt8),
                "how": pl.Series(self._how, dtype=HOW),
                "sides": pl.Series(self._sides, dtype=pl.UInt8),
                "part": pl.Series(self._parts(), dtype=pl.UInt32),
            }
        )

    def _part_recorded(self) -> None:
        """Recorded rows with one text, and near duplicates, on several sides: they stay in test, then in validation."""
        for text, rows in enumerate(self._rows):
            recorded = [(side, row) for row in rows if (side := self._side[row]) is not None]
            if recorded:
                self._at[text] = min(recorded)[0]
            for side, row in recorded:
                if side != self._at[text]:
                    self._refuse([row], "text_across_splits", {side, self._at[text]})
        for keeps in range(len(SIDES)):
            for text in [text for text, side in self._at.items() if side > keeps]:
                if keeps in {self._at.get(near) for near in self._near[text]}:
                    side = self._at.pop(text)
                    kept = self._kept(text)
                    self._refuse(self._new(kept), "bridges_splits", {side, keeps})
                    placed = [row for row in kept if self._side[row] is not None]
                    self._refuse(placed, "near_duplicate_across_splits", {side, keeps})

    def _join_texts(self) -> None:
        """New rows go where their text is, which a source that is for one split has too."""
        for text, side in self._at.items():
            if (fresh := self._new(self._rows[text])) and self._send(
                fresh, text, {side} | self._touched(text)
            ):
                for group in self._groups[text]:
                    self._group_side.setdefault(group, side)

    def _spread(self) -> None:
        """New texts go to the side of what they are linked to, test first, and on from there; those that cannot are
        quarantined, and lead no further."""
        new = {text for text, rows in enumerate(self._rows) if all(self._how[row] is None for row in rows)}
        members: dict[int, set[int]] = {}
        for text in new:
            for group in self._groups[text]:
                members.setdefault(group, set()).add(text)
        touched = {text: self._touched(text) for text in new}
        while True:
            for text in [text for text in new if self._barred(text, touched[text])]:
                self._send(self._rows[text], text, touched[text])
                new.discard(text)
            ready = {text: min(touched[text]) for text in new if touched[text]}
            if not ready:
                return
            side = min(ready.values())
            reached: set[int] = set()
            for text in [text for text, found in ready.items() if found == side]:
                new.discard(text)
                self._at[text] = side
                self._send(self._rows[text], text, {side})
                reached |= self._near[text]
                for group in self._groups[text]:
                    if self._group_side.setdefault(group, side) == side:
                        reached |= members[group]
            touched |= {text: self._touched(text) for text in reached & new}

    def _send(self, rows: Sequence[int], text: int, touched: Set[int]) -> bool:
        """Whether new rows of a text go to the side of what it is linked to; else they are quarantined."""
        if refusal := self._barred(text, touched):
            self._refuse(rows, *refusal)
            return False
        for row in rows:
            self._side[row], self._how[row] = min(touched), "joined"
        return True

    def _barred(self, text: int, touched: Set[int]) -> tuple[str, Set[int]] | None:
        """Why a new text cannot go to the side of what it is linked to, with the splits that the reason names."""
        if not touched:
            return None
        if closed := touched & self._closed:
            return "split_is_closed", closed
        if len(touched) > 1:
            return "bridges_splits", touched
        if self._period[text] < min(touched):
            return "newer_than_its_split", {self._period[text]}
        return None

    def _touched(self, text: int) -> set[int]:
        """The sides of what a new text is linked to."""
        near = {self._at[each] for each in self._near[text] if each in self._at}
        return near | {self._group_side[group] for group in self._groups[text] if group in self._group_side}

    def _parts(self) -> list[int | None]:
        """What is still linked once rows are quarantined: the component of each row, numbered in the order of their
        smallest examples."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        texts = [text for text in range(len(self._rows)) if self._kept(text)]
        groups = {group: len(self._rows) + place for place, group in enumerate(set().union(*self._groups))}
        ends = [(text, near) for text in texts for near in self._near[text] if self._kept(near)]
        ends += [(text, groups[group]) for text in texts for group in self._groups[text]]
        pairs = np.array(ends, np.int64).reshape(-1, 2)
        nodes = len(self._rows) + len(groups)
        graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(nodes, nodes))
        component = connected_components(graph, directed=False)[1]
        kept = [row for text in texts for row in self._kept(text)]
        numbers: dict[int, int] = {}
        parts: list[int | None] = [None] * len(self._how)
        for row in sorted(kept, key=self._examples.__getitem__):
            parts[row] = numbers.setdefault(int(component[self._text[row]]), len(numbers))
        return parts

    def _new(self, rows: Sequence[int]) -> list[int]:
        return [row for row in rows if self._how[row] is None]

    def _kept(self, text: int) -> list[int]:
        return [row for row in self._rows[text] if self._how[row] not in REASONS]

    def _refuse(self, rows: Sequence[int], rule: str, sides: Set[int]) -> None:
        for row in rows:
            self._how[row], self._sides[row] = rule, sum(1 << side for side in sides)
