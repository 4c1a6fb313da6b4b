"""The formula beside what torch counts itself while it computes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from ft_assets.training import flops
from ft_assets.training.checkpoint import load_base
from ft_assets.training.config import TrainingConfig
from ft_assets.training.flops import TrainingFlops, peak_of, training_flops
from ft_assets.training.hardware import Hardware
from ft_assets.training.methods import prepare
from ft_assets_tests.tiny_models import LABELS, build_tiny_distilbert, build_tiny_gpt2

ROWS, LENGTH = 4, 24


def counted(model: torch.nn.Module) -> int:
    """FLOPs of the matrix products of a forward and a backward pass, as torch counts them."""
    model.set_attn_implementation("eager")  # products that torch sees one by one
    inputs = torch.randint(5, 50, (ROWS, LENGTH))
    with FlopCounterMode(display=False) as counter:
        model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits.sum().backward()
    return counter.get_total_flops()


def by_formula(model: torch.nn.Module) -> float:
    return training_flops(model).of(ROWS * LENGTH, ROWS * LENGTH**2)


def of_the_head(model: torch.nn.Module) -> int:
    """A head sees one position of each row; the formula leaves it out."""
    return sum(
        (6 if weight.requires_grad else 4) * ROWS * weight.numel()
        for name, weight in model.named_parameters()
        if weight.dim() == 2 and ("pooler" in name or "classifier" in name) and "original_module" not in name
    )


@pytest.fixture
def distilbert(tmp_path):
    return build_tiny_distilbert(tmp_path / "distilbert")


def test_full_tuning_of_an_encoder_agrees_to_the_last_flop(tiny_bert_dir):
    model, _ = load_base(tiny_bert_dir, LABELS, 0.0)
    assert counted(model) == by_formula(model) + of_the_head(model)


def test_names_of_sizes_differ_between_models_and_the_formula_does_not(distilbert):
    model, _ = load_base(distilbert, LABELS, 0.0)
    assert counted(model) == by_formula(model) + of_the_head(model)


def test_a_decoder_whose_linear_layers_have_a_name_of_their_own(tmp_path):
    model, _ = load_base(build_tiny_gpt2(tmp_path / "gpt2"), LABELS, 0.0)
    model.config.pad_token_id = 0
    # Its head is applied to every position; without it the rest agrees.
    head = 6 * ROWS * LENGTH * model.score.weight.numel()
    assert counted(model) == by_formula(model) + head


def test_adapters_spare_the_gradients_of_what_is_frozen(tiny_bert_dir):
    base, fresh = load_base(tiny_bert_dir, LABELS, 0.0)
    full = by_formula(base)
    model = prepare(base, TrainingConfig(method="lora"), fresh_weights=fresh)
    found, expected = counted(model), by_formula(model) + of_the_head(model)
    # Query, key and value of the first layer, and their adapters, need no gradient of their input: embeddings are
    # frozen. The formula counts it, as it does for models with many layers.
    first = [
        weight.numel()
        for name, weight in model.named_parameters()
        if ".layer.0.attention.self." in name
        and weight.dim() == 2
        and ("base_layer" in name or "lora_A" in name)
    ]
    assert found == expected - 2 * ROWS * LENGTH * sum(first)
    assert 4 / 6 * full < expected


def test_padding_is_not_counted():
    flops = TrainingFlops(per_token=10, per_squared_length=1)
    assert flops.of(tokens=30, squared_lengths=500) == 800


@pytest.mark.parametrize(
    ("name", "teraflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
    ],
)
def test_the_peak_of_a_known_gpu_is_that_of_its_data_sheet(name, teraflops):
    peak = peak_of(Hardware("cuda", name, "bf16", threads=1, tokens_per_pass=1))
    assert peak.flops_per_second == teraflops * 1e12
    assert peak.basis == "data sheet, dense bf16"


def test_the_peak_of_a_cpu_is_measured_and_says_so():
    peak = peak_of(Hardware("cpu", "CPU, 1 threads", "fp32", threads=1, tokens_per_pass=1))
    assert 1e8 < peak.flops_per_second < 1e15  # a slow core to more than any machine has
    assert peak.basis == "measured, product of 1,024 x 1,024 matrices in fp32"


def test_a_product_that_takes_long_is_made_once(monkeypatch):
    made = []
    monkeypatch.setattr(torch, "mm", lambda left, right: made.append(left.dtype))
    monkeypatch.setattr(flops, "_LONG_SECONDS", 0.0)
    peak_of(Hardware("cpu", "CPU, 1 threads", "bf16", threads=1, tokens_per_pass=1))
    assert made == [torch.bfloat16]
