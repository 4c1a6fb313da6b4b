"""What of a store nothing needs any longer, by a retention rule; and taking it away."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ft_assets.artifacts import Removal
from ft_assets.artifacts.artifact import MANIFEST, RESERVED
from ft_assets.disk import folders, size_of
from ft_assets.lineage.graph import Build, builds

__all__ = ["Unused", "find_unused", "remove_unused", "tasks_of"]

RAW = "raw_examples"


@dataclass(frozen=True)
class Unused:
    """A thing in the store that can go."""

    task: str
    asset: str
    name: str
    """A data version, `refused/<folder>`, `damaged/<folder>` or `index/<build key>`."""
    why: str
    size: int
    """Bytes."""


def tasks_of(root: Path) -> list[str]:
    """The tasks that a store holds something of."""
    return [folder.name for folder in folders(root)]


def find_unused(
    root: Path,
    task: str,
    current: Mapping[str, str],
    made_by: Mapping[str, str],
    *,
    keep: int,
    older_than: datetime,
    raw_older_than: datetime | None = None,
) -> list[Unused]:
    """What can go of a task.

    What stays: the current version of each asset, the newest `keep` versions of each, all that was made since
    `older_than`, and whatever any of these was made from. Retired checkpoints stay, too: each is the record of an
    erasure. Raw rows hold personal data: of these a version that is no longer current goes by its age alone, whatever
    was made from it.

    Args:
        root: the store.
        task: the task.
        current: the current data version of each asset.
        made_by: the build key that each of these was recorded with.
        keep: versions of each asset.
        older_than: what failed its checks, what is damaged and what is not among the newest goes only if it is older.
        raw_older_than: what is older of the raw rows goes; None: they are kept as all else is.
    """
    known = builds(root, task)
    needed = _needed(known, current, made_by, keep, older_than)
    kept_too_long = _kept_too_long(root / task / RAW, known, current, raw_older_than)
    found = []
    for folder in folders(root / task):
        asset = folder.name
        limit = max(older_than, raw_older_than) if asset == RAW and raw_older_than else older_than
        there = {path.name: path for path in folders(folder) if path.name not in RESERVED}
        entries = list(_entries(folder))
        for version, path in there.items():
            if asset == RAW and version in kept_too_long:
                found.append(Unused(task, asset, version, "raw rows, kept long enough", _size(path, entries)))
                continue
            unknown = not any(build.asset == asset and build.data_version == version for build in known)
            if unknown and (current.get(asset) == version or _written(path) >= older_than):
                continue  # nothing says when it was made, or what from
            if (asset, version) not in needed:
                found.append(Unused(task, asset, version, "nothing needs it", _size(path, entries)))
        for kind, why in (("refused", "failed its checks long ago"), ("damaged", "damaged long ago")):
            found += [
                Unused(task, asset, f"{kind}/{path.name}", why, size_of(path))
                for path in folders(folder / kind)
                if _written(path) < limit
            ]
        found += [
            Unused(task, asset, f"index/{entry.stem}", "its artifact is gone", entry.stat().st_size)
            for entry, named in entries
            if named not in there
        ]
    return found


def _kept_too_long(
    folder: Path, known: Sequence[Build], current: Mapping[str, str], older_than: datetime | None
) -> set[str]:
    """Versions of the raw rows that are not current and were last made before this."""
    if older_than is None:
        return set()
    made = {path.name: _written(path) for path in folders(folder) if path.name not in RESERVED}
    made |= {
        build.data_version: _time(build.created) for build in known if build.asset == RAW
    }  # oldest first
    return {version for version, at in made.items() if at < older_than and version != current.get(RAW)}


def _size(path: Path, entries: Sequence[tuple[Path, str]]) -> int:
    """Bytes of a version and its index entries."""
    return size_of(path) + sum(entry.stat().st_size for entry, version in entries if version == path.name)


def remove_unused(removal: Removal, unused: Iterable[Unused]) -> int:
    """Take it away; gives the bytes freed."""
    freed = 0
    for each in unused:
        kind, _, rest = each.name.partition("/")
        if not rest:
            freed += removal.remove(each.task, each.asset, each.name)
        elif kind == "index":
            freed += removal.remove_entry(each.task, each.asset, rest)
        else:
            freed += removal.remove_folder(each.task, each.asset, each.name)
    return freed


def _needed(
    known: Sequence[Build],
    current: Mapping[str, str],
    made_by: Mapping[str, str],
    keep: int,
    older_than: datetime,
) -> set[tuple[str, str]]:
    """Asset and data version of what stays by itself, and of all that it was made from."""
    newest: dict[str, list[str]] = {}
    for build in reversed(known):  # known is oldest first
        versions = newest.setdefault(build.asset, [])
        if build.data_version not in versions and (build.path / MANIFEST).is_file():
            versions.append(build.data_version)
    # Equal output may come from several builds: what counts is the one that was recorded, else the latest.
    latest = {(build.asset, build.data_version): build for build in known}
    latest |= {
        (build.asset, build.data_version): build
        for build in known
        if current.get(build.asset) == build.data_version and made_by.get(build.asset) == build.build_key
    }
    waiting = [
        place
        for place, build in latest.items()
        if current.get(build.asset) == build.data_version
        or build.data_version in newest.get(build.asset, [])[:keep]
        or _time(build.created) >= older_than
    ]
    found = set(waiting)
    while waiting:
        build = latest[waiting.pop()]
        new = {place for place in build.inputs.items() if place in latest} - found
        found |= new
        waiting.extend(new)
    return found


def _entries(folder: Path) -> Iterator[tuple[Path, str]]:
    """The index entries of an asset, each with the data version that it names."""
    for path in sorted((folder / "index").glob("*.json")):
        try:
            yield path, str(json.loads(path.read_bytes())["data_version"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            continue  # a damaged one is replaced by the next build of its key


def _time(created: str) -> datetime:
    moment = datetime.fromisoformat(created)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
