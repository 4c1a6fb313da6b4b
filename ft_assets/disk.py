"""What a file system must promise and what to say when it cannot: syncing, locks, no room left."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ft_assets.errors import UserError

__all__ = [
    "flock",
    "folders",
    "is_out_of_room",
    "make_directory",
    "release",
    "room",
    "size_of",
    "sync",
    "sync_tree",
    "try_flock",
    "write_synced",
]

_POLL_SECONDS = 0.1
_TELL_EVERY_SECONDS = 10.0


def folders(folder: Path) -> list[Path]:
    """The folders in a folder by name, without the hidden ones; none where it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder. What others remove meanwhile is left out."""
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                size += os.lstat(Path(parent, name)).st_size
    return size


def sync(path: Path) -> None:
    """Flushes a file or directory to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(directory: Path) -> None:
    """Flushes a directory, everything below it, and each folder's list of names."""
    for folder, _, files in os.walk(directory, topdown=False):
        for name in files:
            sync(Path(folder) / name)
        sync(Path(folder))


def write_synced(path: Path, data: bytes) -> None:
    """Writes a file and flushes it; the directory's entry is the caller's to flush."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def make_directory(path: Path) -> None:
    """Makes a directory and the missing ones above it, each recorded on the disk."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        sync(folder.parent)


def try_flock(path: Path) -> int | None:
    """Takes the lock on a file if it is free; gives the open descriptor, or None.

    The kernel frees it when the process ends in whatever way, so no lock outlives its owner. The file is
    removed with the lock (`release`), hence the look at whether the name still means the file that was
    locked.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    if os.fstat(descriptor).st_nlink == 0:
        os.close(descriptor)
        return None
    return descriptor


def release(path: Path, descriptor: int) -> None:
    """Removes the lock file while it is held, then frees the lock."""
    path.unlink(missing_ok=True)
    os.close(descriptor)


@contextmanager
def flock(path: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Holds a lock file; waits for it by polling, so that an interrupt or a raised error ends the waiting at
    once.

    Args:
        path: the lock file, made and removed here.
        on_wait: called when the waiting begins and then about every 10 seconds; it may raise to give up.
    """
    told = None
    while (descriptor := try_flock(path)) is None:
        now = time.monotonic()
        if on_wait is not None and (told is None or now - told >= _TELL_EVERY_SECONDS):
            on_wait()
            told = now
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        release(path, descriptor)


def is_out_of_room(error: BaseException | None) -> bool:
    """Whether an error says, in whatever library's words, that the disk, quota or file size limit is
    reached."""
    while error is not None and not isinstance(error, UserError):
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        # safetensors and arrow wrap the system's error into a text of their own.
        if "No space left on device" in str(error) or "(os error 28)" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def room(what: str, directory: Path, needed: int | None = None) -> Iterator[None]:
    """Turns a full disk within the block into the error that tells what to do."""
    try:
        yield
    except Exception as error:
        if is_out_of_room(error):
            raise out_of_room(what, directory, needed) from error
        raise


def out_of_room(what: str, directory: Path, needed: int | None = None) -> UserError:
    """The error for a full disk: where, how much is free, how much is wanted at least."""
    free = shutil.disk_usage(
        next(folder for folder in (directory, *directory.parents) if folder.exists())
    ).free
    wanted = f", {_megabytes(needed)} wanted at least" if needed else ""
    return UserError(
        f"no room left while writing {what}",
        where=f"{directory} ({_megabytes(free)} free{wanted})",
        do="make room there, or let FT_DATA_DIR name a folder on a larger disk; "
        "what was published before is intact",
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
