"""Every format in gzip and zstd; what is cut off, damaged or decodes to very much is refused before a row is read."""

import errno
import gzip
import io
import json
import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.readers import raw_examples
from ft_assets.errors import UserError
from ft_assets.sources import ResolvedFile
from ft_assets_tests.data.helpers import read, rows

CSV = b"text,label\na,x\nb,y\n"


def packed(content: bytes, ending: str) -> bytes:
    if ending == ".gz":
        return gzip.compress(content, mtime=0)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": ["a", "b"], "label": ["x", "y"]}), sink)
    return sink.getvalue()


def arrow() -> bytes:
    sink, table = io.BytesIO(), pa.table({"text": ["a", "b"], "label": ["x", "y"]})
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


ROWS = [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]
CONTENTS = {
    "csv": CSV,
    "tsv": CSV.replace(b",", b"\t"),
    "jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "json": json.dumps(ROWS).encode(),
    "parquet": parquet(),
    "arrow": arrow(),
}


def write(tmp_path: Path, content: bytes, name: str) -> Path:
    (tmp_path / name).write_bytes(content)
    return tmp_path / name


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_every_format(tmp_path, kind, ending):
    tables = read(write(tmp_path, packed(CONTENTS[kind], ending), f"a.{kind}{ending}"))
    assert rows(tables, "text", "label") == [("a", "x"), ("b", "y")]
    assert set(tables.examples["file"].to_pylist()) == {f"a.{kind}{ending}"}


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_plain_text_and_other_encodings(tmp_path, ending):
    tables = read(
        write(tmp_path, packed("é\n".encode("cp1252"), ending), f"a.txt{ending}"), encoding="cp1252"
    )
    assert rows(tables, "text") == [("é",)]


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_parts_that_were_packed_one_by_one_are_one_file(tmp_path, ending):
    content = packed(CSV, ending) + packed(b"c,z\n", ending)
    assert rows(read(write(tmp_path, content, f"a.csv{ending}")), "text") == [("a",), ("b",), ("c",)]


@pytest.mark.parametrize("zeros", [1, 512, 300_000])
def test_zeros_after_a_gzip_file_are_no_damage(tmp_path, zeros):
    path = write(tmp_path, packed(CSV, ".gz") + bytes(zeros), "a.csv.gz")
    assert rows(read(path), "text") == [("a",), ("b",)]


def test_frames_that_are_to_be_skipped_are_no_damage(tmp_path):
    """pzstd writes one before each of the others."""
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00size"
    content = skipped + packed(CSV, ".zst") + skipped + packed(b"c,z\n", ".zst")
    for name, settings in (("a.csv.zst", {}), ("export", {"format": "csv"})):
        path = write(tmp_path, content, name)
        assert rows(read(path, **settings), "text") == [("a",), ("b",), ("c",)]


def test_where_the_source_says_the_format_the_content_alone_decides(tmp_path):
    assert rows(read(write(tmp_path, packed(CSV, ".zst"), "export"), format="csv"), "text") == [
        ("a",),
        ("b",),
    ]
    assert rows(read(write(tmp_path, CSV, "export"), format="csv"), "text") == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.csv.gz", CSV, "expected gzip, but it looks like something else"),
        ("a.csv.gz", packed(CSV, ".zst"), "expected gzip, but it looks like a zstd file"),
        ("a.csv", packed(CSV, ".gz"), "expected csv, but it looks like a gzip file"),
        ("a.csv.gz", packed(packed(CSV, ".gz"), ".gz"), "expected csv, but it looks like a gzip file"),
        ("a.parquet.gz", packed(CSV, ".gz"), "expected parquet, but it looks like delimited text"),
        ("a.csv.gz", packed(b"", ".gz"), "the file is empty"),
    ],
)
def test_ending_and_content_have_to_agree(tmp_path, name, content, what):
    with pytest.raises(UserError, match=what) as error:
        read(write(tmp_path, content, name))
    assert name in error.value.where


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("spoil", ["cut", "flipped", "followed"])
def test_a_file_that_is_damaged_anywhere_is_refused(tmp_path, ending, spoil):
    content = packed(CSV + os.urandom(3_000).hex().encode() + b",x\n", ending)
    middle = len(content) // 2
    spoilt = {
        "cut": content[:-5],
        "flipped": content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :],
        "followed": content + b"something else",
    }
    if spoil == "flipped" and ending == ".zst":
        pytest.skip("a zstd frame need not have a check sum, and this one has none")
    with pytest.raises(UserError, match="cut off or damaged"):
        read(write(tmp_path, spoilt[spoil], f"a.csv{ending}"))


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_bomb_is_refused_before_a_row_is_read(tmp_path, ending):
    path = write(
        tmp_path, packed(b"text,label\n" + b"twenty characters...,x\n" * 100_000, ending), f"a.csv{ending}"
    )
    assert path.stat().st_size < 30_000  # 2.3 MB come out of it
    with pytest.raises(UserError, match="decodes to more than") as error:
        read(path, max_decoded_mib=1)
    assert "row" not in error.value.where
    assert "raise `max_decoded_mib:`" in error.value.do
    assert read(path, max_decoded_mib=3).summary["kept"] == 100_000


def test_two_megabytes_that_decode_to_twenty_gigabytes_are_refused(tmp_path):
    # 20 frames of 1 GiB; the first 256 MiB are enough to tell.
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        for _ in range(1_024):
            stream.write(b"a,b\n" * 2**18)
    path = write(tmp_path, sink.getvalue().to_pybytes() * 20, "a.csv.zst")
    assert path.stat().st_size < 2_600_000
    with pytest.raises(UserError, match="decodes to more than 268435456 bytes"):
        read(path)


def test_a_full_disk_is_no_fault_of_the_file(tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", Full)
    names = {"a.csv": CSV, "b.csv.gz": packed(CSV, ".gz")}
    files = [ResolvedFile(write(tmp_path, content, name), name) for name, content in names.items()]
    with pytest.raises(UserError, match="no room left to unpack it"):
        raw_examples([(SourceConfig(path="*"), files)], ColumnsConfig())


def test_nothing_unpacked_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    read(write(tmp_path, packed(CSV, ".gz"), "a.csv.gz"))
    with pytest.raises(UserError):
        read(write(tmp_path, packed(CSV, ".gz")[:-1], "b.csv.gz"))
    assert list((tmp_path / "tmp").iterdir()) == []
