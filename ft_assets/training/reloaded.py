"""After the last step: whether what was saved, loaded by a fresh process, is the model that was trained.

Compared are the logits, of the merged weights and of the adapter on the base model; what a model writes; and what
belongs to the model and is easily lost: tokenizer, chat template, padding, window, names of the classes.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ft_assets.errors import UserError
from ft_assets.training.batches import PadBatch
from ft_assets.training.checkpoint import (
    load_base,
    load_checkpoint,
    load_language_model,
    load_tokenizer,
    require_padding,
    with_adapter,
)
from ft_assets.training.conversations import Encoded, Encoder
from ft_assets.training.rows import model_window
from ft_assets.training.token_cache import tokenizer_hash

__all__ = ["TOLERANCE", "Base", "reloaded_classifier", "reloaded_language_model", "serve"]

_PROBES, _PROBE_TOKENS, _WRITTEN_TOKENS = 3, 256, 16
_CLASSIFIED_ROWS = 8
_ASKED, _EXPECTED = "asked.json", "logits.safetensors"
TOLERANCE = 1e-3
"""Largest difference between the logits of the trained and the reloaded model, as a share of the largest logit.
Merging an adapter rounds once more in fp32: measured about 1e-5 for 135 million parameters."""


@dataclass(frozen=True)
class Base:
    """The model that was trained on, for an adapter that is saved beside the merged weights."""

    folder: Path
    four_bits: bool = False
    """Whether its weights were in 4 bits."""


def reloaded_language_model(
    model: Any,
    encoder: Encoder,
    rows: Sequence[Encoded],
    *,
    save: Callable[[], Path],
    base: Base,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Save a model that writes, load what was saved in a fresh process, and compare: logits, written tokens, template,
    tokenizer.

    Args:
        model: as it was trained, adapters not merged.
        encoder: of the training.
        rows: some training rows; the first ones are probes.
        save: saves the model (and may change it), returns the folder.
        base: what it was trained on.
        tolerance: largest difference of a logit, as a share of the largest one; where the best two tokens are as
            close as that, the choice between them is not compared.

    Returns:
        What was compared, as plain JSON.

    Raises:
        UserError: they are not the same.
    """
    probes = [row.ids[:_PROBE_TOKENS] for row in rows[:_PROBES]]
    prompts = [row.ids[: max(1, int(row.learnt.argmax()))][:_PROBE_TOKENS] for row in rows[:_PROBES]]
    ends = sorted(encoder.end_ids)
    expected = _logits(model, probes)
    written = [_continued(model, ids, ends, tolerance) for ids in prompts]
    asked = {
        "kind": "language_model",
        "probes": [ids.tolist() for ids in probes],
        "prompts": [ids.tolist() for ids in prompts],
        "end_ids": ends,
        "tolerance": tolerance,
        **_place(model, base),
    }
    found = _another_process(save(), expected, asked)
    template = encoder.tokenizer.chat_template if encoder.has_template else None
    _require_the_same(
        found,
        tolerance,
        {
            "it writes other tokens": found["written"] == written,
            "its tokenizer is another one": found["tokenizer"] == tokenizer_hash(encoder.tokenizer),
            "its chat template is another one": found["chat_template"] == template,
        },
    )
    return {
        **_differences(found),
        "reloaded_same_tokens": sum(map(len, written)),
        "reloaded_template_and_tokenizer": "the same",
    }


