import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ft_assets.data.formats import cells, parquet
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, read_as, rows, turns


def write(tmp_path, table: pa.Table, **options):
    pq.write_table(table, tmp_path / "a.parquet", **options)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.binary(), pa.dictionary(pa.int8(), pa.string())]
)
def test_texts_of_all_kinds_are_read_with_their_row(tmp_path, kind):
    texts = pa.array(["a", None, "é"]).cast(kind)
    tables = read(write(tmp_path, pa.table({"label": [1, 2, 3], "text": texts, "more": [0, 0, 0]})))
    assert rows(tables, "text", "label", "row") == [("a", "1", 1), (None, "2", 2), ("é", "3", 3)]


def test_more_rows_than_a_batch_keep_their_order_and_number(tmp_path):
    texts = [f"text {index % 7}" for index in range(3_000)]
    tables = read(write(tmp_path, pa.table({"text": texts, "label": ["x"] * 3_000}), row_group_size=700))
    assert rows(tables, "text", "row") == [(text, number) for number, text in enumerate(texts, start=1)]


def test_bytes_that_are_no_utf8_send_the_row_to_quarantine(tmp_path):
    broken = pa.array([b"a", b"caf\xe9", b"b"]).view(pa.string())
    tables = read(write(tmp_path, pa.table({"text": broken, "label": ["x", "y", "z"]})))
    assert rows(tables, "text") == [("a",), ("b",)]
    assert tables.quarantine["reason"].to_pylist() == ["a.parquet, row 2: field 'text' is not UTF-8"]


def test_nested_values_where_text_was_expected_go_to_quarantine(tmp_path):
    with pytest.raises(UserError, match="2 of 2 rows cannot be read"):
        read(write(tmp_path, pa.table({"text": [["a"], ["b"]], "label": ["x", "y"]})))


def test_a_misspelt_column_names_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="did you mean 'texts'"):
        read(write(tmp_path, pa.table({"texts": ["a"], "label": ["x"]})))


def test_a_file_without_rows_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no rows"):
        read(
            write(tmp_path, pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.string())}))
        )


def test_a_file_cut_off_is_an_error(tmp_path):
    path = write(tmp_path, pa.table({"text": ["a" * 100], "label": ["x"]}))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="cut off or damaged"):
        read(path)


def test_a_small_file_that_decodes_to_very_much_is_stopped(tmp_path):
    # 500 rows of one 100 kB text: 50 MB out of less than 100 kB. The limit is lowered to see it act.
    path = write(
        tmp_path, pa.table({"text": ["a" * 100_000] * 500, "label": ["x"] * 500}), compression="zstd"
    )
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="decodes to more than") as error:
        read(path, max_decoded_mib=10)
    assert "raise `max_decoded_mib:`" in error.value.do


def test_a_billion_rows_of_nothing_are_stopped(tmp_path):
    path = write(tmp_path, pa.table({"text": pa.nulls(2_000_000, pa.string()), "label": ["x"] * 2_000_000}))
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UserError, match="decodes to more than"):
        read(path, max_decoded_mib=1)


def test_more_rows_than_a_file_may_decode_to_are_refused_before_one_is_read(tmp_path, monkeypatch):
    repeated = pa.array(["a"] * 20_000).dictionary_encode()
    path = write(tmp_path, pa.table({"text": repeated, "label": repeated}))
    monkeypatch.setattr(parquet, "rows_of", None)
    with pytest.raises(UserError, match="decodes to more than"):
        read(path, max_decoded_mib=1)


def test_a_value_beyond_the_limit_goes_to_quarantine(tmp_path, monkeypatch):
    monkeypatch.setattr(cells, "MAX_RECORD_CHARS", 10)
    tables = read(write(tmp_path, pa.table({"text": ["a", "b" * 50], "label": ["x", "y"]})))
    assert tables.quarantine["reason"].to_pylist() == [
        "a.parquet, row 2: field 'text' is longer than 10 characters"
    ]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_lists_of_messages_are_read_where_they_are_wanted(tmp_path, kind):
    message = pa.struct({"role": pa.string(), "content": kind})
    table = pa.table({"messages": pa.array([turns("é?", "a"), turns("p", "q", "r", "s")], pa.list_(message))})
    tables = read_as("text-generation", write(tmp_path, table))
    assert rows(tables, "text", "label", "row") == [("é?", "a", 1), ("r", "s", 2)]


def test_bytes_that_are_no_utf8_inside_a_list_send_the_row_to_quarantine(tmp_path):
    contents = pa.array([b"q", b"a", b"secret \xff", b"a", b"q", b"a"]).view(pa.string())
    messages = pa.StructArray.from_arrays(
        [pa.array(["user", "assistant"] * 3), contents], ["role", "content"]
    )
    table = pa.table({"messages": pa.ListArray.from_arrays(pa.array([0, 2, 4, 6], pa.int32()), messages)})
    tables = read_as("text-generation", write(tmp_path, table))
    assert rows(tables, "row") == [(1,), (3,)]
    assert tables.quarantine["reason"].to_pylist() == ["a.parquet, row 2: field 'messages' is not UTF-8"]


def test_lists_that_decode_to_very_much_are_stopped(tmp_path):
    # 500 rows of one 100 kB text, as above; only one row at a time is made of the dictionary that holds it once.
    table = pa.table({"messages": [turns("a" * 100_000, "b")] * 500})
    path = write(tmp_path, table, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="decodes to more than"):
        read_as("text-generation", path, max_decoded_mib=10)
