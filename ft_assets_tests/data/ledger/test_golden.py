"""A locked test set: nothing of it is lost, changed or moved without a word, and every look at it is counted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from ft_assets.data.examples import SPLIT_SCHEMA
from ft_assets.data.ledger import golden
from ft_assets.data.ledger.chain import Ledger
from ft_assets.data.ledger.golden import Tampered, count_read, lock, reads, release, tampered
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir
from ft_assets_tests.data.ledger.test_chain import flip, opened

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def rows(**changes: dict[str, str | None]) -> pa.Table:
    """Rows a, b and c; `changes` are cells by id and column."""
    made = [
        {"example_id": each, "context": None, "text": f"text {each}", "label": "x", "cluster": f"t:{each}"}
        | changes.get(each, {})
        for each in "abc"
    ]
    return pa.Table.from_pylist(made, schema=SPLIT_SCHEMA)


def none() -> pa.Table:
    return SPLIT_SCHEMA.empty_table()


@pytest.fixture
def ledger(project_data: Path) -> Ledger:
    return lock(Ledger.create(ledger_dir("task")), rows(), "v1", AT)


def found(ledger: Ledger, test: pa.Table, train: pa.Table | None = None, erased: str = "") -> Tampered:
    assert ledger.locked is not None
    splits = {"train": train or none(), "validation": none(), "test": test}
    return tampered(ledger, ledger.locked, splits, set(erased))


def test_what_is_as_it_was_is_fine_whatever_else_is_there(ledger: Ledger) -> None:
    more = pa.concat_tables([rows(), rows().set_column(0, "example_id", pa.array(["d", "e", "f"]))])
    assert found(ledger, more).ids == []
    assert found(opened(ledger.folder), rows()).ids == []


def test_a_row_that_is_gone_is_missed_unless_it_was_erased(ledger: Ledger) -> None:
    assert found(ledger, rows().slice(1)) == Tampered(["a"], [], [])
    assert found(ledger, rows().slice(1), erased="a").ids == []


def test_a_row_is_not_missed_where_a_duplicate_of_it_is_in_test(ledger: Ledger) -> None:
    """It was merged into one of a smaller id. So is its text, for all that makes texts equal."""
    other = rows(a={"example_id": "0", "text": "Text  A"})
    assert found(ledger, other).ids == []
    assert found(ledger, rows(a={"example_id": "0", "text": "text a", "label": "y"})) == Tampered(
        ["a"], [], []
    )
    assert found(ledger, rows(a={"example_id": "0", "context": "before"})) == Tampered(["a"], [], [])
    assert found(ledger, rows().slice(1), train=other.slice(0, 1)) == Tampered(["a"], [], [])


def test_of_a_lock_that_does_not_tell_duplicates_each_row_is_missed(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = release(ledger, AT)
    monkeypatch.setattr(golden, "_SCHEMA", pa.schema([golden._SCHEMA.field(0), golden._SCHEMA.field(1)]))
    before = lock(released, rows(), "v1", AT)
    assert found(before, rows(a={"example_id": "0"})) == Tampered(["a"], [], [])


@pytest.mark.parametrize(
    "cell", [{"text": "text  b"}, {"label": "y"}, {"label": None}, {"context": "before"}]
)
def test_a_row_with_another_content_is_changed(ledger: Ledger, cell: dict[str, str | None]) -> None:
    assert found(ledger, rows(b=cell)) == Tampered([], ["b"], [])


def test_contents_may_change_places_but_none_may_be_lost(ledger: Ledger) -> None:
    """The order of rows tells the ids of several answers to one prompt."""
    swapped = rows(a={"text": "text b"}, b={"text": "text a"})
    assert found(ledger, swapped).ids == []
    assert found(ledger, rows(a={"text": "text b"}, b={"text": "new"})) == Tampered([], ["a"], [])
    assert found(ledger, rows(a={"text": "text b"}, b={"text": "text b"})) == Tampered([], ["a"], [])
    # In train there is another row with the id of one that is in test.
    other = rows(a={"text": "new"}).slice(0, 1)
    renamed = rows(a={"example_id": "d"})
    assert found(ledger, renamed, train=other).ids == []
    assert found(ledger, rows().slice(1), train=other) == Tampered([], [], ["a"])


def test_contents_count_as_often_as_they_were_locked(project_data: Path) -> None:
    twice = lock(Ledger.create(ledger_dir("task")), rows(a={"text": "same"}, b={"text": "same"}), "v1", AT)
    once = rows(a={"text": "new"}, b={"text": "same"})
    assert found(twice, once) == Tampered([], ["a"], [])
    again = rows(c={"example_id": "d", "text": "same"}).slice(2)
    assert found(twice, pa.concat_tables([once, again, rows().slice(2)])).ids == []


def test_what_stands_in_one_column_cannot_move_to_the_next(ledger: Ledger) -> None:
    assert found(ledger, rows(b={"text": "text bx", "label": ""})).changed == ["b"]


def test_the_cluster_is_no_part_of_what_is_locked(ledger: Ledger) -> None:
    """Rows that come in may connect clusters."""
    assert found(ledger, rows(b={"cluster": "t:other"})).ids == []


def test_a_row_in_another_split_is_elsewhere_even_if_it_is_in_test_too(ledger: Ledger) -> None:
    assert found(ledger, rows(), train=rows().slice(2)) == Tampered([], [], ["c"])
    assert found(ledger, rows().slice(0, 2), train=rows().slice(2)) == Tampered([], [], ["c"])


def test_a_list_that_was_altered_is_damage(ledger: Ledger) -> None:
    flip(ledger.folder / "000001.parquet")
    with pytest.raises(UserError, match=r"000001\.parquet is not what was written"):
        Ledger.open(ledger.folder)


def test_it_is_locked_once_and_released_once(ledger: Ledger) -> None:
    with pytest.raises(UserError, match="locked already"):
        lock(ledger, rows(), "v2", AT)
    free = release(ledger, AT)
    assert free.locked is None and opened(ledger.folder).locked is None
    with pytest.raises(UserError, match="no test set is locked"):
        release(free, AT)
    again = lock(free, rows(), "v2", AT)
    assert again.locked is not None and again.locked.record["made_from"] == "v2"


def test_evaluations_are_counted_each_once(ledger: Ledger) -> None:
    for number, evaluation in enumerate(["k1", "k1", "k2", "k1"]):
        count_read("task", evaluation, test_split="v1", checkpoint="c1", at=AT + timedelta(days=number))
    assert reads("task") == 2
    # `k2` came two days later; the first one counts from its first time.
    assert reads("task", (AT + timedelta(days=1)).isoformat(timespec="seconds")) == 1


def test_evaluations_are_counted_before_there_is_a_ledger(project_data: Path) -> None:
    count_read("task", "k1", test_split="v1", checkpoint="c1", at=AT)
    assert reads("task") == 1
    assert Ledger.open(ledger_dir("task")) is None


def test_a_count_that_cannot_be_read_is_told_with_its_place(ledger: Ledger) -> None:
    (ledger.folder / "reads.jsonl").write_text("{torn")
    with pytest.raises(UserError) as error:
        reads("task")
    assert str(ledger.folder / "reads.jsonl") in error.value.where
