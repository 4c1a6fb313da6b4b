"""Tokenised rows on the disk, known by the content of what they were made of: another training on the same rows, with
other settings, does not tokenise them again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ft_assets.content_cache import ContentCache
from ft_assets.versions import hash_json

__all__ = ["Arrays", "TokenCache", "flat", "split", "texts_hash", "tokenizer_hash"]

_FILE = "rows.safetensors"
_KEPT = 8
"""Entries that stay: the splits of some base models or windows. The one used longest ago goes first."""

Arrays = dict[str, np.ndarray]
"""Named arrays: what a file of safetensors holds."""


class TokenCache:
    """Entries in a folder, each in a folder of its own.

    Args:
        folder: is made when the first entry is written. Whatever is in it may be deleted at any time.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._entries = ContentCache(folder)

    def get(self, made_of: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
        """The entry, from the disk if it is there and whole, else made and kept.

        Args:
            made_of: all that decides what is in it, as JSON.
            make: makes the arrays.
        """
        key = hash_json(made_of)
        found: Arrays | None = self._entries.read(
            key, lambda entry: load_file(entry / _FILE), SafetensorError
        )
        if found is not None:
            return found
        arrays = make()
        self._entries.write(key, lambda entry: save_file(arrays, entry / _FILE))
        self._entries.keep(most=_KEPT)
        return arrays


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
