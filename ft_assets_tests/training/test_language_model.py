"""Training of models that write: the same numbers as the plain Trainer, packed or not."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

from ft_assets.errors import UserError
from ft_assets.training.attention import PACKED, reads_packed_rows
from ft_assets.training.checkpoint import load_language_model, load_tokenizer
from ft_assets.training.config import PromptConfig, TrainingConfig
from ft_assets.training.conversations import Encoder
from ft_assets.training.language_model import (
    IGNORED,
    PadConversations,
    packing_difference,
    passes,
    summed_losses,
)
from ft_assets.training.sequences import encode_rows, read_conversations
from ft_assets_tests.training.writers import train_writer


def train(recipes, base, output, **settings):
    notes = []
    rows = {"train": recipes / "train.parquet", "validation": recipes / "validation.parquet"}
    return train_writer(base, output=output, said=notes, mask=str.upper, **rows, **settings), notes


def losses(result):
    return [point["loss"] for point in result["history"] if point["kind"] == "train"]


@pytest.fixture(scope="module")
def plain(recipes, tiny_llama_dir, tmp_path_factory):
    """Losses of each step by transformers' own Trainer: rows in the same order, padded, no part of ours."""
    encoder = Encoder(load_tokenizer(tiny_llama_dir))
    read = read_conversations(recipes / "train.parquet", PromptConfig())
    rows = encode_rows(read, encoder, 256, TrainingConfig(), "train").rows
    set_seed(0)
    model = load_language_model(tiny_llama_dir)
    arguments = TrainingArguments(
        output_dir=str(tmp_path_factory.mktemp("trainer")),
        per_device_train_batch_size=8,
        max_steps=6,
        learning_rate=1e-3,
        lr_scheduler_type="linear",
        warmup_steps=1,
        weight_decay=0.01,
        optim="adamw_torch_fused",
        use_cpu=True,
        seed=0,
        logging_steps=1,
        logging_strategy="steps",
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    features = [{"input_ids": row.ids, "labels": np.where(row.learnt, row.ids, IGNORED)} for row in rows]
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=features,
        data_collator=PadConversations(encoder.tokenizer.pad_token_id),
    )
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("fast", [{"packing": False}, {"packing": True, "tokens_per_pass": 150}])
def test_the_losses_are_those_of_the_plain_trainer_step_by_step(
    recipes, tiny_llama_dir, tmp_path, plain, fast
):
    result, _ = train(
        recipes,
        tiny_llama_dir,
        tmp_path / "out",
        method="full",
        learning_rate=1e-3,
        length_grouping=False,
        warmup_fraction=1 / 6,
        **fast,
    )
    # The Trainer's log rounds to four digits.
    assert losses(result) == pytest.approx(plain, abs=2e-4)


@pytest.mark.parametrize("apart", [True, False])
def test_packed_rows_do_not_see_each_other(recipe_rows, tiny_llama_dir, apart):
    model = load_language_model(tiny_llama_dir).eval()
    with reads_packed_rows(model, packed=apart):
        assert (model.config._attn_implementation == PACKED) == apart
        assert packing_difference(model, recipe_rows.rows[:5], torch.device("cpu")) < 1e-5
    assert model.config._attn_implementation == "sdpa"


def test_a_model_in_which_packed_rows_see_each_other_is_found_out(recipe_rows, tiny_llama_dir):
    class Blind(torch.nn.Module):
        """A model that is not told where rows begin."""

        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *, position_ids=None, **inputs):
            return self.inner(**inputs)

    model = Blind(load_language_model(tiny_llama_dir).eval())
    assert packing_difference(model, recipe_rows.rows[:5], torch.device("cpu")) > 1e-3


@pytest.mark.parametrize("packed", [True, False])
def test_parts_of_a_batch_add_up_to_its_loss(recipe_rows, encoder, tiny_llama_dir, packed):
    model = load_language_model(tiny_llama_dir).eval()
    features = [
        {"input_ids": row.ids, "labels": np.where(row.learnt, row.ids, IGNORED)}
        for row in recipe_rows.rows[:7]
    ]
    batch = PadConversations(encoder.tokenizer.pad_token_id)(features)
    with torch.inference_mode():
        whole = model(**batch).loss * sum(int(row.learnt.sum()) for row in recipe_rows.rows[:7])
        parts = [summed_losses(model, each) for each in passes(batch, 120, packed=packed)]
    assert len(parts) > 1
    assert float(sum(parts)) == pytest.approx(float(whole), rel=1e-5)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_checkpoint_loads_with_plain_transformers_and_has_learnt(recipes, tiny_llama_dir, tmp_path, method):
    result, notes = train(recipes, tiny_llama_dir, tmp_path / "out", method=method, learning_rate=1e-2)
    evaluations = [point["loss"] for point in result["history"] if point["kind"] == "evaluation"]
    assert evaluations[-1] < evaluations[0]
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert model.config.use_cache
    assert tokenizer.chat_template == load_tokenizer(tiny_llama_dir).chat_template
    audit = result["audit"]
    assert audit["reloaded_logit_difference"] < 1e-4
    assert audit["rows"] == audit["ends_learnt"] == 48
    assert any("tokens are learnt" in note.get("text", "") for note in notes)
    # Personal data in what is shown is for `mask` to hide.
    assert audit["examples"][0]["learnt"] == audit["examples"][0]["learnt"].upper()
    json.dumps(result, allow_nan=False)


def test_what_was_trained_in_bf16_is_audited_in_the_arithmetic_of_its_weights(
    recipes, tiny_llama_dir, tmp_path
):
    result, _ = train(recipes, tiny_llama_dir, tmp_path / "out", method="full", precision="bf16", epochs=0.4)
    assert result["precision"] == "bf16"
    # bf16 has 8 bits: logits that were computed in it differ by some thousandths.
    assert result["audit"]["reloaded_logit_difference"] < 1e-5


def test_the_same_seed_gives_the_same_weights(recipes, tiny_llama_dir, tmp_path):
    for name in ("a", "b"):
        train(recipes, tiny_llama_dir, tmp_path / name, method="full", learning_rate=1e-3)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()


def test_a_learning_rate_that_explodes_stops_at_the_step(recipes, tiny_llama_dir, tmp_path):
    with pytest.raises(UserError, match=r"training diverged: .* at step \d+ of"):
        train(
            recipes,
            tiny_llama_dir,
            tmp_path / "out",
            method="full",
            learning_rate=0.99,
            max_gradient_norm=1e30,
            warmup_fraction=0.0,
            weight_decay=1e6,
        )
