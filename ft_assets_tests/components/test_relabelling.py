"""Labels that people decide, on a real instance: ratings, corrections, the queue, and how a correction flows."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from ft_assets.cli import main
from ft_assets.commands.relabel import export_queue, import_answers
from ft_assets.components.corrections import lines_about
from ft_assets.components.recorded import current_versions
from ft_assets.components.stage import Task
from ft_assets.errors import UserError
from ft_assets.lineage.explain import explain
from ft_assets_tests.conftest import open_instance, use_data
from ft_assets_tests.flow import Flow, names, stages_of
from ft_assets_tests.tickets import LABELS, materialize, task, tickets, write_csv

DATA = (
    "raw_examples",
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
    "quarantine",
    "data_card",
    "relabel_queue",
)
ROWS, WRONG = 90, 4
"""How many tickets, and which of them has a wrong label."""


@pytest.fixture
def made(tiny_bert_dir: Path) -> Task:
    return task(tiny_bert_dir, policy={"retrain": "manual"})


@pytest.fixture(scope="module")
def data_once(tmp_path_factory: pytest.TempPathFactory, tiny_bert_dir: Path) -> Path:
    """A data directory with the data assets of tickets, one of which has a wrong label."""
    data = tmp_path_factory.mktemp("relabelling") / "data"
    (data / "dagster").mkdir(parents=True)
    rows = tickets(ROWS)
    rows[WRONG]["category"] = next(label for label in LABELS if label != rows[WRONG]["category"])
    file = data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, rows)
    settle(file)
    with pytest.MonkeyPatch.context() as patch, open_instance(data) as made:
        use_data(data, patch)
        materialize(made, task(tiny_bert_dir), *DATA, "base_model")
    return data


@pytest.fixture
def project_data(data_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it for each test."""
    data = tmp_path / "data"
    shutil.copytree(data_once, data)
    use_data(data, monkeypatch)
    return data


@pytest.fixture
def at_rest(instance: dg.DagsterInstance, made: Task) -> Flow:
    flow = Flow(instance, made)
    assert flow.look()[0] == []
    return flow


def settle(file: Path) -> None:
    os.utime(file, (time.time() - 60,) * 2)


def table(
    data: Path, instance: dg.DagsterInstance, asset: str, name: str = "examples"
) -> list[dict[str, Any]]:
    version = current_versions(instance, "tickets", [asset])[asset]
    found: list[dict[str, Any]] = pq.read_table(
        data / "store" / "tickets" / asset / version / f"{name}.parquet"
    ).to_pylist()
    return found


