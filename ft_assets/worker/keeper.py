"""Holds the worker so that nothing of it outlives its launcher. Standard library only; run as a script.

    python keeper.py COMMAND ARGUMENT …

The launcher keeps the writing end of the keeper's stdin. When that closes, because the launcher let go or
because it was killed in any way, the keeper ends the worker: TERM to its process group, a grace of five
seconds, KILL. When the worker ends by itself, what it left running is ended the same way. The keeper lives
in a session of its own, so Ctrl-C in a terminal reaches the launcher alone, and it adopts orphans (Linux),
so children that left the worker's group are found too. What the launcher writes goes on to the worker's stdin.

Exit code: the worker's; 128 + N if signal N ended it.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run `command` until it ends or stdin closes, leave nothing behind, return the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the launcher, through stdin, ends the keeper
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    worker = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
        preexec_fn=_before_exec,  # noqa: PLW1509 - the keeper has no threads close_fds=True
    )
    _wait_for_end(worker)
    _end_all(worker)
    code = worker.wait()
    return code if code >= 0 else 128 - code


def _before_exec() -> None:
    """In the worker, before it starts: usual signals again, and death with the keeper (should that be
    killed)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _wait_for_end(worker: subprocess.Popen[bytes]) -> None:
    """Return when the worker has ended or the launcher has closed stdin; what comes there goes on to the worker."""
    assert worker.stdin is not None  # noqa: S101 - it was asked for
    while worker.poll() is None:
        readable, _, _ = select.select([0], [], [], _POLL_SECONDS)
        if readable:
            received = os.read(0, 4096)
            if not received:
                return
            with contextlib.suppress(BrokenPipeError):  # it has just ended, or it does not listen
                worker.stdin.write(received)


def _end_all(worker: subprocess.Popen[bytes]) -> None:
    """TERM to everything that is left of the worker, wait, KILL until nothing is left."""
    deadline = time.monotonic() + GRACE_SECONDS
    _signal_all(worker.pid, signal.SIGTERM)
    while _left(worker) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    while _left(worker):
        _signal_all(worker.pid, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def _left(worker: subprocess.Popen[bytes]) -> bool:
    """Whether the worker, its group or a descendant still runs. Dead children are collected on the way."""
    worker.poll()
    _collect_orphans(worker.pid)
    if _descendants(os.getpid()):
        return True
    try:
        os.killpg(worker.pid, 0)
    except (ProcessLookupError, PermissionError):
        return worker.poll() is None
    return True


def _collect_orphans(worker: int) -> None:
    """Reap adopted children; the worker's own end is left to `Popen`, which keeps its exit code."""
    for child in _descendants(os.getpid(), deep=False):
        if child != worker:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, os.WNOHANG)


def _signal_all(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for process in _descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


def _descendants(process: int, *, deep: bool = True) -> list[int]:
    """Process ids below `process`, as Linux tells them; elsewhere none, and the group is all that is
    ended."""
    found: list[int] = []
    for listing in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children = [int(child) for child in listing.read_text().split()]
        except (OSError, ValueError):
            continue  # that thread or process has just ended
        found += children
        if deep:
            for child in children:
                found += _descendants(child)
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
