"""A random Llama as a GGUF file, written as llama.cpp's converter writes one."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

from ft_assets_tests.tiny_models import CHATML

__all__ = ["build_tiny_gguf", "tiny_llama"]

HIDDEN, FEED_FORWARD, LAYERS, HEADS, KEY_HEADS, WINDOW = 64, 96, 2, 4, 2, 128
MERGES = ["t h", "th e", "a n"]
NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def tokens() -> list[str]:
    """Bytes, three merged pieces, and the marks of a chat."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return [*letters, *(merge.replace(" ", "") for merge in MERGES), "<|im_start|>", "<|im_end|>"]


def tiny_llama(seed: int = 0) -> Any:
    """The model that the file holds."""
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokens()),
            hidden_size=HIDDEN,
            intermediate_size=FEED_FORWARD,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=KEY_HEADS,
            max_position_embeddings=WINDOW,
            initializer_range=0.1,
            tie_word_embeddings=True,
            rms_norm_eps=1e-5,
            bos_token_id=len(tokens()) - 2,
            eos_token_id=len(tokens()) - 1,
            pad_token_id=len(tokens()) - 1,
        )
    ).eval()


def build_tiny_gguf(
    path: Path,
    *,
    kind: str = "F32",
    architecture: str = "llama",
    without: str | None = None,
    bos: int | None = None,
    template: str | None = CHATML,
    split: int = 0,
    pre: str = "smollm",
) -> Path:
    """Write `tiny_llama()`.

    Args:
        path: of the file.
        kind: the type of the matrices: F32, Q8_0 or Q4_1.
        architecture: what the file claims to be.
        without: name of a tensor to leave out.
        bos: another id for the beginning's token.
        template: chat template.
        split: how many parts it claims to be one of.
        pre: the tokenizer's kind.
    """
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_license("apache-2.0")
    writer.add_block_count(LAYERS)
    writer.add_context_length(WINDOW)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KEY_HEADS)
    writer.add_rope_freq_base(10_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens()))
    writer.add_rope_dimension_count(HIDDEN // HEADS)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens())
    writer.add_token_types([1] * (len(tokens()) - 2) + [3, 3])  # 1 normal, 3 control
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(len(tokens()) - 2 if bos is None else bos)
    writer.add_eos_token_id(len(tokens()) - 1)
    writer.add_pad_token_id(len(tokens()) - 1)
    writer.add_add_bos_token(False)
    if template:
        writer.add_chat_template(template)
    if split:
        writer.add_uint16("split.count", split)
    for name, values in _tensors(tiny_llama()).items():
        if name == without:
            continue
        if kind == "F32" or values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            packed = gguf.GGMLQuantizationType[kind]
            writer.add_tensor(name, gguf.quantize(values, packed), raw_dtype=packed)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _tensors(model: Any) -> dict[str, np.ndarray]:
    """The weights by llama.cpp's names, and in its order: it turns pairs of neighbours, where transformers turns
    halves."""
    weights = {name: value.detach().numpy() for name, value in model.named_parameters()}
    found = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
    }
    for layer in range(LAYERS):
        for theirs, ours in NAMES.items():
            value = weights[f"model.layers.{layer}.{theirs}.weight"]
            heads = {"attn_q": HEADS, "attn_k": KEY_HEADS}.get(ours)
            if heads:
                value = value.reshape(heads, 2, -1, HIDDEN).swapaxes(1, 2).reshape(value.shape)
            found[f"blk.{layer}.{ours}.weight"] = np.ascontiguousarray(value)
    return found
