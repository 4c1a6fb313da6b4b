"""What a run has told, and what it has left behind."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import ArtifactStore
from ft_assets.paths import store_root
from ft_assets_tests.tickets import ASSETS

__all__ = [
    "current",
    "customer_in",
    "description",
    "eventually",
    "failed_checks",
    "published",
    "work_in_progress",
    "written_in",
]

_SECONDS = 60  # what is waited for takes some seconds; a busy machine may take ten times as long


def eventually(condition: Callable[[], Any], seconds: float = _SECONDS) -> Any:
    """What the condition gives as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def description(result: dg.ExecuteInProcessResult) -> str:
    """What the one failed step says, as the UI shows it; every such text says where and what to do."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    told = event.step_failure_data.user_failure_data
    assert told is not None, f"no failure of ours: {event.step_failure_data.error_display_string}"
    return str(told.description)


def failed_checks(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Severity of each check that has failed, by `asset: check`."""
    return {
        f"{check.asset_key.path[-1]}: {check.check_name}": check.severity.value
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }


def current(instance: dg.DagsterInstance) -> dict[str, str]:
    """The data version that each asset of the tickets task has now."""
    found = {}
    for asset in ASSETS:
        event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", asset]))
        if event is not None and event.asset_materialization is not None:
            found[asset] = (event.asset_materialization.tags or {})["dagster/data_version"]
    return found


def customer_in(instance: dg.DagsterInstance, split: str) -> str:
    """A customer whose tickets are in the split: what they write later goes there, too."""
    store = ArtifactStore(store_root())
    rows = store.open("tickets", f"{split}_split", current(instance)[f"{split}_split"]).table()
    return min(rows["cluster"].to_pylist()).removeprefix("g:")


def published(store: Path) -> dict[str, str]:
    """SHA-256 of every file of what has been published, by its path in the store."""
    return {
        path.relative_to(store).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in store.rglob("*")
        if path.is_file() and not {".staging", ".locks", "refused"} & set(path.parts)
    }


def work_in_progress(store: Path) -> list[str]:
    """Staging directories and lock files that are left."""
    return [path.name for folder in (".staging", ".locks") for path in (store / folder).glob("*")]


def written_in(folder: Path, text: str) -> list[str]:
    """Files below a folder that hold a text: databases and logs are searched byte by byte."""
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and text.encode() in path.read_bytes()
    ]
