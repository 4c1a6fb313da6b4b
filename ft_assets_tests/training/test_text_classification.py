"""Training of text classifiers with real, small models."""

import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig
from ft_assets.training.text_classification import train_classifier
from ft_assets.training.text_prediction import predict_classes
from ft_assets_tests.tiny_models import LABELS, build_tiny_distilbert, build_tiny_gpt2, write_sentiment

QUICK = {"learning_rate": 5e-3, "epochs": 1, "batch_size": 16, "threads": 1}


@pytest.fixture(scope="module")
def splits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("splits")
    return (
        write_sentiment(folder / "train.parquet", 240, seed=1),
        write_sentiment(folder / "validation.parquet", 60, seed=2),
    )


def _train(folder, base, rows, settings):
    """Train in a fresh folder; gives (folder, result, messages)."""
    output = folder / f"output{len(list(folder.glob('output*')))}"
    output.mkdir()
    messages = []
    result = train_classifier(
        base_model=base,
        train=rows[0],
        validation=rows[1],
        labels=LABELS,
        config=TrainingConfig(**{**QUICK, **settings}),
        output=output,
        report=messages.append,
        base_model_name="somebody/tiny-bert",
    )
    return output, result, messages


@pytest.fixture
def train(tmp_path, splits, tiny_bert_dir):
    """Train with settings of the test's own."""

    def run(*, base=tiny_bert_dir, rows=splits, **settings):
        return _train(tmp_path, base, rows, settings)

    return run


@pytest.fixture(scope="module")
def lora(tmp_path_factory, splits, tiny_bert_dir):
    """One training with the defaults, for all tests that only look at it."""
    return _train(tmp_path_factory.mktemp("lora"), tiny_bert_dir, splits, {})


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def _equal(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a.keys() | b.keys())


def _largest_difference(a, b) -> float:
    return max((a[name] - b[name]).abs().max().item() for name in a)


def _logits(model, folder, texts):
    from transformers import AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
    with torch.inference_mode():
        return model.eval()(**inputs).logits


def test_a_model_learns_and_its_checkpoint_works_in_a_plain_pipeline(train):
    from transformers import pipeline

    output, result, _ = train(method="full", epochs=3)
    classify = pipeline("text-classification", model=str(output))
    answers = classify(["a great excellent perfect phone love best", "the worst awful broken camera bad"])
    assert [answer["label"] for answer in answers] == ["positive", "negative"]
    # Half of the words tell the label: counting them would get nearly all right, guessing a third.
    assert max(point["f1_macro"] for point in result["history"] if point["kind"] == "evaluation") > 0.8


def test_adapters_learn(train):
    _, result, _ = train(learning_rate=1e-2, epochs=3)
    assert result["best_score"] < 0.95  # a guess at three even classes has a loss of ln 3 = 1.10


def test_the_adapter_on_the_base_model_gives_the_logits_of_the_merged_model(lora, tiny_bert_dir):
    from peft import PeftModel
    from transformers import AutoModelForSequenceClassification

    output, _, _ = lora
    merged = AutoModelForSequenceClassification.from_pretrained(output)
    base = AutoModelForSequenceClassification.from_pretrained(tiny_bert_dir, num_labels=3)
    adapted = PeftModel.from_pretrained(base, output / "adapter")
    texts = ["a great phone", "the manual and the blue cable"]
    # Merging adds the same numbers in another order: rounding of fp32 only.
    torch.testing.assert_close(
        _logits(merged, output, texts), _logits(adapted, output, texts), atol=1e-4, rtol=1e-4
    )


def test_utilisation_is_what_was_computed_of_what_could_have_been(lora):
    _, result, _ = lora
    seconds = result["train_seconds"]
    assert result["flops_per_second"] == pytest.approx(result["model_flops"] / seconds)
    assert result["model_flop_utilisation"] == pytest.approx(
        result["flops_per_second"] / result["peak_flops_per_second"]
    )
    # Rows differ in length, so their squares sum up to more than those of rows of the mean length.
    assert result["squared_lengths_seen"] > result["tokens_seen"] ** 2 / result["examples_seen"]


def test_a_checkpoint_has_the_files_of_the_hub_and_no_others(lora, train):
    plain = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    adapter = {"adapter/adapter_config.json", "adapter/adapter_model.safetensors"}
    assert _files(lora[0]) == plain | adapter
    assert _files(train(method="full")[0]) == plain


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_no_file_of_a_checkpoint_names_a_place_on_this_machine(lora, tiny_bert_dir):
    output, _, _ = lora
    places = [str(place).encode() for place in (output.parent, tiny_bert_dir, tiny_bert_dir.parent)]
    found = [
        p.name for p in output.rglob("*") if p.is_file() and any(place in p.read_bytes() for place in places)
    ]
    assert found == []
    adapter = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "somebody/tiny-bert"


