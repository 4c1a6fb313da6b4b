"""The relabel queue: the rows whose label a person should look at, the most suspicious first.

Here: which rows are judged, and the queue as a table. Not here: which labels are probably wrong (`label_errors`), the
model that judges them (`ft_assets.evaluation.out_of_fold`), files for annotation tools (`annotation`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.label_errors import find_label_errors
from ft_assets.spill import take

__all__ = ["QUEUE_SCHEMA", "codes_of", "drawn", "folds", "nothing_judged", "queue"]

QUEUE_SCHEMA = pa.schema(
    [
        ("rank", pa.int64()),
        ("example_id", pa.string()),
        ("text", pa.string()),
        ("label", pa.string()),
        ("suggested", pa.string()),
        ("score", pa.float64()),
        ("confidence", pa.float64()),
        ("disagreement", pa.float64()),
    ]
)
"""`score`: the probability of the given label, `confidence`: that of the suggested one, by a model that has not seen
the row, calibrated."""

_DIGITS = 4
_LISTED_PAIRS = 20


def drawn(table: pa.Table, most: int) -> pa.Table:
    """Rows of whole clusters, `most` of them at the most; all if there are no more.

    Clusters are taken in the order of a hash of their keys, so the draw does not depend on the order of the rows, and
    hardly on which others there are. One that is larger than the room that is left is passed over.
    """
    if table.num_rows <= most:
        return table
    codes, order, sizes = _in_hash_order(table["cluster"])
    taken = np.zeros(len(sizes), dtype=bool)
    left = most
    for cluster, size in zip(order.tolist(), sizes[order].tolist(), strict=True):
        if size <= left:
            taken[cluster], left = True, left - size
    return take(table, np.flatnonzero(taken[codes]))


def folds(clusters: pa.ChunkedArray, k: int) -> npt.NDArray[np.int64]:
    """The fold of each row, 0 to k - 1, of nearly equal numbers of rows; no cluster is in two.

    Clusters come in the order of a hash, each into the fold that has the fewest rows by then. With fewer clusters than
    folds some folds are empty.
    """
    codes, order, sizes = _in_hash_order(clusters)
    filled = [0] * k
    fold_of = np.zeros(len(sizes), dtype=np.int64)
    for cluster in order:
        fold = filled.index(min(filled))
        fold_of[cluster] = fold
        filled[fold] += int(sizes[cluster])
    return fold_of[codes]


def queue(
    table: pa.Table, probabilities: npt.NDArray[np.float64], labels: Sequence[str], most: int
) -> tuple[pa.Table, dict[str, Any]]:
    """The queue of some labelled rows, and what there is to tell of it.

    Rows that were corrected have been looked at: they are judged with the others, and not queued.

    Args:
        table: Rows of `LABELED_SCHEMA`.
        probabilities: Of each label for each row, by a model that has not seen the row, calibrated.
        labels: The task's labels, in the order of the probabilities.
        most: Length of the queue at most.

    Returns:
        `QUEUE_SCHEMA` rows, and a summary: `judged` (rows), `suspects` (labels that are probably wrong), `kept` (rows
        of the queue), `wrong_share` (estimated share of wrong labels), `agreement` (share of labels that the model
        would have given: how much it knows), `pairs` (suspects by label and suggestion).
    """
    given = codes_of(table["label"], labels)
    found = find_label_errors(given, probabilities)
    open_ = np.asarray(table["corrected"].is_null())[found.suspects]
    suspects = found.suspects[open_]
    chosen = suspects[:most]
    names = np.asarray(labels, dtype=object)
    rows = take(table.select(["example_id", "text", "label", "disagreement"]), chosen)
    suggested = found.suggested[chosen]
    columns = {
        "rank": np.arange(1, len(chosen) + 1),
        "suggested": names[suggested],
        "score": np.round(found.own[chosen], _DIGITS),
        "confidence": np.round(probabilities[chosen, suggested], _DIGITS),
    }
    made = {name: rows[name] for name in rows.column_names} | columns
    pairs = Counter(zip(names[given[suspects]], names[found.suggested[suspects]], strict=True))
    summary = {
        "judged": table.num_rows,
        "suspects": len(suspects),
        "kept": len(chosen),
        "wrong_share": round(found.share, _DIGITS),
        "agreement": round(float((probabilities.argmax(axis=1) == given).mean()), _DIGITS),
        "pairs": [
            {"label": label, "suggested": other, "rows": number}
            for (label, other), number in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[
                :_LISTED_PAIRS
            ]
        ],
    }
    return pa.table({name: made[name] for name in QUEUE_SCHEMA.names}, schema=QUEUE_SCHEMA), summary


def nothing_judged() -> tuple[pa.Table, dict[str, Any]]:
    """The queue, and what there is to tell of it, where no row could be judged."""
    summary = {"judged": 0, "suspects": 0, "kept": 0, "wrong_share": 0.0, "agreement": 0.0, "pairs": []}
    return QUEUE_SCHEMA.empty_table(), summary


def codes_of(column: pa.ChunkedArray, labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """The place of each label among the task's."""
    return np.asarray(pc.index_in(column, pa.array(labels, pa.string())).combine_chunks(), dtype=np.int64)


def _in_hash_order(
    clusters: pa.ChunkedArray,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Code of each row's cluster, the codes in the order of the SHA-256 of the cluster's key, rows of each code."""
    encoded = clusters.combine_chunks().dictionary_encode()
    codes = np.asarray(encoded.indices, dtype=np.int64)
    keys = encoded.dictionary.to_pylist()
    hashes = [hashlib.sha256(key.encode()).digest() for key in keys]
    order = np.asarray(sorted(range(len(keys)), key=hashes.__getitem__), dtype=np.int64)
    return codes, order, np.bincount(codes, minlength=len(keys))
