import bz2
import gzip
import io
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, rows


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("xl/workbook.xml", "<x/>")
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["a"], "label": ["b"]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "looks_like"),
    [
        ("a.csv", zipped(), "ZIP archive"),
        ("a.csv", gzip.compress(b"text,label\na,b\n", mtime=0), "gzip"),
        ("a.csv", parquet(), "Parquet"),
        ("a.csv", b'{"text": "a", "label": "b"}\n', "JSON Lines"),
        ("a.csv", b"<!DOCTYPE html><html>log in</html>", "HTML"),
        ("a.csv", "text,label\na,b\n".encode("utf-16"), "encoding: utf-16"),
        ("a.csv", "text,label\na,b\n".encode("utf-16-le"), "encoding: utf-16-le"),
        ("a.csv", bytes(range(256)) * 4 + bytes(200), "binary data"),
        ("a.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.csv", bz2.compress(b"text,label\na,b\n"), "bzip2"),
        ("a.txt", bz2.compress(b""), "bzip2"),
        ("a.csv", b"ARROW1\0\0", "Arrow"),
        ("a.csv", b"\x50\x2a\x4d\x18\x00\x00\x00\x00", "zstd"),
        ("a.txt", b"<html>log in</html>", "HTML"),
        ("a.jsonl", b'[{"text": "a"}]', "JSON array"),
        ("a.jsonl", b'[\n{"text": "a"},\n{"text": "b"}\n]', "JSON array"),
        ("a.jsonl", b'[{"text": "a"},\n{"text": "b"}]', "JSON array"),
        ("a.jsonl", b'["a"]\n["b"]\n', "JSON array"),
        ("a.jsonl", b"[" + b'{"text": "a"},' * 20_000 + b"1]\n", "JSON array"),
        ("a.jsonl", b'{\n  "text": "a"\n}\n', "several lines"),
        ("a.jsonl", b"text,label\na,b\n", "delimited"),
        ("a.parquet", b"text,label\na,b\n", "delimited text"),
        ("a.parquet", b'{"text": "a"}\n', "JSON Lines"),
        ("a.tsv", parquet(), "Parquet"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says_is_named_for_what_it_is(tmp_path, name, content, looks_like):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="looks like") as error:
        read(tmp_path / name)
    assert looks_like in str(error.value)
    assert name in error.value.where


@pytest.mark.parametrize("content", [b"", b"\n\n  \n"])
def test_an_empty_file_is_an_error(tmp_path, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match="empty"):
        read(tmp_path / "a.csv")


def test_an_ending_that_says_nothing_asks_for_the_format(tmp_path):
    (tmp_path / "a.dat").write_bytes(b"text,label\na,b\n")
    with pytest.raises(UserError, match="csv, tsv, jsonl, parquet"):
        read(tmp_path / "a.dat")
    assert rows(read(tmp_path / "a.dat", format="csv"), "text") == [("a",)]


@pytest.mark.parametrize(
    "start", ["PAR1 is the first part", "BZhang said so", "BZh9 is a plate", "ARROW1 is a game"]
)
def test_a_text_may_begin_with_the_letters_that_a_binary_file_begins_with(tmp_path, start):
    (tmp_path / "a.txt").write_text(start)
    assert rows(read(tmp_path / "a.txt"), "text") == [(start,)]


def test_a_whole_file_may_be_markup(tmp_path):
    (tmp_path / "a.txt").write_text("<html>a</html>")
    assert rows(read(tmp_path / "a.txt", whole_file=True), "text") == [("<html>a</html>",)]


@pytest.mark.parametrize("first", ["[]", '["a", "b"]', "[" * 100_000 + "]" * 100_000, "\ufeff\n\r\n[1]"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
def test_an_array_in_the_first_of_several_lines_is_a_rows_matter(tmp_path, first, end):
    lines = [first, '{"text": "a", "label": "x"}', '{"text": "b", "label": "y"}', ""]
    (tmp_path / "a.jsonl").write_bytes(end.join(lines).encode())
    tables = read(tmp_path / "a.jsonl")
    assert rows(tables, "text") == [("a",), ("b",)]
    assert tables.quarantine["rule"].to_pylist() == ["malformed_row"]
