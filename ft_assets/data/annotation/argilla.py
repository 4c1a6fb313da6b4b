"""Argilla's records in JSON: to be read by `records.from_json`, as `records.to_json` and `records.to_list` give them.

The form is that of the SDK 2.8. Answers have a user's id and no time. Whether one was submitted is only told where
records are flattened (`to_list(flatten=True)`, a data set's CSV): there drafts and discarded ones are left out.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from typing import Any

from ft_assets.data.annotation import flat
from ft_assets.data.annotation.answer import LABEL, WHY, Answer, unusable

__all__ = ["answers", "is_mine", "record"]

AGENT = "confident learning"
_FLAT = f"{LABEL}.responses"
_SUBMITTED = "submitted"


def record(queued: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the queue as a record, with what is suggested as its suggestion."""
    about = flat.row(queued)
    suggestion = {"value": queued["suggested"], "score": queued["confidence"], "agent": AGENT}
    metadata = {name: about[name] for name in ("given_label", "score", "disagreement", "rank")}
    return {
        "id": about["example_id"],
        "fields": {"text": about["text"]},
        # Argilla has no metadata without a value.
        "metadata": {name: value for name, value in metadata.items() if value is not None},
        "suggestions": {LABEL: suggestion},
        "responses": {},
        "vectors": {},
    }


def is_mine(item: Mapping[str, Any]) -> bool:
    """Whether this is a record, nested or flattened."""
    return isinstance(item.get("responses"), dict) or any(name.endswith(".responses") for name in item)


def answers(item: Mapping[str, Any], where: str) -> Iterator[Answer]:
    """The answers to a record: one of each user."""
    if isinstance(item.get("responses"), dict):
        given = {name: _nested(found) for name, found in item["responses"].items()}
        there = sorted(given)
    else:
        given = {name: _flattened(item, name, where) for name in (LABEL, WHY)}
        there = [name.removesuffix(".responses") for name in item if name.endswith(".responses")]
    if there and LABEL not in there:
        raise unusable(
            where, f"there is no question '{LABEL}', but {', '.join(there)}", "name the question so"
        )
    reasons = dict(given.get(WHY, []))
    example_id = str(item.get("id") or "").strip()
    for user, label in given.get(LABEL, []):
        if not example_id:
            raise unusable(where, "the record has no id", "use the example_id as the record's id")
        yield Answer(
            example_id, label, f"Argilla user {user}" if user else "", "", reasons.get(user, ""), where
        )


def _nested(found: Any) -> list[tuple[str, str]]:
    """User and value of each response."""
    return [(str(each.get("user_id") or ""), str(each["value"])) for each in found or [] if each.get("value")]


def _flattened(item: Mapping[str, Any], name: str, where: str) -> list[tuple[str, str]]:
    columns = [_listed(item.get(f"{name}.responses{part}"), where) for part in ("", ".users", ".status")]
    values, users, states = columns
    users, states = users or [""] * len(values), states or [_SUBMITTED] * len(values)
    if not len(values) == len(users) == len(states):
        raise unusable(
            where, f"'{name}' has as many responses as neither users nor states", "export it as JSON"
        )
    found = zip(users, values, states, strict=True)
    return [(str(user), str(value)) for user, value, state in found if state == _SUBMITTED and value]


def _listed(value: Any, where: str) -> list[Any]:
    """A list, or a CSV cell that holds one as JSON or as Python writes it."""
    if isinstance(value, list):
        return value
    if value is None or value == "":
        return []
    try:
        found = json.loads(value)
    except (ValueError, TypeError):
        try:
            found = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
        # An array of numpy is written without commas: Python would read two texts as one.
        if not isinstance(found, list) or str(found) != value:
            raise unusable(where, "a cell holds no list", "export the records as JSON") from None
    return found if isinstance(found, list) else [found]
