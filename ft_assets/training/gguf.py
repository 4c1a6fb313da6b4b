"""From a GGUF file to a model folder: safetensors in fp32, the tokenizer and its chat template.

The weights of a GGUF file are packed into few bits, and nothing can be trained on those. Here they are unpacked once.
fp32, since neither bf16 nor fp16 holds what comes out: a weight of Q4_1 is scale times number plus offset.
Before anything is published, the folder is loaded afresh and must do what the file did.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.errors import UserError
from ft_assets.sources.gguf import GgufHeader, read_header
from ft_assets.sources.models import check_model, check_weights
from ft_assets.training.checkpoint import load_language_model, load_tokenizer, save_checkpoint
from ft_assets.training.config import TrainingConfig

if TYPE_CHECKING:
    import torch

__all__ = ["Behaviour", "behaviour", "convert_gguf", "difference"]

TOLERANCE = 1e-3
"""Most that two logits may differ by. The same weights in the same process gave the same numbers to the last bit; sums
taken in another order (eager attention for sdpa) moved logits between -31 and 41 by 8e-5, weights rounded to fp16 by
0.05, to bf16 by 0.28 (SmolLM2-135M)."""

_TEXTS = (
    "The capital of France is Paris, and it has been for a very long time.",
    "def area(radius):\n    return 3.14159 * radius ** 2  # about 12.5 % more than 1,000\n\n\n1. first\n2. second",
    "Größe, naïve, Ελλάδα, Москва, 東京, مرحبا 🙂\t<b>&amp;</b>  ",
)
_CHAT = ({"role": "user", "content": "What is the capital of France?"},)
_DIGITS_APART = ("smollm", "starcoder", "refact", "command-r", "codeshell")
"""Kinds of `tokenizer.ggml.pre` that take each digit for itself before they split as GPT-2 does
(llama.cpp, src/llama-vocab.cpp). transformers 5.23 knows none of them: "\\n\\n1" would be split as the model has
never seen it."""
_LIKE_GPT2 = ("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "roberta-bpe", "gigachat")
_UNUSABLE = (OSError, ValueError, KeyError, IndexError, TypeError, NotImplementedError)
"""What transformers raises for a GGUF file that it cannot use."""

Report = Callable[[dict[str, Any]], None]


@dataclass
class Behaviour:
    """What a model and its tokenizer do with a few fixed texts."""

    ids: list[list[int]]
    """Token ids of each text, and of the chat, cut to the model's window."""
    chat: str | None
    """The chat as the template renders it; None without a template."""
    special: dict[str, int | None]
    """Ids of the beginning, end, padding and unknown token."""
    logits: list[torch.Tensor]
    """fp32, (tokens, vocabulary) for each text."""


def convert_gguf(file: Path, output: Path, report: Report) -> dict[str, Any]:
    """Write the model of a GGUF file as a folder that `from_pretrained` loads.

    One copy of the weights is in memory at a time, beside what their unpacking takes.

    Args:
        file: the GGUF file; what lies beside it is not looked at.
        output: existing directory; receives config.json, model.safetensors, generation_config.json, the tokenizer's
            files and the chat template, none of which names a path of this machine.
        report: receives `note` messages.

    Returns:
        parameters, vocabulary (rows of the embedding), tied_embeddings, quantization (the type that most weights had),
        weights_by_type, architecture, chat_template (whether there is one), pre_tokenizer, license (if the file names
        one), max_logit_difference (of the folder from the file), tokens_compared, values_left_out (numbers in the
        file that the model has no place for), seconds.

    Raises:
        UserError: the file is damaged, of an architecture that transformers cannot read, or lacks weights; its
            tokenizer and its embedding do not fit together.
        RuntimeError: the folder does not do what the file did.
    """
    started = time.perf_counter()
    check_model(file, file.name)
    check_weights(file, file.name)
    header = read_header(file)
    report({"kind": "note", "text": f"unpacking {sum(header.elements.values()):,} weights of {file.name}"})
    model, tokenizer = _load(file, header, report)
    _fit_tokens(tokenizer, model, file)
    before = behaviour(model, tokenizer)
    window = _window(model) or tokenizer.model_max_length
    save_checkpoint(
        model, tokenizer, output, config=TrainingConfig(method="full"), window=window, base_model=None
    )
    facts = {
        "architecture": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "vocabulary": model.get_input_embeddings().weight.shape[0],
        "tied_embeddings": bool(model.config.tie_word_embeddings),
    }
    del model, tokenizer
    gc.collect()
    report({"kind": "note", "text": "comparing what was written with the file"})
    after = behaviour(load_language_model(output), load_tokenizer(output))
    return {
        **facts,
        "quantization": header.quantization,
        "weights_by_type": header.elements,
        "chat_template": before.chat is not None,
        "pre_tokenizer": header.values.get("tokenizer.ggml.pre"),
        "license": header.values.get("general.license"),
        "max_logit_difference": difference(before, after),
        "tokens_compared": sum(map(len, before.ids)),
        "values_left_out": max(0, sum(header.elements.values()) - facts["parameters"]),
        "seconds": time.perf_counter() - started,
    }


