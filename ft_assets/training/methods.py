"""What of a model is trained: every weight, or adapters and the head. One function to prepare, one to
finish."""

from __future__ import annotations

from typing import Any

from ft_assets.training.config import TrainingConfig

__all__ = ["merged", "prepare"]


def prepare(model: Any, config: TrainingConfig, *, fresh_weights: list[str] | None) -> Any:
    """The model as it is trained.

    Args:
        model: a `PreTrainedModel`: with a classification head, or a causal language model.
        config: its `method` and `lora` are read.
        fresh_weights: of a classifier, names of weights that the base model did not have. Adapters on random weights
            learn little, so the modules that hold these are trained as a whole, like the head. None: a language
            model, of which nothing is trained as a whole.

    Returns:
        The same model for full training; a `PeftModel` around it for LoRA.
    """
    if config.method == "full":
        return model
    from peft import LoraConfig, TaskType, get_peft_model

    whole = _whole_modules(model, fresh_weights) if fresh_weights is not None else []
    settings = LoraConfig(
        task_type=TaskType.SEQ_CLS if fresh_weights is not None else TaskType.CAUSAL_LM,
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=config.lora.target_modules,
        modules_to_save=whole or None,
        exclude_modules=whole or None,
    )
    return get_peft_model(model, settings)


def _whole_modules(model: Any, fresh_weights: list[str]) -> list[str]:
    """Names of the modules of a classifier that are trained as a whole."""
    whole = {name for name, _ in model.named_children() if name != model.base_model_prefix}
    whole = {name for name in whole if any(True for _ in getattr(model, name).parameters())}
    return sorted(
        whole | {name.rpartition(".")[0] for name in fresh_weights if name.partition(".")[0] not in whole}
    )


def merged(model: Any, config: TrainingConfig) -> Any:
    """A plain model with the same outputs as the trained one: adapters are added into the weights."""
    return model if config.method == "full" else model.merge_and_unload()
