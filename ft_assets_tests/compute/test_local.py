"""The local launcher inside a real Dagster run."""

import signal
import subprocess
import sys
import textwrap

import dagster as dg
import pytest

from ft_assets.compute.local import LocalLauncher
from ft_assets.errors import UserError
from ft_assets.paths import training_processes
from ft_assets.training.config import TrainingConfig
from ft_assets.worker.work_order import WorkOrder
from ft_assets_tests.tiny_models import LABELS, write_sentiment
from ft_assets_tests.worker.processes import left_over, wait_until_gone


def _order(folder, base, **settings):
    (folder / "output").mkdir()
    return WorkOrder(
        kind="train", output=str(folder / "output"), base_model=str(base), labels=LABELS,
        train=str(write_sentiment(folder / "t.parquet", 48)), training=TrainingConfig(**settings),
    )  # fmt: skip


def _asset(order, on_message, then=None):
    @dg.asset
    def checkpoint(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
        result = launcher.run(
            context, order, on_message=lambda message: on_message(context, message), then=then
        )
        return dg.MaterializeResult(metadata={"steps": result["steps"]})

    return checkpoint


def _materialize(asset, instance, work_dir=None, processes=1, **kwargs):
    launcher = LocalLauncher(work_dir=work_dir and str(work_dir), processes=processes)
    return dg.materialize([asset], resources={"launcher": launcher}, instance=instance, **kwargs)


def test_a_step_gets_messages_live_and_the_result_and_the_worker_that_follows_ends_with_the_run(
    tmp_path, tiny_bert_dir, instance
):
    """Nobody gives the second one an order, as in a run that fails between the two."""
    kinds, seen = [], []

    def look(context, message):
        kinds.append(message["kind"])
        seen.append(len(left_over(str(tmp_path))))

    asset = _asset(_order(tmp_path, tiny_bert_dir, epochs=1), look, then="predict")
    run = _materialize(asset, instance, work_dir=tmp_path)
    assert run.success
    assert kinds[0] == "progress" and kinds[-1] == "result"
    [materialization] = run.asset_materializations_for_node("checkpoint")
    assert materialization.metadata["steps"].value == 2
    assert max(seen) >= 4  # each with its keeper
    assert not left_over(str(tmp_path))


def test_an_error_of_the_users_reaches_the_step(tmp_path, instance):
    asset = _asset(_order(tmp_path, tmp_path / "nothing"), lambda context, message: None)
    with pytest.raises(UserError, match="no model here"):
        _materialize(asset, instance)


def test_a_run_that_is_marked_as_cancelled_ends_its_worker(tmp_path, tiny_bert_dir, instance):
    """Ten thousand epochs take hours: the run ends only because the worker is ended."""

    def cancel(context, message):
        if not context.instance.get_run_by_id(context.run_id).is_finished:
            context.instance.report_run_canceled(context.run)

    asset = _asset(_order(tmp_path, tiny_bert_dir, epochs=10_000), cancel)
    run = _materialize(asset, instance, work_dir=tmp_path, raise_on_error=False)
    assert not run.success
    wait_until_gone(str(tmp_path))


def test_processes_that_train_together_give_one_result_and_are_all_ended(tmp_path, tiny_bert_dir, instance):
    kinds, seen = [], []

    def look(context, message):
        kinds.append(message["kind"])
        seen.append(len(left_over(str(tmp_path))))

    asset = _asset(_order(tmp_path, tiny_bert_dir, epochs=1), look)
    run = _materialize(asset, instance, work_dir=tmp_path, processes=2)
    assert run.success
    assert kinds.count("result") == 1
    assert max(seen) >= 4  # the keeper, torchrun, and two that train
    assert not left_over(str(tmp_path))


def test_all_processes_of_a_cancelled_run_are_ended(tmp_path, tiny_bert_dir, instance):
    def cancel(context, message):
        if not context.instance.get_run_by_id(context.run_id).is_finished:
            context.instance.report_run_canceled(context.run)

    asset = _asset(_order(tmp_path, tiny_bert_dir, epochs=10_000), cancel)
    assert not _materialize(asset, instance, work_dir=tmp_path, processes=2, raise_on_error=False).success
    wait_until_gone(str(tmp_path))


@pytest.mark.parametrize("given", ["0", "two", "-1", ""])
def test_a_number_of_processes_that_is_none_is_an_error(given, monkeypatch):
    monkeypatch.setenv("FT_PROCESSES", given)
    with pytest.raises(UserError, match="number of processes"):
        training_processes()


def test_one_worker_at_most_waits_and_one_that_has_died_is_replaced(tmp_path):
    launcher = LocalLauncher(work_dir=str(tmp_path))
    try:
        launcher.make_ready("train", "text-classification")
        first = launcher._ready.process
        launcher.make_ready("predict", "text-classification")
        assert launcher._ready.process is first
        first.end()
        launcher.make_ready("predict", "text-classification")
        assert launcher._ready.process.is_running
    finally:
        launcher.teardown_after_execution(None)
    assert not list(tmp_path.iterdir())


STEP = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import dagster as dg
    from ft_assets.compute.local import LocalLauncher
    from ft_assets.worker.work_order import WorkOrder

    @dg.asset
    def checkpoint(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
        order = WorkOrder.read(Path(sys.argv[1]))
        launcher.run(context, order, on_message=lambda message: print("message", flush=True))
        return dg.MaterializeResult()

    dg.materialize([checkpoint], resources={"launcher": LocalLauncher(work_dir=sys.argv[2])})
    """
)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_step_process_that_dies_in_the_middle_of_training_leaves_no_worker(tmp_path, tiny_bert_dir, number):
    order = _order(tmp_path, tiny_bert_dir, epochs=10_000).write(tmp_path / "order.json")
    work = tmp_path / "work"
    work.mkdir()
    step = subprocess.Popen(
        [sys.executable, "-c", STEP, str(order), str(work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert any(line.strip() == "message" for line in step.stdout)  # training runs
    step.send_signal(number)
    step.wait()
    wait_until_gone(str(work))  # the worker and its keeper have the order's path in their command line
