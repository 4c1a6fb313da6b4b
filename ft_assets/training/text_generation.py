"""Training of models that write text, from two Parquet files to a checkpoint. Writing is in `text_answers`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from transformers import set_seed
from trl import SFTConfig

from ft_assets.training.attention import reads_packed_rows
from ft_assets.training.audit import before_writing
from ft_assets.training.checkpoint import (
    load_language_model,
    load_tokenizer,
    require_padding,
    save_checkpoint,
)
from ft_assets.training.config import PromptConfig, TrainingConfig
from ft_assets.training.conversations import Encoder, end_tokens
from ft_assets.training.fine_tuning import fine_tune
from ft_assets.training.guards import require_finite_weights
from ft_assets.training.hardware import choose_hardware
from ft_assets.training.language_model import LanguageModelTrainer, packing_difference
from ft_assets.training.methods import prepare
from ft_assets.training.processes import is_first, spreads
from ft_assets.training.progress import Report
from ft_assets.training.reloaded import TOLERANCE, Base, reloaded_language_model
from ft_assets.training.resume import ResumePoints
from ft_assets.training.rows import model_window
from ft_assets.training.sequences import Sequences, encode_rows, read_conversations
from ft_assets.training.token_cache import TokenCache

__all__ = ["train_language_model"]

_LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "numpy")
_TOLERANCES = {"qlora": 0.05}
"""Of logits after reloading, where other than by rounding in fp32: on a GPU 4 bits are computed in bf16."""
_PACKING_TOLERANCE = 1e-3
"""Of a row's loss: packed and alone differ by less than that where packing works (measured: 1e-6 in fp32), and by
far more where rows see each other."""
_PACKING_ROWS = 4


def train_language_model(
    *,
    base_model: Path,
    train: Path,
    validation: Path | None,
    task_type: str,
    prompt: PromptConfig,
    config: TrainingConfig,
    output: Path,
    report: Report,
    mask: Callable[[str], str],
    base_model_name: str | None = None,
    points: ResumePoints | None = None,
    cache: TokenCache | None = None,
) -> dict[str, Any]:
    """Fine-tune a causal language model and write the checkpoint into `output`.

    Args:
        base_model: folder with config.json, safetensors weights and a tokenizer.
        train: Parquet file with example_id, context, text, label.
        validation: the like; its loss chooses the weights. None: the last weights are taken.
        task_type: decides about the learning rate, where none is set.
        prompt: what stands around each row's prompt.
        config: settings.
        output: existing directory; receives the checkpoint in Hub format (and `adapter/` with LoRA).
        report: receives progress, evaluation and note messages.
        mask: hides personal data in the examples that the audit shows.
        base_model_name: identity of the base model for the files; never a path.
        points: where the training's state is kept, to go on from it.
        cache: where tokenised rows are kept.

    Returns:
        What was measured and used, the audits, and the points of the curves: the content of `training.json`. Of
        several processes only the first one writes the checkpoint and has all of this.

    Raises:
        UserError: the model or rows cannot be used, training diverged, or the checkpoint is not what was trained.
    """
    hardware = choose_hardware(config)
    set_seed(config.seed)
    load = partial(
        load_language_model, base_model, config.effective_dropout(), four_bits=config.method == "qlora"
    )
    model, tokenizer = load(), load_tokenizer(base_model)
    require_padding(tokenizer, model)
    require_finite_weights(model, where="base model")
    window = model_window(tokenizer, model.config, config.max_length)
    encoder = Encoder(tokenizer, end_tokens(model), cache)
    rows = encode_rows(read_conversations(train, prompt), encoder, window, config, "train split")
    held_out = _validation(validation, prompt, encoder, window, config)
    audit = before_writing(rows, encoder, model, mask)
    _tell(report, audit, len(held_out or ()))

    def prepared(model: Any) -> Any:
        model.config.use_cache = False
        set_seed(config.seed)  # the adapters' start, whatever was drawn before
        return prepare(model, config, fresh_weights=None)

    model = prepared(model)
    if not spreads(config):  # one that is spread may be too large for a GPU
        model = model.to(hardware.device)
    packed, audit["packing_difference"] = _packs(model, rows, config, report)
    tune = partial(
        fine_tune,
        model,
        rows=len(rows),
        evaluates=held_out is not None,
        config=config,
        learning_rate=config.effective_learning_rate(task_type),
        hardware=hardware,
        output=output,
        report=report,
        libraries=_LIBRARIES,
        points=points,
        make_again=lambda: prepared(load()),
        arguments=SFTConfig,
        # The rows are tokenised, and a pass keeps within the memory without computing everything twice.
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        gradient_checkpointing=False,
        make_trainer=partial(
            LanguageModelTrainer,
            processing_class=tokenizer,
            rows=rows.rows,
            validation=held_out.rows if held_out is not None else [],
            pad_id=tokenizer.pad_token_id,
            packed=packed,
        ),
    )
    with reads_packed_rows(model, packed=packed):
        model, result = tune()
    if not is_first():
        return result

    def save() -> Path:
        _unpatched(model)
        model.config.use_cache = True
        save_checkpoint(
            model,
            tokenizer,
            output,
            config=config,
            window=window,
            base_model=base_model_name,
            load_plain=lambda: load().dequantize(),
        )
        return output

    audit |= reloaded_language_model(
        model,
        encoder,
        rows.rows,
        save=save,
        base=Base(base_model, four_bits=config.method == "qlora"),
        tolerance=_TOLERANCES.get(config.method, TOLERANCE),
    )
    return {
        **result,
        "audit": audit,
        "packed": packed,
        "window": window,
        "rows": {"train": len(rows), "validation": len(held_out or ())},
        "truncated": {"train": rows.cut, "validation": held_out.cut if held_out is not None else 0},
    }


def _unpatched(model: Any) -> None:
    """Take TRL's fused head out of the model again: it hangs on the instance, in place of its class's `forward`."""
    plain = model.get_base_model() if hasattr(model, "get_base_model") else model
    plain.__dict__.pop("forward", None)


def _validation(
    path: Path | None, prompt: PromptConfig, encoder: Encoder, window: int, config: TrainingConfig
) -> Sequences | None:
    if path is None:
        return None
    read = read_conversations(path, prompt, config.max_validation_rows)
    return encode_rows(read, encoder, window, config, "validation split") if len(read) else None


def _packs(model: Any, rows: Sequences, config: TrainingConfig, report: Report) -> tuple[bool, float | None]:
    """Whether rows are packed: they may be, and the model gives each the loss that it has alone."""
    if not config.packing:
        return False, None
    shortest = sorted(rows.rows, key=lambda row: len(row.ids))[:_PACKING_ROWS]
    try:
        with reads_packed_rows(model, packed=True):
            difference = packing_difference(model, shortest, next(model.parameters()).device)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # a model that takes no positions says so in many ways
        report(
            {
                "kind": "note",
                "text": f"rows are padded, not packed: the model refuses it ({type(error).__name__})",
            }
        )
        return False, None
    if difference > _PACKING_TOLERANCE:
        text = f"rows are padded, not packed: packed, this model's losses differ by {difference:.1%}"
        report({"kind": "note", "text": text})
        return False, difference
    return True, difference


def _tell(report: Report, audit: dict[str, Any], validation_rows: int) -> None:
    said = [
        f"{audit['rows']:,} rows, {audit['learnt_tokens']:,} of {audit['tokens']:,} tokens are learnt; "
        f"{validation_rows:,} validation rows"
    ]
    said += [
        f"{audit[name]:,} {what}"
        for name, what in (
            ("cut", "training rows are longer than the window and were cut"),
            ("dropped", "training rows are longer than the window and were left out"),
            ("without_answer", "training rows have nothing left to learn and were left out"),
            ("control_tokens_defused", "control tokens of the model stood in texts and were broken up"),
        )
        if audit[name]
    ]
    for text in said:
        report({"kind": "note", "text": text})
