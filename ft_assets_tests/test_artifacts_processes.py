"""The artifact store among several processes: one builder at a time, killed at any instant, no room left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from ft_assets.artifacts import ArtifactStore
from ft_assets.errors import UserError
from ft_assets_tests.stores import commit, files_below, publish


@pytest.fixture
def local(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


# --- several processes --------------------------------------------------------------------------------------

CHILD = textwrap.dedent(
    """
    import os, sys, signal
    from contextlib import nullcontext
    from pathlib import Path
    from ft_assets.artifacts import ArtifactStore

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it
    store = ArtifactStore(sys.argv[1])

    def publish(data_version, build_key, text="x" * 50_000):
        with store.staging("task", "asset") as staging:
            for number in range(3):
                staging.write_text(f"{number}.txt", text)
            return store.commit(staging, data_version=data_version, build_key=build_key, inputs={}, config={},
                                code_version="c", summary={})

    def say(text):
        print(text, flush=True)
    """
)


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Starts a Python process with a store at the test's root; all are ended with the test."""
    started: list[subprocess.Popen] = []

    def run(script: str, *arguments: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", CHILD + textwrap.dedent(script), str(tmp_path / "store"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_one_builder_at_a_time_and_the_second_finds_what_the_first_built(start, local: ArtifactStore) -> None:
    script = """
        say("ready"); sys.stdin.readline()
        with store.building("task", "asset", "k1"):
            found = store.find("task", "asset", "k1")
            say("found" if found else "built")
            if not found:
                publish(f"v{os.getpid()}", "k1")
        """
    processes = [start(script) for _ in range(3)]
    for process in processes:
        assert said(process) == "ready"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert sorted(said(process) for process in processes) == ["built", "found", "found"]


def test_two_commits_of_one_build_key_at_once_give_one_artifact(start, local: ArtifactStore) -> None:
    script = """
        say("ready")
        for line in sys.stdin:
            say(publish(f"v{os.getpid()}", line.strip()).data_version)
        """
    one, other = start(script), start(script)
    assert said(one) == said(other) == "ready"
    for number in range(20):  # twenty races
        for process in (one, other):
            process.stdin.write(f"k{number}\n")
            process.stdin.flush()
        versions = {said(one), said(other)}
        found = local.find("task", "asset", f"k{number}")
        assert found is not None and versions == {found.data_version}


def test_waiting_for_another_builder_ends_at_once_on_an_interrupt(start, tmp_path: Path) -> None:
    waiting = """
        try:
            with store.building("task", "asset", "k1", on_wait=lambda: say("waiting")):
                say("built")
        except KeyboardInterrupt:
            say("interrupted")
        """
    holder = start("with store.building('task', 'asset', 'k1'): say('holding'); sys.stdin.readline()")
    assert said(holder) == "holding"
    waiter = start(waiting)
    assert said(waiter) == "waiting"
    waiter.send_signal(signal.SIGINT)
    assert said(waiter) == "interrupted"


def test_on_wait_may_give_up(start, local: ArtifactStore) -> None:
    holder = start("with store.building('task', 'asset', 'k1'): say('holding'); sys.stdin.readline()")
    assert said(holder) == "holding"

    def give_up() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError), local.building("task", "asset", "k1", on_wait=give_up):
        pass


def test_a_killed_builder_holds_nobody_up(start, local: ArtifactStore) -> None:
    holder = start("with store.building('task', 'asset', 'k1'): say('holding'); sys.stdin.readline()")
    assert said(holder) == "holding"
    holder.kill()
    holder.wait()
    with local.building("task", "asset", "k1", on_wait=pytest.fail):
        pass


def test_another_build_key_does_not_wait(start, local: ArtifactStore) -> None:
    holder = start("with store.building('task', 'asset', 'k1'): say('holding'); sys.stdin.readline()")
    assert said(holder) == "holding"
    with local.building("task", "asset", "k2", on_wait=pytest.fail):
        pass


# --- killed -------------------------------------------------------------------------------------------------


def test_staging_of_a_killed_process_is_removed_and_that_of_a_living_one_is_not(
    start, local: ArtifactStore, tmp_path: Path
) -> None:
    script = """
        with store.staging("task", "asset") as staging:
            staging.write_text("a.txt", "x"); say(staging.path.name); sys.stdin.readline()
        """
    dead, living = start(script), start(script)
    dead_name, living_name = said(dead), said(living)
    dead.kill()
    dead.wait()
    with local.staging("task", "asset") as mine:
        present = {path.name for path in (tmp_path / "store" / ".staging").iterdir() if path.is_dir()}
        assert present == {living_name, mine.path.name}
    assert dead_name != living_name


