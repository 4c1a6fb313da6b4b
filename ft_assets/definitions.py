"""The code location: every task below `defs/`."""

from pathlib import Path

import dagster as dg

from ft_assets.components.dead_runs import sensor as end_dead_runs


@dg.definitions
def defs() -> dg.Definitions:
    return dg.Definitions.merge(
        dg.load_from_defs_folder(path_within_project=Path(__file__).parent),
        # A step costs 0.4 s in process and 4 s spawned; the heavy work is in the worker's own process anyway.
        dg.Definitions(executor=dg.in_process_executor, sensors=[end_dead_runs]),
    )
