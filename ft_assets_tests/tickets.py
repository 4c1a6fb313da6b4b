"""A small text-classification task of our own making: support tickets of three kinds, easy to tell apart.

The words are those that the tiny model of the tests knows, so that some seconds of training learn them.
"""

import csv
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.components.fine_tuning_task import build_assets
from ft_assets.components.resources import default_resources
from ft_assets.components.stage import Task
from ft_assets.task import TaskConfig

__all__ = ["ASSETS", "LABELS", "definitions", "materialize", "task", "ticket", "tickets", "write_csv"]

LABELS = ["billing", "delivery", "technical"]
ASSETS = (
    "raw_examples",
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
    "quarantine",
    "data_card",
    "base_model",
    "checkpoint",
    "baselines",
    "evaluation_report",
    "relabel_queue",
)
WORDS = {
    "billing": ["invoice", "refund", "charge", "payment", "price", "paid"],
    "delivery": ["parcel", "late", "courier", "address", "shipping", "arrived"],
    "technical": ["crash", "error", "login", "screen", "update", "broken"],
}
COMMON = ["the", "my", "a", "is", "was", "again", "please", "today", "order", "help", "not", "with"]


def ticket(label: str, number: int) -> dict[str, str]:
    """One ticket; the same label and number give the same text."""
    draw = random.Random(f"{label}/{number}")
    words = draw.sample(WORDS[label], 3) + draw.sample(COMMON, 4)
    draw.shuffle(words)
    return {"body": f"{' '.join(words)} {number}", "category": label, "customer": f"customer {number % 40}"}


def tickets(rows: int = 180) -> list[dict[str, str]]:
    """Tickets of all labels in turn."""
    return [ticket(LABELS[number % 3], number) for number in range(rows)]


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Write rows as a CSV file with a header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def task(base_model: Path, /, **changes: Any) -> Task:
    """The task over `incoming/tickets/*.csv`; `changes` replace top-level keys of its configuration."""
    settings: dict[str, Any] = {
        "task_type": "text-classification",
        "sources": [{"path": "incoming/tickets/*.csv"}],
        "columns": {"text": "body", "label": "category", "group": "customer"},
        "labels": LABELS,
        "base_model": str(base_model),
        "training": {"method": "full", "learning_rate": 5e-3, "epochs": 4, "batch_size": 16},
        "evaluation": {"resamples": 500},
    }
    return Task("tickets", TaskConfig.model_validate(settings | changes), base_model)


def definitions(made: Task) -> dg.Definitions:
    """The task's assets with the real resources."""
    return dg.Definitions(
        assets=build_assets(made), resources=default_resources(), executor=dg.in_process_executor
    )


def materialize(
    instance: dg.DagsterInstance,
    made: Task,
    *assets: str,
    raise_on_error: bool = True,
    config: Mapping[str, Mapping[str, Any]] | None = None,
) -> dg.ExecuteInProcessResult:
    """Materialise the named assets of the task, all of them when none is named; `config` is that of the steps."""
    keys = [dg.AssetKey(["tickets", name]) for name in assets or ASSETS]
    job = definitions(made).resolve_implicit_global_asset_job_def()
    return job.execute_in_process(
        instance=instance,
        asset_selection=keys,
        raise_on_error=raise_on_error,
        run_config={"ops": {f"tickets__{step}": {"config": given} for step, given in (config or {}).items()}},
    )
