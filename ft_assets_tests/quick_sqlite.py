"""Dagster's SQLite files in this process, written with less work and without waiting for the disk.

A run in a test is mostly Dagster's own bookkeeping: some thousand statements, for each of which it makes an engine,
compiles the statement, opens the file, and waits until the disk has what was committed. That is two thirds of the run.
Processes that a test starts do as they do for a user.
"""

import sqlite3
from contextlib import suppress
from threading import Lock
from typing import Any

from dagster._core.storage.event_log.sqlite import sqlite_event_log
from dagster._core.storage.runs.sqlite import sqlite_run_storage
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

__all__ = ["close_files", "install"]

_MOST_ENGINES = 16
_engines: dict[str, Engine] = {}
"""By address of the file, the last used one last."""
_lock = Lock()


def install() -> None:
    """Hold for all instances that this process opens from now on."""
    event.listen(Engine, "connect", _without_waiting_for_the_disk)
    for storage in (sqlite_event_log, sqlite_run_storage):
        storage.create_engine = _kept_engine


def close_files() -> None:
    """Close all files: SQLite writes into the database what it has kept beside it."""
    with _lock:
        while _engines:
            _engines.popitem()[1].pool.dispose()


def _without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    """What is written is seen at once all the same, and outlives any process; only a power cut could lose it."""
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):  # a file that is none: whoever asks it something is told
            connection.execute("PRAGMA synchronous=OFF")


def _kept_engine(url: str, *, poolclass: Any, connect_args: Any = ()) -> Engine:
    """In place of `create_engine`: an engine that stays, and its connection with it."""
    with _lock:
        engine = _engines.pop(url, None) or _new_engine(url, dict(connect_args))
        _engines[url] = engine
        if len(_engines) > _MOST_ENGINES:
            _engines.pop(next(iter(_engines))).pool.dispose()
    return engine


def _new_engine(url: str, connect_args: dict[str, Any]) -> Engine:
    engine = create_engine(url, poolclass=QueuePool, connect_args=connect_args)
    engine.dispose = lambda close=True: None  # Dagster does so after each statement
    return engine
