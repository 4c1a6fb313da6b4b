"""The sample task whose rows are the functions of the standard library of the interpreter that runs this."""

import ast
import textwrap

import pytest

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, ColumnsConfig, SourceConfig
from ft_assets.data.readers import raw_examples
from ft_assets.defs.code_docstrings import stdlib
from ft_assets.paths import PROJECT
from ft_assets_tests.data.helpers import rows as columns_of

FOLDER = PROJECT / "ft_assets" / "defs" / "code_docstrings"


@pytest.fixture(scope="module")
def functions():
    return list(stdlib.rows())


def of(source, tmp_path):
    path = tmp_path / "module.py"
    path.write_text(source)
    return [(row["prompt"], row["completion"]) for row in stdlib._functions(path, "module")]


def test_there_are_thousands_and_always_the_same(functions):
    # 5,614 in Python 3.11.
    assert len(functions) > 3_000
    assert list(stdlib.rows()) == functions


def test_no_function_holds_its_docstring_and_none_is_too_long(functions):
    parsed = 0
    for row in functions:
        assert len(row["prompt"]) <= stdlib.MOST_CHARACTERS
        assert row["prompt"].lstrip().startswith(("def ", "async def "))
        assert row["completion"] == row["completion"].strip() != ""
        assert "\n" not in row["completion"]
        try:
            (function,) = ast.parse(textwrap.dedent(row["prompt"])).body
        except SyntaxError:  # a text over several lines stands left of the code
            continue
        parsed += 1
        assert ast.get_docstring(function) is None
    # Fewer than one in a hundred has such a text.
    assert parsed > 0.99 * len(functions)


def test_a_group_is_a_module(functions):
    assert {"json.decoder", "statistics"} <= {row["group"] for row in functions}


def test_the_task_reads_and_cleans_them_as_prompts_and_answers(functions):
    source = SourceConfig(function="stdlib:rows")
    columns = ColumnsConfig(group="group")
    raw = raw_examples([(source, [])], columns, "text-generation", FOLDER)
    assert [entry["form"] for entry in raw.summary["forms"]] == ["prompt_completion"]
    assert raw.examples.num_rows == len(functions)
    cleaned = clean(raw.examples, CleaningConfig(), conversations=True)
    # A method keeps the indentation that it has in its class.
    assert any(text.startswith("    def ") for (text,) in columns_of(cleaned, "text"))
    assert cleaned.quarantine.num_rows == 0


def test_comments_and_layout_stay(tmp_path):
    source = 'def f(x):  # why\n    """Doc.\n\n    More.\n    """  # noqa\n    # how\n    return  x\n'
    assert of(source, tmp_path) == [("def f(x):  # why\n    # how\n    return  x", "Doc.")]


@pytest.mark.parametrize(
    "source",
    [
        'def f():\n    """Doc."""\n',
        'def f():\n    """Doc."""\n    pass\n',
        'def f():\n    """Doc."""\n    ...\n',
        'def f():\n    """ """\n    return 1\n',
        "def f():\n    return 1\n    return 2\n",
        'def f(): "Doc."; return 1\n',
        'def f():\n    "Doc."; x = 1\n    return x\n',
    ],
)
def test_functions_that_say_nothing_or_cannot_be_cut_are_left_out(tmp_path, source):
    assert of(source, tmp_path) == []


def test_lines_are_counted_as_python_counts_them(tmp_path):
    source = 'A = "\\x0c"\n\x0c\ndef f():\n    """Doc."""\n    return 1\n'
    assert of(source, tmp_path) == [("def f():\n    return 1", "Doc.")]
