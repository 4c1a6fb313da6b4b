"""A checkpoint that is not what was trained is found out by a process that knows nothing but its files."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ft_assets.errors import UserError
from ft_assets.training.checkpoint import (
    load_base,
    load_language_model,
    load_tokenizer,
    require_padding,
    save_checkpoint,
)
from ft_assets.training.config import TrainingConfig
from ft_assets.training.methods import prepare
from ft_assets.training.reloaded import Base, reloaded_classifier, reloaded_language_model
from ft_assets_tests.tiny_models import LABELS, build_tiny_gpt2

LORA = TrainingConfig(method="lora")
PROBES = [[2, 40 + length, *range(100, 100 + length), 3] for length in range(12)]
"""Token ids of rows of different lengths, as the tiny models know them."""


def test_a_checkpoint_that_is_not_what_was_trained_is_refused(recipe_rows, encoder, tiny_llama_dir, tmp_path):
    model = load_language_model(tiny_llama_dir)

    def save_another():
        with torch.no_grad():
            model.model.norm.weight.mul_(torch.linspace(0.5, 2, 48))
        model.save_pretrained(tmp_path)
        encoder.tokenizer.save_pretrained(tmp_path)
        return tmp_path

    with pytest.raises(UserError, match="not the model that was trained: its logits differ"):
        reloaded_language_model(
            model, encoder, recipe_rows.rows, save=save_another, base=Base(tiny_llama_dir)
        )


def test_another_template_is_refused(recipe_rows, encoder, tiny_llama_dir, tmp_path):
    model = load_language_model(tiny_llama_dir)

    def save_with_another_template():
        model.save_pretrained(tmp_path)
        other = load_tokenizer(tiny_llama_dir)
        other.chat_template = "{{ messages[0]['content'] }}"
        other.save_pretrained(tmp_path)
        return tmp_path

    with pytest.raises(UserError, match="its chat template is another one"):
        reloaded_language_model(
            model, encoder, recipe_rows.rows, save=save_with_another_template, base=Base(tiny_llama_dir)
        )


@pytest.fixture
def trained(tiny_bert_dir):
    """A classifier with adapters that do something, and its tokenizer."""
    return adapted(tiny_bert_dir)


def adapted(base):
    torch.manual_seed(0)
    model, fresh = load_base(base, LABELS, 0.0)
    tokenizer = load_tokenizer(base)
    require_padding(tokenizer, model)
    model = prepare(model, LORA, fresh_weights=fresh)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    return model, tokenizer


def reload(trained, base, output, damage=lambda folder: None):
    """Save, damage what was saved, compare."""
    model, tokenizer = trained
    output.mkdir()

    def save():
        save_checkpoint(model, tokenizer, output, config=LORA, window=64, base_model="somebody/model")
        damage(output)
        return output

    return reloaded_classifier(model, tokenizer, PROBES, window=64, save=save, base=Base(base))


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_classifier_gives_the_same_logits_merged_and_with_its_adapter(kind, tiny_bert_dir, tmp_path):
    base = tiny_bert_dir if kind == "bert" else build_tiny_gpt2(tmp_path / "gpt2")
    found = reload(adapted(base), base, tmp_path / "out")
    # Rounding in fp32, of numbers near 1.
    assert found["reloaded_logit_difference"] < 1e-4 and found["adapter_logit_difference"] < 1e-4
    assert found["reloaded_rows"] == 8


def changed(name):
    """Damage: the weights of that name in a file, halved."""

    def damage(folder):
        (path,) = folder.rglob(name)
        weights = load_file(path)
        metadata = {"format": "pt"}
        save_file({key: weight / 2 for key, weight in weights.items()}, path, metadata)

    return damage


def setting(file, **values):
    """Damage: other values in a JSON file."""

    def damage(folder):
        content = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps(content | values))

    return damage


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (changed("model.safetensors"), "not the model that was trained: its logits differ"),
        (changed("adapter_model.safetensors"), "the logits of its adapter differ"),
        (
            setting("config.json", id2label={"0": "positive", "1": "neutral", "2": "negative"}),
            "its classes are others",
        ),
        (setting("tokenizer_config.json", model_max_length=8), "it reads 8 tokens of a row instead of 64"),
    ],
)
def test_a_classifier_that_was_damaged_is_refused(damage, told, trained, tiny_bert_dir, tmp_path):
    with pytest.raises(UserError, match=told):
        reload(trained, tiny_bert_dir, tmp_path / "out", damage)


def test_a_tokenizer_of_another_vocabulary_is_refused(trained, tiny_bert_dir, tmp_path):
    def damage(folder):
        content = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = content["model"]["vocab"]
        vocabulary["good"], vocabulary["bad"] = vocabulary["bad"], vocabulary["good"]
        (folder / "tokenizer.json").write_text(json.dumps(content))

    with pytest.raises(UserError, match="its tokenizer is another one"):
        reload(trained, tiny_bert_dir, tmp_path / "out", damage)


def test_a_padding_that_was_not_saved_is_found_out(tmp_path):
    base = build_tiny_gpt2(tmp_path / "gpt2")
    # GPT-2 finds the end of a row by the padding after it.
    with pytest.raises(UserError, match="cannot be used by another process"):
        reload(adapted(base), base, tmp_path / "out", setting("config.json", pad_token_id=None))


def test_weights_that_are_missing_are_found_out(trained, tiny_bert_dir, tmp_path):
    def damage(folder):
        (folder / "model.safetensors").unlink()

    with pytest.raises(UserError, match="cannot be used by another process"):
        reload(trained, tiny_bert_dir, tmp_path / "out", damage)
