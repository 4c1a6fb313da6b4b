"""The forms in which conversations come, and the one that they become: what stood before, the prompt, the answer.

A form is recognised by the columns of a file. Not here: reading files (`formats`), ids and groups (`readers`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ft_assets.data.config import ColumnsConfig
from ft_assets.data.formats import UNDECODABLE, Json, json_object, repeats_within, shown_names
from ft_assets.errors import UserError
from ft_assets.turns import TOOLS, Turn, texts

__all__ = [
    "GENERAL",
    "STANDS_FOR_TEXT",
    "TRANSLATIONS",
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

_TOOL_ROLES = dict.fromkeys(("tool", "function", "tool_response", "observation"), "tool")
"""What a tool has said, by its names. A call that is a turn of its own is the model's text."""
_CALL_ROLES = dict.fromkeys(("function_call", "tool_call"), "assistant")
_SHAREGPT_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bard", "bing", "model"), "assistant"),
}
_ROLES = ("system", "user", "assistant")
_ANSWER_OF = ("name", "tool_call_id")
"""Which call a tool answers."""
_DEEPEST = 50
"""Levels of lists and mappings in a call; real ones have a handful, and what reads them calls itself for each."""
_SURROGATE = re.compile("[\ud800-\udfff]")
# Roles that are met often and have no place here. Of others the name is not shown: it may be that of a person.
_KNOWN_FOREIGN = (*_TOOL_ROLES, *_CALL_ROLES, "developer")

STANDS_FOR_TEXT = {"role": "tool", "content": "", "stands_for": "text"}
"""Last message of a context whose prompt is what a tool has said."""


class Turns(NamedTuple):
    """A conversation as the data layer holds it."""

    context: str | None
    """JSON list of the turns before the prompt (see `ft_assets.turns`); None: there are none. Where a tool has spoken
    last, a last one without content stands for the text, with the tool's role (`STANDS_FOR_TEXT`)."""
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
        read: Makes turns of a row, as the task's settings of columns say.
        mapping: What becomes of the columns, for people.
        optional: Columns that it reads where they are.
        nested: Fields that may be lists of messages, or mappings; in the others only text is text.
    """

    name: str
    fields: tuple[str, ...]
    read: Callable[[Values, ColumnsConfig], Turns]
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


def pair(name: str, prompt: str, answer: str, optional: tuple[str, ...] = ()) -> Form:
    """A form whose fields are a prompt and its answer: texts, or lists of messages."""

    def read(values: Values, columns: ColumnsConfig) -> Turns:
        asked, said = values.get(prompt), values.get(answer)
        turns = _messages(asked, prompt) if _is_list(asked) else [_turn("user", asked)]
        turns += _messages(said, answer) if _is_list(said) else [_turn("assistant", said)]
        return _checked(turns, columns, values.get("tools"))

    return Form(
        name,
        (prompt, answer),
        read,
        f"{prompt} → text (and context); {answer} → label",
        optional,
        nested=(prompt, answer, *optional),
    )


def _chat(values: Values, columns: ColumnsConfig) -> Turns:
    return _checked(_messages(values.get("messages"), "messages"), columns, values.get("tools"))


def _sharegpt(values: Values, columns: ColumnsConfig) -> Turns:
    turns = [
        _turn(_sharegpt_role(entry.get("from")), entry.get("value"))
        for entry in _entries(values.get("conversations"), "conversations")
    ]
    return _checked([*_system(values), *turns], columns)


def _sharegpt_role(name: Any) -> Any:
    return _SHAREGPT_ROLES.get(name.lower(), name) if isinstance(name, str) else name


def _alpaca(values: Values, columns: ColumnsConfig) -> Turns:
    instruction, more = values.get("instruction"), (values.get("input") or "").strip()
    joined = (instruction or "").strip() and more
    prompt = f"{instruction}\n\n{values['input']}" if joined else instruction
    turns = [*_system(values), _turn("user", prompt), _turn("assistant", values.get("output"))]
    return _checked(turns, columns)


def _translations(values: Values, columns: ColumnsConfig) -> Turns:
    """A text in several languages, by their names: `{"en": …, "fr": …}`."""
    texts = _json(values.get("translation"), "translation")
    if not isinstance(texts, dict):
        raise Unusable(MALFORMED_CONVERSATION, "'translation' is no mapping of languages to texts")
    languages = columns.languages
    if languages is None:
        raise UserError(
            f"the languages of a row are {shown_names(list(texts))}, and the task does not say which is translated "
            "into which",
            where="columns",
            do="say it with `columns: {languages: {source: en, target: fr}}`",
        )
    for name, rule in ((languages.source, "no_prompt"), (languages.target, "no_answer")):
        if name not in texts:
            raise Unusable(rule, f"there is no text in '{name}'")
    turns = [_turn("user", texts[languages.source]), _turn("assistant", texts[languages.target])]
    return _checked(turns, columns)


def _plain(values: Values, columns: ColumnsConfig) -> Turns:
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


def _messages(value: str | None, field: str) -> list[Turn]:
    return [_message(entry) for entry in _entries(value, field)]


def _message(entry: Mapping[str, Any]) -> Turn:
    """A message, with the calls of tools that stand beside its content and what a tool's answer belongs to."""
    turn = _turn(entry.get("role"), entry.get("content"))
    calls = entry.get("tool_calls") or ([entry["function_call"]] if entry.get("function_call") else None)
    if calls:
        turn["tool_calls"] = calls
    if turn["role"] in _TOOL_ROLES:
        turn |= {name: entry[name] for name in _ANSWER_OF if isinstance(entry.get(name), str)}
    return turn


