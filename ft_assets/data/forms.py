"""The forms in which conversations come, and the one that they become: what stood before, the prompt, the answer.

A form is recognised by the columns of a file. Not here: reading files (`formats`), ids and groups (`readers`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ft_assets.data.formats import UNDECODABLE, Json, shown_names
from ft_assets.errors import UserError

__all__ = [
    "GENERAL",
    "Form",
    "Turns",
    "Unusable",
    "columns_by_field",
    "pair",
    "recognised",
]

MALFORMED_CONVERSATION = "malformed_conversation"

Values = Mapping[str, str | None]
"""What a row holds, by the form's fields; lists and mappings as JSON."""

_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bard", "bing", "model"), "assistant"),
}
_ROLES = ("system", "user", "assistant")
# Roles that are met often and have no place here. Of others the name is not shown: it may be that of a person.
_KNOWN_FOREIGN = (
    "tool",
    "function",
    "function_call",
    "tool_call",
    "tool_response",
    "observation",
    "developer",
)


class Turns(NamedTuple):
    """A conversation as the data layer holds it."""

    context: str | None
    """JSON list of the messages before the prompt, {"role", "content"} each; None: there are none."""
    text: str
    """The prompt; of a plain text, all of it."""
    label: str | None
    """The answer; None: a plain text."""


class Unusable(Exception):
    """A row that is no conversation to learn from. The reason holds nothing of its text."""

    def __init__(self, rule: str, reason: str) -> None:
        self.rule, self.reason = rule, reason
        super().__init__(reason)


@dataclass(frozen=True)
class Form:
    """One way to write conversations down.

    Attributes:
        name: What the task calls it (`columns.layout`).
        fields: The columns that it needs.
        read: Makes turns of a row.
        mapping: What becomes of the columns, for people.
        optional: Columns that it reads where they are.
        nested: Fields that may be lists of messages; in the others only text is text.
    """

    name: str
    fields: tuple[str, ...]
    read: Callable[[Values], Turns]
    mapping: str
    optional: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()


def columns_by_field(columns: Sequence[str], rename: Mapping[str, str], where: str = "") -> dict[str, str]:
    """Field → column. A renamed column stands before one that has the field's name by itself.

    Raises:
        UserError: Several columns are renamed to one field.
    """
    renamed: dict[str, str] = {}
    for name in dict.fromkeys(columns):
        field = rename.get(name)
        if field is None:
            continue
        if field in renamed and where:
            raise UserError(
                f"the columns '{renamed[field]}' and '{name}' are both to be '{field}'",
                where=where,
                do="leave one of them out of `columns: {rename: …}`",
            )
        renamed[field] = name
    return {name: name for name in columns if name not in rename} | renamed


def recognised(columns: Sequence[str], forms: Sequence[Form], layout: str, where: str) -> Form:
    """The form of a file.

    Args:
        columns: The names there, renamed as the task says.
        forms: Those that the task type knows. One of its own, beside the general ones, is taken if it fits; a plain
            text only if nothing else does.
        layout: Name of the form, or "auto".
        where: The file, for errors.

    Raises:
        UserError: No form fits, or several do.
    """
    known = "; ".join(f"{form.name} ({', '.join(form.fields)})" for form in forms)
    fitting = [form for form in forms if set(form.fields) <= set(columns)]
    if layout != "auto":
        fitting = [form for form in fitting if form.name == layout]
        missing = f"columns of the layout '{layout}' are missing"
    else:
        missing = "its columns are those of no form of conversations"
        fitting = [form for form in fitting if form is not PLAIN] or fitting
        fitting = [form for form in fitting if form not in GENERAL] or fitting
    if not fitting:
        raise UserError(
            f"{missing}; there are {shown_names(columns)}",
            where=where,
            do=f"map them with `columns: {{rename: {{your_name: field}}}}`; the forms are {known}",
        )
    if len(fitting) > 1:
        raise UserError(
            f"it could be read as {' or as '.join(form.name for form in fitting)}",
            where=where,
            do=f"say which one with `columns: {{layout: {fitting[0].name}}}`",
        )
    return fitting[0]


def pair(name: str, prompt: str, answer: str) -> Form:
    """A form whose fields are a prompt and its answer: texts, or lists of messages."""

    def read(values: Values) -> Turns:
        asked, said = values.get(prompt), values.get(answer)
        turns = _messages(asked, prompt) if _is_list(asked) else [_turn("user", asked)]
        turns += _messages(said, answer) if _is_list(said) else [_turn("assistant", said)]
        return _checked(turns)

    return Form(
        name,
        (prompt, answer),
        read,
        f"{prompt} → text (and context); {answer} → label",
        nested=(prompt, answer),
    )


