"""Starting the worker as a process of its own, following it, ending it. Plain Python; Dagster's side is in
`local`."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ft_assets.errors import UserError
from ft_assets.worker import keeper
from ft_assets.worker.messages import MESSAGE_PREFIX
from ft_assets.worker.work_order import Kind

__all__ = [
    "WorkerCrashed",
    "WorkerEnd",
    "WorkerProcess",
    "WorkerStopped",
    "attend_worker",
    "check_end",
    "run_worker",
    "worker_command",
    "worker_environment",
]

_PASSED_ON = {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV"}
_PASSED_ON_FAMILIES = (
    "LC_",
    "CUDA_",
    "NVIDIA_",
    "NCCL_",
    "ROCR_",
    "HIP_",
    "OMP_",
    "GOMP_",
    "MKL_",
    "TORCH_",
    "PYTORCH_",
)
_DEFAULTS = {"PYTHONUNBUFFERED": "1", "PYTHONSAFEPATH": "1"}
_LINE_BYTES = 64 * 1024  # a line longer than this is passed on in pieces
_WAITING_LINES = 1000  # lines read but not yet passed on; when they are full the worker waits
_LOOK_SECONDS = 0.1
_STOP_SECONDS = 5.0  # a look at the run's status costs a query
_SIGKILL_CODE = 128 + 9

OnLine = Callable[[str, str], None]
"""Takes the stream (stdout or stderr) and one line without its end."""


class WorkerStopped(Exception):
    """The worker was ended because `should_stop` said so."""


class WorkerCrashed(RuntimeError):
    """The worker ended with an error of ours.

    Attributes:
        what: How it ended.
        last_lines: What it wrote last: as a rule a traceback, without values.
    """

    def __init__(self, what: str, last_lines: str) -> None:
        super().__init__(f"{what}; its last lines:\n{last_lines}")
        self.what = what
        self.last_lines = last_lines


@dataclass(frozen=True)
class WorkerEnd:
    """How a worker ended: exit code (128 + N for signal N) and the last lines of its stderr."""

    code: int
    last_lines: tuple[str, ...]


def worker_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The worker's environment: paths, locale and the settings of the numeric libraries of this process, and
    `extra`.

    Tokens, passwords and the rest of what a Dagster process may hold are left out: training needs none of it.
    """
    own = {k: v for k, v in os.environ.items() if k in _PASSED_ON or k.startswith(_PASSED_ON_FAMILIES)}
    return {**_DEFAULTS, **own, **(extra or {})}


def worker_command(work_order: Path, *, processes: int = 1) -> list[str]:
    """The command that carries out a work order.

    Args:
        work_order: its path.
        processes: how many train together. Each has a GPU of its own, if there are any.
    """
    # -P: no module is taken from the directory that it runs in. Further processes are told by the environment.
    command = [sys.executable, "-P", "-m", "ft_assets.worker", str(work_order)]
    return [*command, f"--processes={processes}"] if processes > 1 else command


