"""Any fsspec URL (`s3://…`, `https://…`, `memory://…`): copied into the cache."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ft_assets.errors import UserError
from ft_assets.sources.cache import cached, intact, safe_name
from ft_assets.versions import file_sha256, hash_json

__all__ = ["fetch", "redacted"]

_PIN = "#sha256="


def fetch(source: str, cache: Path) -> Path:
    """A folder with copies of the file, the folder's files or the pattern's files at a URL.

    With `#sha256=…` (a single file) the copy is verified and used from then on with the network off. Without
    it the place is asked each time (sizes, times and tags tell whether anything changed), since what lies
    there may change.

    Raises:
        UserError: unknown kind of URL, nothing there, cannot be reached, or another hash than was pinned.
    """
    url, _, pin = source.partition(_PIN)
    name = redacted(url)
    if pin:
        entry = cache / "files" / pin.lower()
        if intact(entry):
            return entry / "files"
    try:
        fs, names = _list(url)
        if not names:
            if "*" not in url:
                fs.info(
                    url
                )  # says why, where a host does not answer; the listing takes that for nothing there
            raise UserError(f"there is nothing at {name}", do="correct the source")
        if pin and len(names) > 1:
            raise UserError(
                f"{name} is {len(names)} files, and #sha256= pins one", do="name one file, or leave it out"
            )
        if not pin:
            state = {short: str(fs.ukey(full)) for short, full in names.items()}
            entry = cache / "files" / hash_json([name, state])
        return cached(entry, name, lambda folder: _copy(fs, names, folder, name, pin.lower()))
    except UserError:
        raise
    except FileNotFoundError as error:
        if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
            raise _unreachable(url, error.__cause__) from error
        raise UserError(f"there is nothing at {name}", do="correct the source") from error
    except (ImportError, ValueError) as error:
        raise UserError(
            f"{name} cannot be read: {error}",
            do="correct the URL, or install the fsspec package for this kind",
        ) from error
    except Exception as error:  # every file system has exceptions of its own
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> UserError:
    return UserError(
        f"{redacted(url)} cannot be had: {type(error).__name__}",
        where=urlsplit(url).hostname or redacted(url),
        do="check network and credentials; a file pinned by #sha256=… is used from the cache afterwards",
    )


def _list(url: str) -> tuple[Any, dict[str, str]]:
    """The file system, and the full name of each file by its name relative to the URL's fixed part."""
    import fsspec
    from fsspec.utils import stringify_path

    fs, path = fsspec.url_to_fs(stringify_path(url))
    fs.invalidate_cache()
    is_pattern = "*" in path
    if is_pattern:
        full_names = [name for name in fs.glob(path) if not fs.isdir(name)]
        top = posixpath.dirname(path.split("*")[0] + "x")
    elif fs.isfile(path):
        full_names, top = [path], posixpath.dirname(path)
    else:
        full_names, top = fs.find(path), path.rstrip("/")
    names = {}
    for full in full_names:
        short = full[len(top) :].lstrip("/") if full.startswith(top) else posixpath.basename(full)
        short = short.split("?")[0]
        if safe_name(short) is None:
            raise UserError(
                f"a file at {redacted(url)} has a name that leads out of the folder", do="rename it there"
            )
        names[short] = full
    return fs, dict(sorted(names.items()))


def _copy(fs: Any, names: dict[str, str], folder: Path, shown: str, pin: str) -> None:
    for short, full in names.items():
        (folder / short).parent.mkdir(parents=True, exist_ok=True)
        fs.get_file(full, str(folder / short))
        if pin and (found := file_sha256(folder / short)) != pin:
            raise UserError(
                f"{shown} is not the file that was pinned: SHA-256 {found}, not {pin}",
                do="if the change is wanted, write the new hash into the source",
            )


def redacted(url: str) -> str:
    """A URL without user, password and query: those may be secrets."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", parts.fragment))
