"""Predictions find their examples by id, and nothing is lost or doubled on the way."""

import pyarrow as pa
import pytest

from ft_assets.errors import UserError
from ft_assets.evaluation.predictions import aligned

EXAMPLES = pa.table({"example_id": ["a", "b", "c"]})


def test_predictions_in_another_order_are_put_in_that_of_the_examples():
    given = pa.table({"example_id": ["c", "a", "b"], "prediction": ["3", "1", "2"]})
    assert aligned(EXAMPLES, given)["prediction"].to_pylist() == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("ids", "what"),
    [
        (["a", "b"], "1 example ids have no prediction"),
        (["a", "b", "c", "c"], "1 example ids have several predictions"),
        (["a", "b", "c", "d"], "1 example ids were predicted but not asked for"),
        ([], "3 example ids have no prediction"),
    ],
)
def test_a_missing_doubled_or_foreign_id_is_an_error(ids, what):
    given = pa.table({"example_id": pa.array(ids, pa.string()), "prediction": ids})
    with pytest.raises(UserError, match=what):
        aligned(EXAMPLES, given, "baseline tfidf")


def test_a_doubled_example_is_an_error():
    doubled = pa.table({"example_id": ["a", "a"]})
    with pytest.raises(UserError, match="occur twice"):
        aligned(doubled, doubled)
