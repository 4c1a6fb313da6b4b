"""What the ledger knows rows by: numbers of fixed width, made of hashes, so that millions of them fit into memory.

- a text: the first 128 bits of SHA-256 of the normalised text (`text_key` of the cleaned rows);
- a row: the 64 bits of its `example_id`, which stay the same when cleaning gives another text;
- a group: 128 bits of BLAKE2b, keyed by the ledger's id. Groups are the user's words and may name people, so nobody
  should be able to look one up in a list of hashes of names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

__all__ = [
    "GROUP",
    "ROW",
    "TEXT",
    "example_keys",
    "group_keys",
    "halves",
    "numbers",
    "text_keys",
    "to_binary",
]

TEXT = pl.Int128
ROW = pl.UInt64
GROUP = pl.Int128
# Keys are worked on in slices: as strings they take ten times the room.
_SLICE = 500_000


def text_keys(column: pa.ChunkedArray) -> pl.Series:
    """The `text_key` column as numbers; a key that is no 32 hex digits is hashed as the text that it is."""
    return _numbers_of(column, 16, TEXT)


def example_keys(column: pa.ChunkedArray) -> pl.Series:
    """The `example_id` column as numbers; an id that is no 16 hex digits is hashed."""
    return _numbers_of(column, 8, ROW)


def group_keys(column: pa.ChunkedArray, ledger_id: str) -> pl.Series:
    """The `group` column as keyed hashes; null where a row has no group."""
    codes = column.combine_chunks().dictionary_encode()
    secret = bytes.fromhex(ledger_id)
    hashes = [
        None if name is None else hashlib.blake2b(name.encode(), digest_size=16, key=secret).digest()
        for name in codes.dictionary.to_pylist()
    ]
    known = numbers(pl.Series(hashes, dtype=pl.Binary), GROUP)
    return known.gather(pl.Series(codes.indices, dtype=pl.UInt32))


def numbers(values: pl.Series, kind: pl.DataType | type[pl.DataType]) -> pl.Series:
    """Binary values as wide as the kind of number, as numbers: the first byte counts most."""
    return values.bin.reinterpret(dtype=kind, endianness="big")


def halves(values: pl.Series) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """The first and the last 64 bits of 128; zeros for null."""
    values = values.fill_null(0)
    low = values & (2**64 - 1)
    high = (values - low) // 2**64
    return high.cast(pl.Int64).to_numpy().view(np.uint64), low.cast(pl.UInt64).to_numpy()


def to_binary(values: pl.Series) -> pa.Array:
    """Numbers as binary values of their width; `numbers` turns them back."""
    if values.dtype == pl.UInt64:
        words = values.fill_null(0).to_numpy().astype(">u8")
        width = 8
    else:
        words = np.column_stack(halves(values)).astype(">u8")
        width = 16
    missing = values.is_null()
    valid = pa.array((~missing).to_numpy(), pa.bool_()).buffers()[1] if missing.any() else None
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(values), [valid, pa.py_buffer(words.tobytes())]
    )


def _numbers_of(column: pa.ChunkedArray, width: int, kind: pl.DataType | type[pl.DataType]) -> pl.Series:
    parts = [
        numbers(_digests(pl.Series(column.slice(start, _SLICE), dtype=pl.String), width), kind)
        for start in range(0, len(column), _SLICE)
    ]
    return pl.concat(parts) if parts else pl.Series(dtype=kind)


def _digests(values: pl.Series, width: int) -> pl.Series:
    """The bytes that hex digits say; SHA-256 of everything else."""
    is_hash = values.str.contains(rf"^[0-9a-f]{{{2 * width}}}$")
    if is_hash.all():
        return values.str.decode("hex")
    hashed: Iterable[str] = (
        value if fine else hashlib.sha256(value.encode()).hexdigest()[: 2 * width]
        for value, fine in zip(values, is_hash, strict=True)
    )
    return pl.Series(hashed, dtype=pl.String).str.decode("hex")