def test_the_store_is_whole_after_a_kill_at_random_instants(start, local: ArtifactStore) -> None:
    random_ = random.Random(0)
    for attempt in range(6):
        script = """
            number = 0
            while True:
                say(f"{sys.argv[2]}-{number}")
                publish(f"v{sys.argv[2]}-{number}", f"k{sys.argv[2]}-{number}")
                number += 1
            """
        process = start(script, str(attempt))
        begun = [said(process) for _ in range(random_.randint(2, 25))]
        process.kill()
        process.wait()
        begun += process.stdout.read().split()
        for name in begun[:-1]:  # all but the last were committed before the kill
            found = local.find("task", "asset", f"k{name}")
            assert found is not None and found.data_version == f"v{name}"
        last = local.find("task", "asset", f"k{begun[-1]}")
        assert last is None or set(last.files) == {"0.txt", "1.txt", "2.txt"}
        assert publish(local, f"v{begun[-1]}", f"k{begun[-1]}").data_version == f"v{begun[-1]}"


def test_the_store_is_whole_after_a_kill_at_every_file_operation_of_a_commit(
    start, local: ArtifactStore
) -> None:
    # An audit hook sees each open, mkdir, rename, link and remove before it happens; one child dies at each.
    script = """
        publish("v0", "k0")
        operation = 0
        while True:
            operation += 1
            child = os.fork()
            if child == 0:
                left = operation
                def die(event, _):
                    global left
                    if event.split(".")[0] in ("open", "os", "shutil", "fcntl"):
                        left -= 1
                        if left == 0:
                            os.kill(os.getpid(), signal.SIGKILL)
                sys.addaudithook(die)
                publish(f"v{operation}", f"k{operation}")
                os._exit(0)
            survived = os.waitpid(child, 0)[1] == 0
            found = store.find("task", "asset", f"k{operation}")
            assert found is None or set(found.files) == {"0.txt", "1.txt", "2.txt"}
            assert found is not None or not survived
            assert store.find("task", "asset", "k0").data_version == "v0"
            assert publish(f"v{operation}", f"k{operation}").data_version == f"v{operation}"
            assert not list(Path(sys.argv[1]).glob("task/asset/damaged"))
            if survived:
                break
        say(operation)
        """
    process = start(script)
    operations = said(process)
    # A commit of three files opens, syncs, renames and links more often than this: the hook did see them.
    assert operations and int(operations) > 20


# --- no room ------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path):
    """A disk of 1 MB; needs the right to mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no right to mount a small disk here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_says_where_and_what_to_do_and_leaves_what_was_there(small_disk: Path) -> None:
    store = ArtifactStore(small_disk / "store")
    publish(store)
    for write in (
        lambda staging: staging.write_text("big.txt", "x" * 2_000_000),
        lambda staging: staging.write_table("big", pa.table({"a": [os.urandom(2_000_000)]})),
        lambda staging: (staging.path / "big.bin").write_bytes(b"x" * 2_000_000),
    ):
        with (
            pytest.raises(UserError, match="no room left") as error,
            store.staging("task", "asset") as staging,
        ):
            write(staging)
        assert str(small_disk) in error.value.where
        assert "make room" in error.value.do
    assert [name for name in files_below(str(small_disk)) if ".staging" in name] == []
    assert store.open("task", "asset", "v1").file("notes.txt").read_text() == "hello"


def test_a_disk_that_is_full_at_the_commit_publishes_nothing(small_disk: Path) -> None:
    store = ArtifactStore(small_disk / "store")
    publish(store)
    with store.staging("task", "asset") as staging:
        staging.write_text("a.txt", "x")
        with pytest.raises(OSError, match="No space left"):
            (small_disk / "filler").write_bytes(b"x" * 2_000_000)
        with pytest.raises(UserError, match="no room left"):
            commit(store, staging, "v2", "k2")
    (small_disk / "filler").unlink()
    assert store.find("task", "asset", "k2") is None
    assert store.find("task", "asset", "k1") is not None
    assert publish(store, "v2", "k2").data_version == "v2"


def test_a_file_size_limit_reads_like_a_full_disk(start, local: ArtifactStore) -> None:
    script = """
        import resource
        from ft_assets.errors import UserError
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            publish("v1", "k1", text="x" * 200_000)
        except UserError as error:
            say(error.what)
        """
    assert said(start(script)) == "no room left while writing 0.txt of task/asset"
