"""Dagster's event log in SQLite, as `dagster.yaml` names it: the same files and tables, written with less work."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool, QueuePool

from ft_assets.errors import UserError

__all__ = ["EventLog"]

MOST_ENGINES = 8
"""Engines that are kept: that of all assets, and those of the runs that were used last. A daemon sees thousands."""


class EventLog(SqliteEventLogStorage):
    """The event log of Dagster, with one SQLAlchemy engine kept for each database file in use.

    Dagster makes a new engine for every event (up to three for the result of a check), which then compiles each
    statement anew; and as the last connection closes, SQLite moves its write-ahead log into the database. Together that
    is about half of what an event costs, and a task has over eighty checks with two events each.

    The file of all assets keeps its connection, too. That of a run does not: the UI follows a run by looking at
    whether its file is modified, which happens as a connection closes.

    It overrides a private method, hence the narrow pin of dagster; a test holds that each reads what the other wrote.
    """

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: dict[str, Engine] = {}
        super().__init__(base_dir, inst_data)

    @classmethod
    def config_type(cls) -> Any:
        return {"base_dir": dg.Field(dg.StringSource, is_required=False)}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "EventLog":
        """Without a `base_dir` it lies where Dagster's own does: `history/runs` in the instance's folder.

        That folder is the one in DAGSTER_HOME; Dagster does not say which it is, so `DagsterInstance.from_config` of
        another folder needs a `base_dir`.
        """
        folder = config_value.get("base_dir")
        if folder is None:
            home = os.environ.get("DAGSTER_HOME")
            if not home:
                raise UserError(
                    "DAGSTER_HOME is not set: nothing tells where the event log lies",
                    where="dagster.yaml: event_log_storage",
                    do="set it as the Makefile does, or give base_dir there",
                )
            folder = str(Path(home) / "history" / "runs")
        return cls(folder, inst_data)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engines.pop(shard, None) or self._new_engine(shard)
            self._engines[shard] = engine  # the last one now
            if len(self._engines) > MOST_ENGINES:
                self._engines.pop(next(iter(self._engines))).dispose()
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.begin() as connection:
                yield connection

    def _new_engine(self, shard: str) -> Engine:
        return create_engine(
            self.conn_string_for_shard(shard),
            poolclass=QueuePool if shard == INDEX_SHARD_NAME else NullPool,
            # The lock lets one thread at a time use it, whichever that is.
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS, "check_same_thread": False},
        )

    def _close(self) -> None:
        with self._db_lock:
            while self._engines:
                self._engines.popitem()[1].dispose()

    def wipe(self) -> None:
        """Remove all events. The files go, so no connection may be left that would write into nowhere."""
        self._close()
        super().wipe()

    def dispose(self) -> None:
        self._close()
        super().dispose()
