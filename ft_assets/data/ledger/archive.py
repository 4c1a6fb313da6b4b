"""A ledger as one file, and back; and beginning a new one.

The file is a tar archive of the ledger's files as they are: everything in it is verified by the chain. What a command
replaces is not deleted, it moves to `ledger/.archive/<task>-<time>-<id>`.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ft_assets.data.ledger.chain import NO_LEDGER, Ledger
from ft_assets.data.ledger.golden import add_reads
from ft_assets.disk import make_directory, room, sync, sync_tree
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir

__all__ = ["export", "put_aside", "reset", "restore"]

_MEMBER = re.compile(r"ledger\.json|head\.json|reads\.jsonl|\d{6}\.(json|parquet)")
_PARTS = 1 << 20


def export(ledger: Ledger, file: Path) -> None:
    """Write a ledger, what is locked and how often it was looked at into one file; whole or not at all.

    Raises:
        UserError: the disk is full.
    """
    draft = file.with_name(f".{file.name}.new")
    with room(file.name, file.parent):
        make_directory(file.parent)
        try:
            with tarfile.open(draft, "w", format=tarfile.PAX_FORMAT) as archive:
                for path in sorted(ledger.folder.iterdir()):
                    if _MEMBER.fullmatch(path.name):
                        archive.add(path, path.name, recursive=False, filter=_plain)
            sync(draft)
            draft.replace(file)
            sync(file.parent)
        finally:
            draft.unlink(missing_ok=True)


def restore(task: str, file: Path, *, replace: bool = False) -> str:
    """Put an exported ledger in its place; the caller holds the lock.

    Args:
        task: whose ledger it becomes.
        file: what `export` has written.
        replace: whether a ledger that is there and is another one, or damaged, may be put aside. Evaluations that
            were counted there stay counted, if they are not of another ledger, with another test set.

    Returns:
        What was done: "restored", or "unchanged" where all that the file has is there.

    Raises:
        UserError: the file is damaged or no export; another ledger is there; or what it has counted cannot be read.
    """
    folder = ledger_dir(task)
    with _unpacked(file, folder.parent) as (unpacked, found):
        here, damage = _opened(folder)
        if here is not None and here.id == found.id:
            ours, theirs = [s.sha256 for s in here.segments], [s.sha256 for s in found.segments]
            if ours[: len(theirs)] == theirs:
                return "unchanged"
            replace |= theirs[: len(ours)] == ours
        if (here is not None or damage is not None) and not replace:
            raise UserError(
                "the ledger that is there is damaged"
                if here is None
                else "another ledger is there, and rows may be in other splits by it",
                where=f"{folder}"
                + (
                    f": {damage.what}"
                    if damage
                    else f", {here.id[:8]}; the file has {found.id[:8]}"
                    if here
                    else ""
                ),
                do="give --replace to put it aside, if you mean to",
            )
        if here is None or here.id == found.id:
            add_reads(unpacked, folder)
        put_aside(task)
        _move(unpacked, folder)
        return "restored"


def reset(task: str) -> tuple[Ledger, Path | None]:
    """Begin a new ledger, by which all rows are drawn anew; the caller holds the lock.

    Returns:
        The new ledger, and where the old one lies now.

    Raises:
        UserError: the old ledger is damaged: what it was begun instead of cannot be told.
    """
    folder = ledger_dir(task)
    before = Ledger.open(folder)
    kept = put_aside(task)
    known = [] if before is None else [*before.instead_of, before.id]
    return Ledger.create(folder, list(dict.fromkeys([NO_LEDGER, *known]))), kept


def put_aside(task: str) -> Path | None:
    """Move the ledger of a task to the archive; None where there is none."""
    folder = ledger_dir(task)
    if not folder.is_dir():
        return None
    name = f"{task}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
    target = folder.parent / ".archive" / name
    make_directory(target.parent)
    folder.rename(target)
    sync(target.parent)
    sync(folder.parent)
    return target


def _opened(folder: Path) -> tuple[Ledger | None, UserError | None]:
    try:
        return Ledger.open(folder), None
    except UserError as error:
        return None, error


@contextmanager
def _unpacked(file: Path, beside: Path) -> Iterator[tuple[Path, Ledger]]:
    """The files of an archive in a folder of their own, and the ledger that they are."""
    do = "give a file that `ledger export` has written"
    if not file.is_file():
        raise UserError("there is no such file", where=str(file), do=do)
    make_directory(beside)
    folder = Path(tempfile.mkdtemp(prefix=".restore-", dir=beside))
    try:
        with room("the split ledger", beside, file.stat().st_size):
            try:
                with tarfile.open(file, "r:") as archive:
                    for member in archive:
                        if not member.isfile() or not _MEMBER.fullmatch(member.name):
                            raise UserError("the file is no export of a ledger", where=str(file), do=do)
                        source = archive.extractfile(member)
                        assert source is not None  # noqa: S101 - it is a file
                        with (folder / member.name).open("wb") as target:
                            shutil.copyfileobj(source, target, _PARTS)
            except (tarfile.TarError, EOFError) as error:
                raise UserError("the file cannot be unpacked", where=str(file), do=do) from error
        try:
            ledger = Ledger.open(folder)
        except UserError as error:
            raise UserError(
                f"the file is damaged: {error.what}", where=str(file), do="use another copy of it"
            ) from error
        if ledger is None:
            raise UserError("the file holds no ledger", where=str(file), do=do)
        yield folder, ledger
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(unpacked: Path, folder: Path) -> None:
    sync_tree(unpacked)
    unpacked.chmod(0o755)
    unpacked.rename(folder)
    sync(folder.parent)


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without what is this machine's own: times, owners."""
    member.mtime = 0
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mode = 0o644
    return member
