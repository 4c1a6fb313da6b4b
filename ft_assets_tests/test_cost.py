"""The price of a training."""

import pytest
from pydantic import ValidationError

from ft_assets.components.checkpoint import stages
from ft_assets.cost import CostConfig
from ft_assets_tests.tickets import task


@pytest.mark.parametrize(
    "given", [{"price_per_hour": float("inf")}, {"price_per_hour": -1}, {"currency": "euro"}]
)
def test_a_price_that_is_none_is_refused(given):
    with pytest.raises(ValidationError):
        CostConfig(**given)


def test_the_price_is_that_of_the_time():
    assert CostConfig(price_per_hour=3.0).price(seconds=1200) == 1.0
    assert CostConfig().price(seconds=1200) is None


def test_the_price_is_part_of_no_checkpoint(tmp_path):
    [plain], [priced] = stages(task(tmp_path)), stages(task(tmp_path, cost={"price_per_hour": 2}))
    assert plain.code_version == priced.code_version
    assert not any(module.endswith("cost") for module in plain.code)
