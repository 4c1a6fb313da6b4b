"""GGUF files: what the header says about the rest, read without trusting it.

llama.cpp's format for a model in one file (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): pairs of keys
and values, a table of tensors, the tensors. The `gguf` library reads it, too, but takes seconds for the vocabulary of
a small model, and does not end on some damaged lengths. Here every length is held against the size of the file.
"""

from __future__ import annotations

import mmap
import struct
from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

__all__ = ["GgufHeader", "gguf_version", "read_header"]

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Number of a value's type → its `struct` format."""
_MOST_DIMENSIONS = 8  # ggml has four


@dataclass(frozen=True)
class GgufHeader:
    """What a GGUF file says about itself."""

    version: int
    values: dict[str, Any]
    """Strings and numbers by key (`general.architecture`, …); arrays, such as the vocabulary, are left out."""
    elements: dict[str, int]
    """Numbers in all tensors together, by the type that they are stored in (`Q4_1`, `F32`, …)."""
    size: int
    """Bytes that the file must have at least."""

    @property
    def quantization(self) -> str:
        """The type that most numbers are stored in; `none` of a file without tensors."""
        return max(self.elements, key=lambda name: self.elements[name], default="none")


def gguf_version(path: Path) -> int:
    """The version of the format that a file is in. Reads eight bytes.

    Raises:
        ValueError: it is no GGUF file, or one of another version than 2 and 3; says what it is.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if start[:4] != _MAGIC or len(start) < 8:
        raise ValueError("is no GGUF file" if start else "is empty")
    version = int.from_bytes(start[4:], "little")
    if version not in _VERSIONS:
        kind = "big-endian" if version & 0xFFFF == 0 else f"of version {version}"
        raise ValueError(f"is a GGUF file {kind}; little-endian ones of version 2 and 3 are read")
    return version


def read_header(path: Path) -> GgufHeader:
    """Reads the header; the tensors are not looked at. 0.2 s for a vocabulary of 50,000.

    Raises:
        ValueError: it is no GGUF file, or ends within its header, or the header makes no sense; says what it is.
    """
    version = gguf_version(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data)
        reader.position = 8
        tensors, pairs = reader.number("Q"), reader.number("Q")
        values: dict[str, Any] = {}
        for _ in range(pairs):
            key = reader.text()
            value = reader.value(reader.number("I"))
            if value is not None:
                values[key] = value
        table = [reader.tensor() for _ in range(tensors)]
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"has a damaged header: an alignment of {alignment}")
        start = -(-reader.position // alignment) * alignment
    elements: Counter[str] = Counter()
    size = reader.position
    for name, count, bytes_, offset in table:
        elements[name] += count
        size = max(size, start + offset + bytes_)
    return GgufHeader(version, values, dict(elements), size)


class _Reader:
    """Takes values one after the other, and none from beyond the end."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data = data
        self.position = 0

    def skip(self, size: int) -> int:
        """Goes on by so many bytes; returns where it was."""
        before, self.position = self.position, self.position + size
        if self.position > len(self.data):
            raise ValueError("is cut off: it ends within its header")
        return before

    def number(self, form: str) -> Any:
        form = f"<{form}"
        return struct.unpack_from(form, self.data, self.skip(struct.calcsize(form)))[0]

    def text(self) -> str:
        size = self.number("Q")
        start = self.skip(size)
        try:
            return self.data[start : start + size].decode()
        except UnicodeDecodeError as error:
            raise ValueError("has a damaged header: a name is no UTF-8") from error

    def value(self, kind: int) -> Any:
        """A string or a number; None for an array."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind == _STRING:
            return self.text()
        if kind != _ARRAY:
            raise ValueError(f"has a damaged header: a value of the unknown type {kind}")
        kind, count = self.number("I"), self.number("Q")
        if kind in _SCALARS:
            self.skip(count * struct.calcsize(f"<{_SCALARS[kind]}"))
        elif kind == _STRING:
            for _ in range(count):  # each takes eight bytes at least: it ends
                self.skip(self.number("Q"))
        else:
            raise ValueError(f"has a header that is not understood: an array of values of type {kind}")
        return None

    def tensor(self) -> tuple[str, int, int, int]:
        """Of one tensor its type, how many numbers and bytes it has, and where it begins."""
        from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

        name, dimensions = self.text(), self.number("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"has a damaged header: {name!r} has {dimensions} dimensions")
        count = prod(self.number("Q") for _ in range(dimensions))
        number, offset = self.number("I"), self.number("Q")
        try:
            kind = GGMLQuantizationType(number)
            in_block, block_bytes = GGML_QUANT_SIZES[kind]
        except (ValueError, KeyError) as error:
            raise ValueError(f"has tensors of type {number}, which the gguf library does not know") from error
        return kind.name, count, count // in_block * block_bytes, offset
