"""How changes flow, measured: `python benchmarks/changes.py [--quick] [--only PART …]`. Run it on a quiet machine.

- interleavings: changes, runs, failures, kills, cancels and restarts in random order: what is stale at rest, what ran
  without a cause;
- tasks: one code location with 50 tasks against one with a single task: load and a tick of the sensor;
- files: from a new file in the folder to the start of its run, with the daemon and the intervals that we ship;
- kills: `kill -9` of run, worker, daemon or code server at random instants: recoveries, damage, orphans, held slots.

`--quick` does a twentieth of it. The time of a second materialisation is in `main_job.py`.
"""

import argparse
import itertools
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import dagster as dg  # noqa: E402

from benchmarks.bars import Bar, show  # noqa: E402
from ft_assets_tests.live import LiveSystem  # noqa: E402

PARTS = ("tasks", "interleavings", "files", "kills")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a twentieth of it")
    parser.add_argument("--kills", type=int, metavar="N", help="how many processes to kill (100)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts only")
    given = parser.parse_args()
    bars: list[Bar] = []
    if "tasks" in given.only:
        bars += measure_tasks(rounds=2 if given.quick else 5)
    if "interleavings" in given.only:
        bars += measure_interleavings(50 if given.quick else 1_000)
    if "files" in given.only:
        bars += measure_files(3 if given.quick else 10)
    if "kills" in given.only:
        bars += measure_kills(given.kills or (5 if given.quick else 100))
    show(bars)


@contextmanager
def data_directory() -> Iterator[Path]:
    """A folder whose `data` this process and its children work on."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="ft_assets-changes-") as folder:
        data = Path(folder) / "data"
        os.environ |= {
            "FT_DATA_DIR": str(data),
            "DAGSTER_HOME": str(data / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
            "HF_HUB_OFFLINE": "1",
            # Names what is this benchmark's own among the workers, which get a small environment.
            "TMPDIR": folder,
        }
        tempfile.tempdir = None
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)
            tempfile.tempdir = None


# --- many tasks ---

LOAD = "import ui_project.definitions as location; location.defs().get_repository_def()"
TICK = """
import sys, time, dagster as dg, ui_project.definitions as location
defs = location.defs()
sensor = next(each for each in defs.sensors if each.name == "follow_changes")
with dg.DagsterInstance.get() as instance:
    for key in defs.resolve_all_asset_keys():
        instance.report_runless_asset_event(dg.AssetMaterialization(
            key, metadata={"picture": dg.MetadataValue.md("x" * 3_000)}, tags={"dagster/data_version": "1"}))
    for _ in range(3):
        with dg.build_sensor_context(instance=instance, definitions=defs) as context:
            started = time.perf_counter()
            sensor(context)
            print(time.perf_counter() - started)
