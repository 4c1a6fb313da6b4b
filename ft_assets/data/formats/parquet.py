"""Parquet: read in small batches, because the sizes that a file states about itself need not be true.

A file of 2 MB can decode to 20 GB: text columns are read dictionary-encoded, so that a repeated value is held
once, and reading stops when the decoded text outgrows `_MAX_DECODED_BYTES` and `_MAX_RATIO` times the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import (
    MALFORMED,
    MAX_RECORD_CHARS,
    UNDECODABLE,
    Record,
    Refusal,
    Wanted,
    chosen,
    find_columns,
    flat,
    from_mappings,
)
from ft_assets.errors import UserError

__all__ = ["read"]

_BATCH_ROWS = 1_024
# Both must be exceeded: 2 GiB is 5 million rows of 400 bytes; 100 is ten times what prose compresses to.
_MAX_DECODED_BYTES = 2 * 2**30
_MAX_RATIO = 100


def read(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a Parquet file; see the package for what is yielded.

    Raises:
        UserError: The file is damaged, lacks a wanted column, or decodes to far more than its size.
    """
    limit = max(_MAX_DECODED_BYTES, _MAX_RATIO * path.stat().st_size)
    try:
        with pq.ParquetFile(path) as peek:
            schema, leaves = peek.schema_arrow, _text_leaves(peek.schema)
        names = chosen(wanted, schema.names)
        find_columns(schema.names, names, where)
        there = [name for name in dict.fromkeys(names) if name in schema.names]
        texts = [name for name in there if _is_text(schema.field(name).type)]
        texts += [leaf for leaf in leaves if leaf.split(".", 1)[0] in there]
        rows = _rows(path, where, there, texts, limit)
        yield from from_mappings(rows, names, where)
    except (pa.ArrowException, OSError) as error:
        raise UserError(
            f"the Parquet file cannot be read ({type(error).__name__}): it is cut off or damaged",
            where=where,
            do="copy or export it again",
        ) from error


def _rows(
    path: Path, where: str, wanted: list[str], texts: list[str], limit: int
) -> Iterator[tuple[int, dict[str, Any] | Refusal, bytes | None]]:
    number, decoded = 0, 0
    with pq.ParquetFile(path, read_dictionary=texts, memory_map=True) as file:
        for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            columns = {name: _cells(batch.column(name), name) for name in wanted}
            for index in range(batch.num_rows):
                number += 1
                row = {name: column[index] for name, column in columns.items()}
                decoded += sum(len(value) for value in row.values() if isinstance(value, str | bytes))
                if decoded > limit:
                    raise UserError(
                        f"the file decodes to more than {limit} bytes, {_MAX_RATIO} times its size and more",
                        where=f"{where}, row {number}",
                        do="check where it comes from; split it if it is meant to be that large",
                    )
                yield number, _refuse(row, number, where) or row, None


def _text_leaves(schema: pq.ParquetSchema) -> list[str]:
    """Paths of the texts inside lists and mappings."""
    leaves = [schema.column(place) for place in range(len(schema.names))]
    return [leaf.path for leaf in leaves if "." in leaf.path and leaf.logical_type.type == "STRING"]


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_binary(kind)
        or types.is_large_string(kind)
        or types.is_large_binary(kind)
    )


def _cells(column: pa.Array, name: str) -> Sequence[Any]:
    """Python values; a repeated text is one object, and what is not UTF-8 stays bytes."""
    if pa.types.is_nested(column.type):
        return _Nested(column, name)
    if not pa.types.is_dictionary(column.type):
        return _texts(column)
    values = _texts(column.dictionary)
    return [None if index is None else values[index] for index in column.indices.to_pylist()]


def _texts(values: pa.Array) -> list[Any]:
    if not _is_text(values.type):
        return list(values.to_pylist())
    data = values.cast(pa.large_binary())
    lengths = pc.binary_length(data).to_pylist()
    limit = 4 * MAX_RECORD_CHARS  # a character of UTF-8 has at most four bytes
    return [
        _TooLong() if length is not None and length > limit else _decode(value.as_py())
        for value, length in zip(data, lengths, strict=True)
    ]


@dataclass(frozen=True)
class _Nested(Sequence[Any]):
    """Lists and mappings, made one at a time: all those of a batch may be far more than the file."""

    column: pa.Array
    name: str

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: Any) -> Any:
        try:
            return flat(self.column[index].as_py(), self.name)
        except UnicodeDecodeError:
            return b""  # which text of it is broken cannot be told apart


class _TooLong:
    """Stands for a value that is not decoded."""


def _decode(value: bytes | None) -> str | bytes | None:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value


def _refuse(row: dict[str, Any], number: int, where: str) -> Refusal | None:
    for name, value in row.items():
        if isinstance(value, bytes):
            return Refusal(number, UNDECODABLE, f"{where}, row {number}: field '{name}' is not UTF-8", value)
        if isinstance(value, _TooLong):
            reason = f"{where}, row {number}: field '{name}' is longer than {MAX_RECORD_CHARS} characters"
            return Refusal(number, MALFORMED, reason, b"")
    return None
