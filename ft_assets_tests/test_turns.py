"""The texts of a turn: all of them are seen, and changing them changes nothing else."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.turns import changed, texts

CALL = {
    "role": "assistant",
    "content": "so",
    "tool_calls": [
        {"id": "c1", "function": {"name": "f", "arguments": {"to": ["a", 12, 1.5, True, None]}}},
    ],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_names_keys_strings_and_numbers_are_texts_and_the_role_is_none():
    assert texts(CALL) == ["so", "id", "c1", "function", "name", "f", "arguments", "to", "a", "12", "1.5"]


def test_a_number_that_is_changed_becomes_a_string():
    made = changed(CALL, lambda text: "[number]" if text == "12" else text)
    assert made["tool_calls"][0]["function"]["arguments"] == {"to": ["a", "[number]", 1.5, True, None]}


def test_no_value_is_lost_where_two_keys_become_one():
    turn = {"role": "assistant", "content": "", "tool_calls": {"a": 1, "b": 2, "c": 3}}
    assert changed(turn, lambda text: "x" if text in "abc" else text)["tool_calls"] == {
        "x": 1,
        "x_": 2,
        "x__": 3,
    }


@settings(deadline=None)  # on a busy machine one example may wait for long
@given(JSON)
def test_a_turn_of_which_no_text_is_changed_stays_as_it_is(value):
    turn = {"role": "assistant", "content": "", "tool_calls": value}
    assert changed(turn, lambda text: text) == turn


@settings(deadline=None)  # on a busy machine one example may wait for long
@given(JSON)
def test_whatever_is_changed_it_stays_json_and_every_text_can_be_changed(value):
    made = changed({"role": "assistant", "content": "", "tool_calls": value}, lambda text: '"x')
    assert json.loads(json.dumps(made)) == made
    assert all(text.rstrip("_") == '"x' for text in texts(made))
