"""Settings of the evaluation."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from ft_assets import evaluation
from ft_assets.evaluation.config import EvaluationConfig


def test_the_defaults_are_those_of_the_issue():
    config = EvaluationConfig()
    assert (config.resamples, config.confidence, config.baselines) == (10_000, 0.95, ("majority", "tfidf"))


def test_a_misspelt_key_names_the_nearest():
    with pytest.raises(ValidationError, match="did you mean 'resamples'"):
        EvaluationConfig.model_validate({"resample": 10})


@pytest.mark.parametrize(
    "wrong",
    [{"resamples": 5}, {"confidence": 1.0}, {"baselines": ["nearest"]}, {"baselines": ["tfidf", "tfidf"]}],
)
def test_a_senseless_value_is_refused(wrong):
    with pytest.raises(ValidationError):
        EvaluationConfig.model_validate(wrong)


def test_what_the_code_location_loads_is_light():
    code = (
        "import sys, ft_assets.evaluation, ft_assets.evaluation.config, ft_assets.evaluation.charts; "
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
