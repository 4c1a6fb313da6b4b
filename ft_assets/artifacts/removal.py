"""Taking things out of a store on a file system: by one process at a time, and never under a builder's hands.

Here: how a folder goes so that no reader finds half of it, and the locks. What goes is for others to decide
(`ft_assets.removal`).

A builder takes the lock of what it builds and then looks for a removal; a removal takes its own lock and then
looks for builders. So neither can miss the other, and neither waits for the other while it holds its own.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ft_assets.artifacts.artifact import MANIFEST, RESERVED, check_name, check_version
from ft_assets.artifacts.staging import remove_abandoned
from ft_assets.disk import flock, make_directory, release, room, size_of, sync, try_flock, write_synced
from ft_assets.errors import UserError

__all__ = ["RETIRED_NOTE", "Removal", "removal_under_way", "wait_for_removal"]

RETIRED_NOTE = "retired.json"
_TRASH = ".trash-"
_PATIENCE = 2
"""Calls of `on_wait`, about ten seconds apart, after which another removal is not waited for any longer."""


def removal_under_way(work: Path) -> bool:
    """Whether a process is removing things from the store with this folder of locks."""
    path = _gate(work)
    if not path.exists():
        return False
    descriptor = try_flock(path)
    if descriptor is None:
        return True
    release(path, descriptor)
    return False


def wait_for_removal(work: Path, on_wait: Callable[[], None] | None = None) -> None:
    """Wait until the removal is over; `on_wait` is called now and then, and may raise to give up."""
    with flock(_gate(work), on_wait):
        pass


class Removal:
    """What removes folders from a store, one process at a time; made by `Removal.begin`.

    Args:
        root: the store's folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    @contextmanager
    def begin(cls, root: Path) -> Iterator[Removal]:
        """Keeps new builds, and other removals, waiting as long as the block lasts.

        Raises:
            UserError: another removal is at work, and has been for some time; or the disk is full.
        """
        waited = 0

        def waiting() -> None:
            nonlocal waited
            waited += 1
            if waited > _PATIENCE:
                raise UserError(
                    "another process is removing things from this store",
                    where=str(root),
                    do="wait until it has ended, and try again",
                )

        with room("the lock of the store", root), flock(_gate(root), waiting):
            yield cls(root)

    def builders(self) -> set[str]:
        """Tasks that some process of this machine is building, by the locks that it holds."""
        found = set()
        for path in [*(self.root / ".locks").glob("*.*.*.lock"), *(self.root / ".staging").glob("*.lock")]:
            descriptor = try_flock(path)
            if descriptor is None:
                found.add(path.name.partition(".")[0])
            else:
                release(path, descriptor)
        return found

    def tidy(self) -> int:
        """Finish what a killed removal or a killed build has left; gives the bytes freed."""
        freed = 0
        for folder in sorted(self.root.glob(f"{_TRASH}*")):
            freed += size_of(folder)
            shutil.rmtree(folder)
        return freed + remove_abandoned(self.root / ".staging")

    def remove(self, task: str, asset: str, data_version: str) -> int:
        """Take an artifact away, its index entries first; gives the bytes freed."""
        with self._moving(task, asset):
            freed = self._forget(task, asset, check_version("data version", data_version))
            trash = self._discard(self.root / task / asset / data_version)
        return freed + _empty(trash)

    def remove_folder(self, task: str, asset: str, name: str) -> int:
        """Take away a folder of what was refused or damaged, such as `refused/20260101T000000Z-1a2b3c4d`."""
        kind, _, folder = name.partition("/")
        if kind not in RESERVED - {"index"} or not folder or "/" in folder or folder.startswith("."):
            raise ValueError(f"{name!r} is no folder of what was refused or damaged")
        with self._moving(task, asset):
            trash = self._discard(self.root / task / asset / name)
        return _empty(trash)

    def remove_entry(self, task: str, asset: str, build_key: str) -> int:
        """Take away an index entry whose artifact is gone; it stays if the artifact is there."""
        with self._moving(task, asset):
            path = self.root / task / asset / "index" / f"{check_version('build key', build_key)}.json"
            version = _names(path)
            if version is not None and (self.root / task / asset / version / MANIFEST).is_file():
                return 0
            return _unlink(path)

    def retire(self, task: str, asset: str, data_version: str, note: Mapping[str, Any]) -> Path:
        """Move an artifact to where nothing finds or opens it, with the reason in `retired.json`."""
        place = self.root / task / asset
        folder = place / check_version("data version", data_version)
        target = place / "retired" / f"{data_version}-{uuid.uuid4().hex[:8]}"
        with room(f"{task}/{asset}", place), self._moving(task, asset):
            make_directory(target.parent)
            # The note first: a process that is killed here leaves an artifact with a file more, not one that
            # nobody can account for.
            write_synced(folder / RETIRED_NOTE, (json.dumps(note, indent=2, sort_keys=True) + "\n").encode())
            sync(folder)
            self._forget(task, asset, data_version)
            folder.rename(target)
            sync(target.parent)
            sync(place)
        return target

    def _moving(self, task: str, asset: str) -> Any:
        """The asset's lock, as the store takes it whenever directories move."""
        return flock(self.root / ".locks" / f"{check_name('task', task)}.{check_name('asset', asset)}.lock")

    def _forget(self, task: str, asset: str, data_version: str) -> int:
        entries = (self.root / task / asset / "index").glob("*.json")
        freed = sum(_unlink(path) for path in entries if _names(path) == data_version)
        if freed:
            sync(self.root / task / asset / "index")
        return freed

    def _discard(self, folder: Path) -> Path | None:
        if not folder.is_dir():
            return None
        trash = self.root / f"{_TRASH}{uuid.uuid4().hex}"
        folder.rename(trash)
        sync(folder.parent)
        return trash


def _gate(work: Path) -> Path:
    # Two dots fewer than the locks of builders have.
    return work / ".locks" / "removal.lock"


def _names(entry: Path) -> str | None:
    """The data version that an index entry names; None if it cannot be read."""
    try:
        return str(json.loads(entry.read_bytes())["data_version"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _unlink(path: Path) -> int:
    if not path.is_file():
        return 0
    size = path.stat().st_size
    path.unlink()
    return size


def _empty(trash: Path | None) -> int:
    if trash is None:
        return 0
    freed = size_of(trash)
    shutil.rmtree(trash)
    return freed
