import subprocess
import sys
from datetime import date

import pytest
from pydantic import ValidationError

from ft_assets.data.config import (
    CleaningConfig,
    ColumnRef,
    ColumnsConfig,
    ContractsConfig,
    LabelsConfig,
    SourceConfig,
    SplitsConfig,
    Threshold,
)
from ft_assets.task import TaskConfig


def test_settings_and_contracts_import_no_table_library():
    code = (
        "import sys, ft_assets.task, ft_assets.data.contracts, ft_assets.data.masking;"
        "print([name for name in ('polars', 'pyarrow', 'pandas', 'ftfy', 'great_expectations', 'dagster')"
        " if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_data_layer_never_imports_dagster_and_great_expectations_only_to_run_contracts():
    code = (
        "import sys, pkgutil, importlib, ft_assets.data as data;"
        "names = [m.name for m in pkgutil.walk_packages(data.__path__, 'ft_assets.data.')];"
        "[importlib.import_module(name) for name in names if not name.endswith('contract_runner')];"
        "print('dagster' in sys.modules, 'great_expectations' in sys.modules);"
        "importlib.import_module('ft_assets.data.contract_runner');"
        "print('dagster' in sys.modules, 'great_expectations' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False", "False", "True"]


def test_an_unknown_key_names_the_nearest_known_one():
    with pytest.raises(ValidationError, match="unknown key 'encodng': did you mean 'encoding'"):
        SourceConfig.model_validate({"path": "a.csv", "encodng": "latin-1"})


@pytest.mark.parametrize("given", [{}, {"path": "a.csv", "function": "m:f"}])
def test_a_source_is_a_path_or_a_function(given):
    with pytest.raises(ValidationError, match="exactly one of 'path', 'function' and 'sql'"):
        SourceConfig(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"encoding": "utf8x"}, "unknown encoding"),
        ({"encoding": "base64"}, "not a text encoding"),
        ({"encoding": "idna"}, "no file is written in 'idna'"),
        ({"encoding": "Punycode"}, "no file is written in"),
        ({"encoding": "unicode_escape"}, "no file is written in"),
        ({"delimiter": ";;"}, "one character"),
        ({"columns": ["a", "a"]}, "each only once"),
    ],
)
def test_a_source_that_cannot_be_read_that_way_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        SourceConfig(path="a.csv", **given)


@pytest.mark.parametrize(("pattern", "message"), [("(", "not a regular expression"), ("(a)(b)", "2 groups")])
def test_a_group_pattern_is_one_regular_expression_with_at_most_one_group(pattern, message):
    with pytest.raises(ValidationError, match=message):
        ColumnRef(column="id", pattern=pattern)


def test_a_group_is_a_column_or_a_part_of_one():
    assert ColumnsConfig.model_validate({"group": "author"}).group == "author"
    assert ColumnsConfig.model_validate({"group": {"column": "id"}}).group == ColumnRef(column="id")


def test_a_list_of_labels_means_names():
    assert LabelsConfig.model_validate(["b", "a"]).label_names() == ["b", "a"]


def test_labels_of_a_map_come_in_order_of_first_appearance():
    assert LabelsConfig(map={"2": "good", "1": "bad", "3": "good"}).label_names() == ["good", "bad"]


def test_numbers_in_a_map_are_read_as_they_are_written():
    assert LabelsConfig.model_validate({"map": {1: "bad", 2: "good"}}).map == {"1": "bad", "2": "good"}


def test_a_word_that_yaml_reads_as_a_truth_value_wants_quotes():
    with pytest.raises(ValidationError, match="put it in quotes"):
        LabelsConfig.model_validate([True, False])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "exactly one of"),
        ({"names": ["a", "b"], "map": {"x": "a", "y": "b"}}, "exactly one of"),
        ({"names": ["a"]}, "at least two labels"),
        ({"names": ["a", "b", "a"]}, "has a value twice"),
        ({"map": {"a": "x", " a": "y"}}, "has a value twice"),
        ({"thresholds": [{"label": "a"}, {"label": "b", "above": 1}]}, "no bound and is not the last"),
    ],
)
def test_labels_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        LabelsConfig(**given)


