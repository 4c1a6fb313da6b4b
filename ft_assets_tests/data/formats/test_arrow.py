import polars as pl
import pyarrow as pa
import pytest

from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, read_as, rows, turns


def write(tmp_path, table: pa.Table, name: str = "a.arrow", *, rows: int | None = None, **options):
    new = pa.ipc.new_stream if name.endswith(".arrows") else pa.ipc.new_file
    with new(str(tmp_path / name), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, rows)
    return tmp_path / name


@pytest.mark.parametrize("name", ["a.arrow", "a.arrows"])
@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
def test_files_and_streams_compressed_or_not(tmp_path, name, compression):
    texts = [f"text {n % 7}" for n in range(3_000)]
    table = pa.table({"more": range(3_000), "text": texts, "label": pa.array(texts).dictionary_encode()})
    tables = read(write(tmp_path, table, name, rows=700, compression=compression))
    assert rows(tables, "text", "label", "row") == [(t, t, n) for n, t in enumerate(texts, start=1)]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
    ],
)
def test_texts_of_all_kinds(tmp_path, kind):
    table = pa.table({"text": pa.array(["a", None, "é"]).cast(kind), "label": [1.5, 2, None]})
    assert rows(read(write(tmp_path, table)), "text", "label") == [("a", "1.5"), (None, "2.0"), ("é", None)]


def test_what_polars_and_feather_write(tmp_path):
    frame = pl.DataFrame({"text": ["a", "b" * 50], "label": ["x", "y"]})
    frame.write_ipc(tmp_path / "a.feather", compression="zstd")
    assert rows(read(tmp_path / "a.feather"), "text", "label") == frame.rows()


@pytest.mark.parametrize("kind", [pa.string(), pa.string_view()])
def test_bytes_that_are_no_utf8_send_the_row_to_quarantine(tmp_path, kind):
    broken = pa.array([b"a", b"caf\xe9", b"b"])
    broken = broken.view(kind) if kind == pa.string() else broken.cast(pa.binary_view()).view(kind)
    tables = read(write(tmp_path, pa.table({"text": broken, "label": ["x", "y", "z"]})))
    assert rows(tables, "text") == [("a",), ("b",)]
    assert tables.quarantine["reason"].to_pylist() == ["a.arrow, row 2: field 'text' is not UTF-8"]


def test_lists_of_messages(tmp_path):
    tables = read_as("text-generation", write(tmp_path, pa.table({"messages": [turns("p", "q", "r", "s")]})))
    assert rows(tables, "text", "label") == [("r", "s")]


@pytest.mark.parametrize(
    "text",
    [
        pa.array(["a" * 30_000_000]),
        pa.array(["a" * 30_000_000]).dictionary_encode(),
        pa.array([["a" * 30_000_000]]),
    ],
    ids=["text", "dictionary", "list"],
)
def test_a_small_file_that_states_very_much_is_refused_before_it_is_decoded(tmp_path, text):
    path = write(tmp_path, pa.table({"text": text, "label": ["x"]}), compression="zstd")
    assert path.stat().st_size < 10_000
    before = pa.total_allocated_bytes()
    with pytest.raises(UserError, match="decodes to more than") as error:
        read(path, max_decoded_mib=1)
    assert error.value.where.startswith("a.arrow (")  # no row: none was made
    assert pa.total_allocated_bytes() - before < 1_000_000


def test_a_value_that_is_repeated_by_its_number_alone_counts_each_time(tmp_path):
    indices = pa.array([0] * 100, pa.int8())
    text = pa.DictionaryArray.from_arrays(indices, pa.array(["a" * 1_000_000]))
    with pytest.raises(UserError, match="decodes to more than"):
        read(
            write(tmp_path, pa.table({"text": text, "label": ["x"] * 100}), compression="zstd"),
            max_decoded_mib=9,
        )


def test_a_statement_that_is_too_low_is_damage(tmp_path):
    path = write(tmp_path, pa.table({"text": ["a" * 5_000], "label": ["x"]}), compression="zstd")
    content = path.read_bytes()
    size = (5_000).to_bytes(8, "little")
    assert content.count(size + b"\x28\xb5\x2f\xfd") == 1
    path.write_bytes(
        content.replace(size + b"\x28\xb5\x2f\xfd", (40).to_bytes(8, "little") + b"\x28\xb5\x2f\xfd")
    )
    with pytest.raises(UserError, match="cut off or damaged"):
        read(path)


@pytest.mark.parametrize("name", ["a.arrow", "a.arrows"])
@pytest.mark.parametrize("cut", [20, 300])
def test_a_file_cut_off_is_an_error(tmp_path, name, cut):
    path = write(tmp_path, pa.table({"text": ["a" * 100], "label": ["x"]}), name)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match="cut off"):
        read(path)


@pytest.mark.parametrize("batches", [1, 3, 4])
def test_a_stream_that_is_cut_off_behind_a_batch_is_an_error(tmp_path, batches):
    path, ends = tmp_path / "a.arrows", []
    table = pa.table({"text": [f"text {n}" for n in range(40)], "label": ["x"] * 40})
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        for batch in table.to_batches(10):
            writer.write_batch(batch)
            ends.append(file.tell())
    assert read(path).examples.num_rows == 40
    path.write_bytes(path.read_bytes()[: ends[batches - 1]])
    with pytest.raises(UserError, match="the Arrow stream has no end"):
        read(path)


def test_streams_of_polars_and_of_datasets_have_an_end(tmp_path, monkeypatch):
    # Those of pyarrow are above; all of them write the mark when they are closed, with or without rows.
    rows = {"text": ["a", "b"], "label": ["x", "y"]}
    pl.DataFrame(rows).write_ipc_stream(tmp_path / "polars.arrows")
    assert read(tmp_path / "polars.arrows").examples.num_rows == 2
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    from datasets import Dataset

    cached = str(tmp_path / "cached.arrow")
    Dataset.from_dict(rows).map(lambda row: row, cache_file_name=cached)
    assert read(tmp_path / "cached.arrow").examples.num_rows == 2
    Dataset.from_dict(rows).save_to_disk(str(tmp_path / "saved"))
    (saved,) = (tmp_path / "saved").glob("*.arrow")
    assert read(saved).examples.num_rows == 2


def test_offsets_that_point_elsewhere_are_an_error(tmp_path):
    path = write(tmp_path, pa.table({"text": ["abc", "def", "ghi"], "label": ["x"] * 3}))
    offsets = b"".join(n.to_bytes(4, "little") for n in (0, 3, 6, 9))
    wrong = b"".join(n.to_bytes(4, "little") for n in (0, 2**30, 6, 9))
    content = path.read_bytes()
    assert content.count(offsets) == 1
    path.write_bytes(content.replace(offsets, wrong))
    with pytest.raises(UserError, match="cut off or damaged"):
        read(path)


def test_something_else_and_a_missing_column(tmp_path):
    (tmp_path / "a.arrow").write_bytes(b"text,label\na,b\n")
    with pytest.raises(UserError, match="expected arrow, but it looks like delimited text"):
        read(tmp_path / "a.arrow")
    with pytest.raises(UserError, match="did you mean 'texts'"):
        read(write(tmp_path, pa.table({"texts": ["a"], "label": ["x"]})))
