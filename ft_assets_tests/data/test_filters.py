"""The order of the filters, and which texts of a row they look at."""

import polars as pl

from ft_assets.data import filters, languages
from ft_assets.data.config import CleaningConfig, QualityConfig
from ft_assets_tests.data.test_languages import ARTICLE

LOOP = "I do not know what to say. " * 5


def rules(*rows, conversations=False, languages=(), **quality):
    frame = pl.DataFrame(rows, {"text": pl.String, "label": pl.String}, orient="row")
    config = CleaningConfig(languages=list(languages), quality=QualityConfig(**quality))
    found = filters.refusals(frame, config, conversations=conversations)
    assert found.columns == ["rule", "reason"] and found.height == frame.height
    return found["rule"].to_list()


def test_quality_comes_before_language():
    rows = [(ARTICLE["de"], "x"), ("zu kurz", "x"), (ARTICLE["en"], "x")]
    assert rules(*rows, languages=["en"], min_words=3) == ["other_language", "too_few_words", None]


def test_only_rows_that_are_left_are_asked_for_their_language(monkeypatch):
    asked = []
    real = languages.detect
    monkeypatch.setattr(
        languages, "detect", lambda texts, sure: asked.append(len(texts)) or real(texts, sure)
    )
    rules(("ok", "x"), (ARTICLE["en"], "x"), languages=["en"], min_words=3)
    assert asked == [1]


def test_of_a_conversation_the_answer_may_not_repeat_itself_and_may_be_short():
    rows = [("Where is my parcel?", LOOP), ("Where is my parcel?", "No."), (LOOP, "Yes.")]
    limits = {"max_repeated_share": 0.3, "min_words": 2}
    assert rules(*rows, conversations=True, **limits) == ["too_repetitive", None, "too_repetitive"]
    # Where labels are chosen they are no texts.
    assert rules(*rows, **limits) == [None, None, "too_repetitive"]


def test_of_a_conversation_the_prompt_tells_the_language():
    assert rules((ARTICLE["en"], ARTICLE["de"]), conversations=True, languages=["en"]) == [None]


def test_without_filters_nothing_is_refused_and_nothing_computed(monkeypatch):
    monkeypatch.setattr(languages, "_model", None)
    assert rules(("", None), (None, None)) == [None, None]
