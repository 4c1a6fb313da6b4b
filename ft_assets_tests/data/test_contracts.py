import json
import re
import socket
from typing import get_args

import pyarrow as pa
import pytest

from ft_assets.data import contract_runner
from ft_assets.data.answers import answer
from ft_assets.data.cleaning import clean
from ft_assets.data.config import (
    CleaningConfig,
    ContractsConfig,
    LabelsConfig,
    OwnCheck,
    SettableCheck,
    SplitsConfig,
)
from ft_assets.data.contracts import STAGES, expectations, run
from ft_assets.data.examples import (
    CLEANED_SCHEMA,
    LABELED_SCHEMA,
    RAW_SCHEMA,
    SPLIT_SCHEMA,
    StageTables,
    counts,
)
from ft_assets.data.labels import label
from ft_assets.data.near_duplicates import settled
from ft_assets.data.remembered import Memory
from ft_assets.data.splits import SPLITS
from ft_assets_tests.data.helpers import (
    answers,
    conversation_table,
    planted_tickets,
    raw_table,
    split,
    turns,
    unlike,
)

LABELS = ["x", "y"]


def examples(count=60):
    return [(unlike(index), LABELS[index % 2]) for index in range(count)]


def stages(rows, labels=LABELS, splits=None):
    """All stages' tables of raw rows."""
    raw = raw_table(*rows)
    cleaned = clean(raw, CleaningConfig())
    labelled = label(cleaned.examples, LabelsConfig(names=labels))
    parts = split(labelled.examples, splits or SplitsConfig(validation=0.3, test=0.3))
    return {
        "raw_examples": StageTables(raw, summary=counts(raw.num_rows, raw, *EMPTY)),
        "cleaned_examples": cleaned,
        "labeled_examples": labelled,
        **{f"{name}_split": parts[name] for name in SPLITS},
    }


EMPTY = (StageTables(RAW_SCHEMA.empty_table()).quarantine, StageTables(RAW_SCHEMA.empty_table()).merged)


def failures(stage, made, labels=LABELS, **settings):
    """Name → outcome of what has failed."""
    splits = {name: made[f"{name}_split"] for name in SPLITS} if stage.endswith("split") else None
    outcomes = run(expectations(stage, labels, **settings), made[stage], splits)
    return {outcome.name: outcome for outcome in outcomes if not outcome.passed}


def replaced(tables, **columns):
    """The tables with other columns of examples; what the code would never make."""
    table = tables.examples
    for name, values in columns.items():
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(values, table.schema.field(name).type)
        )
    return StageTables(table, tables.quarantine, tables.merged, tables.summary)


@pytest.mark.parametrize("stage", STAGES)
def test_names_are_unique_and_fit_for_checks(stage):
    names = [each.name for each in expectations(stage, LABELS)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9_]+", name) for name in names)


def test_every_expectation_says_what_holds_and_what_to_do():
    for stage in STAGES:
        for each in expectations(stage, LABELS):
            assert each.stage == stage
            assert each.description
            assert each.advice


def test_an_unknown_stage_is_an_error():
    with pytest.raises(ValueError, match="unknown stage"):
        expectations("training", LABELS)


@pytest.mark.parametrize(
    ("stage", "schema"),
    [("raw_examples", RAW_SCHEMA), ("cleaned_examples", CLEANED_SCHEMA), ("labeled_examples", LABELED_SCHEMA)]
    + [(f"{name}_split", SPLIT_SCHEMA) for name in SPLITS],
)
def test_the_contract_states_the_columns_that_the_stages_write(stage, schema):
    stated = next(each for each in expectations(stage, LABELS) if each.name == "schema")
    assert stated.kwargs["column_list"] == [f"{field.name}: {field.type}" for field in schema]


