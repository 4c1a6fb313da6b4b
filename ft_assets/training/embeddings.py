"""Texts as vectors: the mean over what an encoder says of a text's tokens (Reimers & Gurevych 2019, Sentence-BERT), of
length 1, so that a product of two is their cosine.

Texts are read, tokenised and embedded part by part, and vectors are written as they come: what is held does not grow
with the file. Not here: what vectors are compared for (the data layer).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
        UserError: the model is no encoder, cannot be loaded, has no tokenizer, or gives NaN.
    """
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
            embedded = _embedded(encoder, ids, size, pad, hardware)
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


def _embedded(
    encoder: Any, rows: Sequence[Sequence[int]], size: int, pad: PadBatch, hardware: Hardware
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
            mask = inputs["attention_mask"].unsqueeze(-1)
            mean = (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1)
            # Batches are ordered by length: each vector goes back to the place of its row.
            found[batch] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
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
