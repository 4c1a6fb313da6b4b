"""The Hugging Face hub: `hf://OWNER/NAME@REVISION[/PATH]` (a model) or
`hf://datasets/OWNER/NAME@REVISION[/PATH]`. The path is a file, a folder, or a pattern with `*`, `?`, `[…]` and `**`.

`HF_ENDPOINT` names another hub, `HF_TOKEN` opens what is gated. A commit hash as revision is final: it is
not looked up again once it is cached. A branch or tag is looked up each time, and the last known commit is
used with the network off.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from fnmatch import fnmatch
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from urllib.parse import quote, urlsplit

from ft_assets.disk import is_out_of_room, write_synced
from ft_assets.errors import UserError
from ft_assets.sources.cache import cached, intact, safe_name
from ft_assets.versions import hash_json

__all__ = ["HubSource", "fetch", "parse"]

_SOURCE = re.compile(
    r"hf://(?P<datasets>datasets/)?(?P<repo>(?:[\w.-]+/)?[\w.-]+)@(?P<revision>[^/@]+)(?:/(?P<path>.+?))?/?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
# Not read by this project: weights of other frameworks, and formats that are unpickled.
_NOT_FOR_MODELS = (
    "*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack", "*.onnx", "*.onnx_data", "*.ot",
    "*.tflite", "*.gguf", "*.mlmodel", "*.mlpackage/*", "openvino/*", "onnx/*", "coreml/*", "original/*",
)  # fmt: skip


@dataclass(frozen=True)
class HubSource:
    """The parts of an `hf://` source. A `/` in a revision (`refs/pr/1`) is written as `%2F`."""

    repo: str
    revision: str
    path: str | None
    is_dataset: bool

    def __str__(self) -> str:
        path = f"/{self.path}" if self.path else ""
        kind = "datasets/" if self.is_dataset else ""
        return f"hf://{kind}{self.repo}@{quote(self.revision, safe='')}{path}"


def parse(source: str) -> HubSource:
    """Reads an `hf://` source.

    Raises:
        UserError: it does not have the form, or names no revision.
    """
    match = _SOURCE.fullmatch(source)
    if match is None:
        pinned = "@" in source
        raise UserError(
            f"'{source}' " + ("is no source of the form that hf:// has" if pinned else "names no revision"),
            do="write hf://OWNER/NAME@REVISION[/PATH]; pin it by the commit hash that the model's page shows "
            "under 'Files', since a branch changes without notice",
        )
    path = match["path"]
    if path is not None and safe_name(path) is None:
        raise UserError(f"'{path}' is no path inside a repository", where=source)
    return HubSource(match["repo"], match["revision"].replace("%2F", "/"), path, bool(match["datasets"]))


def fetch(source: str, cache: Path, *, for_model: bool = False) -> Path:
    """The local folder with the repository's files, or with those of the path.

    Args:
        source: see the module's docstring.
        cache: where fetched files are kept.
        for_model: leave out weights that are not read here (pickled ones, other frameworks'). A GGUF file is left
            out, too, unless the path names it.

    Raises:
        UserError: no such repository, revision or path; gated; the hub cannot be reached.
    """
    wanted = parse(source)
    folder = cache / "hub" / ("datasets" if wanted.is_dataset else "models") / wanted.repo.replace("/", "--")
    selection = hash_json([wanted.path, for_model])[:8]
    commit = wanted.revision if _COMMIT.fullmatch(wanted.revision) else None
    if commit is None or not intact(folder / f"{commit}-{selection}"):
        commit, names = _look_up(wanted, folder, selection, for_model)
        entry = folder / f"{commit}-{selection}"
        if names is not None:
            cached(entry, str(wanted), lambda draft: _download(wanted, commit, names, draft), resume=True)
    return _at_path(folder / f"{commit}-{selection}" / "files", wanted)


def _look_up(
    wanted: HubSource, folder: Path, selection: str, for_model: bool
) -> tuple[str, list[str] | None]:
    """The commit of a revision, and the names of the files to fetch.

    Without a hub: the commit that is known from before, and no names.
    """
    from huggingface_hub import HfApi

    known = folder / f"{quote(wanted.revision, safe='')}.ref"
    try:
        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        look_up = api.dataset_info if wanted.is_dataset else api.model_info
        info = look_up(wanted.repo, revision=wanted.revision)
    except _errors() as error:
        explained = _explained(wanted, error)
        commit = known.read_text() if known.is_file() else ""
        if isinstance(explained, _Unreachable) and commit and intact(folder / f"{commit}-{selection}"):
            return commit, None
        raise explained from error
    if info.sha is None:
        raise UserError(f"the hub names no commit for {wanted}", do="pin a commit hash")
    names = _select([file.rfilename for file in info.siblings or []], wanted, for_model)
    folder.mkdir(parents=True, exist_ok=True)
    draft = known.with_suffix(f".{os.getpid()}")
    write_synced(draft, info.sha.encode())
    draft.rename(known)
    return info.sha, names


def _select(names: list[str], wanted: HubSource, for_model: bool) -> list[str]:
    path = wanted.path
    inside = [name for name in names if path is None or name == path or name.startswith(f"{path}/")]
    if not inside and path is not None and has_magic(path):
        inside = list(filter(_pattern(path, wanted).fullmatch, names))
    if not inside:
        raise UserError(
            f"{wanted.repo} has no '{path}' at this revision" if path else f"{wanted.repo} is empty",
            where=f"{wanted}; it has {', '.join(sorted(names)[:8])}",
            do="correct the path after the revision",
        )
    if any(safe_name(name) is None for name in inside):
        raise UserError(f"{wanted.repo} has a file whose name leads out of it", where=str(wanted))
    if not for_model:
        return inside
    if path is not None and path.lower().endswith(".gguf"):
        return inside
    kept = [name for name in inside if not any(fnmatch(name, pattern) for pattern in _NOT_FOR_MODELS)]
    if not any(name.endswith(".safetensors") for name in kept):
        weights = [name for name in inside if fnmatch(name, "*.bin") or fnmatch(name, "*.pt")]
        ggufs = [name for name in inside if fnmatch(name, "*.gguf")]
        if ggufs:
            named = HubSource(wanted.repo, wanted.revision, ggufs[0], is_dataset=False)
            raise UserError(
                f"base model '{wanted}' has no safetensors weights, but {len(ggufs)} in GGUF's format",
                where=str(wanted),
                do=f"name the file that you want, such as {named}",
            )
        raise UserError(
            f"base model '{wanted}' has no safetensors weights"
            + (f", only pickled ones ({', '.join(weights[:3])})" if weights else ""),
            where=str(wanted),
            do="choose a revision that has model.safetensors (the hub offers conversions as refs/pr/…), or "
            "another model: pickled weights can run anything",
        )
    return kept


def _pattern(path: str, wanted: HubSource) -> re.Pattern[str]:
    from fsspec.utils import glob_translate

    try:
        return re.compile(glob_translate(path))
    except ValueError as error:
        raise UserError(str(error), where=str(wanted), do="write ** between two slashes") from error


def _download(wanted: HubSource, commit: str, names: list[str], draft: Path) -> None:
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            wanted.repo,
            repo_type="dataset" if wanted.is_dataset else "model",
            revision=commit,
            local_dir=draft,
            allow_patterns=[re.sub(r"([*?\[])", r"[\1]", name) for name in names],
            endpoint=os.environ.get("HF_ENDPOINT"),
        )
    except _errors() as error:
        raise _explained(wanted, error) from error
    missing = [name for name in names if not (draft / name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} files of {wanted} were not fetched, such as {missing[0]}", do="try again"
        )
    shutil.rmtree(draft / ".cache", ignore_errors=True)  # the client's notes on what it has fetched


def _at_path(files: Path, wanted: HubSource) -> Path:
    """The folder that a source means: of a pattern its fixed part. Nothing else was fetched into it."""
    place = files / (wanted.path or "")
    if wanted.path is not None and not place.exists():
        place = files.joinpath(*takewhile(lambda part: not has_magic(part), wanted.path.split("/")))
    return place.parent if place.is_file() else place


class _Unreachable(UserError):
    """The hub does not answer: what is known from before may do."""


def _errors() -> tuple[type[Exception], ...]:
    import httpx2
    from huggingface_hub.errors import HFValidationError

    return (OSError, httpx2.HTTPError, HFValidationError)  # the hub's own are OSErrors


def _explained(wanted: HubSource, error: Exception) -> Exception:
    """A hub's error in words for the person who has to act."""
    from huggingface_hub import errors as hub

    where = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").netloc
    if is_out_of_room(error):
        return error
    if isinstance(error, hub.GatedRepoError):
        do = "accept its terms on its page, and set HF_TOKEN to a token that may read it"
        return UserError(f"{wanted.repo} is gated", where=where, do=do)
    if isinstance(error, hub.RevisionNotFoundError):
        return UserError(
            f"{wanted.repo} has no revision '{wanted.revision}'",
            where=where,
            do="pin a commit hash that the model's page shows under 'Files'",
        )
    if isinstance(error, (hub.RepositoryNotFoundError, hub.HFValidationError)):
        kind = "data set" if wanted.is_dataset else "model"
        return UserError(
            f"there is no {kind} '{wanted.repo}', or it is private",
            where=where,
            do="correct the name; for a private one set HF_TOKEN",
        )
    return _Unreachable(
        f"{wanted} cannot be fetched: {str(error).partition(chr(10))[0] or type(error).__name__}",
        where=where,
        do="check the network and HF_ENDPOINT, or run `make fetch` while there is a network: afterwards the "
        "cached copy is used",
    )
