"""Files that nobody should write and somebody does, whatever their format: lines without an end, columns that stand
twice, lists where a text was expected. What one format alone can hold is in its own tests."""

import json
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.formats import MAX_RECORD_CHARS, delimited, json_array, jsonl, text
from ft_assets.data.formats.sniff import file_format
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, rows

READERS = {"csv": delimited.read_csv, "tsv": delimited.read_tsv, "jsonl": jsonl.read, "text": text.read}
READERS["json"] = json_array.read
GOOD = [{"text": "a", "label": "x"}] * 3


def write(tmp_path, name, content):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path / name


# Lines without an end


def sparse(tmp_path, name, head, size):
    """A file of this size on paper: what follows the head is one line of NUL characters, which takes no room."""
    path = write(tmp_path, name, head)
    with path.open("r+b") as file:
        file.truncate(size)
    return path


def peak_of(function):
    """The most memory that the process had while the function ran, above what it had before: bytes."""
    import psutil

    process, done, most = psutil.Process(), threading.Event(), 0
    before = process.memory_info().rss

    def watch():
        nonlocal most
        while not done.wait(0.005):
            most = max(most, process.memory_info().rss - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        function()
    finally:
        done.set()
        watcher.join()
    return most


@pytest.mark.parametrize(
    ("name", "head", "size"),
    [
        ("a.jsonl", '{"text": "a", "label": "x"}\n{"text": "b', 2_000_000_000),
        ("a.json", '[{"text": "a", "label": "x"}, {"text": "b', 2_000_000_000),
        # These go the same way, and this is twice the bound already.
        ("a.csv", "text,label\na,x\nb", 600_000_000),
        ("a.txt", "a\nb", 600_000_000),
    ],
)
def test_a_line_of_two_gigabytes_is_refused_in_little_memory(tmp_path, name, head, size):
    path = sparse(tmp_path, name, head, size)
    source = SourceConfig(path=name)
    found = []

    def run():
        try:
            records = READERS[file_format(name, source)](path, name, source, ["text", "label"])
            found.extend(records)
        except UserError as error:
            found.append(error)

    # A record may have 16 Mi characters; what is read, decoded and kept of one is some times that, and far from 2 GB.
    assert peak_of(run) < 16 * MAX_RECORD_CHARS
    *records, last = found
    assert [record.values[0] for record in records] == ["a"]
    if name != "a.json":
        assert (last.rule, last.reason.split(": ")[1]) == (
            "malformed_row",
            f"longer than {MAX_RECORD_CHARS} characters",
        )
    else:
        assert "longer than" in last.what


# Columns that stand twice


def test_a_column_that_stands_twice_is_an_error_in_csv_parquet_and_arrow(tmp_path):
    table = pa.table([["a"], ["x"], ["b"]], names=["text", "label", "text"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pa.ipc.new_file(str(tmp_path / "a.arrow"), table.schema) as writer:
        writer.write_table(table)
    write(tmp_path, "a.csv", "text,label,text\na,x,b\n")
    for name in ("a.parquet", "a.arrow", "a.csv"):
        with pytest.raises(UserError, match="column 'text' stands 2 times"):
            read(tmp_path / name)


def test_a_column_that_stands_twice_and_is_not_wanted_does_no_harm(tmp_path):
    assert rows(read(write(tmp_path, "a.csv", "text,label,id,id\na,x,1,2\n")), "text") == [("a",)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_key_that_stands_twice_costs_its_row(tmp_path, name):
    twice = '{"text": "b", "label": "x", "text": "c"}'
    other = '{"text": "d", "label": "x", "id": 1, "id": 2}'
    lines = [*map(json.dumps, GOOD), twice, other]
    content = "\n".join(lines) if name.endswith("l") else f"[{','.join(lines)}]"
    tables = read(write(tmp_path, name, content))
    assert rows(tables, "text") == [("a",)] * 3 + [("d",)]
    assert tables.quarantine["rule"].to_pylist() == ["malformed_row"]
    assert tables.quarantine["reason"][0].as_py().endswith("4: field 'text' stands twice")


# Lists and mappings where a text was expected


@pytest.mark.parametrize("nested", [["a"], {"a": 1}, [[{"a": ["b"]}]]])
@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_what_is_nested_is_no_text_and_costs_its_row(tmp_path, nested, kind):
    records = [*GOOD, {"text": nested, "label": "x"}]
    if kind == "parquet":
        # In a column all values are of one type: none is a text.
        pq.write_table(pa.table({"text": [nested], "label": ["x"]}), tmp_path / "a.parquet")
        with pytest.raises(UserError, match=r"1 of 1 rows cannot be read(.|\n)*expected text"):
            read(tmp_path / "a.parquet")
        return
    lines = [json.dumps(record) for record in records]
    content = "\n".join(lines) if kind == "jsonl" else f"[{','.join(lines)}]"
    tables = read(write(tmp_path, f"a.{kind}", content))
    assert tables.summary["kept"] == 3
    (reason,) = tables.quarantine["reason"].to_pylist()
    assert reason.endswith(f"field 'text' holds a {type(nested).__name__}, expected text")


def test_json_inside_a_csv_field_is_a_text_like_any_other(tmp_path):
    tables = read(write(tmp_path, "a.csv", 'text,label\n"[""a"", {""b"": 1}]",x\n'), ColumnsConfig())
    assert rows(tables, "text") == [('["a", {"b": 1}]',)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "cp1252", "shift_jis"])
def test_a_refused_row_is_kept_as_it_stood_whatever_the_encoding(tmp_path, encoding):
    lines = ["text,label", "good one,pos", "zweite,neg", "wrong,number,of fields", "x,pos", "y,neg"]
    file = tmp_path / "a.csv"
    file.write_bytes("\n".join(lines).encode(encoding))
    made = read(file, encoding=encoding)
    assert [row["text"].strip() for row in made.quarantine.to_pylist()] == ["wrong,number,of fields"]


def test_a_bad_byte_of_utf_7_refuses_its_row(tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes(b"text,label\nabc,pos\nab\xff,neg\nlast,neg\n")
    made = read(file, encoding="utf-7")
    assert [row["rule"] for row in made.quarantine.to_pylist()] == ["undecodable"]


@pytest.mark.parametrize(
    "secret",
    ["AB123456C", "RSSMRA85T10A562S", "2001:db8:85a3::8a2e", "12345678Z", "whsec_abcdEFGH1234abcdEFGH"],
)
def test_the_first_row_of_a_file_without_a_header_is_in_no_message(tmp_path, secret):
    file = tmp_path / "a.csv"
    file.write_text(f"{secret},pos\nsecond,neg\n")
    with pytest.raises(UserError, match="there is no column") as error:
        read(file)
    assert secret not in str(error.value) and "'pos'" in str(error.value)


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("utf-16", "text,label\na,x\n".encode("utf-16-le")),
        ("hz", b"text,label\na ~ b,x\n"),
        ("iso2022_jp", b"text,label\na,x\n\x1b"),
    ],
)
def test_bytes_at_which_a_codec_gives_up_refuse_their_file(tmp_path, encoding, content):
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(UserError, match=f"the file is not {encoding}"):
        read(tmp_path / "a.csv", encoding=encoding)
