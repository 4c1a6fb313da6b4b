"""What nothing refers to is removed from the store, and nothing else."""

import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.artifacts import ArtifactStore, Removal
from ft_assets.cli import main
from ft_assets.commands.gc import collect_garbage
from ft_assets.components.stage import Task
from ft_assets.disk import flock
from ft_assets.errors import UserError
from ft_assets.lineage.graph import builds
from ft_assets.paths import data_dir, resume_dir
from ft_assets.removal.unused import find_unused
from ft_assets_tests.runs import current, published, work_in_progress
from ft_assets_tests.tickets import ASSETS, materialize, tickets, write_csv


def store_dir() -> Path:
    return data_dir() / "store"


def versions(asset: str) -> set[str]:
    return {path.parent.name for path in (store_dir() / "tickets" / asset).glob("*/manifest.json")}


def put(
    version: str,
    *,
    asset: str = "asset",
    days_ago: float = 100,
    inputs: dict[str, str] | None = None,
    key: str = "",
) -> None:
    """An artifact with its index entry, as it was published some days ago."""
    store = ArtifactStore(store_dir())
    with store.staging("task", asset) as staging:
        staging.write_text("notes.txt", f"{asset} {version}")
        artifact = store.commit(
            staging, data_version=version, build_key=key or f"k{version}", inputs=inputs or {}, config={},
            code_version="c", summary={},
        )  # fmt: skip
    created = (datetime.now(UTC) - timedelta(days=days_ago)).isoformat(timespec="seconds")
    for path, at in (
        (artifact.path / "manifest.json", ()),
        (artifact.path.parent / "index" / f"{key or f'k{version}'}.json", ("build",)),
    ):
        content = json.loads(path.read_text())
        place = content[at[0]] if at else content
        place["created"] = created
        path.write_text(json.dumps(content))
    os.utime(artifact.path, (time.time() - days_ago * 86_400,) * 2)


def unused(current: dict[str, str], keep: int = 2, keep_days: float = 30) -> set[str]:
    older_than = datetime.now(UTC) - timedelta(days=keep_days)
    return {
        f"{each.asset}/{each.name}"
        for each in find_unused(store_dir(), "task", current, {}, keep=keep, older_than=older_than)
    }


def test_the_current_the_newest_and_the_young_stay(project_data: Path) -> None:
    for number, days in enumerate((100, 90, 80, 70, 60, 10)):
        put(f"v{number}", days_ago=days)
    assert unused({"asset": "v1"}) == {"asset/v0", "asset/v2", "asset/v3"}
    assert unused({"asset": "v1"}, keep=4) == {"asset/v0"}
    assert unused({"asset": "v1"}, keep_days=75) == {"asset/v0", "asset/v2"}


def test_all_that_what_stays_was_made_from_stays(project_data: Path) -> None:
    for number in range(5):
        put(f"r{number}", asset="raw", days_ago=100 - number)
    put("c0", asset="clean", inputs={"raw": "r0"})
    put("m0", asset="model", inputs={"clean": "c0"})
    assert unused({"model": "m0", "raw": "r4"}, keep=1) == {f"raw/r{number}" for number in (1, 2, 3)}


def test_of_several_builds_with_equal_output_the_latest_says_what_it_was_made_from(
    project_data: Path,
) -> None:
    for number in range(3):
        put(f"r{number}", asset="raw", days_ago=100 - number)
    put("s0", asset="split", inputs={"raw": "r0"}, key="first", days_ago=95)
    put("s0", asset="split", inputs={"raw": "r1"}, key="second", days_ago=90)
    assert unused({"split": "s0", "raw": "r2"}, keep=1) == {"raw/r0"}


def test_of_versions_made_within_a_second_the_last_is_the_newest(project_data: Path) -> None:
    store = ArtifactStore(store_dir())
    made = ["d", "b", "c", "a", "e"]
    for version in made:
        with store.staging("task", "asset") as staging:
            staging.write_text("notes.txt", version)
            store.commit(
                staging, data_version=version, build_key=f"k{version}", inputs={}, config={}, code_version="c",
                summary={},
            )  # fmt: skip
    assert [build.data_version for build in builds(store_dir(), "task")] == made
    assert unused({"asset": "e"}, keep=2, keep_days=0) == {"asset/d", "asset/b", "asset/c"}


