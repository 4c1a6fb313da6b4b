"""Changes flow downstream by themselves, and only as far as they must: real ticks and runs on a real instance."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from safetensors.torch import load_file, save_file

from ft_assets.components.attempts import MOST_DEATHS
from ft_assets_tests.chain import Chain, texts
from ft_assets_tests.flow import Flow, names
from ft_assets_tests.tickets import LABELS, task, ticket, tickets, write_csv

ON_CHANGE = {"retrain": "on_change"}
DATA = [
    "raw_examples",
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
]


def write(file: Path, text: str) -> None:
    """A file that was whole a minute ago."""
    file.write_text(text)
    settle(file)


def settle(file: Path) -> None:
    os.utime(file, (time.time() - 60,) * 2)


@pytest.fixture
def chain(instance: dg.DagsterInstance, tiny_bert_dir: Path, tmp_path: Path) -> Chain:
    file = tmp_path / "source.txt"
    write(file, "a")
    return Chain(task(tiny_bert_dir, policy=ON_CHANGE), file)


@pytest.fixture
def flow(instance: dg.DagsterInstance, chain: Chain) -> Flow:
    """The chain, made once and at rest."""
    made = Flow(instance, chain)
    made.settle()
    assert texts(instance, chain) == chain.expected()
    chain.made.clear()
    return made


def test_at_rest_nothing_runs_however_often_it_is_looked(flow: Flow, chain: Chain) -> None:
    for _ in range(5):
        assert flow.look() == ([], "everything is current")
    assert chain.made == []


def test_a_change_flows_to_the_end_each_asset_once_and_in_order(flow: Flow, chain: Chain) -> None:
    write(chain.file, "b")
    assert flow.settle() == [chain.names[:3], chain.names[3:]]
    assert chain.made == chain.names
    assert texts(flow.instance, chain) == chain.expected()


def test_the_run_tells_what_started_it_and_why(flow: Flow, chain: Chain) -> None:
    before = texts(flow.instance, chain)
    chain.settings["asset_2"] = "new"
    flow.use(chain)
    [request], _ = flow.look()
    assert request.tags["ft_assets/started_by"] == "follow_changes"
    assert request.tags["ft_assets/because"] == "asset_2: its configuration changed"
    flow.carry_out(request)
    [request], _ = flow.look()
    assert request.tags["ft_assets/because"].startswith("asset_3: asset_2 changed from ")
    assert before != texts(flow.instance, chain)


def test_a_change_that_comes_back_and_a_touched_file_run_nothing(flow: Flow, chain: Chain) -> None:
    write(chain.file, "b")
    write(chain.file, "a")
    assert flow.settle() == [] and chain.made == []


def test_identical_output_ends_the_wave(flow: Flow, chain: Chain) -> None:
    chain.dull = {"asset_1"}
    flow.use(chain)
    flow.settle()
    chain.made.clear()
    write(chain.file, "b")
    assert flow.settle() == [chain.names[:3]]  # the third is looked at in the same run, and reused
    assert chain.made == ["asset_0", "asset_1"]


def test_an_upstream_asset_made_again_with_the_same_content_starts_nothing(flow: Flow, chain: Chain) -> None:
    job = flow.definitions.resolve_implicit_global_asset_job_def()
    for _ in range(2):
        job.execute_in_process(instance=flow.instance, asset_selection=[dg.AssetKey(["tickets", "asset_0"])])
        assert flow.look()[0] == []


def test_a_change_between_the_run_of_the_downstream_asset_and_the_tick_is_not_lost(
    flow: Flow, chain: Chain
) -> None:
    write(chain.file, "b")
    [request], _ = flow.look()
    flow.carry_out(request)
    write(chain.file, "c")
    job = flow.definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(instance=flow.instance, asset_selection=[dg.AssetKey(["tickets", "asset_0"])])
    flow.settle()
    assert texts(flow.instance, chain) == chain.expected()


def test_a_change_in_the_middle_of_a_run_is_not_lost(flow: Flow, chain: Chain) -> None:
    def change(asset: str) -> None:
        if asset == "asset_2":
            chain.during = lambda asset: None
            write(chain.file, "c")

    write(chain.file, "b")
    chain.during = change
    assert len(flow.settle()) == 3  # b; then c, as its data was seen before the model; then the model
    assert texts(flow.instance, chain) == chain.expected()


def test_a_file_that_changes_while_it_is_read_is_read_again(flow: Flow, chain: Chain) -> None:
    def change(asset: str) -> None:
        chain.during = lambda asset: None
        write(chain.file, "c")  # after the text was read, before it is published

    write(chain.file, "b")
    chain.during = change
    flow.settle()
    assert texts(flow.instance, chain) == chain.expected()


def test_a_restart_and_a_lost_cursor_lose_nothing(flow: Flow, chain: Chain) -> None:
    write(chain.file, "b")
    [request], _ = flow.look()
    flow.carry_out(request)
    again = Flow(flow.instance, chain)
    assert again.settle() == [chain.names[3:]]


def test_a_run_under_way_is_not_started_twice(flow: Flow, chain: Chain) -> None:
    write(chain.file, "b")
    [request], _ = flow.look()
    job = flow.definitions.resolve_implicit_global_asset_job_def()
    run = flow.instance.create_run_for_job(
        job.get_subset(asset_selection=set(request.asset_selection or ())),
        asset_selection=frozenset(request.asset_selection or ()),
        status=dg.DagsterRunStatus.STARTING,
        tags=dict(request.tags),
    )
    requests, told = flow.look()
    assert requests == [] and f"run {run.run_id[:8]} is making asset_0" in told


def test_a_refused_version_is_nobodys_input_and_its_mend_flows(flow: Flow, chain: Chain) -> None:
    good = texts(flow.instance, chain)
    write(chain.file, "evil")
    runs = flow.settle()
    assert runs == [chain.names[:3]]
    assert texts(flow.instance, chain) == good
    requests, told = flow.look()
    assert requests == [] and "asset_0 waits: the same failed in run" in told + flow.look()[1]
    by_hand = flow.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=flow.instance, asset_selection=[dg.AssetKey(["tickets", name]) for name in chain.names[1:]]
    )
    assert by_hand.success and texts(flow.instance, chain) == good
    write(chain.file, "mended")
    flow.settle()
    assert texts(flow.instance, chain) == chain.expected()


@pytest.mark.parametrize("asset", ["asset_0", "asset_2", "asset_3"])
def test_what_fails_is_tried_once_for_each_distinct_input(flow: Flow, chain: Chain, asset: str) -> None:
    tries = []

    def count(name: str) -> None:
        tries.append(name)

    chain.during = count
    chain.faults[asset] = "no"
    for text in ("b", "c"):
        write(chain.file, text)
        flow.settle()
        assert flow.look()[0] == []
    assert tries.count(asset) == 2
    assert chain.names.index(asset) == chain.length - 1 or chain.names[-1] not in tries
    chain.faults.clear()
    write(chain.file, "d")
    flow.settle()
    assert texts(flow.instance, chain) == chain.expected()


def test_a_person_may_try_again_what_failed_and_the_wave_goes_on(flow: Flow, chain: Chain) -> None:
    chain.faults["asset_1"] = "the service is down"
    write(chain.file, "b")
    flow.settle()
    chain.faults.clear()
    assert flow.look()[0] == []
    flow.definitions.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=flow.instance, asset_selection=[dg.AssetKey(["tickets", "asset_1"])]
    )
    flow.settle()
    assert texts(flow.instance, chain) == chain.expected()


def killed(flow: Flow, request: dg.RunRequest, end: str) -> None:
    """A run that began and whose process was killed, or that somebody cancelled."""
    job = flow.definitions.resolve_implicit_global_asset_job_def()
    run = flow.instance.create_run_for_job(
        job.get_subset(asset_selection=set(request.asset_selection or ())),
        asset_selection=frozenset(request.asset_selection or ()),
        status=dg.DagsterRunStatus.STARTED,
        tags=dict(request.tags),
    )
    if end == "killed":
        flow.instance.report_run_failed(run)
    else:
        flow.instance.report_run_canceled(run)


def test_a_run_that_was_killed_is_tried_again_but_not_for_ever(flow: Flow, chain: Chain) -> None:
    write(chain.file, "b")
    for _ in range(MOST_DEATHS):
        [request], _ = flow.look()
        killed(flow, request, "killed")
    requests, told = flow.look()
    assert requests == [] and f"died {MOST_DEATHS} times" in told


def test_what_was_cancelled_is_not_started_again(flow: Flow, chain: Chain) -> None:
    write(chain.file, "b")
    [request], _ = flow.look()
    killed(flow, request, "cancelled")
    requests, told = flow.look()
    assert requests == [] and "was cancelled" in told


def test_ten_changed_assets_run_in_order_each_once_in_two_runs(
    instance: dg.DagsterInstance, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "source.txt"
    write(file, "a")
    chain = Chain(task(tiny_bert_dir, policy=ON_CHANGE), file, length=10)
    flow = Flow(instance, chain)
    flow.settle()
    chain.made.clear()
    chain.settings = {name: "new" for name in chain.names}
    flow.use(chain)
    assert flow.settle() == [chain.names[:9], chain.names[9:]]
    assert chain.made == chain.names and texts(instance, chain) == chain.expected()


def test_why_an_asset_waits_stands_on_its_page_once_for_each_reason(
    instance: dg.DagsterInstance, chain: Chain, tiny_bert_dir: Path
) -> None:
    chain.task = task(tiny_bert_dir)  # manual
    flow = Flow(instance, chain)
    flow.settle()
    _, told = flow.look()
    assert "asset_3 waits: policy.retrain is manual: run it by hand" in told
    assert "policy.retrain is manual" in flow.look()[1]


def test_what_was_made_in_the_end_is_not_held_when_it_is_wanted_again(flow: Flow, chain: Chain) -> None:
    """A change, cancelled; made by hand; another change, and back to the first one."""
    write(chain.file, "b")
    [request], _ = flow.look()
    killed(flow, request, "cancelled")
    job = flow.definitions.resolve_implicit_global_asset_job_def()
    job.execute_in_process(
        instance=flow.instance, asset_selection=[dg.AssetKey(["tickets", name]) for name in chain.names]
    )
    for text in ("c", "b"):
        write(chain.file, text)
        flow.settle()
        assert texts(flow.instance, chain) == chain.expected()


def test_a_file_that_has_gone_is_told_and_the_last_version_stays(flow: Flow, chain: Chain) -> None:
    chain.file.unlink()
    requests, told = flow.look()
    assert requests == [] and "asset_0 waits: source.txt cannot be read" in told


def test_an_input_that_cannot_be_loaded_is_one_attempt(
    flow: Flow, chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.settings["asset_3"] = "new"
    flow.use(chain)
    [request], _ = flow.look()
    [damaged] = (Path(os.environ["FT_DATA_DIR"]) / "store" / "tickets" / "asset_2").glob("*/text.txt")
    damaged.write_text("something else")
    assert not flow.carry_out(request).success
    assert flow.settle()[0] == ["asset_2"]  # it was set aside, and is made anew
    assert "asset_3 waits: the same failed in run" in flow.look()[1]


# --- the tickets task -------------------------------------------------------------------------------------------


@pytest.fixture
def incoming(project_data: Path) -> Path:
    file = project_data / "incoming" / "tickets" / "tickets.csv"
    write_csv(file, tickets())
    settle(file)
    return file


def test_new_and_removed_files_are_noticed_and_a_burst_is_one_run(
    instance: dg.DagsterInstance, incoming: Path, tiny_bert_dir: Path
) -> None:
    flow = Flow(instance, task(tiny_bert_dir))
    flow.settle()
    more = [incoming.with_name(f"more-{number}.csv") for number in range(3)]
    for number, file in enumerate(more):
        write_csv(file, [ticket(LABELS[number], 5_000 + number)])
    assert flow.look()[0] == []  # not whole yet
    for file in more:
        settle(file)
    assert flow.settle() == [[*DATA, "quarantine", "data_card", "relabel_queue"]]
    more[0].unlink()
    [request], _ = flow.look()
    assert request.tags["ft_assets/because"] == "raw_examples: what its sources hold has changed"


def test_without_a_file_the_task_says_so_and_runs_nothing_of_it(
    instance: dg.DagsterInstance, project_data: Path, tiny_bert_dir: Path
) -> None:
    flow = Flow(instance, task(tiny_bert_dir))
    [request], told = flow.look()
    assert names(request.asset_selection or ()) == ["base_model"]
    assert "raw_examples waits: no file matches 'incoming/tickets/*.csv'" in told


def policy(flow: Flow, base: Path, **settings: Any) -> None:
    flow.use(task(base, policy=settings))


def test_the_policy_decides_when_the_model_follows(trained: dg.DagsterInstance, tiny_bert_dir: Path) -> None:
    file = Path(os.environ["FT_DATA_DIR"]) / "incoming" / "tickets" / "tickets.csv"
    settle(file)
    flow = Flow(trained, task(tiny_bert_dir))
    assert flow.settle() == []
    write_csv(file, [*tickets(), *(ticket(LABELS[number % 3], 7_000 + number) for number in range(9))])
    settle(file)
    assert flow.settle() == [[*DATA, "quarantine", "data_card", "relabel_queue"]]
    assert "policy.retrain is manual" in flow.look()[1]
    policy(flow, tiny_bert_dir, retrain="on_change", min_new_rows=500)
    assert "new training rows since the last training, of 500 to wait for" in flow.look()[1]
    policy(flow, tiny_bert_dir, retrain="schedule", cron="0 3 * * *")
    assert "it runs at 0 3 * * * (UTC)" in flow.look()[1]
    policy(flow, tiny_bert_dir, retrain="on_change", max_per_day=1)
    assert "1 trainings today, of 1 at most" in flow.look()[1]
    policy(flow, tiny_bert_dir, retrain="on_change", min_new_rows=2, max_per_day=2)
    assert flow.settle() == [["checkpoint", "baselines", "evaluation_report"]]


def test_a_training_that_fails_is_not_started_again_and_the_old_checkpoint_stays(
    trained: dg.DagsterInstance, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    settle(Path(os.environ["FT_DATA_DIR"]) / "incoming" / "tickets" / "tickets.csv")
    before = trained.get_latest_materialization_event(dg.AssetKey(["tickets", "checkpoint"]))
    broken = tmp_path / "broken"
    shutil.copytree(tiny_bert_dir, broken)
    weights = load_file(broken / "model.safetensors")
    next(iter(weights.values())).fill_(float("nan"))
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    for file in broken.iterdir():
        settle(file)
    flow = Flow(trained, task(broken, policy=ON_CHANGE))
    assert flow.settle() == [["base_model"], ["checkpoint", "evaluation_report"]]
    for _ in range(3):
        requests, told = flow.look()
        assert requests == []
    assert "checkpoint waits: the same failed in run" in told
    assert trained.get_latest_materialization_event(dg.AssetKey(["tickets", "checkpoint"])) == before
