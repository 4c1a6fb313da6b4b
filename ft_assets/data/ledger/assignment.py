"""Which split each row is in: what the ledger says, and for new rows what follows from it.

1. A row whose id or text is recorded is in that split, for good.
2. A new row whose cluster has recorded members on one side goes to that side.
3. Clusters with nothing recorded are dealt out as the shares say, evenly by label (`stratify`).

Rows that cannot be where they belong without a leak are quarantined, and not recorded:

- `bridges_splits`: a new row that belongs together with rows of several splits;
- `text_across_splits`, `group_across_splits`, `near_duplicate_across_splits`: a recorded row whose text, group or near
  duplicate is recorded on another side (after the cleaning or a group has changed, or in splits that were made before
  near duplicates were looked for). A group's rows stay on the side of the group; near duplicates stay in test,
  else in validation.

The same rows and entries give the same result in whatever order they come, and with what was recorded in between. Not
here: reading and writing the ledger (`chain`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ft_assets.data.ledger.entries import SIDES, Entries
from ft_assets.data.ledger.keys import GROUP, ROW, TEXT, halves
from ft_assets.data.ledger.stratify import mixed, stratify

__all__ = ["REASONS", "ROWS", "Assignment", "assign", "imported"]

ROWS = {"example": ROW, "text": TEXT, "group": GROUP, "cluster": pl.UInt32, "stratum": pl.UInt32}
"""The columns of the rows: keys (`keys`), the cluster as a number, and what is to be spread evenly as a number."""

REASONS = {
    "bridges_splits": "it belongs together with rows that are in {}",
    "text_across_splits": "the row was recorded in {0}, and its text in {1}",
    "group_across_splits": "the row was recorded in {0}, and its group in {1}",
    "near_duplicate_across_splits": "the row was recorded in {0}, and a near duplicate of it in {1}",
}
"""Rule of the quarantine → its reason; the places are for splits."""

HOW = pl.Enum(["recorded", "joined", "stratified", *REASONS])


@dataclass(frozen=True)
class Assignment:
    """What becomes of the rows, one line for each, in their order.

    Attributes:
        rows: `side` (place in `SIDES`; of a quarantined row the one that it was recorded in, null for a new one),
            `how` (recorded, joined, stratified, or a rule of `REASONS`), `sides` (of a quarantined row: the splits
            that its reason names) and `part` (where a cluster falls apart because rows of it are quarantined: a number
            for each part; else null). `sides` has a bit for each split, by its place in `SIDES`.
        entries: What is to be recorded: `kind`, `key`, `example`, `side`, `rule`, `cluster`, in a fixed order.
    """

    rows: pl.DataFrame
    entries: pl.DataFrame


def assign(
    rows: pl.DataFrame,
    entries: Entries,
    pairs_among: Callable[[npt.NDArray[np.integer]], pl.DataFrame],
    shares: Sequence[float],
    *,
    salt: str = "",
    new_in_test: bool = True,
) -> Assignment:
    """Assign every row.

    Args:
        rows: `ROWS`.
        entries: What is recorded.
        pairs_among: Takes places of rows; gives `a`, `b`: those of their examples that are near duplicates. It is asked
            where a cluster is on several sides, since there it matters what it is made of.
        shares: Of `SIDES`, adding up to 1.
        salt: Goes into the draw of new clusters.
        new_in_test: Whether new clusters may go to test.
    """
    table = _Table(rows, entries)
    table.settle_groups()
    contested = table.contested()
    if len(contested):
        _Contest(table, contested, pairs_among(contested)).settle()
    table.join()
    if not new_in_test:
        shares = [0.0, *shares[1:]]
    table.draw(shares, salt)
    return table.assignment()


def imported(rows: pl.DataFrame, entries: Entries) -> pl.DataFrame:
    """Entries for rows of splits that were made without the ledger, or that it has lost; of those it knows, none.

    Args:
        rows: `example`, `text`, `group` and `side`.
        entries: What is recorded.
    """
    new = rows.join(entries.rows, on="example", how="anti").join(entries.rows, on="text", how="anti")
    new = new.sort("text", "example")
    own = new.select(
        pl.lit("row").alias("kind"),
        pl.col("text").alias("key"),
        "example",
        "side",
        pl.lit("imported").alias("rule"),
        pl.lit(None, TEXT).alias("cluster"),
    )
    # A group that stands on several sides has no side of its own: its rows keep theirs.
    groups = (
        new.drop_nulls("group")
        .group_by("group")
        .agg(pl.col("side").min(), pl.col("side").n_unique().alias("sides"))
        .filter(pl.col("sides") == 1)
        .join(entries.groups, on="group", how="anti")
        .sort("group")
        .select(
            pl.lit("group").alias("kind"),
            pl.col("group").alias("key"),
            pl.lit(None, ROW).alias("example"),
            "side",
            pl.lit("imported").alias("rule"),
            pl.lit(None, TEXT).alias("cluster"),
        )
    )
    return pl.concat([own, groups])


class _Table:
    """The rows with what is known of each so far.

    Columns beside those of the rows: `by_id`, `by_text`, `group_entry` as recorded, `of_group` (the side of its group),
    and `side`, `how`, `sides`, `part` as in `Assignment`. The wide columns are never joined: 5 million rows take
    300 MB here.
    """

    def __init__(self, rows: pl.DataFrame, entries: Entries) -> None:
        by_id = _look_up(rows["example"], entries.rows.select("example", "side"))
        by_text = _look_up(rows["text"], entries.rows.select("text", "side"))
        of_group = _look_up(rows["group"], entries.groups)
        clash = (by_id != by_text).fill_null(False)
        side = by_id.zip_with(by_id.is_not_null(), by_text)
        self.frame = rows.with_columns(
            by_id.alias("by_id"),
            by_text.alias("by_text"),
            of_group.alias("group_entry"),
            of_group.alias("of_group"),
            side.alias("side"),
            pl.when(clash)
            .then(pl.lit("text_across_splits", HOW))
            .when(side.is_not_null())
            .then(pl.lit("recorded", HOW))
            .alias("how"),
            pl.lit(None, pl.UInt32).alias("part"),
        ).with_columns(pl.when(clash).then(_bit(pl.col("by_id")) | _bit(pl.col("by_text"))).alias("sides"))
        self._clusters = int(rows["cluster"].max() or 0) + 1  # type: ignore[arg-type]

    def settle_groups(self) -> None:
        """The side of each group: as recorded, else that of its recorded rows, test before all others. Recorded rows
        on another side are quarantined."""
        recorded = pl.col("how") == "recorded"
        seen = (
            self.frame.lazy()
            .filter(recorded & pl.col("of_group").is_null() & pl.col("group").is_not_null())
            .group_by("group")
            .agg(pl.col("side").min())
            .collect()
        )
        if seen.height:
            of_rows = _look_up(self.frame["group"], seen)
            self.frame = self.frame.with_columns(pl.coalesce("of_group", of_rows).alias("of_group"))
        astray = (recorded & (pl.col("side") != pl.col("of_group"))).fill_null(False)
        self.frame = self.frame.with_columns(
            pl.when(astray).then(pl.lit("group_across_splits", HOW)).otherwise("how").alias("how"),
            pl.when(astray)
            .then(_bit(pl.col("side")) | _bit(pl.col("of_group")))
            .otherwise("sides")
            .alias("sides"),
        )

    def contested(self) -> npt.NDArray[np.integer]:
        """Places of the rows of clusters that are on several sides, without those quarantined already."""
        low, high = self._cluster_sides()
        several = low < high
        usable = self._is_new() | (self.frame["how"] == "recorded").fill_null(False)
        return np.flatnonzero(several[self.frame["cluster"].to_numpy()] & usable.to_numpy())

    def update(self, places: npt.NDArray[np.integer], values: pl.DataFrame) -> None:
        """Set side, how, sides and part of some rows."""
        self.frame = self.frame.with_columns(
            self.frame[name].scatter(places, values[name]) for name in values.columns
        )

    def join(self) -> None:
        """New rows of clusters that are on one side go there; those of contested ones are settled already."""
        low, high = self._cluster_sides()
        cluster = self.frame["cluster"].to_numpy()
        settled = (low <= high)[cluster] & (self._is_new() & self.frame["part"].is_null()).to_numpy()
        joins = pl.Series(settled)
        self.frame = self.frame.with_columns(
            pl.when(joins).then(pl.Series(low[cluster])).otherwise("side").alias("side"),
            pl.when(joins).then(pl.lit("joined", HOW)).otherwise("how").alias("how"),
        )

    def draw(self, shares: Sequence[float], salt: str) -> None:
        """Clusters with nothing recorded, and parts that others have left over, are dealt out."""
        places = self._is_new().arg_true()
        if not len(places):
            return
        texts = self.frame["text"].gather(places)
        # In the order of the texts a cluster's first row has its smallest one: no order of rows counts.
        order = texts.arg_sort()
        places, texts = places.gather(order), texts.gather(order)
        codes, firsts = _numbered(self._whole()[places.to_numpy()])
        stratum = self.frame["stratum"].to_numpy()
        kept = self.frame["how"].is_not_null() & ~self._is_refused()
        strata = int(stratum.max()) + 1
        cells = self.frame["side"].filter(kept).cast(pl.Int64).to_numpy() * strata + stratum[kept.to_numpy()]
        tally = np.bincount(cells, minlength=len(SIDES) * strata).reshape(len(SIDES), strata)
        rank = ranks(texts.gather(pl.Series(firsts)), salt)
        drawn = stratify(codes, stratum[places.to_numpy()], rank, tally, shares)
        how = pl.when(self._is_new()).then(pl.lit("stratified", HOW)).otherwise("how")
        self.frame = self.frame.with_columns(
            self.frame["side"].scatter(places, pl.Series(drawn[codes])), how.alias("how")
        )

    def assignment(self) -> Assignment:
        return Assignment(self.frame.select("side", "how", "sides", "part"), self._entries())

    def _is_new(self) -> pl.Series:
        return self.frame["how"].is_null()

    def _is_refused(self) -> pl.Series:
        return self.frame["how"].is_in(list(REASONS)).fill_null(False)

    def _whole(self) -> npt.NDArray[np.integer]:
        """What is left whole, as numbers: the clusters, and the parts of those that fall apart."""
        cluster = self.frame["cluster"]
        part = self.frame["part"]
        if part.null_count() < len(part):
            cluster = cluster.zip_with(part.is_null(), part + self._clusters)
        return cluster.to_numpy()

    def _cluster_sides(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """The first and the last side of each cluster, by what is kept of it and by its groups; the last is before the
        first where it has none."""
        known = self.frame["side"].zip_with(
            (self.frame["how"] == "recorded").fill_null(False),
            self.frame["of_group"].zip_with(self._is_new(), pl.Series([None], dtype=pl.UInt8)),
        )
        there = known.is_not_null()
        cluster, sides = self.frame["cluster"].filter(there).to_numpy(), known.filter(there).to_numpy()
        low, high = np.full(self._clusters, len(SIDES), np.uint8), np.zeros(self._clusters, np.uint8)
        np.minimum.at(low, cluster, sides)
        np.maximum.at(high, cluster, sides)
        return low, high

    def _entries(self) -> pl.DataFrame:
        """What is not recorded yet of the rows that are kept, and of their groups."""
        frame = self.frame
        kept = ~self._is_refused()
        unknown = kept & (frame["by_id"].is_null() | frame["by_text"].is_null())
        whole = self._whole()
        touched = np.zeros(int(whole.max(initial=0)) + 1, bool)
        touched[whole[unknown.to_numpy()]] = True
        rows = (
            frame.select("text", "example", "side", "how", "by_id", "by_text")
            .with_columns(unknown.alias("unknown"), pl.Series("whole", whole))
            .filter(kept & pl.Series(touched[whole]))
            .sort("text", "example")
        )
        codes, firsts = _numbered(rows["whole"].to_numpy())
        smallest = rows["text"].gather(pl.Series(firsts)).gather(pl.Series(codes))
        own = rows.select(
            pl.lit("row").alias("kind"),
            pl.col("text").alias("key"),
            "example",
            "side",
            pl.when(pl.col("by_id").is_not_null())
            .then(pl.lit("same_row"))
            .when(pl.col("by_text").is_not_null())
            .then(pl.lit("same_text"))
            .otherwise(pl.col("how").cast(pl.String))
            .alias("rule"),
            pl.when(smallest != pl.col("text")).then(smallest).alias("cluster"),
        ).filter(rows["unknown"])
        groups = (
            frame.lazy()
            .filter(kept & pl.col("group").is_not_null() & pl.col("group_entry").is_null())
            .group_by("group")
            .agg(pl.col("side").first(), (pl.col("how") == "stratified").all().alias("is_new"))
            .sort("group")
            .select(
                pl.lit("group").alias("kind"),
                pl.col("group").alias("key"),
                pl.lit(None, ROW).alias("example"),
                "side",
                pl.when("is_new").then(pl.lit("stratified")).otherwise(pl.lit("joined")).alias("rule"),
                pl.lit(None, TEXT).alias("cluster"),
            )
            .collect()
        )
        return pl.concat([own, groups])


def _look_up(keys: pl.Series, known: pl.DataFrame) -> pl.Series:
    """The side of each key, by the key in the first column and the side in the second; null where it is not known."""
    name = known.columns[0]
    found = keys.alias(name).to_frame().join(known, on=name, how="left", maintain_order="left")
    if found.height > len(keys):  # a text that several rows have, or a row that has had several texts
        return _look_up(keys, known.unique(name, keep="first", maintain_order=True))
    return found["side"]


def _numbered(
    values: npt.NDArray[np.integer],
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Each value as a number, from 0 in the order of first appearance; and the place where each first appears."""
    places = np.arange(len(values))
    first = np.zeros(int(values.max(initial=0)) + 1, np.int64)
    first[values[::-1]] = places[::-1]
    mine = first[values]
    is_first = mine == places
    return (np.cumsum(is_first) - 1)[mine], np.flatnonzero(is_first)