def test_an_entry_whose_artifact_is_gone_and_old_refused_folders_go(project_data: Path) -> None:
    put("v0")
    put("v1", key="shared")
    place = store_dir() / "task" / "asset"
    for name, days in (("refused/old", 40), ("refused/new", 1), ("damaged/v9-old", 40)):
        (place / name).mkdir(parents=True)
        (place / name / "x").write_text("x")
        os.utime(place / name, (time.time() - days * 86_400,) * 2)
    for path in (place / "v1").iterdir():
        path.unlink()
    (place / "v1").rmdir()
    assert unused({"asset": "v0"}) == {"asset/index/shared", "asset/refused/old", "asset/damaged/v9-old"}


def cut_off(made: Task, name: str) -> Path:
    """The folder that a training which was cut off has left."""
    point = resume_dir() / made.name / name / "step-000000004"
    point.mkdir(parents=True)
    (point / "weights.safetensors").write_bytes(b"w" * 1_000)
    return point.parent


def change(instance: dg.DagsterInstance, made: Task, incoming: Path, *assets: str) -> dict[str, str]:
    """Three versions of these assets (`raw_examples`, if none is named); gives what is current."""
    for rows in (90, 120):
        write_csv(incoming / "a.csv", tickets(rows))
        materialize(instance, made, *(assets or ("raw_examples",)))
    return current(instance)