def test_a_threshold_leaves_room_between_its_bounds():
    with pytest.raises(ValidationError, match="no number is above"):
        Threshold(label="a", above=1, below=1)


def test_lengths_leave_room():
    with pytest.raises(ValidationError, match="min_chars"):
        CleaningConfig(min_chars=10, max_chars=9)


def test_splits_leave_something_to_train_on():
    with pytest.raises(ValidationError, match="nothing left for train"):
        SplitsConfig(validation=0.5, test=0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation_from": "2026-01-01", "test_from": "2026-03-01"}, "belong to 'by: time'"),
        ({"by": "time", "test_from": "2026-03-01"}, "give 'validation_from', too"),
        ({"by": "time", "test": 0, "validation_from": "2026", "test_from": "2027"}, "give 'test_from', too"),
        ({"by": "time", "validation_from": "2026-03-01", "test_from": "2026-01-01"}, "before 'test_from'"),
        ({"by": "time", "validation_from": "spring", "test_from": "2026-03-01"}, "'spring' is no time"),
    ],
)
def test_boundaries_in_time_that_make_no_sense_are_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        SplitsConfig(**given)


def test_a_boundary_is_the_same_however_it_is_written():
    written = [("2026-01-01", "2026-03-01"), (date(2026, 1, 1), "2026-03-01T01:00:00+01:00")]
    made = [SplitsConfig(by="time", validation_from=first, test_from=second) for first, second in written]
    assert made[0] == made[1]


def test_splits_by_time_need_a_column_of_times():
    with pytest.raises(ValidationError, match=r"columns: \{time: …\}"):
        task("text-generation", splits={"by": "time"})


def test_where_a_model_writes_another_one_has_to_embed():
    with pytest.raises(ValidationError, match=r"semantic_duplicates\.model: name an encoder"):
        task("text-generation", splits={"semantic_duplicates": {}})
    named = task("text-generation", splits={"semantic_duplicates": {"model": "models/encoder"}})
    assert named.splits.semantic_duplicates.threshold == 0.9


def test_a_split_of_share_0_needs_a_source():
    sources = [{"path": "a.csv"}, {"path": "b.csv", "split": "test"}]
    assert task("text-generation", splits={"test": 0}, sources=sources).splits.shares["train"] == 0.85
    with pytest.raises(ValidationError, match="a source with `split: validation`"):
        task("text-generation", splits={"validation": 0}, sources=sources)


def task(task_type, **settings):
    return TaskConfig.model_validate(
        {"task_type": task_type, "sources": [{"path": "a.csv"}], "base_model": "model"} | settings
    )


def test_a_task_that_writes_has_no_labels_and_one_that_chooses_has_some():
    assert task("text-generation").label_names is None
    assert task("text-classification", labels=["b", "a"]).label_names == ["b", "a"]
    with pytest.raises(ValueError, match="no labels"):
        _ = task("text-generation").label_rules


@pytest.mark.parametrize(
    ("task_type", "settings", "message"),
    [
        ("text-classification", {}, "labels: text-classification needs them"),
        ("text-classification", {"labels": ["a", "b"], "columns": {"layout": "chat"}}, "columns.layout: is for"),
        ("text-classification", {"labels": ["a", "b"], "columns": {"rename": {"x": "text"}}}, "columns.rename: is"),
        ("text-classification", {"labels": ["a", "b"], "prompt": {"system": "x"}}, "prompt: is for models that write"),
        ("text-classification", {"labels": ["a", "b"], "generation": {"shots": 2}}, "generation: is for"),
        ("summarization", {"labels": ["a", "b"]}, "labels: summarization has none"),
        ("text-generation", {"columns": {"text": "question"}}, "columns.text: .*rename: {your_name: prompt}"),
        ("text-generation", {"columns": {"label": "answer"}}, "columns.label: .*rename"),
        ("text-generation", {"columns": {"layout": "translation"}}, "does not read 'translation': known are chat"),
        ("text-generation", {"columns": {"rename": {"q": "promt"}}}, "no form has: did you mean 'prompt'"),
        ("text-generation", {"columns": {"layout": "chat", "rename": {"q": "prompt"}}}, "fields there: 'messages'"),
        ("text-generation", {"evaluation": {"baselines": ["tfidf"]}}, "evaluation.baselines: tfidf"),
        ("text-generation", {"training": {"method": "linear_probe"}}, "training.method: linear_probe"),
    ],
)  # fmt: skip
def test_settings_of_the_other_family_are_refused(task_type, settings, message):
    with pytest.raises(ValidationError, match=message):
        task(task_type, **settings)


