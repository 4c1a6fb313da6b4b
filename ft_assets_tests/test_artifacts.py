"""The artifact store: whole or not at all, verified, first committed wins, whatever is killed or full."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.errors import UserError
from ft_assets_tests.stores import TABLE, commit, files_below, publish


@pytest.fixture(params=["local", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store on a local disk, and one at an fsspec URL."""
    return str(tmp_path / "store") if request.param == "local" else f"memory://{uuid.uuid4().hex}/store"


@pytest.fixture
def store(root: str, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(root, cache=tmp_path / "cache")


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def overwrite(root: str, ending: str, data: bytes) -> None:
    fs, _ = fsspec.url_to_fs(root)
    (name,) = [name for name in files_below(root) if name.endswith(ending) and "damaged" not in name]
    fs.pipe_file(f"{root}/{name}", data)


# --- commit and read ----------------------------------------------------------------------------------------


def test_what_was_committed_is_read_back(store: ArtifactStore) -> None:
    publish(store, seed=7)
    artifact = store.open("task", "asset", "v1")
    assert artifact.table() == TABLE.cast(pa.schema([("example_id", pa.string()), ("text", pa.string())]))
    assert artifact.json("sub/info") == {"z": 1, "a": ["hello"]}
    assert artifact.file("notes.txt").read_text() == "hello"
    assert (artifact.task, artifact.asset, artifact.data_version, artifact.build_key) == (
        "task",
        "asset",
        "v1",
        "k1",
    )
    assert artifact.summary == {"rows_in": 2}
    assert artifact.inputs == {"raw": "r1"}
    assert set(artifact.files) == {"examples.parquet", "sub/info.json", "notes.txt"}
    assert artifact.manifest["seed"] == 7
    assert artifact.manifest["store_format"] == 1
    assert artifact.manifest["created"].endswith("+00:00")


def test_the_first_rows_are_read_alone(local: ArtifactStore) -> None:
    table = pa.table({"example_id": [f"{n:06}" for n in range(60_000)], "number": range(60_000)})
    with local.staging("task", "asset") as staging:
        staging.write_table("examples", table)
        staging.write_table("nothing", table.slice(0, 0))
        artifact = commit(local, staging)
    assert artifact.head(3).equals(table.slice(0, 3))
    assert artifact.head(3, columns=["number", "example_id"]).equals(
        table.select(["number", "example_id"]).slice(0, 3)
    )
    assert artifact.head(55_000).equals(table.slice(0, 55_000))  # of two groups of rows
    assert artifact.head(70_000).equals(table)
    assert artifact.head(3, "nothing").equals(table.slice(0, 0))


def test_strings_are_plain_strings_whatever_they_were(store: ArtifactStore) -> None:
    assert publish(store).table().schema.types == [pa.string(), pa.string()]


def test_a_build_key_finds_its_artifact(store: ArtifactStore) -> None:
    published = publish(store)
    found = store.find("task", "asset", "k1")
    assert found is not None and found.path == published.path
    assert store.find("task", "asset", "other") is None
    assert store.find("task", "other", "k1") is None


def test_another_process_reads_what_a_url_holds(root: str, store: ArtifactStore, tmp_path: Path) -> None:
    publish(store)
    elsewhere = ArtifactStore(root, cache=tmp_path / "another machine")
    assert elsewhere.open("task", "asset", "v1").json("sub/info")["z"] == 1


def test_first_committed_wins_for_a_build_key(store: ArtifactStore) -> None:
    publish(store, "v1", "k1", "first")
    second = publish(store, "v2", "k1", "second")
    assert second.data_version == "v1"
    assert second.file("notes.txt").read_text() == "first"
    with pytest.raises(UserError, match="is not in the store"):
        store.open("task", "asset", "v2")


def test_equal_output_of_another_build_is_only_indexed(store: ArtifactStore) -> None:
    first = publish(store, "v1", "k1")
    second = publish(store, "v1", "k2")
    assert second.path == first.path
    assert second.data_version == "v1"
    # Each build keeps its own record; opened by its data version, an artifact is that of the build that came first.
    for key in ("k1", "k2"):
        found = store.find("task", "asset", key)
        assert found is not None and found.build_key == key and found.data_version == "v1"
    assert store.open("task", "asset", "v1").build_key == "k1"


def test_a_missing_artifact_says_what_to_materialise(store: ArtifactStore) -> None:
    with pytest.raises(UserError) as error:
        store.open("task", "asset", "v9")
    assert "materialise task/asset" in error.value.do


def test_a_missing_file_says_which_there_are(store: ArtifactStore) -> None:
    with pytest.raises(UserError, match=r"no file 'other\.parquet'") as error:
        publish(store).table("other")
    assert "examples.parquet" in error.value.where


def test_staging_is_removed_when_the_stage_fails(local: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), local.staging("task", "asset") as staging:
        staging.write_text("a.txt", "x")
        raise RuntimeError("the stage failed")
    assert files_below(str(tmp_path / "store")) == []


def test_nothing_but_the_artifact_and_its_index_is_left_after_a_commit(
    local: ArtifactStore, tmp_path: Path
) -> None:
    publish(local)
    assert files_below(str(tmp_path / "store")) == [
        "task/asset/index/k1.json",
        "task/asset/v1/examples.parquet",
        "task/asset/v1/manifest.json",
        "task/asset/v1/notes.txt",
        "task/asset/v1/sub/info.json",
    ]


def test_an_empty_artifact_is_one(store: ArtifactStore) -> None:
    with store.staging("task", "asset") as staging:
        commit(store, staging)
    assert store.open("task", "asset", "v1").files == {}


def test_a_link_is_not_published(local: ArtifactStore, tmp_path: Path) -> None:
    with local.staging("task", "asset") as staging:
        (staging.path / "link").symlink_to("/etc/passwd")
        with pytest.raises(ValueError, match="cannot hold link"):
            commit(local, staging)


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["", "..", ".", "a/b", "../a", "/a", "a.b", "-a", "a\0", "a\n", "ä", "x" * 101, ".locks"]
)
def test_names_that_are_no_directory_names_are_refused(store: ArtifactStore, name: str) -> None:
    with pytest.raises(UserError, match="is no name for a task"):
        store.staging(name, "asset")
    with pytest.raises(UserError, match="is no name for a asset"):
        store.open("task", name, "v1")


