import pytest

from ft_assets.data.layouts import load_layout
from ft_assets.errors import UserError


def test_text_classification_reads_a_text_and_learns_a_label():
    layout = load_layout("text-classification")
    assert (layout.input_fields, layout.target_field) == (("text",), "label")


def test_an_unknown_task_type_names_those_there_are():
    with pytest.raises(UserError, match="text-classification"):
        load_layout("text-clasification")
