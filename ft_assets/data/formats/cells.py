"""Columns of Arrow batches as Python values, row by row, and how much has been made of them so far.

Here: what Parquet and Arrow files share. Not here: the files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.data.formats import (
    MALFORMED,
    MAX_RECORD_CHARS,
    UNDECODABLE,
    Refusal,
    decodes_to_more,
    flat,
)

__all__ = ["BATCH_ROWS", "Budget", "is_text", "rows_of"]

BATCH_ROWS = 1_024
# A row counts for no less, as its id and its place take that much: a file of 2 MB can state a billion rows of nothing.
_LEAST_BYTES = 64


@dataclass
class Budget:
    """What a file may still decode to."""

    limit: int
    where: str
    row: int = 0
    """Rows so far."""
    decoded: int = 0
    """Bytes so far."""

    def stated(self, rows: int) -> None:
        """What the file says that it holds: too much need not be read first. (Too little is found by reading.)

        Raises:
            UserError: It is more than the file may decode to.
        """
        if rows * _LEAST_BYTES > self.limit:
            raise decodes_to_more(self.limit, self.where)

    def next_row(self, row: dict[str, Any]) -> None:
        """Count a row.

        Raises:
            UserError: It is more than the file may decode to.
        """
        self.row += 1
        size = sum(len(value) for value in row.values() if isinstance(value, str | bytes))
        self.decoded += max(_LEAST_BYTES, size)
        if self.decoded > self.limit:
            raise decodes_to_more(self.limit, f"{self.where}, row {self.row}")


def rows_of(
    batch: pa.RecordBatch, wanted: Sequence[str], budget: Budget
) -> Iterator[tuple[int, dict[str, Any] | Refusal, bytes | None]]:
    """Rows of a small batch, as `from_mappings` takes them.

    Raises:
        UserError: It is more than the file may decode to.
    """
    columns = {name: _cells(batch.column(name), name) for name in wanted}
    for index in range(batch.num_rows):
        row = {name: column[index] for name, column in columns.items()}
        budget.next_row(row)
        yield budget.row, _refuse(row, budget.row, budget.where) or row, None


def is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_string(kind)
        or types.is_binary(kind)
        or types.is_large_string(kind)
        or types.is_large_binary(kind)
    )


def _is_view(kind: pa.DataType) -> bool:
    return pa.types.is_string_view(kind) or pa.types.is_binary_view(kind)


def _cells(column: pa.Array, name: str) -> Sequence[Any]:
    """Python values; a repeated text is one object, and what is not UTF-8 stays bytes."""
    if pa.types.is_nested(column.type) or _is_view(column.type):
        return _Nested(column, name)
    if not pa.types.is_dictionary(column.type):
        return _texts(column)
    # Only what this part needs: the dictionary may be that of the whole file.
    needed = column.indices.dictionary_encode()
    values = _texts(column.dictionary.take(needed.dictionary))
    return [None if index is None else values[index] for index in needed.indices.to_pylist()]


def _texts(values: pa.Array) -> list[Any]:
    if not is_text(values.type):
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
    """Lists, mappings and views, made one at a time: all those of a batch may be far more than the file."""

    column: pa.Array
    name: str

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: Any) -> Any:
        try:
            value = self.column[index].as_py()
            return flat(_decode(value) if isinstance(value, bytes) else value, self.name)
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
