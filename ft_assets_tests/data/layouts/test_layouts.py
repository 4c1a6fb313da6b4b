from typing import get_args

import pytest

from ft_assets.data.config import ColumnsConfig
from ft_assets.data.forms import GENERAL
from ft_assets.data.layouts import load_layout
from ft_assets.errors import UserError
from ft_assets.task import task_types
from ft_assets.task_types import GENERATION, generates


def test_text_classification_reads_a_text_and_learns_a_label():
    layout = load_layout("text-classification")
    assert (layout.input_fields, layout.target_field) == (("text",), "label")


@pytest.mark.parametrize("task_type", GENERATION)
def test_models_that_write_read_context_and_text_and_learn_an_answer(task_type):
    layout = load_layout(task_type)
    assert (layout.input_fields, layout.target_field) == (("context", "text"), "label")
    assert set(GENERAL) <= set(layout.forms)


def test_every_layout_of_the_configuration_is_a_form_and_the_other_way_round():
    forms = {form.name for task_type in GENERATION for form in load_layout(task_type).forms}
    assert set(get_args(ColumnsConfig.model_fields["layout"].annotation)) == forms | {"auto"}


def test_those_that_write_and_those_that_choose_are_all_task_types():
    assert {name for name in task_types() if generates(name)} == set(GENERATION)
    assert set(task_types()) == {"text-classification", *GENERATION}


def test_an_unknown_task_type_names_those_there_are():
    with pytest.raises(UserError, match="text-classification"):
        load_layout("text-clasification")
