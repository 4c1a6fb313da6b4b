"""What is looked at before the first step, and after the last one: the silent failures of fine-tuning.

Before: what is learnt, whether the end is, whether the tokenizer fits the model. After: whether what was saved, loaded
by a fresh process, is the model that was trained.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ft_assets.errors import UserError
from ft_assets.training.checkpoint import load_language_model, load_tokenizer
from ft_assets.training.conversations import Encoded, Encoder
from ft_assets.training.sequences import Sequences
from ft_assets.training.token_cache import tokenizer_hash

__all__ = ["TOLERANCE", "before_training", "reloaded"]

_SHOWN_ROWS = 3
_SHOWN_TOKENS = 60
"""Tokens that are shown before an answer, and of it."""
_PROBES, _PROBE_TOKENS, _WRITTEN_TOKENS = 3, 256, 16
TOLERANCE = 1e-3
"""Largest difference between the logits of the trained and the reloaded model, as a share of the largest logit.
Merging an adapter rounds once more in fp32: measured about 1e-5 for 135 million parameters."""


def before_training(
    rows: Sequences, encoder: Encoder, model: Any, mask: Callable[[str], str]
) -> dict[str, Any]:
    """What the model is about to learn, as plain JSON.

    Args:
        rows: the training rows.
        encoder: made them.
        model: its embeddings are compared with the tokenizer's vocabulary.
        mask: hides personal data in the examples that are shown.

    Raises:
        UserError: no end token is learnt though answers end, or the tokenizer knows more tokens than the model.
    """
    tokenizer = encoder.tokenizer
    embeddings, vocabulary = model.get_input_embeddings().num_embeddings, len(tokenizer)
    largest = max((int(row.ids.max()) for row in rows.rows), default=0)
    if largest >= embeddings:
        raise UserError(
            f"the tokenizer gives token {largest}, and the model has embeddings for {embeddings} (the tokenizer knows "
            f"{vocabulary})",
            where="base model",
            do="take the tokenizer that belongs to the model, or a model whose embeddings have been enlarged for it",
        )
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
        "tokenizer": tokenizer_hash(tokenizer),
        "vocabulary": vocabulary,
        "embeddings": embeddings,
        "examples": [_shown(row, tokenizer, mask) for row in rows.rows[:_SHOWN_ROWS]],
    }


def _ends(row: Encoded, encoder: Encoder) -> bool:
    return int(row.ids[row.learnt.nonzero()[0][-1]]) in encoder.end_ids


def _shown(row: Encoded, tokenizer: Any, mask: Callable[[str], str]) -> dict[str, str]:
    """The first answer of a row and what stands before it, as text."""
    begins = int(row.learnt.argmax())
    rest = ~row.learnt[begins:]
    ends = begins + int(rest.argmax()) if rest.any() else len(row.ids)
    before, learnt = row.ids[max(0, begins - _SHOWN_TOKENS) : begins], row.ids[begins:ends][:_SHOWN_TOKENS]
    return {"not learnt": mask(tokenizer.decode(before)), "learnt": mask(tokenizer.decode(learnt))}


def reloaded(
    model: Any,
    encoder: Encoder,
    rows: Sequence[Encoded],
    save: Callable[[], Path],
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Save the model, load what was saved in a fresh process, and compare: logits, written tokens, template, tokenizer.

    Args:
        model: as it was trained, adapters not merged.
        encoder: of the training.
        rows: some training rows; the first ones are probes.
        save: saves the model (and may change it), returns the folder.
        tolerance: largest difference of a logit, as a share of the largest one; where the best two tokens are as
            close as that, the choice between them is not compared.

    Returns:
        What was compared, as plain JSON.

    Raises:
        UserError: they are not the same.
    """
    probes = [row.ids[:_PROBE_TOKENS] for row in rows[:_PROBES]]
    prompts = [row.ids[: max(1, int(row.learnt.argmax()))][:_PROBE_TOKENS] for row in rows[:_PROBES]]
    expected = _logits(model, probes)
    ends = sorted(encoder.end_ids)
    written = [_continued(model, ids, ends, tolerance) for ids in prompts]
    folder = save()
    with tempfile.TemporaryDirectory() as scratch:
        save_file({str(i): logits for i, logits in enumerate(expected)}, Path(scratch) / "logits.safetensors")
        asked = {
            "probes": [ids.tolist() for ids in probes],
            "prompts": [ids.tolist() for ids in prompts],
            "end_ids": ends,
            "tolerance": tolerance,
            "device": str(next(model.parameters()).device),
        }
        (Path(scratch) / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "ft_assets.training.audit", str(folder), scratch]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            last = (ended.stderr.strip().splitlines() or ["nothing was said"])[-1]
            raise UserError(
                f"the checkpoint cannot be used by another process: {last}",
                where="checkpoint",
                do="run it again",
            )
        found = json.loads((Path(scratch) / "found.json").read_text(encoding="utf-8"))
    template = encoder.tokenizer.chat_template if encoder.has_template else None
    wrong = []
    if found["logit_difference"] > tolerance:
        wrong.append(f"its logits differ by {found['logit_difference']:.2g} of the largest one")
    if found["written"] != written:
        wrong.append("it writes other tokens")
    if found["tokenizer"] != tokenizer_hash(encoder.tokenizer):
        wrong.append("its tokenizer is another one")
    if found["chat_template"] != template:
        wrong.append("its chat template is another one")
    if wrong:
        raise UserError(
            f"the saved checkpoint is not the model that was trained: {'; '.join(wrong)}",
            where="checkpoint",
            do="run it again; if it happens again, report it with the base model's name",
        )
    return {
        "reloaded_logit_difference": found["logit_difference"],
        "reloaded_same_tokens": sum(map(len, written)),
        "reloaded_template_and_tokenizer": "the same",
    }