def test_old_versions_go_and_all_that_is_current_still_opens(
    instance: dg.DagsterInstance, made: Task, incoming: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = change(instance, made, incoming, *ASSETS[:7])
    before = published(store_dir())
    would = collect_garbage(instance, keep=1, keep_days=0, dry_run=True)
    assert would > 0 and published(store_dir()) == before
    assert (
        "cache/cleaned/tickets" in (said := capsys.readouterr().out)
        and "made to be quicker, long ago" in said
    )
    assert collect_garbage(instance, keep=1, keep_days=0) == would
    store = ArtifactStore(store_dir())
    for asset, version in now.items():
        assert store.open("tickets", asset, version).data_version == version
    assert versions("raw_examples") == {now["raw_examples"]}
    assert collect_garbage(instance, keep=1, keep_days=0) == 0
    assert "0.0 MB freed" in capsys.readouterr().out
    assert materialize(instance, made, *ASSETS[:7]).success and current(instance) == now
    assert work_in_progress(store_dir()) == [] and list(store_dir().glob(".trash-*")) == []


def test_by_default_nothing_that_is_younger_than_a_month_goes(
    instance: dg.DagsterInstance, made: Task, incoming: Path
) -> None:
    change(instance, made, incoming)
    before = published(store_dir())
    assert collect_garbage(instance) == 0 and published(store_dir()) == before


def test_the_state_of_a_training_that_was_cut_off_long_ago_goes(
    instance: dg.DagsterInstance, made: Task, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (cut_off(made, name) for name in ("old", "new"))
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    assert collect_garbage(instance, dry_run=True) == 1_000 and old.is_dir()
    assert collect_garbage(instance) == 1_000
    assert not old.exists() and new.is_dir()
    assert f"{old}: left by a training long ago" in capsys.readouterr().out


def test_a_task_that_is_being_built_is_left_alone(
    instance: dg.DagsterInstance, made: Task, incoming: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(instance, made, incoming)
    before = published(store_dir())
    with ArtifactStore(store_dir()).building("tickets", "train_split", "0123abcd"):
        assert collect_garbage(instance, keep=1, keep_days=0) == 0
    assert "left alone" in capsys.readouterr().out and published(store_dir()) == before


def test_a_build_waits_for_a_removal(instance: dg.DagsterInstance) -> None:
    store = ArtifactStore(store_dir())

    class Waits(Exception):
        pass

    def waits() -> None:
        raise Waits

    with (
        Removal.begin(store_dir()),
        pytest.raises(Waits),
        store.building("tickets", "train_split", "0123abcd", on_wait=waits),
    ):
        raise AssertionError("built during a removal")
    with store.building("tickets", "train_split", "0123abcd"):
        assert "tickets" in Removal(store_dir()).builders()


def test_an_instance_that_knows_nothing_of_the_store_removes_nothing(
    instance: dg.DagsterInstance,
    made: Task,
    incoming: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(instance, made, incoming)
    before = published(store_dir())
    (tmp_path / "other").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "other")) as other:
        assert collect_garbage(other, keep=1, keep_days=0) == 0
    assert "no record of it" in capsys.readouterr().out and published(store_dir()) == before


def test_a_second_gc_finishes_a_killed_one(
    instance: dg.DagsterInstance, made: Task, incoming: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = current(instance)["raw_examples"]  # the splits are made from it
    now = change(instance, made, incoming)

    remove = shutil.rmtree

    def killed(path: Path, **how: bool) -> None:
        if ".trash-" in str(path):
            raise KeyboardInterrupt
        remove(path, **how)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("ft_assets.artifacts.removal.shutil.rmtree", killed)
        collect_garbage(instance, keep=1, keep_days=0)
    assert list(store_dir().glob(".trash-*")) != []
    entries = [json.loads(path.read_text()) for path in (store_dir() / "tickets").glob("*/index/*.json")]
    there = {version for asset in ASSETS for version in versions(asset)}
    assert {entry["data_version"] for entry in entries} <= there
    collect_garbage(instance, keep=1, keep_days=0)
    assert list(store_dir().glob(".trash-*")) == [] and versions("raw_examples") == {
        first,
        now["raw_examples"],
    }


def test_the_command_refuses_a_store_at_a_url_and_an_odd_number(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["gc", "--keep", "0"])
    monkeypatch.setenv("FT_STORE", "memory://elsewhere")
    assert main(["gc"]) == 1
    assert "a store on a file system only" in capsys.readouterr().err


def test_two_removals_do_not_meet(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ft_assets.artifacts.removal._PATIENCE", 0)
    with (
        flock(store_dir() / ".locks" / "removal.lock"),
        pytest.raises(UserError, match="another process is removing"),
        Removal.begin(store_dir()),
    ):
        raise AssertionError("two at once")


def test_staging_that_is_in_use_is_not_counted_as_freed(project_data: Path) -> None:
    with (
        ArtifactStore(store_dir()).staging("task", "asset") as staging,
        Removal.begin(store_dir()) as removal,
    ):
        path = staging.write_text("notes.txt", "live")
        left = store_dir() / ".staging" / "task.asset.0123"
        left.mkdir()
        left.with_name(f"{left.name}.lock").touch()
        (left / "notes.txt").write_text("left behind")
        assert removal.tidy() == len("left behind")
        assert path.is_file() and not left.exists()


def test_raw_rows_that_are_not_current_go_after_their_retention_whatever_was_made_from_them(
    project_data: Path,
) -> None:
    for number, days in enumerate((100, 40, 10, 5)):
        put(f"r{number}", asset="raw_examples", days_ago=days)
    put("c1", asset="cleaned_examples", inputs={"raw_examples": "r1"}, days_ago=40)
    now = datetime.now(UTC)

    def gone(current: str, days: float) -> set[str]:
        found = find_unused(
            store_dir(), "task", {"raw_examples": current, "cleaned_examples": "c1"}, {},
            keep=5, older_than=now - timedelta(days=90), raw_older_than=now - timedelta(days=days),
        )  # fmt: skip
        return {f"{each.asset}/{each.name}" for each in found}

    assert gone("r3", 30) == {"raw_examples/r0", "raw_examples/r1"}
    assert gone("r0", 30) == {"raw_examples/r1"}
    assert gone("r3", 0) == {"raw_examples/r0", "raw_examples/r1", "raw_examples/r2"}
    assert gone("r3", 200) == set()


def test_refused_raw_rows_are_kept_no_longer(project_data: Path) -> None:
    put("r0", asset="raw_examples")
    put("c0", asset="cleaned_examples")
    for asset in ("raw_examples", "cleaned_examples"):
        place = store_dir() / "task" / asset / "refused" / "old"
        place.mkdir(parents=True)
        os.utime(place, (time.time() - 10 * 86_400,) * 2)
    current, now = {"raw_examples": "r0", "cleaned_examples": "c0"}, datetime.now(UTC)
    found = find_unused(
        store_dir(), "task", current, {},
        keep=2, older_than=now - timedelta(days=30), raw_older_than=now - timedelta(days=7),
    )  # fmt: skip
    assert [(each.asset, each.name) for each in found] == [("raw_examples", "refused/old")]


def test_the_retention_of_raw_rows_is_the_tasks(
    instance: dg.DagsterInstance, made: Task, incoming: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = current(instance)["raw_examples"]
    now = change(instance, made, incoming)
    assert collect_garbage(instance, raw_days={"tickets": 1}) == 0
    assert collect_garbage(instance, raw_days={"tickets": 0}) > 0
    assert versions("raw_examples") == {now["raw_examples"]} and first != now["raw_examples"]
    assert "raw rows, kept long enough" in capsys.readouterr().out
    assert versions("cleaned_examples")  # what was made from them stays
    assert materialize(instance, made, *ASSETS[:7]).success