def _json(value: str | None, field: str) -> Any:
    if isinstance(value, Json):
        return json.loads(value)
    try:
        found = json.loads(value or "null", object_pairs_hook=json_object)
    except (ValueError, RecursionError):
        raise Unusable(MALFORMED_CONVERSATION, f"'{field}' is no JSON") from None
    if repeats_within(found):
        raise Unusable(MALFORMED_CONVERSATION, f"in '{field}' a key stands twice in one object")
    return found


def _entries(value: str | None, field: str) -> list[dict[str, Any]]:
    found = _json(value, field)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise Unusable(MALFORMED_CONVERSATION, f"'{field}' is no list of messages")
    return found


def _checked(turns: list[Turn], columns: ColumnsConfig, tools: str | None = None) -> Turns:
    """Turns that end with an answer to a prompt, or to what a tool has said.

    Args:
        turns: as the form has them.
        columns: whether tools may speak.
        tools: JSON list of the tools that there are to call; read where they may.

    Raises:
        Unusable: They don't.
    """
    keeps_tools = columns.tool_turns == "keep"
    turns = [_with_calls(turn, f"turn {i} of {len(turns)}", keeps_tools) for i, turn in enumerate(turns, 1)]
    for place, turn in enumerate(turns, 1):
        _check_turn(turn, place, len(turns), keeps_tools=keeps_tools)
    if not any(turn["role"] == "assistant" for turn in turns):
        raise Unusable("no_answer", "no turn is an answer")
    if turns[-1]["role"] != "assistant":
        raise Unusable("unanswered", "the last turn has no answer")
    if "tool_calls" in turns[-1]:
        raise Unusable("tool_call", "the last turn is a call of a tool: an answer in words has to come last")
    if not (turns[-1]["content"] or "").strip():
        raise Unusable("no_answer", "the last answer is empty")
    prompt = turns[-2] if len(turns) > 1 else _turn(None, None)
    by_tool = prompt["role"] == "tool"
    asked = any(turn["role"] == "user" for turn in (turns if by_tool else [prompt]))
    if not asked or not (prompt["content"] or "").strip():
        raise Unusable("no_prompt", "there is no prompt before the last answer")
    before = turns[:-2]
    if by_tool:
        before.append(STANDS_FOR_TEXT | {name: prompt[name] for name in _ANSWER_OF if name in prompt})
    if keeps_tools and tools:
        before.insert(0, _listed(tools))
    context = json.dumps(before, ensure_ascii=False) if before else None
    return Turns(context, prompt["content"], turns[-1]["content"])


