"""Versions of plain values and files, and the build key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

__all__ = ["VERSION_CHARS", "build_key", "canonical_json", "file_sha256", "files_version", "hash_json"]

# 128 bits: no two artifacts of a store meet by chance, and a version still fits on a line in the UI.
VERSION_CHARS = 32


def canonical_json(obj: Any) -> bytes:
    """The one JSON text of `obj`: sorted keys, no spaces, ASCII. Pydantic models and paths are accepted.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
        TypeError: something that JSON cannot say.
    """
    return json.dumps(obj, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain).encode()


def _plain(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def hash_json(obj: Any) -> str:
    """The first 32 hex characters of the SHA-256 of the canonical JSON of `obj`."""
    return hashlib.sha256(canonical_json(obj)).hexdigest()[:VERSION_CHARS]


def build_key(
    *,
    stage: str,
    code_version: str,
    config: Any,
    inputs: Mapping[str, str],
    seed: int | None,
    nonce: str | None = None,
) -> str:
    """The hash of everything that goes into an artifact: has this been computed already?

    Args:
        stage: name of the stage, so that two stages with equal inputs do not share a key.
        code_version: of the stage's code, see `code_version`.
        config: the stage's share of the configuration (plain JSON or a pydantic model).
        inputs: data version of each input, by the input's name.
        seed: where the stage draws random numbers.
        nonce: makes the key new, so that a rebuild is forced.
    """
    return hash_json(
        {
            "stage": stage,
            "code_version": code_version,
            "config": config,
            "inputs": dict(inputs),
            "seed": seed,
            "nonce": nonce,
        }
    )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_version(
    directory: Path, exclude: Iterable[str] = (), sha256: Callable[[Path], str] = file_sha256
) -> str:
    """The data version of a folder of files (a model): names, sizes and SHA-256.

    Args:
        directory: the folder; links to files in it are followed.
        exclude: patterns (as in the shell) of names, relative to the folder, that do not count.
        sha256: gives the hash of a file.
    """
    files = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if path.is_file() and not any(fnmatch(name, pattern) for pattern in exclude):
            files[name] = [path.stat().st_size, sha256(path)]
    return hash_json(files)
