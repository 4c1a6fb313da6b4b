"""One row an annotation: what a CSV holds, a line of JSON Lines, and Label Studio's JSON-MIN.

To be read: example_id and label; further `annotator` (Label Studio) or `by`; `updated_at`, `created_at` (Label Studio)
or `at`; `why`. A row without a label is one that nobody has answered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ft_assets.data.annotation.answer import LABEL, WHY, Answer, unusable

__all__ = ["COLUMNS", "answers", "row"]

COLUMNS = (
    "example_id",
    "text",
    "given_label",
    "suggested_label",
    "confidence",
    "score",
    "disagreement",
    "rank",
)
"""What is told of a row. None of them is called `label`: that is the answer."""


def row(queued: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the queue by the names of `COLUMNS`."""
    names = {"given_label": "label", "suggested_label": "suggested"}
    return {name: queued[names.get(name, name)] for name in COLUMNS}


def answers(item: Mapping[str, Any], where: str) -> Iterator[Answer]:
    """The answer in a row, if there is one."""
    label = item.get(LABEL)
    if LABEL not in item:
        raise unusable(where, f"there is no column '{LABEL}'", "name the question so, and export again")
    if label is None or label == "":
        return
    if not isinstance(label, str | int | float):
        raise unusable(where, "several labels were chosen, or none of a list", "ask for a single choice")
    example_id = _text(item, "example_id")
    if not example_id:
        raise unusable(
            where, "there is no example_id", "export the tasks with the data that they were made from"
        )
    annotator = _text(item, "annotator")
    # Label Studio gives the number of a user where it does not give the address.
    by = f"Label Studio user {annotator}" if annotator.isdecimal() else annotator or _text(item, "by")
    at = _text(item, "updated_at") or _text(item, "created_at") or _text(item, "at")
    yield Answer(example_id, str(label), by, at, _text(item, WHY), where)


def _text(item: Mapping[str, Any], name: str) -> str:
    value = item.get(name)
    return "" if value is None or isinstance(value, list | dict) else str(value).strip()
