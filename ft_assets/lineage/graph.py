"""All builds of a store, and how they follow from each other by the versions that each has recorded.

A build is what one index entry tells: what went in, which version came out. Equal output may come from several
builds, and a build outlives its files: an artifact that was removed is still part of the history.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ft_assets.artifacts.artifact import MANIFEST, parse_manifest
from ft_assets.disk import folders
from ft_assets.errors import UserError

__all__ = ["SOURCE", "Build", "builds", "downstream", "files", "local_store", "upstream"]

SOURCE = "source:"
"""How the name of an input from outside the graph begins."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Build:
    """One build of one asset."""

    task: str
    asset: str
    data_version: str
    build_key: str
    inputs: Mapping[str, str] = field(hash=False)
    """Data version of each upstream asset that it read."""
    sources: Mapping[str, str] = field(hash=False)
    """Content hash of what it read from outside the graph, by the name of its identity (`source:…`)."""
    created: str
    """ISO 8601, in UTC."""
    path: Path
    """Folder of the artifact. It may be gone, or hold what another build with equal output has written."""
    record: Mapping[str, Any] = field(hash=False, repr=False)
    """The manifest of the files with the record of this build: config, code_version, libraries, summary, checks
    and what else a manifest has. Without `files` where the artifact is gone."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Counts and the like, as the stage has written them."""
        return self.record.get("summary") or {}


def local_store(root: str) -> Path:
    """The folder of a store.

    Raises:
        UserError: the store lies at a URL, which lineage does not read.
    """
    text = root.removeprefix("file://").removeprefix("local://")
    if "://" in text:
        raise UserError(
            "lineage reads a store on a file system only",
            where=f"FT_STORE={root.partition('://')[0]}://…",
            do="copy the store's `manifest.json` files and `index` folders to a local folder, and point FT_STORE there",
        )
    return Path(text).expanduser().absolute()


def builds(store_root: Path, task: str | None = None) -> list[Build]:
    """All builds of a task, or of all tasks: by task, then oldest first.

    What failed its checks or is damaged is no build. An artifact whose index entry was deleted still counts. An
    entry or manifest that cannot be read is left out, with a warning in the log.
    """
    tasks = [store_root / task] if task else folders(store_root)
    found = [build for folder in tasks for asset in folders(folder) for build in _of_asset(asset)]
    return sorted(found, key=lambda build: (build.task, build.created, build.asset, build.build_key))


def downstream(builds: Collection[Build], start: Collection[Build]) -> list[Build]:
    """All builds that were made from those of `start`, directly or not, without these; in the order of `builds`."""
    readers: dict[tuple[str, str, str], list[Build]] = defaultdict(list)
    for build in builds:
        for asset, version in build.inputs.items():
            readers[build.task, asset, version].append(build)
    return _reached(builds, start, lambda build: readers[build.task, build.asset, build.data_version])


def upstream(builds: Collection[Build], start: Collection[Build]) -> list[Build]:
    """All builds that those of `start` were made from, directly or not, without these; in the order of `builds`.

    Where several builds gave the version that was read, all of them count: the content is the same.
    """
    makers: dict[tuple[str, str, str], list[Build]] = defaultdict(list)
    for build in builds:
        makers[build.task, build.asset, build.data_version].append(build)
    return _reached(
        builds,
        start,
        lambda build: [
            made for asset, version in build.inputs.items() for made in makers[build.task, asset, version]
        ],
    )


def files(build: Build) -> dict[str, str]:
    """SHA-256 of each file that a build of `raw_examples` has read, by the name that its rows carry.

    Files of several sources may share a name: with different contents they are told apart by the place and name of
    their source (`1/reviews/may.csv`). What a user's function yields is no file, and left out.
    """
    identities = [
        (_file_name(build, name), name.removeprefix(SOURCE), content)
        for name, content in build.sources.items()
        if "/" in name
    ]
    contents: dict[str, set[str]] = defaultdict(set)
    for file, _, content in identities:
        contents[file].add(content)
    return {
        file if len(contents[file]) == 1 else identity: content
        for file, identity, content in sorted(identities)
    }


def _file_name(build: Build, identity: str) -> str:
    """`source:<place>/<name of the source>/<name of the file>`: both names may hold slashes."""
    place, _, rest = identity.removeprefix(SOURCE).partition("/")
    sources = (build.record.get("config") or {}).get("sources") or []
    if place.isdigit() and int(place) < len(sources):
        name = sources[int(place)]["name"]
        if rest.startswith(f"{name}/"):
            return rest.removeprefix(f"{name}/")
    return rest.partition("/")[2] or rest


def _reached(
    builds: Iterable[Build], start: Iterable[Build], following: Callable[[Build], Iterable[Build]]
) -> list[Build]:
    first = set(start)
    found: set[Build] = set()
    waiting = list(first)
    while waiting:
        new = set(following(waiting.pop())) - found
        found |= new
        waiting.extend(new)
    return [build for build in builds if build in found and build not in first]


def _of_asset(folder: Path) -> Iterator[Build]:
    manifests = {
        path.parent.name: manifest
        for path in folder.glob(f"*/{MANIFEST}")
        if (manifest := _read_manifest(path)) is not None
    }
    indexed = set()
    for path in sorted(folder.glob("index/*.json")):
        entry = _read_entry(path)
        if entry is not None:
            indexed.add(path.stem)
            version = entry["data_version"]
            yield _build(folder, path.stem, version, {**manifests.get(version, {}), **entry["build"]})
    for version, manifest in manifests.items():
        if manifest["build_key"] not in indexed:
            yield _build(folder, manifest["build_key"], version, manifest)


def _read_manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest = parse_manifest(path.read_bytes())
    except FileNotFoundError:  # removed since the folder was listed
        return None
    if manifest is None or not _complete(manifest) or manifest.get("data_version") != path.parent.name:
        log.warning("%s cannot be read and is left out of the lineage", path)
        return None
    return manifest


def _read_entry(path: Path) -> dict[str, Any] | None:
    try:
        entry: dict[str, Any] = json.loads(path.read_bytes())
        if isinstance(entry["data_version"], str) and _complete(entry["build"]):
            return entry
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        pass
    log.warning("%s cannot be read and is left out of the lineage", path)
    return None


def _complete(record: Any) -> bool:
    """Whether a record has what a build is made of."""
    return (
        isinstance(record, dict)
        and isinstance(record.get("build_key"), str)
        and isinstance(record.get("created"), str)
        and isinstance(record.get("inputs"), dict)
    )


def _build(folder: Path, build_key: str, version: str, record: Mapping[str, Any]) -> Build:
    inputs = record["inputs"]
    return Build(
        task=folder.parent.name,
        asset=folder.name,
        data_version=version,
        build_key=build_key,
        inputs={name: value for name, value in inputs.items() if not name.startswith(SOURCE)},
        sources={name: value for name, value in inputs.items() if name.startswith(SOURCE)},
        created=record["created"],
        path=folder / version,
        record={**record, "task": folder.parent.name, "asset": folder.name, "data_version": version},
    )
