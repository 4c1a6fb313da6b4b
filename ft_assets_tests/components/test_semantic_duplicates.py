"""Texts that mean the same in several splits: looked for on request, told, and never moved."""

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from safetensors.torch import load_file, save_file

from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.components import semantic_duplicates
from ft_assets.components.splits import stages
from ft_assets.components.stage import Stage, Task
from ft_assets.compute import process
from ft_assets.compute.local import LocalLauncher
from ft_assets.errors import UserError
from ft_assets.paths import data_dir, store_root
from ft_assets.versions import file_sha256
from ft_assets.worker.work_order import WorkOrder
from ft_assets_tests.conftest import open_instance, use_data
from ft_assets_tests.runs import current, description, failed_checks, work_in_progress, written_in
from ft_assets_tests.tickets import materialize, task, tickets, write_csv

SPLITS = ("train_split", "validation_split", "test_split")
DATA = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)
CHECK = "no_shared_semantic_duplicates"
# Words that the tiny model does not know are one token to it, so it takes these for the same; what is compared by
# letters does not.
LEARNT = "the parcel was late доставлялась"
TESTED = "the parcel was late перепоручается"
# So that no random pair of a random model is as near: of the tickets the nearest have 0.9987.
THRESHOLD = 0.9995


def row(text: str) -> dict[str, str]:
    return {"body": text, "category": "delivery", "customer": f"who wrote {text}"}


def write_planted() -> None:
    incoming = data_dir() / "incoming"
    write_csv(incoming / "tickets" / "tickets.csv", tickets(60))
    write_csv(incoming / "learnt.csv", [row(LEARNT)])
    write_csv(incoming / "tested.csv", [row(TESTED)])


def checked(base_model: Path, **changes: Any) -> Task:
    """The tickets, one planted row in train and one in test, and the check."""
    sources: list[dict[str, str]] = [
        {"path": "incoming/tickets/*.csv"},
        {"path": "incoming/learnt.csv", "split": "train", "name": "learnt"},
        {"path": "incoming/tested.csv", "split": "test", "name": "tested"},
    ]
    return task(
        base_model,
        **{"sources": sources, "splits": {"semantic_duplicates": {"threshold": THRESHOLD}}} | changes,
    )


@pytest.fixture(scope="module")
def data_once(tmp_path_factory: pytest.TempPathFactory, tiny_bert_dir: Path) -> tuple[Path, dict[str, str]]:
    """A data directory in which the splits were made and checked, with a model of its own; and what has failed."""
    data = tmp_path_factory.mktemp("checked") / "data"
    (data / "dagster").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch, open_instance(data) as made:
        use_data(data, patch)
        write_planted()
        shutil.copytree(tiny_bert_dir, data / "model")
        result = materialize(made, checked(Path("model")), *DATA, "quarantine", "data_card")
        return data, failed_checks(result)


