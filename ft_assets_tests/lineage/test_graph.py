"""All builds of a store, what follows from what, and which files were read."""

import hashlib
import json
import logging
import shutil
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.errors import UserError
from ft_assets.lineage.graph import Build, builds, downstream, files, local_store, upstream
from ft_assets.paths import data_dir
from ft_assets_tests.lineage.conftest import HOSTILE, HOSTILE_FILE
from ft_assets_tests.runs import current
from ft_assets_tests.tickets import ASSETS


def of(found: list[Build], asset: str) -> list[Build]:
    return [build for build in found if build.asset == asset]


def test_every_build_is_found_with_what_it_has_recorded(trained: dg.DagsterInstance) -> None:
    found = builds(data_dir() / "store")
    assert {build.asset: build.data_version for build in found} == current(trained)
    assert all(build.path.is_dir() and build.record["libraries"] is not None for build in found)
    (split,) = of(found, "train_split")
    assert split.inputs == {name: current(trained)[name] for name in ("labeled_examples", "cleaned_examples")}
    assert set(split.sources) == {"source:ledger"}


def test_a_second_build_is_beside_the_first_and_the_oldest_comes_first(store: Path) -> None:
    found = builds(store, "tickets")
    first, second = of(found, "checkpoint")
    assert first.created <= second.created and first.data_version != second.data_version
    assert len(of(found, "base_model")) == 1  # nothing about it has changed


def test_files_are_told_by_name_and_content(store: Path) -> None:
    first, second = of(builds(store), "raw_examples")
    incoming = store.parent / "incoming" / "tickets"
    contents = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in incoming.iterdir()}
    contents[HOSTILE] = contents.pop(HOSTILE_FILE)
    assert files(first) == {"tickets.csv": contents["tickets.csv"]}
    assert files(second) == contents


def test_files_of_one_name_in_two_sources_are_told_apart(store: Path) -> None:
    (build, _) = of(builds(store), "raw_examples")
    sources = {
        "source:0/a/b/x.csv": "1",
        "source:1/c/x.csv": "2",
        "source:1/c/y.csv": "3",
        "source:functions": "4",
    }
    config = {"sources": [{"name": "a/b"}, {"name": "c"}]}
    several = Build(**{**vars(build), "sources": sources, "record": {"config": config}})
    assert files(several) == {"0/a/b/x.csv": "1", "1/c/x.csv": "2", "y.csv": "3"}


def test_what_follows_from_a_file_is_followed_by_versions(store: Path) -> None:
    found = builds(store)
    first, second = of(found, "raw_examples")
    follows = downstream(found, [second])
    assert {build.asset for build in follows} == set(ASSETS) - {"raw_examples", "base_model"}
    assert not set(follows) & set(downstream(found, [first]))
    assert downstream(found, []) == []


def test_what_went_into_a_checkpoint_is_followed_back(store: Path) -> None:
    found = builds(store)
    first, _ = of(found, "checkpoint")
    above = upstream(found, [first])
    assert {build.asset for build in above} == {
        "raw_examples", "cleaned_examples", "labeled_examples", "train_split", "validation_split", "base_model",
    }  # fmt: skip
    assert of(above, "raw_examples") == of(found, "raw_examples")[:1]


def test_a_build_outlives_its_files(trained: dg.DagsterInstance) -> None:
    store = data_dir() / "store"
    (before,) = of(builds(store), "raw_examples")
    shutil.rmtree(before.path)
    (after,) = of(builds(store), "raw_examples")
    assert not after.path.exists() and files(after) == files(before) and "files" not in after.record


def test_an_artifact_without_its_index_entry_is_still_a_build(trained: dg.DagsterInstance) -> None:
    store = data_dir() / "store"
    (before,) = of(builds(store), "checkpoint")
    shutil.rmtree(before.path.parent / "index")
    assert of(builds(store), "checkpoint") == [before]


@pytest.mark.parametrize(
    "damage", [b"", b"[]", b'{"data_version": 1}', b'{"data_version": "a", "build": []}']
)
def test_a_damaged_index_entry_is_told_in_the_log(
    store: Path, tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "tickets" / "checkpoint" / "index"
    folder.mkdir(parents=True)
    (folder / "0123456789abcdef.json").write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        assert builds(tmp_path) == []
    assert "0123456789abcdef.json" in caplog.text


def test_a_store_that_is_not_there_has_no_builds(tmp_path: Path) -> None:
    assert builds(tmp_path / "nowhere") == builds(tmp_path, "nothing") == []


def test_a_store_at_a_url_is_an_error_that_keeps_the_url_to_itself() -> None:
    with pytest.raises(UserError, match="file system") as told:
        local_store("s3://user:secret@bucket/store")
    assert "secret" not in str(told.value)
    assert local_store("file:///data/store") == Path("/data/store")


def test_records_are_plain_json(store: Path) -> None:
    for build in builds(store):
        assert json.loads(json.dumps(build.record)) == build.record
