"""What is looked at before the first step: the silent failures of fine-tuning.

What is learnt, whether the end of an answer is, whether the tokenizer fits the model. What is looked at after the last
step is in `reloaded`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ft_assets.errors import UserError
from ft_assets.training.conversations import Encoded, Encoder
from ft_assets.training.rows import Rows
from ft_assets.training.sequences import Sequences
from ft_assets.training.token_cache import tokenizer_hash

__all__ = ["before_choosing", "before_writing"]

_SHOWN_ROWS = 3
_SHOWN_TOKENS = 60
"""Tokens that are shown before an answer, and of it."""


def before_writing(
    rows: Sequences, encoder: Encoder, model: Any, mask: Callable[[str], str]
) -> dict[str, Any]:
    """What a model that writes is about to learn, as plain JSON.

    Args:
        rows: the training rows.
        encoder: made them.
        model: its embeddings are compared with the tokenizer's vocabulary.
        mask: hides personal data in the examples that are shown.

    Raises:
        UserError: no end token is learnt though answers end, or the tokenizer knows more tokens than the model.
    """
    tokenizer = encoder.tokenizer
    vocabulary = _vocabulary(tokenizer, model, (row.ids for row in rows.rows))
    ended = sum(_ends(row, encoder) for row in rows.rows)
    if not ended:
        raise UserError(
            "no row's last learnt token is an end token: the model would never learn to stop",
            where="train split",
            do="raise training.max_length, so that answers are not cut",
        )
    return {
        "rows": len(rows),
        "tokens": int(rows.lengths.sum()),
        "learnt_tokens": rows.learnt_tokens,
        "cut": rows.cut,
        "dropped": rows.dropped,
        "without_answer": rows.without_answer,
        "ends_learnt": ended,
        "ends_added": encoder.ends_added,
        "control_tokens_defused": encoder.defused,
        "chat_template": encoder.template_hash if encoder.has_template else "none",
        **vocabulary,
        "examples": [_shown(row, tokenizer, mask) for row in rows.rows[:_SHOWN_ROWS]],
    }


def before_choosing(
    rows: Rows, validation: Rows | None, labels: Sequence[str], tokenizer: Any, model: Any
) -> dict[str, Any]:
    """What a model that chooses is about to learn, as plain JSON.

    Args:
        rows: the training rows.
        validation: the validation rows, if there are any.
        labels: names of the classes.
        tokenizer: made the rows; has a padding token.
        model: its embeddings are compared with the tokenizer's vocabulary.

    Raises:
        UserError: the tokenizer, or its padding, knows more tokens than the model.
    """
    held_out = validation.input_ids if validation is not None else []
    vocabulary = _vocabulary(tokenizer, model, chain(rows.input_ids, held_out, [[tokenizer.pad_token_id]]))
    counts = np.bincount(rows.labels, minlength=len(labels))
    # Some tokenizers that read bytes know every text, and name another token here.
    unknown = {tokenizer.unk_token_id} - {None, tokenizer.eos_token_id, tokenizer.pad_token_id}
    return {
        "rows": len(rows),
        "tokens": int(rows.lengths.sum()),
        "cut": int(rows.truncated.sum()),
        "cut_share": float(rows.truncated.mean()),
        "dropped": rows.dropped,
        # Of a language or script that the model does not know nothing else may be left.
        "unknown_tokens": sum(ids.count(token) for token in unknown for ids in rows.input_ids),
        "classes_without_rows": ", ".join(
            name for name, count in zip(labels, counts, strict=True) if not count
        )
        or "none",
        "padding_token": str(tokenizer.pad_token),
        "padding_is_end": tokenizer.pad_token_id == tokenizer.eos_token_id,
        **vocabulary,
    }


def _vocabulary(tokenizer: Any, model: Any, rows: Iterable[Sequence[int] | np.ndarray]) -> dict[str, Any]:
    """The tokenizer, and how many tokens it and the model know. A model may have more embeddings than there are tokens.

    Raises:
        UserError: a row has a token for which the model has no embedding.
    """
    embeddings, vocabulary = model.get_input_embeddings().num_embeddings, len(tokenizer)
    largest = max((int(max(ids)) for ids in rows if len(ids)), default=0)
    if largest >= embeddings:
        raise UserError(
            f"the tokenizer gives token {largest}, and the model has embeddings for {embeddings} (the tokenizer knows "
            f"{vocabulary})",
            where="base model",
            do="take the tokenizer that belongs to the model, or a model whose embeddings have been enlarged for it",
        )
    return {"tokenizer": tokenizer_hash(tokenizer), "vocabulary": vocabulary, "embeddings": embeddings}


def _ends(row: Encoded, encoder: Encoder) -> bool:
    return int(row.ids[row.learnt.nonzero()[0][-1]]) in encoder.end_ids


def _shown(row: Encoded, tokenizer: Any, mask: Callable[[str], str]) -> dict[str, str]:
    """The first answer of a row and what stands before it, as text."""
    begins = int(row.learnt.argmax())
    rest = ~row.learnt[begins:]
    ends = begins + int(rest.argmax()) if rest.any() else len(row.ids)
    before, learnt = row.ids[max(0, begins - _SHOWN_TOKENS) : begins], row.ids[begins:ends][:_SHOWN_TOKENS]
    return {"not learnt": mask(tokenizer.decode(before)), "learnt": mask(tokenizer.decode(learnt))}
