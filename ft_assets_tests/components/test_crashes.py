"""Whatever ends a run in the middle leaves no process, no slot and nothing half-made, and the next run works."""

import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
import types
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData

from ft_assets import disk
from ft_assets.artifacts import ArtifactStore
from ft_assets.components.dead_runs import end_dead_runs, process_tags
from ft_assets.components.stage import Built, Event, Stage, Step, publish
from ft_assets.data.contracts import CheckOutcome
from ft_assets.paths import PROJECT
from ft_assets_tests.runs import current, description, eventually, published, work_in_progress, written_in
from ft_assets_tests.tickets import materialize, task
from ft_assets_tests.worker.processes import wait_until_gone

SECRET = "xyzzyplugh"
LONG = {"method": "full", "batch_size": 16, "epochs": 1_000_000, "early_stopping_patience": None}  # hours
SHORT = {"method": "full", "batch_size": 16, "epochs": 1}


@pytest.fixture
def data(trained: dg.DagsterInstance, tmp_path: Path) -> Iterator[Path]:
    """The data directory, on an instance with one slot in the pool of the GPU. What was published before a test and
    what is current is so afterwards, but for what depends on the checkpoint; no process and no slot is left."""
    store, before = tmp_path / "data" / "store", current(trained)
    files = published(store)
    trained.event_log_storage.set_concurrency_slots("gpu", 1)
    yield tmp_path / "data"
    after = published(store)
    assert {name: after.get(name) for name in files} == files
    assert current(trained) | {"checkpoint": ""} == before | {"checkpoint": ""}
    wait_until_gone(str(tmp_path))
    assert slots_held(trained) == 0
    assert work_in_progress(store) == []


def slots_held(instance: dg.DagsterInstance) -> int:
    return len(instance.event_log_storage.get_concurrency_info("gpu").claimed_slots)


# --- the worker -------------------------------------------------------------------------------------------------


def in_the_worker(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the worker run some lines before anything else."""
    (folder / "sitecustomize.py").write_text(textwrap.dedent(code))
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_fault_of_the_program_in_the_worker_is_told_without_the_text_of_a_row(
    trained: dg.DagsterInstance,
    data: Path,
    tiny_bert_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault = f"""
        import sys
        if "ft_assets.worker" in sys.orig_argv:
            import ft_assets.worker.text_classification as module
            def train(order, send):
                raise ValueError("no number: {{!r}}".format({SECRET!r}.lower() + " is what the row says"))
            module.train = train
    """
    in_the_worker(fault, tmp_path, monkeypatch)
    result = materialize(trained, task(tiny_bert_dir, training=SHORT), "checkpoint", raise_on_error=False)
    told = description(result)
    assert told.startswith("the worker ended with exit code 1\n  where: making tickets/checkpoint\n  do: ")
    assert "in train" in told and "ValueError: no number: '…'" in told  # the place, and what can be said
    assert written_in(data / "dagster", f"{SECRET} is what") == []
    monkeypatch.delenv("PYTHONPATH")
    assert materialize(trained, task(tiny_bert_dir, training=SHORT), "checkpoint").success


def test_a_worker_that_is_killed_is_told_with_what_to_lower(
    trained: dg.DagsterInstance,
    data: Path,
    tiny_bert_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed = """
        import os, signal, sys
        if "ft_assets.worker" in sys.orig_argv:
            os.kill(os.getpid(), signal.SIGKILL)
    """
    in_the_worker(killed, tmp_path, monkeypatch)
    told = description(
        materialize(trained, task(tiny_bert_dir, training=SHORT), "checkpoint", raise_on_error=False)
    )
    assert "killed from outside (signal 9)" in told
    assert "memory was not enough" in told and "training.tokens_per_pass" in told.partition("do: ")[2]


# --- the run ----------------------------------------------------------------------------------------------------

RUN = textwrap.dedent(
    """
    import json, sys
    from pathlib import Path
    import dagster as dg
    from ft_assets.components.dead_runs import process_tags
    from ft_assets_tests.tickets import definitions, task

    made = task(Path(sys.argv[2]), training=json.loads(sys.argv[3]), resume=json.loads(sys.argv[4]))
    job = definitions(made).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["tickets", "checkpoint"])],
            tags=process_tags(), raise_on_error=False, run_id=sys.argv[1],
        )
    for event in result.get_asset_materialization_events():
        print("reused" if event.materialization.metadata["reused"].value else "made")
    """
)


def start_run(
    tiny_bert_dir: Path, training: str, work: Path, resume: str = "{}"
) -> tuple[subprocess.Popen[str], str]:
    """A process that materialises the checkpoint as `make demo` does; and the id of its run."""
    run = str(uuid.uuid4())
    with (work / f"{run}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, run, str(tiny_bert_dir), training, resume],
            stdout=subprocess.PIPE, stderr=log, text=True, cwd=PROJECT,
        )  # fmt: skip
    return process, run


def wait_for_training(instance: dg.DagsterInstance, run: str) -> None:
    """Until the training has told of a step."""
    seen = dg.DagsterEventType.ASSET_OBSERVATION
    eventually(lambda: instance.get_run_by_id(run) and instance.all_logs(run, of_type=seen))


AT_ONCE = """
telemetry: {enabled: false}
# Without the queue, and so without a daemon.
run_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}
"""


@pytest.fixture
def home(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The instance's home with the project's own configuration, for processes."""
    (data / "dagster" / "dagster.yaml").write_text((PROJECT / "dagster.yaml").read_text())
    monkeypatch.setenv(
        "TMPDIR", str(data.parent)
    )  # names what is the test's own in the worker's command line
    return data / "dagster"


