"""A training that is cut off and goes on: the same weights, bit for bit; and points that cannot be used."""

import json
import random
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
import torch

from ft_assets.errors import UserError
from ft_assets.training import text_classification
from ft_assets.training.batches import PadBatch
from ft_assets.training.config import ResumeConfig, TrainingConfig
from ft_assets.training.resume import ResumePoints
from ft_assets.training.text_classification import train_classifier
from ft_assets.worker.resuming import fingerprint
from ft_assets.worker.work_order import ResumeOrder, WorkOrder
from ft_assets_tests.tiny_models import LABELS, recipe_table, write_sentiment

EVERY_STEP = ResumeConfig(every_steps=1)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_sentiment(folder / "train.parquet", 200)
    write_sentiment(folder / "validation.parquet", 40, seed=1)
    pq.write_table(recipe_table(200), folder / "recipes.parquet")
    pq.write_table(recipe_table(24, seed=1), folder / "recipes_validation.parquet")
    return folder


def order_for(task_type, method, rows, base, folder, **resume):
    generation = task_type == "text-generation"
    output = folder / "checkpoint"
    output.mkdir(parents=True, exist_ok=True)
    # A dropout, so that the generators' state counts; an epoch has 25 steps.
    settings = {"method": method, "epochs": 3, "batch_size": 8, "dropout": 0.1, "threads": 1}
    return WorkOrder(
        kind="train",
        task_type=task_type,
        output=str(output),
        labels=None if generation else LABELS,
        base_model=str(base),
        train=str(rows / ("recipes.parquet" if generation else "train.parquet")),
        validation=str(rows / ("recipes_validation.parquet" if generation else "validation.parquet")),
        training=TrainingConfig(**settings),
        resume=ResumeOrder(folder=str(folder / "points"), **({"every_steps": 2} | resume)),
    )


def start(order, folder):
    command = [sys.executable, "-P", "-m", "ft_assets.worker", str(order.write(folder / "order.json"))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(order, folder):
    process = start(order, folder)
    said = process.communicate(timeout=300)[0]
    assert process.returncode == 0, said
    return said


def newest(folder):
    return max((point.name for point in (folder / "points").glob("step-*")), default="")


def wait_for_point(process, folder, beyond):
    """Wait until there is a point that is newer than that."""
    while newest(folder) <= beyond:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("task_type", "method", "kills"), [("text-classification", "lora", 2), ("text-generation", "full", 2)]
)
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(
    task_type, method, kills, rows, tiny_bert_dir, tiny_llama_dir, tmp_path
):
    base = tiny_llama_dir if task_type == "text-generation" else tiny_bert_dir
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish(order_for(task_type, method, rows, base, whole, every_minutes=1e6, every_steps=None), whole)
    order = order_for(task_type, method, rows, base, cut)
    rng = random.Random(method)
    last = ""
    for _ in range(kills):
        process = start(order, cut)
        wait_for_point(process, cut, last)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
        last = newest(cut)
    assert f"goes on from the resume point {last}" in finish(order, cut)
    files = ("model.safetensors", *(["adapter/adapter_model.safetensors"] if method == "lora" else []))
    for name in files:
        assert (whole / "checkpoint" / name).read_bytes() == (cut / "checkpoint" / name).read_bytes()
    results = [json.loads((each / "checkpoint/training.json").read_text()) for each in (whole, cut)]
    for name in ("tokens_seen", "examples_seen", "steps", "best_step", "best_score", "model_flops"):
        assert results[0][name] == results[1][name]
    losses = [[point["loss"] for point in each["history"]] for each in results]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert len(list((cut / "points").iterdir())) == 2


def test_a_worker_that_is_told_to_end_keeps_its_state_first(rows, tiny_bert_dir, tmp_path):
    order = order_for("text-classification", "full", rows, tiny_bert_dir, tmp_path, every_steps=5)
    process = start(order, tmp_path)
    wait_for_point(process, tmp_path, "")
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 128 + signal.SIGTERM, said
    assert newest(tmp_path) > "step-000000005"
    assert not list((tmp_path / "checkpoint").iterdir())


class Cut(Exception):
    """The end of a training in the middle."""


def train(rows, base, output, points, *, cut_at=None):
    """Train a classifier in this process; at the step `cut_at` it ends with an error."""
    output.mkdir()

    def report(message):
        if cut_at is not None and message["kind"] == "evaluation" and message["step"] >= cut_at:
            raise Cut

    train_classifier(
        base_model=base,
        train=rows / "train.parquet",
        validation=rows / "validation.parquet",
        labels=LABELS,
        config=TrainingConfig(method="full", batch_size=8, threads=1, dropout=0.1, length_grouping=False),
        output=output,
        report=report,
        points=points,
    )
    return (output / "model.safetensors").read_bytes()


