"""Functions of Python's own standard library, and what the first line of their docstrings says about them."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path

LEFT_OUT = {
    "test",
    "tests",
    "idlelib",
    "lib2to3",
    "turtledemo",
    "site-packages",
    "dist-packages",
    "__pycache__",
}
MOST_CHARACTERS = 1_500
"""Longer functions are left out: beyond some 450 tokens a small model on a CPU is slow, and reads little more."""


def rows() -> Iterator[dict[str, str]]:
    """One row a function: its code without the docstring, the docstring's first line, and its module.

    The same interpreter gives the same rows in the same order; another version of Python gives others.
    """
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.rglob("*.py")):
        place = path.relative_to(library)
        if LEFT_OUT.isdisjoint(place.parts):
            yield from _functions(path, ".".join(place.with_suffix("").parts))


def _functions(path: Path, module: str) -> Iterator[dict[str, str]]:
    source = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = ast.parse(source)
    except SyntaxError:  # some files are examples of bad code
        return
    lines = source.split("\n")  # as ast counts them: a form feed, say, ends no line there
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or len(node.body) < 2:
            continue  # nothing but a docstring tells nothing about the code
        summary = (ast.get_docstring(node) or "").strip().partition("\n")[0].strip()
        code = _without_docstring(node, lines)
        if summary and code and len(code) <= MOST_CHARACTERS and not _is_empty(node.body[1:]):
            yield {"prompt": code, "completion": summary, "group": module}


def _without_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """The lines of a function but those of its docstring: comments and layout stay.

    Nothing where code stands on the lines of the docstring, or on the last one of the function behind it.
    """
    docstring = node.body[0]
    last, end = docstring.end_lineno or 0, node.end_lineno or 0
    before = lines[docstring.lineno - 1].encode()[: docstring.col_offset]
    after = lines[last - 1].encode()[docstring.end_col_offset :].strip()
    behind = lines[end - 1].encode()[node.end_col_offset :].strip()
    if before.strip() or any(rest and not rest.startswith(b"#") for rest in (after, behind)):
        return ""
    return "\n".join([*lines[node.lineno - 1 : docstring.lineno - 1], *lines[last:end]])


def _is_empty(body: list[ast.stmt]) -> bool:
    return all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and each.value.value is ...)
        for each in body
    )