def test_a_run_process_that_is_killed_in_the_middle_of_training(
    trained: dg.DagsterInstance, data: Path, home: Path, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    before = current(trained)
    process, run = start_run(tiny_bert_dir, json.dumps(LONG), tmp_path)
    wait_for_training(trained, run)
    family = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    gone, alive = psutil.wait_procs(family, timeout=30)  # five seconds of grace, and a busy machine
    assert len(gone) >= 2 and not alive
    assert current(trained) == before
    # Nobody was left to tell; whoever starts next (`make demo`, the sensor of `make dev`) does.
    assert trained.get_run_by_id(run).status == dg.DagsterRunStatus.STARTED and slots_held(trained) == 1
    assert end_dead_runs(trained) == [run]
    assert trained.get_run_by_id(run).status == dg.DagsterRunStatus.FAILURE and slots_held(trained) == 0
    assert end_dead_runs(trained) == []
    assert materialize(trained, task(tiny_bert_dir, training=SHORT), "checkpoint").success


def test_a_training_that_was_killed_goes_on_where_it_was(
    trained: dg.DagsterInstance, data: Path, home: Path, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    long = {"method": "full", "batch_size": 16, "epochs": 40, "early_stopping_patience": None}
    states = data / "resume" / "tickets"
    whole = task(tiny_bert_dir, training=long)

    def kill_in_the_middle() -> None:
        process, run = start_run(tiny_bert_dir, json.dumps(long), tmp_path, json.dumps({"every_minutes": 0}))
        eventually(lambda: list(states.glob("*/step-*")))
        process.kill()
        process.wait()
        wait_until_gone(str(tmp_path))
        assert end_dead_runs(trained) == [run]

    kill_in_the_middle()
    result = materialize(trained, whole, "checkpoint")
    told = [event.user_message for event in trained.all_logs(result.run_id)]
    assert any("goes on from the resume point step-" in text for text in told)
    assert not list(states.glob("*"))  # it has ended: nothing is left to go on from


def test_a_run_that_is_terminated_from_the_ui_in_the_middle_of_training(
    trained: dg.DagsterInstance, data: Path, home: Path, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    before, run = current(trained), str(uuid.uuid4())
    (home / "dagster.yaml").write_text(AT_ONCE)
    location = tmp_path / "location.py"
    location.write_text(
        textwrap.dedent(
            f"""
            from pathlib import Path
            import dagster as dg
            from ft_assets_tests.tickets import definitions, task

            job = dg.define_asset_job("training", selection=[dg.AssetKey(["tickets", "checkpoint"])])
            defs = dg.Definitions.merge(
                definitions(task(Path({str(tiny_bert_dir)!r}), training={LONG!r})), dg.Definitions(jobs=[job])
            )
            """
        )
    )
    launch = ["-m", "dagster", "job", "launch", "-f", str(location), "-j", "training", "--run-id", run]
    # Not into a pipe: the code server would hold it open until the run has ended.
    with (tmp_path / "launch.log").open("w") as log:
        subprocess.run([sys.executable, *launch], cwd=PROJECT, check=True, stdout=log, stderr=log)
    wait_for_training(trained, run)
    assert end_dead_runs(trained) == []  # its server answers
    assert trained.run_launcher.terminate(run)
    # Within seconds, by the keeper's grace; `eventually` gives up after a minute.
    eventually(lambda: trained.get_run_by_id(run).is_finished)
    assert trained.get_run_by_id(run).status == dg.DagsterRunStatus.CANCELED
    eventually(lambda: slots_held(trained) == 0)
    assert current(trained) == before


def test_two_runs_of_the_same_task_at_once_train_once(
    trained: dg.DagsterInstance, data: Path, home: Path, tiny_bert_dir: Path, tmp_path: Path
) -> None:
    trained.event_log_storage.delete_concurrency_limit("gpu")  # the store alone must do
    trained.event_log_storage.set_concurrency_slots("gpu", 2)
    runs = [start_run(tiny_bert_dir, json.dumps(SHORT), tmp_path)[0] for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in runs) == ["made", "reused"]


def test_a_run_that_is_cancelled_while_it_waits_for_another_one(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "_TELL_EVERY_SECONDS", 0.1)
    made = task(tiny_bert_dir)
    held = threading.Event()
    building, waits = ArtifactStore.building, "waiting for it"

    def busy(store: ArtifactStore, *args: Any, **kwargs: Any) -> Any:
        # Another process has the lock: the same file, opened a second time.
        path = store._backend.work / ".locks" / f"{args[0]}.{args[1]}.{args[2]}.lock"
        if not held.is_set():
            held.set()
            locks.append((path, disk.try_flock(path)))
        return building(store, *args, **kwargs)

    locks: list[tuple[Path, int | None]] = []
    monkeypatch.setattr(ArtifactStore, "building", busy)

    def cancel() -> None:
        def waiting() -> list[Any]:
            runs = trained.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
            return [
                run
                for run in runs
                if any(waits in entry.user_message for entry in trained.all_logs(run.run_id))
            ]

        (run,) = eventually(waiting)
        trained.report_run_canceled(run)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    result = materialize(trained, made, "raw_examples", raise_on_error=False)
    canceller.join()
    ((path, descriptor),) = locks
    assert descriptor is not None
    disk.release(path, descriptor)
    assert "cancelled while it waited" in description(result)


def test_a_step_that_is_left_early_holds_no_lock_and_no_staging(
    trained: dg.DagsterInstance, data: Path, tiny_bert_dir: Path
) -> None:
    """As when an interrupt comes between two events of the step."""

    @dg.job
    def left_early() -> None: ...

    store = ArtifactStore(data / "store")
    run = trained.create_run_for_job(left_early)
    context = types.SimpleNamespace(
        instance=trained,
        run=run,
        run_id=run.run_id,
        log=logging.getLogger("left_early"),
        op_execution_context=types.SimpleNamespace(op_config={"force": False}),
        resources=types.SimpleNamespace(artifact_store=types.SimpleNamespace(open=lambda: store)),
        job_def=types.SimpleNamespace(asset_layer=types.SimpleNamespace(selected_asset_keys=())),
    )
    outcome = CheckOutcome("fine", True, "critical", "it is fine", 1, 0, [], "")

    def build(step: Step) -> Built:
        step.staging.write_text("notes.txt", "half-made")
        return Built("v1", {}, [outcome])

    stage = Stage(task(tiny_bert_dir), "notes", "", frozenset(), ("ft_assets.errors",), {}, build)
    steps = cast("Iterator[Event]", publish(cast(Any, context), [stage], {}))
    assert isinstance(next(steps), dg.AssetCheckResult)
    assert work_in_progress(data / "store") != []
    steps.close()  # type: ignore[attr-defined]
    assert work_in_progress(data / "store") == []


# --- runs whose process is gone ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "dead"),
    [
        (process_tags(), False),
        ({"ft_assets/process": f"{socket.gethostname()} 1 123"}, True),  # its number has been given anew
        ({"ft_assets/process": "another-machine 1 123"}, False),
        ({".dagster/grpc_info": '{"host": "localhost", "socket": "/nonexistent/socket"}'}, True),
        ({".dagster/grpc_info": '{"host": "localhost", "port": 9}'}, True),
        ({".dagster/grpc_info": '{"host": "server.example", "port": 9}'}, False),
        ({}, False),
    ],
)
def test_only_a_run_of_this_machine_whose_process_is_gone_is_ended(
    instance: dg.DagsterInstance, tags: dict[str, str], dead: bool
) -> None:
    @dg.job
    def nothing() -> None: ...

    run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
    assert end_dead_runs(instance) == ([run.run_id] if dead else [])
    ended = instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.FAILURE
    assert ended == dead


def test_a_run_that_has_outlived_its_server_is_left_alone(instance: dg.DagsterInstance) -> None:
    @dg.job
    def nothing() -> None: ...

    tags = {".dagster/grpc_info": '{"host": "localhost", "socket": "/nonexistent/socket"}'}
    run = instance.create_run_for_job(nothing, tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.report_engine_event("Started process for run", run, EngineEventData.in_process(os.getpid()))
    assert end_dead_runs(instance) == []