@pytest.mark.parametrize("version", ["..", "a/b", "index", "refused", "damaged", ""])
def test_versions_that_are_no_directory_names_are_refused(store: ArtifactStore, version: str) -> None:
    with pytest.raises(ValueError, match="is no data version"):
        store.open("task", "asset", version)
    with pytest.raises(ValueError, match="is no build key"):
        store.find("task", "asset", version)


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "a\\b", "manifest.json", ""])
def test_files_that_lead_out_of_the_artifact_are_refused(local: ArtifactStore, name: str) -> None:
    with local.staging("task", "asset") as staging, pytest.raises(ValueError, match="is no name for a file"):
        staging.write_text(name, "x")


def test_a_manifest_that_names_a_file_elsewhere_is_damage(local: ArtifactStore) -> None:
    path = publish(local).path / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["files"]["../../../../etc/passwd"] = {"size": 1, "sha256": "0"}
    path.write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="is damaged"):
        local.open("task", "asset", "v1")


# --- damage -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ending, data, says",
    [
        ("notes.txt", b"hellO", "other contents"),
        ("notes.txt", b"hell", "4 bytes, not 5"),
        ("v1/manifest.json", b"{", "manifest.json is missing or is no JSON"),
        ("v1/manifest.json", b"{}", "manifest.json is missing or is no JSON"),
    ],
    ids=["flipped bit", "cut short", "half a manifest", "empty manifest"],
)
def test_damage_is_reported_set_aside_and_built_again(
    root: str, tmp_path: Path, ending: str, data: bytes, says: str
) -> None:
    publish(ArtifactStore(root, cache=tmp_path / "cache of the writer"))
    overwrite(root, ending, data)
    store = ArtifactStore(root, cache=tmp_path / "cache of the reader")
    with pytest.raises(UserError, match=says) as error:
        store.open("task", "asset", "v1")
    assert "materialise task/asset" in error.value.do
    assert store.find("task", "asset", "k1") is None
    assert any(name.startswith("task/asset/damaged/v1-") for name in files_below(root))
    assert publish(store).data_version == "v1"
    assert store.open("task", "asset", "v1").json("sub/info")["z"] == 1


