"""Languages: told with the network off, and refused only where that is sure."""

import socket

import polars as pl
import pyarrow as pa
import pytest
from pydantic import ValidationError

from ft_assets.data import languages
from ft_assets.data.config import CleaningConfig
from ft_assets.data.config import cleaning as settings
from ft_assets.data.examples import CLEANED_SCHEMA

# Article 1 of the Universal Declaration of Human Rights: in each language the same.
ARTICLE = {
    "en": "All human beings are born free and equal in dignity and rights. They are endowed with reason.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen begabt.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos y, dotados como están de razón.",
    "it": "Tutti gli esseri umani nascono liberi ed eguali in dignità e diritti. Essi sono dotati di ragione.",
    "nl": "Alle mensen worden vrij en gelijk in waardigheid en rechten geboren. Zij zijn begiftigd met verstand.",
    "pl": "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i swych praw.",
    "ru": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом.",
    "tr": "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl ve vicdana sahiptirler.",
    "zh": "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
    "ja": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "ar": "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا.",
    "he": "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון.",
}


def told(*texts, min_confidence=0.65):
    return languages.detect(pl.Series(texts, dtype=pl.String), min_confidence)["language"].to_list()


def refused(*texts, **cleaning):
    found = languages.refusals(pl.Series(texts, dtype=pl.String), CleaningConfig(**cleaning))
    return found.rows()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_args, **_more):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)


def test_languages_are_told_without_a_network(no_network):
    languages._model.cache_clear()
    assert told(*ARTICLE.values()) == list(ARTICLE)


def test_capitals_numbers_placeholders_and_addresses_change_nothing():
    noise = "<EMAIL> https://example.org/die/das/und 4711 !!! <PHONE> jane@example.org"
    assert told(ARTICLE["en"].upper(), f"{noise} {ARTICLE['it']}", ARTICLE["en"].replace(" ", "\n")) == [
        "en",
        "it",
        "en",
    ]


def test_too_few_letters_tell_no_language():
    # 30 bytes of letters are needed; neither placeholders nor digits are any.
    short = [
        "",
        "ok",
        "Danke schön!",
        "<EMAIL> <EMAIL> <EMAIL> <EMAIL> <EMAIL>",
        "12345 67890 12345 67890 12345 67890",
    ]
    assert told(*short, None) == ["und"] * 6
    assert refused(*short, None, languages=["en"]) == [(None, None)] * 6


def test_what_is_not_sure_is_not_told():
    mixed = "download server update router monitor"
    assert told(mixed, min_confidence=0.99) == ["und"]


def test_other_languages_are_refused_with_language_and_confidence():
    (kept, (rule, reason)) = refused(ARTICLE["de"], ARTICLE["fr"], languages=["de", "en"])
    assert kept == (None, None)
    assert (rule, reason) == ("other_language", "the language is fr (99 % sure), expected de or en")


def test_without_languages_nothing_is_refused_and_the_model_is_not_loaded(monkeypatch):
    monkeypatch.setattr(languages, "_model", None)
    assert refused(ARTICLE["de"], None) == [(None, None)] * 2


def test_languages_that_are_hardly_told_apart_count_as_one():
    croatian = "Sva ljudska bića rađaju se slobodna i jednaka u dostojanstvu i pravima."
    assert told(croatian)[0] in ("hr", "sr", "sh", "bs")
    for wanted in ("hr", "sr", "bs"):
        assert refused(croatian, languages=[wanted]) == [(None, None)]
    assert refused(croatian, languages=["sl"])[0][0] == "other_language"


def test_slices_change_nothing(monkeypatch):
    texts = [*ARTICLE.values(), None, "ok"]
    whole = told(*texts)
    monkeypatch.setattr(languages, "_SLICE_ROWS", 4)
    assert told(*texts) == whole


def test_the_first_rows_are_counted_most_frequent_first():
    table = pa.table({"text": [ARTICLE["en"], ARTICLE["de"], ARTICLE["en"], "ok", ARTICLE["fr"]]})
    assert languages.counted(table, CleaningConfig(count_languages=4)) == {
        "looked_at": 4,
        "of": 5,
        "by_language": {"en": 2, "de": 1, "und": 1},
    }


def test_no_rows_are_no_languages():
    assert languages.counted(CLEANED_SCHEMA.empty_table(), CleaningConfig())["by_language"] == {}


def test_the_languages_that_a_task_may_name_are_those_of_the_model():
    model = languages._model()
    texts = [*ARTICLE.values(), *"xыक字"]
    known = {each["lang"] for text in texts for each in model.detect(text, k=200)}
    # Of each text the model leaves out those that it gives no chance at all.
    assert known <= set(settings._LANGUAGES) and len(known) > 160


@pytest.mark.parametrize(
    ("given", "what"),
    [("eng", "near it are en"), ("english", "write its code of two letters"), (False, "put it in quotes")],
)
def test_a_language_that_is_none_is_an_error_that_helps(given, what):
    with pytest.raises(ValidationError, match=what):
        CleaningConfig(languages=[given])
