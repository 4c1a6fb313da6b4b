"""A query of a database as a source: real SQLite files, and what any other database does through SQLAlchemy."""

import sqlite3
import sys

import pytest
from pydantic import ValidationError

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.formats import sql
from ft_assets.data.readers import raw_examples
from ft_assets.errors import UserError, without_values
from ft_assets_tests.data.helpers import rows

SECRET = "xyzzyplugh"


@pytest.fixture(autouse=True)
def data_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("FT_DATA_DIR", str(tmp_path))


def database(tmp_path, *values, columns="text, label", name="tickets.db"):
    """A database with one table, `tickets`, of these rows."""
    with sqlite3.connect(tmp_path / name) as connection:
        connection.execute(f"create table tickets ({columns})")
        marks = ", ".join("?" for _ in columns.split(","))
        connection.executemany(f"insert into tickets values ({marks})", values)
    connection.close()
    return f"sqlite:///{name}"


def ask(
    url, query="select text, label from tickets order by rowid", *, task_type="text-classification", **more
):
    columns = ColumnsConfig.model_validate(more.pop("columns", {}))
    source = SourceConfig(sql=query, **({"url": url} if url else {}), **more)
    return raw_examples([(source, [])], columns, task_type)


def test_rows_of_a_query_are_numbered_and_named_after_their_source(tmp_path):
    url = database(tmp_path, ("a", "x"), ("é", None))
    made = ask(url, name="helpdesk")
    assert rows(made, "text", "label", "file", "row", "source") == [
        ("a", "x", "sql:helpdesk", 1, "helpdesk"),
        ("é", None, "sql:helpdesk", 2, "helpdesk"),
    ]
    assert made.summary["files"] == [{"source": "helpdesk", "file": "sql:helpdesk", "rows": 2, "refused": 0}]


def test_the_query_may_name_and_join_columns_as_it_likes(tmp_path):
    url = database(tmp_path, ("a", 5, "who"), columns="body, stars, author")
    query = "select upper(body) || ':: 100%' as text, stars as label, author from tickets where body != ':x'"
    made = ask(url, query, columns={"group": "author"})
    assert rows(made, "text", "label", "group") == [("A:: 100%", "5", "who")]


def test_conversations_are_read_from_json_in_a_column(tmp_path):
    url = database(
        tmp_path,
        ('[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]',),
        columns="messages",
    )
    made = ask(url, "select messages from tickets", task_type="text-generation")
    assert rows(made, "text", "label") == [("q", "a")]


def test_cells_are_made_text_as_in_other_files_and_what_is_no_text_costs_its_row(tmp_path):
    values = [(4, "x"), (4.5, "x"), (b"in bytes", "x"), (b"caf\xe9", "x"), (None, "x"), (True, "x")]
    made = ask(database(tmp_path, *values))
    assert rows(made, "text") == [("4",), ("4.5",), ("in bytes",), (None,), ("1",)]
    (refused,) = made.quarantine.to_pylist()
    assert (refused["rule"], refused["row"]) == ("undecodable", 4)
    assert refused["reason"] == "sql:default, row 4: field 'text' is not UTF-8"


def test_a_text_that_is_not_utf8_costs_its_row_and_not_the_query(tmp_path):
    url = database(tmp_path, ("a", "x"), ("b", "x"), ("c", "x"))
    made = ask(
        url,
        "select case text when 'b' then cast(x'636166e9' as text) else text end as text, label from tickets",
    )
    assert rows(made, "text") == [("a",), ("c",)]
    assert made.quarantine["rule"].to_pylist() == ["undecodable"]


@pytest.mark.parametrize(("value", "kind"), [("2026-01-02", "date"), ("2026-01-02 03:04:05", "datetime")])
def test_dates_are_no_text_until_the_query_makes_them_one(value, kind):
    # SQLite has no dates: these are what other drivers give.
    import datetime

    made = getattr(datetime, kind).fromisoformat(value)
    (refused,) = sql.from_mappings([(1, {"text": made}, None)], ["text"], "sql:default")
    assert refused.reason == f"sql:default, row 1: field 'text' holds a {kind}, expected text"


def test_ids_do_not_depend_on_the_order_that_a_database_gives_rows_in(tmp_path):
    url = database(tmp_path, *((f"text {n % 5}", "x") for n in range(9)))
    found = [
        sorted(rows(ask(url, f"select * from tickets order by rowid {way}"), "example_id", "text"))
        for way in ("asc", "desc")
    ]
    assert found[0] == found[1]


def test_a_row_has_the_id_that_it_has_in_a_file(tmp_path):
    from ft_assets_tests.data.helpers import jsonl, read

    in_file = read(jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "x"}))
    assert rows(ask(database(tmp_path, ("a", "x"))), "example_id") == rows(in_file, "example_id")


def test_many_rows_are_never_in_memory_together(tmp_path):
    count = 200_000
    numbers = f"with recursive numbers(n) as (select 1 union all select n + 1 from numbers where n < {count})"
    query = f"{numbers} select printf('text %d %.200c', n, 'x') as text, n % 3 as label from numbers"
    source = SourceConfig(sql=query, url=database(tmp_path, ("a", "x")))
    before, most, rows_read = sys.getallocatedblocks(), 0, 0
    for record in sql.read(source, tmp_path, ["text", "label"]):
        rows_read = record.row
        if rows_read % 5_000 == 0:
            most = max(most, sys.getallocatedblocks() - before)
    assert rows_read == count
    # A row is at least three blocks of memory (its text, its label, and both together); a part has a thousand rows,
    # and SQLAlchemy's modules, loaded by the first query, have some 60,000.
    assert most < 100_000 < 3 * count


