"""JSON Lines: one object a line, fields of text, numbers or null. Blank lines are no rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ft_assets.data.config import SourceConfig
from ft_assets.data.formats import MALFORMED, Record, Refusal, Wanted, from_mappings, json_object
from ft_assets.data.formats.lines import Line, fault, iterate, to_bytes

__all__ = ["read"]

_DECODER = json.JSONDecoder(object_pairs_hook=json_object)


def read(path: Path, where: str, source: SourceConfig, wanted: Wanted) -> Iterator[Record | Refusal]:
    """Rows of a JSON Lines file; see the package for what is yielded.

    Raises:
        UserError: A wanted column is in no row.
    """
    lines = (line for line in iterate(path, source.encoding) if line.text.strip())
    rows = ((line.number, *_parse(line, where, source.encoding)) for line in lines)
    return from_mappings(rows, wanted, where)


def _parse(line: Line, where: str, encoding: str) -> tuple[Mapping[str, Any] | Refusal, bytes]:
    refusal = fault(line, where, encoding)
    if refusal is not None:
        return refusal, refusal.raw
    raw = to_bytes(line.text, encoding)
    try:
        value = _DECODER.decode(line.text)
    except json.JSONDecodeError as error:
        what = f"no JSON at character {error.pos + 1} ({error.msg})"
    except (ValueError, RecursionError) as error:  # a number of 4,300 digits, thousands of nested brackets
        what = f"no usable JSON ({type(error).__name__})"
    else:
        if isinstance(value, dict):
            return value, raw
        what = f"a JSON {type(value).__name__}, expected an object"
    return Refusal(line.number, MALFORMED, f"{where}, line {line.number}: {what}", raw), raw
