"""The store: finding, opening, committing and refusing artifacts, one builder at a time."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ft_assets.artifacts.artifact import (
    MANIFEST,
    STORE_FORMAT,
    Artifact,
    check_name,
    check_version,
)
from ft_assets.artifacts.backends import Found, make_backend
from ft_assets.artifacts.removal import removal_under_way, wait_for_removal
from ft_assets.artifacts.staging import Staging, remove_abandoned
from ft_assets.disk import flock, make_directory, room
from ft_assets.errors import UserError
from ft_assets.versions import canonical_json, file_sha256

__all__ = ["ArtifactStore"]

log = logging.getLogger(__name__)


class ArtifactStore:
    """Immutable artifacts below one root, found by build key or data version, verified whenever read.

    Args:
        root: a local path or any fsspec URL.
        cache: local directory for copies of what lies at a URL; not needed for a local path.
    """

    def __init__(self, root: str | Path, cache: Path | None = None) -> None:
        self._backend = make_backend(root, cache)

    @property
    def where(self) -> str:
        """The root, as it was given."""
        return self._backend.where

    def find(self, task: str, asset: str, build_key: str) -> Artifact | None:
        """The artifact that this build gave before, verified.

        None if there is none, or if it was damaged: it is then set aside, so that it is built again.
        """
        place = _place(task, asset)
        entry = self._indexed(place, build_key)
        found = self._load(place, entry["data_version"]) if entry else None
        if entry is None or found is None:
            return None
        if found.problems:
            with self._lock(task, asset):
                self._set_aside(place, entry["data_version"])
            return None
        return _of_build(found, entry)

    def open(self, task: str, asset: str, data_version: str) -> Artifact:
        """The artifact of a data version.

        Raises:
            UserError: it is not there, or it was damaged (and is now set aside).
        """
        place = _place(task, asset)
        found = self._load(place, data_version)
        if found is None:
            raise UserError(
                f"{task}/{asset} {data_version} is not in the store",
                where=f"{self.where}/{place}",
                do=f"materialise {task}/{asset}: it is built again",
            )
        if found.problems:
            with self._lock(task, asset):
                aside = self._set_aside(place, data_version)
            raise UserError(
                f"{task}/{asset} {data_version} is damaged: {'; '.join(found.problems)}",
                where=f"{self.where}/{aside or place}",
                do=f"materialise {task}/{asset}: it is built again; and look at that disk",
            )
        return Artifact(found.path, found.manifest)

    def as_built(self, artifact: Artifact, build_key: str) -> Artifact:
        """An artifact that was opened, with the record of one of the builds that gave it: equal output may come from
        several, each with its checks and settings. As it was opened where that build is not known."""
        entry = self._indexed(_place(artifact.task, artifact.asset), build_key)
        if entry is None or entry["data_version"] != artifact.data_version:
            return artifact
        return Artifact(artifact.path, {**artifact.manifest, **entry["build"]})

    def has(self, task: str, asset: str, data_version: str) -> bool:
        """Whether an artifact is there, without a look at its files: cheap enough for every look of a sensor.

        At a URL it is assumed to be: nothing of ours removes it there.
        """
        name = f"{_place(task, asset)}/{check_version('data version', data_version)}/{MANIFEST}"
        return self._backend.has(name)

    def staging(self, task: str, asset: str) -> Staging:
        """A fresh directory to write an artifact in; a context manager. Tidies up after killed processes."""
        area = self._backend.work / ".staging"
        with room(f"{task}/{asset}", area):
            make_directory(area)
        remove_abandoned(area)
        remove_abandoned(self._backend.work / ".locks")
        return Staging(area, check_name("task", task), check_name("asset", asset))

    def commit(
        self,
        staging: Staging,
        *,
        data_version: str,
        build_key: str,
        inputs: Mapping[str, str],
        config: Any,
        code_version: str,
        summary: Mapping[str, Any],
        checks: Sequence[Mapping[str, Any]] = (),
        seconds: float | None = None,
        libraries: Mapping[str, str] | None = None,
        seed: int | None = None,
        instead_of: str | None = None,
    ) -> Artifact:
        """Publishes what was staged, and indexes it under its build key.

        If the build key was committed before, that artifact is returned and the staged one dropped. If the
        data version is there already, only the index entry is new: so the data version must cover every file
        that matters. A damaged artifact in the way is set aside first.

        Args:
            staging: what was written.
            data_version: hash of the contents.
            build_key: hash of what went in, see `ft_assets.versions.build_key`.
            inputs: data version of each input.
            config: the stage's share of the configuration.
            code_version: of the stage's code.
            summary: counts and the like; plain JSON.
            checks: outcomes of the checks that it passed; plain JSON.
            seconds: how long the build took.
            libraries: versions of the libraries that took part.
            seed: where one was used.
            instead_of: a build key that from now on finds this artifact, whatever it found before.

        Raises:
            UserError: no room left on the device; what was published before is intact.
        """
        task, asset = staging.task, staging.asset
        place = _place(task, asset)
        with room(f"{task}/{asset}", staging.path, staging.size()):
            manifest: dict[str, Any] = {
                "store_format": STORE_FORMAT,
                "task": task,
                "asset": asset,
                "data_version": check_version("data version", data_version),
                "build_key": check_version("build key", build_key),
                "files": _inventory(staging.path),
                "inputs": dict(inputs),
                "config": config,
                "code_version": code_version,
                "libraries": dict(libraries or {}),
                "summary": dict(summary),
                "checks": list(checks),
                # Which of two is newer decides what `gc` keeps, and a run may make both within a second.
                "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
                **({} if seed is None else {"seed": seed}),
                **({} if seconds is None else {"seconds": seconds}),
            }
            manifest = json.loads(canonical_json(manifest))
            with self._lock(task, asset):
                artifact = self._committed(place, build_key)
                if artifact is None:
                    published = self._publish(staging.path, place, manifest)
                    self._index(place, manifest, published.data_version)
                    if instead_of is not None:
                        self._backend.remove(f"{place}/index/{check_version('build key', instead_of)}.json")
                        self._index(place, {**manifest, "build_key": instead_of}, published.data_version)
                    artifact = Artifact(published.path, {**published.manifest, **_build(manifest)})
        staging.close()
        return artifact

    def refuse(self, staging: Staging, *, reasons: Sequence[Mapping[str, Any]], **context: Any) -> Path:
        """Keeps what failed its checks, for people to look at; it never becomes anyone's input.

        Args:
            staging: what was written.
            reasons: the failed checks; plain JSON, without row text.
            context: what else to note in `refusal.json` (build_key, inputs, config, summary …).

        Returns:
            The directory that holds the files and `refusal.json`.
        """
        now = datetime.now(UTC)
        note = {
            "task": staging.task,
            "asset": staging.asset,
            "created": now.isoformat(timespec="seconds"),
            "reasons": [dict(reason) for reason in reasons],
            **context,
        }
        place = _place(staging.task, staging.asset)
        name = f"{place}/refused/{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"
        with room(place, staging.path):
            staging.write_json("refusal", json.loads(canonical_json(note)))
            kept = self._backend.keep(staging.path, name)
        staging.close()
        log.warning("%s/%s was refused and is kept in %s", staging.task, staging.asset, kept)
        return kept

    @contextmanager
    def building(
        self, task: str, asset: str, build_key: str, on_wait: Callable[[], None] | None = None
    ) -> Iterator[None]:
        """Lets one process (of this machine) at a time build this key; the others wait, then find it built.

        Args:
            task: name of the task.
            asset: name of the asset.
            build_key: what is being built.
            on_wait: called when the waiting begins and then about every 10 seconds; it may raise to give up.
        """
        check_name("task", task), check_name("asset", asset), check_version("build key", build_key)
        path = self._backend.work / ".locks" / f"{task}.{asset}.{build_key}.lock"
        while True:
            with room(f"{task}/{asset}", path.parent), flock(path, on_wait):
                if not removal_under_way(self._backend.work):
                    yield
                    return
            wait_for_removal(self._backend.work, on_wait)

    # --- inside ---------------------------------------------------------------------------------------------

    def _lock(self, task: str, asset: str) -> Any:
        """Held for the instant in which an asset's directories are moved."""
        return flock(self._backend.work / ".locks" / f"{task}.{asset}.lock")

    def _load(self, place: str, data_version: str) -> Found | None:
        found = self._backend.load(f"{place}/{check_version('data version', data_version)}")
        written_by = found.manifest.get("store_format", STORE_FORMAT) if found else STORE_FORMAT
        if written_by != STORE_FORMAT:
            raise UserError(
                f"the artifact has store format {written_by}, this version of ft_assets reads {STORE_FORMAT}",
                where=f"{self.where}/{place}/{data_version}",
                do="use the version of ft_assets that wrote it, or another store (FT_DATA_DIR, FT_STORE)",
            )
        return found

    def _indexed(self, place: str, build_key: str) -> dict[str, Any] | None:
        """What the index has for a build key: `data_version`, and the record of that build."""
        data = self._backend.read(f"{place}/index/{check_version('build key', build_key)}.json")
        if data is None:
            return None
        try:
            entry = json.loads(data)
            check_version("data version", entry["data_version"])
            dict(entry["build"])
            return entry
        except (ValueError, KeyError, TypeError):
            log.warning("%s: the index entry of %s is damaged; it will be built again", place, build_key)
            return None

    def _committed(self, place: str, build_key: str) -> Artifact | None:
        """The intact artifact that this build key names already."""
        entry = self._indexed(place, build_key)
        found = self._load(place, entry["data_version"]) if entry else None
        return None if entry is None or found is None or found.problems else _of_build(found, entry)

    def _publish(self, staged: Path, place: str, manifest: Mapping[str, Any]) -> Artifact:
        data_version = manifest["data_version"]
        while True:
            path = self._backend.publish(staged, f"{place}/{data_version}", manifest)
            found = self._load(place, data_version) if path is None else Found(path, manifest, [])
            if found is not None and not found.problems:
                return Artifact(found.path, found.manifest)
            self._set_aside(place, data_version)

    def _index(self, place: str, manifest: Mapping[str, Any], data_version: str) -> None:
        """Note which artifact a build has made, and what is the build's own: equal output may come from several
        builds, each with its inputs, its settings and its checks."""
        name = f"{place}/index/{manifest['build_key']}.json"
        entry = canonical_json({"data_version": data_version, "build": _build(manifest)})
        while not self._backend.write_new(name, entry):
            known = self._indexed(place, manifest["build_key"])
            if known and known["data_version"] == data_version:
                return
            self._backend.remove(name)  # it names an artifact that is gone or was set aside

    def _set_aside(self, place: str, data_version: str) -> str | None:
        """Moves a damaged artifact away, under the asset's lock; None if meanwhile it is whole again, or
        gone."""
        found = self._load(place, data_version)
        if found is None or not found.problems:
            return None
        aside = f"{place}/damaged/{data_version}-{uuid.uuid4().hex[:8]}"
        self._backend.move(f"{place}/{data_version}", aside)
        log.warning(
            "%s %s is damaged (%s); set aside as %s", place, data_version, "; ".join(found.problems), aside
        )
        return aside


# What a manifest says of the files themselves, whoever made them; all else is the build's own.
_OF_THE_BYTES = frozenset({"store_format", "task", "asset", "data_version", "files"})


def _build(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a build: key, inputs, configuration, versions, summary, checks, time."""
    return {key: value for key, value in manifest.items() if key not in _OF_THE_BYTES}


def _of_build(found: Found, entry: Mapping[str, Any]) -> Artifact:
    """An artifact as a certain build made it: the files' manifest with the record of that build."""
    return Artifact(found.path, {**found.manifest, **entry["build"]})


def _place(task: str, asset: str) -> str:
    return f"{check_name('task', task)}/{check_name('asset', asset)}"


def _inventory(directory: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of every file below a directory.

    Raises:
        ValueError: a link (it would not be the artifact's own), or a file named like the manifest.
    """
    files = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_symlink() or name == MANIFEST:
            raise ValueError(f"an artifact cannot hold {name}")
        if path.is_file():
            files[name] = {"size": path.stat().st_size, "sha256": file_sha256(path)}
    return files
