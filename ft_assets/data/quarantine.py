"""The quarantine of a task: the refused rows of all stages as one table."""

from collections.abc import Sequence

import pyarrow as pa

__all__ = ["gather"]


def gather(tables: Sequence[pa.Table]) -> pa.Table:
    """Put the stages' quarantine tables together, in the order of the stages, then of the ids.

    Args:
        tables: quarantine tables of one schema (see `ft_assets.data.examples`).
    """
    return pa.concat_tables([table.sort_by("example_id") for table in tables]).combine_chunks()
