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
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ft_assets.data.ledger.chain import SIDES, Entries
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

Hub = tuple[str, int]
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
    shares: Sequence[float],
    *,
    salt: str = "",
    pairs: pl.DataFrame | None = None,
    new_in_test: bool = True,
) -> Assignment:
    """Assign every row.

    Args:
        rows: `ROWS`.
        entries: What is recorded.
        shares: Of `SIDES`, adding up to 1.
        salt: Goes into the draw of new clusters.
        pairs: `a`, `b`: examples that are near duplicates. None where only the clusters are known: then all new rows of
            a cluster that is on several sides are quarantined, since nothing tells which of them bridge.
        new_in_test: Whether new clusters may go to test.
    """
    table = _Table(rows, entries)
    table.settle_groups()
    contested = table.contested()
    if len(contested):
        _Contest(table, contested, pairs).settle()
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

    Rows are linked by their group, by an equal text, and as near duplicates.

    Args:
        table: all rows.
        places: of those rows.
        pairs: of near duplicates, or None.
    """

    def __init__(self, table: _Table, places: npt.NDArray[np.integer], pairs: pl.DataFrame | None) -> None:
        rows = table.frame[places]
        self._table = table
        self._places = places
        self._knows_pairs = pairs is not None
        self._side: list[int | None] = rows["side"].to_list()
        self._how: list[str | None] = rows["how"].to_list()
        self._is_own: list[bool] = rows["by_id"].is_not_null().to_list()
        self._sides: list[int | None] = rows["sides"].to_list()
        self._examples: list[int] = rows["example"].to_list()
        self._clusters: list[int] = rows["cluster"].to_list()
        self._texts: list[Hub] = [("text", text) for text in rows["text"]]
        self._groups = [None if group is None else ("group", group) for group in rows["group"]]
        self._hubs = [
            [text] if group is None else [text, group]
            for text, group in zip(self._texts, self._groups, strict=True)
        ]
        """What several rows may share: each is on one side, once one of them is."""
        self._side_of_hub: dict[Hub, int] = {
            group: side
            for group, side in zip(self._groups, rows["of_group"], strict=True)
            if group is not None and side is not None
        }
        self._near: list[list[int]] = [[] for _ in places]
        if pairs is not None:
            number = {example: place for place, example in enumerate(self._examples)}
            here = rows["example"].implode()
            for a, b in (
                pairs.select("a", "b").filter(pl.col("a").is_in(here) & pl.col("b").is_in(here)).rows()
            ):
                self._near[number[a]].append(number[b])
                self._near[number[b]].append(number[a])

    def settle(self) -> None:
        """Decide on each of these rows, and see which parts their clusters fall into."""
        self._part_recorded()
        if self._knows_pairs:
            self._spread()
        else:
            self._refuse_all_new()
        parts = self._parts()
        kept = [how not in REASONS for how in self._how]
        self._table.update(
            self._places,
            pl.DataFrame(
                {
                    "side": pl.Series(self._side, dtype=pl.UInt8),
                    "how": pl.Series(self._how, dtype=HOW),
                    "sides": pl.Series(self._sides, dtype=pl.UInt8),
                    "part": pl.Series(
                        [part if stays else None for stays, part in zip(kept, parts, strict=True)],
                        dtype=pl.UInt32,
                    ),
                }
            ),
        )

    def _part_recorded(self) -> None:
        """Recorded rows with one text, and near duplicates, on several sides: they stay in test, then in validation. Of
        a row that is new and only its text recorded, the others do not have to make way."""
        first: dict[Hub, int] = {}
        for row in self._with("recorded"):
            first[self._texts[row]] = min(first.get(self._texts[row], len(SIDES)), self._at(row))
        for row in self._with("recorded"):
            if first[self._texts[row]] < self._at(row):
                self._refuse(row, "text_across_splits", {self._at(row), first[self._texts[row]]})
        own = {row for row in self._with("recorded") if self._is_own[row]}
        for row in self._with("recorded"):
            beside = {self._at(each) for each in self._near[row] if each in own} | {self._at(row)}
            if row not in own and len(beside) > 1:
                self._refuse(row, "bridges_splits", beside)
        for keeps in range(len(SIDES)):
            stay = {row for row in self._with("recorded") if self._at(row) == keeps}
            for row in self._with("recorded"):
                if self._at(row) > keeps and not stay.isdisjoint(self._near[row]):
                    self._refuse(row, "near_duplicate_across_splits", {self._at(row), keeps})
        for row in self._with("recorded"):
            self._side_of_hub[self._texts[row]] = self._at(row)

    def _spread(self) -> None:
        """New texts go to the side of what they are linked to, test first, and on from there; those that are linked to
        several sides are quarantined with all of their rows, and lead no further."""
        pending: dict[Hub, list[int]] = {}
        sharing: dict[Hub, list[int]] = {}
        for row in self._with(None):
            pending.setdefault(self._texts[row], []).append(row)
            for hub in self._hubs[row]:
                sharing.setdefault(hub, []).append(row)
        touched = {text: self._touched(rows) for text, rows in pending.items()}
        while True:
            for text in [text for text in pending if len(touched[text]) > 1]:
                for row in pending.pop(text):
                    self._refuse(row, "bridges_splits", touched[text])
            ready = {text: min(touched[text]) for text in pending if touched[text]}
            if not ready:
                return
            side = min(ready.values())
            reached: set[int] = set()
            for text in [text for text, found in ready.items() if found == side]:
                for row in pending.pop(text):
                    self._side[row], self._how[row] = side, "joined"
                    reached.update(self._near[row])
                    for hub in self._hubs[row]:
                        if self._side_of_hub.setdefault(hub, side) == side:
                            reached.update(sharing[hub])
            for text in {self._texts[row] for row in reached} & pending.keys():
                touched[text] = self._touched(pending[text])

    def _touched(self, rows: Sequence[int]) -> set[int]:
        """The sides of what new rows are linked to."""
        hubs = {hub for row in rows for hub in self._hubs[row]}
        near = {each for row in rows for each in self._near[row] if self._how[each] in ("recorded", "joined")}
        return {self._side_of_hub[hub] for hub in hubs if hub in self._side_of_hub} | set(map(self._at, near))

    def _refuse_all_new(self) -> None:
        sides: dict[int, set[int]] = {}
        for row, cluster in enumerate(self._clusters):
            known = {self._side_of_hub[hub] for hub in self._hubs[row] if hub in self._side_of_hub}
            sides.setdefault(cluster, set()).update(known)
        for row in self._with(None):
            self._refuse(row, "bridges_splits", sides[self._clusters[row]])

    def _parts(self) -> list[int]:
        """What is still linked once rows are quarantined: the component of each row, by its smallest example."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self._how)
        hubs: dict[Hub, int] = {}
        edges: list[tuple[int, int]] = []
        for row in range(count):
            if self._how[row] in REASONS:
                continue
            edges += [(row, other) for other in self._near[row] if self._how[other] not in REASONS]
            edges += [(row, count + hubs.setdefault(hub, len(hubs))) for hub in self._hubs[row]]
        ends = np.array(edges, np.int64).reshape(-1, 2)
        nodes = count + len(hubs)
        graph = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(nodes, nodes))
        _, component = connected_components(graph, directed=False)
        numbers: dict[int, int] = {}
        for row in sorted(range(count), key=self._examples.__getitem__):
            numbers.setdefault(int(component[row]), len(numbers))
        return [numbers[int(component[row])] for row in range(count)]

    def _with(self, how: str | None) -> list[int]:
        return [row for row, each in enumerate(self._how) if each == how]

    def _at(self, row: int) -> int:
        side = self._side[row]
        assert side is not None  # noqa: S101 - asked of recorded and joined rows only
        return side

    def _refuse(self, row: int, rule: str, sides: set[int]) -> None:
        self._how[row], self._sides[row] = rule, sum(1 << side for side in sides)
