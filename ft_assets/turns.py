"""All that is written in a turn of a conversation, to be read or changed; standard library only.

A turn is `{"role", "content"}`. Beside its content, an assistant's may hold `tool_calls` (the layout of OpenAI, with
`arguments` as a mapping), a tool's its `name` and the `tool_call_id` that it answers. A first turn of the role `tools`
(`TOOLS`) lists, in `tools`, what there is to call.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["TOOLS", "Turn", "changed", "texts"]

Turn = dict[str, Any]

TOOLS = "tools"
"""Role of a turn that nobody says: it lists the tools."""

_FIXED = ("role", "stands_for")
"""What is ours, and no text."""


def changed(turn: Mapping[str, Any], change: Callable[[str], str]) -> Turn:
    """The turn with each of its texts changed: its content, and in calls and lists of tools every name, key, string and
    number. It stays what it is: JSON stays JSON, and no value is lost where two keys become one.

    Args:
        turn: is left as it is.
        change: is asked for every text, in the order of `texts`. A number is told as JSON spells it, and becomes a
            string only if it is changed.
    """
    return {name: value if name in _FIXED else _changed(value, change) for name, value in turn.items()}


def texts(turn: Mapping[str, Any]) -> list[str]:
    """All that `changed` asks about."""
    found: list[str] = []

    def note(text: str) -> str:
        found.append(text)
        return text

    changed(turn, note)
    return found


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_changed(each, change) for each in value]
    if isinstance(value, dict):
        made: dict[str, Any] = {}
        for key, each in value.items():
            name = change(key)
            while name in made:
                name += "_"
            made[name] = _changed(each, change)
        return made
    if isinstance(value, int | float) and not isinstance(value, bool):
        spelt = json.dumps(value)
        told = change(spelt)
        return value if told == spelt else told
    return value
