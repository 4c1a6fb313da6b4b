"""The data card says what the stages have recorded, and nothing of a row's text."""

import json

import pyarrow as pa
import pytest

from ft_assets.data.card.facts import SPLITS, STAGES, build_card, cluster_facts
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, ContractsConfig, LabelsConfig, SplitsConfig
from ft_assets.data.contracts import expectations, run
from ft_assets.data.labels import label
from ft_assets.data.near_duplicates import settled
from ft_assets_tests.data.helpers import answers, planted_tickets, split

ABOUT = {
    **{"task": "tickets", "task_type": "text-classification", "title": "tickets", "description": ""},
    **{"licence": "", "source": "", "language": "", "contact": ""},
}
NO_DRIFT = {"says": "nothing to compare", "measures": []}


def manifests_of(raw, labels):
    """The manifests of all stages, as far as a card reads them."""
    cleaned = clean(raw.examples, CleaningConfig())
    labelled = settled(label(cleaned.examples, labels), CleaningConfig().near_duplicates)
    parts = split(labelled.examples, SplitsConfig())
    made = {"raw_examples": raw, "cleaned_examples": cleaned, "labeled_examples": labelled}
    made |= {f"{name}_split": tables for name, tables in parts.items()}
    checks = {
        stage: run(
            # A row of 100: then there is a check that fails.
            expectations(stage, labels.label_names(), ContractsConfig(max_quarantined=0.01)),
            tables,
            parts if stage in SPLITS else None,
        )
        for stage, tables in made.items()
    }
    manifests = {
        stage: {
            "summary": json.loads(json.dumps(tables.summary)),
            "checks": [outcome.as_dict() for outcome in checks[stage]],
            "data_version": "d" * 32,
            "code_version": "c" * 12,
            "libraries": {"polars": "1"},
        }
        for stage, tables in made.items()
    }
    return manifests, labelled


@pytest.fixture(scope="module")
def planted():
    return manifests_of(planted_tickets(), LabelsConfig(map=answers()["label_map"]))


@pytest.fixture(scope="module")
def card(planted):
    manifests, labelled = planted
    clusters = cluster_facts(labelled.examples["cluster"])
    return build_card(ABOUT, manifests, clusters=clusters, drift=NO_DRIFT, settings={"splits": {"test": 0.1}})


def test_every_row_that_was_read_is_accounted_for(card):
    for stage in card["flow"]:
        assert stage["rows_in"] == sum(stage[fate] for fate in ("kept", "merged", "quarantined", "erased"))
    assert [stage["stage"] for stage in card["flow"]] == [*STAGES, "splits"]
    assert sum(each["rows"] for each in card["splits"]) == card["flow"][-1]["kept"]
    lost = sum(stage["merged"] + stage["quarantined"] for stage in card["flow"])
    assert sum(each["rows"] for each in card["rules"]) == lost


def test_rows_that_the_splits_put_back_were_not_lost(planted, card):
    """Cleaning has merged two rows of which splits have one for another, and one beside another that is refused."""
    manifests, labelled = planted
    test = manifests["test_split"]
    summary = test["summary"]
    put_back = {
        "rows_in": summary["rows_in"] + 2,
        "merged": 1,
        "quarantined": summary["quarantined"] + 1,
        "by_rule": summary["by_rule"] | {"recorded_before": 1, "group_across_splits": 1},
    }
    changed = manifests | {"test_split": test | {"summary": summary | put_back}}
    made = build_card(
        ABOUT, changed, clusters=cluster_facts(labelled.examples["cluster"]), drift=NO_DRIFT, settings={}
    )
    merged = sum(stage["merged"] for stage in card["flow"])
    assert f"{merged - 1:,} rows merged as duplicates" in made["conclusion"]


def test_every_rule_that_took_rows_stands_with_what_to_do_the_most_first(card):
    assert {"too_short", "conflicting_labels", "exact_duplicate"} & {each["rule"] for each in card["rules"]}
    assert all(each["says"] and each["do"] for each in card["rules"])
    rows = [each["rows"] for each in card["rules"]]
    assert rows == sorted(rows, reverse=True)


def test_all_checks_stand_with_their_outcome(planted, card):
    manifests, _ = planted
    assert len(card["checks"]) == sum(len(manifest["checks"]) for manifest in manifests.values())
    passed = {"raw_examples": [{"passed": True}], "test_split": [{"passed": True}]}
    one = passed | {"raw_examples": [{"passed": False}]}
    for outcomes, told in (
        (passed, "All 2 checks of its stages passed."),
        (one, "1 of 2 checks of its stages warns."),
    ):
        made = {stage: each | {"checks": outcomes.get(stage, [])} for stage, each in manifests.items()}
        assert told in build_card(ABOUT, made, clusters={}, drift=NO_DRIFT, settings={})["conclusion"]


def test_it_opens_with_the_rows_and_what_they_became(card):
    read, used = card["flow"][0]["rows_in"], card["flow"][-1]["kept"]
    assert card["answer"].startswith(f"{read} rows of 2 files became {used} examples: ")


def test_it_is_plain_json_and_holds_no_text_of_a_row(planted, card):
    _, labelled = planted
    told = json.dumps(card, allow_nan=False)
    assert not [text for text in labelled.examples["text"].to_pylist() if len(text) > 20 and text in told]


def test_clusters_are_counted_by_size_and_the_largest_named_masked():
    clusters = ["g:ann@example.org"] * 7 + ["g:b"] * 2 + ["t:0123"] * 3 + [f"t:{n}" for n in range(4)]
    facts = cluster_facts(pa.chunked_array([clusters]))
    assert facts["count"] == 7
    assert [(each["clusters"], each["rows"]) for each in facts["sizes"]] == [
        (4, 4),
        (2, 5),
        (1, 7),
        (0, 0),
        (0, 0),
    ]
    assert facts["largest"][:3] == [
        {"name": "<EMAIL>", "rows": 7},
        {"name": None, "rows": 3},
        {"name": "b", "rows": 2},
    ]


def test_what_only_some_tasks_have_is_taken_over_where_it_is_there(planted):
    manifests, _ = planted
    cleaned, labeled = manifests["cleaned_examples"], manifests["labeled_examples"]
    languages = {"looked_at": 5, "of": 50, "by_language": {"en": 4, "und": 1}}
    near = {
        "action": "cluster",
        "pairs": 3,
        "by_similarity": {"0.8 to 0.9": 3},
        "other_labels": 1,
        "largest": ["x"],
    }
    more = manifests | {
        "cleaned_examples": cleaned | {"summary": cleaned["summary"] | {"languages": languages}},
        "labeled_examples": labeled | {"summary": labeled["summary"] | {"near_duplicates": near}},
    }
    card = build_card(ABOUT, more, clusters={}, drift=NO_DRIFT, settings={})
    assert card["languages"] == languages
    assert card["duplicates"]["near"] == {"pairs": 3, "by_similarity": {"0.8 to 0.9": 3}, "other_labels": 1}
    assert card["duplicates"]["exact"] == sum(
        each["rows"] for each in card["rules"] if each["fate"] == "merged"
    )
