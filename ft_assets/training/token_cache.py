"""Tokenised rows on the disk, known by the content of what they were made of: another training on the same rows, with
other settings, does not tokenise them again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ft_assets.disk import folders, is_out_of_room
from ft_assets.versions import hash_json

__all__ = ["Arrays", "TokenCache", "flat", "split", "texts_hash", "tokenizer_hash"]

_FILE = "rows.safetensors"
_KEPT = 8
"""Entries that stay: the splits of some base models or windows. The one used longest ago goes first."""

_LONGEST_WRITE_SECONDS = 3_600

Arrays = dict[str, np.ndarray]
"""Named arrays: what a file of safetensors holds."""


class TokenCache:
    """Entries in a folder, each in a folder of its own.

    Args:
        folder: is made when the first entry is written. Whatever is in it may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, made_of: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """The entry, from the disk if it is there and whole, else made and kept.

        Args:
            made_of: all that decides what is in it, as JSON.
            make: makes the arrays.
        """
        entry = self._folder / hash_json(made_of)
        with contextlib.suppress(OSError, SafetensorError):
            found: Arrays = load_file(entry / _FILE)
            os.utime(entry)
            return found
        arrays = make()
        self._keep(entry, arrays)
        return arrays

    def _keep(self, entry: Path, arrays: Arrays) -> None:
        draft = self._folder / f".{uuid.uuid4().hex}"
        try:
            draft.mkdir(parents=True)
            save_file(arrays, draft / _FILE)
            shutil.rmtree(entry, ignore_errors=True)  # one that could not be read
            draft.rename(entry)
        except Exception as error:  # safetensors has its own kind of error for a full disk
            shutil.rmtree(draft, ignore_errors=True)
            # Without room nothing is kept; if another process has just written the same entry, that one stays.
            if not is_out_of_room(error) and not entry.exists():
                raise
        for left in self._folder.glob(".*"):  # by a process that was killed while it wrote
            if time.time() - _used(left) > _LONGEST_WRITE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
        for old in sorted(folders(self._folder), key=_used, reverse=True)[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)


def _used(entry: Path) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:  # another process has just removed it
        return 0.0


def tokenizer_hash(tokenizer: Any) -> str:
    """Of all that decides which tokens a text becomes."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    content = fast.to_str() if fast is not None else json.dumps(tokenizer.get_vocab(), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def texts_hash(texts: Iterable[str]) -> str:
    """A hash of texts in their order."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)
    return digest.hexdigest()


def flat(rows: list[Any]) -> Arrays:
    """Token ids of rows as two arrays: one after the other, int32, and how many each row has."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    ids = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]) if rows else np.zeros(0, np.int32)
    return {"ids": ids, "lengths": lengths}


def split(arrays: Arrays, name: str = "ids") -> list[np.ndarray]:
    """The rows again."""
    return np.split(arrays[name], np.cumsum(arrays["lengths"])[:-1]) if len(arrays["lengths"]) else []
