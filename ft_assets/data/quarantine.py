"""The quarantine of a task: the refused rows of all stages as one table, each with the file and row where it stands.

Rows that were refused as raw come without their text: nobody has looked for personal data in it. The quarantine of
`raw_examples` has it.
"""

from collections.abc import Sequence

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.examples import QUARANTINE_SCHEMA, from_polars, to_polars

__all__ = ["gather"]

RAW = "raw_examples"


def gather(tables: Sequence[pa.Table], raw: pa.Table) -> pa.Table:
    """Put the stages' quarantine tables together, in the order of the stages, then of the ids.

    Args:
        tables: quarantine tables of one schema (see `ft_assets.data.examples`).
        raw: example_id, file and row of what was read: later stages do not carry the place of a row.
    """
    rows = pa.concat_tables([table.sort_by("example_id") for table in tables])
    text = pc.if_else(pc.equal(rows["stage"], RAW), pa.scalar(None, pa.string()), rows["text"])
    frame = to_polars(rows.set_column(rows.schema.get_field_index("text"), "text", text))
    names = ["file", "row"]
    places = to_polars(raw.select(["example_id", *names]))
    places = places.filter(pl.col("example_id").is_in(frame["example_id"].implode()))
    found = frame.join(places, on="example_id", how="left", suffix="_read", maintain_order="left")
    # Where a row was refused as it was read, its own place is the only one.
    found = found.with_columns(pl.coalesce(name, f"{name}_read").alias(name) for name in names)
    return from_polars(found, QUARANTINE_SCHEMA, sort=False)