"""


def measure_tasks(rounds: int) -> list[Bar]:
    """Load time of 50 tasks as a ratio to that of one, pair by pair; the slowest of some ticks over 550 assets."""
    from ft_assets_tests.conftest import sample
    from ft_assets_tests.ui import write_project

    ratios, ticks = [], []
    with data_directory() as folder:
        (folder / "data" / "dagster").mkdir(parents=True)
        for number in (1, 50):
            write_project(folder / str(number), {f"task_{each}": sample() for each in range(number)})
        _python(LOAD, folder / "50")  # compiles what is not compiled yet
        for _ in range(rounds):
            one, _out = _python(LOAD, folder / "1")
            fifty, _out = _python(LOAD, folder / "50")
            ratios.append(fifty / one)
        _seconds, out = _python(TICK, folder / "50")
        ticks = [float(line) for line in out.split()]
    print(f"tasks: load ratios {_list(ratios)}; ticks of 50 tasks {_list(ticks)} s")
    return [
        Bar("tasks: load of 50 / load of one (median of pairs)", statistics.median(ratios), 3.0, False),
        Bar("tasks: a tick over 50 tasks (slowest)", max(ticks), 5.0, False, "s"),
    ]


def _python(code: str, folder: Path) -> tuple[float, str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=folder, env=environment, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr[-4000:])
    return time.perf_counter() - started, done.stdout


def _shares(number: int) -> list[tuple[int, int]]:
    """From 0 to `number` in as many parts as there are cores, each with its first and the one after its last."""
    parts = os.cpu_count() or 1
    return list(itertools.pairwise(round(number * place / parts) for place in range(parts + 1)))


# --- random interleavings ---


def measure_interleavings(number: int) -> list[Bar]:
    """Each process works through its share on an instance in memory; what it finds does not depend on the others."""
    shares = _shares(number)
    with multiprocessing.get_context("spawn").Pool(len(shares)) as pool:
        found = pool.starmap(_interleave, shares)
    runs, stale, uncaused = (sum(share[place] for share in found) for place in range(3))
    stories = [story for share in found for story in share[3]]
    for story in stories:
        print(story)
    print(f"interleavings: {number}, with {runs} runs that were asked for")
    return [
        Bar(f"interleavings: assets that were stale at rest, of {number} interleavings", stale, 0, False),
        Bar("interleavings: runs without a cause", uncaused, 0, False),
    ]


def _interleave(first: int, last: int) -> tuple[int, int, int, list[str]]:
    import logging

    from ft_assets_tests.interleavings import interleave
    from ft_assets_tests.tickets import task

    logging.disable(logging.CRITICAL)
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - runs log there, many thousands of them
    runs = stale = uncaused = 0
    stories = []
    with data_directory() as folder:
        (folder / "data").mkdir()
        with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
            made = task(folder, policy={"retrain": "on_change"})
            for seed in range(first, last):
                found = interleave(instance, made, folder, seed)
                runs += found.runs
                stale += len(found.stale)
                uncaused += len(found.without_cause)
                if found.stale or found.without_cause:
                    stories.append(f"seed {seed}: {found.stale} {found.without_cause} {found.story}")
    return runs, stale, uncaused, stories


# --- a running system ---


@contextmanager
def live_system() -> Iterator[tuple[LiveSystem, dg.DagsterInstance]]:
    """The small task, made once and current, with its daemon."""
    from ft_assets_tests.tiny_models import build_tiny_bert

    with data_directory() as folder:
        system = LiveSystem(folder, build_tiny_bert(folder / "tiny_bert"))
        system.begin()
        system.start()
        try:
            with system.instance() as instance:
                if system.wait_until_current(instance, 600) is None:
                    raise RuntimeError(f"it does not come to rest: {system.due(instance)}")
                yield system, instance
        finally:
            system.stop()


def measure_files(number: int) -> list[Bar]:
    """Seconds from the last byte of a new file to the start of the run that reads it."""
    waits = []
    with live_system() as (system, instance):
        draw = random.Random(0)
        for _ in range(number):
            time.sleep(draw.uniform(0, 15))  # anywhere between two ticks
            seen = {run.run_id for run in instance.get_runs()}
            dropped = system.drop().stat().st_mtime
            while not (started := _started(instance, seen)):
                time.sleep(0.2)
            waits.append(started - dropped)
            if system.wait_until_current(instance, 600) is None:
                raise RuntimeError(f"it does not come to rest: {system.due(instance)}")
    print(f"files: {_list(waits)} s from the file to the start of its run")
    return [Bar("files: new file to start of run (median)", statistics.median(waits), 40.0, False, "s")]


def _started(instance: dg.DagsterInstance, before: set[str]) -> float | None:
    for record in instance.get_run_records(limit=5):
        if record.dagster_run.run_id not in before and record.start_time:
            return record.start_time
    return None


def measure_kills(number: int) -> list[Bar]:
    """One `kill -9` after each new file, of a process of random role at a random instant; then it must come to rest.

    As many systems as cores go side by side, since most of the time is waiting for the next look of a daemon.
    """
    shares = _shares(number)
    with multiprocessing.get_context("spawn").Pool(len(shares)) as pool:
        found = pool.starmap(_kill, shares)
    kills, recovered, damaged, orphans, slots = (sum(share[place] for share in found) for place in range(5))
    waits = [wait for share in found for wait in share[5]]
    print(f"kills: current after {statistics.median(waits):.0f} s (median), {max(waits):.0f} s at most")
    return [
        Bar(f"kills: recoveries, of {kills}", recovered, kills, True),
        Bar("kills: damaged artifacts", damaged, 0, False),
        Bar("kills: orphan processes", orphans, 0, False),
        Bar("kills: held slots", slots, 0, False),
    ]


def _kill(first: int, last: int) -> tuple[int, int, int, int, int, list[float]]:
    """Kills, recoveries, damaged artifacts, orphans, held slots, and seconds until all was current again."""
    killed = recovered = damaged = orphans = slots = 0
    waits = []
    draw = random.Random(first)
    with live_system() as (system, instance):
        while killed < last - first:
            system.drop()
            role = draw.choice(["run", "worker", "daemon", "code server"])
            deadline, after = time.monotonic() + 90, draw.uniform(0, 12)
            _wait_for_a_run(instance, deadline)
            time.sleep(after)
            hit = False
            while not hit and time.monotonic() < deadline:
                time.sleep(0.2)
                hit = system.kill(role, draw)
            rest = system.wait_until_current(instance, 600)
            if not hit:  # the run was over before: no kill, and no recovery
                continue
            killed += 1
            recovered += rest is not None
            waits.append(rest or 600.0)
            slots += system.slots_held(instance)
            time.sleep(1)
            orphans += len(system.workers())
            damaged = len(system.damage())
            print(
                f"kills: {role}, {after:.1f} s after the start of the run: current after {waits[-1]:.0f} s; so far "
                f"{recovered} of {killed} recovered, {damaged} damaged, {orphans} orphans, {slots} slots held",
                flush=True,
            )
    return killed, recovered, damaged, orphans, slots, waits


def _wait_for_a_run(instance: dg.DagsterInstance, deadline: float) -> None:
    live = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    while time.monotonic() < deadline and not instance.get_runs(live):
        time.sleep(0.2)


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


if __name__ == "__main__":
    main()
