"""The local launcher inside a real Dagster run."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import dagster as dg
import pytest

from ft_assets.compute.local import LocalLauncher
from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig
from ft_assets.worker.work_order import WorkOrder
from ft_assets_tests.tiny_models import LABELS, write_sentiment
from ft_assets_tests.worker.processes import wait_until_gone


def _order(folder, base, **settings):
    (folder / "output").mkdir()
    return WorkOrder(
        kind="train", output=str(folder / "output"), base_model=str(base), labels=LABELS,
        train=str(write_sentiment(folder / "t.parquet", 48)), training=TrainingConfig(**settings),
    )  # fmt: skip


def _asset(order, on_message):
    @dg.asset
    def checkpoint(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
        result = launcher.run(
            context,
            order,
            on_message=lambda message: on_message(context, message),
            work_dir=Path(order.output).parent,  # its path in the command line tells the test's processes
        )
        return dg.MaterializeResult(metadata={"steps": result["steps"]})

    return checkpoint


def _materialize(asset, instance, **kwargs):
    return dg.materialize([asset], resources={"launcher": LocalLauncher()}, instance=instance, **kwargs)


def test_a_step_gets_messages_live_and_the_result_at_the_end(tmp_path, tiny_bert_dir, instance):
    kinds = []
    asset = _asset(
        _order(tmp_path, tiny_bert_dir, epochs=1), lambda context, message: kinds.append(message["kind"])
    )
    run = _materialize(asset, instance)
    assert run.success
    assert kinds[0] == "progress" and kinds[-1] == "result"
    [materialization] = run.asset_materializations_for_node("checkpoint")
    assert materialization.metadata["steps"].value == 2


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
    run = _materialize(asset, instance, raise_on_error=False)
    assert not run.success
    wait_until_gone(str(tmp_path))


STEP = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    import dagster as dg
    from ft_assets.compute.local import LocalLauncher
    from ft_assets.worker.work_order import WorkOrder

    @dg.asset
    def checkpoint(context: dg.AssetExecutionContext, launcher: LocalLauncher) -> dg.MaterializeResult:
        launcher.run(context, WorkOrder.read(Path(sys.argv[1])), work_dir=Path(sys.argv[2]),
                     on_message=lambda message: print("message", flush=True))
        return dg.MaterializeResult()

    dg.materialize([checkpoint], resources={"launcher": LocalLauncher()})
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
