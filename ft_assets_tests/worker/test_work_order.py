"""The work order as a file."""

import pytest
from pydantic import ValidationError

from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig
from ft_assets.worker.work_order import WorkOrder

ORDER = {"kind": "predict", "output": "/o", "labels": ["a", "b"], "checkpoint": "/c", "examples": "/e"}


def test_an_order_survives_the_way_through_a_file(tmp_path):
    order = WorkOrder(**ORDER, training=TrainingConfig(seed=7, max_length=32))
    assert WorkOrder.read(order.write(tmp_path / "order.json")) == order


def test_an_order_without_what_its_kind_needs_is_refused():
    with pytest.raises(ValidationError, match="kind 'train' needs base_model, train"):
        WorkOrder(kind="train", output="/o", labels=["a", "b"])


def test_an_unknown_key_in_the_file_is_named_with_the_nearest_known_one(tmp_path):
    path = tmp_path / "order.json"
    path.write_text('{"kind": "train", "outputs": "/o"}')
    with pytest.raises(UserError, match=r"did you mean 'output'[\s\S]*order\.json"):
        WorkOrder.read(path)


def test_a_missing_file_is_an_error_for_the_user(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        WorkOrder.read(tmp_path / "none.json")
