"""Predictions as tables: joined with the examples that they belong to, row for row.

Predictions and examples are paired by `example_id`, never by position: a trainer that groups by length
returns rows in another order. What the joined columns are worth is the business of the task type's module.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.errors import UserError

__all__ = ["MODEL", "aligned"]

MODEL = "fine-tuned model"
"""How the predictor is called that the others are compared with."""

# Ids are hashes, not text: a few of them help to find the rows.
SHOWN_IDS = 5


def aligned(examples: pa.Table, predictions: pa.Table, name: str = "predictions") -> pa.Table:
    """The rows of `predictions` in the order of `examples`, exactly one for each example.

    Args:
        examples: has the column example_id.
        predictions: has the column example_id; the other columns are kept.
        name: whose predictions these are, for the error.

    Raises:
        UserError: an example has no prediction or several, or a prediction has no example.
    """
    known, given = examples["example_id"].combine_chunks(), predictions["example_id"].combine_chunks()
    _refuse(_doubled(known), "occur twice among the examples", name)
    _refuse(_doubled(given), "have several predictions", name)
    _refuse(known.filter(pc.invert(pc.is_in(known, given))).to_pylist(), "have no prediction", name)
    _refuse(
        given.filter(pc.invert(pc.is_in(given, known))).to_pylist(), "were predicted but not asked for", name
    )
    return predictions.take(pc.index_in(known, given))


def _doubled(ids: pa.Array) -> list[str]:
    counts = pc.value_counts(ids)
    doubled = pc.greater(counts.field("counts"), 1)
    return counts.field("values").filter(doubled).to_pylist()


def _refuse(ids: Sequence[str], what: str, name: str) -> None:
    if ids:
        shown = ", ".join(str(example_id) for example_id in ids[:SHOWN_IDS])
        raise UserError(
            f"{name}: {len(ids)} example ids {what}",
            where=shown + (", …" if len(ids) > SHOWN_IDS else ""),
            do="materialise the predictions again from the split that is being evaluated",
        )
