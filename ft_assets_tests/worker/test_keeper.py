"""The keeper leaves nothing of the worker behind, whoever dies and when."""

import random
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import pytest

from ft_assets.worker import keeper
from ft_assets_tests.worker.processes import left_over, wait_until_gone

# A worker with a child in its group and one in a session of its own; each tells that it runs.
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN);"
FAMILY = textwrap.dedent(
    """
    import os, signal, subprocess, sys, time
    {stubborn}
    child = "import os, signal, time; {stubborn} os.write(1, b'child' + os.linesep.encode()); time.sleep(600)"
    subprocess.Popen([sys.executable, "-c", child, sys.argv[1]])
    subprocess.Popen([sys.executable, "-c", child, sys.argv[1]], start_new_session=True)
    os.write(1, b"worker" + os.linesep.encode())  # in one piece, whoever else writes
    {then}
    """
)


@pytest.fixture
def token():
    return f"token-{uuid.uuid4().hex}"


def _keep(token, *, stubborn="", then="time.sleep(600)"):
    """Start a keeper over a family of three; returns when all of them run."""
    code = FAMILY.format(stubborn=stubborn, then=then)
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", keeper.__file__, sys.executable, "-c", code, token],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    return process


def _wait_for_family(process):
    assert sorted(process.stdout.readline().strip() for _ in range(3)) == ["child", "child", "worker"]


def test_closing_its_stdin_ends_the_whole_family(token):
    process = _keep(token)
    _wait_for_family(process)
    process.stdin.close()
    assert process.wait() == 128 + signal.SIGTERM
    assert left_over(token) == []


def test_who_ignores_term_is_killed(token):
    process = _keep(token, stubborn=STUBBORN)
    _wait_for_family(process)
    process.stdin.close()
    assert process.wait() == 128 + signal.SIGKILL
    assert left_over(token) == []


@pytest.mark.parametrize(("ending", "code"), [("sys.exit(0)", 0), ("sys.exit(3)", 3)])
def test_when_the_worker_ends_by_itself_its_children_end_and_its_code_is_passed_on(token, ending, code):
    process = _keep(token, then=ending)
    assert process.wait() == code
    assert left_over(token) == []


def test_when_the_worker_crashes_its_children_end(token):
    process = _keep(token, then="import os; os.kill(os.getpid(), signal.SIGSEGV)")
    assert process.wait() == 128 + signal.SIGSEGV
    assert left_over(token) == []


def test_signals_of_the_terminal_do_not_end_the_keeper(token):
    process = _keep(token)
    _wait_for_family(process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.poll() is None and len(left_over(token)) == 4
    process.stdin.close()
    process.wait()
    assert left_over(token) == []


@pytest.mark.skipif(sys.platform != "linux", reason="the worker's death with its keeper is a Linux facility")
def test_a_killed_keeper_takes_the_worker_with_it(token):
    process = _keep(token)
    _wait_for_family(process)
    worker = next(p for p in left_over(token) if p.ppid() == process.pid)
    process.kill()
    assert worker.wait(timeout=30) is None or not worker.is_running()
    for orphan in left_over(token):  # with the keeper gone nobody is left to end these
        orphan.kill()


LAUNCHER = textwrap.dedent(
    """
    import signal, sys
    from pathlib import Path
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    from ft_assets.compute.process import attend_worker
    attend_worker(Path(sys.argv[2]) / "none.json", env=None,
                  on_line=lambda stream, line: print(line, flush=True),
                  command=[sys.executable, "-c", sys.argv[3], sys.argv[1]])
    """
)


@pytest.mark.parametrize("seed", range(5))
def test_a_launcher_killed_at_a_random_instant_leaves_nothing_behind(token, tmp_path: Path, seed):
    code = FAMILY.format(stubborn="", then="time.sleep(600)")
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, token, str(tmp_path), code], stdout=subprocess.PIPE, text=True
    )
    try:
        # From before the keeper starts to after the whole family runs.
        launcher.wait(timeout=random.Random(seed).uniform(0.0, 1.5))
    except subprocess.TimeoutExpired:
        launcher.kill()
    assert launcher.wait() == -signal.SIGKILL
    wait_until_gone(token)


def test_ctrl_c_at_the_launcher_leaves_nothing_behind(token, tmp_path: Path):
    code = FAMILY.format(stubborn="", then="time.sleep(600)")
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, token, str(tmp_path), code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    _wait_for_family(launcher)
    launcher.send_signal(signal.SIGINT)
    launcher.wait()
    assert left_over(token) == []
