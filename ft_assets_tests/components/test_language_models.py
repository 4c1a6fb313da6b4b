"""The graph of a task whose model writes, on a real instance: from conversations to a report; what a change reaches."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.components.fine_tuning_task import build_assets
from ft_assets.components.resources import default_resources
from ft_assets.components.stage import Task
from ft_assets.lineage.explain import explain
from ft_assets.task import TaskConfig
from ft_assets_tests.conftest import open_instance, use_data
from ft_assets_tests.runs import description, written_in
from ft_assets_tests.tickets import ASSETS
from ft_assets_tests.tiny_models import recipe_table

WRITTEN = tuple(asset for asset in ASSETS if asset != "relabel_queue")
"""Answers are no classes: no model can say which of them is likelier."""

DATA = (
    "raw_examples",
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
)

SECRET = "me@example.org"


def task(base_model: Path, /, **changes: Any) -> Task:
    settings: dict[str, Any] = {
        "task_type": "text-generation",
        "sources": [{"path": "incoming/recipes/*.jsonl"}],
        "prompt": {"template": "Say the last word twice: {text}"},
        "base_model": str(base_model),
        "training": {"learning_rate": 1e-2, "epochs": 1, "batch_size": 8, "threads": 1},
        "generation": {"max_new_tokens": 6, "max_rows": 12, "shots": 1},
        "evaluation": {"resamples": 200},
    }
    return Task("recipes", TaskConfig.model_validate(settings | changes), base_model)


def materialize(
    instance: dg.DagsterInstance, made: Task, *assets: str, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    definitions = dg.Definitions(
        assets=build_assets(made), resources=default_resources(), executor=dg.in_process_executor
    )
    return definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(["recipes", name]) for name in assets or WRITTEN],
        raise_on_error=raise_on_error,
    )


def made_of(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    events = (
        event.event_specific_data.materialization for event in result.get_asset_materialization_events()
    )
    return {event.asset_key.path[-1]: event for event in events}


def made_anew(result: dg.ExecuteInProcessResult) -> set[str]:
    return {name for name, event in made_of(result).items() if not event.metadata["reused"].value}


def write_rows(path: Path, rows: int = 90, answer: str | None = None) -> None:
    """Conversations as people export them; one shows an address, and one has no answer. `answer`: that of all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for row in recipe_table(rows).to_pylist():
        turns = json.loads(row["context"] or "[]")
        turns += [
            {"role": "user", "content": row["text"]},
            {"role": "assistant", "content": answer or row["label"]},
        ]
        lines.append({"messages": turns})
    lines[0]["messages"][-2]["content"] += f" {SECRET}"
    lines.append({"messages": [{"role": "user", "content": "nobody answers"}]})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def written_once(tmp_path_factory: pytest.TempPathFactory, tiny_llama_dir: Path) -> Path:
    data = tmp_path_factory.mktemp("recipes") / "data"
    (data / "dagster").mkdir(parents=True)
    write_rows(data / "incoming" / "recipes" / "a.jsonl")
    with pytest.MonkeyPatch.context() as patch, open_instance(data) as instance:
        use_data(data, patch)
        materialize(instance, task(tiny_llama_dir))
    return data


