"""What a ledger says is read alike from its segments, and from what is kept of many of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from ft_assets.content_cache import ContentCache
from ft_assets.data.ledger import entries
from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.entries import Entries, read, record
from ft_assets_tests.data.ledger.helpers import Row, assigned


@pytest.fixture(autouse=True)
def three_segments_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "_SEGMENTS_TOGETHER", 3)


def grown(ledger: Ledger, first: int, segments: int) -> Ledger:
    """The ledger with some segments more, of a row and its group each."""
    for number in range(first, first + segments):
        made = assigned([Row(number, number, group=number)])
        ledger = record(ledger, made.entries, settings={}, made_from="rows", at=datetime.now(UTC))
    return ledger


def same(one: Entries, other: Entries) -> bool:
    return one.rows.equals(other.rows) and one.groups.equals(other.groups)


def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the Parquet files that are opened from now on."""
    opened: list[str] = []
    real = entries.pq.ParquetFile
    monkeypatch.setattr(entries.pq, "ParquetFile", lambda path: opened.append(Path(path).name) or real(path))
    return opened


def test_as_a_ledger_grows_it_is_read_alike_and_most_of_it_from_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, kept = Ledger.create(tmp_path / "ledger"), ContentCache(tmp_path / "kept")
    for first in range(0, 14, 2):
        ledger = grown(ledger, first, 2)
        assert same(read(ledger, kept), read(ledger))
    assert len(list((tmp_path / "kept").iterdir())) == 1
    opened = files_read(monkeypatch)
    assert read(ledger, kept).rows.height == 14
    assert opened == ["entries.parquet", "000013.parquet", "000014.parquet"]


@pytest.mark.parametrize("damage", ["altered", "cut off", "gone"])
def test_what_is_kept_and_not_whole_is_made_anew(tmp_path: Path, damage: str) -> None:
    ledger, kept = grown(Ledger.create(tmp_path / "ledger"), 0, 7), ContentCache(tmp_path / "kept")
    expected = read(ledger, kept)
    (file,) = (tmp_path / "kept").glob("*/entries.parquet")
    data = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(data[:-1] + b"x" if damage == "altered" else data[: len(data) // 2])
    assert same(read(ledger, kept), expected)
    assert file.read_bytes() == data


def test_another_ledger_finds_nothing_of_what_is_kept(tmp_path: Path) -> None:
    kept = ContentCache(tmp_path / "kept")
    read(grown(Ledger.create(tmp_path / "one"), 0, 3), kept)
    other = grown(Ledger.create(tmp_path / "other"), 50, 3)
    assert read(other, kept).rows["example"].to_list() == [50, 51, 52]
    assert read(Ledger.create(tmp_path / "new"), kept).rows.equals(
        pl.DataFrame(schema=Entries.none().rows.schema)
    )
