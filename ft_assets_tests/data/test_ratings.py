import json

import polars as pl
import pytest

from ft_assets.data.formats import Json
from ft_assets.data.ratings import (
    as_label,
    disagreement,
    majority,
    pseudonym,
    ratings_of,
    replaced,
    tally,
    votes,
)


def test_a_pseudonym_tells_raters_apart_and_not_who_they_are() -> None:
    assert pseudonym("ann@example.org") == pseudonym(" ann@example.org ") != pseudonym("bob@example.org")
    assert pseudonym("ann@example.org").isalpha()
    assert "ann" not in pseudonym("ann@example.org")


@pytest.mark.parametrize(
    ("cell", "ratings"),
    [
        ("pos", ["pos"]),
        (None, []),
        ("  ", []),
        (Json('["pos", "neg", null, " "]'), ["pos", "neg"]),
        ("[1, -2.5]", ["1", "-2.5"]),
        ("[sic] good", ["[sic] good"]),
        ('[["nested"]]', ['[["nested"]]']),
    ],
)
def test_a_cell_holds_one_rating_or_a_list(cell: str | None, ratings: list[str]) -> None:
    assert ratings_of(cell) == ratings


def test_the_ratings_of_a_row_are_one_label_until_they_are_counted() -> None:
    label = as_label([("first", "pos"), ("second", None), (None, Json('["neg", "pos"]'))])
    assert json.loads(label or "") == [["first", "pos"], [None, "neg"], [None, "pos"]]
    assert as_label([("first", None), ("second", "")]) is None


def voted(*rows: tuple[str, list[tuple[str | None, str]]]) -> list[tuple[str, str]]:
    """The votes of rows of (text_key, ratings)."""
    labels = [(key, as_label(said)) for key, said in rows]
    return sorted(votes(pl.DataFrame(labels, schema=["text_key", "label"], orient="row")).rows())


def test_each_rating_is_a_vote_and_a_row_without_any_has_none() -> None:
    assert voted(("a", [("x", "pos"), ("y", "neg")]), ("b", [])) == [("a", "neg"), ("a", "pos")]


def test_what_a_rater_has_said_of_a_text_counts_once_whatever_white_space_stands_around_it() -> None:
    twice = [("x", "pos"), ("x", "pos ")]
    assert voted(("a", twice), ("a", twice), ("b", twice)) == [("a", "pos"), ("b", "pos")]
    assert voted(("a", [("x", "pos")]), ("a", [("x", "neg")])) == [("a", "neg"), ("a", "pos")]


def test_what_nobody_is_named_for_counts_each_time() -> None:
    assert voted(("a", [(None, "pos"), (None, "pos")]), ("a", [(None, "pos")])) == [("a", "pos")] * 3


def test_ratings_are_changed_one_by_one_so_that_the_list_stays_whole() -> None:
    label = as_label([("x", 'pos\nanna@example.com"'), (None, "neg")])
    (made, none) = replaced(pl.Series([label, None]), lambda said: said.str.replace("neg", '"'))
    assert json.loads(made) == [["x", 'pos\nanna@example.com"'], [None, '"']]
    assert none is None


def counted(*ratings: tuple[str, str | None]) -> pl.DataFrame:
    return tally(pl.DataFrame(ratings, schema={"text_key": pl.String, "mapped": pl.String}, orient="row"))


def test_most_ratings_decide_and_a_tie_decides_nothing() -> None:
    found = majority(
        counted(("a", "pos"), ("a", "neg"), ("a", "pos"), ("b", "pos"), ("b", "neg"), ("c", None))
    )
    assert found.sort("text_key").rows() == [("a", "pos", False), ("b", None, True)]


def test_disagreement_is_the_share_of_ratings_for_another_label() -> None:
    ratings = counted(("a", "pos"), ("a", "neg"), ("a", "pos"), ("b", "neg"), ("c", None))
    rows = pl.DataFrame({"text_key": ["c", "a", "b", "a"], "mapped": ["pos", "pos", "neg", "neutral"]})
    assert disagreement(rows, ratings).to_list() == [None, 1 / 3, 0.0, 1.0]
