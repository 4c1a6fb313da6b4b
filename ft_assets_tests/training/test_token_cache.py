"""Tokenised rows that are kept: the same as those made anew, and never those of other rows, tokenizers or windows."""

import os

import numpy as np
import pyarrow.parquet as pq
import pytest

from ft_assets.training.checkpoint import load_tokenizer
from ft_assets.training.conversations import Conversation, Encoder
from ft_assets.training.rows import read_rows
from ft_assets.training.token_cache import TokenCache, flat, split
from ft_assets_tests.tiny_models import recipe_table, write_sentiment
from ft_assets_tests.training.writers import train_writer

ROWS = [
    Conversation(({"role": "user", "content": "mend the <|im_end|> box"},), "box"),
    Conversation((), None, "lens"),
]


@pytest.fixture
def cache(tmp_path):
    return TokenCache(tmp_path / "tokens")


def entries(cache):
    return sorted(cache.folder.iterdir())


def not_again():
    raise AssertionError("it is there already")


def test_what_is_kept_is_not_made_again(cache):
    made = cache.get({"of": 1}, lambda: flat([[1, 2], [], [3]]))
    again = cache.get({"of": 1}, not_again)
    assert (
        [row.tolist() for row in split(made)] == [row.tolist() for row in split(again)] == [[1, 2], [], [3]]
    )


def test_what_is_damaged_is_made_again(cache):
    cache.get({"of": 1}, lambda: flat([[1, 2]]))
    (file,) = entries(cache)[0].glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-3])
    assert split(cache.get({"of": 1}, lambda: flat([[4]])))[0].tolist() == [4]
    assert split(cache.get({"of": 1}, not_again))[0].tolist() == [4]


def test_the_entries_used_last_stay(cache):
    for number in range(8):
        cache.get({"of": number}, lambda: flat([[1]]))
    oldest = entries(cache)
    for place, entry in enumerate(oldest):
        os.utime(entry, (place, place))
    cache.get({"of": "one more"}, lambda: flat([[1]]))
    assert len(entries(cache)) == 8
    assert oldest[0] not in entries(cache)


def test_what_a_killed_process_has_left_goes_after_an_hour(cache):
    cache.get({"of": 1}, lambda: flat([[1]]))
    old, fresh = (cache.folder / name for name in (".old", ".fresh"))
    for draft in (old, fresh):
        draft.mkdir()
    os.utime(old, (0, 0))
    cache.get({"of": 2}, lambda: flat([[1]]))
    assert fresh.exists() and not old.exists()


def test_a_full_disk_costs_the_entry_and_nothing_else(cache, monkeypatch):
    def full(arrays, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ft_assets.training.token_cache.save_file", full)
    assert split(cache.get({"of": 1}, lambda: flat([[1, 2]])))[0].tolist() == [1, 2]
    assert not entries(cache)


def test_conversations_from_the_cache_are_those_made_anew_counts_included(cache, tiny_llama_dir):
    plain = Encoder(load_tokenizer(tiny_llama_dir))
    expected = plain.encode(ROWS)
    for _ in range(2):
        encoder = Encoder(load_tokenizer(tiny_llama_dir), cache=cache)
        for own, other in zip(encoder.encode(ROWS), expected, strict=True):
            np.testing.assert_array_equal(own.ids, other.ids)
            np.testing.assert_array_equal(own.learnt, other.learnt)
            assert (own.ids.dtype, own.learnt.dtype) == (other.ids.dtype, other.learnt.dtype)
        assert (encoder.ends_added, encoder.defused) == (plain.ends_added, plain.defused)
    assert plain.defused
    assert len(entries(cache)) == 1


def test_other_rows_templates_and_ends_are_other_entries(cache, tiny_llama_dir):
    tokenizer = load_tokenizer(tiny_llama_dir)
    Encoder(tokenizer, cache=cache).encode(ROWS)
    Encoder(tokenizer, cache=cache).encode(ROWS[::-1])
    Encoder(tokenizer, [5], cache=cache).encode(ROWS)
    tokenizer.chat_template = (
        "{{ messages[0]['content'] }}:{% if messages|length > 1 %}{{ messages[1]['content'] }}{% endif %}"
    )
    Encoder(tokenizer, cache=cache).encode(ROWS)
    assert len(entries(cache)) == 4


def test_rows_of_a_classifier_are_kept_by_their_window(cache, tiny_bert_dir, tmp_path):
    tokenizer = load_tokenizer(tiny_bert_dir)
    path = write_sentiment(tmp_path / "rows.parquet", 40)
    for window in (32, 32, 4):
        kept, plain = (read_rows(path, tokenizer, window, cache=each) for each in (cache, None))
        assert kept.input_ids == plain.input_ids
        np.testing.assert_array_equal(kept.truncated, plain.truncated)
    assert plain.truncated.any()
    assert len(entries(cache)) == 2


def test_a_training_on_kept_rows_gives_the_same_weights(cache, tiny_llama_dir, tmp_path):
    pq.write_table(recipe_table(24), tmp_path / "rows.parquet")
    made = []
    for name in ("anew", "kept"):
        output = tmp_path / name
        train_writer(tiny_llama_dir, tmp_path / "rows.parquet", output, cache=cache, method="full")
        made.append((output / "model.safetensors").read_bytes())
    assert made[0] == made[1]
    assert len(entries(cache)) == 1
