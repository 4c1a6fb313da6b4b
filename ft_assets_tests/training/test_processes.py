"""Two processes that train together, by torchrun, with gloo between them: they make what one would have made."""

import json
import subprocess
import time

import psutil
import pyarrow.parquet as pq
import pytest
from safetensors.torch import load_file

from ft_assets.compute.process import worker_command, worker_environment
from ft_assets.training.config import TrainingConfig
from ft_assets.worker.work_order import ResumeOrder, WorkOrder
from ft_assets_tests.tiny_models import LABELS, recipe_table, write_sentiment

ROWS = 100  # of which a last batch of 4 rows is left by batches of 8


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    for name, count, seed in (("train", ROWS, 0), ("validation", 21, 1)):
        write_sentiment(folder / f"text-classification-{name}.parquet", count, seed=seed)
        pq.write_table(recipe_table(count, seed=seed), folder / f"text-generation-{name}.parquet")
    return folder


def order_for(task_type, rows, base, folder, points=None, **settings):
    output = folder / "checkpoint"
    output.mkdir(parents=True)
    given = {"epochs": 1, "batch_size": 8, "threads": 1, "dropout": 0.0, "tokens_per_pass": 100}
    return WorkOrder(
        kind="train",
        task_type=task_type,
        output=str(output),
        labels=LABELS if task_type == "text-classification" else None,
        base_model=str(base),
        train=str(rows / f"{task_type}-train.parquet"),
        validation=str(rows / f"{task_type}-validation.parquet"),
        training=TrainingConfig(**given | settings),
        resume=ResumeOrder(folder=str(points), every_steps=3) if points is not None else None,
    )


def start(order, folder, processes):
    command = worker_command(order.write(folder / "order.json"), processes=processes)
    environment = worker_environment()
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def work(order, folder, processes):
    process = start(order, folder, processes)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    return said


def kill_after_a_point(order, folder, points):
    """Start two processes, and kill torchrun and all that it has started once there is a resume point. Gives the
    addresses at which they listened."""
    process = start(order, folder, 2)
    while not list(points.glob("step-*")):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.01)
    torchrun = psutil.Process(process.pid)
    everyone = [*torchrun.children(recursive=True), torchrun]
    sockets = [socket for each in everyone for socket in each.net_connections()]
    for each in everyone:
        each.kill()
    process.communicate()
    return {socket.laddr.ip for socket in sockets if socket.status == psutil.CONN_LISTEN}


def result_of(folder):
    return json.loads((folder / "checkpoint/training.json").read_text())


@pytest.fixture(scope="module", params=["text-classification", "text-generation"])
def task_type(request):
    return request.param


@pytest.fixture(scope="module")
def base(task_type, tiny_bert_dir, tiny_llama_dir):
    return tiny_bert_dir if task_type == "text-classification" else tiny_llama_dir


@pytest.fixture(scope="module")
def alone(task_type, base, rows, tmp_path_factory):
    """What one process makes, by method."""
    made = {}

    def by(method):
        if method not in made:
            folder = tmp_path_factory.mktemp(f"{task_type}-{method}")
            work(order_for(task_type, rows, base, folder, method=method), folder, 1)
            made[method] = folder
        return made[method]

    return by


# A sharded classifier is there with its adapters, and all of a sharded model's weights with the one that writes.
@pytest.mark.parametrize(
    ("task_type", "method", "sharded"),
    [
        ("text-classification", "full", False),
        ("text-classification", "lora", True),
        ("text-generation", "full", False),
        ("text-generation", "lora", True),
        ("text-generation", "full", True),
    ],
    indirect=["task_type"],
)
def test_two_processes_make_what_one_makes(method, sharded, task_type, base, rows, alone, tmp_path):
    order = order_for(task_type, rows, base, tmp_path, method=method, sharded=sharded)
    said = work(order, tmp_path, 2)
    own, other = result_of(tmp_path), result_of(alone(method))
    assert (own["processes"], other["processes"]) == (2, 1)
    assert own["attention"] == other["attention"]
    for name in ("steps", "tokens_seen", "examples_seen", "best_step", "parameters", "trainable_parameters"):
        assert own[name] == other[name]
    # Sums in another order, over some ten steps.
    losses = [[point["loss"] for point in each["history"]] for each in (own, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    weights, expected = (
        load_file(each / "checkpoint/model.safetensors") for each in (tmp_path, alone(method))
    )
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert (weights[name] - value).abs().max() < 1e-4 * max(1.0, float(value.abs().max()))
    # One of them speaks.
    assert said.count('"kind": "result"') == 1


@pytest.mark.parametrize(
    ("task_type", "settings"),
    [
        ("text-classification", {"method": "full", "dropout": 0.1}),
        ("text-generation", {"method": "lora", "dropout": 0.1, "sharded": True}),
    ],
    indirect=["task_type"],
)
def test_two_processes_that_are_killed_go_on_where_they_were(task_type, settings, base, rows, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    work(order_for(task_type, rows, base, whole, tmp_path / "unused", **settings), whole, 2)
    points = tmp_path / "points"
    order = order_for(task_type, rows, base, cut, points, **settings)
    kill_after_a_point(order, cut, points)
    assert "goes on from the resume point step-" in work(order, cut, 2)
    assert {path.suffix for path in next(points.glob("step-*")).iterdir()} == {".json", ".safetensors"}
    assert (whole / "checkpoint/model.safetensors").read_bytes() == (
        cut / "checkpoint/model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize("task_type", ["text-classification"], indirect=True)
def test_two_processes_are_reached_by_nobody_else_and_one_can_go_on_with_what_they_have_begun(
    task_type, base, rows, alone, tmp_path
):
    points = tmp_path / "points"
    order = order_for(task_type, rows, base, tmp_path, points, method="full")
    assert kill_after_a_point(order, tmp_path, points) == {"127.0.0.1"}
    assert "goes on with other rounding than before" in work(order, tmp_path, 1)
    weights, expected = (
        load_file(each / "checkpoint/model.safetensors") for each in (tmp_path, alone("full"))
    )
    for name, value in expected.items():
        assert (weights[name] - value).abs().max() < 1e-4 * max(1.0, float(value.abs().max()))


@pytest.mark.parametrize("task_type", ["text-classification"], indirect=True)
def test_what_the_user_can_mend_is_told_once(task_type, base, rows, tmp_path):
    order = order_for(task_type, rows, base, tmp_path, method="full", learning_rate=0.99, weight_decay=1e6)
    process = start(order, tmp_path, 2)
    said = process.communicate(timeout=300)[0]
    assert process.returncode != 0
    assert said.count('"kind": "error"') == 1
    assert "training diverged" in said