def _chat(values: Values) -> Turns:
    return _checked(_messages(values.get("messages"), "messages"))


def _sharegpt(values: Values) -> Turns:
    turns = [
        _turn(_sharegpt_role(entry.get("from")), entry.get("value"))
        for entry in _entries(values.get("conversations"), "conversations")
    ]
    return _checked([*_system(values), *turns])


def _sharegpt_role(name: Any) -> Any:
    return _SHAREGPT_ROLES.get(name.lower(), name) if isinstance(name, str) else name


def _alpaca(values: Values) -> Turns:
    instruction, more = values.get("instruction"), (values.get("input") or "").strip()
    joined = (instruction or "").strip() and more
    prompt = f"{instruction}\n\n{values['input']}" if joined else instruction
    return _checked([*_system(values), _turn("user", prompt), _turn("assistant", values.get("output"))])


def _plain(values: Values) -> Turns:
    return Turns(None, values.get("text") or "", None)


def _system(values: Values) -> list[dict[str, Any]]:
    text = values.get("system")
    return [_turn("system", text)] if text and text.strip() else []


def _turn(role: Any, content: Any) -> dict[str, Any]:
    return {"role": role, "content": content}


def _is_list(value: str | None) -> bool:
    """Whether a value is a list of messages, or meant to be one, rather than a text that begins with a bracket."""
    if isinstance(value, Json):
        return True
    if value is None or not value.lstrip().startswith("["):
        return False
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(each, dict) and "role" in each for each in found)
    )


def _messages(value: str | None, field: str) -> list[dict[str, Any]]:
    return [_turn(entry.get("role"), entry.get("content")) for entry in _entries(value, field)]


def _entries(value: str | None, field: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(value or "null")
    except (ValueError, RecursionError):
        raise Unusable(MALFORMED_CONVERSATION, f"'{field}' is no JSON") from None
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Unusable(MALFORMED_CONVERSATION, f"'{field}' is no list of messages")
    return found


def _checked(turns: list[dict[str, Any]]) -> Turns:
    """Turns that end with an answer to a prompt.

    Raises:
        Unusable: They don't.
    """
    for place, turn in enumerate(turns, 1):
        _check_turn(turn, place, len(turns))
    if not any(turn["role"] == "assistant" for turn in turns):
        raise Unusable("no_answer", "no turn is an answer")
    if turns[-1]["role"] != "assistant":
        raise Unusable("unanswered", "the last turn has no answer")
    if not (turns[-1]["content"] or "").strip():
        raise Unusable("no_answer", "the last answer is empty")
    if len(turns) < 2 or turns[-2]["role"] != "user" or not (turns[-2]["content"] or "").strip():
        raise Unusable("no_prompt", "there is no prompt before the last answer")
    context = json.dumps(turns[:-2], ensure_ascii=False) if turns[:-2] else None
    return Turns(context, turns[-2]["content"], turns[-1]["content"])


def _check_turn(turn: Mapping[str, Any], place: int, count: int) -> None:
    role, content, which = turn["role"], turn["content"], f"turn {place} of {count}"
    if not isinstance(role, str):
        raise Unusable(MALFORMED_CONVERSATION, f"{which} has no role")
    if role not in _ROLES:
        named = f"the role '{role}'" if role in _KNOWN_FOREIGN else "another role"
        raise Unusable("unknown_role", f"{which} has {named}: known are {', '.join(_ROLES)}")
    if role == "system" and place > 1:
        raise Unusable(MALFORMED_CONVERSATION, f"{which} is a system message: it comes first")
    # Of the last two a missing content is told as a missing prompt or answer.
    if not isinstance(content, str) and (content is not None or place < count - 1):
        raise Unusable(MALFORMED_CONVERSATION, f"the content of {which} is no text")
    if isinstance(content, str) and not content.isascii() and any("\ud800" <= c <= "\udfff" for c in content):
        raise Unusable(UNDECODABLE, f"{which} holds half a character (a lone surrogate)")


CHAT = Form("chat", ("messages",), _chat, "messages → context, text, label", nested=("messages",))
SHAREGPT = Form(
    "sharegpt",
    ("conversations",),
    _sharegpt,
    "conversations (human → user, gpt → assistant) → context, text, label",
    ("system",),
    ("conversations",),
)
ALPACA = Form(
    "alpaca",
    ("instruction", "output"),
    _alpaca,
    "instruction + input → text; output → label; system → context",
    ("input", "system"),
)
PROMPT_COMPLETION = pair("prompt_completion", "prompt", "completion")
PLAIN = Form("completion", ("text",), _plain, "text → text; all of it is learnt")
GENERAL = (CHAT, SHAREGPT, ALPACA, PROMPT_COMPLETION, PLAIN)
"""Those of every task type whose model writes."""
