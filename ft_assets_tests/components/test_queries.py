"""A query of a database as the source of a task: what follows from a changed row, and what is written down of it."""

import sqlite3
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.commands.withdraw import withdraw_file
from ft_assets.components.stage import Task
from ft_assets.errors import UserError
from ft_assets.paths import data_dir
from ft_assets_tests.runs import current, description, published, written_in
from ft_assets_tests.tickets import materialize, task, ticket, tickets, write_csv

RAW = "raw_examples"
QUERY = "select body, category, customer from tickets order by number"


@pytest.fixture
def database(project_data: Path) -> Path:
    path = project_data / "incoming" / "helpdesk.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table tickets (number integer primary key, body, category, customer)")
        connection.executemany(
            "insert into tickets (body, category, customer) values (:body, :category, :customer)",
            tickets(150),
        )
    connection.close()
    return path


@pytest.fixture
def made(database: Path, tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    # The number of seconds stands for what is secret in a URL: SQLite has no passwords.
    monkeypatch.setenv("HELPDESK_URL", f"sqlite:///{database}?timeout=7777777")
    return task(tiny_bert_dir, sources=[{"sql": QUERY, "url_env": "HELPDESK_URL", "name": "helpdesk"}])


def change(database: Path, statement: str, *values: str) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement, values)
    connection.close()


def test_the_same_rows_are_the_same_version_and_a_changed_row_is_another(
    instance: dg.DagsterInstance, made: Task, database: Path
) -> None:
    materialize(instance, made, RAW)
    before = current(instance)
    materialize(instance, made, RAW)
    assert current(instance) == before
    change(database, "update tickets set category = 'delivery' where number = 1")
    materialize(instance, made, RAW)
    assert current(instance)[RAW] != before[RAW]


def test_nothing_that_is_written_holds_the_url(
    instance: dg.DagsterInstance, made: Task, database: Path
) -> None:
    result = materialize(instance, made, RAW)
    (shown,) = result.asset_materializations_for_node("tickets__raw_examples")
    assert [record.data["file"] for record in shown.metadata["files"].records] == ["sql:helpdesk"]
    assert written_in(data_dir(), "7777777") == []


def test_a_query_that_breaks_off_publishes_nothing(
    instance: dg.DagsterInstance, made: Task, database: Path
) -> None:
    materialize(instance, made, RAW)
    before, files = current(instance), published(data_dir() / "store")
    change(database, "insert into tickets (body) select printf('%.900c', 'x') from tickets")
    content = bytearray(database.read_bytes())
    content[-4096 * 3 : -4096 * 2] = b"\xff" * 4096  # a page near the end of the table
    database.write_bytes(content)
    told = description(materialize(instance, made, RAW, raise_on_error=False))
    assert "the database stopped answering after" in told and "source 'helpdesk'" in told
    assert current(instance) == before and published(data_dir() / "store") == files


def test_rows_of_a_query_cannot_be_withdrawn_as_a_file(instance: dg.DagsterInstance, made: Task) -> None:
    materialize(instance, made, RAW)
    with pytest.raises(UserError, match="a source that is pinned or computed") as error:
        withdraw_file(instance, {"tickets": made}, "sql:helpdesk")
    assert error.value.where == "sql:helpdesk"


def test_a_query_and_files_are_sources_of_one_task(
    instance: dg.DagsterInstance, made: Task, tiny_bert_dir: Path
) -> None:

    write_csv(
        data_dir() / "incoming" / "tickets" / "more.csv", [ticket("billing", n) for n in range(900, 910)]
    )
    both = task(
        tiny_bert_dir,
        sources=[
            *(source.model_dump() for source in made.config.sources),
            {"path": "incoming/tickets/*.csv"},
        ],
    )
    result = materialize(instance, both, RAW)
    (shown,) = result.asset_materializations_for_node("tickets__raw_examples")
    assert shown.metadata["dagster/row_count"].value == 160
