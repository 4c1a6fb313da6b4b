"""Carry out a work order: `python -m ft_assets.worker WORK_ORDER.json`.

With `--stand-by KIND TASK_TYPE` the libraries for such work are loaded first, and the order is read when a line
comes on stdin: `{"environment": {…}}`, variables to be set. If stdin ends instead, nothing is done.

With `--processes N` so many processes train together, under torchrun; the first one speaks and writes.

Exit codes: 0 done; 2 something the user can mend (told in an `error` message and on stderr); 1 anything
else, with the traceback on stderr (without values: a message may quote a row).
"""

import argparse
import errno
import importlib
import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ft_assets.errors import UserError, is_out_of_memory, without_values
from ft_assets.task_types import GENERATION
from ft_assets.worker.messages import open_messages
from ft_assets.worker.together import carry_out_together
from ft_assets.worker.work_order import RESULT_FILES, Kind, WorkOrder

_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "true",
    "TQDM_DISABLE": "1",
    # Threads that wait for one another sleep instead of spinning. On a machine that does anything else
    # beside, spinning made small matrix products up to thirty times slower; on an idle one it brings nothing.
    "OMP_WAIT_POLICY": "passive",
}
"""Set before torch is loaded. What the user has set stays."""

_LAST_WORDS_SECONDS = 1.0
_OF_ALL_TASK_TYPES: dict[Kind, str] = {
    "convert": "ft_assets.worker.conversion",
    "embed": "ft_assets.worker.embedding",
}
"""Kind of work that is the same for all task types → module with `load(kind)` and a function of its name."""
_TASK_TYPES = {
    "text-classification": "ft_assets.worker.text_classification",
    **dict.fromkeys(GENERATION, "ft_assets.worker.text_generation"),
}
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
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="how many train together, on a GPU each"
    )
    given = parser.parse_args(arguments)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # What libraries will change one day is for their callers' developers, not for whoever watches a training.
    warnings.filterwarnings("ignore", category=FutureWarning)
    if given.processes > 1:
        return carry_out_together(given.work_order, given.processes)
    if given.stand_by is not None:
        kind, task_type = given.stand_by
        _module(kind, task_type).load(kind)
        line = sys.stdin.readline()
        if not line:
            return 0
        os.environ |= json.loads(line)["environment"]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return _together(given.work_order)
    return _alone(given.work_order)


def _together(work_order: Path) -> int:
    """One of several processes: the first one does as if it were alone, the others neither speak nor write."""
    from ft_assets.training.processes import is_first, join

    join()
    if is_first():
        return _alone(work_order)
    # What is not to be kept.
    with tempfile.TemporaryDirectory() as scratch:
        try:
            order = WorkOrder.read(work_order)
            carry_out(order.model_copy(update={"output": scratch}), lambda message: None)
        except Exception as error:
            print(error if isinstance(error, UserError) else without_values(error), file=sys.stderr)
            # torchrun ends all processes once one has failed. What ended this one has most likely ended the first one,
            # too: let it say so.
            time.sleep(_LAST_WORDS_SECONDS)
            return 2 if isinstance(error, UserError) else 1
    return 0


def _alone(work_order: Path) -> int:
    with open_messages() as send:
        try:
            result = carry_out(WorkOrder.read(work_order), send)
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
    """Do what the order says and write the result's file (`RESULT_FILES`) into its output; returns its content.

    Raises:
        UserError: something the user can mend.
    """
    module = _module(order.kind, order.task_type)
    module.load(order.kind)
    started = time.perf_counter()
    found = getattr(module, order.kind)(order, send)
    result = {
        "kind_of_work": order.kind,
        "task_type": order.task_type,
        **found,
        # All of it, files read and written included; libraries were loaded before.
        "work_seconds": time.perf_counter() - started,
    }
    write_json(Path(order.output) / RESULT_FILES[order.kind], result)
    return result


def write_json(path: Path, content: Any) -> None:
    """Write readable JSON; NaN and infinity, which JSON has not, are refused."""
    path.write_text(
        json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def _module(kind: Kind, task_type: str) -> Any:
    """The module that does this kind of work for a task type."""
    if task_type not in _TASK_TYPES:
        raise UserError(
            f"the worker has no task type '{task_type}'",
            where="work order: task_type",
            do=f"take one of {', '.join(_TASK_TYPES)}",
        )
    return importlib.import_module(_OF_ALL_TASK_TYPES.get(kind, _TASK_TYPES[task_type]))


def _explained(error: Exception) -> UserError | None:
    """Failures of the machine that the user can do something about."""
    text = str(error)
    if is_out_of_memory(error):
        return UserError(
            "the memory is not enough",
            where="GPU" if "CUDA" in text else "worker",
            do="lower training.tokens_per_pass or training.max_length, set training.gradient_checkpointing: true, "
            "or take training.method: lora",
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
