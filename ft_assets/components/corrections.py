"""The corrections of a task as a source of `labeled_examples`: where they lie, what they hold, watching them."""

import re
from collections.abc import Callable, Collection, Mapping
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import TYPE_CHECKING

from ft_assets.components.stage import Task, Watch
from ft_assets.errors import UserError
from ft_assets.paths import data_dir
from ft_assets.sources.files import local_path
from ft_assets.versions import file_sha256

if TYPE_CHECKING:
    from ft_assets.data.corrections import Correction

__all__ = ["corrections_file", "identity", "lines_about", "read_corrections", "watch"]

_NAME = "source:corrections"
_IDS = re.compile(rb"[0-9a-f]{16}")


def corrections_file(task: Task) -> Path:
    """The file of a task that chooses labels; there may be none yet."""
    given = task.config.label_rules.corrections
    if given is None:
        return data_dir() / "corrections" / f"{task.name}.jsonl"
    return local_path(given, task.base_of(given))


def identity(task: Task, sha256: Callable[[Path], str] = file_sha256) -> dict[str, str]:
    """The file's content as a source; nothing where there is none, so that the build key is that of no corrections.

    Raises:
        UserError: the task names a file that is not there.
    """
    path = corrections_file(task)
    if path.is_file():
        return {_NAME: sha256(path)}
    if task.config.label_rules.corrections is not None:
        raise UserError(
            "there is no file of corrections",
            where=str(path),
            do="correct `labels.corrections` in the task, or make an empty file there",
        )
    return {}


def watch(task: Task) -> Watch:
    """Looks at the file."""
    return Watch((_NAME,), lambda sha256: identity(task, sha256))


def lines_about(task: Task, ids: Collection[str]) -> int:
    """How many lines of the file name one of these rows, whether or not they can be read otherwise."""
    if task.config.label_names is None or not corrections_file(task).is_file():
        return 0
    wanted = {each.encode() for each in ids}
    lines = corrections_file(task).read_bytes().splitlines()
    return sum(not wanted.isdisjoint(_IDS.findall(line)) for line in lines)


def read_corrections(task: Task, sources: Mapping[str, str]) -> "list[Correction] | None":
    """What the file says; None where there is none.

    Args:
        task: the task.
        sources: what `identity` gave when the build began.

    Raises:
        UserError: a line is wrong, or the file has changed since.
    """
    from ft_assets.data.corrections import parse

    if _NAME not in sources:
        return None
    path = corrections_file(task)
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if sha256_of(data).hexdigest() != sources[_NAME]:
        raise UserError("the corrections changed while they were read", where=str(path), do="run it again")
    return parse(data, path, task.config.label_rules.label_names())