def reloaded_classifier(
    model: Any,
    tokenizer: Any,
    rows: Sequence[Sequence[int]],
    *,
    window: int,
    save: Callable[[], Path],
    base: Base,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Save a model that chooses, load what was saved in a fresh process, and compare: logits of a padded batch, names
    of the classes, tokenizer and window.

    Args:
        model: as it was trained, adapters not merged.
        tokenizer: of the training.
        rows: token ids of the training rows; some of every length are probes.
        window: most tokens of a row.
        save: saves the model (and may change it), returns the folder.
        base: what it was trained on.
        tolerance: largest difference of a logit, as a share of the largest one.

    Returns:
        What was compared, as plain JSON.

    Raises:
        UserError: they are not the same.
    """
    by_length = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    places = np.linspace(0, len(rows) - 1, min(_CLASSIFIED_ROWS, len(rows))).round().astype(int)
    probes = [[int(token) for token in rows[by_length[place]]] for place in places]
    labels = _labels(model)
    expected = [_class_logits(model, tokenizer, probes)]
    asked = {"kind": "classifier", "probes": probes, "labels": labels, **_place(model, base)}
    found = _another_process(save(), expected, asked)
    _require_the_same(
        found,
        tolerance,
        {
            "its classes are others": found["labels"] == labels,
            "its tokenizer is another one": found["tokenizer"] == tokenizer_hash(tokenizer),
            f"it reads {found['window']} tokens of a row instead of {window}": found["window"] == window,
        },
    )
    return {
        **_differences(found),
        "reloaded_rows": len(probes),
        "reloaded_classes_tokenizer_and_window": "the same",
    }


def _place(model: Any, base: Base) -> dict[str, Any]:
    return {
        "device": str(next(model.parameters()).device),
        "threads": torch.get_num_threads(),
        "base": str(base.folder),
        "four_bits": base.four_bits,
    }


def _differences(found: dict[str, Any]) -> dict[str, float]:
    names = {"logit_difference": "reloaded_logit_difference", "adapter": "adapter_logit_difference"}
    return {told: found[name] for name, told in names.items() if found[name] is not None}


def _require_the_same(found: dict[str, Any], tolerance: float, same: dict[str, bool]) -> None:
    """
    Raises:
        UserError: a difference is above the tolerance, or something is not the same; tells what.
    """
    far = {"its logits": found["logit_difference"], "the logits of its adapter": found["adapter"]}
    wrong = [
        f"{whose} differ by {difference:.2g} of the largest one"
        for whose, difference in far.items()
        # NaN is no number below the tolerance.
        if difference is not None and not difference <= tolerance
    ]
    wrong += [what for what, holds in same.items() if not holds]
    if wrong:
        raise UserError(
            f"the saved checkpoint is not the model that was trained: {'; '.join(wrong)}",
            where="checkpoint",
            do="run it again; if it happens again, report it with the base model's name",
        )


def _another_process(folder: Path, expected: Sequence[torch.Tensor], asked: dict[str, Any]) -> dict[str, Any]:
    """What a process that has not trained finds in the folder.

    Raises:
        UserError: it cannot use it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        save_file({str(i): logits for i, logits in enumerate(expected)}, Path(scratch) / _EXPECTED)
        (Path(scratch) / _ASKED).write_text(json.dumps(asked), encoding="utf-8")
        reader = _Reader.standing_by()
        answer = reader.ask(folder, Path(scratch))
    if "error" in answer or asked["device"] != "cpu":
        reader.close()  # an idle process would hold memory of the GPU
    if "error" in answer:
        raise UserError(
            f"the checkpoint cannot be used by another process: {answer['error']}",
            where="checkpoint",
            do="run it again",
        )
    return answer


class _Reader:
    """The fresh process. It knows of the training what it is asked, and ends with the process that started it; one
    serves all checkpoints that are saved on a CPU, since loading the libraries takes far longer than looking at a
    small model."""

    _one: _Reader | None = None

    def __init__(self) -> None:
        command = [sys.executable, "-P", "-m", "ft_assets.training.fresh"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        atexit.register(self.close)

    @classmethod
    def standing_by(cls) -> _Reader:
        """The one that is there, or a new one."""
        if cls._one is None or cls._one._process.poll() is not None:
            cls._one = cls()
        return cls._one

    def ask(self, folder: Path, scratch: Path) -> dict[str, Any]:
        """What it says of a checkpoint; `error` if it cannot use it."""
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101 - pipes, see above
        try:
            self._process.stdin.write(json.dumps([str(folder), str(scratch)]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            return {"error": f"it ended with code {self._process.wait()}"}
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        """Let it end."""
        atexit.unregister(self.close)
        type(self)._one = None
        with suppress(BrokenPipeError), self._process:  # which closes its pipes and waits
            pass


def _logits(model: Any, probes: Sequence[np.ndarray]) -> list[torch.Tensor]:
    """Logits of each probe, float32, on the CPU."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        return [
            model(input_ids=torch.from_numpy(ids)[None].to(device)).logits[0].float().cpu().contiguous()
            for ids in probes
        ]


def _class_logits(model: Any, tokenizer: Any, probes: Sequence[Sequence[int]]) -> torch.Tensor:
    """Logits of the probes as one padded batch, float32, of shape (rows, classes), on the CPU."""
    device = next(model.parameters()).device
    pad = PadBatch(tokenizer.pad_token_id, left=tokenizer.padding_side == "left")
    model.eval()
    with torch.inference_mode():
        batch = {name: tensor.to(device) for name, tensor in pad.pad(probes).items()}
        logits: torch.Tensor = model(**batch).logits.float().cpu().contiguous()
    return logits


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


def _labels(model: Any) -> list[str]:
    return [model.config.id2label[i] for i in range(model.config.num_labels)]


# --- the fresh process ---


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answer what is asked, a line each."""
    for line in questions:
        folder, scratch = map(Path, json.loads(line))
        try:
            answer = _answer(folder, scratch)
        except Exception as error:  # whatever a library raises for what it cannot load: it is told
            answer = {"error": (str(error).strip() or type(error).__name__).splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


def _answer(folder: Path, scratch: Path) -> dict[str, Any]:
    """Load the folder, and compare with what lies in `scratch`."""
    asked = json.loads((scratch / _ASKED).read_text(encoding="utf-8"))
    saved = load_file(scratch / _EXPECTED)
    expected = [saved[str(i)] for i in range(len(saved))]
    torch.set_num_threads(asked["threads"])
    tokenizer = load_tokenizer(folder)
    look = _look_at_classifier if asked["kind"] == "classifier" else _look_at_language_model
    return look(folder, tokenizer, expected, asked) | {"tokenizer": tokenizer_hash(tokenizer)}


def _look_at_classifier(
    folder: Path, tokenizer: Any, expected: list[torch.Tensor], asked: dict[str, Any]
) -> dict[str, Any]:
    model = load_checkpoint(folder).to(asked["device"])
    # What a user gets: nothing is put right here that was not saved.
    found = {
        "logit_difference": _difference([_class_logits(model, tokenizer, asked["probes"])], expected),
        "adapter": None,
        "labels": _labels(model),
        "window": model_window(tokenizer, model.config),
    }
    if _has_adapter_beside(folder):
        del model
        base = load_base(Path(asked["base"]), asked["labels"], 0.0)[0]
        require_padding(tokenizer, base)
        adapted = with_adapter(base, folder).to(asked["device"])
        found["adapter"] = _difference([_class_logits(adapted, tokenizer, asked["probes"])], expected)
    return found


def _look_at_language_model(
    folder: Path, tokenizer: Any, expected: list[torch.Tensor], asked: dict[str, Any]
) -> dict[str, Any]:
    probes = [np.array(ids) for ids in asked["probes"]]
    model = load_language_model(folder).to(asked["device"])
    found = {
        "logit_difference": _difference(_logits(model, probes), expected),
        "adapter": None,
        "written": [
            _continued(model, np.array(ids), asked["end_ids"], asked["tolerance"]) for ids in asked["prompts"]
        ],
        "chat_template": tokenizer.chat_template or None,
    }
    if _has_adapter_beside(folder):
        del model
        base = load_language_model(Path(asked["base"]), 0.0, four_bits=asked["four_bits"])
        adapted = with_adapter(base, folder)
        # Weights in 4 bits are where they belong.
        adapted = adapted if asked["four_bits"] else adapted.to(asked["device"])
        found["adapter"] = _difference(_logits(adapted, probes), expected)
    return found


def _has_adapter_beside(folder: Path) -> bool:
    """Whether an adapter lies beside merged weights; one that cannot be merged has been loaded already."""
    return (folder / "adapter").is_dir() and (folder / "config.json").is_file()


def _difference(own: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """The largest difference of a logit, as a share of the largest one."""
    shares = [
        float((logits - wanted).abs().max() / wanted.abs().max())
        for logits, wanted in zip(own, expected, strict=True)
    ]
    return max(shares, default=0.0)
