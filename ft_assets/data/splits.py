"""The splits: train, validation and test as a pure function of each row's cluster key and the settings.

The salted SHA-256 of the key is a number in [0, 1): below `test` is test, the next `validation` is
validation, the rest is train. So the split of a row depends on nothing but its cluster: not on its label, on
other rows or on their order; and another `validation` share moves rows between train and validation only.
What follows:

- A row never moves when rows are added, except a text that later turns up under a smaller group: a text
  stands in one cluster, and its duplicates are kept under the smallest of their groups.
- Shares are met on average over clusters, not exactly, and labels are not stratified; the summary says how
  far off they are. With few or very unequal clusters, choose another salt once, before the first training.

Not here: a ledger that remembers splits; checks (`contracts`).
"""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.config import SplitsConfig
from ft_assets.data.examples import SPLIT_SCHEMA, StageTables, conform, counts, from_polars, to_polars
from ft_assets.data.merging import keep_by_id
from ft_assets.data.texts import answer_lengths
from ft_assets.spill import Spill, slices

__all__ = ["SPLITS", "split", "split_of", "uniform"]

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


def split(table: pa.Table, config: SplitsConfig, *, classes: bool = True) -> dict[SplitName, StageTables]:
    """Assign labelled examples to splits.

    Args:
        table: `LABELED_SCHEMA` rows.
        config: Shares and salt.
        classes: Whether labels are classes, which are counted; answers are not.

    Returns:
        `SPLIT_SCHEMA` rows of each split. `rows_in` of a summary is what came into this split; `rows_of_all`
        what came into all three. Further: `share` of all rows, `clusters`, `labels` (rows by label),
        `label_shares`, `overall_label_shares`, and `largest_deviation` (split, label, and share minus overall
        share, the largest of this split in size). These four only where labels are classes; else `answer_lengths`.
    """
    parts = {name: Spill(SPLIT_SCHEMA) for name in SPLITS}
    for slice_ in slices(table):
        rows = to_polars(conform(slice_, SPLIT_SCHEMA))
        where = pl.Series([split_of(key, config) for key in rows["cluster"]], dtype=pl.String)
        for name, part in parts.items():
            part.add(from_polars(rows.filter(where == name), SPLIT_SCHEMA, sort=False))
    return {name: _tables(name, keep_by_id(part.table()), table, classes) for name, part in parts.items()}


def split_of(cluster: str, config: SplitsConfig) -> SplitName:
    """The split of a cluster key."""
    place = uniform(cluster, config.salt)
    if place < config.test:
        return "test"
    return "validation" if place < config.test + config.validation else "train"


def uniform(cluster: str, salt: str) -> float:
    """A number in [0, 1) from SHA-256 over the length-prefixed salt and the key."""
    encoded = salt.encode()
    digest = hashlib.sha256(b"%d:%b%b" % (len(encoded), encoded, cluster.encode())).digest()
    # 53 bits are what a float holds: the quotient is exact and below 1.
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53


def _tables(name: SplitName, part: pa.Table, rows: pa.Table, classes: bool) -> StageTables:
    tables = StageTables(part)
    summary = counts(part.num_rows, part, tables.quarantine, tables.merged) | {
        "rows_of_all": rows.num_rows,
        "share": round(part.num_rows / rows.num_rows, 6) if rows.num_rows else 0.0,
        "clusters": pc.count_distinct(part["cluster"]).as_py(),
    }
    own = _balance(name, part, rows) if classes else {"answer_lengths": answer_lengths(part)}
    return StageTables(part, summary=summary | own)


def _balance(name: SplitName, part: pa.Table, rows: pa.Table) -> dict[str, Any]:
    """How the labels are spread over this split, and over all rows."""
    overall, own = _labels(rows), _labels(part)
    overall_shares = _shares(overall)
    shares = _shares({label: own.get(label, 0) for label in overall})
    return {
        "labels": {label: own.get(label, 0) for label in overall},
        "label_shares": shares,
        "overall_label_shares": overall_shares,
        "largest_deviation": _largest_deviation(name, shares, overall_shares),
    }


def _labels(rows: pa.Table) -> dict[str, int]:
    tally = pc.value_counts(rows["label"]).to_pylist()
    return {entry["values"]: entry["counts"] for entry in sorted(tally, key=lambda entry: entry["values"])}


def _shares(labels: dict[str, int]) -> dict[str, float]:
    total = sum(labels.values())
    return {label: round(count / total, 6) if total else 0.0 for label, count in labels.items()}


def _largest_deviation(
    name: SplitName, shares: dict[str, float], overall: dict[str, float]
) -> dict[str, Any] | None:
    if not overall:
        return None
    label = max(overall, key=lambda each: abs(shares[each] - overall[each]))
    return {"split": name, "label": label, "deviation": round(shares[label] - overall[label], 6)}
