"""Where published artifacts lie: a local file system, or any fsspec URL with a local copy for reading.

Each backend knows how to make a staged directory visible at once, and how to read it back; the rules of the
store (verify, set aside, first committed wins) are in `ft_assets.artifacts.store`, the same for both. Names
here are relative to the store's root, with forward slashes.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import posixpath
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ft_assets.artifacts.artifact import MANIFEST, damages, parse_manifest
from ft_assets.disk import make_directory, sync, sync_tree, write_synced
from ft_assets.versions import canonical_json, hash_json

__all__ = ["Backend", "Found", "LocalBackend", "RemoteBackend", "make_backend"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What lies at a place: the local directory, its manifest, and what does not match it."""

    path: Path
    manifest: Mapping[str, Any]
    problems: list[str]


class Backend(Protocol):
    """A place for artifacts."""

    where: str
    """The root, as a person knows it."""
    work: Path
    """A local directory for staging and locks."""

    def load(self, name: str) -> Found | None:
        """The artifact at `name`, verified; None if there is nothing."""

    def publish(self, staged: Path, name: str, manifest: Mapping[str, Any]) -> Path | None:
        """Makes a staged directory appear at `name`, whole or not at all; None if something is there
        already."""

    def move(self, name: str, target: str) -> None:
        """Moves an artifact out of the way."""

    def keep(self, staged: Path, name: str) -> Path:
        """Puts a directory that is no artifact (refused) at `name`; gives a local path to look at."""

    def read(self, name: str) -> bytes | None:
        """A small file, None if there is none."""

    def write_new(self, name: str, data: bytes) -> bool:
        """Writes a small file; False if it was there already, which then stays as it was."""

    def remove(self, name: str) -> None:
        """Removes a small file."""

    def has(self, name: str) -> bool:
        """Whether a file is there; True where looking is not cheap."""


def make_backend(root: str | Path, cache: Path | None) -> Backend:
    """The backend for a local path or an fsspec URL.

    Raises:
        ValueError: a URL without a local cache directory to read through.
    """
    text = str(root)
    protocol, separator, rest = text.partition("://")
    if not separator:
        return LocalBackend(Path(text).expanduser().absolute())
    if protocol in ("file", "local"):
        return LocalBackend(Path(rest))
    if cache is None:
        raise ValueError(f"a store at {text} needs a local cache directory")
    return RemoteBackend(text, cache / "store" / hash_json(text)[:16])