def test_find_sets_damage_aside(root: str, tmp_path: Path) -> None:
    publish(ArtifactStore(root, cache=tmp_path / "cache of the writer"))
    overwrite(root, "notes.txt", b"hellO")
    store = ArtifactStore(root, cache=tmp_path / "cache of the reader")
    assert store.find("task", "asset", "k1") is None
    with pytest.raises(UserError, match="is not in the store"):
        store.open("task", "asset", "v1")


def test_a_commit_replaces_a_damaged_artifact(root: str, store: ArtifactStore) -> None:
    publish(store)
    overwrite(root, "notes.txt", b"hellO")
    publish(store, "v1", "k2")
    assert store.open("task", "asset", "v1").file("notes.txt").read_text() == "hello"


def test_a_damaged_index_entry_is_written_again(root: str, store: ArtifactStore) -> None:
    publish(store)
    overwrite(root, "index/k1.json", b"{")
    assert store.find("task", "asset", "k1") is None
    publish(store)
    assert store.find("task", "asset", "k1") is not None


def test_a_build_key_whose_artifact_is_gone_takes_the_new_one(root: str, store: ArtifactStore) -> None:
    publish(store, "v1", "k1")
    fs, _ = fsspec.url_to_fs(root)
    fs.rm(f"{root}/task/asset/v1", recursive=True)
    assert store.find("task", "asset", "k1") is None
    publish(store, "v2", "k1")
    found = store.find("task", "asset", "k1")
    assert found is not None and found.data_version == "v2"


def test_a_damaged_local_copy_of_a_url_is_fetched_again(tmp_path: Path) -> None:
    store = ArtifactStore(f"memory://{uuid.uuid4().hex}", cache=tmp_path)
    (publish(store).path / "notes.txt").write_text("spoilt")
    assert store.open("task", "asset", "v1").file("notes.txt").read_text() == "hello"


def test_an_artifact_of_a_newer_store_format_stays_where_it_is(local: ArtifactStore) -> None:
    path = publish(local).path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"store_format": 2}))
    with pytest.raises(UserError, match="store format 2"):
        local.open("task", "asset", "v1")
    assert path.is_file()


# --- refused ------------------------------------------------------------------------------------------------


def test_a_refused_artifact_is_kept_with_its_reasons_and_is_never_found(store: ArtifactStore) -> None:
    publish(store, "v1", "k1")
    with store.staging("task", "asset") as staging:
        staging.write_table("examples", TABLE)
        kept = store.refuse(staging, reasons=[{"name": "nulls", "unexpected": 1}], build_key="k2")
    assert (kept / "examples.parquet").is_file()
    note = json.loads((kept / "refusal.json").read_text())
    assert note["reasons"] == [{"name": "nulls", "unexpected": 1}]
    assert note["build_key"] == "k2"
    assert store.find("task", "asset", "k2") is None
    assert store.open("task", "asset", "v1").data_version == "v1"


def test_a_forced_build_takes_the_place_of_the_one_before(store: ArtifactStore) -> None:
    publish(store, "v1", "k1")
    publish(store, "v2", "k2", text="other", instead_of="k1")
    for key in ("k1", "k2"):
        found = store.find("task", "asset", key)
        assert found is not None and (found.data_version, found.build_key) == ("v2", key)
    assert store.open("task", "asset", "v1").data_version == "v1"  # what was built from it can still be read
