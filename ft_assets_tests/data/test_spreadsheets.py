import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.spreadsheets import neutral, restored, to_csv


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"],
)
def test_what_a_spreadsheet_would_run_becomes_text(cell: str) -> None:
    assert neutral(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=1", "it's", "'quoted'", " -1"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert neutral(cell) == cell


@given(st.text(alphabet="'=+-@\t\r\n a\uff1d"))
def test_every_cell_comes_back(cell: str) -> None:
    assert restored(neutral(cell)) == cell


def test_a_csv_file_has_no_cell_that_is_run_and_quotes_what_would_break_it() -> None:
    data = to_csv(
        ["id", "text", "score"], [["0a", '=HYPERLINK("x")', -0.5], ["0b", "two\nlines, and a comma", None]]
    )
    rows = list(csv.reader(io.StringIO(data.decode(), newline="")))
    assert rows == [
        ["id", "text", "score"],
        ["0a", '\'=HYPERLINK("x")', "-0.5"],  # a number of ours is no text
        ["0b", "two\nlines, and a comma", ""],
    ]
