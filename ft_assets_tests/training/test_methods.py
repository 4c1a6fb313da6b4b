"""Every method by its one word: it learns, trains what it should, and its checkpoint is what was trained."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from ft_assets.errors import UserError
from ft_assets.training import checkpoint as checkpoints
from ft_assets.training.batches import PadBatch
from ft_assets.training.checkpoint import load_base, load_language_model, load_tokenizer
from ft_assets.training.config import (
    DEFAULT_LEARNING_RATES,
    LORA_METHODS,
    GenerationConfig,
    LoraConfig,
    PromptConfig,
    ResumeConfig,
    TrainingConfig,
)
from ft_assets.training.hardware import choose_hardware
from ft_assets.training.methods import prepare
from ft_assets.training.probe import cached_features
from ft_assets.training.resume import ResumePoints
from ft_assets.training.text_answers import write_answers
from ft_assets.training.text_classification import train_classifier
from ft_assets_tests.tiny_models import LABELS, build_tiny_gpt2, recipe_table, write_sentiment
from ft_assets_tests.training.writers import train_writer

WRITING = sorted(DEFAULT_LEARNING_RATES["generation"])
CHOOSING = sorted(DEFAULT_LEARNING_RATES["classification"])


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_sentiment(folder / "train.parquet", 150)
    write_sentiment(folder / "validation.parquet", 45, seed=1)
    pq.write_table(recipe_table(64), folder / "recipes.parquet")
    pq.write_table(recipe_table(16, seed=1), folder / "recipes_validation.parquet")
    return folder


def teach_to_write(rows, base, output, method, **settings):
    given = {"epochs": 2, "lora": LoraConfig(rank=4, alpha=8)} | settings
    train, validation = rows / "recipes.parquet", rows / "recipes_validation.parquet"
    return train_writer(base, train, output, validation=validation, method=method, **given)


def teach_to_choose(rows, base, output, method, points=None, **settings):
    output.mkdir()
    said = []
    result = train_classifier(
        base_model=base,
        train=rows / "train.parquet",
        validation=rows / "validation.parquet",
        labels=LABELS,
        config=TrainingConfig(method=method, **({"batch_size": 16, "threads": 1} | settings)),
        output=output,
        report=said.append,
        points=points,
    )
    return result, said


def evaluations(result):
    return [point["loss"] for point in result["history"] if point["kind"] == "evaluation"]


# Rates for models of a few thousand random weights.
FAST = {"full": 5e-3, "ia3": 0.3, "prompt_tuning": 0.1, "prefix_tuning": 0.1}


@pytest.mark.parametrize("method", WRITING)
def test_each_method_teaches_a_model_to_write(method, rows, tiny_llama_dir, tmp_path):
    out = tmp_path / "out"
    result = teach_to_write(rows, tiny_llama_dir, out, method, learning_rate=FAST.get(method, 2e-2))
    losses = evaluations(result)
    assert losses[-1] < losses[0]
    # All that was trained is in the checkpoint: `reloaded` has compared logits and written tokens. (The kernels for
    # 4 bits compute in bf16 where no gradient is asked for.)
    assert result["audit"]["reloaded_logit_difference"] < (1e-2 if method == "qlora" else 1e-3)
    assert ("adapter_logit_difference" in result["audit"]) == (method in (*LORA_METHODS, "ia3"))
    assert (result["trainable_parameters"] == result["parameters"]) == (method == "full")
    # Vectors before the text know nothing of packed rows; that was found out, not assumed.
    assert result["packed"] == (method not in ("prompt_tuning", "prefix_tuning"))
    answers = tmp_path / "answers"
    answers.mkdir()
    written = write_answers(
        checkpoint=out, examples=rows / "recipes_validation.parquet", prompt=PromptConfig(),
        generation=GenerationConfig(max_new_tokens=4), config=TrainingConfig(threads=1), output=answers,
        report=lambda message: None,
    )  # fmt: skip
    assert written["answers"] == 16
    texts = [path for path in out.rglob("*.json") if str(tiny_llama_dir) in path.read_text()]
    assert texts == []


@pytest.mark.parametrize("method", ["prompt_tuning", "prefix_tuning"])
def test_what_cannot_be_merged_cannot_be_mistaken_for_the_tuned_model(method, rows, tiny_llama_dir, tmp_path):
    teach_to_write(rows, tiny_llama_dir, tmp_path / "out", method, epochs=0.2)
    with pytest.raises((OSError, ValueError)):
        AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert load_language_model(tmp_path / "out").peft_config["default"].base_model_name_or_path


def test_the_model_of_qlora_is_trained_in_four_bits(tiny_llama_dir):
    layer = load_language_model(tiny_llama_dir, four_bits=True).model.layers[0].mlp.up_proj
    assert type(layer).__name__ == "Linear4bit"


def test_without_bitsandbytes_qlora_says_what_to_install(tiny_llama_dir, monkeypatch):
    monkeypatch.setattr(checkpoints, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package bitsandbytes[\s\S]*ft_assets\[qlora\]"):
        load_language_model(tiny_llama_dir, four_bits=True)


@pytest.mark.parametrize("method", CHOOSING)
def test_each_method_teaches_a_model_to_choose(method, rows, tiny_bert_dir, tmp_path):
    rate = {"full": 5e-3, "probe_then_full": 5e-3, "ia3": 0.3}.get(method, 2e-2)
    out = tmp_path / "out"
    result, _ = teach_to_choose(rows, tiny_bert_dir, out, method, learning_rate=rate, epochs=3)
    losses = evaluations(result)
    assert losses[-1] < losses[0]
    assert (result["trainable_parameters"] == result["parameters"]) == (method in ("full", "probe_then_full"))
    # What was saved is what was trained, and so is the adapter beside it (`test_reloaded.py`).
    assert result["audit"]["reloaded_logit_difference"] < 1e-3
    assert ("adapter_logit_difference" in result["audit"]) == (method in (*LORA_METHODS, "ia3"))
    model = AutoModelForSequenceClassification.from_pretrained(out)
    assert list(model.config.id2label.values()) == LABELS
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize("method", ["rslora", "dora"])
def test_kinds_of_lora_are_not_plain_lora(method, tiny_llama_dir):
    scale, sizes = {}, {}
    for each in ("lora", method):
        model = prepare(load_language_model(tiny_llama_dir), TrainingConfig(method=each), fresh_weights=None)
        layer = model.base_model.model.model.layers[0].mlp.up_proj
        scale[each], sizes[each] = layer.scaling["default"], len(layer.lora_magnitude_vector)
    if method == "rslora":
        assert scale[method] == pytest.approx(32 / 16**0.5)
        assert scale["lora"] == 2
    else:
        assert (sizes[method], sizes["lora"]) == (1, 0)


def test_the_head_learns_the_same_whether_the_features_are_cached_or_not(
    rows, tiny_bert_dir, tmp_path, monkeypatch
):
    weights = []
    for name, most in (("cached", 2**30), ("read_again", 0)):
        monkeypatch.setattr("ft_assets.training.probe.MOST_BYTES", most)
        # The base model has a pooler, so nothing of the encoder is new.
        result, _ = teach_to_choose(rows, tiny_bert_dir, tmp_path / name, "linear_probe", dropout=0.0)
        assert result["features_cached"] == (name == "cached")
        weights.append(AutoModelForSequenceClassification.from_pretrained(tmp_path / name).classifier.weight)
    assert torch.allclose(*weights, atol=1e-5)


def test_a_probe_leaves_the_encoder_as_it_was(rows, tiny_bert_dir, tmp_path):
    teach_to_choose(rows, tiny_bert_dir, tmp_path / "out", "linear_probe")
    before = load_base(tiny_bert_dir, LABELS, None)[0].bert.state_dict()
    after = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").bert.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_model_whose_head_reads_every_token_can_be_probed(rows, tmp_path):
    result, _ = teach_to_choose(rows, build_tiny_gpt2(tmp_path / "gpt2"), tmp_path / "out", "linear_probe")
    assert result["features_cached"]


def test_a_row_that_was_not_read_is_no_guess(rows, tiny_bert_dir):
    model = load_base(tiny_bert_dir, LABELS, 0.0)[0]
    model.requires_grad_(False)
    pad = PadBatch(load_tokenizer(tiny_bert_dir).pad_token_id)
    with cached_features(model, [[5, 6, 7]], pad, choose_hardware(TrainingConfig(threads=1))) as cached:
        assert cached
        model(**pad.pad([[5, 6, 7]]))
        with pytest.raises(KeyError):
            model(**pad.pad([[5, 6, 8]]))
    assert type(model.bert).__name__ == "BertModel"


def test_the_probe_is_not_repeated_when_the_training_goes_on(rows, tiny_bert_dir, tmp_path):
    def points():
        return ResumePoints(tmp_path / "points", "x", ResumeConfig(every_steps=4), lambda message: None)

    first, said = teach_to_choose(rows, tiny_bert_dir, tmp_path / "a", "probe_then_full", points())
    assert first["probe"]["steps"] > 0
    assert any("the head is trained first" in note.get("text", "") for note in said)
    again, _ = teach_to_choose(rows, tiny_bert_dir, tmp_path / "b", "probe_then_full", points())
    assert "probe" not in again
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("task_type", "settings", "told"),
    [
        ("text-generation", {"method": "linear_probe"}, "linear_probe is not for text-generation; take one of"),
        ("text-classification", {"method": "prompt_tuning"}, "prompt_tuning is not for text-classification"),
        ("summarization", {"class_weights": "balanced"}, "class_weights: balanced is for models that choose"),
        ("translation", {"best_by": "f1_macro"}, "best_by: f1_macro is for models that choose a label"),
    ],
)  # fmt: skip
def test_settings_that_mean_nothing_for_a_task_type_are_refused(task_type, settings, told):
    with pytest.raises(ValueError, match=told):
        TrainingConfig(**settings).check(task_type)
