"""Texts as vectors of length 1, so that a product of two is their cosine: the mean over what an encoder says of a
text's tokens (Reimers & Gurevych 2019, Sentence-BERT), or of the first one alone, where the model's folder says so.

Texts are read, tokenised and embedded part by part, and vectors are written as they come: what is held does not grow
with the file. Not here: what vectors are compared for (the data layer).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import torch

from ft_assets.errors import UserError
from ft_assets.training.batches import PadBatch, batches_by_tokens
from ft_assets.training.checkpoint import load_encoder, load_tokenizer, require_padding
from ft_assets.training.config import TrainingConfig
from ft_assets.training.hardware import Hardware, choose_hardware, peak_memory
from ft_assets.training.progress import Report
from ft_assets.training.rows import model_window, tokenised

__all__ = ["VECTORS", "embed_texts"]

VECTORS = "embeddings.npy"
"""The file in the output: float32, of shape (rows, size), in the order of the texts."""

Pooling = Literal["mean", "cls"]
# Where sentence-transformers writes how tokens become one vector; as it did before its version 5, and since.
_POOLING = "1_Pooling/config.json"
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "mean": "mean",
    "cls": "cls",
}
_TEXTS_AT_ONCE = 2_048
"""Texts that are ordered by length together: batches have little padding, and only their tokens are held."""


def embed_texts(
    *, model: Path, examples: Path, config: TrainingConfig, output: Path, report: Report
) -> dict[str, Any]:
    """Embed each text, and write `VECTORS` into `output`.

    Args:
        model: folder of an encoder.
        examples: Parquet file with a column text, no value of which is null.
        config: device, precision, threads, tokens_per_pass and max_length are read.
        output: existing directory.
        report: receives progress messages.

    Returns:
        What was measured and used: the content of `embedding.json`.

    Raises:
        UserError: the model is no encoder, cannot be loaded, has no tokenizer, makes vectors otherwise, or gives NaN.
    """
    pooling = pooling_of(model)
    hardware = choose_hardware(config)
    encoder = load_encoder(model).to(hardware.device).eval()
    tokenizer = load_tokenizer(model)
    require_padding(tokenizer, encoder)
    pad = PadBatch(tokenizer.pad_token_id, left=tokenizer.padding_side == "left")
    window = model_window(tokenizer, encoder.config, config.max_length)
    size = encoder.config.hidden_size
    truncated = done = 0
    started = time.perf_counter()
    with pq.ParquetFile(examples) as texts, (output / VECTORS).open("wb") as vectors:
        rows = texts.metadata.num_rows
        np.lib.format.write_array_header_1_0(
            vectors, {"descr": "<f4", "fortran_order": False, "shape": (rows, size)}
        )
        for part in texts.iter_batches(_TEXTS_AT_ONCE, columns=["text"]):
            ids, cut = tokenised(part["text"].to_pylist(), tokenizer, window)
            embedded = _embedded(encoder, ids, size, pad, hardware, pooling=pooling)
            wrong = int((~np.isfinite(embedded).all(1)).sum())
            if wrong:
                raise UserError(
                    f"the model gives NaN for {wrong} of {len(ids)} texts",
                    where=str(model),
                    do="take another model, or training.precision: fp32",
                )
            vectors.write(embedded.tobytes())
            truncated += int(cut.sum())
            done += len(ids)
            report(_progress(done, rows, time.perf_counter() - started))
    seconds = time.perf_counter() - started
    return {
        "rows": rows,
        "size": size,
        "pooling": pooling,
        "truncated": truncated,
        "window": window,
        "seconds": seconds,
        "examples_per_second": rows / max(seconds, 1e-9),
        "device": hardware.device,
        "device_name": hardware.device_name,
        "threads": hardware.threads,
        "precision": hardware.precision,
        "peak_memory_bytes": peak_memory(hardware),
    }


def pooling_of(model: Path) -> Pooling:
    """How the model's tokens become one vector: as its folder says, else by their mean.

    Raises:
        UserError: in a way that is not built here, or what it says cannot be read.
    """
    path = model / _POOLING
    if not path.is_file():
        return "mean"
    try:
        said = json.loads(path.read_bytes())
        old = [name for name, value in said.items() if name.startswith("pooling_mode_") and value is True]
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            "how the model makes vectors of texts cannot be read",
            where=str(path),
            do="fetch the model again",
        ) from error
    named = [said["pooling_mode"]] if isinstance(said.get("pooling_mode"), str) else old
    if len(named) != 1 or named[0] not in _POOLINGS:
        raise UserError(
            f"the model makes vectors by {' and '.join(named) or 'none of its modes'}",
            where=str(path),
            do="choose a model that takes the mean of its tokens, or the first one",
        )
    return _POOLINGS[named[0]]


def _embedded(
    encoder: Any,
    rows: Sequence[Sequence[int]],
    size: int,
    pad: PadBatch,
    hardware: Hardware,
    *,
    pooling: Pooling,
) -> np.ndarray:
    """Vectors of length 1 of tokenised rows, float32, of shape (rows, size)."""
    found = np.empty((len(rows), size), dtype="<f4")
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    for batch in batches_by_tokens(lengths, hardware.tokens_per_pass):
        inputs = {
            name: tensor.to(hardware.device) for name, tensor in pad.pad([rows[i] for i in batch]).items()
        }
        with torch.inference_mode(), hardware.autocast():
            hidden = encoder(**inputs).last_hidden_state
        with torch.inference_mode():
            mask = inputs["attention_mask"]
            if pooling == "cls":
                vectors = hidden[torch.arange(len(batch), device=hidden.device), mask.argmax(1)].float()
            else:
                vectors = (hidden.float() * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True).clamp(
                    min=1
                )
            # Batches are ordered by length: each vector goes back to the place of its row.
            found[batch] = torch.nn.functional.normalize(vectors, dim=1).cpu().numpy()
    return found


def _progress(done: int, rows: int, seconds: float) -> dict[str, Any]:
    speed = done / max(seconds, 1e-9)
    return {
        "kind": "progress",
        "step": done,
        "steps": rows,
        "examples_per_second": speed,
        "seconds_left": round((rows - done) / speed, 1),
    }
