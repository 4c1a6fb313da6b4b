"""The planted data set through the whole layer: every row comes to the end that was planned for it."""

import re
import subprocess
import sys
from collections import defaultdict

import pytest

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, ColumnsConfig, LabelsConfig
from ft_assets.data.labels import label
from ft_assets_tests.data.helpers import PLANTED, answers, planted_tickets, read

RATING = LabelsConfig(
    thresholds=[
        {"label": "positive", "above": 0.5},
        {"label": "negative", "below": -0.5},
        {"label": "neutral"},
    ]
)


@pytest.fixture(scope="module")
def ends():
    """(file, row) → (stage, rule) of refusal, ("kept", itself), or ("merged", place of the row kept)."""
    raw = planted_tickets()
    cleaned = clean(raw.examples, CleaningConfig())
    labelled = label(cleaned.examples, LabelsConfig(map=answers()["label_map"]))
    place = {
        row["example_id"]: (row["file"], row["row"])
        for table in (raw.examples, raw.quarantine)
        for row in table.to_pylist()
    }
    found = {}
    for stage in (raw, cleaned, labelled):
        for row in stage.quarantine.to_pylist():
            found[place[row["example_id"]]] = (row["stage"], row["rule"])
        for row in stage.merged.to_pylist():
            found[place[row["example_id"]]] = ("merged", place[row["merged_into"]])
    for each in labelled.examples["example_id"].to_pylist():
        found[place[each]] = ("kept", place[each])
    return found


def tickets():
    return [row for row in answers()["rows"] if row["file"].startswith("tickets")]


def test_every_row_has_one_end(ends):
    assert set(ends) == {(row["file"], row["row"]) for row in tickets()}


def test_rows_planted_to_be_refused_are_refused_by_their_rule_and_no_others(ends):
    expected = {(row["file"], row["row"]): (row["stage"], row["rule"]) for row in tickets() if row["stage"]}
    refused = {place: end for place, end in ends.items() if end[0] not in ("kept", "merged")}
    assert refused == expected


def test_of_each_planted_set_of_duplicates_one_row_is_kept_and_the_others_merged_into_it(ends):
    sets = defaultdict(list)
    for row in tickets():
        if row["kind"].startswith("duplicate"):
            sets[row["set"]].append((row["file"], row["row"]))
    assert len(sets) == 11
    for members in sets.values():
        kept = [place for place in members if ends[place][0] == "kept"]
        assert len(kept) == 1
        assert [ends[place] for place in members if place not in kept] == [("merged", kept[0])]


def test_all_other_rows_are_kept(ends):
    others = [row for row in tickets() if not row["stage"] and not row["kind"].startswith("duplicate")]
    assert {ends[row["file"], row["row"]][0] for row in others} == {"kept"}


def test_ratings_get_their_labels_by_thresholds():
    columns = ColumnsConfig.model_validate(
        {"label": "rating", "group": {"column": "id", "pattern": "^(.+)_"}}
    )
    raw = read(PLANTED / "ratings.tsv", columns, encoding="latin-1", columns=["id", "rating", "text"])
    labelled = label(clean(raw.examples, CleaningConfig()).examples, RATING)
    row_of = dict(zip(raw.examples["example_id"].to_pylist(), raw.examples["row"].to_pylist(), strict=True))
    found = {row_of[row["example_id"]]: row["label"] for row in labelled.examples.to_pylist()}
    known = [row for row in answers()["rows"] if row["file"] == "ratings.tsv"]
    assert found == {row["row"]: row["label"] for row in known if row["kind"] == "rating"}
    assert [row["rule"] for row in labelled.quarantine.to_pylist()] == ["not_a_number"]


def test_the_files_are_what_the_generator_writes(tmp_path):
    subprocess.run([sys.executable, PLANTED / "generate.py", tmp_path], check=True)
    for name in ("tickets.csv", "tickets.jsonl", "ratings.tsv", "answers.json"):
        assert (tmp_path / name).read_bytes() == (PLANTED / name).read_bytes()


def test_planted_personal_data_becomes_the_placeholder_of_its_kind_and_what_looks_like_it_stays():
    raw, kinds = planted_tickets().examples, {"token": "key"}
    texts = dict(zip(raw["example_id"].to_pylist(), raw["text"].to_pylist(), strict=True))
    place = {(row["file"], row["row"]): row["example_id"] for row in raw.to_pylist()}
    cleaned = clean(raw, CleaningConfig())
    after = {row["example_id"]: row["text"] for row in cleaned.examples.to_pylist()}
    planted = {place[row["file"], row["row"]]: row for row in tickets() if "contains" in row}
    for each, row in planted.items():
        kind = kinds.get(row["contains"], row["contains"])
        placeholders = re.findall("<[A-Z]+>", after[each])
        assert placeholders == ([f"<{kind.upper()}>"] if row["kind"] == "personal" else []), row
    unchanged = [each for each, row in planted.items() if row["kind"] == "no_personal"]
    assert [after[each] for each in unchanged] == [texts[each] for each in unchanged]
    found = {kind: number for kind, number in cleaned.summary["personal_data"].items() if number}
    assert found == dict.fromkeys(("email", "phone", "card", "iban", "ip", "key", "url", "id"), 1)
