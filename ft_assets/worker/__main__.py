"""Carry out a work order: `python -m ft_assets.worker WORK_ORDER.json`.

With `--stand-by KIND TASK_TYPE` the libraries for such work are loaded first, and the order is read when a line
comes on stdin: `{"environment": {…}}`, variables to be set. If stdin ends instead, nothing is done.

Exit codes: 0 done; 2 something the user can mend (told in an `error` message and on stderr); 1 anything
else, with the traceback on stderr (without values: a message may quote a row).
"""

import argparse
import errno
import importlib
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ft_assets.errors import UserError, without_values
from ft_assets.worker.messages import open_messages
from ft_assets.worker.work_order import WorkOrder

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    # Threads that wait for one another sleep instead of spinning. On a machine that does anything else
    # beside, spinning made small matrix products up to thirty times slower; on an idle one it brings nothing.
    "OMP_WAIT_POLICY": "passive",
}
"""Set before torch is loaded. What the user has set stays."""

_TASK_TYPES = {"text-classification": "ft_assets.worker.text_classification"}
"""Task type → module with `load(kind)`, `train(order, send)` and `predict(order, send)`."""


def main(arguments: list[str]) -> int:
    """Read the order, carry it out, tell the result; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m ft_assets.worker")
    parser.add_argument("work_order", type=Path)
    parser.add_argument(
        "--stand-by",
        nargs=2,
        metavar=("KIND", "TASK_TYPE"),
        help="load the libraries, wait for a line on stdin",
    )
    given = parser.parse_args(arguments)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # What libraries will change one day is for their callers' developers, not for whoever watches a training.
    warnings.filterwarnings("ignore", category=FutureWarning)
    if given.stand_by is not None:
        kind, task_type = given.stand_by
        _task_type(task_type).load(kind)
        line = sys.stdin.readline()
        if not line:
            return 0
        os.environ |= json.loads(line)["environment"]
    with open_messages() as send:
        try:
            result = carry_out(WorkOrder.read(given.work_order), send)
        except UserError as error:
            send({"kind": "error", "what": error.what, "where": error.where, "do": error.do})
            print(error, file=sys.stderr)
            return 2
        except Exception as error:
            known = _explained(error)
            if known is None:
                print(without_values(error), file=sys.stderr)
                return 1
            send({"kind": "error", "what": known.what, "where": known.where, "do": known.do})
            print(without_values(error), file=sys.stderr)
            return 2
        send({"kind": "result", **{name: value for name, value in result.items() if name != "history"}})
    return 0


def carry_out(order: WorkOrder, send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Do what the order says and write training.json or prediction.json into its output; returns that file's
    content.

    Raises:
        UserError: something the user can mend.
    """
    task_type = _task_type(order.task_type)
    task_type.load(order.kind)
    started = time.perf_counter()
    found = {"train": task_type.train, "predict": task_type.predict}[order.kind](order, send)
    result = {
        "kind_of_work": order.kind,
        "task_type": order.task_type,
        **found,
        # All of it, files read and written included; libraries were loaded before.
        "work_seconds": time.perf_counter() - started,
    }
    name = {"train": "training.json", "predict": "prediction.json"}[order.kind]
    write_json(Path(order.output) / name, result)
    return result


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON; NaN and infinity, which JSON has not, are refused."""
    path.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def _task_type(name: str) -> Any:
    """The module that does the work of a task type."""
    if name not in _TASK_TYPES:
        raise UserError(
            f"the worker has no task type '{name}'",
            where="work order: task_type",
            do=f"take one of {', '.join(_TASK_TYPES)}",
        )
    return importlib.import_module(_TASK_TYPES[name])


def _explained(error: Exception) -> UserError | None:
    """Failures of the machine that the user can do something about."""
    text = str(error)
    if (
        type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text
        or isinstance(error, MemoryError)
    ):
        return UserError(
            "the memory is not enough",
            where="GPU" if "CUDA" in text else "worker",
            do="lower training.tokens_per_pass or training.max_length, or take training.method: lora",
        )
    # safetensors reports a full disk as an error of its own kind.
    full = isinstance(error, OSError) and error.errno == errno.ENOSPC
    if full or "No space left on device" in text:
        return UserError(
            "no space left on the device", where="the artifact store", do="make room and run again"
        )
    return None


def _leave(code: int) -> NoReturn:
    """End at once: taking torch down in order costs more than a second, and nothing is left to do."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    _leave(main(sys.argv[1:]))
