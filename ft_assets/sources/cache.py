"""The cache of fetched files: an entry is a directory that appears whole, and is verified whenever it is
used.

    <cache>/<kind>/…/<key>/entry.json     names, sizes and SHA-256 of the files, and where they came from
    <cache>/<kind>/…/<key>/files/…        the files

Two processes that want the same entry do not fetch it twice: the second waits. A process that is killed
leaves only a draft, which the next one removes or goes on with.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from ft_assets.disk import flock, make_directory, room, sync, sync_tree, write_synced
from ft_assets.versions import file_sha256

__all__ = ["cached", "intact", "safe_name"]

log = logging.getLogger(__name__)

_ENTRY = "entry.json"


def cached(entry: Path, source: str, fill: Callable[[Path], Any], *, resume: bool = False) -> Path:
    """The files of a cache entry, fetched on first use.

    Args:
        entry: directory of the entry.
        source: where the files come from, as people may see it (no credentials).
        fill: writes the files into the empty directory that it is given; it raises if it cannot.
        resume: keep what a failed attempt wrote, for `fill` to go on with.

    Returns:
        The directory that holds the files.

    Raises:
        UserError: no room left on the device, or what `fill` raises.
    """
    if intact(entry):
        return entry / "files"
    with room(f"the cached copy of {source}", entry.parent):
        make_directory(entry.parent)
        with flock(entry.with_name(f".{entry.name}.lock")):
            if intact(entry):
                return entry / "files"
            if entry.exists():
                log.warning("the cached copy of %s is damaged and is fetched again", source)
                shutil.rmtree(entry)
            _fetch(entry, source, fill, resume)
    return entry / "files"


def _fetch(entry: Path, source: str, fill: Callable[[Path], Any], resume: bool) -> None:
    draft = entry.with_name(f".{entry.name}.draft")
    if not resume:
        shutil.rmtree(draft, ignore_errors=True)
    files = draft / "files"
    files.mkdir(parents=True, exist_ok=True)
    try:
        fill(files)
        sync_tree(draft)
        listing = {"source": source, "files": _inventory(files)}
        write_synced(draft / _ENTRY, json.dumps(listing, indent=2, sort_keys=True).encode())
        sync(draft)
        draft.rename(entry)
        sync(entry.parent)
    finally:
        if not resume:
            shutil.rmtree(draft, ignore_errors=True)


def intact(entry: Path) -> bool:
    """Whether the entry is there and every file of it still has the size and SHA-256 that it was fetched
    with."""
    try:
        listed = json.loads((entry / _ENTRY).read_bytes())["files"]
        # Names are not followed out of the entry: an entry is only ever read by what lies in it.
        return _inventory(entry / "files") == listed
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _inventory(directory: Path) -> dict[str, Any]:
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = Path(folder) / name
            size = path.stat().st_size
            found[path.relative_to(directory).as_posix()] = {"size": size, "sha256": file_sha256(path)}
    return found


def safe_name(name: str) -> PurePosixPath | None:
    """A name from outside (an archive, a URL) as a relative path that stays where it is put; None if it does
    not.

    `.` parts are dropped; absolute names, `..`, drive letters, backslashes and NUL are refused.
    """
    path = PurePosixPath(name)
    bad = path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name
    return None if bad or not path.parts else path
