"""Which split each row is in: what the ledger says, and for new rows what follows from it.

1. A row whose id or text is recorded is in that split, for good.
2. A new row of a source that is for one split is in that one.
3. A new row whose cluster has such members on one side goes to that side.
4. Clusters with none are dealt out as the shares say, evenly by label (`stratify`), or by their time (`periods`).

Rows that cannot be where they belong without a leak are quarantined, and not recorded:

- `bridges_splits`: a new row that belongs together with rows of several splits;
- `text_across_splits`, `group_across_splits`, `near_duplicate_across_splits`: a row that is recorded, or of a source
  that is for one split, whose text, group or near duplicate is on another side (sources for two splits hold the same;
  the cleaning or a group has changed; splits were made before near duplicates were looked for). A group's rows stay on
  the side of the group; near duplicates stay in test, else in validation.
- `source_for_other_split`: a recorded row whose source is now for another split;
- `split_is_closed`: a new row that would join a split of share 0, which has the rows of its sources alone;
- `test_is_locked`: a new row that only a locked test set could take;
- `newer_than_its_split`, `without_time`: where splits go by time, a new row that would join a split and is from the
  time of a later one; one of which no time is known.

The same rows and entries give the same result in whatever order they come, and with what was recorded in between. Not
here: reading and writing the ledger (`chain`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ft_assets.data.ledger.contest import Contest
from ft_assets.data.ledger.entries import SIDES, Entries
from ft_assets.data.ledger.keys import GROUP, ROW, TEXT, halves
from ft_assets.data.ledger.periods import Boundaries
from ft_assets.data.ledger.reasons import HOW, KIND, PLACED, REASONS, TEST, TRAIN
from ft_assets.data.ledger.stratify import mixed, stratify

__all__ = ["ROWS", "Assignment", "assign", "imported", "look_up"]

ROWS = {
    "example": ROW,
    "text": TEXT,
    "group": GROUP,
    "cluster": pl.UInt32,
    "stratum": pl.UInt32,
    "time": pl.Int64,
    "meant": pl.UInt8,
}
"""The columns of the rows: keys (`keys`); the cluster, and what is to be spread evenly, as numbers; the time in
microseconds; the place in `SIDES` of the split that the row's source is for. The last two may be null."""


