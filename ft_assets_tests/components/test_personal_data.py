"""Personal data that a pattern can tell is nowhere downstream of the raw rows: in no artifact, event, log or report."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from benchmarks.planted import KINDS
from ft_assets.artifacts import ArtifactStore
from ft_assets.cli import main
from ft_assets_tests.data.test_names import MODEL
from ft_assets_tests.runs import current, written_in
from ft_assets_tests.tickets import ASSETS, materialize, task, tickets, write_csv

HOLDING = {  # what of each kind to look for: a part that stands in no other text
    "email": "zenobia.quux@example.org",
    "phone": "+49 30 2312 5847",
    "card": "4929 1748 2245 8843",
    "iban": "DE02120300000000202051",
    "id": "219-09-9998",
    "ip": "203.0.113.187",
    "key": "ghp_Zq3xK8vLm2Np5Rt7Wy9Ab4Cd6Ef1Gh0Jk2Mn",
    "url": "https://anna:Xk29vBq7@example.com/in",
}


@pytest.fixture
def planted(project_data: Path) -> Iterator[list[str]]:
    """Tickets in whose texts, groups and refused lines values of every kind are planted; gives the values."""
    draw = random.Random(5)
    values = [*HOLDING.values(), *(make(draw) for make in KINDS.values() for _ in range(6))]
    rows = tickets(180)
    for row, value in zip(rows, values, strict=False):
        row["body"] = f"{row['body']} and {value} please"
        row["customer"] = f"customer {value}" if "\n" not in value else row["customer"]
    rows.append(rows[0] | {"body": f"too long {HOLDING['email']} " + "word " * 5_000})
    rows.append(rows[0] | {"body": f"unknown label {HOLDING['phone']}", "category": HOLDING["email"]})
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, rows)
    with file.open("a") as lines:
        lines.write(f"a line of one field with {HOLDING['email']} and {HOLDING['card']}\n")
    yield [max(value.splitlines(), key=len) for value in values]


def held(path: Path, values: list[str]) -> list[str]:
    """Those of the values that stand in a file, tables decoded."""
    content = path.read_bytes().decode("utf-8", "replace")
    if path.suffix == ".parquet":
        content += str(pq.ParquetFile(path).read().to_pydict())
    return [value for value in values if value in content]


def test_no_planted_value_is_anywhere_downstream_of_the_raw_rows(
    instance: dg.DagsterInstance,
    planted: list[str],
    project_data: Path,
    tiny_bert_dir: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = task(tiny_bert_dir, training={"method": "full", "epochs": 1, "batch_size": 32})
    result = materialize(instance, made, *ASSETS)
    store = project_data / "store" / "tickets"
    found = {
        path.relative_to(store).as_posix(): held(path, planted)
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.relative_to(store).parts[0] != "raw_examples"
    }
    assert len(found) > 30
    assert {path: values for path, values in found.items() if values} == {}
    raw = ArtifactStore(project_data / "store").open(
        "tickets", "raw_examples", current(instance)["raw_examples"]
    )
    assert raw.summary["personal_data"] == "raw"
    assert held(raw.path / "examples.parquet", planted) and not held(raw.path / "manifest.json", planted)

    shown = metadata(result)
    kinds = {
        row.data["kind"]: row.data["replaced"] for row in shown["cleaned_examples"]["personal_data"].records
    }
    assert set(kinds) == set(KINDS) and min(kinds.values()) >= 6
    assert shown["cleaned_examples"]["personal_data_replaced"].value == sum(kinds.values())
    assert shown["raw_examples"]["personal_data"].value.startswith("raw")
    assert {each.check_name: each.passed for each in result.get_asset_check_evaluations()}["no_personal_data"]
    rows = [row.data for row in shown["quarantine"]["rows"].records]
    assert [row["text"] for row in rows if row["rule"] == "malformed_row"] == [""]

    for row in (
        ArtifactStore(store.parent)
        .open("tickets", "labeled_examples", current(instance)["labeled_examples"])
        .table()
        .to_pylist()
    ):
        if "<EMAIL>" in row["text"]:
            assert main(["explain", row["example_id"]]) == 0
    said = "".join(capfd.readouterr())
    assert "personal data" in said.replace("_", " ")
    assert [value for value in planted if value in said] == []
    for value in planted:
        assert written_in(project_data / "dagster", value) == [], value


def test_a_task_may_leave_personal_data_in(
    instance: dg.DagsterInstance, planted: list[str], project_data: Path, tiny_bert_dir: Path
) -> None:
    made = task(tiny_bert_dir, cleaning={"personal_data": []})
    result = materialize(instance, made, "raw_examples", "cleaned_examples")
    checks = {each.check_name for each in result.get_asset_check_evaluations()}
    assert "no_personal_data" not in checks
    tables = list((project_data / "store" / "tickets" / "cleaned_examples").rglob("examples.parquet"))
    assert [value for path in tables for value in held(path, planted)]
    # What is shown is masked nonetheless.
    assert [value for value in HOLDING.values() if written_in(project_data / "dagster", value)] == []


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    return {
        event.asset_key.path[-1]: dict(event.materialization.metadata)
        for event in result.get_asset_materialization_events()
        if event.asset_key
    }


def test_names_are_nowhere_downstream_of_the_raw_rows_and_another_model_cleans_anew(
    instance: dg.DagsterInstance, project_data: Path, tiny_bert_dir: Path
) -> None:
    rows = tickets(60)
    for number, row in enumerate(rows):
        row["body"] = f"{row['body']} says Jane Doe" if number % 3 else row["body"]
        row["customer"] = f"Customer Zimmermann {number % 7}"
    write_csv(project_data / "incoming" / "tickets" / "tickets.csv", rows)
    model = project_data / "model"
    shutil.copytree(MODEL, model)
    made = task(tiny_bert_dir, cleaning={"names": {"model": "model"}})
    stages = ("raw_examples", "cleaned_examples", "labeled_examples")
    result = materialize(instance, made, *stages)

    store = project_data / "store" / "tickets"
    downstream = [
        path for path in store.rglob("*.parquet") if path.relative_to(store).parts[0] != "raw_examples"
    ]
    assert {path: found for path in downstream if (found := held(path, ["Jane Doe", "Zimmermann"]))} == {}
    kinds = {
        row.data["kind"]: row.data["replaced"]
        for row in metadata(result)["cleaned_examples"]["personal_data"].records
    }
    assert kinds["name"] == 40
    before = ArtifactStore(store.parent).open(
        "tickets", "cleaned_examples", current(instance)["cleaned_examples"]
    )
    assert "source:names_model" in before.inputs

    (model / "meta.json").write_text((model / "meta.json").read_text() + "\n")
    materialize(instance, made, *stages)
    found = list((store / "cleaned_examples" / "index").iterdir())
    assert len(found) == 2  # it was cleaned again, though what came out is the same
