"""The ledger on the disk: what was recorded is there for good, or it is told what is wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from ft_assets import disk
from ft_assets.data.ledger import chain
from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.entries import SIDES, Entries, find, read, record
from ft_assets.errors import UserError
from ft_assets_tests.data.ledger.helpers import Row, assigned, recorded

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def entries_of(*rows: Row, known: Entries | None = None) -> pl.DataFrame:
    return assigned(rows, known).entries


def appended(ledger: Ledger, *rows: Row) -> Ledger:
    new = entries_of(*rows, known=read(ledger))
    return record(
        ledger, new, settings={"salt": "s", "test": 0.15, "validation": 0.15}, made_from="v1", at=AT
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A ledger of three segments, with a group and rows without one."""
    folder = tmp_path / "ledger" / "task"
    ledger = appended(Ledger.create(folder), Row(1, 10, group=7), Row(2, 20, group=7))
    ledger = appended(ledger, Row(3, -30))
    appended(ledger, Row(2**32 - 1, 2**127 - 1), Row(4, -(2**127)))
    return folder


def opened(folder: Path) -> Ledger:
    ledger = Ledger.open(folder)
    assert ledger is not None
    return ledger


def test_there_is_no_ledger_before_one_was_begun(tmp_path: Path) -> None:
    assert Ledger.open(tmp_path / "nothing") is None


def test_what_was_recorded_is_read_again(folder: Path) -> None:
    rows = [
        Row(1, 10, group=7),
        Row(2, 20, group=7),
        Row(3, -30),
        Row(2**32 - 1, 2**127 - 1),
        Row(4, -(2**127)),
    ]
    known = Entries.none()
    for batch in (rows[:2], rows[2:3], rows[3:]):
        known = recorded(known, assigned(batch, known))
    found = read(opened(folder))
    assert found.rows.equals(known.rows) and found.groups.equals(known.groups)


def test_its_id_is_made_once(folder: Path) -> None:
    before = opened(folder).id
    assert appended(opened(folder), Row(9, 90)).id == opened(folder).id == before


def test_nothing_new_adds_no_segment(folder: Path) -> None:
    before = sorted(folder.iterdir())
    appended(opened(folder), Row(3, -30))
    assert sorted(folder.iterdir()) == before


def test_a_row_is_found_with_when_and_why(folder: Path) -> None:
    (found,) = find(opened(folder), f"{3:016x}")
    assert found["split"] in SIDES
    assert (found["rule"], found["at"], found["segment"]) == ("stratified", "2026-01-02T03:04:05+00:00", 2)
    assert find(opened(folder), f"{99:016x}") == []


# --- what may happen to files -----------------------------------------------------------------------------------


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def cut_off(folder: Path) -> None:
    """The last segment disappears as if it had never been."""
    for path in folder.glob("000003.*"):
        path.unlink()


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a bit of the entries": (lambda folder: flip(folder / "000002.parquet"), "000002.parquet is not what"),
    "a torn record": (lambda folder: os.truncate(folder / "000002.json", 20), "000002.json cannot be read"),
    "an edited record": (lambda folder: edit(folder / "000002.json", at="2020"), "000003.json does not follow"),
    "an edited last record": (lambda folder: edit(folder / "000003.json", at="2020"), "000003.json is not what"),
    "another beginning": (lambda folder: edit(folder / "ledger.json", begun="2020"), "000001.json does not follow"),
    "entries gone": (lambda folder: (folder / "000001.parquet").unlink(), "000001.parquet is missing"),
    "a segment gone": (lambda folder: (folder / "000002.json").unlink(), "segment 000002 is missing"),
    "the last segment gone": (cut_off, "segment 000003 is missing"),
    "the beginning gone": (lambda folder: (folder / "ledger.json").unlink(), "ledger.json is missing"),
    "the head gone": (lambda folder: (folder / "head.json").unlink(), "head.json is missing"),
    "all records gone": (lambda folder: [path.unlink() for path in folder.glob("*.json")], "ledger.json is missing"),
    "the head torn": (lambda folder: os.truncate(folder / "head.json", 0), "head.json cannot be read"),
}  # fmt: skip


@pytest.mark.parametrize(("harm", "told"), DAMAGES.values(), ids=DAMAGES)
def test_damage_is_told_with_what_to_do(folder: Path, harm: Callable[[Path], object], told: str) -> None:
    harm(folder)
    with pytest.raises(UserError) as error:
        Ledger.open(folder)
    assert told in error.value.what and error.value.where == str(folder)
    assert "ledger restore task FILE --replace" in error.value.do


def test_another_format_is_no_damage(folder: Path) -> None:
    edit(folder / "ledger.json", format=2)
    with pytest.raises(UserError, match="format 2, this version of ft_assets reads 1"):
        Ledger.open(folder)


# --- killed, and two at once ------------------------------------------------------------------------------------


class Killed(BaseException):
    """Ends the process's work here."""


@pytest.mark.parametrize("writes", range(1, 7))
def test_killed_at_any_write_the_segment_is_there_or_it_is_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """A segment makes six calls that change the disk: sync and rename of entries, record and head."""
    before = opened(folder)
    left = writes

    def counted(function: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return function(*args)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(chain, "sync", counted(disk.sync))
        patch.setattr(Path, "replace", counted(Path.replace))
        with pytest.raises(Killed):
            appended(before, Row(9, 90))
    after = opened(folder)
    assert len(after.segments) in (3, 4)
    again = appended(after, Row(9, 90))
    assert len(opened(folder).segments) == len(again.segments) == 4
    assert read(opened(folder)).rows.filter(pl.col("example") == 9).height == 1


def test_who_has_read_an_older_state_cannot_write(folder: Path) -> None:
    old = opened(folder)
    appended(opened(folder), Row(8, 80))
    with pytest.raises(UserError, match="changed while something was to be written"):
        appended(old, Row(9, 90))


def test_the_lock_is_held_by_one_at_a_time(project_data: Path) -> None:
    def give_up() -> None:
        raise Killed

    with chain.lock("task"), pytest.raises(Killed), chain.lock("task", give_up):
        pass
    with chain.lock("task", give_up):
        pass
