import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.examples import (
    MERGED_SCHEMA,
    conform,
    counts,
    digests,
    example_ids,
    occurrences,
    quarantine_rows,
    to_polars,
)

fields = st.lists(st.one_of(st.none(), st.binary(max_size=5)), min_size=1, max_size=3)


def ids(source, *records):
    keys = pa.chunked_array([digests(source, [record]) for record in records], pa.binary(16))
    return example_ids(keys.to_pylist(), occurrences(keys))


@given(fields, fields, st.text(max_size=3), st.text(max_size=3))
def test_different_records_have_different_ids_however_they_concatenate(one, other, source, other_source):
    both = ids(source, one) + ids(other_source, other)
    assert (len(set(both)) == 1) == ((one, source) == (other, other_source))


def test_an_id_is_sixteen_hex_digits_and_stays_the_same_for_ever():
    # Written down once: another value here would move every example of every user's task.
    assert ids("default", [b"a text"]) == ["9697250b8236451c"]


def test_repeated_records_are_told_apart_by_their_number_of_occurrence():
    first = ids("s", [b"a"], [b"b"], [b"a"])
    assert len(set(first)) == 3
    assert ids("s", [b"b"], [b"a"], [b"a"]) == [first[1], first[0], first[2]]


@given(st.lists(st.sampled_from([b"a" * 16, b"b" * 16, b"a" * 8 + b"b" * 8])), st.integers(1, 4))
def test_occurrences_are_the_equal_ones_before_however_they_are_chunked(keys, size):
    chunks = [keys[start : start + size] for start in range(0, len(keys), size)]
    found = occurrences(pa.chunked_array([pa.array(chunk, pa.binary(16)) for chunk in chunks], pa.binary(16)))
    assert found.tolist() == [keys[:place].count(key) for place, key in enumerate(keys)]


def test_a_missing_field_is_not_an_empty_one():
    assert ids("s", [None]) != ids("s", [b""])


def test_conform_puts_columns_in_order_and_casts_large_strings():
    table = pa.table({name: pa.array(["x"], pa.large_string()) for name in reversed(MERGED_SCHEMA.names)})
    assert conform(table, MERGED_SCHEMA).schema == MERGED_SCHEMA


def test_quarantine_rows_are_sorted_and_have_null_places_where_none_is_known():
    table = pa.table(
        {"example_id": ["b", "a"], "text": ["x", None], "rule": ["r", "r"], "reason": ["why", "why"]}
    )
    refused = quarantine_rows(to_polars(table), "stage").to_pylist()
    assert [row["example_id"] for row in refused] == ["a", "b"]
    assert list(refused[1].values()) == ["b", "stage", "r", "why", "x", None, None]


@pytest.mark.parametrize("rows", [0, 3])
def test_counts_by_rule_cover_refused_and_merged_rows(rows):
    refused = pa.table({"rule": pa.array(["too_long"] * rows, pa.string())})
    merged = pa.table({"rule": pa.array(["exact_duplicate"] * 2, pa.string())})
    by_rule = counts(10, pa.table({"x": [1] * 5}), refused, merged)["by_rule"]
    assert by_rule == {"exact_duplicate": 2} | ({"too_long": rows} if rows else {})
