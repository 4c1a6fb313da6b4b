from dataclasses import replace

import pyarrow as pa
import pytest

from ft_assets.data.corrections import REJECT, Correction
from ft_assets.data.examples import MERGED_SCHEMA
from ft_assets.data.rulings import Rulings, rulings
from ft_assets.errors import UserError

ROWS = pa.table({"example_id": ["e0", "e1", "e2"], "text_key": ["aa", "aa", "bb"]})
DAY = "2026-01-{:02d}T00:00:00.000000+00:00"


def correction(example_id: str, label: str, day: int, line: int) -> Correction:
    return Correction(example_id, label, "Ann", DAY.format(day), line=line)


def merged(*pairs: tuple[str, str]) -> pa.Table:
    rows = [{"example_id": row, "merged_into": into, "rule": "exact_duplicate"} for row, into in pairs]
    return pa.Table.from_pylist(rows, MERGED_SCHEMA)


def texts(found: Rulings) -> list[tuple[str, str, int]]:
    return found.texts.select("text_key", "ruling", "line").rows()


def test_the_latest_correction_holds_wherever_it_stands() -> None:
    lines = [correction("e2", "pos", 2, 1), correction("e2", "neg", 3, 2), correction("e2", REJECT, 1, 3)]
    assert texts(rulings(lines, ROWS, merged())) == [("bb", "neg", 2)]


def test_corrections_of_rows_with_one_text_are_corrections_of_the_text() -> None:
    lines = [correction("e0", "pos", 1, 1), correction("e1", "neg", 2, 2)]
    assert texts(rulings(lines, ROWS, merged())) == [("aa", "neg", 2)]


def test_a_row_that_was_merged_is_corrected_where_it_lives_now() -> None:
    chain = merged(("old", "middle"), ("middle", "e2"))
    found = rulings([correction("old", "pos", 1, 1)], ROWS, chain)
    assert texts(found) == [("bb", "pos", 1)]
    assert found.unused == ()


def test_of_the_same_time_what_most_people_say_holds_whatever_rows_they_named() -> None:
    lines = [correction("e0", "pos", 1, 1), correction("e1", "neg", 1, 2), correction("e0", "neg", 1, 3)]
    people = [replace(each, by=by) for each, by in zip(lines, ("Ann", "Bob", "Cid"), strict=True)]
    assert texts(rulings(people, ROWS, merged())) == [("aa", "neg", 3)]


def test_two_of_the_same_time_that_differ_are_an_error_that_names_the_lines() -> None:
    lines = [correction("e0", "pos", 1, 4), correction("e1", "neg", 1, 7)]
    with pytest.raises(UserError, match="different things about one text") as error:
        rulings(lines, ROWS, merged())
    assert error.value.where == "lines 4, 7 of the corrections"


def test_two_of_the_same_time_that_agree_are_none() -> None:
    lines = [correction("e0", "pos", 1, 4), correction("e1", "pos", 1, 7)]
    assert texts(rulings(lines, ROWS, merged())) == [("aa", "pos", 7)]


def test_an_older_contradiction_does_not_matter() -> None:
    lines = [correction("e0", "pos", 1, 1), correction("e0", "neg", 1, 2), correction("e0", "neg", 2, 3)]
    assert texts(rulings(lines, ROWS, merged())) == [("aa", "neg", 3)]


def test_rows_that_are_not_there_are_named_and_nothing_else_is_lost() -> None:
    gone = "00c0ffee00c0ffee"
    lines = [correction(gone, "pos", 1, 1), correction("e2", "neg", 1, 2), correction(gone, "neg", 2, 3)]
    found = rulings(lines, ROWS, merged())
    assert texts(found) == [("bb", "neg", 2)]
    assert found.summary() == {"lines": 3, "texts": 1, "unused": 1, "unused_ids": [gone]}


def test_what_does_not_look_like_an_id_is_named_by_its_line() -> None:
    odd = ["jane@example.org", "4111111111111111", "be68539007547034", "00c0ffee00c0ffee", "Jane Doe"]
    lines = [correction(each, "pos", 1, line) for line, each in enumerate(odd, 8)]
    found = rulings([*lines, correction("jane@example.org", "pos", 2, 20)], ROWS, merged())
    assert found.unused == ("00c0ffee00c0ffee", "line 8", "line 9", "line 10", "line 12")
