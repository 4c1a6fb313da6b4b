"""Taking files out of archives that nobody has vouched for.

Only what is asked for is written; names that lead out of the target, links and devices are refused, and so
is an archive that unpacks to far more than it is (a bomb), whatever its headers claim: bytes are counted as
they come.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from ft_assets.errors import UserError
from ft_assets.sources.cache import safe_name

__all__ = ["extract"]

# Text compresses about 5 to 20 times; what unpacks to 100 times its size, and to more than the floor, is a
# bomb.
_MAX_RATIO = 100
_FLOOR_BYTES = 256 * 1024 * 1024
_MAX_MEMBERS = 100_000
_CHUNK = 1024 * 1024


def extract(archive: Path, wanted: str, target: Path, *, strip_top: bool = False) -> None:
    """Writes one file of an archive to `target/<its name>`, or what lies in one folder of it to `target/…`.

    Args:
        archive: a zip (wheel) or a tar, plain or compressed by gzip, bzip2 or xz; told apart by its content.
        wanted: path of the file or folder in the archive.
        target: an existing directory.
        strip_top: leave the first folder out of the names, as an sdist wants it (`NAME-VERSION/…`).

    Raises:
        UserError: it is no archive, has no such member, is damaged, or is not safe to unpack.
    """
    path = safe_name(wanted)
    if path is None:
        raise UserError(f"'{wanted}' is no path inside an archive", where=archive.name)
    limit = max(_FLOOR_BYTES, archive.stat().st_size * _MAX_RATIO)
    read = _extract_zip if zipfile.is_zipfile(archive) else _extract_tar
    writer = _Writer(archive.name, path, target, strip_top, limit)
    try:
        read(archive, writer)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise UserError(
            f"{archive.name} cannot be unpacked: it is damaged, or no zip or tar archive ({error})",
            where=str(archive),
            do="check the path in the source; if it is right, the archive was published damaged",
        ) from error
    except (RuntimeError, NotImplementedError) as error:  # a zip with a password, or an unknown compression
        raise UserError(f"{archive.name} cannot be unpacked: {error}", where=str(archive)) from error
    writer.finish()


class _Writer:
    """Decides about each member and writes the wanted ones."""

    def __init__(self, name: str, wanted: PurePosixPath, target: Path, strip_top: bool, limit: int) -> None:
        self.name = name
        self.wanted = wanted
        self.target = target
        self.strip_top = strip_top
        self.limit = limit
        self.written = 0
        self.members = 0
        self.names: set[PurePosixPath] = set()
        self.seen: list[str] = []

    def place(self, member: str) -> PurePosixPath | None:
        """Where a member is to be written, relative to the target; None if it is not wanted."""
        self.members += 1
        if self.members > _MAX_MEMBERS:
            raise self.unsafe(f"it has more than {_MAX_MEMBERS:,} members")
        parts = PurePosixPath(member).parts
        path = PurePosixPath(*parts[1:]) if self.strip_top else PurePosixPath(*parts)
        self.seen.append(path.as_posix())
        if path == self.wanted:
            place = PurePosixPath(path.name)
        elif path.parts[: len(self.wanted.parts)] == self.wanted.parts:
            place = path.relative_to(self.wanted)
        else:
            return None
        if safe_name(member) is None:
            raise self.unsafe(f"a member's name leads out of it: {member!r}")
        if place in self.names:
            raise self.unsafe(f"it has two members named {member!r}")
        self.names.add(place)
        return place

    def write(self, place: PurePosixPath, source: IO[bytes]) -> None:
        path = self.target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("xb") as file:
            while chunk := source.read(_CHUNK):
                self.count(len(chunk))
                file.write(chunk)

    def count(self, size: int) -> None:
        self.written += size
        if self.written > self.limit:
            raise self.unsafe(f"it unpacks to more than {self.limit / 1e6:,.0f} MB, far more than its size")

    def unsafe(self, reason: str) -> UserError:
        return UserError(
            f"{self.name} is not unpacked: {reason}", do="use another source; do not trust this one"
        )

    def finish(self) -> None:
        if not self.names:
            last = self.wanted.name.lower()
            alike = [name for name in self.seen if last in name.lower()][:5] or sorted(self.seen)[:5]
            raise UserError(
                f"{self.name} has no '{self.wanted}'",
                where=f"{len(self.seen)} members, such as {', '.join(alike) or 'none'}",
                do="correct the path after the package's name",
            )


def _extract_zip(archive: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(archive) as zip_file:
        for info in zip_file.infolist():
            place = None if info.is_dir() else writer.place(info.filename)
            if place is None:
                continue
            kind = (info.external_attr >> 16) & 0o170000
            if kind not in (0, 0o100000):
                raise writer.unsafe(f"{info.filename!r} is a link or a device")
            with zip_file.open(info) as source:
                writer.write(place, source)


def _extract_tar(archive: Path, writer: _Writer) -> None:
    # A stream: the headers are read once, in order, and every byte that is unpacked is counted on the way.
    with _decompressed(archive) as stream:
        counted = _Counted(stream, writer)
        with tarfile.open(fileobj=counted, mode="r|") as tar:  # type: ignore[call-overload]
            for member in tar:
                _extract_member(tar, member, writer)
        while counted.read(_CHUNK):  # to the end, where the checksum stands
            pass


def _extract_member(tar: tarfile.TarFile, member: tarfile.TarInfo, writer: _Writer) -> None:
    place = None if member.isdir() else writer.place(member.name)
    if place is None:
        return
    source = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    if source is None:
        raise writer.unsafe(f"{member.name!r} is a link or a device")
    path = writer.target / place
    path.parent.mkdir(parents=True, exist_ok=True)
    with source, path.open("xb") as file:
        shutil.copyfileobj(source, file, _CHUNK)


class _Counted:
    """A stream that counts what is read from it against the writer's limit."""

    def __init__(self, stream: Any, writer: _Writer) -> None:
        self.stream = stream
        self.writer = writer

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.writer.count(len(data))
        return data


@contextmanager
def _decompressed(archive: Path) -> Iterator[Any]:
    with archive.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        if magic.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=file) as stream:
                yield stream
        elif magic.startswith(b"BZh"):
            with bz2.BZ2File(file) as stream:
                yield stream
        elif magic.startswith(b"\xfd7zXZ\x00"):
            with lzma.LZMAFile(file) as stream:
                yield stream
        else:
            yield file
