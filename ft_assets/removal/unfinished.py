"""Trainings that were cut off: the states that they keep, to go on from them, and taking these away."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ft_assets.disk import folders, size_of
from ft_assets.paths import resume_dir

__all__ = ["remove_unfinished", "unfinished"]


def unfinished(task: str, older_than: datetime | None = None) -> list[Path]:
    """The folders with resume points of a task, one a training; only those whose last point is older, where a time is
    given."""
    found = folders(resume_dir() / task)
    return [path for path in found if older_than is None or _written(path) < older_than]


def remove_unfinished(paths: Iterable[Path]) -> int:
    """Take them away; gives the bytes freed. Such a training begins anew."""
    freed = 0
    for path in paths:
        freed += size_of(path)
        shutil.rmtree(path, ignore_errors=True)
    return freed


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
