"""Files that were read before are not read again, unless something asks for it; what comes out is the same."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.components import raw_examples
from ft_assets.components.stage import Task
from ft_assets.data import readers
from ft_assets.paths import store_root
from ft_assets.removal import suppressed
from ft_assets_tests.runs import current, description
from ft_assets_tests.tickets import materialize, task, tickets, write_csv

ROWS = tickets(60)
RAW = "raw_examples"


@dataclass
class Raw:
    """The raw stage of a task with a file, which it has read."""

    instance: dg.DagsterInstance
    task: Task
    folder: Path
    opened: list[str]
    """The files that the last run has read."""

    def run(self, *, force: bool = False, **changes: Any) -> dict[str, Any]:
        """Make the raw examples; gives their metadata."""
        self.opened.clear()
        made = task(self.task.folder, **changes) if changes else self.task
        result = materialize(self.instance, made, RAW, config={RAW: {"force": force}})
        (event,) = result.asset_materializations_for_node(f"tickets__{RAW}")
        return {name: value.value for name, value in event.metadata.items()}

    def add(self, name: str, rows: list[dict[str, str]]) -> None:
        write_csv(self.folder / name, rows)

    @property
    def artifact(self) -> Path:
        return Path(store_root()) / "tickets" / RAW / current(self.instance)[RAW]


@pytest.fixture
def raw(
    instance: dg.DagsterInstance, project_data: Path, tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> Raw:
    opened: list[str] = []
    inner = readers._read_file

    def read_file(file: Any, reader: Any) -> Any:
        opened.append(file.name)
        return inner(file, reader)

    monkeypatch.setattr(readers, "_read_file", read_file)
    made = Raw(instance, task(tiny_bert_dir), project_data / "incoming" / "tickets", opened)
    made.add("1.csv", ROWS[:40])
    made.run()
    assert made.opened == ["1.csv"]
    made.add("2.csv", ROWS[30:])
    return made


def test_only_the_new_file_is_read_and_what_comes_out_is_that_of_reading_all(raw: Raw) -> None:
    told = raw.run()
    assert raw.opened == ["2.csv"]
    assert (told["rows_taken_over"], told["files_taken_over"]) == (40, 1)
    version = current(raw.instance)[RAW]
    # Equal output is one artifact, however it was made.
    whole = raw.run(force=True)
    assert raw.opened == ["1.csv", "2.csv"]
    assert (whole["rows_taken_over"], whole["files_taken_over"]) == (0, 0)
    assert current(raw.instance)[RAW] == version
    of_build = {"build_key", "build_seconds", "rows_taken_over", "files_taken_over"}
    assert {name: told[name] for name in told.keys() - of_build} == {
        name: whole[name] for name in whole.keys() - of_build
    }


def test_a_file_that_has_changed_is_read_and_so_are_those_after_it(raw: Raw) -> None:
    raw.run()
    raw.add("3.csv", ROWS[:5])
    raw.add("2.csv", ROWS[45:])
    raw.run()
    assert raw.opened == ["2.csv", "3.csv"]


def test_a_damaged_version_is_not_taken_over(raw: Raw) -> None:
    table = raw.artifact / "examples.parquet"
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 0x80
    table.write_bytes(data)
    raw.run()
    assert raw.opened == ["1.csv", "2.csv"]


@pytest.mark.parametrize(
    "changes", [{"columns": {"text": "body", "label": "category"}}, {"contracts": {"max_quarantined": 0.2}}]
)
def test_what_other_settings_have_read_is_not_taken_over(raw: Raw, changes: dict[str, Any]) -> None:
    raw.run(**changes)
    assert raw.opened == ["1.csv", "2.csv"]


def test_what_other_libraries_have_read_is_not_taken_over(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raw_examples, "library_versions", lambda names: dict.fromkeys(names, "0"))
    raw.run()
    assert raw.opened == ["1.csv", "2.csv"]


def test_once_rows_are_erased_all_files_are_read_and_those_that_lost_none_are_taken_over_again(
    raw: Raw,
) -> None:
    raw.run()
    ids = pq.read_table(raw.artifact / "examples.parquet")["example_id"].to_pylist()
    suppressed.add("tickets", ids[-1:], reason="asked for", at="2026-01-31T00:00:00Z")
    assert raw.run()["dagster/row_count"] == 69
    assert raw.opened == ["1.csv", "2.csv"]
    raw.add("3.csv", ROWS[:5])
    assert raw.run()["dagster/row_count"] == 74
    assert raw.opened == ["2.csv", "3.csv"]


def test_a_file_that_changes_while_it_is_read_is_told_and_one_that_is_not_read_may_change(
    raw: Raw, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = readers.raw_examples

    def change_while_reading(name: str) -> None:
        def read(*given: Any, **more: Any) -> Any:
            made = inner(*given, **more)
            raw.add(name, ROWS[:3])
            return made

        monkeypatch.setattr(readers, "raw_examples", read)

    change_while_reading("2.csv")
    result = materialize(raw.instance, raw.task, RAW, raise_on_error=False)
    assert "1 file(s) changed while they were read" in description(result)
    change_while_reading("1.csv")
    raw.run()
    assert raw.opened == ["2.csv"]


def test_what_a_function_yields_is_read_in_every_run_and_all_files_with_it(
    raw: Raw, project_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = f"rows_of_{os.getpid()}"
    (project_data / f"{module}.py").write_text(
        "def rows():\n    yield {'body': 'a b c', 'category': 'billing'}\n"
    )
    monkeypatch.syspath_prepend(str(project_data))
    sources = [{"path": "incoming/tickets/*.csv"}, {"function": f"{module}:rows"}]
    columns = {"text": "body", "label": "category"}
    raw.run(sources=sources, columns=columns)
    raw.add("3.csv", ROWS[:5])
    told = raw.run(sources=sources, columns=columns)
    assert raw.opened == ["1.csv", "2.csv", "3.csv"] and told["files_taken_over"] == 0
