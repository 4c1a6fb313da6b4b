"""The user's own Python as a source: `module:function`, the module lying beside the task's `defs.yaml`."""

from __future__ import annotations

import difflib
import importlib
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from ft_assets.errors import UserError

__all__ = ["load_function", "place_of"]

_REFERENCE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_importing = threading.Lock()


def load_function(ref: str, base: Path) -> Callable[..., Any]:
    """Imports `module:function`, with `base` first on the path for the import only.

    Modules that lie in `base` are imported afresh and are not left in `sys.modules`, so that two tasks may
    each have a `reader.py`. A module that is not there is looked for among the installed ones.

    Args:
        ref: `module:function`; the module may be dotted.
        base: the task's folder.

    Raises:
        UserError: it is no such reference, there is no such module or function, or importing it fails.
    """
    if not _REFERENCE.fullmatch(ref):
        raise UserError(
            f"'{ref}' names no function", do="write it as module:function, for example reader:load_rows"
        )
    module_name, _, name = ref.partition(":")
    with _importing, _first_on_path(base):
        module = _import(module_name, ref, base)
    function = getattr(module, name, None)
    where = str(getattr(module, "__file__", module_name))
    if function is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        near = difflib.get_close_matches(name, known, n=1)
        raise UserError(
            f"module '{module_name}' has no function '{name}'",
            where=where,
            do=f"did you mean '{near[0]}'?" if near else f"it has: {', '.join(known) or 'no function'}",
        )
    if not callable(function):
        raise UserError(f"'{ref}' is a {type(function).__name__}, not a function", where=where)
    return function


def _import(module_name: str, ref: str, base: Path) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(
                f"importing '{module_name}' for {ref} failed: no module named '{error.name}'",
                where=str(base),
                do=f"install what provides '{error.name}', or put it beside the module",
            ) from error
        here = sorted(path.stem for path in base.glob("*.py")) if base.is_dir() else []
        raise UserError(
            f"there is no module '{module_name}' for {ref}",
            where=f"{base} has the modules: {', '.join(here) or 'none'}",
            do=f"put {module_name.replace('.', '/')}.py there",
        ) from error
    except Exception as error:
        raise UserError(
            f"importing '{module_name}' for {ref} failed: {type(error).__name__}: {error}",
            where=place_of(error, base),
            do="mend the module; it must import without its data at hand",
        ) from error


@contextmanager
def _first_on_path(base: Path) -> Iterator[None]:
    folder = str(base.resolve())
    hidden = {name: module for name, module in sys.modules.items() if _in_folder_names(name, base)}
    for name in hidden:
        del sys.modules[name]
    before = set(sys.modules)
    no_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(folder)
        sys.dont_write_bytecode = no_bytecode
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(f"{folder}/"):
                del sys.modules[name]
        sys.modules.update(hidden)


def _in_folder_names(name: str, base: Path) -> bool:
    """Whether a loaded module has the name of one in `base`, but was loaded from elsewhere."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names:
        return False
    return (base / f"{top}.py").is_file() or (base / top / "__init__.py").is_file()


def place_of(error: BaseException, base: Path) -> str:
    """File and line of the innermost frame in the user's folder."""
    trace, place = error.__traceback__, str(base)
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(str(base.resolve())):
            place = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}, line {error.lineno}"
    return place
