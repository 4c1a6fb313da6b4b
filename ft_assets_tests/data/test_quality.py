"""Quality filters: each measure at its limit, and the numbers in its reason."""

import polars as pl
import pytest
from pydantic import ValidationError

from ft_assets.data import quality
from ft_assets.data.config import QualityConfig


def refused(*texts, **limits):
    return quality.refusals(pl.Series(texts, dtype=pl.String), QualityConfig(**limits)).rows()


KEPT = (None, None)
PROSE = (
    "The kettle that I bought in spring stopped working last week. I called the shop twice, and both times they told "
    "me to wait for an answer by mail, which has not come. Now I would like to have my money back, or a new kettle."
)


@pytest.mark.parametrize(
    ("limits", "kept", "gone", "rule", "reason"),
    [
        ({"min_words": 3}, "a b c", "a b", "too_few_words", "2 words, at least 3 are wanted"),
        ({"max_words": 3}, "a b c", "a b c d", "too_many_words", "4 words, at most 3 are wanted"),
        (
            {"min_letter_share": 0.5},
            "12 one -- two",
            "12 34 -- two",
            "too_few_letters",
            "of the words a share of 0.25 holds a letter, at least 0.5 is wanted",
        ),
        (
            {"max_symbol_share": 0.25},
            "a b c #d",
            "a b #c #d",
            "too_many_symbols",
            "0.5 hash signs or ellipses a word, at most 0.25 are wanted",
        ),
        (
            {"max_symbol_share": 0.25},
            "so... what now then",
            "so... what… now",
            "too_many_symbols",
            "0.667 hash signs or ellipses a word, at most 0.25 are wanted",
        ),
        (
            {"max_repeated_share": 0.5},
            "one two three four five one two three four",  # one of six sequences
            "buy now buy now buy now buy now",  # three of five
            "too_repetitive",
            "of the sequences of four words a share of 0.6 stands there again, at most 0.5 is wanted",
        ),
    ],
)
def test_a_limit_holds_with_its_value_and_the_reason_says_both(limits, kept, gone, rule, reason):
    assert refused(kept, gone, **limits) == [KEPT, (rule, reason)]


def test_without_limits_nothing_is_refused():
    assert refused("", "#", None, "a a a a a a a a") == [KEPT] * 4


def test_the_first_limit_that_is_broken_counts():
    assert refused("# #", min_words=3, min_letter_share=0.5, max_symbol_share=0.1)[0][0] == "too_few_words"


def test_a_letter_of_any_script_is_one():
    assert refused("été", "привет", "مرحبا", "नमस्ते", "好", "3D", min_letter_share=1) == [KEPT] * 6
    assert refused("5 €", min_letter_share=0.5)[0][0] == "too_few_letters"


def test_where_words_are_not_spaced_each_character_is_one():
    assert refused("这个水壶坏了", "水壶", min_words=4) == [
        KEPT,
        ("too_few_words", "2 words, at least 4 are wanted"),
    ]
    assert quality.repeated_share(pl.Series(["好好好好好好好好", "这个水壶上周坏了"])).to_list() == [0.8, 0.0]


def test_repetition_by_its_definition():
    # Welleck et al. 2020: 1 - different sequences / sequences, of four words.
    texts = ["ha " * 8, "a b c d e f g h", "A b c d a B c d", "a b c", "", None, PROSE]
    assert quality.repeated_share(pl.Series(texts)).to_list() == [0.8, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0]


def test_sequences_do_not_reach_from_one_text_into_the_next():
    assert quality.repeated_share(pl.Series(["a b", "c d", "a b", "c d", "a b c d"])).to_list() == [0.0] * 5


def test_slices_change_nothing(monkeypatch):
    texts, limits = ["a b", None, "ha " * 9, PROSE, "# # #"] * 3, {"min_words": 3, "max_repeated_share": 0.2}
    whole = refused(*texts, **limits)
    monkeypatch.setattr(quality, "_SLICE_ROWS", 4)
    assert refused(*texts, **limits) == whole


def test_limits_leave_room():
    with pytest.raises(ValidationError, match=r"min_words \(5\) is above max_words \(4\)"):
        QualityConfig(min_words=5, max_words=4)
