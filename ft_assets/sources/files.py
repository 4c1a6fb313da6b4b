"""Local files: a path, or a pattern with `*`, `?`, `[…]` and `**`."""

from __future__ import annotations

import difflib
import glob
import itertools
import re
import unicodedata
from pathlib import Path

from ft_assets.errors import UserError

__all__ = ["find_files", "is_local", "local_path", "shown_name"]

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def is_local(source: str) -> bool:
    """Whether a source is a path or pattern of this machine (`file://` is one, too)."""
    return not _URL.match(source) or source.startswith(("file://", "local://"))


def local_path(source: str, base: Path) -> Path:
    """The path that a local source means; relative ones start at `base`."""
    text = source.removeprefix("file://").removeprefix("local://")
    return base / Path(text).expanduser()


def find_files(source: str, base: Path) -> list[tuple[Path, str]]:
    """The files of a path or pattern, sorted by name, each with its name relative to the pattern's fixed
    part.

    Hidden files are left out, as in the shell. A file that several names lead to (links) is given once, by the name
    of the fewest folders; control characters in a name, and bytes that are no text, are shown escaped.

    Raises:
        UserError: there is none, or it is a folder.
    """
    try:
        return _find(source, local_path(source, base))
    except OSError as error:
        raise UserError(
            f"source '{source}' cannot be read: {error.strerror}",
            where=str(error.filename or local_path(source, base)),
            do="check the folder's permissions, and that its disk is there",
        ) from error


def _find(source: str, path: Path) -> list[tuple[Path, str]]:
    if path.is_file():
        return [(path, shown_name(path.name))]
    if path.is_dir():
        raise UserError(
            f"source '{source}' is a folder",
            where=str(path),
            do=f"name its files, for example {source.rstrip('/')}/*.csv",
        )
    if not glob.has_magic(str(path)):
        raise _missing(source, path)
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), path.parts))
    folder, pattern = Path(*fixed), "/".join(path.parts[len(fixed) :])
    found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207 - Path.glob finds hidden files
    names = sorted(Path(name).as_posix() for name in found if (folder / name).is_file())
    if not names:
        raise UserError(
            f"no file matches '{source}'",
            where=f"{folder} {'holds ' + _some(folder) if folder.is_dir() else 'does not exist'}",
            do="correct the pattern, or put the files there",
        )
    by_file: dict[Path, str] = {}
    for name in sorted(names, key=lambda name: (name.count("/"), name)):
        by_file.setdefault((folder / name).resolve(), name)
    return [(folder / name, shown_name(name)) for name in sorted(by_file.values())]


def shown_name(name: str) -> str:
    """A name or path as it may stand in tables and logs: control characters, line ends, stray bytes escaped."""
    unsafe = ("Cc", "Cs", "Zl", "Zp")
    return "".join(ascii(char)[1:-1] if unicodedata.category(char) in unsafe else char for char in name)


def _missing(source: str, path: Path) -> UserError:
    folder = path.parent
    if not folder.is_dir():
        return UserError(
            f"source '{source}' does not exist",
            where=f"there is no folder {folder}",
            do="correct the path (relative ones start at the data folder), or put the file there",
        )
    names = [shown_name(entry.name) for entry in folder.iterdir()]
    near = difflib.get_close_matches(path.name, names, n=1)
    return UserError(
        f"source '{source}' does not exist",
        where=f"{folder} holds {_some(folder)}",
        do=f"did you mean '{near[0]}'?" if near else "correct the path, or put the file there",
    )


def _some(folder: Path) -> str:
    names = sorted(shown_name(entry.name) for entry in folder.iterdir() if not entry.name.startswith("."))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return (", ".join(names[:5]) + more) or "nothing"
