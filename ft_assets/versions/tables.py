"""Versions of tables: what the rows say, whatever way they are stored."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ft_assets.versions.plain import hash_json

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["table_version", "tables_version"]


def tables_version(tables: Mapping[str, pa.Table]) -> str:
    """The data version of several named tables; the order in which they are given does not matter."""
    return hash_json({name: table_version(table) for name, table in tables.items()})


def table_version(table: pa.Table) -> str:
    """The data version of a table: what its rows say, not how they are stored.

    Equal for another Parquet encoding, chunking, slicing, dictionary, large or view types, column order and
    schema metadata. Different for another row order, column name or logical type, and for null against empty.
    Floats are compared bit by bit.

    Raises:
        TypeError: a column of a type that has no canonical form here (unions, intervals).
    """
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if name in columns:
            raise TypeError(f"two columns are named '{name}'")
        hasher = _hasher(column.type)
        for chunk in column.chunks:
            hasher.update(chunk)
        columns[name] = hasher.digest()
    return hash_json({"rows": table.num_rows, "columns": columns})


class _FixedWidth:
    """Numbers, dates, times, decimals and booleans: validity and values, each as one stream of bytes."""

    def __init__(self, type_: pa.DataType) -> None:
        self.name = str(type_)
        self.valid = hashlib.sha256()
        self.values = hashlib.sha256()

    def update(self, array: pa.Array) -> None:
        import pyarrow as pa

        self.valid.update(_valid(array))
        if pa.types.is_boolean(array.type):
            array = array.cast(pa.uint8())
        width = array.type.bit_width // 8
        if array.null_count:
            zero = b"\0" * width if pa.types.is_fixed_size_binary(array.type) else 0
            array = array.fill_null(pa.scalar(zero, array.type))
        data = array.buffers()[1]
        if data is not None:
            self.values.update(memoryview(data)[array.offset * width : (array.offset + len(array)) * width])

    def digest(self) -> list[Any]:
        return [self.name, self.valid.hexdigest(), self.values.hexdigest()]


class _Bytes:
    """Strings and binaries: the lengths (null is -1) and the concatenated bytes."""

    def __init__(self, type_: pa.DataType) -> None:
        import pyarrow as pa

        self.is_text = (
            pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_)
        )
        self.lengths = hashlib.sha256()
        self.values = hashlib.sha256()

    def update(self, array: pa.Array) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        array = array.cast(pa.large_string() if self.is_text else pa.large_binary())
        lengths = pc.binary_length(array).fill_null(-1)
        self.lengths.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        # A null's slot may hold bytes that nobody sees.
        array = array.fill_null("" if self.is_text else b"")
        _, offsets, data = array.buffers()
        if data is not None and len(array):
            bounds = memoryview(offsets).cast("q")
            self.values.update(memoryview(data)[bounds[array.offset] : bounds[array.offset + len(array)]])

    def digest(self) -> list[Any]:
        return ["string" if self.is_text else "binary", self.lengths.hexdigest(), self.values.hexdigest()]


class _List:
    """Lists and maps: the lengths (null is -1) and the items."""

    def __init__(self, type_: pa.DataType) -> None:
        self.lengths = hashlib.sha256()
        self.items = _hasher(type_.value_type)

    def update(self, array: pa.Array) -> None:
        import pyarrow.compute as pc

        lengths = pc.list_value_length(array).cast("int64").fill_null(-1)
        self.lengths.update(lengths.to_numpy(zero_copy_only=False).astype("<i8").tobytes())
        self.items.update(array.flatten())

    def digest(self) -> list[Any]:
        return ["list", self.lengths.hexdigest(), self.items.digest()]


class _Struct:
    """Structs: validity and each field."""

    def __init__(self, type_: pa.DataType) -> None:
        fields = [type_.field(i) for i in range(type_.num_fields)]
        self.valid = hashlib.sha256()
        self.fields = [(field.name, _hasher(field.type)) for field in fields]

    def update(self, array: pa.Array) -> None:
        self.valid.update(_valid(array))
        for (_, hasher), values in zip(self.fields, array.flatten(), strict=True):
            hasher.update(values)

    def digest(self) -> list[Any]:
        fields = [[name, hasher.digest()] for name, hasher in self.fields]
        return ["struct", self.valid.hexdigest(), sorted(fields, key=lambda field: field[0])]


class _Cast:
    """Types that say the same as another one: dictionaries, seconds (Parquet has none), extension types."""

    def __init__(self, inner: Any, convert: Callable[[pa.Array], pa.Array]) -> None:
        self.inner = inner
        self.convert = convert

    def update(self, array: pa.Array) -> None:
        self.inner.update(self.convert(array))

    def digest(self) -> list[Any]:
        return self.inner.digest()


def _hasher(type_: pa.DataType) -> Any:
    """The hasher of a column of this type. It is fed chunk by chunk, so chunking leaves no trace."""
    import pyarrow as pa

    is_ = pa.types
    result: Any
    if is_.is_dictionary(type_):
        result = _Cast(_hasher(type_.value_type), lambda array: array.dictionary_decode())
    elif isinstance(type_, pa.BaseExtensionType):
        result = _Cast(_hasher(type_.storage_type), lambda array: array.storage)
    elif is_.is_timestamp(type_) and type_.unit == "s":
        millis = pa.timestamp("ms", type_.tz)
        result = _Cast(_hasher(millis), lambda array: array.cast(millis))
    elif is_.is_map(type_):
        pairs = pa.list_(pa.struct([("key", type_.key_type), ("value", type_.item_type)]))
        result = _Cast(_hasher(pairs), lambda array: array.cast(pairs))
    elif is_.is_list(type_) or is_.is_large_list(type_) or is_.is_fixed_size_list(type_):
        result = _List(type_)
    elif is_.is_struct(type_):
        result = _Struct(type_)
    elif _is_variable_bytes(type_):
        result = _Bytes(type_)
    elif is_.is_null(type_) or is_.is_interval(type_) or is_.is_nested(type_):
        if not is_.is_null(type_):
            raise TypeError(f"a column of type {type_} cannot be versioned")
        result = _Cast(_FixedWidth(pa.null()), lambda array: pa.nulls(len(array), pa.int8()))
    else:
        result = _FixedWidth(type_)
    return result


def _is_variable_bytes(type_: pa.DataType) -> bool:
    import pyarrow as pa

    is_ = pa.types
    texts = is_.is_string(type_) or is_.is_large_string(type_) or is_.is_string_view(type_)
    return texts or is_.is_binary(type_) or is_.is_large_binary(type_) or is_.is_binary_view(type_)


def _valid(array: pa.Array) -> bytes:
    return array.is_valid().to_numpy(zero_copy_only=False).tobytes()
