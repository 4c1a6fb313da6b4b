"""The worker as a process: `python -m ft_assets.worker WORK_ORDER.json`."""

import errno
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

import ft_assets.worker.__main__ as worker
from ft_assets.compute.process import worker_environment
from ft_assets.training.config import TrainingConfig
from ft_assets.worker.work_order import CardFacts, WorkOrder
from ft_assets_tests.tiny_models import LABELS, write_sentiment


def _work(order, folder, *, flags=()):
    """Carry out an order; gives the finished process and its messages."""
    path = order.write(folder / "work_order.json")
    done = subprocess.run(
        [sys.executable, *flags, "-m", "ft_assets.worker", str(path)],
        check=False, capture_output=True, text=True, env=worker_environment(), cwd=folder,
    )  # fmt: skip
    return done, [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_bert_dir):
    folder = tmp_path_factory.mktemp("trained")
    (folder / "output").mkdir()
    order = WorkOrder(
        kind="train", output=str(folder / "output"), base_model=str(tiny_bert_dir), labels=LABELS,
        train=str(write_sentiment(folder / "t.parquet", 64)),
        validation=str(write_sentiment(folder / "v.parquet", 30, seed=1)),
        training=TrainingConfig(epochs=1),
        card=CardFacts(task="reviews", base_model="somebody/tiny", license="mit"),
    )  # fmt: skip
    return folder / "output", *_work(order, folder, flags=["-X", "importtime"])


def _imported(stderr):
    return {
        line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")
    }


def test_a_train_order_leaves_checkpoint_card_and_result_and_nothing_else(trained):
    output, done, _ = trained
    assert done.returncode == 0
    assert {path.name for path in output.iterdir()} == {
        "README.md", "adapter", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
        "training.json",
    }  # fmt: skip
    assert "license: mit" in (output / "README.md").read_text()


def test_the_messages_end_with_the_result_without_its_history(trained):
    output, _, messages = trained
    assert {"progress", "evaluation"} <= {message["kind"] for message in messages}
    written = json.loads((output / "training.json").read_text())
    history = written.pop("history")
    assert messages[-1] == {"kind": "result", **written}
    assert {point["kind"] for point in history} == {"train", "evaluation"}


def test_training_does_not_load_dagster(trained):
    assert "dagster" not in _imported(trained[1].stderr)


def test_a_predict_order_writes_predictions_and_loads_nothing_that_only_training_needs(trained, tmp_path):
    order = WorkOrder(
        kind="predict", output=str(tmp_path), checkpoint=str(trained[0]), labels=LABELS,
        examples=str(write_sentiment(tmp_path / "e.parquet", 20)),
    )  # fmt: skip
    done, messages = _work(order, tmp_path, flags=["-X", "importtime"])
    assert done.returncode == 0 and messages[-1]["rows"] == 20
    assert pq.read_table(tmp_path / "predictions.parquet").num_rows == 20
    assert json.loads((tmp_path / "prediction.json").read_text())["window"] == 64
    imported = _imported(done.stderr)
    assert "torch" in imported  # the list was read
    assert not {"dagster", "transformers.trainer", "peft", "datasets", "sklearn", "pandas"} & imported


def test_what_the_user_can_mend_is_told_with_exit_code_2(tmp_path, tiny_bert_dir):
    order = WorkOrder(
        kind="train", output=str(tmp_path), base_model=str(tmp_path / "nothing"), labels=LABELS,
        train=str(write_sentiment(tmp_path / "t.parquet", 8)),
    )  # fmt: skip
    done, messages = _work(order, tmp_path)
    assert done.returncode == 2
    assert messages[-1]["kind"] == "error" and "no model here" in messages[-1]["what"]
    assert "Traceback" not in done.stderr


def test_an_unknown_task_type_is_an_error_that_names_the_known_ones(tmp_path):
    order = WorkOrder(
        kind="predict", task_type="cooking", output="/o", checkpoint="/c", examples="/e", labels=LABELS
    )
    done, messages = _work(order, tmp_path)
    assert done.returncode == 2 and "text-classification" in messages[-1]["do"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),  # safetensors
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried"
        ),
    ],
)
def test_a_machine_that_is_full_is_something_the_user_can_mend(error):
    explained = worker._explained(error)
    assert explained is not None and explained.do


def test_a_fault_of_ours_is_not_explained_away():
    assert worker._explained(KeyError("x")) is None
