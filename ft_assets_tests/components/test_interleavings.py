"""Changes, runs, failures, kills, cancels and restarts in random order; a thousand in `benchmarks/changes.py`."""

from pathlib import Path

import dagster as dg

from ft_assets_tests.interleavings import interleave
from ft_assets_tests.tickets import task

ON_CHANGE = {"retrain": "on_change"}


def hold(instance: dg.DagsterInstance, folder: Path, seeds: range) -> None:
    made = task(folder, policy=ON_CHANGE)
    runs = 0
    for seed in seeds:
        found = interleave(instance, made, folder, seed)
        assert found.stale == [] and found.without_cause == [], found.story
        runs += found.runs
    assert runs > len(seeds)


def test_nothing_is_stale_at_rest_and_no_run_is_without_a_cause(
    instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    hold(instance, tmp_path, range(8))


def test_the_same_on_an_instance_in_memory_which_is_quicker(project_data: Path, tmp_path: Path) -> None:
    for first in range(8, 50, 14):  # an instance in memory looks through all of its runs each time
        with dg.DagsterInstance.ephemeral(tempdir=str(tmp_path)) as instance:
            hold(instance, tmp_path, range(first, first + 14))
