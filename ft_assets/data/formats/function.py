"""Rows from a user's Python function: `module:function`, no arguments, yields one mapping a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ft_assets.data.formats import Record, Refusal, Wanted, from_mappings
from ft_assets.errors import UserError
from ft_assets.sources import load_function
from ft_assets.sources.functions import place_of

__all__ = ["read"]


def read(reference: str, base: Path, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of the function, its module looked for in `base`; see the package for what is yielded.

    Raises:
        UserError: There is no such function, or it fails, or yields something else than mappings, or no row
            has a wanted column.
    """
    return from_mappings(_rows(load_function(reference, base), reference, base), wanted, reference)


def _rows(
    function: Callable[[], Iterable[Mapping[str, Any]]], reference: str, base: Path
) -> Iterator[tuple[int, Mapping[str, Any], None]]:
    number = 0
    try:
        for row in function():
            number += 1
            if not isinstance(row, Mapping):
                break
            yield number, dict(row), None  # a function may fill the same mapping again and again
        else:
            return
    except Exception as error:
        # The message of a foreign exception may hold a row: the chain ends here.
        raise UserError(
            f"the function raised {type(error).__name__} after {number} rows",
            where=f"function '{reference}' in sources ({place_of(error, base)})",
            do="call it by itself to see why",
        ) from None
    raise UserError(
        f"the function yielded a {type(row).__name__}, expected a mapping such as a dict",
        where=f"function '{reference}' in sources, row {number}",
        do="yield one dict a row",
    )