def test_defaults_may_be_written_down():
    columns = {"text": "text", "label": "label", "layout": "auto", "rename": {}}
    assert task("text-generation", columns=columns) == task("text-generation")
    assert (
        task("text-classification", labels=["a", "b"], columns=columns, prompt={}).columns == ColumnsConfig()
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"severity": {"label_balanse": "critical"}}, "did you mean 'label_balance'"),
        (
            {"severity": {"rows_conserved": "warning"}},
            "no check 'rows_conserved' has a severity that can be set",
        ),
        ({"severity": {"label_balance": "fatal"}}, "'critical' or 'warning'"),
        ({"unreadable_files": "critical"}, "is now 'severity: {files_readable: critical}'"),
    ],
)
def test_a_severity_is_that_of_a_check_that_may_have_another(given, message):
    with pytest.raises(ValidationError, match=message):
        ContractsConfig.model_validate(given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ratings": ["a", "b"], "rater": "who"}, "not both"),
        ({"ratings": ["a", "a"]}, "a column twice"),
    ],
)
def test_ratings_come_from_columns_or_from_rows(given, message):
    with pytest.raises(ValidationError, match=message):
        ColumnsConfig(**given)


def test_numbers_are_averaged_and_names_vote_unless_told_otherwise():
    numbers = {"thresholds": [{"label": "a", "above": 0}, {"label": "b"}]}
    assert LabelsConfig(**numbers).rated_by == "mean"
    assert LabelsConfig(**numbers, ratings="majority").rated_by == "majority"
    assert LabelsConfig(names=["a", "b"]).rated_by == "majority"
    with pytest.raises(ValidationError, match="mean wants numbers"):
        LabelsConfig(names=["a", "b"], ratings="mean")


@pytest.mark.parametrize("path", ["s3://bucket/corrections.jsonl", "corrections.txt"])
def test_corrections_are_a_local_file_of_two_formats(path):
    with pytest.raises(ValidationError, match=r"\.jsonl or \.csv"):
        LabelsConfig(names=["a", "b"], corrections=path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "a", "column": "chars"}, "exactly one of between, in_set, not_in_set, matches"),
        ({"name": "a", "column": "label", "between": [1, 2]}, "does not fit the column label: use in_set"),
        (
            {"name": "a", "column": "chars", "in_set": ["1"]},
            "in_set does not fit the column chars: use between",
        ),
        ({"name": "a", "column": "chars", "between": [2, 1]}, "expected .least, largest."),
        ({"name": "a", "column": "chars", "between": [None, None]}, "of which one may be null"),
        ({"name": "a", "column": "label", "matches": "("}, "not a regular expression"),
        ({"name": "A b", "column": "label", "matches": "x"}, "name"),
        ({"name": "a", "colum": "label", "matches": "x"}, "did you mean 'column'"),
    ],
)
def test_a_check_of_the_tasks_own_that_makes_no_sense_is_refused(given, message):
    with pytest.raises(ValidationError, match=message):
        ContractsConfig.model_validate({"expect": [given]})


def test_two_checks_of_one_stage_have_different_names():
    check = {"name": "a", "column": "label", "matches": "x"}
    with pytest.raises(ValidationError, match="the same name"):
        ContractsConfig.model_validate({"expect": [check, check]})
    ContractsConfig.model_validate({"expect": [check, check | {"stage": "cleaned_examples"}]})
