"""The code location: every task below `defs/`."""

from pathlib import Path

import dagster as dg

from ft_assets.components.dead_runs import sensor as end_dead_runs


@dg.definitions
def defs() -> dg.Definitions:
    tree = dg.ComponentTree.for_project(Path(__file__).parent)
    return dg.Definitions.merge(
        # `load_from_defs_folder` would also describe every component type of the environment, for a page of
        # the UI that documents them: a quarter of a second at each load.
        tree.build_defs(Path()),
        # A step costs 0.4 s in process and 4 s spawned; the heavy work is in the worker's own process anyway.
        dg.Definitions(executor=dg.in_process_executor, sensors=[end_dead_runs], component_tree=tree),
    )
