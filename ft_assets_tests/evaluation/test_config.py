"""Settings of the evaluation."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ft_assets import evaluation
from ft_assets.evaluation.config import EvaluationConfig, report_checks


def test_the_defaults_are_those_of_the_issue():
    config = EvaluationConfig()
    assert (config.resamples, config.confidence, config.baselines) == (10_000, 0.95, None)


def test_a_misspelt_key_names_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'resamples'"):
        EvaluationConfig.model_validate({"resample": 10})


@pytest.mark.parametrize(
    ("task_type", "names"),
    [
        ("text-classification", ("majority", "tfidf")),
        ("text-generation", ("zero_shot", "few_shot")),
        ("summarization", ("zero_shot", "few_shot")),
        ("translation", ("zero_shot", "few_shot")),
    ],
)
def test_a_task_without_a_choice_has_all_baselines_of_its_type(task_type, names):
    EvaluationConfig().check_baselines(task_type)
    assert EvaluationConfig().baselines_for(task_type) == names


@pytest.mark.parametrize("names", [(), ("tfidf",)])
def test_a_choice_of_baselines_is_kept(names):
    config = EvaluationConfig(baselines=names)
    config.check_baselines("text-classification")
    assert config.baselines_for("text-classification") == names


@pytest.mark.parametrize(
    ("task_type", "name", "fitting"),
    [
        ("translation", "tfidf", "zero_shot, few_shot"),
        ("text-classification", "zero_shot", "majority, tfidf"),
    ],
)
def test_a_baseline_of_another_sort_of_task_is_refused_with_those_that_fit(task_type, name, fitting):
    with pytest.raises(ValueError, match=f"{name} cannot stand .* '{task_type}'; use some of: {fitting}"):
        EvaluationConfig(baselines=(name,)).check_baselines(task_type)


def test_every_task_type_has_its_own_checks():
    assert set(report_checks("text-classification")) & set(report_checks("translation")) == {
        "enough_clusters",
        "defined_in_every_resample",
    }


@pytest.mark.parametrize(
    "wrong",
    [{"resamples": 5}, {"confidence": 1.0}, {"baselines": ["nearest"]}, {"baselines": ["tfidf", "tfidf"]}],
)
def test_a_senseless_value_is_refused(wrong):
    with pytest.raises(ValidationError):
        EvaluationConfig.model_validate(wrong)


def test_what_the_code_location_loads_is_light():
    code = (
        "import sys, ft_assets.evaluation, ft_assets.evaluation.config, ft_assets.pages.charts; "
        "heavy = ('numpy', 'pyarrow', 'sklearn', 'evaluate', 'torch', 'jinja2'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


@pytest.mark.parametrize(
    "path", sorted(Path(evaluation.__file__).parent.glob("*.py")), ids=lambda path: path.name
)
def test_the_layer_never_imports_dagster(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.split(".")[0].startswith("dagster")]
