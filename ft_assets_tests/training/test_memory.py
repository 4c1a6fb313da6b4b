"""The look at the memory before the first step: real passes, and what becomes of them where the memory is small."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from ft_assets.errors import UserError
from ft_assets.training import memory
from ft_assets.training.config import TrainingConfig
from ft_assets.training.memory import foretold, free_memory, plan_memory, rows_of_a_pass
from ft_assets.training.text_classification import train_classifier
from ft_assets_tests.tiny_models import LABELS, recipe_table, write_sentiment
from ft_assets_tests.training.writers import train_writer

CPU = torch.device("cpu")
BYTES_PER_TOKEN = 400_000


@pytest.fixture
def lengths():
    return np.random.default_rng(0).integers(5, 200, size=500)


class Passes:
    """A machine on which each token of a pass takes memory that is really written to."""

    def __init__(self, lengths):
        self.lengths = lengths
        self.tokens = []

    def __call__(self, places):
        tokens = len(places) * int(self.lengths[places].max())
        self.tokens.append(tokens)
        np.ones(tokens * BYTES_PER_TOKEN, dtype=np.uint8).sum()
        return tokens


def plan(passes, free, monkeypatch, **given):
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    settings = {"most": 1024, "most_rows": 64, "device": CPU, "later": 0} | given
    return plan_memory(passes, passes.lengths, **settings)


def test_where_there_is_room_passes_are_as_large_as_asked_for_and_only_small_ones_are_tried(
    lengths, monkeypatch
):
    passes = Passes(lengths)
    found = plan(passes, 10**10, monkeypatch)
    assert found.tokens_per_pass == 1024
    # Foretold from an eighth and a quarter of it; looking at the memory each millisecond misses a little.
    assert found.needed_bytes == pytest.approx(1024 * BYTES_PER_TOKEN, rel=0.2)
    assert max(passes.tokens) <= 256


def test_where_it_does_not_fit_passes_are_halved_until_they_do_and_that_is_tried(lengths, monkeypatch):
    passes = Passes(lengths)
    found = plan(passes, 440 * BYTES_PER_TOKEN, monkeypatch, later=40 * BYTES_PER_TOKEN)
    assert found.tokens_per_pass == 256
    assert found.free_bytes == 400 * BYTES_PER_TOKEN
    # More than half of what is free: the largest pass, the longest row among its rows, is run.
    assert max(passes.tokens) == 199


def test_the_longest_row_must_fit(lengths, monkeypatch):
    with pytest.raises(
        UserError, match=r"the longest row, 199 tokens, needs about 0\.1 GB .* 0\.0 GB are free"
    ):
        plan(Passes(lengths), 50 * BYTES_PER_TOKEN, monkeypatch)


def test_a_pass_that_does_not_fit_after_all_is_made_smaller(lengths, monkeypatch):
    class Small(Passes):
        def __call__(self, places):
            tokens = super().__call__(places)
            if tokens > 600:
                raise torch.OutOfMemoryError
            return tokens

    passes = Small(lengths)
    assert plan(passes, 1500 * BYTES_PER_TOKEN, monkeypatch).tokens_per_pass == 512
    assert max(passes.tokens) > 600


def test_other_errors_are_not_taken_for_a_lack_of_memory(lengths, monkeypatch):
    class Broken(Passes):
        def __call__(self, places):
            if super().__call__(places) > 600:
                raise RuntimeError("shapes do not match")
            return self.tokens[-1]

    with pytest.raises(RuntimeError, match="shapes"):
        plan(Broken(lengths), 1500 * BYTES_PER_TOKEN, monkeypatch)


@pytest.mark.parametrize("tokens", [1, 40, 150, 1000, 10_000])
def test_a_pass_has_the_longest_rows_that_fit(lengths, tokens):
    order = np.argsort(lengths, kind="stable")
    rows = rows_of_a_pass(order, lengths, tokens, most_rows=16)
    longest = int(lengths[rows].max())
    assert 1 <= len(rows) <= 16
    assert len(rows) * longest <= max(tokens, lengths.min())
    if tokens >= lengths.max():
        assert longest == lengths.max()


@pytest.mark.parametrize(
    ("measured", "tokens", "needed"),
    [
        ([(100, 1_000), (200, 2_000)], 800, 8_000),  # by the token
        ([(100, 1_000 + 100), (200, 2_000 + 400)], 800, 8_000 + 6_400),  # and by its square
        ([(100, 1_000), (100, 900)], 800, 64_000),  # nothing is known of the slope: the square
        ([(100, 1_000), (200, 1_500)], 800, 6_000),  # what is held once is no gain for larger passes
    ],
)
def test_what_a_pass_needs_is_foretold_from_two_smaller_ones(measured, tokens, needed):
    assert foretold(measured, tokens) == pytest.approx(needed)


def test_free_memory_is_that_of_the_machine_or_less():
    assert 0 < free_memory(CPU) <= memory.psutil.virtual_memory().total


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_sentiment(folder / "sentiment.parquet", 64)
    pq.write_table(recipe_table(48), folder / "recipes.parquet")
    return folder


def classifier(rows, base, output, notes, **settings):
    output.mkdir()
    return train_classifier(
        base_model=base,
        train=rows / "sentiment.parquet",
        validation=rows / "sentiment.parquet",
        labels=LABELS,
        config=TrainingConfig(batch_size=8, epochs=1, threads=1, **settings),
        output=output,
        report=notes.append,
    )


def language_model(rows, base, output, notes, **settings):
    recipes = rows / "recipes.parquet"
    return train_writer(base, recipes, output, validation=recipes, said=notes, **settings)


@pytest.fixture(params=["text-classification", "text-generation"])
def train(request, rows, tiny_bert_dir, tiny_llama_dir, tmp_path):
    run, base = {
        "text-classification": (classifier, tiny_bert_dir),
        "text-generation": (language_model, tiny_llama_dir),
    }[request.param]

    def trained(name, **settings):
        output, notes = tmp_path / name, []
        result = run(rows, base, output, notes, **settings)
        texts = [note["text"] for note in notes if note["kind"] == "note"]
        return result, texts, (output / "model.safetensors").read_bytes()

    return trained


def test_the_look_at_the_memory_leaves_no_trace_in_the_weights(train, monkeypatch):
    _, _, weights = train("looked", method="full", dropout=0.1)

    def not_looked(run, lengths, *, most, most_rows, device, later):
        return memory.MemoryPlan(most, 0, 0)

    monkeypatch.setattr("ft_assets.training.fine_tuning.plan_memory", not_looked)
    assert train("not looked", method="full", dropout=0.1)[2] == weights


def test_a_training_in_little_memory_has_smaller_passes_and_says_so(train, monkeypatch):
    def tight(run, lengths, *, most, most_rows, device, later):
        run(np.argsort(lengths)[-1:])
        return memory.MemoryPlan(64, 10, 20)

    monkeypatch.setattr("ft_assets.training.fine_tuning.plan_memory", tight)
    result, notes, _ = train("tight", method="full", tokens_per_pass=256)
    assert (result["tokens_per_pass"], result["largest_pass_bytes"], result["free_memory_bytes"]) == (
        64,
        10,
        20,
    )
    assert "passes have at most 64 tokens instead of 256, to fit the memory" in notes


@pytest.mark.parametrize("method", ["full", "lora"])
def test_layers_computed_again_give_the_same_weights(train, method):
    _, _, plain = train("plain", method=method, dropout=0.1)
    _, _, again = train("again", method=method, dropout=0.1, gradient_checkpointing=True)
    assert plain == again