def test_the_checkpoint_carries_the_label_names(lora):
    config = json.loads((lora[0] / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "neutral", "2": "positive"}


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(train):
    first, again, other = (train(seed=seed, epochs=0.5)[0] for seed in (3, 3, 4))
    assert _equal(_weights(first), _weights(again))
    assert not _equal(_weights(first), _weights(other))


def test_with_everything_fast_switched_off_the_weights_are_those_of_the_plain_trainer(
    train, splits, tiny_bert_dir, tmp_path
):
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    output, _, _ = train(
        method="full", length_grouping=False, warmup_fraction=0, tokens_per_pass=10**6, dropout=0.0,
        rows=(splits[0], None),
    )  # fmt: skip
    set_seed(0)
    # Of dropout each step of ours draws from a seed of its own.
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = AutoModelForSequenceClassification.from_pretrained(tiny_bert_dir, num_labels=3, **no_dropout)
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert_dir)
    table = pq.read_table(splits[0])
    encoded = tokenizer(table["text"].to_pylist(), return_token_type_ids=False)
    rows = Dataset.from_dict(
        {**encoded, "labels": [LABELS.index(label) for label in table["label"].to_pylist()]}
    )
    arguments = TrainingArguments(
        output_dir=str(tmp_path / "plain"), num_train_epochs=1, per_device_train_batch_size=16,
        learning_rate=5e-3, weight_decay=0.01, seed=0, use_cpu=True, report_to="none",
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    set_seed(0)
    Trainer(model=model, args=arguments, train_dataset=rows, processing_class=tokenizer).train()
    # The loss is summed and divided where the plain one takes the mean: rounding of fp32, over 15 steps.
    assert _largest_difference(_weights(output), model.state_dict()) < 1e-4


def test_computing_a_batch_in_parts_does_not_change_what_is_learned(train):
    whole, _, _ = train(method="full", dropout=0.0, tokens_per_pass=10**6)
    parts, _, _ = train(method="full", dropout=0.0, tokens_per_pass=40)
    # The same sums in another order, over 15 steps of AdamW at a high rate.
    assert _largest_difference(_weights(whole), _weights(parts)) < 1e-3


def test_balanced_class_weights_change_nothing_where_classes_are_balanced(train):
    plain, balanced = (
        train(class_weights=value)[0] for value in ("none", "balanced")
    )  # 80 rows of each class
    assert _largest_difference(_weights(plain), _weights(balanced)) < 1e-5  # a sum of ones against a count


def test_balanced_class_weights_and_label_smoothing_change_training(train, tmp_path, splits):
    table = pq.read_table(splits[0])
    some = table.filter(pa.compute.not_equal(table["label"], "neutral")).slice(0, 100)
    uneven = pa.concat_tables([some, table.filter(pa.compute.equal(table["label"], "neutral")).slice(0, 5)])
    pq.write_table(uneven, tmp_path / "uneven.parquet")
    rows = (tmp_path / "uneven.parquet", None)
    plain = _weights(train(rows=rows)[0])
    assert not _equal(plain, _weights(train(rows=rows, class_weights="balanced")[0]))
    assert not _equal(plain, _weights(train(rows=rows, label_smoothing=0.1)[0]))


def test_balanced_class_weights_need_rows_of_every_class(train, tmp_path, splits):
    table = pq.read_table(splits[0])
    pq.write_table(table.filter(pa.compute.not_equal(table["label"], "neutral")), tmp_path / "two.parquet")
    with pytest.raises(UserError, match="there are none of neutral"):
        train(rows=(tmp_path / "two.parquet", splits[1]), class_weights="balanced")


def test_training_stops_early_and_the_checkpoint_has_the_best_weights(train, splits, tmp_path):
    # A rate far too high makes later evaluations worse than an early one.
    output, result, _ = train(
        method="full",
        learning_rate=3e-2,
        epochs=12,
        early_stopping_patience=1,
        warmup_fraction=0,
        schedule="constant",
    )
    assert result["stopped_early"]
    assert result["best_step"] < result["steps"] < result["planned_steps"]
    predict_classes(
        checkpoint=output,
        examples=splits[1],
        labels=LABELS,
        config=TrainingConfig(),
        output=tmp_path,
        report=print,
    )
    predictions = pq.read_table(tmp_path / "predictions.parquet").to_pandas()
    truth = pq.read_table(splits[1]).to_pandas()["label"]
    loss = -np.mean(
        [math.log(row[f"p_{label}"]) for (_, row), label in zip(predictions.iterrows(), truth, strict=True)]
    )
    assert loss == pytest.approx(result["best_score"], rel=1e-4)  # the same sums in other batches


def test_the_last_step_is_always_evaluated(train):
    _, result, _ = train(epochs=1.5, evaluations_per_epoch=1.3)
    steps = [point["step"] for point in result["history"] if point["kind"] == "evaluation"]
    assert steps[-1] == result["steps"] == math.ceil(1.5 * 240 / 16)


def test_progress_and_evaluations_are_reported_live(lora):
    _, _, messages = lora
    progress = [m for m in messages if m["kind"] == "progress"]
    assert progress[0]["step"] == 1
    assert progress[-1]["step"] == progress[-1]["steps"] == 15
    told = {"kind", "step", "steps", "epoch", "loss", "learning_rate", "grad_norm", "examples_per_second",
            "tokens_per_second", "seconds_left"}  # fmt: skip
    assert all(
        set(m) == told and all(math.isfinite(v) for k, v in m.items() if k != "kind") for m in progress
    )
    evaluations = [m for m in messages if m["kind"] == "evaluation"]
    assert [m["step"] for m in evaluations] == [8, 15]


def test_the_result_tells_what_was_used_and_measured(lora):
    _, result, _ = lora
    assert result["rows"] == {"train": 240, "validation": 60}
    assert result["examples_seen"] == 240
    assert result["device"] == "cpu" and result["precision"] == "fp32"
    assert result["attention"] == "sdpa" and "fused" in result["optimizer"]
    assert 0 < result["trainable_parameters"] < result["parameters"]
    assert result["peak_memory_bytes"] > 10**8  # torch alone takes more
    json.dumps(result, allow_nan=False)


def test_rows_longer_than_the_window_are_counted_and_told(train, splits):
    _, result, messages = train(max_length=10, epochs=0.3)
    lengths = [len(text.split()) + 2 for text in pq.read_table(splits[0])["text"].to_pylist()]
    assert result["truncated"]["train"] == sum(length > 10 for length in lengths)
    notes = [m["text"] for m in messages if m["kind"] == "note"]
    assert any("longer than 10 tokens" in note for note in notes)


def test_without_validation_rows_the_last_weights_are_kept(train, splits):
    _, result, _ = train(rows=(splits[0], None), epochs=0.3)
    assert result["best_step"] is None and result["rows"]["validation"] == 0


def test_a_diverging_run_stops_with_step_and_advice(train, tiny_bert_dir, tmp_path):
    from transformers import BertModel

    model = BertModel.from_pretrained(tiny_bert_dir)
    with torch.no_grad():
        model.embeddings.LayerNorm.weight.fill_(1e30)  # finite, but its products are not
    build = tmp_path / "exploding"
    model.save_pretrained(build)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (build / name).write_bytes((tiny_bert_dir / name).read_bytes())
    with pytest.raises(UserError, match=r"diverged: .* at step 1 of 15[\s\S]*training\.learning_rate"):
        train(base=build, method="full")


def test_a_failed_training_leaves_nothing_in_the_output(train, tmp_path):
    with pytest.raises(UserError):
        train(class_weights="balanced", rows=(write_sentiment(tmp_path / "r.parquet", 2), None))
    assert list((tmp_path / "output0").iterdir()) == []


def test_a_head_of_several_layers_is_trained_as_a_whole(train, tmp_path):
    output, _, _ = train(base=build_tiny_distilbert(tmp_path / "base"), epochs=0.3)
    adapter = json.loads((output / "adapter" / "adapter_config.json").read_text())
    assert {"pre_classifier", "classifier"} <= set(adapter["modules_to_save"])


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_without_a_padding_token_can_be_trained(train, tmp_path, method, splits):
    output, _, _ = train(base=build_tiny_gpt2(tmp_path / "base"), method=method, epochs=0.3)
    predict_classes(
        checkpoint=output,
        examples=splits[1],
        labels=LABELS,
        config=TrainingConfig(),
        output=tmp_path,
        report=print,
    )
    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == 60


def test_a_base_model_that_does_not_exist_is_an_error_for_the_user(train, tmp_path):
    with pytest.raises(UserError, match="no model here"):
        train(base=tmp_path / "nothing")


def test_pickled_weights_are_refused(train, tmp_path, tiny_bert_dir):
    folder = tmp_path / "pickled"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_bert_dir / name).read_bytes())
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="no safetensors weights"):
        train(base=folder)


def test_bf16_is_used_where_it_is_asked_for(train):
    _, result, _ = train(precision="bf16", epochs=0.3)
    assert result["precision"] == "bf16"
    # In training alone: the weights are fp32, and so is what the checkpoint computes.
    assert result["audit"]["reloaded_logit_difference"] < 1e-5
