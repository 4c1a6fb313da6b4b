"""gzip and zstd around a file of any format: told by ending and first bytes, unpacked whole before a row is read.

A file that is cut off or damaged, or decodes to far more than its size, is so refused before anything is made of it;
and every format, those that need random access as well, reads plain files alone. Not here: the formats.
"""

from __future__ import annotations

import gzip
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Literal

import pyarrow as pa

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import decoded_limit, decodes_to_more
from ft_assets.disk import is_out_of_room
from ft_assets.errors import UserError

__all__ = ["NoRoom", "unpacked", "without_ending"]


class NoRoom(UserError):
    """The disk is full: nothing is wrong with the file."""


Packing = Literal["gzip", "zstd"]

_ENDINGS: dict[str, Packing] = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd"}
# A zstd file may begin with a frame that is to be skipped: pzstd writes the sizes of the others there.
_MAGIC: dict[bytes, Packing] = {rb"\x1f\x8b": "gzip", rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18": "zstd"}
_CHUNK_BYTES = 1 << 20


def without_ending(name: str) -> str:
    """The name without the ending of a packed file: `a.csv` of `a.csv.gz`."""
    suffix = PurePosixPath(name).suffix
    return name[: -len(suffix)] if suffix.lower() in _ENDINGS else name


@contextmanager
def unpacked(path: Path, name: str, source: SourceConfig) -> Iterator[Path]:
    """The file itself, or its content unpacked: a temporary file without a name, so that no copy can be left behind.

    Where the source says the format, first bytes alone decide; else the ending has to agree with them.

    Raises:
        UserError: Ending and content disagree, the file is cut off or damaged, or it decodes to more than the source
            allows.
        NoRoom: There is no room for the temporary file.
    """
    said = _ENDINGS.get(PurePosixPath(name).suffix.lower())
    found = _packing(path)
    if said is not None and found != said:
        raise UserError(
            f"expected {said}, but it looks like {f'a {found} file' if found else 'something else'}",
            where=name,
            do="give it the ending of what it is, or copy it again",
        )
    if found is None or (said is None and source.format is None):
        yield path
        return
    with tempfile.TemporaryFile() as plain:
        _unpack(path, found, plain, name, decoded_limit(source, path.stat().st_size))
        yield Path(f"/proc/self/fd/{plain.fileno()}")


def _packing(path: Path) -> Packing | None:
    with path.open("rb") as file:
        head = file.read(4)
    return next((packing for magic, packing in _MAGIC.items() if re.match(magic, head)), None)


def _unpack(path: Path, packing: Packing, plain: IO[bytes], name: str, limit: int) -> None:
    decoded = 0
    # Opened by Python, whose errors of the disk are not those of the content.
    with path.open("rb") as packed, _opened(packed, packing) as content:
        while chunk := _next(content, packing, name):
            decoded += len(chunk)
            if decoded > limit:
                raise decodes_to_more(limit, name)
            try:
                plain.write(chunk)
            except OSError as error:
                if not is_out_of_room(error):
                    raise
                raise NoRoom(
                    "no room left to unpack it",
                    where=f"{name}, into {tempfile.gettempdir()}",
                    do="make room there, or let TMPDIR name a larger disk",
                ) from error
    plain.flush()


def _opened(packed: BinaryIO, packing: Packing) -> gzip.GzipFile | pa.CompressedInputStream:
    # Python's gzip passes over zeros after the end, as tapes leave them; that of Arrow takes them for damage.
    if packing == "gzip":
        return gzip.GzipFile(fileobj=packed)
    return pa.CompressedInputStream(pa.PythonFile(packed, "r"), packing)


def _next(content: gzip.GzipFile | pa.CompressedInputStream, packing: Packing, name: str) -> bytes:
    try:
        return content.read(_CHUNK_BYTES)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        raise UserError(
            f"the {packing} file cannot be unpacked: it is cut off or damaged",
            where=name,
            do="copy or export it again",
        ) from error