def summary(data: Path, instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    version = current_versions(instance, "tickets", [asset])[asset]
    manifest = json.loads((data / "store" / "tickets" / asset / version / "manifest.json").read_text())
    found: dict[str, Any] = manifest["summary"]
    return found


def metadata(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(["tickets", asset]))
    assert event is not None and event.asset_materialization is not None
    return dict(event.asset_materialization.metadata)


def correct(data: Path, *lines: dict[str, str]) -> Path:
    """Corrections that were written a minute ago, by Ann."""
    file = data / "corrections" / "tickets.jsonl"
    file.parent.mkdir(exist_ok=True)
    about = {"by": "Ann Smith", "at": "2026-01-31", "why": "call 555-0100 of ann@example.org"}
    file.write_text("".join(f"{json.dumps(about | line)}\n" for line in lines))
    settle(file)
    return file


def test_the_wrong_label_comes_first_in_the_queue_and_what_is_shown_of_it_is_masked(
    at_rest: Flow, project_data: Path, instance: dg.DagsterInstance
) -> None:
    wrong = tickets(ROWS)[WRONG]
    first = table(project_data, instance, "relabel_queue")[0]
    assert first["text"] == wrong["body"]
    assert (first["rank"], first["suggested"]) == (1, wrong["category"])
    told = summary(project_data, instance, "relabel_queue")
    assert told["judged"] == ROWS and told["kept"] == told["suspects"] > 0
    shown = metadata(instance, "relabel_queue")
    assert shown["rows"].records[0].data["example_id"] == first["example_id"]


def test_a_correction_flows_on_by_itself_as_far_as_it_must(
    at_rest: Flow, project_data: Path, instance: dg.DagsterInstance
) -> None:
    wrong, before = (
        table(project_data, instance, "relabel_queue")[0],
        current_versions(instance, "tickets", DATA),
    )
    correct(project_data, {"example_id": wrong["example_id"], "label": wrong["suggested"]})
    requests, _ = at_rest.look()
    because = requests[0].tags["ft_assets/because"]
    assert because == "labeled_examples: what its sources hold has changed"
    assert "raw_examples" not in at_rest.settle()[0]
    after = current_versions(instance, "tickets", DATA)
    changed = {asset for asset in DATA if after[asset] != before[asset]}
    splits = {asset for asset in DATA if asset.endswith("_split")}
    assert {"labeled_examples", "relabel_queue"} <= changed
    assert len(changed & splits) == 1  # that of the row, and no other
    assert "quarantine" not in changed
    (row,) = [
        row
        for row in table(project_data, instance, "labeled_examples")
        if row["example_id"] == wrong["example_id"]
    ]
    assert (row["label"], row["corrected"]) == (wrong["suggested"], "2026-01-31")
    assert wrong["example_id"] not in {
        row["example_id"] for row in table(project_data, instance, "relabel_queue")
    }
    assert at_rest.look()[0] == []


def test_who_has_corrected_and_why_stands_in_no_artifact_and_no_log(
    at_rest: Flow, project_data: Path, instance: dg.DagsterInstance
) -> None:
    wrong = table(project_data, instance, "relabel_queue")[0]
    correct(project_data, {"example_id": wrong["example_id"], "label": "reject"})
    at_rest.settle()
    assert [row["rule"] for row in table(project_data, instance, "labeled_examples", "quarantine")] == [
        "rejected"
    ]
    for folder in ("store", "dagster"):
        for file in (project_data / folder).rglob("*"):
            if file.is_file():
                assert b"Ann Smith" not in file.read_bytes(), file
                assert b"ann@example.org" not in file.read_bytes(), file
    assert not [row for row in table(project_data, instance, "labeled_examples") if "Ann" in str(row)]


def test_a_correction_of_no_row_is_a_warning_that_names_it_and_the_others_hold(
    at_rest: Flow, project_data: Path, instance: dg.DagsterInstance
) -> None:
    wrong = table(project_data, instance, "relabel_queue")[0]
    gone = "0123456789abcdef"
    correct(
        project_data,
        {"example_id": gone, "label": "billing"},
        {"example_id": wrong["example_id"], "label": wrong["suggested"]},
    )
    requests, _ = at_rest.look()
    result = at_rest.carry_out(requests[0])
    assert result.success
    (check,) = [
        each for each in result.get_asset_check_evaluations() if each.check_name == "corrections_used"
    ]
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["example_ids"].value == [gone]
    assert metadata(instance, "labeled_examples")["corrections_of_no_row"].value == 1
    assert metadata(instance, "labeled_examples")["relabelled_rows"].value == 1


def test_a_broken_line_publishes_nothing_and_is_told_with_its_place(
    at_rest: Flow, project_data: Path, instance: dg.DagsterInstance
) -> None:
    before = current_versions(instance, "tickets", DATA)
    file = correct(project_data, {"example_id": "0a", "label": "biling"})
    requests, _ = at_rest.look()
    result = at_rest.carry_out(requests[0])
    failure = result.failure_data_for_node("tickets__labeled_examples")
    assert failure is not None and failure.user_failure_data is not None
    told = failure.user_failure_data.description or ""
    assert "did you mean 'billing'?" in told and f"{file}, line 1" in told
    assert "Ann" not in told
    assert current_versions(instance, "tickets", DATA) == before


def test_a_file_that_the_task_names_has_to_be_there(
    at_rest: Flow, instance: dg.DagsterInstance, tiny_bert_dir: Path
) -> None:
    named = task(tiny_bert_dir, labels={"names": LABELS, "corrections": "incoming/mine.csv"})
    at_rest.use(named)
    requests, told = at_rest.look()
    assert all("labeled_examples" not in names(request.asset_selection or ()) for request in requests)
    assert "labeled_examples waits: there is no file of corrections" in told


def test_a_correction_of_a_row_that_was_merged_holds_for_what_stands_for_it(
    instance: dg.DagsterInstance, project_data: Path, made: Task
) -> None:
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    rows = tickets(30)
    write_csv(file, [*rows, rows[0]])
    materialize(instance, made, *DATA[:3])
    (merged,) = table(project_data, instance, "cleaned_examples", "merged")
    correct(project_data, {"example_id": merged["example_id"], "label": "technical"})
    materialize(instance, made, *DATA[:3])
    (row,) = [
        row
        for row in table(project_data, instance, "labeled_examples")
        if row["example_id"] == merged["merged_into"]
    ]
    assert (row["label"], row["corrected"]) == ("technical", "2026-01-31")


def test_raters_disagree_and_the_row_says_by_how_much(
    instance: dg.DagsterInstance, project_data: Path, tiny_bert_dir: Path
) -> None:
    rows = [{**row, "second": row["category"], "third": "billing"} for row in tickets(60)]
    write_csv(project_data / "incoming" / "tickets" / "tickets.csv", rows)
    columns = {"text": "body", "ratings": ["category", "second", "third"], "group": "customer"}
    materialize(instance, task(tiny_bert_dir, columns=columns), *DATA[:3])
    found = {row["label"]: row["disagreement"] for row in table(project_data, instance, "labeled_examples")}
    assert found == {"billing": 0.0, "delivery": 1 / 3, "technical": 1 / 3}
    shown = metadata(instance, "labeled_examples")
    assert (shown["ratings"].value, shown["contested_rows"].value) == (180, 40)


def test_the_life_of_a_row_tells_of_the_suspicion_and_of_the_correction(
    at_rest: Flow, project_data: Path, instance: dg.DagsterInstance
) -> None:
    wrong = table(project_data, instance, "relabel_queue")[0]
    correct(project_data, {"example_id": wrong["example_id"], "label": wrong["suggested"]})
    at_rest.settle()
    current = {"tickets": current_versions(instance, "tickets", DATA)}
    found = explain(project_data / "store", "tickets", wrong["example_id"], current)
    (suspected,) = [event for event in found.events if event.fate == "suspected"]
    assert not suspected.current and suspected.facts["suggested"] == wrong["suggested"]
    (labelled,) = [event for event in found.events if event.asset == "labeled_examples" and event.current]
    assert labelled.facts["corrected"] == "2026-01-31"


def test_from_the_queue_to_a_spreadsheet_and_back(
    at_rest: Flow,
    project_data: Path,
    instance: dg.DagsterInstance,
    made: Task,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = table(project_data, instance, "relabel_queue")[0]
    sheet = tmp_path / "queue.csv"
    export_queue(instance, made, sheet, top=1)
    with pytest.raises(UserError, match="exists already"):
        export_queue(instance, made, sheet)
    sheet.write_text(sheet.read_text().rstrip().removesuffix(",") + f"{wrong['suggested']},sure\n")
    with pytest.raises(UserError, match="nothing says who"):
        import_answers(made, sheet)
    import_answers(made, sheet, by="Ann Smith", dry_run=True)
    corrections = project_data / "corrections" / "tickets.jsonl"
    assert "1 lines would be added" in capsys.readouterr().out and not corrections.exists()
    import_answers(made, sheet, by="Ann Smith")
    told = capsys.readouterr().out
    assert "1 lines added" in told and "Ann" not in told
    import_answers(made, sheet, by="Ann Smith")
    assert "0 lines added" in capsys.readouterr().out
    settle(corrections)
    at_rest.settle()
    (row,) = [row for row in table(project_data, instance, "labeled_examples") if row["corrected"]]
    assert (row["example_id"], row["label"]) == (wrong["example_id"], wrong["suggested"])


def test_answers_without_a_time_are_a_vote_and_a_tie_stays_in_the_queue(
    instance: dg.DagsterInstance,
    project_data: Path,
    made: Task,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = (row["example_id"] for row in table(project_data, instance, "labeled_examples")[:2])
    said = {first: ["billing", "delivery", "delivery"], second: ["billing", "delivery"]}
    records = [
        {
            "id": each,
            "fields": {"text": "x"},
            "responses": {
                "label": [{"user_id": f"u{user}", "value": value} for user, value in enumerate(values)]
            },
        }
        for each, values in said.items()
    ]
    export = tmp_path / "records.json"
    export.write_text(json.dumps(records))
    import_answers(made, export, at="2026-02-01")
    told = capsys.readouterr().out
    assert "about 2 examples people differ" in told
    assert "about 1 examples as many people say different things" in told and "3 lines added" in told
    assert materialize(instance, made, "labeled_examples").success
    (row,) = [row for row in table(project_data, instance, "labeled_examples") if row["corrected"]]
    assert (row["example_id"], row["label"]) == (first, "delivery")

    # One more has answered, at the same time: a tie with what is in the file already.
    records[0]["responses"]["label"] = [{"user_id": "u9", "value": "billing"}]
    export.write_text(json.dumps(records[:1]))
    import_answers(made, export, at="2026-02-01", dry_run=True)
    assert "dry run: 0 lines would be added" in capsys.readouterr().out


def test_a_task_may_do_without_a_queue(tiny_bert_dir: Path) -> None:
    none = task(tiny_bert_dir, relabel={"queue": 0})
    assert "relabel_queue" not in {stage.asset for stage in stages_of(none)}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["import", "code_docstrings", "answers.csv"], "code_docstrings has no labels: its model writes"),
        (["export", "review_sentment", "queue.json"], "there is no task 'review_sentment'"),
        (["import", "review_sentiment", "nowhere.csv"], "it cannot be read: No such file"),
    ],
)
def test_the_command_says_what_is_wrong(
    project_data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["relabel", *arguments]) == 1
    assert told in capsys.readouterr().err


def test_lines_about_rows_that_are_to_be_erased_are_counted_even_if_they_are_broken(
    project_data: Path, made: Task
) -> None:
    file = correct(project_data, {"example_id": "00000000000000aa", "label": "billing"})
    file.write_text(file.read_text() + "{ 00000000000000aa\n{ 00000000000000bb\n")
    assert lines_about(made, ["00000000000000aa", "00000000000000cc"]) == 2
    file.unlink()
    assert lines_about(made, ["00000000000000aa"]) == 0
