"""Compiled passes: the same numbers, also when the training goes on; a machine that cannot compile says so."""

import os
import shutil
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from ft_assets.training.config import LoraConfig, TrainingConfig
from ft_assets.training.text_classification import train_classifier
from ft_assets.worker.resuming import fingerprint
from ft_assets.worker.work_order import ResumeOrder, WorkOrder
from ft_assets_tests.tiny_models import (
    LABELS,
    build_tiny_bert,
    build_tiny_llama,
    recipe_table,
    write_sentiment,
)
from ft_assets_tests.training.writers import train_writer

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler"
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_sentiment(folder / "train.parquet", 24)
    pq.write_table(recipe_table(24), folder / "recipes.parquet")
    return folder


# One layer: half of what there is to compile.
@pytest.fixture(scope="module")
def small_bert(tmp_path_factory):
    return build_tiny_bert(tmp_path_factory.mktemp("models") / "bert", layers=1)


@pytest.fixture(scope="module")
def small_llama(tmp_path_factory):
    return build_tiny_llama(tmp_path_factory.mktemp("models") / "llama", num_hidden_layers=1)


def losses(result):
    return [point["loss"] for point in result["history"] if point["kind"] == "train"]


@needs_compiler
def test_a_model_that_writes_learns_the_same_compiled(rows, small_llama, tmp_path):
    """Packed rows, whose number and lengths differ from pass to pass."""
    results = [
        train_writer(
            small_llama, rows / "recipes.parquet", tmp_path / f"{compiles}", compile=compiles,
            lora=LoraConfig(rank=2, alpha=4), epochs=3, learning_rate=1e-2, tokens_per_pass=200,
        )
        for compiles in (False, True)
    ]  # fmt: skip
    plain, compiled = results
    assert (plain["packed"], compiled["packed"]) == (True, True)
    assert plain["compile_seconds"] == 0 < compiled["compile_seconds"]
    # The order of sums differs, so fp32 rounds otherwise: by 1e-7 at the first step, and a bit more with each.
    assert losses(compiled) == pytest.approx(losses(plain), rel=1e-4)
    assert losses(plain)[-1] < losses(plain)[0]


@needs_compiler
def test_a_model_that_chooses_learns_the_same_compiled(rows, small_bert, tmp_path):
    found = []
    for compiles in (False, True):
        output = tmp_path / f"{compiles}"
        output.mkdir()
        config = TrainingConfig(
            method="full", epochs=1, batch_size=8, learning_rate=5e-3, dropout=0, threads=1, compile=compiles
        )
        found.append(
            train_classifier(
                base_model=small_bert, train=rows / "train.parquet", validation=None, labels=LABELS,
                config=config, output=output, report=lambda message: None,
            )
        )  # fmt: skip
    plain, compiled = map(losses, found)
    assert compiled == pytest.approx(plain, rel=1e-4)


def order_for(rows, base, folder):
    (folder / "checkpoint").mkdir(exist_ok=True, parents=True)
    settings = {"method": "full", "epochs": 2, "batch_size": 8, "dropout": 0.1, "threads": 1}
    return WorkOrder(
        kind="train",
        output=str(folder / "checkpoint"),
        labels=LABELS,
        base_model=str(base),
        train=str(rows / "train.parquet"),
        training=TrainingConfig(**settings, compile=True),
        resume=ResumeOrder(folder=str(folder / "points"), every_steps=1),
    )


def start(order, folder):
    command = [sys.executable, "-P", "-m", "ft_assets.worker", str(order.write(folder / "order.json"))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(order, folder):
    process = start(order, folder)
    said = process.communicate(timeout=600)[0]
    assert process.returncode == 0, said
    return said, (folder / "checkpoint/model.safetensors").read_bytes()


@needs_compiler
def test_a_compiled_training_that_is_killed_goes_on_to_the_same_weights(rows, small_bert, tmp_path):
    """Each process compiles by itself, with a dropout that is drawn inside of the program."""
    _, whole = finish(order_for(rows, small_bert, tmp_path / "whole"), tmp_path / "whole")
    order = order_for(rows, small_bert, tmp_path / "cut")
    process = start(order, tmp_path / "cut")
    while not (tmp_path / "cut/points/step-000000003").exists():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.005)
    process.kill()
    process.communicate()
    said, resumed = finish(order, tmp_path / "cut")
    assert "goes on from the resume point" in said
    assert resumed == whole


def test_without_a_compiler_it_is_said_what_to_do(tmp_path):
    """In a process of its own, that has compiled nothing and finds nothing that was."""
    code = (
        "import torch\n"
        "from ft_assets.errors import UserError\n"
        "from ft_assets.training.compiling import require_compiler\n"
        "try:\n"
        "    require_compiler(torch.device('cpu'))\n"
        "except UserError as error:\n"
        "    print(error)\n"
    )
    environment = os.environ | {"CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert "torch.compile does not work on this machine" in done.stdout
    assert "install a C++ compiler" in done.stdout and "training.compile" in done.stdout


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sharded": True, "method": "full"}, "training.compile: not with training.sharded"),
        ({"method": "linear_probe"}, "training.compile: not with training.method: linear_probe"),
    ],
)
def test_what_cannot_be_compiled_is_refused_when_the_task_is_loaded(settings, told):
    with pytest.raises(ValueError, match=told):
        TrainingConfig(compile=True, **settings).check("text-classification")


def test_compiling_makes_another_training(rows, small_bert, tmp_path):
    order = order_for(rows, small_bert, tmp_path)
    plain = order.model_copy(update={"training": order.training.model_copy(update={"compile": False})})
    assert fingerprint(order) != fingerprint(plain)
