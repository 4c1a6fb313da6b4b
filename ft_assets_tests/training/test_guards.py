"""Numbers stay finite, or training stops and says where."""

import math

import pytest
import torch

from ft_assets.errors import UserError
from ft_assets.training.guards import FiniteGuard, require_finite_weights, total_norm

CPU = torch.device("cpu")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_stops_with_step_rate_and_advice(value):
    guard = FiniteGuard(CPU, peak_rate=0.01, steps=9)
    guard.look("the loss", torch.tensor(1.0), step=1, learning_rate=0.002)
    with pytest.raises(
        UserError, match=r"the loss is NaN or infinite at step 2 of 9.*0\.004[\s\S]*lower training"
    ):
        guard.look("the loss", torch.tensor(value), step=2, learning_rate=0.004)


def test_on_a_device_the_first_fault_is_kept_until_it_is_read():
    guard = FiniteGuard(CPU, peak_rate=0.01, steps=9, at_once=False)
    for step, loss, norm in [(1, 1.0, 1.0), (2, 1.0, math.nan), (3, math.nan, math.nan), (4, math.nan, 1.0)]:
        guard.look("the loss", torch.tensor(loss), step=step, learning_rate=step / 1000)
        guard.look("the gradient norm", torch.tensor(norm), step=step, learning_rate=step / 1000)
    with pytest.raises(UserError, match=r"the gradient norm is .* at step 2 of 9.*0\.002"):
        guard.check()


def test_finite_values_pass_the_check():
    guard = FiniteGuard(CPU, peak_rate=0.01, steps=9, at_once=False)
    guard.look("the loss", torch.tensor(3.0), step=1, learning_rate=0.01)
    guard.check()


def test_the_total_norm_is_that_of_all_tensors_and_shows_a_single_nan():
    tensors = [torch.tensor([3.0]), torch.tensor([[4.0]])]
    assert total_norm(tensors).item() == pytest.approx(5.0)
    assert math.isnan(total_norm([*tensors, torch.tensor([1.0, math.nan])]).item())


def test_a_model_with_a_damaged_weight_is_refused_by_the_name_of_the_weight():
    model = torch.nn.Linear(2, 2)
    with torch.no_grad():
        model.weight[1, 1] = math.inf
    with pytest.raises(UserError, match=r"weight weight has values"):
        require_finite_weights(model, where="base model")
