"""Parquet: read in small batches, because the sizes that a file states about itself need not be true.

A file of 2 MB can decode to 20 GB: text columns are read dictionary-encoded, so that a repeated value is held
once, and reading stops when what is decoded outgrows the limit (`decoded_limit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import (
    Record,
    Refusal,
    Wanted,
    chosen,
    decoded_limit,
    find_columns,
    from_mappings,
)
from ft_assets.data.formats.cells import BATCH_ROWS, Budget, is_text, rows_of
from ft_assets.errors import UserError

__all__ = ["read"]


def read(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a Parquet file; see the package for what is yielded.

    Raises:
        UserError: The file is damaged, lacks a wanted column, or decodes to far more than its size.
    """
    budget = Budget(decoded_limit(source, path.stat().st_size), where)
    try:
        with pq.ParquetFile(path) as peek:
            schema, leaves = peek.schema_arrow, _text_leaves(peek.schema)
            budget.stated(peek.metadata.num_rows)
        names = chosen(wanted, schema.names)
        find_columns(schema.names, names, where)
        there = [name for name in dict.fromkeys(names) if name in schema.names]
        texts = [name for name in there if is_text(schema.field(name).type)]
        texts += [leaf for leaf in leaves if leaf.split(".", 1)[0] in there]
        rows = _rows(path, there, texts, budget)
        yield from from_mappings(rows, names, where)
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"the Parquet file cannot be read ({type(error).__name__}): it is cut off or damaged",
            where=where,
            do="copy or export it again",
        ) from error


def _rows(
    path: Path, wanted: list[str], texts: list[str], budget: Budget
) -> Iterator[tuple[int, dict[str, Any] | Refusal, bytes | None]]:
    with pq.ParquetFile(path, read_dictionary=texts, memory_map=True) as file:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=wanted):
            yield from rows_of(batch, wanted, budget)


def _text_leaves(schema: pq.ParquetSchema) -> list[str]:
    """Paths of the texts inside lists and mappings."""
    leaves = [schema.column(place) for place in range(len(schema.names))]
    return [leaf.path for leaf in leaves if "." in leaf.path and leaf.logical_type.type == "STRING"]
