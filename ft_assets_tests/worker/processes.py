"""Finding processes by a token in their command line, and waiting for their end."""

import os

import psutil

__all__ = ["left_over", "wait_until_gone"]

_SECONDS = 30  # five seconds of grace, and much for a busy machine


def left_over(token: str) -> list[psutil.Process]:
    """Running processes, this one apart, whose command line has the token."""
    found = []
    for process in psutil.process_iter():
        try:
            running = process.status() != psutil.STATUS_ZOMBIE
            if running and process.pid != os.getpid() and any(token in part for part in process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def wait_until_gone(token: str) -> None:
    """Return when no process has the token; fail if some stay."""
    while processes := left_over(token):
        _, alive = psutil.wait_procs(processes, timeout=_SECONDS)
        assert not alive, f"left over: {alive}"
