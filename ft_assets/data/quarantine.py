"""The quarantine of a task: the refused rows of all stages as one table.

Rows that were refused as raw come without their text: nobody has looked for personal data in it. File and row say where
it stands, and the quarantine of `raw_examples` has it.
"""

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["gather"]

RAW = "raw_examples"


def gather(tables: Sequence[pa.Table]) -> pa.Table:
    """Put the stages' quarantine tables together, in the order of the stages, then of the ids.

    Args:
        tables: quarantine tables of one schema (see `ft_assets.data.examples`).
    """
    rows = pa.concat_tables([table.sort_by("example_id") for table in tables]).combine_chunks()
    text = pc.if_else(pc.equal(rows["stage"], RAW), pa.scalar(None, pa.string()), rows["text"])
    return rows.set_column(rows.schema.get_field_index("text"), "text", text)
