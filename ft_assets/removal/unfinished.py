"""What is kept outside of the store to be quicker, and taking it away: the states of trainings that were cut off,
tokenised rows, cleaned rows, what was computed of texts."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from ft_assets.disk import folders, size_of
from ft_assets.paths import cleaned_dir, remembered_dir, resume_dir, tokens_dir

__all__ = ["remove_unfinished", "unfinished"]


def unfinished(task: str, older_than: datetime | None = None) -> list[Path]:
    """The folders with resume points of a task, one a training, and those with its tokenised and its cleaned rows, and
    what was computed of its texts; only those that were written longer ago, where a time is given."""
    places = (resume_dir(), tokens_dir(), cleaned_dir(), remembered_dir())
    found = [folder for place in places for folder in folders(place / task)]
    return [path for path in found if older_than is None or _written(path) < older_than]


def remove_unfinished(paths: Iterable[Path]) -> int:
    """Take them away; gives the bytes freed. Such a training begins anew; rows are tokenised and cleaned again."""
    freed = 0
    for path in paths:
        freed += size_of(path)
        shutil.rmtree(path, ignore_errors=True)
    return freed


def _written(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