def _with_calls(turn: Turn, which: str, keeps_tools: bool) -> Turn:
    """A turn with its role and its calls in our layout.

    Raises:
        Unusable: It has calls that cannot be read, or that the task does not keep.
    """
    calls = turn.get("tool_calls")
    if not keeps_tools:
        if calls:
            raise Unusable(
                "tool_call",
                f"{which} has a call of a tool beside its content; `columns: {{tool_turns: keep}}` keeps it",
            )
        return turn
    turn = turn | {"role": _role(turn["role"])}
    if not calls:
        return turn
    if turn["role"] != "assistant" or not isinstance(calls, list):
        raise Unusable(MALFORMED_CONVERSATION, f"the calls of {which} are no list of an assistant's calls")
    return turn | {"content": turn["content"] or "", "tool_calls": [_call(each, which) for each in calls]}


def _call(call: Any, which: str) -> dict[str, Any]:
    """A call as templates expect it: what it calls below `function`, the arguments as a mapping (OpenAI sends them as
    JSON text)."""
    function = call.get("function", call) if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise Unusable(MALFORMED_CONVERSATION, f"a call in {which} has no name")
    given = function.get("arguments")
    arguments = _json(given, f"arguments of a call in {which}") if isinstance(given, str) else given
    arguments = {} if arguments is None else arguments
    if not isinstance(arguments, dict) or not _is_plain(arguments):
        raise Unusable(MALFORMED_CONVERSATION, f"the arguments of a call in {which} are no JSON object")
    identity = {"id": call["id"]} if isinstance(call.get("id"), str) else {}
    return identity | {"type": "function", "function": {"name": function["name"], "arguments": arguments}}


def _listed(tools: str) -> Turn:
    """The turn that lists the tools."""
    found = _entries(tools, "tools")
    if not all(map(_is_plain, found)):
        raise Unusable(MALFORMED_CONVERSATION, "'tools' is no JSON")
    return _turn(TOOLS, "") | {"tools": found}


def _is_plain(value: Any) -> bool:
    """Whether a value is JSON that others can read: no NaN, nested to a depth that nobody stumbles over."""
    try:
        return _depth(value) <= _DEEPEST and bool(json.dumps(value, allow_nan=False))
    except (ValueError, RecursionError):
        return False


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0)


def _role(name: Any) -> Any:
    return (_TOOL_ROLES | _CALL_ROLES).get(name, name) if isinstance(name, str) else name


def _check_turn(turn: Mapping[str, Any], place: int, count: int, *, keeps_tools: bool) -> None:
    role, content, which = turn["role"], turn["content"], f"turn {place} of {count}"
    if not isinstance(role, str):
        raise Unusable(MALFORMED_CONVERSATION, f"{which} has no role")
    known = (*_ROLES, "tool") if keeps_tools else _ROLES
    if role not in known:
        named = f"the role '{role}'" if role in _KNOWN_FOREIGN else "another role"
        hint = "" if role not in _TOOL_ROLES | _CALL_ROLES else "; `columns: {tool_turns: keep}` keeps it"
        raise Unusable("unknown_role", f"{which} has {named}: known are {', '.join(known)}{hint}")
    if role == "system" and place > 1:
        raise Unusable(MALFORMED_CONVERSATION, f"{which} is a system message: it comes first")
    # Of the last two a missing content is told as a missing prompt or answer.
    if not isinstance(content, str) and (content is not None or place < count - 1):
        raise Unusable(MALFORMED_CONVERSATION, f"the content of {which} is no text")
    if any(_SURROGATE.search(text) for text in ([content] if len(turn) == 2 else texts(turn)) if text):
        raise Unusable(UNDECODABLE, f"{which} holds half a character (a lone surrogate)")


CHAT = Form(
    "chat",
    ("messages",),
    _chat,
    "messages → context, text, label",
    ("tools",),
    ("messages", "tools"),
)
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
PROMPT_COMPLETION = pair("prompt_completion", "prompt", "completion", ("tools",))
TRANSLATIONS = Form(
    "translations",
    ("translation",),
    _translations,
    "translation (source language → text; target language → label)",
    nested=("translation",),
)
PLAIN = Form("completion", ("text",), _plain, "text → text; all of it is learnt")
GENERAL = (CHAT, SHAREGPT, ALPACA, PROMPT_COMPLETION, PLAIN)
"""Those of every task type whose model writes."""
