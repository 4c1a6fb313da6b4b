"""Tables that do not fit into memory: here with so little of it that a few rows do not."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets import spill

SCHEMA = pa.schema([("id", pa.int64()), ("text", pa.string())])


@pytest.fixture(autouse=True)
def little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FT_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(spill, "IN_MEMORY", 256)
    monkeypatch.setattr(spill, "SLICE_BYTES", 128)
    monkeypatch.setattr(spill, "SLICE_ROWS", 5)


def rows(count: int) -> pa.Table:
    texts = ["x" * (number % 9) if number % 4 else None for number in range(count)]
    return pa.table({"id": range(count), "text": texts}, schema=SCHEMA)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_parts_that_do_not_fit_are_one_table_on_disk_without_a_name(tmp_path: Path) -> None:
    table = spill.collected(iter([rows(40), rows(3), rows(0)]), SCHEMA)
    assert table.equals(pa.concat_tables([rows(40), rows(3)]))
    # What Arrow has allocated is the head of the stream, not its rows.
    assert all(
        not buffer.is_mutable for chunk in table["text"].chunks for buffer in chunk.buffers() if buffer
    )
    assert list(tmp_path.iterdir()) == []


def test_no_parts_are_an_empty_table_of_the_schema() -> None:
    assert spill.collected(iter([]), SCHEMA).equals(SCHEMA.empty_table())


def test_a_part_of_another_schema_is_an_error() -> None:
    with pytest.raises(pa.ArrowInvalid):
        spill.collected(iter([rows(40), pa.table({"id": ["a"]})]), SCHEMA)


def test_the_disk_has_no_room_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill.tempfile, "TemporaryFile", lambda dir: Path("/dev/full").open("w+b"))  # noqa: SIM115
    with pytest.raises(OSError, match="No space left"):
        spill.collected(iter([pa.concat_tables([rows(50_000)])]), SCHEMA)


def test_slices_are_the_table_in_order_with_bounded_rows_and_bytes() -> None:
    table = pa.concat_tables([rows(23), pa.table({"id": [1, 2], "text": ["y" * 300] * 2}, schema=SCHEMA)])
    parts = list(spill.slices(table))
    assert pa.concat_tables(parts).equals(table.combine_chunks())
    assert all(part.num_rows <= 5 for part in parts)
    assert all(part.nbytes <= 2 * 128 or part.num_rows == 1 for part in parts)


def test_a_table_without_rows_is_one_slice() -> None:
    assert [part.num_rows for part in spill.slices(rows(0))] == [0]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 60), st.randoms(use_true_random=False), st.booleans())
def test_rows_are_taken_in_any_order_as_arrow_takes_them(count, random, rising) -> None:
    places = random.sample(range(count), random.randint(0, count))
    wanted = np.array(sorted(places) if rising else places, dtype=np.int64)
    assert spill.take(rows(count), wanted).equals(rows(count).take(wanted))


def test_a_table_keeps_one_file_open_as_long_as_it_lives() -> None:
    before = open_files()
    table = spill.take(rows(60), np.arange(60)[::-1].copy())
    assert table["id"].to_pylist() == list(range(60))[::-1]
    assert open_files() == before + 1
    del table
    assert open_files() == before
