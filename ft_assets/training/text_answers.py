"""Writing answers with a language model, and how likely it finds the reference answers. Apart from training, so that it
starts without what only training needs."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn.functional import log_softmax

from ft_assets.errors import UserError
from ft_assets.training.batches import batches_by_tokens
from ft_assets.training.checkpoint import load_language_model, load_tokenizer, require_padding
from ft_assets.training.config import GenerationConfig, PromptConfig, TrainingConfig
from ft_assets.training.conversations import Conversation, Encoder, end_tokens
from ft_assets.training.hardware import Hardware, choose_hardware, peak_memory
from ft_assets.training.prefix import Prefix, read_prefix
from ft_assets.training.progress import Report
from ft_assets.training.rows import model_window
from ft_assets.training.sequences import Conversations, read_conversations

__all__ = ["write_answers"]

_SECONDS_BETWEEN_MESSAGES = 1.0
_TOKENS_HELD = {"cpu": 8_192, "cuda": 262_144}
"""Most tokens, new ones counted, whose keys and values are held while a batch is written: 46 KB a token with
SmolLM2-135M in fp32, so 0.4 GB on a CPU; some 30 GB on a GPU with a model of 1 billion."""


def write_answers(
    *,
    checkpoint: Path,
    examples: Path,
    prompt: PromptConfig,
    generation: GenerationConfig,
    config: TrainingConfig,
    output: Path,
    report: Report,
    train: Path | None = None,
    shots: int = 0,
) -> dict[str, Any]:
    """Write an answer to each example, score its reference, and write `predictions.parquet` into `output`.

    Columns: example_id; prediction, the answer (null where the example has no reference: a plain text is scored
    alone); nll, the summed negative log-likelihood of the reference's tokens and its end, in nats; tokens, how many
    these are; ended, whether the model ended its answer itself; truncated, whether the prompt was cut.

    Args:
        checkpoint: folder of the model.
        examples: Parquet file with example_id, context, text, label.
        prompt: what stands around each row's prompt.
        generation: how answers are written, and for how many rows.
        config: device, precision, threads, tokens_per_pass and max_length are read.
        output: existing directory.
        report: receives progress and note messages.
        train: Parquet file that `shots` are taken from.
        shots: training examples that stand before each prompt.

    Returns:
        What was measured and used: the content of `prediction.json`.

    Raises:
        UserError: the checkpoint or rows cannot be used, or the model gives NaN.
    """
    started = time.perf_counter()
    hardware = choose_hardware(config)
    model, tokenizer = load_language_model(checkpoint).to(hardware.device).eval(), load_tokenizer(checkpoint)
    require_padding(tokenizer, model)
    encoder = Encoder(tokenizer, end_tokens(model))
    writer = _Writer(
        model, encoder, hardware, generation, model_window(tokenizer, model.config, config.max_length)
    )
    rows = read_conversations(examples, prompt, generation.max_rows)
    if shots and train is not None:
        rows = _with_shots(rows, _shots(read_conversations(train, prompt), shots, config.seed))
    nll, tokens = writer.score(rows, report)
    answered = [i for i, each in enumerate(rows.conversations) if each.answer is not None]
    answers = writer.write(rows.only(answered), report)
    written: list[str | None] = [None] * len(rows)
    ended: list[bool | None] = [None] * len(rows)
    truncated = [False] * len(rows)
    for place, answer in zip(answered, answers.texts, strict=True):
        written[place] = answer
    for place, end, cut in zip(answered, answers.ended, answers.truncated, strict=True):
        ended[place], truncated[place] = end, cut
    if not np.isfinite(nll).all():
        raise UserError("the model gives NaN", where="checkpoint", do="materialize the checkpoint anew")
    columns = {
        "example_id": pa.array(rows.example_ids, pa.string()),
        "prediction": pa.array(written, pa.string()),
        "nll": pa.array(nll, pa.float64()),
        "tokens": pa.array(tokens, pa.int64()),
        "ended": pa.array(ended, pa.bool_()),
        "truncated": pa.array(truncated, pa.bool_()),
    }
    pq.write_table(pa.table(columns), output / "predictions.parquet", compression="zstd")
    return {
        "rows": len(rows),
        "answers": len(answered),
        "shots": shots,
        "truncated": sum(truncated),
        "window": writer.window,
        "seconds": time.perf_counter() - started,
        "examples_per_second": len(answered) / max(answers.seconds, 1e-9),
        "new_tokens_per_second": answers.new_tokens / max(answers.seconds, 1e-9),
        "new_tokens": answers.new_tokens,
        "device": hardware.device,
        "device_name": hardware.device_name,
        "threads": hardware.threads,
        "precision": hardware.precision,
        "attention": getattr(model.config, "_attn_implementation", None),
        "peak_memory_bytes": peak_memory(hardware),
    }


def _shots(train: Conversations, shots: int, seed: int) -> list[Conversation]:
    """Training examples to show: drawn from those that are no longer than half of them are, with an answer and without
    turns before the prompt."""
    usable = [
        each
        for each in train.conversations
        if each.answer is not None and sum(turn["role"] != "system" for turn in each.turns) == 1
    ]
    if not usable:
        raise UserError(
            "no training example can be shown: all have turns before their prompt, or no answer",
            where="baseline few_shot",
            do="leave few_shot out of evaluation.baselines",
        )
    sizes = np.array([len(each.turns[-1]["content"]) + len(each.answer or "") for each in usable])
    short = np.flatnonzero(sizes <= np.median(sizes))
    drawn = np.random.default_rng(seed).choice(short, size=min(shots, len(short)), replace=False)
    return [usable[i] for i in drawn.tolist()]


def _with_shots(rows: Conversations, shots: Sequence[Conversation]) -> Conversations:
    """Each row with the shots as earlier turns, after the system message."""
    shown = [
        turn
        for each in shots
        for turn in (each.turns[-1], {"role": "assistant", "content": each.answer or ""})
    ]

    def led(each: Conversation) -> Conversation:
        if not each.turns:
            return each
        system = sum(turn["role"] == "system" for turn in each.turns[:1])
        return replace(each, turns=(*each.turns[:system], *shown, *each.turns[system:]))

    return Conversations(rows.example_ids, [led(each) for each in rows.conversations])


@dataclass(frozen=True)
class _Answers:
    texts: list[str]
    ended: list[bool]
    truncated: list[bool]
    new_tokens: int
    seconds: float


@dataclass(frozen=True)
class _Writer:
    """A model that scores and writes."""

    model: Any
    encoder: Encoder
    hardware: Hardware
    generation: GenerationConfig
    window: int

    def score(self, rows: Conversations, report: Report) -> tuple[np.ndarray, np.ndarray]:
        """Summed negative log-likelihood of each row's last answer (of a plain text: all of it), in nats; and its
        tokens."""
        encoded = self.encoder.encode(rows.conversations)
        ids = [row.ids[-self.window :] for row in encoded]
        # The first token has no prediction.
        sizes = [int(_last_answer(row.learnt)[-self.window :][1:].sum()) for row in encoded]
        nll = np.zeros(len(rows))
        prefix = self.prefix(ids, leave=max(sizes, default=0) + 1)
        lengths = np.array([len(row) for row in ids]) - prefix.length
        for batch in _told(
            batches_by_tokens(lengths, self.hardware.tokens_per_pass), len(rows), report, "scored"
        ):
            inputs = prefix.before([ids[i] for i in batch], self.encoder.tokenizer.pad_token_id)
            longest = max(sizes[i] for i in batch)
            with torch.inference_mode(), self.hardware.autocast():
                logits = self.model(**inputs, use_cache=True, logits_to_keep=longest + 1).logits
            # An answer stands at the end of its row; the logits of its tokens are those of the places before them.
            likely = log_softmax(logits[:, -longest - 1 : -1].float(), -1)
            for place, i in enumerate(batch):
                wanted = torch.from_numpy(ids[i][len(ids[i]) - sizes[i] :]).to(likely.device)
                own = likely[place, longest - sizes[i] :].gather(1, wanted[:, None])
                nll[i] = -float(own.double().sum())
        return nll, np.array(sizes, dtype=np.int64)

    def write(self, rows: Conversations, report: Report) -> _Answers:
        """The answers, greedily, in the order of the rows. Prompts that leave no room for an answer lose their
        beginning."""
        from transformers import GenerationConfig as Settings

        prompts = self.encoder.prompts(rows.conversations)
        room = max(1, self.window - self.generation.max_new_tokens)
        truncated = [len(ids) > room for ids in prompts]
        prompts = [ids[-room:] for ids in prompts]
        texts, ended, new_tokens = [""] * len(prompts), [False] * len(prompts), 0
        settings = Settings(
            do_sample=False,
            max_new_tokens=self.generation.max_new_tokens,
            eos_token_id=sorted(self.encoder.end_ids),
            pad_token_id=self.encoder.tokenizer.pad_token_id,
        )
        prefix = self.prefix([np.array(ids) for ids in prompts], leave=1)
        lengths = np.array([len(ids) + self.generation.max_new_tokens for ids in prompts], dtype=np.int64)
        started = time.perf_counter()
        batches = batches_by_tokens(lengths, _TOKENS_HELD[self.hardware.device])
        for batch in _told(batches, len(prompts), report, "written"):
            inputs = prefix.before(
                [np.array(prompts[i]) for i in batch], self.encoder.tokenizer.pad_token_id, whole=True
            )
            with torch.inference_mode(), self.hardware.autocast():
                found = self.model.generate(**inputs, generation_config=settings)
            for i, ids in zip(batch, found[:, inputs["input_ids"].shape[1] :].tolist(), strict=True):
                answer = _until(ids, self.encoder.end_ids)
                ended[i] = len(answer) < len(ids)
                new_tokens += len(answer) + ended[i]
                texts[i] = self.encoder.tokenizer.decode(answer, skip_special_tokens=True).strip()
        return _Answers(texts, ended, truncated, new_tokens, time.perf_counter() - started)

    def prefix(self, rows: Sequence[np.ndarray], *, leave: int) -> Prefix:
        """What all rows begin with, read once. `leave` tokens of each row are read with it in any case."""
        return read_prefix(self.model, rows, leave=leave, hardware=self.hardware)


def _last_answer(learnt: np.ndarray) -> np.ndarray:
    """The last run of True, and nothing else."""
    places = np.flatnonzero(learnt)
    if not len(places):
        return learnt
    breaks = np.flatnonzero(np.diff(places) > 1)
    begins = places[breaks[-1] + 1] if len(breaks) else places[0]
    return learnt & (np.arange(len(learnt)) >= begins)


def _until(ids: list[int], ends: set[int]) -> list[int]:
    """The ids before the first one that ends."""
    return next((ids[:place] for place, token in enumerate(ids) if token in ends), ids)


def _told(batches: Iterator[np.ndarray], rows: int, report: Report, what: str) -> Iterator[np.ndarray]:
    """The batches, with a progress message about once a second."""
    started = said = time.perf_counter()
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        now = time.perf_counter()
        if now - said >= _SECONDS_BETWEEN_MESSAGES or done == rows:
            speed = done / max(now - started, 1e-9)
            report(
                {
                    "kind": "progress",
                    "what": what,
                    "step": done,
                    "steps": rows,
                    "examples_per_second": speed,
                    "seconds_left": round((rows - done) / speed, 1),
                }
            )
            said = now
