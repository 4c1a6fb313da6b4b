import pytest

from ft_assets.data.config import ColumnsConfig
from ft_assets.data.formats import lines, text
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, read_as, rows


def write(tmp_path, content: bytes):
    (tmp_path / "a.txt").write_bytes(content)
    return tmp_path / "a.txt"


def test_each_line_is_a_row_without_label_and_group_whatever_the_columns_are_called(tmp_path):
    path = write(tmp_path, '\ufeffone, "two"\r\n\r\n  \n\tthree {é}\n'.encode())
    tables = read(path, ColumnsConfig(text="message", label="team", group="author"))
    assert rows(tables, "text", "label", "group", "row") == [
        ('one, "two"', None, None, 1),
        ("\tthree {é}", None, None, 4),
    ]
    assert tables.summary["without_label"] == 2


def test_a_whole_file_is_a_row(tmp_path):
    tables = read(write(tmp_path, b"one\n\ntwo\n"), whole_file=True)
    assert rows(tables, "text", "row") == [("one\n\ntwo\n", 1)]


def test_plain_texts_are_learnt_whole_where_a_model_writes(tmp_path):
    tables = read_as("text-generation", write(tmp_path, b"one\ntwo\n"))
    assert tables.summary["forms"][0]["form"] == "completion"
    assert rows(tables, "text", "label") == [("one", None), ("two", None)]


def test_lines_that_are_no_text_go_to_quarantine(tmp_path):
    tables = read(write(tmp_path, b"good\ncaf\xe9\nnul \0\nmore\n"))
    assert rows(tables, "row") == [(1,), (4,)]
    assert sorted(tables.quarantine["rule"].to_pylist()) == ["malformed_row", "undecodable"]


def test_a_line_without_an_end_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_RECORD_CHARS", 100)
    tables = read(write(tmp_path, b"good\n" + b"b" * 100_000 + b"\nmore\n"))
    assert rows(tables, "text", "row") == [("good", 1), ("more", 3)]
    assert "longer than 100 characters" in tables.quarantine["reason"][0].as_py()


def test_a_file_longer_than_a_row_may_be_is_refused_as_one_row(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "MAX_RECORD_CHARS", 100)
    with pytest.raises(UserError, match="1 of 1 rows cannot be read"):
        read(write(tmp_path, b"b" * 1_000), whole_file=True)


@pytest.mark.parametrize("content", [b"%PDF-1.7 ...", b"PK\x03\x04 ...", b"\0\1\2\3" * 50])
def test_a_binary_file_is_no_text(tmp_path, content):
    with pytest.raises(UserError, match="expected text, but it looks like"):
        read(write(tmp_path, content))
