"""Prediction with a text classifier. Apart from training, so that it starts without what only training
needs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from ft_assets.errors import UserError
from ft_assets.training.batches import PadBatch, batches_by_tokens
from ft_assets.training.checkpoint import load_checkpoint, load_tokenizer
from ft_assets.training.config import TrainingConfig
from ft_assets.training.hardware import Hardware, choose_hardware, peak_memory
from ft_assets.training.progress import Report
from ft_assets.training.rows import Rows, model_window, read_rows

__all__ = ["predict_classes"]

_SECONDS_BETWEEN_MESSAGES = 1.0


def predict_classes(
    *,
    checkpoint: Path,
    examples: Path,
    labels: list[str],
    config: TrainingConfig,
    output: Path,
    report: Report,
) -> dict[str, Any]:
    """Predict the class of each example and write `predictions.parquet` into `output`, in the order of the
    examples.

    Columns: example_id, prediction (a label), p_<label> float32 for each label in order, truncated.

    Args:
        checkpoint: folder that `train_classifier` wrote.
        examples: Parquet file with example_id and text.
        labels: names of the classes; must be the checkpoint's.
        config: device, precision, threads and tokens_per_pass are read.
        output: existing directory.
        report: receives progress and note messages.

    Returns:
        What was measured and used: the content of `prediction.json`.

    Raises:
        UserError: the checkpoint or rows cannot be used, or the model gives NaN.
    """
    started = time.perf_counter()
    hardware = choose_hardware(config)
    model = load_checkpoint(checkpoint).to(hardware.device).eval()
    tokenizer = load_tokenizer(checkpoint)
    own = [model.config.id2label[i] for i in range(model.config.num_labels)]
    if own != labels:
        raise UserError(
            f"the checkpoint's classes are {', '.join(own)}, the task's {', '.join(labels)}",
            where=str(checkpoint),
            do="materialize the checkpoint anew",
        )
    window = model_window(tokenizer, model.config)
    rows = read_rows(examples, tokenizer, window)
    if note := rows.truncation("examples", window):
        report({"kind": "note", "text": note})
    probabilities, seconds = _probabilities(model, tokenizer, rows, hardware, report)
    columns = {
        "example_id": _strings(rows.example_ids),
        "prediction": _strings([labels[i] for i in probabilities.argmax(1)]),
        **{f"p_{name}": _floats(probabilities[:, i]) for i, name in enumerate(labels)},
        "truncated": _flags(rows.truncated),
    }
    pq.write_table(pa.table(columns), output / "predictions.parquet", compression="zstd")
    return {
        "rows": len(rows),
        "truncated": int(rows.truncated.sum()),
        "window": window,
        "seconds": time.perf_counter() - started,
        "examples_per_second": len(rows) / max(seconds, 1e-9),
        "tokens_per_second": int(rows.lengths.sum()) / max(seconds, 1e-9),
        "device": hardware.device,
        "device_name": hardware.device_name,
        "threads": hardware.threads,
        "precision": hardware.precision,
        "attention": getattr(model.config, "_attn_implementation", None),
        "peak_memory_bytes": peak_memory(hardware),
    }


# `pa.array` loads pandas to see whether it was given a Series, which takes most of a second: hence the buffers.
def _strings(values: list[str]) -> pa.Array:
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded)))


def _floats(values: np.ndarray) -> pa.Array:
    buffer = pa.py_buffer(np.ascontiguousarray(values, dtype=np.float32))
    return pa.Array.from_buffers(pa.float32(), len(values), [None, buffer])


def _flags(values: np.ndarray) -> pa.Array:
    buffer = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, buffer])


def _probabilities(
    model: Any, tokenizer: Any, rows: Rows, hardware: Hardware, report: Report
) -> tuple[np.ndarray, float]:
    """Class probabilities in fp32, shape (rows, classes), in the order of `rows`; and the seconds that it
    took."""
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    pad = PadBatch(tokenizer.pad_token_id, left=tokenizer.padding_side == "left")
    probabilities = np.zeros((len(rows), model.config.num_labels), dtype=np.float32)
    started = said = time.perf_counter()
    done = 0
    for batch in batches_by_tokens(rows.lengths, hardware.tokens_per_pass):
        inputs = {
            name: tensor.to(hardware.device)
            for name, tensor in pad.pad([rows.input_ids[i] for i in batch]).items()
        }
        with torch.inference_mode(), hardware.autocast():
            logits = model(**inputs).logits
        # Batches are ordered by length: each result goes back to the place of its row.
        probabilities[batch] = logits.float().softmax(-1).cpu().numpy()
        done += len(batch)
        now = time.perf_counter()
        if now - said >= _SECONDS_BETWEEN_MESSAGES or done == len(rows):
            speed = done / max(now - started, 1e-9)
            left = round((len(rows) - done) / speed, 1)
            report(
                {
                    "kind": "progress",
                    "step": done,
                    "steps": len(rows),
                    "examples_per_second": speed,
                    "seconds_left": left,
                }
            )
            said = now
    if not np.isfinite(probabilities).all():
        raise UserError("the model gives NaN", where="checkpoint", do="materialize the checkpoint anew")
    return probabilities, time.perf_counter() - started
