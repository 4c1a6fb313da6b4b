"""`python -m ft_assets materialize`: parts of a task, force and seed, and what the terminal says."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import fsspec
import pytest
import yaml

from ft_assets import cli
from ft_assets.cli import main
from ft_assets.paths import PROJECT, cache_dir, data_dir
from ft_assets_tests.conftest import copy_package, open_instance
from ft_assets_tests.tickets import task, tickets, write_csv


@pytest.fixture
def project(tmp_path: Path, project_data: Path, tiny_bert_dir: Path) -> Path:
    """A copy of the package whose one task is that of the tickets."""
    package = tmp_path / "project" / "ft_assets"
    copy_package(package, "defs")
    shutil.copy(PROJECT / "pyproject.toml", package.parent)
    folder = package / "defs" / "tickets"
    folder.mkdir(parents=True)
    attributes = task(tiny_bert_dir).config.model_dump(mode="json", exclude_unset=True)
    document = {"type": "ft_assets.FineTuningTask", "attributes": attributes}
    (folder / "defs.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (project_data / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    write_csv(project_data / "incoming" / "tickets" / "tickets.csv", tickets(90))
    return package.parent


def materialize(project: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ft_assets", "materialize", "tickets", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_data_alone_then_again_then_by_force(project: Path) -> None:
    first = materialize(project, "--data")
    assert (
        "started by python -m ft_assets, because raw_examples: it has never been made; base_model:" in first
    )
    assert first.count("started by") == 1 and "checkpoint" not in first and "report:" not in first
    second = materialize(project, "--data")
    assert "because nothing has changed: everything will be reused" in second
    third = materialize(project, "--data", "--force", "cleaned_examples")
    assert (
        "because cleaned_examples is forced" in third and "raw_examples: nothing that goes into it" in third
    )
    assert "cleaned_examples: nothing that goes into it" not in third
    with open_instance(data_dir()) as instance:
        (run, *_) = instance.get_runs()
        assert run.job_name == "tickets__data" and run.status is dg.DagsterRunStatus.SUCCESS
        assert run.tags["ft_assets/started_by"] == "python -m ft_assets"
        assert run.run_config["ops"] == {"tickets__cleaned_examples": {"config": {"force": True}}}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--data", "--seed", "1"], "--seed: nothing is trained in this run"),
        (["--evaluate", "--force", "checkpoint"], "--force checkpoint: the run does not make that"),
        (["--force", "chekpoint"], "--force chekpoint: the run does not make that"),
    ],
)
def test_what_is_not_part_of_the_run_is_an_error(
    project_data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["materialize", "review_sentiment", *arguments]) == 1
    assert f"error: {told}" in capsys.readouterr().err


def test_two_parts_at_once_are_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["materialize", "review_sentiment", "--data", "--train"])
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["materialize", "tickets"], ["gc", "--dry-run"]])
def test_a_task_that_cannot_be_loaded_is_told_in_a_few_lines(project: Path, command: list[str]) -> None:
    path = project / "ft_assets/defs/tickets/defs.yaml"
    path.write_text(path.read_text().replace("task_type:", "task_typ:"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "ft_assets", *command],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "error: a task cannot be loaded" in done.stderr and "task_typ" in done.stderr
    assert "Traceback" not in done.stderr and len(done.stderr.splitlines()) < 15


def test_fetch_gets_the_model_that_is_to_embed_texts(
    tmp_path: Path,
    project_data: Path,
    tiny_bert_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fsspec.filesystem("memory").put(f"{tiny_bert_dir}/", "/encoder", recursive=True)
    (tmp_path / "defs" / "tickets").mkdir(parents=True)
    made = task(tiny_bert_dir, splits={"semantic_duplicates": {"model": "memory://encoder"}})
    document = {
        "type": "ft_assets.FineTuningTask",
        "attributes": made.config.model_dump(mode="json", exclude_unset=True),
    }
    (tmp_path / "defs" / "tickets" / "defs.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    monkeypatch.setattr(cli, "__file__", str(tmp_path / "cli.py"))
    cli.fetch()
    assert capsys.readouterr().out == "tickets: model for embeddings memory://encoder\n"
    (weights,) = cache_dir().rglob("model.safetensors")
    assert weights.read_bytes() == (tiny_bert_dir / "model.safetensors").read_bytes()
