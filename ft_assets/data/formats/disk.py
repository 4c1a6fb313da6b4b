"""What the system says of a file that it does not let us read: no permission, gone since it was listed, a bad disk.

Such a file is refused on its own, as one whose content is bad. Not here: a disk that is full of what we write.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ft_assets.data.formats import Record, Refusal
from ft_assets.errors import UserError

__all__ = ["check", "told"]


def check(path: Path, where: str) -> None:
    """Open the file and read a byte.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        raise _unreadable(error, where) from error


def told(rows: Iterator[Record | Refusal], where: str) -> Iterator[Record | Refusal]:
    """The rows of a file.

    Raises:
        UserError: It cannot be read to its end, too.
    """
    try:
        yield from rows
    except OSError as error:
        raise _unreadable(error, where) from error


def _unreadable(error: OSError, where: str) -> UserError:
    return UserError(
        f"the file cannot be read: {error.strerror or type(error).__name__}",
        where=where,
        do="check that it is there, its permissions and its disk; or take it out of `sources`",
    )
