"""The worker converts a base model: `kind: convert`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ft_assets.compute.process import worker_environment
from ft_assets.errors import UserError
from ft_assets.worker.conversion import convert
from ft_assets.worker.work_order import WorkOrder
from ft_assets_tests.tiny_gguf import build_tiny_gguf


def carry_out(folder: Path, base_model: Path) -> tuple[int, dict, Path]:
    """Exit code, last message, output."""
    output = folder / "output"
    output.mkdir()
    order = WorkOrder(
        kind="convert", task_type="text-classification", output=str(output), base_model=str(base_model)
    )
    done = subprocess.run(
        [sys.executable, "-m", "ft_assets.worker", str(order.write(folder / "work_order.json"))],
        check=False, capture_output=True, text=True, env=worker_environment(), cwd=folder,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout.splitlines()[-1]), output


def test_a_convert_order_leaves_a_model_and_what_was_measured(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    build_tiny_gguf(tmp_path / "model" / "tiny.gguf", kind="Q8_0")
    code, last, output = carry_out(tmp_path, tmp_path / "model")
    assert code == 0 and (output / "model.safetensors").is_file()
    facts = json.loads((output / "conversion.json").read_text())
    assert last == {"kind": "result", **facts}
    assert (facts["quantization"], facts["max_logit_difference"]) == ("Q8_0", 0)


def test_a_file_that_cannot_be_converted_is_the_users_to_mend(tmp_path: Path) -> None:
    code, last, output = carry_out(tmp_path, build_tiny_gguf(tmp_path / "m.gguf", architecture="martian"))
    assert (code, last["kind"]) == (2, "error")
    assert "'martian'" in last["what"] and str(tmp_path) in last["where"] and last["do"]
    assert not list(output.iterdir())


def test_a_folder_without_a_file_is_told(tmp_path: Path) -> None:
    order = WorkOrder(
        kind="convert", task_type="text-classification", output=str(tmp_path), base_model=str(tmp_path)
    )
    with pytest.raises(UserError, match="here is no GGUF file, or more than one"):
        convert(order, print)
