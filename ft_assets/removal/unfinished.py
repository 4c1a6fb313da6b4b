"""What trainings keep outside of the store, and taking it away: the states of those that were cut off, and tokenised
rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ft_assets.disk import folders, size_of
from ft_assets.paths import resume_dir, tokens_dir

__all__ = ["remove_unfinished", "unfinished"]


def unfinished(task: str, older_than: datetime | None = None) -> list[Path]:
    """The folders with resume points of a task, one a training, and those with its tokenised rows; only those that were
    written longer ago, where a time is given."""
    found = [*folders(resume_dir() / task), *folders(tokens_dir() / task)]
    return [path for path in found if older_than is None or _written(path) < older_than]


def remove_unfinished(paths: Iterable[Path]) -> int:
    """Take them away; gives the bytes freed. Such a training begins anew, and tokenises its rows."""
    freed = 0
    for path in paths:
        freed += size_of(path)
        shutil.rmtree(path, ignore_errors=True)
    return freed


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
