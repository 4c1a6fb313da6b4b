"""Versions of code: the syntax tree of a stage's modules, and the libraries that it ran with."""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ft_assets.versions.plain import VERSION_CHARS, hash_json

__all__ = ["code_version", "library_versions"]

# Ending of the remembered hashes; another number whenever `_write_node` changes.
_MEMO = "code-version-1"


def library_versions(names: Iterable[str]) -> dict[str, str]:
    """The installed version of each named distribution; those that are not installed are left out."""
    versions = {}
    for name in sorted(names):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def code_version(*code: ModuleType | Callable[..., Any] | type | str | Path) -> str:
    """The hash of what the code does: its syntax tree without comments, docstrings, layout and positions.

    About 20 ms for 1,000 lines the first time; remembered in `__pycache__` for as long as the file stays as
    it is. Nothing is imported.

    Args:
        code: modules, functions or classes; names of modules (`"ft_assets.data.cleaning"`) or of something in
            one (`"ft_assets.data.splits:assign"`), found without importing them; paths of Python files or
            folders. A package stands for all of its modules.

    Raises:
        ModuleNotFoundError, OSError, ValueError: the source cannot be found.
    """
    enabled = gc.isenabled()
    gc.disable()  # thousands of small nodes, none of them garbage: collecting costs a fifth of the time
    try:
        parts = [part for item in code for part in _code_parts(item)]
    finally:
        if enabled:
            gc.enable()
    return hash_json(parts)


def _code_parts(item: ModuleType | Callable[..., Any] | type | str | Path) -> Iterator[str]:
    if isinstance(item, str):
        module, _, name = item.partition(":")
        path = _module_path(module)
        if name:
            yield _definition_hash(path, name)
        else:
            yield from _path_parts(path.parent if path.name == "__init__.py" else path)
    elif isinstance(item, Path):
        yield from _path_parts(item)
    elif isinstance(item, ModuleType):
        if item.__file__ is None:
            raise ValueError(f"module {item.__name__} has no source file")
        path = Path(item.__file__)
        yield from _path_parts(path.parent if path.name == "__init__.py" else path)
    else:
        yield _tree_hash(ast.parse(textwrap.dedent(inspect.getsource(item))).body[0])


def _path_parts(path: Path) -> Iterator[str]:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    for file in files:
        stat = file.stat()
        yield _file_hash(str(file), stat.st_mtime_ns, stat.st_size)


def _module_path(name: str) -> Path:
    """The source file of a module, found without importing it or the packages that it lies in."""
    top, *rest = name.split(".")
    spec = importlib.util.find_spec(top)
    for depth, _ in enumerate(rest, start=2):
        if spec is None or spec.submodule_search_locations is None:
            break
        full_name = ".".join(name.split(".")[:depth])
        spec = importlib.machinery.PathFinder.find_spec(full_name, list(spec.submodule_search_locations))
    if spec is None or spec.name != name:
        raise ModuleNotFoundError(f"no module named '{name}'", name=name)
    if spec.origin is None or not spec.origin.endswith(".py"):
        raise ValueError(f"module {name} has no source file")
    return Path(spec.origin)


@functools.lru_cache(maxsize=1024)
def _file_hash(path: str, mtime_ns: int, size: int) -> str:
    """The hash of a file, remembered beside its bytecode and valid as long as that would be."""
    memo = Path(path).parent / "__pycache__" / f"{Path(path).stem}.{sys.implementation.cache_tag}.{_MEMO}"
    stamp = f"{mtime_ns} {size} "
    try:
        text = memo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    if text.startswith(stamp) and len(text) == len(stamp) + VERSION_CHARS:
        return text.removeprefix(stamp)
    found = _tree_hash(ast.parse(Path(path).read_bytes()))
    if not sys.dont_write_bytecode:
        _remember(memo, stamp + found)
    return found


def _remember(memo: Path, text: str) -> None:
    draft = memo.with_name(f"{memo.name}.{os.getpid()}")
    # Where the code may not be written to, it is hashed again each time: slower, and no error.
    with contextlib.suppress(OSError):
        memo.parent.mkdir(exist_ok=True)
        draft.write_text(text, encoding="utf-8")
        draft.replace(memo)


def _definition_hash(path: Path, name: str) -> str:
    body: list[ast.stmt] = ast.parse(path.read_bytes()).body
    found: ast.stmt | None = None
    for part in name.split("."):
        found = next((node for node in body if getattr(node, "name", None) == part), None)
        if found is None:
            raise ValueError(f"{path.name} defines no '{name}'")
        body = getattr(found, "body", [])
    assert found is not None  # noqa: S101 - name.split gives at least one part
    return _tree_hash(found)


def _tree_hash(tree: ast.AST) -> str:
    out: list[str] = []
    _write_node(tree, out)
    return hashlib.sha256("\0".join(out).encode("utf-8", "surrogatepass")).hexdigest()[:VERSION_CHARS]


def _write_node(node: ast.AST, out: list[str]) -> None:
    """Like `ast.dump`, three times as fast, and without bare strings (docstrings)."""
    out.append(node.__class__.__name__)
    if isinstance(node, ast.Constant):
        out.append(repr(node.value))
        return
    for field, value in node.__dict__.items():
        # Absent parts are not written: newer versions of Python know fields that older ones do not.
        if field in _SKIPPED_FIELDS or value is None or value == []:
            continue
        out.append(field)
        if isinstance(value, ast.AST):
            _write_node(value, out)
        elif isinstance(value, list):
            _write_list(value, out)
        else:
            out.append(repr(value))
    out.append(")")


def _write_list(values: list[Any], out: list[str]) -> None:
    out.append("[")
    for value in values:
        if not isinstance(value, ast.AST):
            out.append(repr(value))
        elif not _is_bare_string(value):
            _write_node(value, out)
    out.append("]")


def _is_bare_string(node: ast.AST) -> bool:
    is_constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return is_constant and isinstance(node.value.value, str)  # type: ignore[attr-defined]


_SKIPPED_FIELDS = frozenset(
    {"ctx", "kind", "type_comment", "type_ignores", "lineno", "col_offset", "end_lineno", "end_col_offset"}
)
