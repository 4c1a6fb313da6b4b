"""Rows as the ledger sees them, from a line each; and entries as they grow from one assignment to the next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

from ft_assets.data.ledger.assignment import ROWS, Assignment, assign
from ft_assets.data.ledger.entries import SIDES, Entries
from ft_assets.data.ledger.reasons import REASONS

SHARES = (0.15, 0.15, 0.7)


@dataclass(frozen=True)
class Row:
    """A row; ids, texts, groups and labels are small numbers."""

    example: int
    text: int
    group: int | None = None
    label: int = 0
    time: int | None = None
    meant: str | None = None


def components(rows: Sequence[Row], pairs: Iterable[tuple[int, int]] = ()) -> dict[int, int]:
    """The cluster of each example, found by joining sets: equal texts, equal groups, near duplicates."""
    cluster = {row.example: {row.example} for row in rows}
    links = list(pairs)
    for key in ("text", "group"):
        first: dict[int, int] = {}
        for row in rows:
            value = getattr(row, key)
            if value is not None:
                links.append((first.setdefault(value, row.example), row.example))
    for a, b in links:
        if a in cluster and b in cluster and cluster[a] is not cluster[b]:
            both = cluster[a] | cluster[b]
            for each in both:
                cluster[each] = both
    return {example: min(members) for example, members in cluster.items()}


def frame(rows: Sequence[Row], pairs: Iterable[tuple[int, int]] = ()) -> pl.DataFrame:
    cluster = components(rows, pairs)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(cluster.values()))}
    columns = {
        "example": [row.example for row in rows],
        "text": [row.text for row in rows],
        "group": [row.group for row in rows],
        "cluster": [numbers[cluster[row.example]] for row in rows],
        "stratum": [row.label for row in rows],
        "time": [row.time for row in rows],
        "meant": [None if row.meant is None else SIDES.index(row.meant) for row in rows],
    }
    return pl.DataFrame(columns, schema=ROWS)


def near_of(
    rows: Sequence[Row], pairs: Iterable[tuple[int, int]], places: Iterable[int]
) -> list[tuple[int, int]]:
    """The pairs among the rows at these places."""
    here = {rows[place].example for place in places}
    return [pair for pair in pairs if here.issuperset(pair)]


def pairs_frame(pairs: Iterable[tuple[int, int]]) -> pl.DataFrame:
    return pl.DataFrame(list(pairs), schema={"a": pl.UInt64, "b": pl.UInt64}, orient="row")


def recorded(before: Entries, made: Assignment | pl.DataFrame) -> Entries:
    """The entries with those of an assignment."""
    new = made.entries if isinstance(made, Assignment) else made
    return before.with_entries(new)


def entries(rows: dict[tuple[int, int], str], groups: dict[int, str] | None = None) -> Entries:
    """Entries from {(example, text): split} and {group: split}."""
    none = Entries.none()
    return Entries(
        pl.DataFrame(
            [(text, example, SIDES.index(split)) for (example, text), split in rows.items()],
            schema=none.rows.schema,
            orient="row",
        ),
        pl.DataFrame(
            [(group, SIDES.index(split)) for group, split in (groups or {}).items()],
            schema=none.groups.schema,
            orient="row",
        ),
    )


def places(rows: Sequence[Row], made: Assignment) -> dict[int, str]:
    """Example → its split, or the rule by which it is quarantined."""
    return {
        row.example: how if how in REASONS else SIDES[side]
        for row, (side, how) in zip(rows, made.rows.select("side", "how").rows(), strict=True)
    }


def assigned(
    rows: Sequence[Row],
    known: Entries | None = None,
    pairs: Iterable[tuple[int, int]] = (),
    shares: Sequence[float] = SHARES,
    **more: object,
) -> Assignment:
    """The assignment of rows with these entries and near duplicates."""
    near = list(pairs)
    return assign(
        frame(rows, near),
        known or Entries.none(),
        lambda places: pairs_frame(near_of(rows, near, places)),
        shares,
        **more,
    )  # type: ignore[arg-type]


def placed(rows: Sequence[Row], *more: object, **settings: object) -> dict[int, str]:
    """Example → its split or rule, by `assigned`."""
    return places(rows, assigned(rows, *more, **settings))  # type: ignore[arg-type]
