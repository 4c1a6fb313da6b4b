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
from ft_assets.data.ledger.keys import GROUP, ROW, TEXT
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


@dataclass(frozen=True)
class Assignment:
    """What becomes of the rows, one line for each, in their order.

    Attributes:
        rows: `side` (place in `SIDES`; of a quarantined row the one that it was recorded in, null for a new one),
            `how` (recorded, joined, stratified, or a rule of `REASONS`), `sides` (of a quarantined row: the splits
            that its reason names) and `part` (where a cluster falls apart because rows of it are quarantined: a number
            for each part; else null).
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
    """The rows with what is known of each so far: `by_id`, `by_text` and `of_group` as recorded, `side`, `how`."""

    def __init__(self, rows: pl.DataFrame, entries: Entries) -> None:
        ids = entries.rows.select("example", pl.col("side").alias("by_id")).unique("example", keep="first")
        texts = entries.rows.select("text", pl.col("side").alias("by_text")).unique("text", keep="first")
        groups = entries.groups.select("group", pl.col("side").alias("of_group")).unique(
            "group", keep="first"
        )
        self.frame = (
            rows.join(ids, on="example", how="left", maintain_order="left")
            .join(texts, on="text", how="left", maintain_order="left")
            .join(groups, on="group", how="left", maintain_order="left")
        )
        clash = (pl.col("by_id") != pl.col("by_text")).fill_null(False)
        self.frame = self.frame.with_columns(
            pl.coalesce("by_id", "by_text").alias("side"),
            pl.when(clash)
            .then(pl.lit("text_across_splits"))
            .when(pl.coalesce("by_id", "by_text").is_not_null())
            .then(pl.lit("recorded"))
            .alias("how"),
            pl.when(clash).then(pl.concat_list("by_id", "by_text")).alias("sides"),
            pl.lit(None, pl.UInt32).alias("part"),
            pl.col("of_group").alias("group_entry"),
        )

    def settle_groups(self) -> None:
        """The side of each group: as recorded, else that of its recorded rows, test before all others. Recorded rows
        on another side are quarantined."""
        seen = (
            self.frame.filter((pl.col("how") == "recorded") & pl.col("of_group").is_null())
            .drop_nulls("group")
            .group_by("group")
            .agg(pl.col("side").min().alias("of_rows"))
        )
        self.frame = (
            self.frame.join(seen, on="group", how="left", maintain_order="left")
            .with_columns(pl.coalesce("of_group", "of_rows").alias("of_group"))
            .drop("of_rows")
        )
        astray = ((pl.col("how") == "recorded") & (pl.col("side") != pl.col("of_group"))).fill_null(False)
        self.frame = self.frame.with_columns(
            pl.when(astray).then(pl.lit("group_across_splits")).otherwise(pl.col("how")).alias("how"),
            pl.when(astray)
            .then(pl.concat_list("side", "of_group"))
            .otherwise(pl.col("sides"))
            .alias("sides"),
        )

    def cluster_sides(self) -> pl.DataFrame:
        """The sides of each cluster that has any, by what is kept of it and by its groups."""
        own = pl.when(pl.col("how") == "recorded").then(pl.col("side"))
        new = pl.when(pl.col("how").is_null()).then(pl.col("of_group"))
        known = self.frame.select("cluster", pl.coalesce(own, new).alias("known")).drop_nulls()
        return known.group_by("cluster").agg(
            pl.col("known").min().alias("low"), pl.col("known").max().alias("high")
        )

    def contested(self) -> npt.NDArray[np.integer]:
        """Places of the rows of clusters that are on several sides, without those quarantined already."""
        several = self.cluster_sides().filter(pl.col("low") != pl.col("high"))
        usable = pl.col("how").is_null() | (pl.col("how") == "recorded")
        within = self.frame.with_row_index("place").filter(
            usable & pl.col("cluster").is_in(several["cluster"].implode())
        )
        return within["place"].to_numpy()

    def update(self, places: npt.NDArray[np.integer], values: pl.DataFrame) -> None:
        """Set side, how, sides and part of some rows."""
        index = pl.Series("place", places, dtype=pl.UInt32)
        self.frame = (
            self.frame.with_row_index("place").update(values.with_columns(index), on="place").drop("place")
        )

    def join(self) -> None:
        """New rows of clusters that are on one side go there, those of contested ones are settled already."""
        sides = self.cluster_sides().select("cluster", pl.col("low").alias("of_cluster"))
        self.frame = self.frame.join(sides, on="cluster", how="left", maintain_order="left")
        joins = pl.col("how").is_null() & pl.col("part").is_null() & pl.col("of_cluster").is_not_null()
        self.frame = self.frame.with_columns(
            pl.when(joins).then(pl.col("of_cluster")).otherwise(pl.col("side")).alias("side"),
            pl.when(joins).then(pl.lit("joined")).otherwise(pl.col("how")).alias("how"),
        ).drop("of_cluster")

    def draw(self, shares: Sequence[float], salt: str) -> None:
        """Clusters with nothing recorded, and parts that others have left over, are dealt out."""
        frame = self.frame.with_row_index("place")
        new = frame.filter(pl.col("how").is_null()).select("place", "text", "cluster", "part", "stratum")
        if not new.height:
            return
        # In the order of the texts, a cluster's first row is that of its smallest one: no order of rows counts.
        new = new.sort("text")
        same = pl.struct("cluster", "part") if new["part"].null_count() < new.height else pl.col("cluster")
        firsts = new.select(same.alias("same"), "text").unique("same", keep="first", maintain_order=True)
        codes = new.select(same.alias("same")).join(
            firsts.select("same").with_row_index("code"), on="same", how="left", maintain_order="left"
        )["code"]
        strata = int(frame["stratum"].max() or 0) + 1  # type: ignore[arg-type]
        kept = frame.filter(pl.col("how").is_in(["recorded", "joined"]))
        cells = kept["side"].to_numpy().astype(np.int64) * strata + kept["stratum"].to_numpy()
        tally = np.bincount(cells, minlength=len(SIDES) * strata).reshape(len(SIDES), strata)
        drawn = stratify(
            codes.to_numpy(), new["stratum"].to_numpy(), ranks(firsts["text"], salt), tally, shares
        )
        sides = pl.Series("side", drawn).gather(codes)
        found = new.select("place").with_columns(sides).sort("place")
        side = frame["side"].scatter(found["place"], found["side"])
        how = pl.when(pl.col("how").is_null()).then(pl.lit("stratified")).otherwise(pl.col("how"))
        self.frame = self.frame.with_columns(side.alias("side"), how.alias("how"))

    def assignment(self) -> Assignment:
        return Assignment(self.frame.select("side", "how", "sides", "part"), self._entries())

    def _entries(self) -> pl.DataFrame:
        """What is not recorded yet of the rows that are kept, and of their groups."""
        kept = self.frame.filter(pl.col("how").is_in(["recorded", "joined", "stratified"]))
        within = ["cluster"] if kept["part"].null_count() == kept.height else ["cluster", "part"]
        firsts = kept.group_by(within).agg(pl.col("text").min().alias("smallest"))
        unknown = kept.filter(pl.col("by_id").is_null() | pl.col("by_text").is_null()).join(
            firsts, on=within, nulls_equal=True
        )
        rule = (
            pl.when(pl.col("by_id").is_not_null())
            .then(pl.lit("same_row"))
            .when(pl.col("by_text").is_not_null())
            .then(pl.lit("same_text"))
            .otherwise(pl.col("how"))
        )
        own = unknown.sort("text", "example").select(
            pl.lit("row").alias("kind"),
            pl.col("text").alias("key"),
            "example",
            "side",
            rule.alias("rule"),
            pl.when(pl.col("smallest") != pl.col("text")).then("smallest").alias("cluster"),
        )
        groups = (
            kept.filter(pl.col("group").is_not_null() & pl.col("group_entry").is_null())
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
        )
        return pl.concat([own, groups])


def ranks(texts: pl.Series, salt: str) -> npt.NDArray[np.uint64]:
    """A number for each text key, scattered by the salt."""
    seed = np.frombuffer(hashlib.sha256(salt.encode()).digest()[:16], np.uint64)
    high = texts.to_frame("t").select((pl.col("t") // 2**64).cast(pl.Int64))["t"].to_numpy().view(np.uint64)
    low = texts.to_frame("t").select((pl.col("t") % 2**64).cast(pl.UInt64))["t"].to_numpy()
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
        self._sides: list[list[int] | None] = rows["sides"].to_list()
        self._examples: list[int] = rows["example"].to_list()
        self._clusters: list[int] = rows["cluster"].to_list()
        self._texts: list[tuple[str, int]] = [("text", text) for text in rows["text"]]
        self._groups = [None if group is None else ("group", group) for group in rows["group"]]
        self._hubs = [
            [text] if group is None else [text, group]
            for text, group in zip(self._texts, self._groups, strict=True)
        ]
        """What several rows may share: each is on one side, once one of them is."""
        self._side_of_hub: dict[tuple[str, int], int] = {
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
                    "how": pl.Series(self._how, dtype=pl.String),
                    "sides": pl.Series(self._sides, dtype=pl.List(pl.UInt8)),
                    "part": pl.Series(
                        [part if stays else None for stays, part in zip(kept, parts, strict=True)],
                        dtype=pl.UInt32,
                    ),
                }
            ),
        )

    def _part_recorded(self) -> None:
        """Recorded rows with one text, and near duplicates, on several sides: they stay in test, then in validation."""
        first: dict[tuple[str, int], int] = {}
        for row in self._with("recorded"):
            first[self._texts[row]] = min(first.get(self._texts[row], len(SIDES)), self._at(row))
        for row in self._with("recorded"):
            if first[self._texts[row]] < self._at(row):
                self._refuse(row, "text_across_splits", [self._at(row), first[self._texts[row]]])
        for keeps in range(len(SIDES)):
            stay = {row for row in self._with("recorded") if self._at(row) == keeps}
            for row in self._with("recorded"):
                if self._at(row) > keeps and not stay.isdisjoint(self._near[row]):
                    self._refuse(row, "near_duplicate_across_splits", [self._at(row), keeps])
        for row in self._with("recorded"):
            self._side_of_hub[self._texts[row]] = self._at(row)

    def _spread(self) -> None:
        """New rows go to the side of what they are linked to, test first, and on from there; those that are linked to
        several sides are quarantined, and lead no further."""
        pending = set(self._with(None))
        sharing: dict[tuple[str, int], list[int]] = {}
        for row in pending:
            for hub in self._hubs[row]:
                sharing.setdefault(hub, []).append(row)
        touched = {row: self._touched(row) for row in pending}
        while True:
            for row in [row for row in pending if len(touched[row]) > 1]:
                self._refuse(row, "bridges_splits", sorted(touched[row]))
                pending.discard(row)
            ready = {row: min(touched[row]) for row in pending if touched[row]}
            if not ready:
                return
            side = min(ready.values())
            reached: set[int] = set()
            for row in [row for row, found in ready.items() if found == side]:
                self._side[row], self._how[row] = side, "joined"
                pending.discard(row)
                reached.update(self._near[row])
                for hub in self._hubs[row]:
                    if self._side_of_hub.setdefault(hub, side) == side:
                        reached.update(sharing[hub])
            for row in reached & pending:
                touched[row] = self._touched(row)

    def _touched(self, row: int) -> set[int]:
        """The sides of what a new row is linked to."""
        near = {self._at(each) for each in self._near[row] if self._how[each] in ("recorded", "joined")}
        return near | {self._side_of_hub[hub] for hub in self._hubs[row] if hub in self._side_of_hub}

    def _refuse_all_new(self) -> None:
        sides: dict[int, set[int]] = {}
        for row, cluster in enumerate(self._clusters):
            known = {self._side_of_hub[hub] for hub in self._hubs[row] if hub in self._side_of_hub}
            sides.setdefault(cluster, set()).update(known)
        for row in self._with(None):
            self._refuse(row, "bridges_splits", sorted(sides[self._clusters[row]]))

    def _parts(self) -> list[int]:
        """What is still linked once rows are quarantined: the component of each row, by its smallest example."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        count = len(self._how)
        hubs: dict[tuple[str, int], int] = {}
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

    def _refuse(self, row: int, rule: str, sides: list[int]) -> None:
        self._how[row], self._sides[row] = rule, sides
