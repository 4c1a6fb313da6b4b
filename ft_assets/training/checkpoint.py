"""Loading base models and writing checkpoints in the Hub's format: safetensors and JSON, no pickle, no
machine paths."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ft_assets.errors import UserError
from ft_assets.loading import load
from ft_assets.training.config import TrainingConfig
from ft_assets.training.methods import is_merged, merged

__all__ = [
    "load_base",
    "load_checkpoint",
    "load_encoder",
    "load_language_model",
    "load_tokenizer",
    "require_padding",
    "save_checkpoint",
    "with_adapter",
]

_UNUSABLE = (OSError, ValueError, KeyError, SafetensorError)
"""What transformers raises for files that it cannot use."""
_ADAPTER, _BASE = "adapter", "base"
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder.

    Raises:
        UserError: there is none.
    """
    from transformers import AutoTokenizer

    do = "the folder needs tokenizer.json (or the tokenizer's own files) beside config.json"
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
    except _UNUSABLE as error:
        raise UserError(
            f"no tokenizer could be loaded: {_first_line(error)}", where=str(folder), do=do
        ) from error
    # Where its files are missing, transformers makes one of nothing: every word would be unknown.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise UserError("no tokenizer could be loaded: it knows no word", where=str(folder), do=do)
    return tokenizer


