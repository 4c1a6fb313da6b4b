"""The code location of this repository: every task below `defs/`."""

from pathlib import Path

import dagster as dg

from ft_assets.components.code_location import code_location


@dg.definitions
def defs() -> dg.Definitions:
    return code_location(Path(__file__).parent)
