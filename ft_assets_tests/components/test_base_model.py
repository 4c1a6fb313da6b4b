"""`base_model`: copied as it is, or converted from a GGUF file by the worker."""

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.components import base_model
from ft_assets.components.stage import Stage
from ft_assets.versions import file_sha256, files_version
from ft_assets_tests.conftest import open_instance, use_data, used
from ft_assets_tests.flow import Flow
from ft_assets_tests.runs import current, description, work_in_progress
from ft_assets_tests.tickets import materialize, task
from ft_assets_tests.tiny_gguf import build_tiny_gguf, tiny_llama


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    return build_tiny_gguf(tmp_path / "model" / "tiny.gguf", kind="Q4_1")


GGUF = Path("model") / "tiny.gguf"
"""Below the data directory."""


@pytest.fixture(scope="module")
def converted_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory in which a GGUF file has been converted."""
    data = tmp_path_factory.mktemp("converted") / "data"
    (data / "model").mkdir(parents=True)
    settle(build_tiny_gguf(data / GGUF, kind="Q4_1"))
    with used(data) as instance:
        materialize(instance, task(GGUF.parent), "base_model")
    return data


@pytest.fixture
def data(converted_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    data = tmp_path / "data"
    shutil.copytree(converted_once, data)
    use_data(data, monkeypatch)
    return data


@pytest.fixture
def converted(data: Path) -> Iterator[dg.DagsterInstance]:
    """An instance of the test's own, with the file converted."""
    with open_instance(data) as instance:
        yield instance


def made(instance: dg.DagsterInstance, store: Path) -> tuple[dict[str, Any], Path, dict[str, Any]]:
    """The latest base model: its metadata, its folder and its manifest."""
    event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", "base_model"]))
    assert event is not None and event.asset_materialization is not None
    artifact = ArtifactStore(str(store)).open("tickets", "base_model", current(instance)["base_model"])
    shown = {name: value.value for name, value in event.asset_materialization.metadata.items()}
    return shown, artifact.path, artifact.manifest


def settle(file: Path) -> None:
    """Make a file look as if it had been whole for a minute."""
    os.utime(file, (time.time() - 60,) * 2)


def stage(source: str) -> Stage:
    [found] = base_model.stages(task(Path("/"), base_model=source))
    return found


def test_a_folder_is_published_as_it_is(
    instance: dg.DagsterInstance, project_data: Path, tiny_bert_dir: Path
) -> None:
    materialize(instance, task(tiny_bert_dir), "base_model")
    shown, folder, manifest = made(instance, project_data / "store")
    assert current(instance)["base_model"] == files_version(tiny_bert_dir)
    assert {path.name for path in folder.iterdir()} - {"manifest.json"} == {
        path.name for path in tiny_bert_dir.iterdir()
    }
    assert "converted_from" not in shown and "conversion" not in manifest["summary"]


def test_the_code_that_converts_counts_for_gguf_files_alone(tiny_bert_dir: Path, file: Path) -> None:
    assert stage(str(tiny_bert_dir)).code == ("ft_assets.components.base_model",)
    for source in (
        str(file),
        str(file.parent),
        "pypi://p==1[wheel]/m.gguf#sha256=00",
        "hf://o/n@main/m.gguf",
    ):
        found = stage(source)
        assert "ft_assets.training.gguf" in found.code
        assert found.code_version != stage(str(tiny_bert_dir)).code_version


def test_a_gguf_file_is_converted_by_the_worker(converted: dg.DagsterInstance, data: Path) -> None:
    shown, folder, manifest = made(converted, data / "store")
    assert (shown["converted_from"], shown["max_logit_difference"]) == ("GGUF, Q4_1", 0)
    assert shown["parameters"] == sum(each.numel() for each in tiny_llama().parameters())
    assert manifest["inputs"] == {"source:files": file_sha256(data / GGUF)}
    assert {"gguf", "transformers"} <= set(manifest["libraries"])
    assert (folder / "model.safetensors").is_file() and not list(folder.glob("*.gguf"))
    # How long it took is told, and is no part of the version.
    assert current(converted)["base_model"] == files_version(
        folder, exclude=["conversion.json", "manifest.json"]
    )
    assert work_in_progress(data / "store") == []


def test_converting_again_gives_the_same_version(converted: dg.DagsterInstance, data: Path) -> None:
    before = current(converted)
    materialize(converted, task(GGUF.parent), "base_model")
    assert made(converted, data / "store")[0]["reused"] is True
    materialize(converted, task(GGUF.parent), "base_model", config={"base_model": {"force": True}})
    assert made(converted, data / "store")[0]["reused"] is False
    assert current(converted) == before


def test_another_file_at_the_same_place_is_followed(converted: dg.DagsterInstance, data: Path) -> None:
    flow = Flow(converted, task(GGUF.parent))
    assert flow.settle() == []
    (data / "model" / "notes.txt").write_text("not part of the model")
    assert flow.look()[0] == []
    settle(build_tiny_gguf(data / GGUF, kind="Q8_0"))
    assert flow.settle() == [["base_model"]]
    assert made(converted, data / "store")[0]["converted_from"] == "GGUF, Q8_0"


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"architecture": "martian"}, "cannot be read as a language model of the architecture 'martian'"),
        ({"without": "output_norm.weight"}, "lacks 1 weights of its model"),
    ],
    ids=["architecture", "weights"],
)
def test_a_gguf_file_that_cannot_be_converted_publishes_nothing(
    instance: dg.DagsterInstance, project_data: Path, file: Path, settings: dict[str, str], what: str
) -> None:
    build_tiny_gguf(file, **settings)  # type: ignore[arg-type]
    told = description(materialize(instance, task(file), "base_model", raise_on_error=False))
    assert what in told and f"where: {file}" in told and "do: " in told
    assert current(instance) == {} and work_in_progress(project_data / "store") == []


def test_a_gguf_file_that_is_cut_off_is_refused_before_the_worker_starts(
    instance: dg.DagsterInstance, project_data: Path, file: Path
) -> None:
    file.write_bytes(file.read_bytes()[:-1])
    told = description(materialize(instance, task(file), "base_model", raise_on_error=False))
    assert "is damaged: tiny.gguf has" in told and current(instance) == {}