def _load(file: Path, header: GgufHeader, report: Report) -> tuple[Any, Any]:
    """The model, weights in fp32 and no longer marked as quantized, and the tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging
    from transformers.utils.quantization_config import GgufConfig

    logging.disable_progress_bar()
    architecture = header.values.get("general.architecture", "unknown")
    # transformers would take in a tokenizer_config.json, a chat template or an adapter that lies beside the file.
    with tempfile.TemporaryDirectory(prefix="ft_assets-gguf-") as folder:
        (Path(folder) / "model.gguf").symlink_to(file.resolve())
        place: dict[str, Any] = {
            "pretrained_model_name_or_path": folder,
            "gguf_file": "model.gguf",
            "local_files_only": True,
            "trust_remote_code": False,
        }
        try:
            # Read once and handed on: the header takes seconds each time.
            config = AutoConfig.from_pretrained(**place)
            tokenizer = AutoTokenizer.from_pretrained(**place)
            auto: Any = AutoModelForCausalLM
            model, told = auto.from_pretrained(
                **place,
                config=config,
                quantization_config=GgufConfig(dequantize=True),
                dtype=torch.float32,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
        except _UNUSABLE as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0].replace(folder, "")
            raise UserError(
                f"the GGUF file cannot be read as a language model of the architecture '{architecture}': {first}",
                where=str(file),
                do="choose a model of an architecture that transformers reads from GGUF (llama, qwen2, qwen3, gemma3, "
                "phi3, …), or its safetensors weights",
            ) from error
    # A tied output layer is no weight of its own.
    lacking = set(told["missing_keys"]) - set(getattr(model, "all_tied_weights_keys", None) or {})
    lacking |= {entry[0] if isinstance(entry, tuple) else entry for entry in told["mismatched_keys"]}
    if lacking:
        raise UserError(
            f"the GGUF file lacks {len(lacking)} weights of its model, such as {min(lacking)}",
            where=str(file),
            do="take another file of this model; this one was not made for the architecture that it names",
        )
    _split_digits_apart(tokenizer, header, report)
    return _plain(model), tokenizer


def _plain(model: Any) -> Any:
    """The model without the marks of quantization, with which it can neither be saved nor trained, and without the
    title that the file gives it where transformers keeps a path."""
    for holder, names in (
        (model, ("hf_quantizer", "is_quantized", "quantization_method")),
        (model.config, ("quantization_config", "_model_name_or_path")),
    ):
        for name in names:
            if name in vars(holder):
                delattr(holder, name)
    return model.eval()


def _split_digits_apart(tokenizer: Any, header: GgufHeader, report: Report) -> None:
    """Split a text as the model's own tokenizer does, where transformers does not know the kind."""
    from tokenizers import pre_tokenizers
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    kind = header.values.get("tokenizer.ggml.pre")
    if header.values.get("tokenizer.ggml.model") != "gpt2" or kind in GGUF_PRE_TOKENIZER_SPLITS:
        return
    if kind in _DIGITS_APART:
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
            ]
        )
    elif kind not in _LIKE_GPT2:
        report(
            {
                "kind": "note",
                "text": f"the tokenizer's kind '{kind}' is not known: texts are split as GPT-2 does, which may be "
                "otherwise than the model has learnt",
            }
        )