@pytest.mark.parametrize("stage", STAGES)
def test_good_data_passes_every_expectation_in_the_order_given(stage):
    made = stages(examples())
    splits = {name: made[f"{name}_split"] for name in SPLITS}
    expected = expectations(stage, LABELS)
    outcomes = run(expected, made[stage], splits if stage.endswith("split") else None)
    assert [outcome.name for outcome in outcomes] == [each.name for each in expected]
    # The shares of 20 rows are far from even: what is checked elsewhere.
    assert [
        outcome.name for outcome in outcomes if not outcome.passed and outcome.name != "label_balance"
    ] == []
    assert all(outcome.advice == "" for outcome in outcomes if outcome.passed)


def test_running_prints_nothing_and_opens_no_connection(capfd, monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    contract_runner._batch_definition.cache_clear()
    monkeypatch.setattr(socket.socket, "connect", refuse)
    made = stages(examples(10))
    assert failures("cleaned_examples", made) == {}
    assert capfd.readouterr() == ("", "")


def test_a_failure_gives_counts_ids_and_advice_and_no_text():
    made = stages(examples(30))
    made["cleaned_examples"] = replaced(
        made["cleaned_examples"], text=["", "secret words \ufffd", *(f"t{i}" for i in range(28))]
    )
    found = failures("cleaned_examples", made)
    assert set(found) == {"text_present", "text_length", "text_decodable"}
    outcome = found["text_decodable"]
    assert (outcome.severity, outcome.checked, outcome.unexpected, outcome.example_ids) == (
        "critical",
        30,
        1,
        ["e001"],
    )
    assert outcome.advice.startswith("1 of 30 rows: ")
    assert "secret" not in str(outcome.as_dict())


def test_at_most_twenty_ids_are_given():
    made = stages(examples(60))
    made["labeled_examples"] = replaced(made["labeled_examples"], label=["z"] * 60)
    outcome = failures("labeled_examples", made)["label_set"]
    assert (outcome.unexpected, len(outcome.example_ids)) == (60, 20)


def test_lengths_are_those_of_the_tasks_cleaning():
    found = failures("cleaned_examples", stages(examples(10)), cleaning=CleaningConfig(max_chars=5))
    assert set(found) == {"text_length"}


def test_lost_rows_fail_conservation():
    made = stages(examples(20))
    for stage in ("raw_examples", "cleaned_examples", "labeled_examples"):
        tables = made[stage]
        lost = StageTables(tables.examples.slice(1), tables.quarantine, tables.merged, tables.summary)
        outcome = failures(stage, made | {stage: lost})["rows_conserved"]
        assert (outcome.severity, outcome.unexpected) == ("critical", 1)


def test_erased_rows_are_accounted_for():
    made = stages(examples(20))
    tables = made["raw_examples"]
    left_out = StageTables(tables.examples.slice(1), summary=tables.summary | {"erased": 1})
    assert failures("raw_examples", made | {"raw_examples": left_out}) == {}


def test_a_missing_column_fails_the_schema_and_all_that_needs_it():
    made = stages(examples(10))
    tables = made["cleaned_examples"]
    without = StageTables(
        tables.examples.drop_columns(["text"]), tables.quarantine, tables.merged, tables.summary
    )
    found = failures("cleaned_examples", made | {"cleaned_examples": without})
    assert set(found) == {"schema", "text_present", "text_length", "text_decodable", "no_personal_data"}
    assert "missing" in found["text_length"].advice
    assert "text_key: string" in found["schema"].advice


def test_another_type_fails_the_schema():
    made = stages(examples(10))
    tables = made["raw_examples"]
    table = tables.examples.set_column(3, "row", pa.array([1.0] * 10))
    other = StageTables(table, tables.quarantine, tables.merged, tables.summary)
    assert set(failures("raw_examples", made | {"raw_examples": other})) == {"schema"}


def test_ids_that_repeat_or_are_missing_fail():
    made = stages(examples(4))
    made["cleaned_examples"] = replaced(made["cleaned_examples"], example_id=["a", "a", "b", None])
    found = failures("cleaned_examples", made)
    assert set(found) == {"example_id_present", "ids_unique"}
    assert found["ids_unique"].unexpected == 2


def test_duplicates_left_fail_at_cleaning_and_labelling():
    made = stages(examples(4))
    twins = {"text_key": ["same", "same", "b", "c"], "label": ["x", "x", "x", "y"]}
    for stage, name in (("cleaned_examples", "duplicates_merged"), ("labeled_examples", "texts_unique")):
        found = failures(stage, made | {stage: replaced(made[stage], **twins)})
        assert {key: outcome.example_ids for key, outcome in found.items()} == {name: ["e001"]}


def test_rows_that_are_ratings_of_one_text_may_stand_twice_until_they_are_counted():
    names = {each.name for each in expectations("cleaned_examples", ["a", "b"], rated=True)}
    assert "duplicates_merged" not in names
    assert "texts_unique" in {each.name for each in expectations("labeled_examples", ["a", "b"], rated=True)}


def test_nothing_left_is_critical():
    made = stages([("a", "?"), ("b", "?")])
    found = failures("labeled_examples", made)
    assert {name for name, outcome in found.items() if outcome.severity == "critical"} == {
        "has_rows",
        "at_least_two_classes",
        "as_many_rows_as_classes",
    }


def test_one_class_only_is_critical():
    found = failures("labeled_examples", stages([("a", "x"), ("b", "x"), ("c", "x")]))
    assert found["at_least_two_classes"].severity == "critical"
    assert found["every_class_present"].severity == "warning"
    assert found["every_class_present"].advice.startswith("no row has the label 'y'")
    assert (found["every_class_present"].checked, found["every_class_present"].unexpected) == (2, 1)


def test_fewer_rows_than_classes_are_critical():
    labels = ["x", "y", "z"]
    found = failures("labeled_examples", stages([("a", "x"), ("b", "y")], labels), labels)
    assert found["as_many_rows_as_classes"].severity == "critical"
    assert found["as_many_rows_as_classes"].advice.startswith("found 2: ")


def test_a_class_missing_from_a_split_is_critical_in_train_and_a_warning_elsewhere():
    made = stages(examples(60))
    for name, severity in (("train", "critical"), ("validation", "warning"), ("test", "warning")):
        stage = f"{name}_split"
        one_class = replaced(made[stage], label=["x"] * made[stage].examples.num_rows)
        found = failures(stage, made | {stage: one_class})
        assert found["every_class_present"].severity == severity
        assert found["at_least_two_classes"].severity == severity


def test_rows_shared_by_two_splits_are_critical():
    made = stages(examples(60))
    train, test = made["train_split"].examples, made["test_split"]
    leaked = pa.concat_tables([test.examples, train.slice(0, 1)])
    made["test_split"] = StageTables(leaked, test.quarantine, test.merged, test.summary)
    for stage in ("train_split", "test_split"):
        found = failures(stage, made)
        for name in ("no_shared_ids", "no_shared_clusters", "no_shared_texts"):
            assert found[name].severity == "critical"
            assert found[name].example_ids == [train["example_id"][0].as_py()]
        assert "all_rows_assigned" in found
    assert not set(failures("validation_split", made)) & {
        "no_shared_ids",
        "no_shared_clusters",
        "no_shared_texts",
    }


def test_a_text_that_differs_only_in_case_is_shared():
    made = stages(examples(60))
    train, test = made["train_split"], made["test_split"]
    texts = [train.examples["text"][0].as_py().upper(), *test.examples["text"].to_pylist()[1:]]
    made["test_split"] = replaced(test, text=texts)
    found = set(failures("train_split", made))
    assert found - {"label_balance"} == {"no_shared_texts", "no_shared_near_duplicates"}


RADIO = "the radio of my brother looks great and feels solid after two days"


def with_text(made, stage, text):
    """The stages with another text in the first row of a split; and that row's id."""
    table = made[stage].examples
    texts = [text, *table["text"].to_pylist()[1:]]
    return made | {stage: replaced(made[stage], text=texts)}, table["example_id"][0].as_py()


def test_near_duplicates_in_two_splits_are_critical_whatever_was_found_before():
    made, in_train = with_text(stages(examples(60)), "train_split", RADIO)
    made, in_test = with_text(made, "test_split", f"{RADIO}!")
    for stage, row in (("train_split", in_train), ("test_split", in_test)):
        outcome = failures(stage, made)["no_shared_near_duplicates"]
        assert (outcome.severity, outcome.example_ids) == ("critical", [row])
        assert RADIO not in str(outcome.as_dict())
    assert "no_shared_near_duplicates" not in failures("validation_split", made)


def test_near_duplicates_in_one_split_are_none_in_two():
    made = stages(examples(60))
    texts = [RADIO, f"{RADIO}!", *made["train_split"].examples["text"].to_pylist()[2:]]
    made["train_split"] = replaced(made["train_split"], text=texts)
    assert "no_shared_near_duplicates" not in failures("train_split", made)


def test_the_threshold_of_near_duplicates_is_the_tasks():
    made, _ = with_text(stages(examples(60)), "train_split", RADIO)
    made, _ = with_text(made, "test_split", f"{RADIO} and nights")
    assert "no_shared_near_duplicates" in failures("test_split", made)
    strict = CleaningConfig(near_duplicates={"threshold": 0.95})
    assert "no_shared_near_duplicates" not in failures("test_split", made, cleaning=strict)
    off = CleaningConfig(near_duplicates={"action": "ignore"})
    assert "no_shared_near_duplicates" not in failures("test_split", made, cleaning=off)


@pytest.mark.parametrize("stage", ["validation_split", "test_split"])
def test_passages_that_stand_in_train_are_a_warning_with_the_limit_in_the_task(stage):
    before, after = (
        " ".join(unlike(number) for number in numbers) for numbers in (range(100, 120), range(200, 220))
    )
    made, _ = with_text(stages(examples(60)), "train_split", f"{before} {RADIO}")
    made, _ = with_text(made, stage, f"{RADIO} {after}")
    outcome = failures(stage, made)["few_shared_passages"]
    share = 1 / made[stage].examples.num_rows
    assert (outcome.severity, outcome.advice.split(":")[0]) == ("warning", f"found {share:,g}")
    assert "few_shared_passages" not in failures(
        stage, made, contracts=ContractsConfig(max_shared_passages=0.5)
    )


def test_near_duplicates_with_other_labels_are_a_warning():
    words = [unlike(number) for number in range(60)]
    text = " ".join(words)
    made = stages([(text, "x"), (f"{text}!", "y"), (" ".join(words[:50]), "x"), *examples(8)])
    made["labeled_examples"] = settled(made["labeled_examples"], CleaningConfig().near_duplicates)
    outcome = failures("labeled_examples", made)["near_duplicate_labels_agree"]
    # The third one has the label of the first and is less than 0.9 like the second.
    assert (outcome.severity, outcome.example_ids) == ("warning", ["e000", "e001"])


def test_a_cluster_of_many_near_duplicates_is_a_warning_with_the_limit_in_the_task():
    made = stages([*((f"{RADIO} {number}", "x") for number in range(4)), *examples(16)])
    made["labeled_examples"] = settled(made["labeled_examples"], CleaningConfig().near_duplicates)
    outcome = failures("labeled_examples", made)["near_duplicate_clusters_small"]
    assert (outcome.severity, outcome.advice.split(":")[0]) == ("warning", "found 0.2")
    assert failures("labeled_examples", made, contracts=ContractsConfig(max_cluster=0.25)) == {}


def test_a_split_alone_cannot_be_judged():
    made = stages(examples(20))
    with pytest.raises(ValueError, match="all three splits"):
        run(expectations("train_split", LABELS), made["train_split"])


def test_many_refused_rows_are_a_warning_with_the_limit_in_the_task():
    made = stages([*examples(10), ("", "x"), ("", "y")])
    found = failures("cleaned_examples", made)
    assert {name: outcome.severity for name, outcome in found.items()} == {"few_rows_quarantined": "warning"}
    assert failures("cleaned_examples", made, contracts=ContractsConfig(max_quarantined=0.2)) == {}


def test_an_uneven_split_is_a_warning_with_the_limit_in_the_task():
    made = stages(examples(60))
    summary = made["test_split"].summary | {
        "largest_deviation": {"split": "test", "label": "x", "deviation": -0.2}
    }
    made["test_split"] = StageTables(made["test_split"].examples, summary=summary)
    assert failures("test_split", made)["label_balance"].severity == "warning"
    assert "label_balance" not in failures(
        "test_split", made, contracts=ContractsConfig(max_label_deviation=0.2)
    )


def test_the_task_says_what_a_check_is():
    settings = ContractsConfig(severity={"label_balance": "critical", "every_class_present": "warning"})
    of = {each.name: each.severity for each in expectations("train_split", LABELS, settings)}
    assert (of["label_balance"], of["every_class_present"]) == ("critical", "warning")


def own(**check):
    """A check of the task's own, and what it finds of 30 rows: ten of two words and 17 characters, the others of one
    word and twelve."""
    settings = ContractsConfig(expect=[OwnCheck(name="own", **check)])
    rows = [
        (f"{text} more" if place < 10 else text, label) for place, (text, label) in enumerate(examples(30))
    ]
    return failures("labeled_examples", stages(rows), contracts=settings).get("own")


@pytest.mark.parametrize(
    "check",
    [
        {"column": "chars", "between": [10, 20]},
        {"column": "words", "between": [1, None]},
        {"column": "label", "in_set": ["x", "y"]},
        {"column": "label", "not_in_set": ["z"]},
        {"column": "label", "matches": "^[xy]$"},
        {"column": "group", "matches": "no row has one"},
        {"column": "chars", "between": [14, None], "mostly": 0.3},
    ],
)
def test_a_check_of_the_tasks_own_passes_where_it_holds(check):
    assert own(**check) is None


@pytest.mark.parametrize(
    ("check", "unexpected"),
    [
        ({"column": "chars", "between": [14, None]}, 20),
        ({"column": "chars", "between": [14, None], "mostly": 0.4}, 20),
        ({"column": "words", "between": [None, 1]}, 10),
        ({"column": "label", "in_set": ["x"]}, 15),
        ({"column": "label", "not_in_set": ["x"]}, 15),
        ({"column": "label", "matches": "y"}, 15),
    ],
)
def test_a_check_of_the_tasks_own_counts_the_rows_that_break_it(check, unexpected):
    outcome = own(**check, severity="critical", advice="ask the team")
    assert (outcome.severity, outcome.unexpected, outcome.checked) == ("critical", unexpected, 30)
    assert outcome.advice == f"{unexpected} of 30 rows: ask the team"
    assert len(outcome.example_ids) == min(unexpected, 20)


def test_a_check_of_the_tasks_own_needs_a_name_of_its_own():
    settings = ContractsConfig(expect=[OwnCheck(name="label_set", column="label", in_set=["x"])])
    with pytest.raises(ValueError, match="labeled_examples has a check 'label_set' already"):
        expectations("labeled_examples", LABELS, settings)


def test_every_check_with_a_severity_of_the_tasks_is_there():
    checks = {each.name for stage in STAGES for each in expectations(stage, LABELS)}
    checks |= {each.name for each in expectations("labeled_examples", None)}
    # That one needs the worker, so no contract holds it (`components/semantic_duplicates.py`).
    assert set(get_args(SettableCheck)) - checks == {"no_shared_semantic_duplicates"}


def test_only_values_are_judged_and_never_a_row(monkeypatch):
    judged = []
    validate = contract_runner._validate
    monkeypatch.setattr(
        contract_runner,
        "_validate",
        lambda expected, table: judged.append(table) or validate(expected, table),
    )
    made = stages(examples(300))
    assert failures("cleaned_examples", made) == {}
    lengths = {len(text) for text in made["cleaned_examples"].examples["text"].to_pylist()}
    assert max(table.num_rows for table in judged) == len(lengths)
    assert not {str(field.type) for table in judged for field in table.schema} - {"int64", "bool", "double"}


def test_the_planted_data_set_passes_with_warnings_at_most():
    raw = planted_tickets()
    cleaned = clean(raw.examples, CleaningConfig())
    config = LabelsConfig(map=answers()["label_map"])
    # Its few authors write by one pattern: from 0.7 on, most of them would be one cluster.
    cleaning = CleaningConfig(near_duplicates={"threshold": 0.9})
    labelled = settled(label(cleaned.examples, config), cleaning.near_duplicates)
    parts = split(labelled.examples, SplitsConfig())
    made = {"raw_examples": raw, "cleaned_examples": cleaned, "labeled_examples": labelled}
    made |= {f"{name}_split": parts[name] for name in SPLITS}
    for stage in STAGES:
        critical = [
            outcome.name
            for outcome in failures(stage, made, config.label_names(), cleaning=cleaning).values()
            if outcome.severity == "critical"
        ]
        assert critical == []


def conversations(count=60):
    return [{"text": unlike(index), "label": f"answer {index % 7}"} for index in range(count)]


def written(rows):
    """All stages' tables of a task whose model writes."""
    raw = conversation_table(*rows)
    cleaned = clean(raw, CleaningConfig(), conversations=True)
    answered = answer(cleaned.examples)
    parts = split(answered.examples, SplitsConfig(validation=0.3, test=0.3), classes=False)
    return {
        "raw_examples": StageTables(raw, summary=counts(raw.num_rows, raw, *EMPTY)),
        "cleaned_examples": cleaned,
        "labeled_examples": answered,
        **{f"{name}_split": parts[name] for name in SPLITS},
    }


@pytest.mark.parametrize("stage", STAGES)
def test_conversations_pass_and_nothing_is_said_about_classes(stage):
    names = {each.name for each in expectations(stage, None)}
    assert not names & {
        *("label_present", "label_set", "at_least_two_classes", "as_many_rows_as_classes"),
        *("every_class_present", "label_balance", "texts_unique"),
    }
    assert failures(stage, written(conversations()), None) == {}


def test_the_same_prompt_may_stand_with_several_answers():
    made = written([*conversations(), {"text": unlike(1), "label": "another"}])
    for stage in STAGES:
        assert failures(stage, made, None) == {}


def test_rows_without_an_answer_beside_rows_with_one_are_a_warning():
    made = written([*conversations(), {"text": "plain"}])
    outcome = failures("labeled_examples", made, None)["answers_present"]
    assert (outcome.severity, outcome.unexpected, outcome.example_ids) == ("warning", 1, ["e060"])


def test_plain_texts_alone_need_no_answer():
    made = written([{"text": unlike(index)} for index in range(60)])
    for stage in STAGES:
        assert failures(stage, made, None) == {}


def test_a_prompt_in_two_splits_is_critical_whatever_its_answer():
    made = written(conversations())
    train, test = made["train_split"], made["test_split"]
    texts = [train.examples["text"][0].as_py(), *test.examples["text"].to_pylist()[1:]]
    made["test_split"] = replaced(test, text=texts)
    assert failures("train_split", made, None)["no_shared_texts"].severity == "critical"


def test_a_prompt_with_another_context_is_not_shared():
    made = written(conversations())
    train, test = made["train_split"], made["test_split"]
    texts = [train.examples["text"][0].as_py(), *test.examples["text"].to_pylist()[1:]]
    contexts = ['[{"role": "user", "content": "x"}]', *test.examples["context"].to_pylist()[1:]]
    made["test_split"] = replaced(test, text=texts, context=contexts)
    assert failures("train_split", made, None) == {}


def test_personal_data_that_cleaning_would_leave_is_found_and_not_told():
    made = stages(examples())
    texts = made["cleaned_examples"].examples["text"].to_pylist()
    spoilt = replaced(made["cleaned_examples"], text=["ask jane@example.org", *texts[1:]])
    (outcome,) = failures("cleaned_examples", {"cleaned_examples": spoilt}).values()
    assert (outcome.name, outcome.severity, outcome.unexpected) == ("no_personal_data", "critical", 1)
    assert outcome.example_ids == [spoilt.examples["example_id"][0].as_py()]
    assert "jane" not in str(outcome.as_dict())
    off = CleaningConfig(personal_data=["ip"])
    assert failures("cleaned_examples", {"cleaned_examples": spoilt}, cleaning=off) == {}


def test_a_text_that_was_looked_through_is_not_looked_through_again_and_a_new_one_is(tmp_path, monkeypatch):
    looked_through = []
    inner = contract_runner.free_of
    monkeypatch.setattr(
        contract_runner,
        "free_of",
        lambda texts, *rest: (looked_through.extend(texts), inner(texts, *rest))[1],
    )
    made, memory = stages(examples(20)), Memory(tmp_path, "code")

    def unexpected(tables):
        looked_through.clear()
        expected = expectations("cleaned_examples", LABELS, ContractsConfig(), CleaningConfig())
        outcomes = {each.name: each for each in run(expected, tables, memory=memory)}
        return outcomes["no_personal_data"].unexpected

    clean_ones = made["cleaned_examples"]
    texts = clean_ones.examples["text"].to_pylist()
    assert unexpected(clean_ones) == 0 and set(texts) <= set(looked_through)
    assert unexpected(clean_ones) == 0 and looked_through == []
    spoilt = replaced(clean_ones, text=["ask jane@example.org", *texts[1:]])
    for _ in range(2):  # what was found is remembered, too
        assert unexpected(spoilt) == 1
    assert looked_through == []


@pytest.mark.parametrize("place", ["text", "label", "context"])
def test_personal_data_is_looked_for_in_all_that_is_read_of_a_conversation(place):
    before = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi", "name": "x"}]
    table = conversation_table(
        {"text": "hello", "label": "yes", "context": before}, {"text": "bye", "label": None}
    )
    tables = clean(table, CleaningConfig(), conversations=True)
    assert failures("cleaned_examples", {"cleaned_examples": tables}, labels=None) == {}
    kept = tables.examples[place].to_pylist()
    first = kept.index(next(value for value in kept if value))
    kept[first] = kept[first].replace("hi", "a@b.org").replace("yes", "a@b.org").replace("hello", "a@b.org")
    assert "a@b.org" in kept[first]
    spoilt = replaced(tables, **{place: kept})
    assert list(failures("cleaned_examples", {"cleaned_examples": spoilt}, labels=None)) == [
        "no_personal_data"
    ]


@pytest.mark.parametrize(
    "arguments",
    [{"to": "a@b.org"}, {"a@b.org": 1}, {"deep": [{"to": ["a@b.org"]}]}, {"card": 4111111111111111}],
)
def test_personal_data_is_looked_for_in_calls_of_tools(arguments):
    call = {"type": "function", "function": {"name": "send", "arguments": {"to": "Bo"}}}
    before = [*turns("hi"), {"role": "assistant", "content": "", "tool_calls": [call]}]
    tables = clean(
        conversation_table({"text": "sent", "label": "done", "context": before}),
        CleaningConfig(),
        conversations=True,
    )
    assert failures("cleaned_examples", {"cleaned_examples": tables}, labels=None) == {}
    call["function"]["arguments"] = arguments
    spoilt = replaced(tables, context=[json.dumps(before)])
    assert list(failures("cleaned_examples", {"cleaned_examples": spoilt}, labels=None)) == [
        "no_personal_data"
    ]
