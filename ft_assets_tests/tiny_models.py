"""Random models of a few kilobytes, in the format of real ones, and rows that they can learn from."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "LABELS",
    "build_tiny_bert",
    "build_tiny_distilbert",
    "build_tiny_gpt2",
    "build_tiny_llama",
    "recipe_table",
    "sentiment_table",
    "write_sentiment",
]

LABELS = ["negative", "neutral", "positive"]

_WORDS = {
    "negative": [
        "bad",
        "awful",
        "broken",
        "poor",
        "worse",
        "worst",
        "useless",
        "cheap",
        "noisy",
        "slow",
        "ugly",
        "weak",
        "wrong",
        "terrible",
        "horrible",
    ],
    "neutral": [
        "box",
        "blue",
        "cable",
        "arrived",
        "tuesday",
        "inches",
        "includes",
        "manual",
        "button",
        "left",
        "right",
        "side",
        "weighs",
        "ounces",
    ],
    "positive": [
        "good",
        "great",
        "excellent",
        "love",
        "perfect",
        "best",
        "nice",
        "fast",
        "strong",
        "beautiful",
        "happy",
        "clear",
        "solid",
        "fine",
    ],
}
_FILLER = [
    "the",
    "a",
    "an",
    "is",
    "was",
    "it",
    "this",
    "that",
    "i",
    "we",
    "you",
    "they",
    "my",
    "our",
    "very",
    "really",
    "quite",
    "so",
    "and",
    "but",
    "or",
    "of",
    "in",
    "on",
    "at",
    "to",
    "for",
    "with",
    "from",
    "as",
    "by",
    "not",
    "no",
    "have",
    "has",
    "had",
    "be",
    "been",
    "are",
    "were",
    "do",
    "does",
    "did",
    "will",
    "would",
    "can",
    "could",
    "phone",
    "camera",
    "player",
    "battery",
    "screen",
    "sound",
    "price",
    "case",
    "lens",
    "zoom",
    "picture",
    "quality",
    "product",
    "item",
    "thing",
    "one",
    "two",
    "three",
    "after",
    "before",
    "when",
    "while",
]
_SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def build_tiny_bert(folder: Path, *, layers: int = 2) -> Path:
    """A random BERT without a head: hidden size 32, window of 64 tokens, some 150 words."""
    from transformers import BertConfig, BertModel, set_seed

    set_seed(0)
    vocabulary = _write_tokenizer(folder, pad=True)
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.1,  # 0.02 is for wide models; a narrow one would hardly learn
    )
    BertModel(config).save_pretrained(folder)
    return folder


def build_tiny_distilbert(folder: Path) -> Path:
    """A random DistilBERT: its head has two layers, of which the first has a name of its own."""
    from transformers import DistilBertConfig, DistilBertModel, set_seed

    set_seed(0)
    vocabulary = _write_tokenizer(folder, pad=True)
    config = DistilBertConfig(
        vocab_size=vocabulary,
        dim=32,
        n_layers=2,
        n_heads=2,
        hidden_dim=64,
        max_position_embeddings=64,
        initializer_range=0.1,
    )
    DistilBertModel(config).save_pretrained(folder)
    return folder


def build_tiny_gpt2(folder: Path) -> Path:
    """A random GPT-2 whose tokenizer, like the real one's, has no padding token."""
    from transformers import GPT2Config, GPT2Model, set_seed

    set_seed(0)
    vocabulary = _write_tokenizer(folder, pad=False)
    config = GPT2Config(vocab_size=vocabulary, n_embd=32, n_layer=2, n_head=2, n_positions=64)
    GPT2Model(config).save_pretrained(folder)
    return folder


CHATML = (
    "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou help.<|im_end|>\n{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template like SmolLM2's: marks around each turn, a system message of its own where there is none."""


def build_tiny_llama(
    folder: Path, *, template: str | None = CHATML, tied: bool = True, window: int = 256, **sizes: int
) -> Path:
    """A random Llama of two layers, or of other `sizes`, that reads bytes; as with SmolLM2, padding and end are one
    token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed

    set_seed(0)
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token) for token in ("<|im_start|>", "<|im_end|>")])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        model_max_length=window,
    )
    fast.chat_template = template
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    shape = {
        "vocab_size": len(fast),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    config = LlamaConfig(
        **shape | sizes,
        max_position_embeddings=window,
        initializer_range=0.1,
        tie_word_embeddings=tied,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
        pad_token_id=fast.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def recipe_table(rows: int, *, seed: int = 0) -> pa.Table:
    """Prompts and answers that a tiny model can learn: the answer is the last word of the prompt, twice. Every fifth
    row has turns before the prompt."""
    rng = random.Random(seed)
    table: list[dict[str, Any]] = []
    for number in range(rows):
        words = [rng.choice(_FILLER) for _ in range(rng.randint(2, 8))]
        context = None
        if number % 5 == 0:
            turns = [("system", "be brief"), ("user", "say box"), ("assistant", "box box")]
            context = json.dumps([{"role": role, "content": content} for role, content in turns])
        identity = hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:16]
        row = {"example_id": identity, "context": context, "text": " ".join(words)}
        table.append({**row, "label": f"{words[-1]} {words[-1]}", "cluster": f"t:{identity}"})
    table.sort(key=lambda row: row["example_id"])
    names = ("example_id", "context", "text", "label", "cluster")
    return pa.Table.from_pylist(table, pa.schema([(name, pa.string()) for name in names]))


def sentiment_table(rows: int, *, seed: int = 0, longest: int = 20) -> pa.Table:
    """Made-up reviews with example_id, text, label; two words of four tell the label. Lengths vary."""
    rng = random.Random(seed)
    table: list[dict[str, Any]] = []
    for number in range(rows):
        label = LABELS[number % len(LABELS)]
        length = rng.randint(4, longest)
        words = [rng.choice(_WORDS[label] if rng.random() < 0.5 else _FILLER) for _ in range(length)]
        identity = hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:16]
        table.append({"example_id": identity, "text": " ".join(words), "label": label})
    table.sort(key=lambda row: row["example_id"])
    return pa.Table.from_pylist(table)


def write_sentiment(path: Path, rows: int, *, seed: int = 0, longest: int = 20) -> Path:
    """Write `sentiment_table` as Parquet and return the path."""
    pq.write_table(sentiment_table(rows, seed=seed, longest=longest), path)
    return path


def _write_tokenizer(folder: Path, *, pad: bool) -> int:
    """Write a WordPiece tokenizer in the fast format; returns the size of the vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*_SPECIAL, *letters, *(f"##{letter}" for letter in letters), *".,!?'"]
    words = sorted({*_FILLER, *(word for group in _WORDS.values() for word in group)})
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys([*pieces, *words]))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        eos_token="[SEP]",
        **({"pad_token": "[PAD]"} if pad else {}),
        model_max_length=64,
    )
    folder.mkdir(parents=True, exist_ok=True)
    fast.save_pretrained(folder)
    return len(vocabulary)