@pytest.fixture
def made(data_once: tuple[Path, dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    data = tmp_path / "data"
    shutil.copytree(data_once[0], data)
    use_data(data, monkeypatch)
    with open_instance(data) as instance:
        yield instance


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many texts each order to the worker was about."""
    counts: list[int] = []
    run = LocalLauncher.run

    def noted(launcher: LocalLauncher, context: Any, order: WorkOrder, **more: Any) -> dict[str, Any]:
        found = run(launcher, context, order, **more)
        counts.append(found["rows"])
        return found

    monkeypatch.setattr(LocalLauncher, "run", noted)
    return counts


def artifact(instance: dg.DagsterInstance, asset: str) -> Artifact:
    return ArtifactStore(store_root()).open("tickets", asset, current(instance)[asset])


def ids_of(instance: dg.DagsterInstance, asset: str, text: str) -> list[str]:
    rows = artifact(instance, asset).table().to_pylist()
    return [each["example_id"] for each in rows if each["text"] == text]


def latest_checks(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    key = dg.AssetCheckKey(dg.AssetKey(["tickets", asset]), CHECK)
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=1)
    found = record.event.dagster_event.asset_check_evaluation_data  # type: ignore[union-attr]
    return {name: value.value for name, value in found.metadata.items()}


def metadata_of(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", asset]))
    assert event is not None and event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def test_a_text_of_test_that_means_what_one_of_train_does_is_a_warning(
    made: dg.DagsterInstance, data_once: tuple[Path, dict[str, str]]
) -> None:
    assert data_once[1] == {f"test_split: {CHECK}": "WARN"}
    (learnt,), (tested,) = ids_of(made, "train_split", LEARNT), ids_of(made, "test_split", TESTED)
    told = latest_checks(made, "test_split")
    rows = artifact(made, "test_split").table().num_rows
    assert (told["checked"], told["unexpected"], told["example_ids"]) == (rows, 1, [tested])
    shown = metadata_of(made, "test_split")
    assert (shown["semantic_duplicates"], shown["semantic_duplicates_threshold"]) == (1, THRESHOLD)
    (pair,) = [record.data for record in shown["semantic_duplicate_pairs"].records]
    assert pair == {"example_id": tested, "partner": learnt, "partner_split": "train", "cosine": 1.0}
    assert metadata_of(made, "validation_split")["semantic_duplicates"] == 0
    card = artifact(made, "data_card").json("data_card")
    assert card["duplicates"]["semantic"]["test"]["rows"] == 1
    assert card["duplicates"]["semantic"]["validation"]["rows"] == 0


def test_no_text_is_left_behind(made: dg.DagsterInstance) -> None:
    assert not list(data_dir().rglob("*.npy")) and not work_in_progress(data_dir() / "store")
    told = written_in(data_dir() / "dagster", TESTED) + written_in(
        data_dir() / "cache" / "remembered", TESTED
    )
    assert told == []


def test_the_same_rows_are_checked_once_and_an_append_embeds_its_own(
    made: dg.DagsterInstance, embedded: list[int]
) -> None:
    materialize(made, checked(Path("model")), *DATA)
    assert embedded == [] and metadata_of(made, "test_split")["reused"]
    write_csv(
        data_dir() / "incoming" / "tickets" / "more.csv", [row("my order arrived broken again, what a day")]
    )
    materialize(made, checked(Path("model")), *DATA)
    assert embedded == [1]
    assert latest_checks(made, "test_split")["unexpected"] == 1


def change_model() -> None:
    file = data_dir() / "model" / "model.safetensors"
    weights = load_file(file)
    weights["embeddings.word_embeddings.weight"] *= -1
    save_file(weights, file, {"format": "pt"})


def test_another_model_checks_anew(made: dg.DagsterInstance, embedded: list[int]) -> None:
    watch = stages(checked(Path("model")))[0].watch
    assert watch is not None
    before = watch.version(watch.look(file_sha256))
    change_model()
    assert watch.version(watch.look(file_sha256)) != before
    materialize(made, checked(Path("model")), *SPLITS)
    assert embedded == [sum(artifact(made, split).table().num_rows for split in SPLITS)]


def test_a_run_that_is_cancelled_meanwhile_ends_its_worker_and_publishes_nothing(
    made: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, begun = LocalLauncher.run, []

    def cancelled(launcher: LocalLauncher, context: Any, order: WorkOrder, **more: Any) -> dict[str, Any]:
        begun.append(order.kind)
        context.instance.report_run_canceling(context.run)
        return run(launcher, context, order, **more)

    monkeypatch.setattr(LocalLauncher, "run", cancelled)
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.0)
    change_model()
    before = {split: current(made)[split] for split in SPLITS}
    result = materialize(made, checked(Path("model")), *SPLITS, raise_on_error=False)
    assert begun == ["embed"] and not result.success
    assert {split: current(made)[split] for split in SPLITS} == before
    assert not work_in_progress(data_dir() / "store")


def test_where_it_is_not_asked_for_nothing_is_embedded_and_a_model_of_no_use_publishes_nothing(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, project_data: Path, embedded: list[int]
) -> None:
    write_planted()
    materialize(instance, checked(Path("no model"), splits={}), *DATA)
    before = current(instance)
    assert embedded == [] and "semantic_duplicates" not in metadata_of(instance, "test_split")
    model = shutil.copytree(tiny_bert_dir, project_data / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "hidden_size": None}))
    result = materialize(instance, checked(Path("model")), *SPLITS, raise_on_error=False)
    assert "the model's configuration has none of hidden_size" in description(result)
    assert embedded == [] and current(instance) == before and not work_in_progress(project_data / "store")


def test_where_it_is_not_asked_for_the_splits_are_as_they_were(tmp_path: Path) -> None:
    for off, on in zip(stages(task(tmp_path)), stages(checked(tmp_path)), strict=True):
        assert "semantic" not in json.dumps(off.config) and "semantic" in json.dumps(on.config)
        assert {**on.config, "semantic_duplicates": None} == {**off.config, "semantic_duplicates": None}
        assert (off.pool, on.pool) == (None, "gpu")
        assert (
            CHECK not in names(off)
            and off.watch is not None
            and semantic_duplicates.MODEL not in off.watch.names
        )
        assert (CHECK in names(on)) == (on.asset != "train_split")
    assert semantic_duplicates.sources(task(tmp_path), {}) == {}


def names(stage: Stage) -> list[str]:
    return [rule.name for rule in stage.expectations]


def test_the_task_says_whether_it_blocks(tmp_path: Path) -> None:
    (rule,) = semantic_duplicates.rules(checked(tmp_path, contracts={"severity": {CHECK: "critical"}}))
    assert rule.severity == "critical"


@pytest.mark.parametrize(
    ("model", "setting"), [(None, "base_model"), ("incoming/none", "splits.semantic_duplicates.model")]
)
def test_a_model_that_is_not_there_is_told_with_its_setting(
    project_data: Path, model: str | None, setting: str
) -> None:
    asked = checked(Path("incoming/none"), splits={"semantic_duplicates": {"model": model}})
    with pytest.raises(UserError) as told:
        semantic_duplicates.sources(asked, {})
    assert told.value.where == f"{setting}: {project_data / 'incoming' / 'none'}"
    assert "the model that is to embed texts cannot be used" in told.value.what and told.value.do


def test_a_gguf_file_is_told_to_embed_nothing(project_data: Path) -> None:
    (project_data / "incoming" / "model.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(16))
    with pytest.raises(UserError, match="a GGUF file embeds no texts"):
        semantic_duplicates.sources(checked(Path("incoming/model.gguf")), {})