@dataclass(frozen=True)
class Assignment:
    """What becomes of the rows, one line for each, in their order.

    Attributes:
        rows: `side` (place in `SIDES`; of a quarantined row the one that it was recorded in, null for a new one),
            `how` (recorded, meant, joined, stratified, by_time, or a rule of `REASONS`), `sides` (of a quarantined row:
            the splits that its reason names) and `part` (where a cluster falls apart because rows of it are
            quarantined: a number for each part; else null). `sides` has a bit for each split, by its place in `SIDES`.
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
    periods: Boundaries | None = None,
    new_in_test: bool = True,
) -> Assignment:
    """Assign every row.

    Args:
        rows: `ROWS`.
        entries: What is recorded.
        pairs_among: Takes places of rows; gives `a`, `b`: those of their examples that are near duplicates. It is asked
            where a cluster is on several sides, since there it matters what it is made of.
        shares: Of `SIDES`, adding up to 1. Nothing new joins a split of share 0.
        salt: Goes into the draw of new clusters.
        periods: Deals new clusters by their time instead.
        new_in_test: Whether new clusters may go to test.
    """
    table = _Table(rows, entries, periods)
    closed = {side for side, share in enumerate(shares) if not share}
    if not new_in_test:
        table.keep_locked()
    if periods is not None:
        table.refuse_untimely()
    table.settle_groups()
    contested = table.contested(closed)
    if len(contested):
        contest = Contest(table.frame[contested], pairs_among(contested), closed)
        table.update(contested, contest.settled())
    table.join()
    if periods is not None:
        table.deal(new_in_test=new_in_test)
    else:
        table.draw(shares if new_in_test else [0.0, *shares[1:]], salt)
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
        pl.lit("row", KIND).alias("kind"),
        pl.col("text").alias("key"),
        "example",
        "side",
        pl.lit("imported", HOW).alias("rule"),
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
            pl.lit("group", KIND).alias("kind"),
            pl.col("group").alias("key"),
            pl.lit(None, ROW).alias("example"),
            "side",
            pl.lit("imported", HOW).alias("rule"),
            pl.lit(None, TEXT).alias("cluster"),
        )
    )
    return pl.concat([own, groups])


class _Table:
    """The rows with what is known of each so far.

    Columns beside those of the rows: `by_id`, `by_text`, `group_entry` as recorded, `of_group` (the side of its group),
    `period` (the side that it is from the time of; null where splits do not go by time), and `side`, `how`, `sides`,
    `part` as in `Assignment`. The wide columns are never joined: 5 million rows take
    300 MB here.
    """

    def __init__(self, rows: pl.DataFrame, entries: Entries, periods: Boundaries | None) -> None:
        by_id = look_up(rows["example"], entries.rows.select("example", "side"))
        by_text = look_up(rows["text"], entries.rows.select("text", "side"))
        of_group = look_up(rows["group"], entries.groups)
        clash = (by_id != by_text).fill_null(False)
        known = by_id.zip_with(by_id.is_not_null(), by_text)
        elsewhere = (known != rows["meant"]).fill_null(False)
        side = known.zip_with(known.is_not_null(), rows["meant"])
        self.frame = rows.with_columns(
            by_id.alias("by_id"),
            by_text.alias("by_text"),
            of_group.alias("group_entry"),
            of_group.alias("of_group"),
            side.alias("side"),
            pl.when(clash)
            .then(pl.lit("text_across_splits", HOW))
            .when(elsewhere)
            .then(pl.lit("source_for_other_split", HOW))
            .when(known.is_not_null())
            .then(pl.lit("recorded", HOW))
            .when(side.is_not_null())
            .then(pl.lit("meant", HOW))
            .alias("how"),
            pl.lit(None, pl.UInt32).alias("part"),
            (pl.lit(None, pl.UInt8) if periods is None else periods.side(pl.col("time"))).alias("period"),
        ).with_columns(
            pl.when(clash)
            .then(_bit(pl.col("by_id")) | _bit(pl.col("by_text")))
            .when(elsewhere)
            .then(_bit(pl.col("side")) | _bit(pl.col("meant")))
            .alias("sides")
        )
        self._clusters = int(rows["cluster"].max() or 0) + 1  # type: ignore[arg-type]

    def keep_locked(self) -> None:
        """Rows of a source for test are refused, since the test set is locked and they are not in it."""
        self._refuse(
            (pl.col("how") == "meant") & (pl.col("side") == TEST), "test_is_locked", _bit(pl.lit(TEST))
        )

    def refuse_untimely(self) -> None:
        """New rows are refused that have a text of an earlier split, as new answers to its prompts do; and those
        without a time, since nobody knows which period they are from."""
        known_text = (pl.col("how") == "recorded") & pl.col("by_id").is_null()
        late = known_text & (pl.col("period") < pl.col("side"))
        self._refuse(late, "newer_than_its_split", _bit(pl.col("period")))
        timeless = pl.col("how").is_null() & pl.col("period").is_null()
        self._refuse(timeless, "without_time", pl.lit(0, pl.UInt8))

    def settle_groups(self) -> None:
        """The side of each group: as recorded, else that of its rows that have one, test before all others; where rows
        of it are of sources that are for a split, that one, if it comes before. Rows on another side are quarantined.
        """
        placed = pl.col("how").is_in(PLACED).fill_null(False)
        counts = placed & (pl.col("of_group").is_null() | pl.col("meant").is_not_null())
        seen = (
            self.frame.lazy()
            .filter(counts & pl.col("group").is_not_null())
            .group_by("group")
            .agg(pl.col("side").min())
            .collect()
        )
        if seen.height:
            of_rows = look_up(self.frame["group"], seen).alias("of_rows")
            self.frame = self.frame.with_columns(pl.min_horizontal("of_group", of_rows).alias("of_group"))
        astray = (placed & (pl.col("side") != pl.col("of_group"))).fill_null(False)
        self.frame = self.frame.with_columns(
            pl.when(astray).then(pl.lit("group_across_splits", HOW)).otherwise("how").alias("how"),
            pl.when(astray)
            .then(_bit(pl.col("side")) | _bit(pl.col("of_group")))
            .otherwise("sides")
            .alias("sides"),
        )

    def contested(self, closed: Set[int]) -> npt.NDArray[np.integer]:
        """Places of the rows of clusters that are on several sides, or on one that new rows of them cannot join: it is
        closed, or they are from the time of a later one. Without those quarantined already."""
        low, high = self._cluster_sides()
        cluster = self.frame["cluster"].to_numpy()
        is_contested = low < high
        period = self.frame["period"].fill_null(TRAIN).to_numpy()
        barred = np.isin(low, list(closed))[cluster] | (period < low[cluster])
        barred &= (low <= high)[cluster] & self._is_new().to_numpy()
        is_contested[cluster[barred]] = True
        usable = self._is_new() | self._is_placed()
        return np.flatnonzero(is_contested[cluster] & usable.to_numpy())

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

    def deal(self, *, new_in_test: bool) -> None:
        """Clusters with nothing recorded, and parts that others have left over, go where their newest row does."""
        new = pl.col("how").is_null()
        newest = pl.when(new).then("period").min().over("whole")
        self.frame = (
            self.frame.with_columns(pl.Series("whole", self._whole()))
            .with_columns(
                pl.when(new).then(newest).otherwise("side").alias("side"),
                pl.when(new).then(pl.lit("by_time", HOW)).otherwise("how").alias("how"),
            )
            .drop("whole")
        )
        if not new_in_test:
            at_test = (pl.col("how") == "by_time") & (pl.col("side") == TEST)
            self._refuse(at_test, "test_is_locked", _bit(pl.col("side")))

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
        # The shares are of the rows that are drawn: not of those whose split is told.
        kept = self.frame["how"].is_not_null() & ~self._is_refused() & self.frame["meant"].is_null()
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

    def _is_placed(self) -> pl.Series:
        return self.frame["how"].is_in(PLACED).fill_null(False)

    def _refuse(self, which: pl.Expr, rule: str, sides: pl.Expr) -> None:
        """Quarantine rows that are in no split; the reason names these splits."""
        which = which.fill_null(False)
        self.frame = self.frame.with_columns(
            pl.when(which).then(None).otherwise("side").alias("side"),
            pl.when(which).then(pl.lit(rule, HOW)).otherwise("how").alias("how"),
            pl.when(which).then(sides).otherwise("sides").alias("sides"),
        )

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
            self._is_placed(),
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
            pl.lit("row", KIND).alias("kind"),
            pl.col("text").alias("key"),
            "example",
            "side",
            pl.when(pl.col("by_id").is_not_null())
            .then(pl.lit("same_row", HOW))
            .when(pl.col("by_text").is_not_null())
            .then(pl.lit("same_text", HOW))
            .otherwise("how")
            .alias("rule"),
            pl.when(smallest != pl.col("text")).then(smallest).alias("cluster"),
        ).filter(rows["unknown"])
        groups = (
            frame.lazy()
            .filter(kept & pl.col("group").is_not_null() & pl.col("group_entry").is_null())
            .group_by("group")
            .agg(pl.col("side").first(), pl.col("how").first(), pl.col("how").n_unique().alias("ways"))
            .sort("group")
            .select(
                pl.lit("group", KIND).alias("kind"),
                pl.col("group").alias("key"),
                pl.lit(None, ROW).alias("example"),
                "side",
                pl.when((pl.col("ways") == 1) & (pl.col("how") != "recorded"))
                .then("how")
                .otherwise(pl.lit("joined", HOW))
                .alias("rule"),
                pl.lit(None, TEXT).alias("cluster"),
            )
            .collect()
        )
        return pl.concat([own, groups])


def look_up(keys: pl.Series, known: pl.DataFrame) -> pl.Series:
    """The side of each key, by the key in the first column and the side in the second; null where it is not known."""
    name = known.columns[0]
    found = keys.alias(name).to_frame().join(known, on=name, how="left", maintain_order="left")
    if found.height > len(keys):  # a text that several rows have, or a row that has had several texts
        return look_up(keys, known.unique(name, keep="first", maintain_order=True))
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
