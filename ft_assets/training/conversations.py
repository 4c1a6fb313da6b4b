"""Conversations as a model reads them: token ids, and which of them it learns.

A conversation is cut into segments at the borders of its answers, and each segment is tokenised by itself. So what the
model sees before an answer in training is, token for token, what it is given when it has to write one. The borders
come from rendering the conversation with and without each answer; no template needs marks for that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ft_assets.errors import UserError
from ft_assets.training.config import PromptConfig
from ft_assets.training.token_cache import Arrays, TokenCache, flat, split, texts_hash, tokenizer_hash
from ft_assets.turns import TOOLS, Turn, changed, texts
from ft_assets.versions import code_version

__all__ = ["Conversation", "Encoded", "Encoder", "conversation", "end_tokens"]


@dataclass(frozen=True)
class Conversation:
    """What stands before the last answer, and that answer. Without turns it is a plain text: all of it is learnt."""

    turns: tuple[Turn, ...]
    """Of the roles system, user, assistant (which may have calls of tools) and tool."""
    answer: str | None
    text: str = ""
    """The plain text."""
    tools: tuple[dict[str, Any], ...] = ()
    """What there is to call, as JSON schemas."""


@dataclass(frozen=True)
class Encoded:
    """Token ids of a conversation, int64, and which of them the model learns, bool."""

    ids: np.ndarray
    learnt: np.ndarray


def conversation(context: str | None, text: str, answer: str | None, prompt: PromptConfig) -> Conversation:
    """A row of the data layer with the task's prompt around it.

    Args:
        context: JSON list of the turns before the prompt, or None. A first one may list tools. A last one may stand
            for the text and say that a tool has said it; the task's template is not for that.
        text: the prompt; the whole text where there is no answer.
        answer: what is to be written.
        prompt: the task's system message and template.
    """
    before: list[Turn] = json.loads(context) if context else []
    if answer is None and not before:
        return Conversation((), None, text)
    tools = tuple(before.pop(0)["tools"]) if before and before[0]["role"] == TOOLS else ()
    if prompt.system is not None and not any(turn["role"] == "system" for turn in before):
        before.insert(0, {"role": "system", "content": prompt.system})
    if before and before[-1].get("stands_for") == "text":
        by_tool = before.pop() | {"content": text}
        del by_tool["stands_for"]
        return Conversation((*before, by_tool), answer, tools=tools)
    return Conversation((*before, {"role": "user", "content": prompt.filled(text)}), answer, tools=tools)


def end_tokens(model: Any) -> list[int]:
    """Ids that end an answer, as the model's generation settings have them."""
    ids = getattr(model.generation_config, "eos_token_id", None) if model.can_generate() else None
    return [] if ids is None else list(ids) if isinstance(ids, list | tuple) else [ids]


