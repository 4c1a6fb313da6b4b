"""Rows of a SQL query, through SQLAlchemy: any database that a driver is installed for.

The rows come in parts (by a cursor of the server, where the driver has one): no more than one part is in memory.
The connection is read-only where driver and database know that. User and password stand in no message. Not here: where
the URL may stand (`ft_assets.data.config`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import (
    UNDECODABLE,
    Record,
    Refusal,
    Wanted,
    chosen,
    find_columns,
    from_mappings,
)
from ft_assets.errors import UserError, message_without_values
from ft_assets.paths import data_dir

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, CursorResult, Engine

__all__ = ["name_of", "read"]

# Rows fetched at a time: some 400 KB of usual texts.
_PART_ROWS = 1_000
_READ_ONLY = {
    "mysql": "SET SESSION TRANSACTION READ ONLY",
    "mariadb": "SET SESSION TRANSACTION READ ONLY",
}


def name_of(source: SourceConfig) -> str:
    """What stands for the file's name in rows and messages."""
    return f"sql:{source.name}"


def read(source: SourceConfig, base: Path, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of the query, numbered as they come; see the package for what is yielded.

    Their order is the database's, unless the query has an `order by`. Ids do not depend on it, but where the same text
    stands several times: which of them is the first is then a matter of order.

    Args:
        source: One with `sql`, and `url` or `url_env`.
        base: Where the path of an SQLite file starts if it begins with `./`; others start at the data directory.
        wanted: Columns wanted.

    Raises:
        UserError: The database cannot be reached, its driver is not installed, the query fails or lacks a wanted
            column, or the database stops answering half-way.
    """
    from sqlalchemy.exc import SQLAlchemyError

    url = _url(source, base)
    where = f"source '{source.name}' ({_shown(url)})"
    with _connected(url, where) as connection:
        result = _executed(connection, source.sql or "", where)
        header = list(result.keys())
        names = chosen(wanted, header)
        find_columns(header, names, where, " or in the query (`select body as text`)")
        rows = _rows(result, [name for name in header if name in names], name_of(source))
        number = 0
        try:
            for row in from_mappings(rows, names, name_of(source)):
                number += 1
                yield row
        except (SQLAlchemyError, OSError) as error:
            # What the database says now may quote a row.
            raise UserError(
                f"the database stopped answering after {number} rows ({_kind(error)})",
                where=where,
                do="run it again; if it stops there again, run the query in the database's own client to see why",
            ) from None


def _url(source: SourceConfig, base: Path) -> URL:
    """The URL of the database; a path of SQLite made absolute, and opened for reading alone."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    given = source.url
    where = f"source '{source.name}'"
    if source.url_env is not None:
        given = os.environ.get(source.url_env)
        where += f" (environment variable {source.url_env})"
        if not given:
            raise UserError(
                f"the environment variable {source.url_env} is not set",
                where=where,
                do="set it to the URL of the database, such as postgresql+psycopg://user:password@host/name, before "
                "Dagster is started",
            )
    try:
        url = make_url(given or "")
    except (ArgumentError, ValueError):
        # Neither the error nor its cause is shown: the text may hold a password.
        raise UserError(
            "it is no URL of a database",
            where=where,
            do="write it as SQLAlchemy does: dialect+driver://user:password@host:port/name, or sqlite:///path",
        ) from None
    return _of_file(url, base, where) if url.get_backend_name() == "sqlite" else url


def _of_file(url: URL, base: Path, where: str) -> URL:
    name = url.database
    if not name or name == ":memory:" or name.startswith("file:"):
        raise UserError("the URL names no file", where=where, do="write sqlite:///incoming/tickets.db")
    start = base if name.startswith(("./", "../")) else data_dir()
    path = (start / Path(name).expanduser()).resolve()
    if not path.is_file():
        raise UserError(
            f"there is no file '{path.name}'", where=f"{where}, {path.parent}", do="correct the URL"
        )
    # Opened by its own URI: else SQLite makes a file that is not there, and may write to one that is.
    return url.set(database=path.as_uri(), query={**url.query, "mode": "ro", "uri": "true"})


def _shown(url: URL) -> str:
    """The URL as people may see it: no user, no password, no query."""
    if url.get_backend_name() == "sqlite":
        return f"sqlite, {Path(unquote(url.database or '')).name}"
    host = f"{url.host or ''}{f':{url.port}' if url.port else ''}"
    return f"{url.drivername}://{host}/{url.database or ''}"


@contextmanager
def _connected(url: URL, where: str) -> Iterator[Connection]:
    from sqlalchemy.exc import SQLAlchemyError

    engine = _engine(url, where)
    try:
        try:
            connection = engine.connect()
        except (SQLAlchemyError, OSError) as error:
            raise UserError(
                f"the database cannot be reached: {_said(error, url)}",
                where=where,
                do="check that it runs and answers from here, and the URL's host, name, user and password",
            ) from None
        with connection:
            yield connection
    finally:
        engine.dispose()


def _engine(url: URL, where: str) -> Engine:
    from sqlalchemy import NullPool, create_engine, event
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    try:
        engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    except NoSuchModuleError:
        raise UserError(
            f"SQLAlchemy knows no database '{url.drivername}'",
            where=where,
            do="correct the URL's beginning, or install the package that brings this dialect",
        ) from None
    except ImportError as error:
        raise UserError(
            f"the driver of '{url.drivername}' is not installed: there is no module '{error.name}'",
            where=where,
            do=f"install it beside this project, for example `pip install {error.name}`",
        ) from None
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(
            f"the URL has a part that the driver does not know ({type(error).__name__})",
            where=where,
            do="compare it with the driver's page in SQLAlchemy's documentation",
        ) from None
    if url.get_backend_name() == "sqlite":
        event.listen(engine, "connect", _texts_as_they_are)
    return engine


def _texts_as_they_are(connection: Any, _: Any) -> None:
    """A text of SQLite that is not UTF-8 stays bytes, and is its row's matter: else it would end the whole query."""

    def decoded(value: bytes) -> str | bytes:
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value

    connection.text_factory = decoded


def _executed(connection: Connection, sql: str, where: str) -> CursorResult[Any]:
    from sqlalchemy.exc import SQLAlchemyError

    name = connection.dialect.name
    # As it stands: a colon or a per cent sign in it is no parameter.
    options: dict[str, Any] = {"stream_results": True, "yield_per": _PART_ROWS, "no_parameters": True}
    if name == "postgresql":
        options["postgresql_readonly"] = True
    try:
        if name in _READ_ONLY:
            connection.exec_driver_sql(_READ_ONLY[name])
        result = connection.execution_options(**options).exec_driver_sql(sql)
    except SQLAlchemyError as error:
        raise UserError(
            f"the query failed: {_said(error, connection.engine.url)}",
            where=where,
            do="correct `sql:` in sources; run it in the database's own client to see the whole message",
        ) from None
    if not result.returns_rows:
        raise UserError("the statement gives no rows", where=where, do="write a query (`select …`) in `sql:`")
    return result


def _rows(
    result: CursorResult[Any], names: list[str], where: str
) -> Iterator[tuple[int, dict[str, Any] | Refusal, None]]:
    keys = list(result.keys())
    places = [(name, keys.index(name)) for name in names]
    for number, values in enumerate(result, start=1):
        row = {name: values[place] for name, place in places}
        yield number, _decoded(row, number, where), None


def _decoded(row: dict[str, Any], number: int, where: str) -> dict[str, Any] | Refusal:
    """Bytes are a text in UTF-8, as in Parquet and Arrow files; else the row is refused."""
    for name, value in row.items():
        if isinstance(value, bytes | bytearray | memoryview):
            raw = bytes(value)
            try:
                row[name] = raw.decode()
            except UnicodeDecodeError:
                return Refusal(
                    number, UNDECODABLE, f"{where}, row {number}: field '{name}' is not UTF-8", raw
                )
    return row


def _kind(error: Exception) -> str:
    """The driver's own error."""
    return type(getattr(error, "orig", None) or error).__name__


def _said(error: Exception, url: URL) -> str:
    """What the driver said, without values in quotation marks and without the password."""
    said = message_without_values(str(getattr(error, "orig", None) or error).partition("\n")[0])
    if url.password:
        said = said.replace(str(url.password), "…")
    return f"{_kind(error)}: {said}" if said else _kind(error)