# The database is only read


def test_a_statement_that_writes_is_refused_and_changes_nothing(tmp_path):
    url = database(tmp_path, ("a", "x"))
    for statement in (
        "delete from tickets",
        "drop table tickets",
        "insert into tickets values ('b', 'y') returning text, label",
    ):
        with pytest.raises(UserError, match="attempt to write a readonly database"):
            ask(url, statement)
    assert ask(url).examples.num_rows == 1


def test_a_database_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(UserError, match=r"there is no file 'none\.db'"):
        ask("sqlite:///none.db")
    assert list(tmp_path.iterdir()) == []


def test_a_path_starts_at_the_data_directory_or_at_the_task(tmp_path):
    (tmp_path / "task").mkdir()
    database(tmp_path, ("here", "x"), name="task/tickets.db")
    source = SourceConfig(sql="select * from tickets", url="sqlite:///./tickets.db")
    assert raw_examples([(source, [])], ColumnsConfig(), base=tmp_path / "task").examples.num_rows == 1
    assert ask(f"sqlite:///{tmp_path}/task/tickets.db").examples.num_rows == 1
    assert ask("sqlite:///task/tickets.db").examples.num_rows == 1


# Errors


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("selec text from tickets", "the query failed: OperationalError: near '…': syntax error"),
        ("select texxt, label from tickets", "the query failed: OperationalError: no such column: texxt"),
        ("select text, label from tickts", "the query failed: OperationalError: no such table: tickts"),
        ("select text from tickets", "there is no column 'label'"),
        ("select text as txet, label from tickets", "no column 'text': did you mean 'txet'"),
        ("select text, label, label from tickets", "column 'label' stands 2 times"),
        ("pragma query_only = 1", "the statement gives no rows"),
        ("select text, label from tickets where 0", "there are no rows"),
    ],
)
def test_a_query_that_cannot_be_used_says_why_and_where(tmp_path, query, what):
    with pytest.raises(UserError, match=what) as error:
        ask(database(tmp_path, ("a", "x")), query, name="helpdesk")
    assert "helpdesk" in error.value.where and error.value.do


def test_a_database_that_breaks_off_half_way_is_an_error(tmp_path):
    url = database(tmp_path, *((f"{SECRET} {n} {'x' * 500}", "x") for n in range(5_000)))
    file = tmp_path / "tickets.db"
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096  # a page of 4 KiB in the middle of the table
    content[middle : middle + 4096] = b"\xff" * 4096
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"stopped answering after [1-9]\d* rows \(DatabaseError\)") as error:
        ask(url)
    assert SECRET not in without_values(error.value)


def test_a_file_that_is_no_database_is_an_error(tmp_path):
    (tmp_path / "a.db").write_text("text,label\na,x\n" * 100)
    with pytest.raises(UserError, match="the query failed: DatabaseError: file is not a database"):
        ask("sqlite:///a.db")


def test_a_server_that_does_not_answer_is_an_error_without_its_password(monkeypatch):
    pytest.importorskip("psycopg", reason="needs the driver of PostgreSQL")
    monkeypatch.setenv("HELPDESK", f"postgresql+psycopg://reader:{SECRET}@127.0.0.1:9/tickets")
    with pytest.raises(UserError, match="the database cannot be reached") as error:
        ask(None, url_env="HELPDESK")
    assert error.value.where == "source 'default' (postgresql+psycopg://127.0.0.1:9/tickets)"
    assert SECRET not in without_values(error.value)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        (f"oracle+nodriver://reader:{SECRET}@host/tickets", "SQLAlchemy knows no database 'oracle.nodriver'"),
        (f"nonsuch://reader:{SECRET}@host/tickets", "SQLAlchemy knows no database 'nonsuch'"),
        (f"mssql+pymssql://reader:{SECRET}@host/tickets", "there is no module 'pymssql'"),
        (f"reader:{SECRET}@host", "it is no URL of a database"),
        (f"sqlite:///a.db?{SECRET}=1", "there is no file 'a.db'"),
        ("sqlite://", "the URL names no file"),
        ("", "the environment variable HELPDESK is not set"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_what_is_secret(monkeypatch, url, what):
    monkeypatch.setenv("HELPDESK", url)
    with pytest.raises(UserError, match=what) as error:
        ask(None, url_env="HELPDESK")
    assert SECRET not in without_values(error.value) and error.value.do


# Settings


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://reader:{SECRET}@host/tickets",
        f"postgresql://host/tickets?user=reader&password={SECRET}",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3DODBC%3BPWD%3D{SECRET}",
    ],
)
def test_a_password_in_the_task_is_refused_and_not_repeated(url):
    with pytest.raises(ValidationError, match="put it into an environment variable") as error:
        SourceConfig(sql="select 1", url=url)
    assert SECRET not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"sql": "select 1"}, "exactly one of 'url' and 'url_env'"),
        (
            {"sql": "select 1", "url": "sqlite:///a.db", "url_env": "HELPDESK"},
            "exactly one of 'url' and 'url_env'",
        ),
        ({"path": "a.csv", "url": "sqlite:///a.db"}, "belong to 'sql'"),
        ({"sql": "select 1", "path": "a.csv"}, "exactly one of 'path', 'function' and 'sql'"),
    ],
)
def test_a_source_is_of_one_kind(settings, what):
    with pytest.raises(ValidationError, match=what):
        SourceConfig(**settings)


def test_what_is_recorded_of_a_source_has_no_password(monkeypatch):
    monkeypatch.setenv("HELPDESK", f"postgresql://reader:{SECRET}@host/tickets")
    assert SECRET not in SourceConfig(sql="select 1", url_env="HELPDESK").model_dump_json()