class Encoder:
    """Turns conversations into tokens with a tokenizer's own chat template; without one, turns are separated by line
    ends.

    Args:
        tokenizer: a transformers tokenizer.
        end_ids: further tokens that end an answer (those of the model's generation settings).
        cache: where whole conversations are kept as tokens.
    """

    def __init__(self, tokenizer: Any, end_ids: Sequence[int] = (), cache: TokenCache | None = None) -> None:
        self.tokenizer = tokenizer
        self._cache = cache
        self.has_template = bool(getattr(tokenizer, "chat_template", None))
        if tokenizer.eos_token_id is None and not end_ids:
            raise UserError(
                "the tokenizer has no end token, so the model could not learn when to stop",
                where="base model",
                do="choose another base model",
            )
        self.end_ids = {*end_ids} | (
            {tokenizer.eos_token_id} if tokenizer.eos_token_id is not None else set()
        )
        self._end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else min(self.end_ids)
        self.ends_added = 0
        """Answers after which the template has no end token, so that one was added."""
        self.defused = 0
        """Control tokens of the model that stood in texts and were broken up."""
        tokens = [token for token in tokenizer.all_special_tokens if len(token) > 1]
        self._control = re.compile("|".join(map(re.escape, tokens))) if tokens else None

    @property
    def template_hash(self) -> str:
        """Of what renders the conversations: the template."""
        template = self.tokenizer.chat_template if self.has_template else "none: turns separated by line ends"
        return hashlib.sha256(str(template).encode()).hexdigest()[:16]

    def encode(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        """Whole conversations, every answer of the assistant and its end token marked as learnt.

        Raises:
            UserError: the template refuses a conversation, or changes earlier turns when later ones come.
        """
        if self._cache is None:
            return self._encode(conversations)
        found = self._cache.get(self._made_of(conversations), lambda: self._arrays(conversations))
        self.ends_added, self.defused = (
            own + int(more)
            for own, more in zip((self.ends_added, self.defused), found["counts"], strict=True)
        )
        rows = zip(split(found), split(found, "learnt"), strict=True)
        return [Encoded(ids.astype(np.int64), learnt.astype(bool)) for ids, learnt in rows]

    def _made_of(self, conversations: Sequence[Conversation]) -> dict[str, Any]:
        """All that decides which tokens they become."""
        return {
            "rows": texts_hash(
                json.dumps([each.turns, each.answer, each.text, each.tools]) for each in conversations
            ),
            "tokenizer": tokenizer_hash(self.tokenizer),
            "template": self.template_hash,
            "ends": [self._end, *sorted(self.end_ids)],
            "code": code_version(__name__),
        }

    def _arrays(self, conversations: Sequence[Conversation]) -> Arrays:
        """What the cache keeps of them; the counts are those of these conversations alone."""
        before = self.ends_added, self.defused
        rows = self._encode(conversations)
        counts = np.array([self.ends_added - before[0], self.defused - before[1]])
        self.ends_added, self.defused = before
        learnt = [row.learnt for row in rows]
        marks = np.concatenate(learnt) if rows else np.zeros(0, dtype=bool)
        return flat([row.ids for row in rows]) | {"learnt": marks.astype(np.uint8), "counts": counts}

    def _encode(self, conversations: Sequence[Conversation]) -> list[Encoded]:
        segments = [self._segments(self._defused(each)) for each in conversations]
        tokens = iter(self._tokens([text for each in segments for text, _ in each]))
        made = []
        for each in segments:
            ids: list[int] = []
            learnt: list[bool] = []
            for _, learns in each:
                own = next(tokens)
                if learns and (not own or own[-1] not in self.end_ids):
                    own = [*own, self._end]
                    self.ends_added += 1
                ids += own
                learnt += [learns] * len(own)
            if learnt:
                learnt[0] = False  # nothing stands before the first token that could tell it
            made.append(Encoded(np.array(ids, dtype=np.int64), np.array(learnt, dtype=bool)))
        return made

    def prompts(self, conversations: Sequence[Conversation]) -> list[list[int]]:
        """What the model is given to write the last answer: token ids, up to where the answer begins."""
        safe = map(self._defused, conversations)
        return self._tokens([self._rendered(each.turns, each.tools, opens=True) for each in safe])

    def _defused(self, each: Conversation) -> Conversation:
        """The conversation with the model's control tokens broken up: a text that quotes `<|im_end|>` or the like must
        not end its turn and begin another one."""

        def safe(text: str) -> str:
            if self._control is None:
                return text
            text, found = self._control.subn(lambda token: f"{token[0][0]} {token[0][1:]}", text)
            self.defused += found
            return text

        return Conversation(
            tuple(changed(turn, safe) for turn in each.turns),
            safe(each.answer) if each.answer is not None else None,
            safe(each.text),
            tuple(changed(tool, safe) for tool in each.tools),
        )

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        # The template writes special tokens itself.
        found = self.tokenizer(
            list(texts),
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        tokens: list[list[int]] = found["input_ids"]
        return tokens

    def _segments(self, each: Conversation) -> list[tuple[str, bool]]:
        """Parts of the rendered text, and whether the model learns them."""
        if not each.turns:
            return [(f"{self.tokenizer.bos_token or ''}{each.text}", True)]
        turns = [
            *each.turns,
            *([{"role": "assistant", "content": each.answer}] if each.answer is not None else []),
        ]
        self._require_tools(turns, each.tools)
        segments: list[tuple[str, bool]] = []
        at = 0
        for place, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            before = self._rendered(turns[:place], each.tools, opens=True)
            through = self._rendered(turns[: place + 1], each.tools, opens=False)
            if not through.startswith(before) or len(before) < at:
                raise UserError(
                    "the chat template does not give an answer the same beginning in training as in use, or changes "
                    f"earlier turns when later ones come (turn {place + 1} of {len(turns)})",
                    where="base model: chat template",
                    do="choose a base model whose template only adds to what stands before",
                )
            # White space after the end token belongs to what comes next.
            answer = through[len(before) :].rstrip()
            _require_calls(turn, answer, f"turn {place + 1} of {len(turns)}")
            segments += [(before[at:], False), (answer, True)]
            at = len(before) + len(answer)
        return segments

    def _require_tools(self, turns: Sequence[Turn], tools: Sequence[Turn]) -> None:
        """
        Raises:
            UserError: the template leaves out which tools there are, or a tool speaks, and what it says makes no
                difference to what is rendered.
        """
        if tools:
            listed = self._rendered(turns[:1], tools, opens=True)
            if not all(str(tool.get("function", tool).get("name")) in listed for tool in tools):
                raise _left_out("the tools that a row lists")
        for place, turn in enumerate(turns):
            if turn["role"] != "tool" or not turn["content"]:
                continue
            silent = [*turns[:place], turn | {"content": ""}]
            heard = self._rendered(turns[: place + 1], tools, opens=True)
            if self._rendered(silent, tools, opens=True) == heard:
                raise _left_out(f"what tools say (turn {place + 1} of {len(turns)})")

    def _rendered(self, turns: Sequence[Turn], tools: Sequence[Turn], *, opens: bool) -> str:
        """The turns as text; `opens` adds what an answer begins after."""
        if not self.has_template:
            parts = [turn["content"] for turn in turns]
            return (self.tokenizer.bos_token or "") + "\n".join(parts) + ("\n" if opens else "")
        try:
            text: str = self.tokenizer.apply_chat_template(
                list(turns), tools=list(tools) or None, tokenize=False, add_generation_prompt=opens
            )
        except Exception as error:  # whatever the template raises: jinja's errors, or its own
            roles = ", ".join(turn["role"] for turn in turns)
            raise UserError(
                f"the chat template refuses a conversation of {roles} ({type(error).__name__})",
                where="base model: chat template",
                do="bring the rows into an order that it takes (most want user and assistant in turn, some no system "
                "message or no tools: `columns: {tool_turns: refuse}`), or choose another base model",
            ) from None
        return text


def _require_calls(turn: Turn, rendered: str, which: str) -> None:
    """
    Raises:
        UserError: the turn calls a tool, and its name or arguments are not in what the template has made of the turn.
    """
    for call in turn.get("tool_calls", ()):
        function = call["function"]
        for text in texts({"name": function["name"], "arguments": function["arguments"]}):
            # As it is, or as JSON spells it, with letters of other scripts escaped or not.
            spelt = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
            if not any(form.strip() in rendered for form in spelt):
                raise _left_out(f"calls of tools, or a part of them ({which})")


def _left_out(what: str) -> UserError:
    return UserError(
        f"the chat template leaves out {what}",
        where="base model: chat template",
        do="choose a base model whose template knows tools (the role 'tool', `tool_calls`, `tools`), or set `columns: "
        "{tool_turns: refuse}`",
    )
