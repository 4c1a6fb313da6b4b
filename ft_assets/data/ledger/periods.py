"""Splits by time: from which moment on rows are for validation, and from which for test.

A cluster belongs to the period of its newest row: nothing of the future may be learnt. The two boundaries are set, or
follow from the shares when rows are first dealt by time; they are recorded then and hold for good, as the splits do.
With boundaries that moved along with the rows, train would get rows that are newer than test rows of before.

Not here: which rows are dealt (`assignment`); what a time is (`ft_assets.data.times`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.entries import SIDES
from ft_assets.data.times import iso, microseconds
from ft_assets.errors import UserError

__all__ = ["Boundaries", "by_shares", "recorded"]

TEST, VALIDATION, TRAIN = range(len(SIDES))


@dataclass(frozen=True)
class Boundaries:
    """Where the periods begin, in microseconds since 1970 in UTC; None: there is no such period.

    Attributes:
        validation_from: What is older is for train.
        test_from: What is as new or newer is for test.
    """

    validation_from: int | None = None
    test_from: int | None = None

    def side(self, time: pl.Expr) -> pl.Expr:
        """The place in `SIDES` of what is from this time."""
        test_from, validation_from = (
            pl.lit(each, pl.Int64) for each in (self.test_from, self.validation_from)
        )
        return (
            pl.when(time >= test_from)
            .then(pl.lit(TEST, pl.UInt8))
            .when(time >= validation_from)
            .then(pl.lit(VALIDATION, pl.UInt8))
            .when(time.is_not_null())
            .then(pl.lit(TRAIN, pl.UInt8))
        )

    def as_dict(self) -> dict[str, str]:
        """Plain JSON, in ISO 8601."""
        named = {"validation_from": self.validation_from, "test_from": self.test_from}
        return {name: iso(begins) for name, begins in named.items() if begins is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, str | None]) -> Boundaries:
        """What `as_dict` gave, or settings say."""
        return cls(*(microseconds(values.get(name) or "") for name in ("validation_from", "test_from")))

    def __bool__(self) -> bool:
        return self != Boundaries()


def recorded(ledger: Ledger) -> Boundaries:
    """Those by which the ledger's rows were dealt; without any where none were."""
    found = [segment.record.get("boundaries") for segment in ledger.of_kind("entries")]
    return Boundaries.from_dict(next((each for each in found if each), {}))


def by_shares(
    cluster: npt.NDArray[np.integer], time: npt.NDArray[np.int64], shares: Mapping[str, float]
) -> Boundaries:
    """The boundaries that bring the shares nearest to what is wished: the newest clusters are for test, those before
    them for validation.

    Args:
        cluster: Of each row, as numbers from 0 on.
        time: Of each row, in microseconds.
        shares: Of rows, by `test` and `validation`; a split of share 0 has no period.

    Raises:
        UserError: there are fewer different times than periods.
    """
    wanted = [name for name in ("test", "validation") if shares[name]]
    if not len(time) or not wanted:
        return Boundaries()
    newest = np.full(int(cluster.max()) + 1, np.iinfo(np.int64).min)
    np.maximum.at(newest, cluster, time)
    moments, rows = np.unique(newest[cluster], return_counts=True)
    if len(moments) <= len(wanted):
        raise UserError(
            f"the clusters have {len(moments)} different times, and {len(wanted) + 1} splits want one each",
            where="columns.time",
            do="name a column that tells the rows' times more finely, or set `splits: {by: random}`",
        )
    since = np.cumsum(rows[::-1])[::-1]  # rows from each moment on
    found: dict[str, int] = {}
    wish, end = 0.0, len(moments)
    for place, name in enumerate(wanted):
        wish += shares[name] * len(time)
        first = len(wanted) - place  # a moment is left for each period before
        end = first + int(np.argmin(np.abs(since[first:end] - wish)))
        found[f"{name}_from"] = int(moments[end])
    return Boundaries(found.get("validation_from"), found.get("test_from"))
