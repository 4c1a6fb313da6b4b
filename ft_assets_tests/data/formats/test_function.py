import re

import pytest

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.readers import raw_examples
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import rows

CODE = """
def good():
    yield {"body": "a", "stars": 5}
    yield {"body": "b", "stars": None, "more": object()}

def listed():
    return [{"body": "a", "stars": 1}]

def fails():
    yield {"body": "a", "stars": 1}
    raise ValueError("jane.doe@example.org is in row 2")

def texts():
    yield "a"

def nothing():
    return []

def none_within():
    yield {"body": "a", "stars": 1}
    yield None

def reused():
    row = {}
    for number in range(150):
        row["prompt"], row["completion"] = f"row {number}", "yes"
        yield row

number = 3
"""


@pytest.fixture
def call(tmp_path):
    (tmp_path / "my_rows.py").write_text(CODE)

    def read(name):
        source = SourceConfig(function=f"my_rows:{name}")
        return raw_examples([(source, [])], ColumnsConfig(text="body", label="stars"), base=tmp_path)

    return read


def test_mappings_are_rows(call):
    tables = call("good")
    assert rows(tables, "text", "label", "row", "file") == [
        ("a", "5", 1, "my_rows:good"),
        ("b", None, 2, "my_rows:good"),
    ]


def test_a_list_will_do(call):
    assert rows(call("listed"), "text") == [("a",)]


def test_an_exception_is_told_by_its_type_and_place_only(call):
    with pytest.raises(UserError, match="raised ValueError after 1 rows") as error:
        call("fails")
    assert re.search(r"my_rows\.py, line \d+", str(error.value))
    # What led to it is kept by Dagster, message included, and that may quote a row.
    assert "jane" not in str(error.value) and error.value.__suppress_context__


def test_a_mapping_that_is_filled_anew_for_each_row_is_read_each_time(tmp_path):
    (tmp_path / "my_rows.py").write_text(CODE)
    source = SourceConfig(function="my_rows:reused")
    tables = raw_examples([(source, [])], ColumnsConfig(), "text-generation", tmp_path)
    # The first hundred are looked at together, to recognise their layout.
    assert rows(tables, "text") == [(f"row {number}",) for number in range(150)]


@pytest.mark.parametrize(("name", "kind"), [("texts", "str"), ("none_within", "NoneType")])
def test_something_else_than_mappings_is_an_error(call, name, kind):
    with pytest.raises(UserError, match=f"yielded a {kind}, expected a mapping"):
        call(name)


def test_no_rows_are_an_error(call):
    with pytest.raises(UserError, match="no rows"):
        call("nothing")


def test_a_misspelt_function_names_the_nearest_one(call):
    with pytest.raises(UserError, match="has no function 'god'") as error:
        call("god")
    assert "good" in str(error.value)