def _fit_tokens(tokenizer: Any, model: Any, file: Path) -> None:
    """See that the embedding has a row for each token that the tokenizer may give.

    transformers adds GPT-2's `<|endoftext|>` to vocabularies that have no such token: that one is taken out again.

    Raises:
        UserError: a token of the file's own has no row.
    """
    from tokenizers import Tokenizer

    rows = model.get_input_embeddings().weight.shape[0]
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    kept = [each for each in state["added_tokens"] if each["id"] < rows]
    outside = [
        f"{name} {each}" for name, each in _special(tokenizer).items() if each is not None and each >= rows
    ]
    if len(kept) < len(state["added_tokens"]):
        state["added_tokens"] = kept
        tokenizer._tokenizer = Tokenizer.from_str(json.dumps(state))
    if len(tokenizer) > rows:
        outside.append(f"{len(tokenizer):,} tokens")
    if outside:
        raise UserError(
            f"the tokenizer of the GGUF file has {', '.join(outside)}, and its embedding {rows:,} rows",
            where=str(file),
            do="take another file of this model",
        )


def _window(model: Any) -> int | None:
    """Most tokens that the model can read; None: as many as there are."""
    return getattr(model.config, "max_position_embeddings", None)


def _special(tokenizer: Any) -> dict[str, int | None]:
    return {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}


def behaviour(model: Any, tokenizer: Any) -> Behaviour:
    """What a causal language model does with the fixed texts; its logits are copies.

    Raises:
        UserError: the chat template cannot be rendered; a logit is no number.
    """
    import torch
    from jinja2 import TemplateError

    chat = None
    if tokenizer.chat_template:
        try:
            chat = tokenizer.apply_chat_template(list(_CHAT), tokenize=False, add_generation_prompt=True)
        except (TemplateError, TypeError, ValueError) as error:
            raise UserError(
                f"the chat template cannot be rendered: {type(error).__name__}",
                where="base model: tokenizer.chat_template",
                do="take another file of this model",
            ) from error
    ids = [tokenizer(text)["input_ids"] for text in _TEXTS]
    ids += [tokenizer(chat, add_special_tokens=False)["input_ids"]] if chat is not None else []
    ids = [each[: _window(model)] for each in ids]
    with torch.inference_mode():
        logits = [model(input_ids=torch.tensor([each])).logits[0].float().clone() for each in ids]
    if not all(each.isfinite().all() for each in logits):
        raise UserError(
            "the model computes values that are no numbers (NaN or infinity)",
            where="base model",
            do="take another file of this model; this one is damaged",
        )
    return Behaviour(ids, chat, _special(tokenizer), logits)


def difference(expected: Behaviour, found: Behaviour) -> float:
    """The largest difference of two logits.

    Raises:
        RuntimeError: it is more than `TOLERANCE`, another token comes first anywhere, or the tokenizers differ.
    """
    for name in ("ids", "chat", "special"):
        if getattr(expected, name) != getattr(found, name):
            raise RuntimeError(f"the converted tokenizer is another one: {name} differ")
    largest = max(float((a - b).abs().max()) for a, b in zip(expected.logits, found.logits, strict=True))
    others = sum(
        int((a.argmax(-1) != b.argmax(-1)).sum()) for a, b in zip(expected.logits, found.logits, strict=True)
    )
    if not largest <= TOLERANCE or others:  # NaN is no more than anything
        raise RuntimeError(
            f"the converted model is another one: logits differ by up to {largest:.3g}, and at "
            f"{others} of {sum(map(len, expected.ids))} tokens another one comes first"
        )
    return largest
