import json

import pytest

from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, rows

GOOD = b'{"text": "good", "label": "x"}\n'


def write(tmp_path, *lines: bytes):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_objects_are_rows_with_the_line_they_stand_on(tmp_path):
    tables = read(
        write(tmp_path, b'{"label": "x", "text": "a", "more": [1]}', b"", b'{"text": "b", "label": null}')
    )
    assert rows(tables, "text", "label", "row") == [("a", "x", 1), ("b", None, 3)]


def test_a_field_may_be_missing_in_some_rows(tmp_path):
    tables = read(write(tmp_path, b'{"text": "a"}', b'{"text": "b", "label": "x"}'))
    assert rows(tables, "text", "label") == [("a", None), ("b", "x")]


def test_a_field_missing_in_all_rows_names_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="no column 'label': did you mean 'labels'"):
        read(write(tmp_path, b'{"text": "a", "labels": "x"}'))


@pytest.mark.parametrize(
    ("value", "label"), [(5, "5"), (4.0, "4.0"), (-0.5, "-0.5"), (True, "true"), (float("nan"), None)]
)
def test_numbers_keep_their_spelling(tmp_path, value, label):
    assert rows(read(write(tmp_path, json.dumps({"text": "a", "label": value}).encode())), "label") == [
        (label,)
    ]


@pytest.mark.parametrize(
    ("line", "rule", "reason"),
    [
        (b'{"text": "a", "label": ', "malformed_row", "no JSON at character"),
        (b'["a", "x"]', "malformed_row", "a JSON list, expected an object"),
        (b'{"text": {"de": "a"}, "label": "x"}', "malformed_row", "field 'text' holds a dict"),
        (b'{"text": "\\ud800", "label": "x"}', "undecodable", "lone surrogate"),
        (b'{"text": "caf\xe9", "label": "x"}', "undecodable", "byte 14"),
        (b"[" * 100_000, "malformed_row", "no usable JSON"),
        (b'{"text": "a", "label": ' + b"1" * 5_000 + b"}", "malformed_row", "no usable JSON"),
    ],
)
def test_a_line_that_is_no_row_goes_to_quarantine_and_the_others_go_on(tmp_path, line, rule, reason):
    tables = read(write(tmp_path, GOOD, line, GOOD))
    (row,) = tables.quarantine.to_pylist()
    assert (row["rule"], row["row"], row["file"]) == (rule, 3, "a.jsonl")
    assert reason in row["reason"]
    assert tables.summary["kept"] == 2