def run_worker(
    work_order: Path,
    *,
    env: Mapping[str, str] | None = None,
    on_message: Callable[[dict[str, Any]], None],
    on_line: OnLine | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Carry out a work order without Dagster; messages come from the worker's stdout.

    Args:
        work_order: file written by `WorkOrder.write`.
        env: environment; None: `worker_environment()`.
        on_message: receives each message (see `ft_assets.worker.messages`).
        on_line: receives each other line of output; None: it goes to this process's stderr.
        should_stop: asked every five seconds; True ends the worker.

    Raises:
        UserError: the worker reported something that the user can mend, or was killed for memory.
        WorkerCrashed: it ended with another error.
        WorkerStopped: `should_stop` said so.
    """
    errors: list[dict[str, Any]] = []

    def sort_line(stream: str, line: str) -> None:
        if stream == "stdout" and line.startswith(MESSAGE_PREFIX):
            message = json.loads(line)
            if message["kind"] == "error":
                errors.append(message)
            on_message(message)
        elif on_line is not None:
            on_line(stream, line)
        else:
            print(line, file=sys.stderr)

    end = attend_worker(work_order, env=env, on_line=sort_line, should_stop=should_stop)
    check_end(end, errors[-1] if errors else None)


def attend_worker(
    work_order: Path,
    *,
    env: Mapping[str, str] | None,
    on_line: OnLine,
    each_look: Callable[[], None] = lambda: None,
    should_stop: Callable[[], bool] = lambda: False,
    command: list[str] | None = None,
) -> WorkerEnd:
    """Start the worker, see it through, and return how it ended; see `WorkerProcess`."""
    worker = WorkerProcess(work_order, env=env, command=command)
    return worker.attend(on_line=on_line, each_look=each_look, should_stop=should_stop)


class WorkerProcess:
    """The worker under its keeper.

    However the process that holds this ends (SIGKILL included), the worker and all that it started are ended.

    Args:
        work_order: path of the order; the worker runs in its directory.
        env: environment; None: `worker_environment()`.
        stand_by: kind of work and task type: load what they need at once, and wait for `begin`; the order need not
            be written before.
        command: what to run instead of the worker.
    """

    def __init__(
        self,
        work_order: Path,
        *,
        env: Mapping[str, str] | None = None,
        stand_by: tuple[Kind, str] | None = None,
        command: list[str] | None = None,
    ) -> None:
        worker = command or worker_command(work_order)
        if stand_by is not None:
            worker += ["--stand-by", *stand_by]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(keeper.__file__)), *worker],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=work_order.parent,
            env=dict(env) if env is not None else worker_environment(),
            start_new_session=True,
        )
        self._lines: queue.Queue[tuple[str, str]] = queue.Queue(_WAITING_LINES)
        self._stdin, *outputs = (
            cast(IO[bytes], pipe)
            for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._drains = [
            _drain(name, pipe, self._lines) for name, pipe in zip(("stdout", "stderr"), outputs, strict=True)
        ]
        self._outputs = outputs

    @property
    def is_running(self) -> bool:
        """Whether it may still do something."""
        return self._process.poll() is None

    def begin(self, environment: Mapping[str, str]) -> None:
        """Tell a worker that stands by that its order is written.

        Args:
            environment: variables that it gets on top of its own.
        """
        with contextlib.suppress(BrokenPipeError):  # it has ended: `attend` tells how
            self._stdin.write(json.dumps({"environment": dict(environment)}).encode() + b"\n")
            self._stdin.flush()

    def attend(
        self,
        *,
        on_line: OnLine,
        each_look: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> WorkerEnd:
        """Pass its output on live, and return how it ended. However this is left, the worker is ended.

        Args:
            on_line: called in this thread for each line.
            each_look: called in this thread about ten times a second.
            should_stop: asked every five seconds.

        Raises:
            WorkerStopped: `should_stop` said so.
        """
        last_lines: deque[str] = deque(maxlen=30)

        def take(stream: str, line: str) -> None:
            if stream == "stderr":
                last_lines.append(line)
            on_line(stream, line)

        try:
            next_stop_look = time.monotonic() + _STOP_SECONDS
            while self._goes_on():
                _pass_on(self._lines, take)
                each_look()
                if time.monotonic() >= next_stop_look:
                    next_stop_look = time.monotonic() + _STOP_SECONDS
                    if should_stop():
                        raise WorkerStopped("the run was cancelled; the worker has been ended")
            while not self._lines.empty():
                take(*self._lines.get())
        finally:
            self.end()
        return WorkerEnd(self._process.returncode, tuple(last_lines))

    def end(self) -> None:
        """End it, and all that it started, if it still runs."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()  # the keeper's sign to end what is left
        while self._goes_on():
            _pass_on(self._lines, lambda stream, line: None)  # so that no full pipe holds anybody up
        for pipe in self._outputs:
            pipe.close()

    def _goes_on(self) -> bool:
        return self.is_running or any(drain.is_alive() for drain in self._drains)


def check_end(end: WorkerEnd, error: Mapping[str, Any] | None) -> None:
    """Turn the end of a worker into an exception, unless all went well.

    Args:
        end: how it ended.
        error: its `error` message, if it sent one.

    Raises:
        UserError: it sent an error message, or was killed from outside.
        WorkerCrashed: anything else.
    """
    if end.code == 0:
        return
    if error is not None:
        raise UserError(error["what"], where=error["where"], do=error["do"])
    if end.code == _SIGKILL_CODE:
        raise UserError(
            "the worker was killed from outside (signal 9), most likely because the memory was not enough",
            where="worker",
            do="lower training.tokens_per_pass or training.max_length, take training.method: lora, or end "
            "other programs; `dmesg` tells whether it was the memory",
        )
    how = f"exit code {end.code}"
    if end.code > 128:
        how = f"signal {end.code - 128} ({signal.strsignal(end.code - 128) or 'unknown'})"
    raise WorkerCrashed(f"the worker ended with {how}", "\n".join(end.last_lines))


def _pass_on(lines: queue.Queue[tuple[str, str]], take: OnLine) -> None:
    """Wait a moment for a line, then pass on all that there are, at most a queue full."""
    try:
        take(*lines.get(timeout=_LOOK_SECONDS))
        for _ in range(_WAITING_LINES):
            take(*lines.get_nowait())
    except queue.Empty:
        return


def _drain(name: str, stream: IO[bytes], lines: queue.Queue[tuple[str, str]]) -> threading.Thread:
    def read() -> None:
        while piece := stream.readline(_LINE_BYTES):
            lines.put((name, piece.decode("utf-8", errors="replace").rstrip("\r\n")))

    thread = threading.Thread(target=read, name=f"drain-{name}", daemon=True)
    thread.start()
    return thread
