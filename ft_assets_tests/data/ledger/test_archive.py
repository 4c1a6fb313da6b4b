"""Export, restore and reset of a ledger: nothing is lost, and nothing is replaced unasked."""

from __future__ import annotations

import io
import tarfile
from datetime import timedelta
from pathlib import Path

import pytest

from ft_assets.data.ledger.archive import export, put_aside, reset, restore
from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.entries import read
from ft_assets.data.ledger.golden import count_read, reads
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir
from ft_assets_tests.data.ledger.helpers import Row
from ft_assets_tests.data.ledger.test_chain import AT, appended, flip, opened


@pytest.fixture
def folder(project_data: Path) -> Path:
    appended(Ledger.create(ledger_dir("task")), Row(1, 10), Row(2, 20, group=7))
    return ledger_dir("task")


@pytest.fixture
def file(folder: Path, tmp_path: Path) -> Path:
    export(opened(folder), tmp_path / "out" / "ledger.tar")
    return tmp_path / "out" / "ledger.tar"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def archived() -> list[Path]:
    return sorted((ledger_dir("task").parent / ".archive").glob("*"))


def test_what_was_exported_is_restored_byte_for_byte_under_the_same_id(folder: Path, file: Path) -> None:
    before, name = contents(folder), opened(folder).id
    put_aside("task")
    assert restore("task", file) == "restored"
    assert contents(folder) == before and opened(folder).id == name


def test_two_exports_of_one_ledger_are_the_same_file(folder: Path, file: Path, tmp_path: Path) -> None:
    export(opened(folder), tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == file.read_bytes()


def test_an_older_export_takes_nothing_away(folder: Path, file: Path) -> None:
    appended(opened(folder), Row(3, 30))
    before = contents(folder)
    assert restore("task", file, replace=True) == "unchanged"
    assert contents(folder) == before


def test_a_newer_export_goes_on_from_what_is_there(folder: Path, file: Path, tmp_path: Path) -> None:
    appended(opened(folder), Row(3, 30))
    newer, after = tmp_path / "newer.tar", contents(folder)
    export(opened(folder), newer)
    put_aside("task")
    restore("task", file)
    assert restore("task", newer) == "restored"
    assert contents(folder) == after


def test_another_ledger_is_replaced_only_if_asked_and_is_kept(folder: Path, file: Path) -> None:
    put_aside("task")
    other = appended(Ledger.create(folder), Row(5, 50))
    with pytest.raises(UserError, match="another ledger is there"):
        restore("task", file)
    assert opened(folder).id == other.id
    assert restore("task", file, replace=True) == "restored"
    assert opened(folder).id != other.id
    assert [opened(path).id for path in archived()][-1] == other.id


def test_a_damaged_ledger_is_replaced_if_asked(folder: Path, file: Path) -> None:
    flip(folder / "000001.parquet")
    with pytest.raises(UserError, match="is damaged"):
        restore("task", file)
    assert restore("task", file, replace=True) == "restored"
    assert len(opened(folder).segments) == 1


def count(*evaluations: str) -> None:
    for number, name in enumerate(evaluations):
        count_read("task", name, test_split="v1", checkpoint="c1", at=AT + timedelta(days=number))


def test_a_damaged_ledger_that_is_replaced_takes_no_evaluation_back(folder: Path, tmp_path: Path) -> None:
    count("k1", "k2")
    export(opened(folder), tmp_path / "older.tar")
    (folder / "reads.jsonl").unlink()
    count("k0", "k1", "k3")
    flip(folder / "000001.parquet")
    restore("task", tmp_path / "older.tar", replace=True)
    assert reads("task") == 4
    # `k1` counts from its first time.
    assert reads("task", (AT + timedelta(days=1)).isoformat(timespec="seconds")) == 2


def test_evaluations_on_the_test_set_of_another_ledger_are_not_counted(folder: Path, file: Path) -> None:
    put_aside("task")
    Ledger.create(folder)
    count("k1")
    restore("task", file, replace=True)
    assert reads("task") == 0


@pytest.mark.parametrize("place", [0.1, 0.3])
def test_a_damaged_export_is_refused_and_changes_nothing(folder: Path, file: Path, place: float) -> None:
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * place)])
    before = contents(folder)
    with pytest.raises(UserError) as error:
        restore("task", file, replace=True)
    assert str(file) in error.value.where
    assert contents(folder) == before and not list(folder.parent.glob(".restore-*"))


@pytest.mark.parametrize("name", ["../000001.json", "/tmp/ledger.json", "notes.txt", "a/head.json"])
def test_an_archive_with_other_names_is_no_export(file: Path, tmp_path: Path, name: str) -> None:
    with tarfile.open(file, "a") as archive:
        member = tarfile.TarInfo(name)
        member.size = 2
        archive.addfile(member, io.BytesIO(b"{}"))
    with pytest.raises(UserError, match="no export of a ledger"):
        restore("other", file)
    assert not ledger_dir("other").exists()


def test_a_link_in_an_archive_is_no_export(file: Path) -> None:
    with tarfile.open(file, "a") as archive:
        member = tarfile.TarInfo("000002.json")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(member)
    with pytest.raises(UserError, match="no export of a ledger"):
        restore("other", file)


def test_a_reset_begins_an_empty_ledger_and_keeps_the_old_one(folder: Path) -> None:
    before = opened(folder)
    new, kept = reset("task")
    assert opened(folder).id == new.id != before.id
    assert new.instead_of == ["none", before.id] and read(opened(folder)).rows.height == 0
    assert kept is not None and opened(kept).id == before.id


def test_a_reset_before_the_first_ledger_says_so(project_data: Path) -> None:
    """The splits that were made without one are not taken over either."""
    new, kept = reset("task")
    assert kept is None and new.instead_of == ["none"]
