"""What of a model is trained, by method: one function to prepare, one to finish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ft_assets.errors import UserError
from ft_assets.training.config import LORA_METHODS, TrainingConfig

__all__ = ["is_merged", "merged", "prepare", "train_head_only"]


def prepare(model: Any, config: TrainingConfig, *, fresh_weights: list[str] | None) -> Any:
    """The model as it is trained.

    Args:
        model: a `PreTrainedModel`: with a classification head, or a causal language model.
        config: its `method`, `lora` and `virtual_tokens` are read.
        fresh_weights: of a classifier, names of weights that the base model did not have. Adapters on random weights
            learn little, so the modules that hold these are trained as a whole, like the head. None: a language
            model, of which nothing is trained as a whole.

    Returns:
        The same model for full training and probes; else a `PeftModel` around it.

    Raises:
        UserError: the method does not know this architecture.
    """
    if config.method in ("full", "probe_then_full"):
        return model
    if config.method == "linear_probe":
        train_head_only(model, fresh_weights or [])
        return model
    from peft import get_peft_model, prepare_model_for_kbit_training

    if config.method == "qlora":
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    whole = _whole_modules(model, fresh_weights) if fresh_weights is not None else []
    try:
        return get_peft_model(model, _settings(config, whole, classifies=fresh_weights is not None))
    except ValueError as error:  # PEFT knows the names of modules by architecture
        raise UserError(
            f"{config.method} does not know the architecture {model.config.model_type}: {str(error).splitlines()[0]}",
            where="training.method",
            do="take lora, which needs no list of names",
        ) from error


def _settings(config: TrainingConfig, whole: list[str], *, classifies: bool) -> Any:
    from peft import IA3Config, LoraConfig, PrefixTuningConfig, PromptTuningConfig, TaskType

    shared: dict[str, Any] = {"task_type": TaskType.SEQ_CLS if classifies else TaskType.CAUSAL_LM}
    if config.method in LORA_METHODS:
        return LoraConfig(
            **shared,
            r=config.lora.rank,
            lora_alpha=config.lora.alpha,
            lora_dropout=config.lora.dropout,
            target_modules=config.lora.target_modules,
            modules_to_save=whole or None,
            exclude_modules=whole or None,
            use_rslora=config.method == "rslora",
            use_dora=config.method == "dora",
        )
    if config.method == "ia3":
        return IA3Config(**shared, modules_to_save=whole or None)
    kind = PromptTuningConfig if config.method == "prompt_tuning" else PrefixTuningConfig
    return kind(**shared, num_virtual_tokens=config.virtual_tokens)


def train_head_only(model: Any, fresh_weights: list[str]) -> None:
    """Freeze all of a classifier but its head, and what the base model did not have."""
    whole = _whole_modules(model, fresh_weights)
    for name, weight in model.named_parameters():
        weight.requires_grad = any(name.startswith(f"{module}.") for module in whole)


def _whole_modules(model: Any, fresh_weights: list[str]) -> list[str]:
    """Names of the modules of a classifier that are trained as a whole."""
    whole = {name for name, _ in model.named_children() if name != model.base_model_prefix}
    whole = {name for name in whole if any(True for _ in getattr(model, name).parameters())}
    return sorted(
        whole | {name.rpartition(".")[0] for name in fresh_weights if name.partition(".")[0] not in whole}
    )


def is_merged(config: TrainingConfig) -> bool:
    """Whether what a method learns can be put into the model's own weights; vectors before the text cannot."""
    return config.method not in ("prompt_tuning", "prefix_tuning")


def merged(model: Any, config: TrainingConfig, adapter: Path, load_plain: Callable[[], Any] | None) -> Any:
    """A plain model with the same outputs as the trained one: adapters are added into the weights.

    Args:
        model: as it was trained.
        config: its `method` is read.
        adapter: folder with the saved adapter.
        load_plain: loads the base model as it was trained on, 4 bits given back their full width. Only for qlora:
            merging into 4 bits would round once more.
    """
    if not hasattr(model, "merge_and_unload"):
        return model
    if config.method != "qlora" or load_plain is None:
        return model.merge_and_unload()
    from peft import PeftModel

    return PeftModel.from_pretrained(load_plain(), adapter).merge_and_unload()
