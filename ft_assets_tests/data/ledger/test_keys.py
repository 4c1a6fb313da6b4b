"""Keys: hashes as numbers, the same for the same value and back."""

from __future__ import annotations

import hashlib

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.ledger.keys import ROW, TEXT, example_keys, group_keys, numbers, text_keys, to_binary

ID = "0123456789abcdef" * 2


def column(*values):
    return pa.chunked_array([pa.array(values, pa.string())])


@given(st.lists(st.none() | st.binary(min_size=16, max_size=16), max_size=5))
def test_128_bits_are_numbers_and_back(values):
    keys = numbers(pl.Series(values, dtype=pl.Binary), TEXT)
    assert to_binary(keys).to_pylist() == values


@given(st.lists(st.none() | st.binary(min_size=8, max_size=8), max_size=5))
def test_64_bits_are_numbers_and_back(values):
    keys = numbers(pl.Series(values, dtype=pl.Binary), ROW)
    assert to_binary(keys).to_pylist() == values


def test_a_text_key_is_what_its_hex_digits_say():
    digits = hashlib.sha256(b"some text").hexdigest()[:32]
    assert to_binary(text_keys(column(digits)))[0].as_py().hex() == digits


def test_an_id_that_is_no_hash_is_hashed_whatever_stands_beside_it():
    alone, beside = example_keys(column("e001")), example_keys(column("0" * 16, "e001"))
    assert alone[0] == beside[1] and beside[0] == 0


def test_a_group_is_the_same_in_one_ledger_and_another_one_in_the_next():
    here, there = (group_keys(column("Ada", None, "Bob", "Ada"), name) for name in (ID, ID[::-1]))
    assert here[0] == here[3] != here[2] and here[1] is None
    assert here[0] != there[0]


@pytest.mark.parametrize("keys", [text_keys, example_keys])
def test_no_rows_have_no_keys(keys):
    assert len(keys(column())) == 0