def load_base(folder: Path, labels: list[str], dropout: float | None) -> tuple[Any, list[str]]:
    """A base model with a classification head for `labels`, weights in fp32.

    Returns:
        The model, and the names of weights that the folder did not have (the head's, as a rule).

    Raises:
        UserError: the folder is missing, has no safetensors weights, or has no classifier architecture.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    _require_model_folder(folder)
    try:
        config = AutoConfig.from_pretrained(
            folder,
            id2label=dict(enumerate(labels)),
            label2id={name: i for i, name in enumerate(labels)},
            problem_type="single_label_classification",
            **_LOCAL,
        )
        _set_dropout(config, dropout)
        # A head for other classes (a base model that is a classifier itself) is replaced.
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder,
            config=config,
            dtype="float32",
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            **_LOCAL,
        )
    except _UNUSABLE as error:
        raise UserError(
            f"the base model cannot be loaded as a text classifier: {_first_line(error)}",
            where=str(folder),
            do="choose a base model that transformers knows, with config.json and safetensors weights",
        ) from error
    replaced = [entry[0] if isinstance(entry, tuple) else entry for entry in report["mismatched_keys"]]
    return model, sorted({*report["missing_keys"], *replaced})


def load_checkpoint(folder: Path) -> Any:
    """A checkpoint that `save_checkpoint` wrote, weights in fp32.

    Raises:
        UserError: the folder is missing or incomplete.
    """
    from transformers import AutoModelForSequenceClassification

    _require_model_folder(folder)
    try:
        return AutoModelForSequenceClassification.from_pretrained(
            folder, dtype="float32", use_safetensors=True, **_LOCAL
        )
    except _UNUSABLE as error:
        raise UserError(
            f"the checkpoint cannot be loaded: {_first_line(error)}", where=str(folder)
        ) from error


def load_encoder(folder: Path) -> Any:
    """An encoder without a head, weights in fp32.

    It counts as one if its kind learns to fill in words that were left out, from both sides: in a model that writes, no
    token knows what comes after it, and the mean over its tokens says little (BehnamGhader et al. 2024, LLM2Vec).

    Raises:
        UserError: the folder is missing, has no safetensors weights, lacks some of them, or is no encoder.
    """
    from transformers import AutoConfig, AutoModel
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES as FILL_IN

    _require_model_folder(folder)
    do = "choose an encoder that transformers knows (BERT, MPNet, XLM-RoBERTa, …), with safetensors weights"
    with _told_as_unusable("the model cannot be loaded as an encoder", folder, do):
        config = AutoConfig.from_pretrained(folder, **_LOCAL)
        kind, reads_both_sides = config.model_type, not getattr(config, "is_encoder_decoder", False)
        if kind not in FILL_IN or not reads_both_sides:
            raise UserError(f"a model of the kind '{kind}' is no encoder", where=str(folder), do=do)
        # The pooler is not used, and not there in a model that was trained to fill in words.
        return _whole(AutoModel, folder, config, do, without="pooler")


def load_language_model(folder: Path, dropout: float | None = None, *, four_bits: bool = False) -> Any:
    """A causal language model, weights in fp32: a base model, or a checkpoint that `save_checkpoint` wrote.

    Args:
        folder: the model's.
        dropout: every dropout probability; None: as its configuration says.
        four_bits: the weights of the layers in 4 bits (NF4, quantised twice: Dettmers et al. 2023, section 3), on the
            GPU if there is one.

    Raises:
        UserError: the folder is missing, has no safetensors weights, lacks some of them, or is no such model; or
            bitsandbytes is not installed.
    """
    if (folder / _BASE / "config.json").is_file():
        return with_adapter(load_language_model(folder / _BASE), folder)
    from transformers import AutoConfig, AutoModelForCausalLM

    _require_model_folder(folder)
    do = "choose a causal language model (a decoder) that transformers knows, with safetensors weights"
    more = _four_bits() if four_bits else {}
    with _told_as_unusable("the model cannot be loaded as a language model", folder, do):
        config = AutoConfig.from_pretrained(folder, **_LOCAL)
        _set_dropout(config, dropout)
        return _whole(AutoModelForCausalLM, folder, config, do, **more)


@contextmanager
def _told_as_unusable(what: str, folder: Path, do: str) -> Iterator[None]:
    """What transformers raises of a folder that it cannot use, as an error of ours."""
    try:
        yield
    except _UNUSABLE as error:
        raise UserError(f"{what}: {_first_line(error)}", where=str(folder), do=do) from error


def _whole(auto: Any, folder: Path, config: Any, do: str, *, without: str = "", **more: Any) -> Any:
    """A model in fp32 whose weights are all in the folder, but for those with this word in their name."""
    model, report = auto.from_pretrained(
        folder,
        config=config,
        dtype="float32",
        use_safetensors=True,
        output_loading_info=True,
        **more,
        **_LOCAL,
    )
    missing = sorted(name for name in report["missing_keys"] if not without or without not in name)
    if missing:
        raise UserError(
            f"the model lacks {len(missing)} weights, such as {', '.join(missing[:3])}",
            where=str(folder),
            do=do,
        )
    return model


def with_adapter(model: Any, folder: Path) -> Any:
    """A base model, and around it the adapter of a checkpoint.

    Raises:
        UserError: the adapter cannot be loaded, or is for another model.
    """
    load("peft")
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, folder / _ADAPTER)
    except _UNUSABLE as error:
        raise UserError(
            f"the adapter cannot be loaded: {_first_line(error)}",
            where=str(folder / _ADAPTER),
            do="materialize the checkpoint anew",
        ) from error


def _four_bits() -> dict[str, Any]:
    import torch
    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise UserError(
            "qlora needs the package bitsandbytes",
            where="training.method",
            do="install it beside ft_assets (pip install 'ft_assets[qlora]'), or take training.method: lora",
        )
    on_gpu = torch.cuda.is_available()
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if on_gpu else torch.float32,
    )
    return {"quantization_config": settings, "device_map": {"": "cuda" if on_gpu else "cpu"}}


def require_padding(tokenizer: Any, model: Any) -> None:
    """Give models that were trained without padding (GPT-2 and its kin) their end token for it; the mask
    hides it.

    Raises:
        UserError: the tokenizer has neither.
    """
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise UserError("the tokenizer has neither a padding nor an end token", where="base model")
        tokenizer.pad_token = tokenizer.eos_token
    if model.config.pad_token_id is None:
        model.config.pad_token_id = tokenizer.pad_token_id


def save_checkpoint(
    model: Any,
    tokenizer: Any,
    output: Path,
    *,
    config: TrainingConfig,
    window: int,
    base_model: str | None,
    load_plain: Callable[[], Any] | None = None,
) -> None:
    """Write the model so that plain `from_pretrained` and `pipeline` load it.

    With adapters there are both: the merged model at the top, and the adapter in PEFT's format in `adapter/`. What
    prompt and prefix tuning learn cannot be merged: then the base model lies in `base/`, and nothing at the top that
    could be taken for the tuned model.

    Args:
        model: the trained model, as `methods.prepare` made it; adapters are merged by this.
        tokenizer: saved with `window` as its limit, so that predictions cut as training did.
        output: existing directory.
        config: settings of the training.
        window: most tokens of a row.
        base_model: what the adapter's configuration names as its base: an identity, never a path.
        load_plain: as for `methods.merged`; with qlora.
    """
    if hasattr(model, "peft_config"):
        for settings in model.peft_config.values():
            settings.base_model_name_or_path = base_model
        model.save_pretrained(output / _ADAPTER, safe_serialization=True, save_embedding_layers=False)
        # PEFT writes a card with blanks to fill in; the one beside it tells all.
        (output / _ADAPTER / "README.md").unlink(missing_ok=True)
    if is_merged(config):
        merged(model, config, output / _ADAPTER, load_plain).save_pretrained(output)
    else:
        model.get_base_model().save_pretrained(output / _BASE)
    tokenizer.model_max_length = window
    tokenizer.save_pretrained(output)
    for path in (*output.glob("*config.json"), *(output / _BASE).glob("*config.json")):
        _drop_paths(path)


def _drop_paths(path: Path) -> None:
    """Take the place where the base model lay out of a JSON file: it means nothing elsewhere."""
    content = json.loads(path.read_text(encoding="utf-8"))
    for key in ("_name_or_path", "name_or_path", "vocab_file", "merges_file"):
        content.pop(key, None)
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _set_dropout(config: Any, dropout: float | None) -> None:
    """Set every dropout probability that the configuration has."""
    if dropout is None:
        return
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("_pdrop")) and isinstance(value, float | int):
            setattr(config, name, dropout)


def _require_model_folder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise UserError(
            "no model here: config.json is missing", where=str(folder), do="give the folder of a model"
        )
    if not any(folder.glob("*.safetensors")):
        raise UserError(
            "the model has no safetensors weights; pickled weights are not loaded, they can run code",
            where=str(folder),
            do="take a revision with safetensors files, or convert it once with save_pretrained",
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