def _bit(side: pl.Expr) -> pl.Expr:
    """A split as a bit of `sides`."""
    return side.replace_strict({place: 1 << place for place in range(len(SIDES))}, return_dtype=pl.UInt8)


def ranks(texts: pl.Series, salt: str) -> npt.NDArray[np.uint64]:
    """A number for each text key, scattered by the salt."""
    seed = np.frombuffer(hashlib.sha256(salt.encode()).digest()[:16], np.uint64)
    high, low = halves(texts)
    return mixed(mixed(high ^ seed[0]) ^ low ^ seed[1])


class _Contest:
    """The clusters that are on several sides: few rows, looked at one by one with all that links them.

    Rows with one text go together; texts are linked by the groups of their rows, and as near duplicates. Plain numbers
    stand for the texts (`text`), for the rows (`row`) and for the groups.

    Args:
        table: all rows.
        places: of those rows.
        pairs: of near duplicates among them.
    """

    def __init__(self, table: _Table, places: npt.NDArray[np.integer], pairs: pl.DataFrame) -> None:
        rows = table.frame[places]
        self._table = table
        self._places = places
        self._side: list[int | None] = rows["side"].to_list()
        self._how: list[str | None] = rows["how"].to_list()
        self._sides: list[int | None] = rows["sides"].to_list()
        self._examples: list[int] = rows["example"].to_list()
        self._clusters: list[int] = rows["cluster"].to_list()
        # In the order of the keys, so that no order of rows counts.
        number = {key: text for text, key in enumerate(rows["text"].unique().sort())}
        self._text = [number[key] for key in rows["text"]]
        self._rows: list[list[int]] = [[] for _ in number]
        for row, text in enumerate(self._text):
            self._rows[text].append(row)
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

    def settle(self) -> None:
        """Decide on each of these rows, and see which parts their clusters fall into."""
        self._part_recorded()
        self._spread()
        self._table.update(
            self._places,
            pl.DataFrame(
                {
                    "side": pl.Series(self._side, dtype=pl.UInt8),
                    "how": pl.Series(self._how, dtype=HOW),
                    "sides": pl.Series(self._sides, dtype=pl.UInt8),
                    "part": pl.Series(self._parts(), dtype=pl.UInt32),
                }
            ),
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
                    self._refuse(self._kept(text), "near_duplicate_across_splits", {side, keeps})

    def _spread(self) -> None:
        """New texts go to the side of what they are linked to, test first, and on from there; those that are linked to
        several sides are quarantined, and lead no further."""
        new = {text for text, rows in enumerate(self._rows) if all(self._how[row] is None for row in rows)}
        members: dict[int, set[int]] = {}
        for text in new:
            for group in self._groups[text]:
                members.setdefault(group, set()).add(text)
        touched = {text: self._touched(text) for text in new}
        while True:
            for text in [text for text in new if len(touched[text]) > 1]:
                self._refuse(self._rows[text], "bridges_splits", touched[text])
                new.discard(text)
            ready = {text: min(touched[text]) for text in new if touched[text]}
            if not ready:
                return
            side = min(ready.values())
            reached: set[int] = set()
            for text in [text for text, found in ready.items() if found == side]:
                new.discard(text)
                self._at[text] = side
                for row in self._rows[text]:
                    self._side[row], self._how[row] = side, "joined"
                reached |= self._near[text]
                for group in self._groups[text]:
                    if self._group_side.setdefault(group, side) == side:
                        reached |= members[group]
            touched |= {text: self._touched(text) for text in reached & new}

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

    def _kept(self, text: int) -> list[int]:
        return [row for row in self._rows[text] if self._how[row] not in REASONS]

    def _refuse(self, rows: Sequence[int], rule: str, sides: set[int]) -> None:
        for row in rows:
            self._how[row], self._sides[row] = rule, sum(1 << side for side in sides)
