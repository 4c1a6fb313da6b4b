"""The list of rules is whole, and says of each rule what a person needs."""

import re

import pyarrow as pa
import pytest

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig
from ft_assets.data.contracts import STAGES
from ft_assets.data.examples import QUARANTINE_SCHEMA, RAW_SCHEMA, StageTables, counts
from ft_assets.data.labels import label
from ft_assets.data.rules import RULES, rule
from ft_assets.task import TaskConfig
from ft_assets_tests.data.helpers import answers, planted_tickets


def test_every_rule_says_what_is_so_what_to_do_and_where_it_is_set():
    settings = set(TaskConfig.model_fields)
    for name, each in RULES.items():
        assert re.fullmatch("[a-z_]+", name) and name == each.name
        assert each.says and each.do and set(each.stages) <= set(STAGES)
        assert not each.setting or each.setting.split(".")[0] in settings


def test_no_stage_can_refuse_a_row_by_a_rule_that_is_not_listed():
    refused = pa.table({name: ["x"] for name in QUARANTINE_SCHEMA.names if name != "row"} | {"row": [1]})
    rows = RAW_SCHEMA.empty_table()
    with pytest.raises(ValueError, match="no rule is called 'x': add it to RULES"):
        counts(1, rows, refused, StageTables(rows).merged)


def test_rules_are_listed_with_the_stages_that_apply_them():
    raw = planted_tickets()
    cleaned = clean(raw.examples, CleaningConfig())
    labelled = label(cleaned.examples, LabelsConfig(map=answers()["label_map"]))
    made = {"raw_examples": raw, "cleaned_examples": cleaned, "labeled_examples": labelled}
    applied = {(name, stage) for stage, tables in made.items() for name in tables.summary["by_rule"]}
    assert len(applied) > 8  # the planted rows break at least this many
    assert all(stage in rule(name).stages for name, stage in applied)
