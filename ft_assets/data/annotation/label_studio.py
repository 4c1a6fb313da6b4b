"""Label Studio's tasks in JSON: to import with a prediction, and as the tool exports them with annotations.

The form is that of Label Studio 1.23 (`label_studio_sdk` 2.1): `data` holds what the labelling interface shows,
`predictions` and `annotations` hold results by the name of the control.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from xml.sax.saxutils import quoteattr

from ft_assets.data.annotation import flat
from ft_assets.data.annotation.answer import LABEL, WHY, Answer, unusable
from ft_assets.data.corrections import REJECT
from ft_assets.data.formats import shown_names

__all__ = ["answers", "interface", "is_mine", "task"]

MODEL = "confident learning"


def task(queued: Mapping[str, Any]) -> dict[str, Any]:
    """A row of the queue as a task, with what is suggested as its prediction."""
    choice = {
        "from_name": LABEL,
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [queued["suggested"]]},
    }
    prediction = {"model_version": MODEL, "score": queued["confidence"], "result": [choice]}
    return {"data": flat.row(queued), "predictions": [prediction]}


def interface(labels: list[str]) -> str:
    """The labelling interface (XML) for a task with these labels, as it is to be pasted into the project's settings."""
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in dict.fromkeys([*labels, REJECT]))
    return (
        '<View>\n  <Text name="text" value="$text"/>\n'
        '  <Header value="given: $given_label, suggested: $suggested_label"/>\n'
        f'  <Choices name="{LABEL}" toName="text" choice="single" required="true">\n{choices}\n  </Choices>\n'
        f'  <TextArea name="{WHY}" toName="text" placeholder="why"/>\n</View>'
    )


def is_mine(item: Mapping[str, Any]) -> bool:
    """Whether this is a task."""
    return isinstance(item.get("data"), dict)


def answers(item: Mapping[str, Any], where: str) -> Iterator[Answer]:
    """The answers to a task, without those that were skipped."""
    for annotation in item.get("annotations") or []:
        if annotation.get("was_cancelled"):
            continue
        results = annotation.get("result") or []
        chosen = _values(results, LABEL, "choices")
        if not chosen:
            there = sorted({str(each.get("from_name")) for each in results if each.get("type") == "choices"})
            if there:
                told = shown_names(there)
                raise unusable(where, f"there is no choice '{LABEL}', but {told}", "name the control so")
            continue
        if len(chosen) > 1:
            raise unusable(where, "several labels were chosen", 'set choice="single" in the interface')
        example_id = str(item["data"].get("example_id") or "").strip()
        if not example_id:
            raise unusable(where, "the task's data has no example_id", "import tasks that were exported here")
        at = annotation.get("updated_at") or annotation.get("created_at") or ""
        why = " ".join(_values(results, WHY, "text"))
        yield Answer(example_id, chosen[0], _who(annotation.get("completed_by")), str(at), why, where)


def _values(results: list[Mapping[str, Any]], name: str, kind: str) -> list[str]:
    return [
        str(value)
        for each in results
        if each.get("from_name") == name
        for value in (each.get("value") or {}).get(kind) or []
    ]


def _who(completed_by: Any) -> str:
    """An address where the export has it, else the number of a user."""
    if isinstance(completed_by, dict):
        completed_by = completed_by.get("email") or completed_by.get("id")
    if completed_by is None:
        return ""
    return f"Label Studio user {completed_by}" if isinstance(completed_by, int) else str(completed_by)
