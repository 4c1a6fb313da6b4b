"""A file or folder inside a package of the package index:
`pypi://NAME==VERSION[wheel|sdist]/PATH[!/MEMBER]#sha256=…`.

The package is found where pip would find it (`pip_config`), fetched, verified and unpacked as an archive.
Nothing of it is built, installed or run, and none of its dependencies are looked at.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from ft_assets.errors import UserError
from ft_assets.sources import index
from ft_assets.sources.archives import extract
from ft_assets.sources.cache import cached, intact
from ft_assets.versions import file_sha256, hash_json

__all__ = ["PackageFile", "fetch", "parse"]

_FORM = "pypi://NAME==VERSION[wheel]/PATH or [sdist], with !/MEMBER for an archive inside and #sha256=HEX"
_SOURCE = re.compile(
    r"pypi://(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)==(?P<version>[A-Za-z0-9.!+_-]+)"
    r"\[(?P<kind>wheel|sdist)\]/(?P<path>[^#]+?)(?:#sha256=(?P<sha256>[0-9A-Fa-f]{64}))?"
)


@dataclass(frozen=True)
class PackageFile:
    """The parts of a `pypi://` source."""

    name: str
    version: str
    kind: str
    paths: tuple[str, ...]
    """The path in the package; further ones are members of the archive that the one before names."""
    sha256: str | None

    def __str__(self) -> str:
        pin = f"#sha256={self.sha256}" if self.sha256 else ""
        return f"pypi://{self.name}=={self.version}[{self.kind}]/{'!/'.join(self.paths)}{pin}"


def parse(source: str) -> PackageFile:
    """Reads a `pypi://` source; the name is normalised as the index does it.

    Raises:
        UserError: it does not have the form.
    """
    match = _SOURCE.fullmatch(source)
    paths = tuple(path.strip("/") for path in match["path"].split("!/")) if match else ()
    if match is None or not all(paths):
        raise UserError(f"'{source}' is no source of the form that pypi:// has", do=f"write {_FORM}")
    name = re.sub(r"[-_.]+", "-", match["name"]).lower()
    sha256 = match["sha256"].lower() if match["sha256"] else None
    return PackageFile(name, match["version"], match["kind"], paths, sha256)


def fetch(source: str, cache: Path) -> Path:
    """The local folder that holds the file, or the folder's files.

    The hash in the source is that of the file; for a folder it is that of the package's archive.

    Raises:
        UserError: no such package, version, kind or file; the index cannot be reached; another hash than was
            pinned.
    """
    wanted = parse(source)
    folder = cache / "pypi" / f"{wanted.name}-{wanted.version}"
    entry = folder / hash_json(str(wanted))[:16]
    if intact(entry):
        return entry / "files"
    archive_entry = folder / wanted.kind

    def unpack(target: Path) -> None:
        files = cached(archive_entry, str(wanted), lambda draft: index.download(wanted, draft))
        (archive,) = files.iterdir()
        _unpack(archive, wanted, target)
        try:
            _check_hash(archive, wanted, target)
        except UserError:
            shutil.rmtree(archive_entry)  # the next attempt asks the index again
            raise

    return cached(entry, str(wanted), unpack)


def _unpack(archive: Path, wanted: PackageFile, target: Path) -> None:
    """Unpacks archive after archive, each in a folder of its own, the last one into the target."""
    for depth, path in enumerate(wanted.paths):
        is_last = depth == len(wanted.paths) - 1
        step = target if is_last else target.with_name(f"step-{depth}")
        step.mkdir(exist_ok=True)
        extract(archive, path, step, strip_top=depth == 0 and wanted.kind == "sdist")
        if not is_last:
            archive = step / Path(path).name
            if not archive.is_file():
                raise UserError(
                    f"'{path}' is a folder, not an archive", where=str(wanted), do=f"write {_FORM}"
                )
    for depth in range(len(wanted.paths) - 1):
        shutil.rmtree(target.with_name(f"step-{depth}"))


def _check_hash(archive: Path, wanted: PackageFile, target: Path) -> None:
    if wanted.sha256 is None:
        return
    single = target / Path(wanted.paths[-1]).name
    is_file = single.is_file() and len(list(target.iterdir())) == 1
    found = file_sha256(single if is_file else archive)
    if found != wanted.sha256:
        name = single.name if is_file else archive.name
        raise UserError(
            f"{name} is not what was pinned: SHA-256 {found}, not {wanted.sha256}",
            where=str(wanted),
            do="if the change is wanted, write the new hash into the source",
        )
