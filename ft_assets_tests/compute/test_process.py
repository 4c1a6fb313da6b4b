"""Following a worker process: output, messages, ends."""

import signal
import sys

import pytest

from ft_assets.compute import process
from ft_assets.compute.process import (
    WorkerCrashed,
    WorkerEnd,
    WorkerProcess,
    WorkerStopped,
    attend_worker,
    check_end,
    run_worker,
    worker_environment,
)
from ft_assets.errors import UserError
from ft_assets.worker.work_order import WorkOrder
from ft_assets_tests.tiny_models import LABELS, write_sentiment


def _attend(tmp_path, code, **kwargs):
    """Follow a worker that is this code; gives its end and its lines."""
    lines = []
    kwargs.setdefault("on_line", lambda stream, line: lines.append((stream, line)))
    end = attend_worker(tmp_path / "order.json", env=None, command=[sys.executable, "-c", code], **kwargs)
    return end, lines


def test_both_streams_are_passed_on_line_by_line(tmp_path):
    end, lines = _attend(tmp_path, "import sys; print('one'); print('two', file=sys.stderr); print('three')")
    assert end == WorkerEnd(0, ("two",))
    assert [line for stream, line in lines if stream == "stdout"] == ["one", "three"]


def test_lines_come_while_the_worker_still_runs(tmp_path):
    """The worker waits for a file that only its first line's receiver makes."""
    go = tmp_path / "go"
    code = (
        f"import os\nprint('ready', flush=True)\nwhile not os.path.exists({str(go)!r}): pass\nprint('seen')"
    )
    lines = []

    def take(stream, line):
        lines.append(line)
        go.touch()

    _attend(tmp_path, code, on_line=take)
    assert lines == ["ready", "seen"]


def test_much_output_on_both_streams_does_not_stop_the_worker(tmp_path):
    code = "import sys\nfor i in range(20_000): print('x' * 80); print('y' * 80, file=sys.stderr)"
    end, lines = _attend(tmp_path, code)
    assert end.code == 0 and len(lines) == 40_000


def test_a_line_without_an_end_is_passed_on_in_pieces(tmp_path):
    _, lines = _attend(tmp_path, "import sys; sys.stdout.write('z' * 1_000_000)")
    assert sum(len(line) for _, line in lines) == 1_000_000


def test_bytes_that_are_no_utf8_do_not_stop_the_reader(tmp_path):
    _, lines = _attend(tmp_path, r"import sys; sys.stdout.buffer.write(b'caf\xe9\n')")
    assert lines == [("stdout", "caf\ufffd")]


def test_a_receiver_that_fails_ends_the_worker(tmp_path):
    def fail(stream, line):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        _attend(tmp_path, "import time; print('x', flush=True); time.sleep(600)", on_line=fail)


def test_the_worker_is_ended_when_it_should_stop(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.1)
    with pytest.raises(WorkerStopped):
        _attend(tmp_path, "import time; time.sleep(600)", should_stop=lambda: True)


def test_a_worker_killed_for_memory_is_reported_with_advice(tmp_path):
    end, _ = _attend(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert end.code == 128 + signal.SIGKILL
    with pytest.raises(UserError, match=r"killed from outside[\s\S]*tokens_per_pass"):
        check_end(end, None)


def test_a_crash_is_reported_with_the_last_lines(tmp_path):
    end, _ = _attend(tmp_path, "raise ValueError('a fault of ours')")
    with pytest.raises(WorkerCrashed, match=r"exit code 1[\s\S]*a fault of ours"):
        check_end(end, None)


def test_the_environment_has_no_secrets(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    monkeypatch.setenv("HF_TOKEN", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    environment = worker_environment({"MINE": "1"})
    assert not {"AWS_SECRET_ACCESS_KEY", "HF_TOKEN"} & environment.keys()
    assert (environment["OMP_NUM_THREADS"], environment["MINE"]) == ("2", "1")


def test_an_order_is_carried_out_and_its_messages_arrive(tmp_path, tiny_bert_dir):
    (tmp_path / "output").mkdir()
    order = WorkOrder(
        kind="train", output=str(tmp_path / "output"), base_model=str(tiny_bert_dir), labels=LABELS,
        train=str(write_sentiment(tmp_path / "t.parquet", 40)),
    )  # fmt: skip
    messages = []
    run_worker(order.write(tmp_path / "order.json"), on_message=messages.append)
    assert messages[0]["kind"] == "progress" and messages[-1]["kind"] == "result"


def test_an_error_of_the_users_comes_back_as_one(tmp_path):
    order = WorkOrder(kind="predict", output="/o", checkpoint=str(tmp_path), examples="/e", labels=LABELS)
    with pytest.raises(UserError, match="no model here"):
        run_worker(order.write(tmp_path / "order.json"), on_message=lambda message: None)


def _standing_by(tmp_path, **kwargs):
    return WorkerProcess(tmp_path / "order.json", stand_by=("predict", "text-classification"), **kwargs)


def test_a_worker_that_stands_by_carries_out_an_order_written_later(tmp_path):
    worker = _standing_by(tmp_path)
    WorkOrder(kind="predict", output="/o", checkpoint=str(tmp_path), examples="/e", labels=LABELS).write(
        tmp_path / "order.json"
    )
    lines = []
    worker.begin({})
    end = worker.attend(on_line=lambda stream, line: lines.append(line))
    assert end.code == 2 and any("no model here" in line for line in lines)


def test_what_it_is_given_at_the_beginning_is_in_its_environment(tmp_path):
    code = "import json, os, sys; print(os.environ | json.loads(sys.stdin.readline())['environment'])"
    worker = WorkerProcess(tmp_path / "order.json", env={"OWN": "1"}, command=[sys.executable, "-c", code])
    worker.begin({"LATE": "2"})
    lines = []
    worker.attend(on_line=lambda stream, line: lines.append(line))
    assert "'OWN': '1'" in lines[0] and "'LATE': '2'" in lines[0]


def test_a_worker_that_nobody_needs_is_ended(tmp_path):
    worker = _standing_by(tmp_path)
    assert worker.is_running
    worker.end()
    assert not worker.is_running


def test_a_worker_that_died_while_it_waited_is_reported_as_any_other(tmp_path):
    worker = WorkerProcess(tmp_path / "order.json", command=[sys.executable, "-c", "raise SystemExit(7)"])
    while worker.is_running:
        pass
    worker.begin({})
    assert worker.attend(on_line=lambda stream, line: None).code == 7