def test_a_collator_that_draws_gives_the_same_batches_in_mid_epoch(
    rows, tiny_bert_dir, tmp_path, monkeypatch
):
    class Masking(PadBatch):
        """Hides some tokens, by a draw of each generator."""

        def __call__(self, features):
            batch = super().__call__(features)
            hidden = torch.rand(batch["input_ids"].shape) < 0.2 * random.random() + 0.1
            batch["input_ids"][hidden] = 4
            return batch

    monkeypatch.setattr(text_classification, "PadBatch", Masking)
    torch.manual_seed(1)
    whole = train(rows, tiny_bert_dir, tmp_path / "whole", None)
    points = ResumePoints(tmp_path / "points", "x", EVERY_STEP, lambda message: None)
    with pytest.raises(Cut):
        train(rows, tiny_bert_dir, tmp_path / "cut", points, cut_at=38)
    assert points.newest().name == "step-000000037"
    torch.manual_seed(2)
    assert train(rows, tiny_bert_dir, tmp_path / "rest", points) == whole


@pytest.fixture
def points(tmp_path):
    """Two points, and what is said about them."""
    said = []
    made = ResumePoints(tmp_path / "points", "mine", EVERY_STEP, said.append)
    for step in (1, 2):
        made.save(step, lambda folder, step=step: (folder / "state.json").write_text(f"{step}"))
    return made, tmp_path / "points", said


def test_a_damaged_point_is_said_and_the_one_before_it_used(points):
    made, folder, said = points
    path = folder / "step-000000002/state.json"
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]))
    assert made.newest().name == "step-000000001"
    assert "step-000000002 is not used: it is damaged" in said[0]["text"]


@pytest.mark.parametrize("missing", ["manifest.json", "state.json"])
def test_a_point_that_lacks_a_file_is_not_used(points, missing):
    made, folder, _ = points
    (folder / "step-000000002" / missing).unlink()
    assert made.newest().name == "step-000000001"


def test_a_file_too_many_is_not_trusted(points):
    made, folder, _ = points
    (folder / "step-000000002/optimizer.pt").write_bytes(b"")
    assert made.newest().name == "step-000000001"


def test_the_points_of_another_training_are_refused(points):
    _, folder, _ = points
    with pytest.raises(UserError, match="those of another training"):
        ResumePoints(folder, "another", EVERY_STEP, print).newest()


def test_a_full_disk_leaves_the_points_before_it(points):
    made, folder, said = points

    def fill(draft):
        (draft / "weights.safetensors").symlink_to("/dev/full")
        (draft / "weights.safetensors").write_bytes(b"x" * 10_000)

    assert not made.save(3, fill)
    assert made.newest().name == "step-000000002"
    assert "no room for a resume point at step 3" in said[-1]["text"]
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000001", "step-000000002"]


def test_another_fault_while_writing_is_no_full_disk(points):
    made, folder, _ = points
    with pytest.raises(PermissionError):
        made.save(3, lambda draft: (_ for _ in ()).throw(PermissionError()))
    assert len(list(folder.iterdir())) == 2


def test_only_so_many_points_stay_and_no_draft_of_a_killed_process(points):
    made, folder, _ = points
    (folder / ".left").mkdir()
    made.save(3, lambda draft: (draft / "state.json").write_text("3"))
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000002", "step-000000003"]


def test_the_fingerprint_follows_what_decides_and_nothing_else(rows, tiny_bert_dir, tmp_path):
    order = order_for("text-classification", "lora", rows, tiny_bert_dir, tmp_path)
    same = order.model_copy(update={"output": "/elsewhere", "resume": None})
    assert fingerprint(order) == fingerprint(same)
    seed = order.training.model_copy(update={"seed": 1})
    assert fingerprint(order) != fingerprint(order.model_copy(update={"training": seed}))
    assert fingerprint(order) != fingerprint(order.model_copy(update={"train": order.validation}))


def test_no_point_holds_a_pickle(rows, tiny_bert_dir, tmp_path):
    points = ResumePoints(tmp_path / "points", "x", EVERY_STEP, lambda message: None)
    with pytest.raises(Cut):
        train(rows, tiny_bert_dir, tmp_path / "cut", points, cut_at=10)
    names = {path.suffix for path in points.newest().iterdir()}
    assert names == {".json", ".safetensors"}
