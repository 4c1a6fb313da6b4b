"""Settings of training: defaults by method, clear errors, and a module that is light to load."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from ft_assets.training.config import TrainingConfig


def test_the_learning_rate_follows_the_method():
    full, lora = TrainingConfig(method="full"), TrainingConfig(method="lora")
    for task_type in ("text-classification", "text-generation"):
        assert full.effective_learning_rate(task_type) < lora.effective_learning_rate(task_type)


def test_dropout_is_off_with_adapters_and_the_models_own_with_full_training():
    assert TrainingConfig(method="lora").effective_dropout() == 0.0
    assert TrainingConfig(method="full").effective_dropout() is None
    assert TrainingConfig(method="lora", dropout=0.2).effective_dropout() == 0.2


def test_a_learning_rate_of_the_users_is_kept():
    assert TrainingConfig(learning_rate=3e-4).effective_learning_rate("translation") == 3e-4


def test_an_unknown_key_names_the_nearest_known_one():
    with pytest.raises(ValidationError, match="did you mean 'epochs'"):
        TrainingConfig.model_validate({"epoch": 3})


def test_every_setting_has_a_description():
    assert [name for name, field in TrainingConfig.model_fields.items() if not field.description] == []


def test_the_settings_and_the_work_order_load_no_heavy_library():
    heavy = [
        "torch",
        "transformers",
        "datasets",
        "pyarrow",
        "pandas",
        "polars",
        "numpy",
        "dagster",
        "sklearn",
        "peft",
    ]
    code = (
        "import sys, ft_assets.training.config, ft_assets.worker.work_order\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