@pytest.fixture
def data(written_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copied = tmp_path / "data"
    shutil.copytree(written_once, copied)
    use_data(copied, monkeypatch)
    return copied


@pytest.fixture
def instance(data: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(data) as made:
        yield made


def latest(instance: dg.DagsterInstance, asset: str) -> dg.AssetMaterialization:
    event = instance.get_latest_materialization_event(dg.AssetKey(["recipes", asset]))
    assert event is not None and event.asset_materialization is not None
    return event.asset_materialization


def report_of(instance: dg.DagsterInstance, data: Path) -> dict[str, Any]:
    version = (latest(instance, "evaluation_report").tags or {})["dagster/data_version"]
    artifact = ArtifactStore(data / "store").open("recipes", "evaluation_report", version)
    return {**artifact.json("report"), "html": (artifact.path / "report.html").read_text()}


def test_conversations_become_a_report(instance: dg.DagsterInstance, data: Path) -> None:
    report = report_of(instance, data)
    assert report["task_type"] == "text-generation" and report["verdict"] is None
    assert {"rougeL", "bleu", "chrf", "exact_match", "perplexity"} <= set(report["metrics"])
    assert set(report["baselines"]) == {"zero_shot", "few_shot"}
    # The answers are made of a few words: a model that has learned anything finds them likelier than a random one.
    tuned, untuned = (
        each["perplexity"]["value"]
        for each in (report["metrics"], report["baselines"]["zero_shot"]["metrics"])
    )
    assert tuned < untuned
    assert "Say the last word" not in report["html"] and "incoming" not in report["html"]


def test_as_many_rows_are_judged_as_the_task_says(instance: dg.DagsterInstance, data: Path) -> None:
    assert report_of(instance, data)["rows"] == 12


def test_the_life_of_a_row_shows_the_beginning_of_its_answer_and_masks_it(
    instance: dg.DagsterInstance, data: Path, tiny_llama_dir: Path
) -> None:
    write_rows(data / "incoming" / "recipes" / "a.jsonl", answer=f"write to {SECRET} " + "and wait " * 50)
    made = task(tiny_llama_dir, cleaning={"personal_data": []})
    materialize(instance, made, *DATA)
    versions = {asset: (latest(instance, asset).tags or {})["dagster/data_version"] for asset in DATA}
    table = ArtifactStore(data / "store").open("recipes", "train_split", versions["train_split"]).table()
    example_id = next(row["example_id"] for row in table.to_pylist() if SECRET in row["label"])
    found = explain(data / "store", "recipes", example_id, {"recipes": versions})
    assert "with the label write to <EMAIL> and wait" in found.now
    told = json.dumps(found.as_dict())
    assert SECRET not in told and "and wait " * 20 not in told


def test_what_raw_examples_was_read_as_is_shown(instance: dg.DagsterInstance) -> None:
    metadata = latest(instance, "raw_examples").metadata
    (file,), (form,) = ([record.data for record in metadata[name].records] for name in ("files", "forms"))  # type: ignore[union-attr]
    assert (file["rows"], file["refused"]) == (91, 1)
    assert form["form"] == "chat" and "messages" in str(form["mapping"])


def test_the_audit_is_on_the_checkpoint_with_personal_data_masked(instance: dg.DagsterInstance) -> None:
    metadata = latest(instance, "checkpoint").metadata
    audit = {record.data["what"]: record.data["value"] for record in metadata["audit"].records}  # type: ignore[union-attr]
    assert audit["reloaded template and tokenizer"] == "the same"
    assert int(audit["ends learnt"]) == int(audit["rows"])
    shown = [str(record.data) for record in metadata["audit_examples"].records]  # type: ignore[union-attr]
    assert any("<|im_end|>" in text for text in shown)
    assert all(SECRET not in text for text in shown)


def test_no_log_holds_the_text_of_a_row(data: Path) -> None:
    assert written_in(data / "dagster", SECRET) == []


def test_a_second_run_reuses_everything(instance: dg.DagsterInstance, tiny_llama_dir: Path) -> None:
    assert made_anew(materialize(instance, task(tiny_llama_dir))) == set()


@pytest.mark.parametrize(
    ("changes", "anew"),
    [
        ({"prompt": {"template": "Twice: {text}"}}, {"checkpoint", "baselines", "evaluation_report"}),
        ({"generation": {"max_new_tokens": 6, "max_rows": 10, "shots": 1}}, {"baselines", "evaluation_report"}),
        ({"evaluation": {"resamples": 200, "title": "Other"}}, {"evaluation_report"}),
        ({"resume": {"every_minutes": 1}}, set()),
        ({"cost": {"price_per_hour": 1}}, set()),
    ],
)  # fmt: skip
def test_a_change_reaches_what_depends_on_it(
    changes: dict[str, Any], anew: set[str], instance: dg.DagsterInstance, tiny_llama_dir: Path
) -> None:
    assert made_anew(materialize(instance, task(tiny_llama_dir, **changes))) == anew


def test_a_corrected_answer_keeps_the_id_of_its_row(
    instance: dg.DagsterInstance, data: Path, tiny_llama_dir: Path
) -> None:
    def ids() -> set[str]:
        version = (latest(instance, "raw_examples").tags or {})["dagster/data_version"]
        table = ArtifactStore(data / "store").open("recipes", "raw_examples", version).table()
        return set(table["example_id"].to_pylist())

    before = ids()
    file = data / "incoming" / "recipes" / "a.jsonl"
    lines = file.read_text().splitlines()
    row = json.loads(lines[3])
    row["messages"][-1]["content"] = "another answer"
    lines[3] = json.dumps(row)
    file.write_text("\n".join(lines) + "\n")
    assert "raw_examples" in made_anew(materialize(instance, task(tiny_llama_dir), "raw_examples"))
    assert ids() == before


def test_prompts_that_fill_the_window_stop_the_training_before_its_first_step(
    instance: dg.DagsterInstance, tiny_llama_dir: Path
) -> None:
    before = latest(instance, "checkpoint").tags
    training = {"learning_rate": 1e-2, "max_length": 20, "threads": 1}
    made = task(tiny_llama_dir, training=training)
    told = description(materialize(instance, made, "checkpoint", raise_on_error=False))
    assert "have no token left to learn" in told and "training.max_length" in told
    assert latest(instance, "checkpoint").tags == before
