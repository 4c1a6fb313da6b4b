"""Arrow files (Feather 2 is one) and streams.

Buffers may be compressed, and 2 MB can state 20 GB: what the messages state is summed up before any of them is decoded
(`_stated`). A decoder is given that much room and no more, so a statement that is too low is an error of its own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import (
    Record,
    Refusal,
    Wanted,
    chosen,
    decoded_limit,
    decodes_to_more,
    find_columns,
    from_mappings,
)
from ft_assets.data.formats.cells import BATCH_ROWS, Budget, rows_of
from ft_assets.errors import UserError

__all__ = ["read"]

_MAGIC = b"ARROW1"
_FOOTER_END = len(_MAGIC) + 4  # the footer's length, and the magic once more

# Arrow's format/Message.fbs and File.fbs: kinds of message, places of fields in their tables, layouts of structs.
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_HEADER_KIND, _HEADER = 1, 2
_BUFFERS, _COMPRESSION = 2, 3
_DATA = 1
_BLOCKS = (2, 3)
_BUFFER, _BLOCK = struct.Struct("<qq"), struct.Struct("<qi4xq")


def read(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of an Arrow file or stream; see the package for what is yielded.

    Raises:
        UserError: The file is damaged, lacks a wanted column, or decodes to far more than its size.
    """
    limit = decoded_limit(source, path.stat().st_size)
    try:
        with pa.memory_map(str(path)) as file:
            content = file.read_buffer()
            is_file = _is_file(content, where)
            opened = pa.ipc.open_file if is_file else pa.ipc.open_stream
            schema = opened(content).schema
            names = chosen(wanted, schema.names)
            find_columns(schema.names, names, where)
            messages = _messages(content) if is_file else _streamed(content, where)
            if sum(map(_stated, messages)) > limit:
                raise decodes_to_more(limit, where)
            there = [name for name in dict.fromkeys(names) if name in schema.names]
            places = [schema.get_field_index(name) for name in there]
            reader = opened(content, options=pa.ipc.IpcReadOptions(included_fields=places))
            batches = map(reader.get_batch, range(reader.num_record_batches)) if is_file else reader
            yield from from_mappings(_rows(batches, there, Budget(limit, where)), names, where)
    except (pa.ArrowException, OSError, EOFError, struct.error, IndexError) as error:
        raise UserError(
            f"the Arrow file cannot be read ({type(error).__name__}): it is cut off or damaged",
            where=where,
            do="copy or export it again",
        ) from error


def _is_file(content: pa.Buffer, where: str) -> bool:
    """Whether it is a file with a footer, and no stream.

    Raises:
        UserError: It begins as a file, and does not end as one.
    """
    if content[: len(_MAGIC)].to_pybytes() != _MAGIC:
        return False
    if content[max(content.size - len(_MAGIC), 0) :].to_pybytes() != _MAGIC:
        raise UserError("the Arrow file has no end: it is cut off", where=where, do="copy or export it again")
    return True


def _messages(content: pa.Buffer) -> Iterator[pa.ipc.Message]:
    """The messages with data that a file's footer names: those that its reader decodes."""
    end = content.size - _FOOTER_END
    (length,) = struct.unpack("<i", content[end : end + 4].to_pybytes())
    footer = _Table.root(content[end - length : end].to_pybytes())
    for field in _BLOCKS:
        for offset, head, body in footer.structs(field, _BLOCK):
            yield pa.ipc.read_message(content[offset : offset + head + body])


def _streamed(content: pa.Buffer, where: str) -> Iterator[pa.ipc.Message]:
    """The messages of a stream.

    Raises:
        UserError: It ends without the mark that every writer puts there: pyarrow reads such a one up to its end.
    """
    source = pa.BufferReader(content)
    end = 0
    for message in pa.ipc.MessageReader.open_stream(source):
        yield message
        end = source.tell()
    if source.tell() == end:
        raise UserError(
            "the Arrow stream has no end: it is cut off, or its writer was not closed",
            where=where,
            do="copy or export it again",
        )


def _rows(
    batches: Iterable[pa.RecordBatch], there: list[str], budget: Budget
) -> Iterator[tuple[int, dict[str, Any] | Refusal, bytes | None]]:
    for batch in batches:
        columns = [_safe(batch.column(name)) for name in there]
        for first in range(0, batch.num_rows, BATCH_ROWS):
            part = [column.slice(first, BATCH_ROWS) for column in columns]
            yield from rows_of(pa.RecordBatch.from_arrays(part, there), there, budget)


_AS_BYTES = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


def _safe(column: pa.Array) -> pa.Array:
    """The column, its offsets and indices checked: those of a file can point anywhere. Texts become bytes, because
    one that is not UTF-8 is its row's matter."""
    kind = column.type
    if kind in _AS_BYTES:
        column = column.view(_AS_BYTES[kind])
    column.validate(full=True)
    return column


def _stated(message: pa.ipc.Message) -> int:
    """Bytes that the buffers of a message state: each compressed one begins with its size, or -1 for as it is."""
    table, body = _Table.root(message.metadata.to_pybytes()), message.body
    kind = table.number(_HEADER_KIND, "<B")
    if body is None or kind not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return 0
    header = table.table(_HEADER)
    batch = header.table(_DATA) if header and kind == _DICTIONARY_BATCH else header
    if batch is None or batch.place(_COMPRESSION) is None:
        return int(body.size)
    total = 0
    for offset, length in batch.structs(_BUFFERS, _BUFFER):
        if length >= 8:
            (size,) = struct.unpack("<q", body[offset : offset + 8].to_pybytes())
            total += length if size < 0 else size
    return total


class _Table:
    """A table of a flatbuffer (its verifier has seen it before, in Arrow)."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data, self.start = data, start

    @classmethod
    def root(cls, data: bytes) -> _Table:
        return cls(data, struct.unpack_from("<I", data)[0])

    def place(self, field: int) -> int | None:
        """Where a field stands, if it does."""
        fields = self.start - struct.unpack_from("<i", self.data, self.start)[0]
        slot = 4 + 2 * field
        if slot >= struct.unpack_from("<H", self.data, fields)[0]:
            return None
        offset = struct.unpack_from("<H", self.data, fields + slot)[0]
        return self.start + offset if offset else None

    def number(self, field: int, kind: str) -> int:
        place = self.place(field)
        return 0 if place is None else int(struct.unpack_from(kind, self.data, place)[0])

    def table(self, field: int) -> _Table | None:
        place = self.place(field)
        return None if place is None else _Table(self.data, place + self.number(field, "<I"))

    def structs(self, field: int, layout: struct.Struct) -> Iterator[tuple[int, ...]]:
        """The structs of a vector."""
        place = self.place(field)
        if place is None:
            return
        vector = place + self.number(field, "<I")
        count = struct.unpack_from("<I", self.data, vector)[0]
        for index in range(count):
            yield layout.unpack_from(self.data, vector + 4 + layout.size * index)