class LocalBackend:
    """A directory on a local (or network) file system with atomic rename."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.where = str(root)
        self.work = root

    def load(self, name: str) -> Found | None:
        path = self.root / name
        if not path.is_dir():
            return None
        manifest = parse_manifest(self.read(f"{name}/{MANIFEST}"))
        return Found(path, manifest or {}, damages(path, manifest))

    def publish(self, staged: Path, name: str, manifest: Mapping[str, Any]) -> Path | None:
        target = self.root / name
        if target.exists():
            return None
        sync_tree(staged)
        write_synced(staged / MANIFEST, _readable(manifest))
        sync(staged)
        make_directory(target.parent)
        try:
            staged.rename(target)  # the commit; fails where another host was faster
        except OSError:
            if target.is_dir():
                return None
            raise
        sync(target.parent)
        return target

    def move(self, name: str, target: str) -> None:
        destination = self.root / target
        make_directory(destination.parent)
        (self.root / name).rename(destination)
        sync(destination.parent)
        sync((self.root / name).parent)

    def keep(self, staged: Path, name: str) -> Path:
        sync_tree(staged)
        target = self.root / name
        make_directory(target.parent)
        staged.rename(target)
        sync(target.parent)
        return target

    def read(self, name: str) -> bytes | None:
        try:
            return (self.root / name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write_new(self, name: str, data: bytes) -> bool:
        target = self.root / name
        make_directory(target.parent)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        try:
            write_synced(draft, data)
            _link(draft, target)
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        sync(target.parent)
        return True

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()


class RemoteBackend:
    """An object store behind fsspec. The manifest is written last and is the commit.

    Each attempt uploads below a prefix of its own, which its manifest names: two writers of the same data
    version never mix their files. What is read is copied to a local directory first and verified there.
    Locks are those of this machine; where two machines build the same thing, both finish and the first to
    commit wins.
    """

    def __init__(self, url: str, copies: Path) -> None:
        import fsspec

        self.where = url
        self.work = copies
        self.fs, root = fsspec.url_to_fs(url)
        self.root = root.rstrip("/")

    def load(self, name: str) -> Found | None:
        data = self.read(f"{name}/{MANIFEST}")
        if data is None:
            return None
        manifest = parse_manifest(data)
        if manifest is None:
            return Found(self.work / name, {}, damages(self.work / name, None))
        copy = self.work / name
        if not self._is_copy(copy, manifest):
            self._download(name, manifest, copy)
        return Found(copy, manifest, damages(copy, manifest))

    def publish(self, staged: Path, name: str, manifest: Mapping[str, Any]) -> Path | None:
        if self.read(f"{name}/{MANIFEST}") is not None:
            return None
        manifest = {**manifest, "prefix": f"files-{uuid.uuid4().hex[:12]}"}
        for file in manifest["files"]:
            self._upload(staged / file, f"{name}/{manifest['prefix']}/{file}")
        if not self.write_new(f"{name}/{MANIFEST}", _readable(manifest)):
            return None
        (staged / MANIFEST).write_bytes(_readable(manifest))
        return _replace_directory(staged, self.work / name)

    def move(self, name: str, target: str) -> None:
        self.fs.mv(self._path(name), self._path(target), recursive=True)
        shutil.rmtree(self.work / name, ignore_errors=True)

    def keep(self, staged: Path, name: str) -> Path:
        for file in sorted(path for path in staged.rglob("*") if path.is_file()):
            self._upload(file, f"{name}/{file.relative_to(staged).as_posix()}")
        return _replace_directory(staged, self.work / name)

    def read(self, name: str) -> bytes | None:
        self.fs.invalidate_cache()
        try:
            return self.fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None

    def write_new(self, name: str, data: bytes) -> bool:
        path = self._path(name)
        self.fs.makedirs(posixpath.dirname(path), exist_ok=True)
        try:
            self.fs.pipe_file(path, data, mode="create")
        except FileExistsError:
            return False
        except (TypeError, ValueError, NotImplementedError):  # no exclusive create there: look, then write
            if self.fs.exists(path):
                return False
            self.fs.pipe_file(path, data)
        return True

    def remove(self, name: str) -> None:
        if self.fs.exists(self._path(name)):
            self.fs.rm_file(self._path(name))

    def has(self, name: str) -> bool:
        return True

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _upload(self, file: Path, name: str) -> None:
        path = self._path(name)
        self.fs.makedirs(posixpath.dirname(path), exist_ok=True)
        self.fs.put_file(str(file), path)

    @staticmethod
    def _is_copy(copy: Path, manifest: Mapping[str, Any]) -> bool:
        """Whether the local copy is of this commit and still whole."""
        path = copy / MANIFEST
        mine = parse_manifest(path.read_bytes()) if path.is_file() else None
        return (
            mine is not None
            and canonical_json(mine) == canonical_json(manifest)
            and not damages(copy, manifest)
        )

    def _download(self, name: str, manifest: Mapping[str, Any], copy: Path) -> None:
        draft = self.work / ".staging" / f"download-{uuid.uuid4().hex}"
        draft.mkdir(parents=True)
        try:
            for file in manifest["files"]:
                (draft / file).parent.mkdir(parents=True, exist_ok=True)
                try:
                    self.fs.get_file(self._path(f"{name}/{manifest.get('prefix')}/{file}"), str(draft / file))
                except FileNotFoundError:
                    log.warning("%s/%s: %s is missing", self.where, name, file)
            (draft / MANIFEST).write_bytes(_readable(manifest))
            _replace_directory(draft, copy)
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _link(draft: Path, target: Path) -> None:
    """Gives a file its name; unlike a rename this fails if the name is taken."""
    try:
        os.link(draft, target)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS):
            raise
        # A file system without hard links: the asset's lock makes looking and renaming one act.
        if target.exists():
            raise FileExistsError(target) from error
        draft.rename(target)


def _replace_directory(source: Path, target: Path) -> Path:
    """Puts a directory in the place of a local copy; the last of several at once stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            source.rename(target)
            return target
        except OSError:
            if not target.is_dir():
                raise
            shutil.rmtree(target, ignore_errors=True)


def _readable(manifest: Mapping[str, Any]) -> bytes:
    return (json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()