def _logits(model: Any, probes: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """Logits of each probe, float32, on the CPU."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        return [
            model(input_ids=torch.from_numpy(ids)[None].to(device)).logits[0].float().cpu().contiguous()
            for ids in probes
        ]


def _continued(model: Any, ids: np.ndarray, end_ids: list[int], tolerance: float) -> list[int]:
    """The tokens that the model writes after these, greedily. A choice between two that are as good as equal ends
    it: rounding decides there."""
    device = next(model.parameters()).device
    written: list[int] = []
    tokens = torch.from_numpy(ids)[None].to(device)
    with torch.inference_mode():
        for _ in range(_WRITTEN_TOKENS):
            best = model(input_ids=tokens).logits[0, -1].float().topk(2)
            if best.values[0] - best.values[1] < 2 * tolerance * best.values[0].abs():
                break
            written.append(int(best.indices[0]))
            if written[-1] in end_ids:
                break
            tokens = torch.cat([tokens, best.indices[:1][None]], dim=1)
    return written


def _answer(folder: Path, scratch: Path) -> None:
    """The fresh process's part: load the folder, compare with the logits in `scratch`, write found.json there."""
    asked = json.loads((scratch / "asked.json").read_text(encoding="utf-8"))
    expected = load_file(scratch / "logits.safetensors")
    model, tokenizer = load_language_model(folder).to(asked["device"]), load_tokenizer(folder)
    own = _logits(model, [np.array(ids) for ids in asked["probes"]])
    differences = [
        float((logits - expected[str(i)]).abs().max() / expected[str(i)].abs().max())
        for i, logits in enumerate(own)
    ]
    found = {
        "logit_difference": max(differences, default=0.0),
        "written": [
            _continued(model, np.array(ids), asked["end_ids"], asked["tolerance"]) for ids in asked["prompts"]
        ],
        "tokenizer": tokenizer_hash(tokenizer),
        "chat_template": tokenizer.chat_template or None,
    }
    (scratch / "found.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), Path(sys.argv[2]))
