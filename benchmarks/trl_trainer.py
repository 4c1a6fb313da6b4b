"""The peer of generation: `trl.SFTTrainer` on the rows, base model and settings of a work order of ours.

`python -m benchmarks.trl_trainer ORDER.json RESULT.json defaults|plain|best`: its defaults (bf16, gradient
checkpointing); these two switched off, which on a CPU is what somebody who looks for speed would do; or its best
settings for a GPU: bf16, packed rows, FlashAttention if that is installed.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import set_seed
from transformers.utils import is_flash_attn_2_available
from trl import SFTConfig, SFTTrainer

from ft_assets.training.checkpoint import load_language_model, load_tokenizer
from ft_assets.training.conversations import Encoder, end_tokens
from ft_assets.training.hardware import available_cores
from ft_assets.training.language_model import mean_loss
from ft_assets.training.sequences import encode_rows, read_conversations
from ft_assets.worker.work_order import WorkOrder

SETTINGS = {
    "defaults": {},
    "plain": {"bf16": False, "gradient_checkpointing": False},
    "best": {"bf16": True, "gradient_checkpointing": False, "packing": True, "optim": "adamw_torch_fused"},
}


def main(order_file: str, result_file: str, kind: str) -> None:
    order = WorkOrder.read(Path(order_file))
    config = order.training
    torch.set_num_threads(config.threads or available_cores())
    set_seed(config.seed)
    base = order.path("base_model")
    model, tokenizer = load_language_model(base), load_tokenizer(base)
    if kind == "best" and is_flash_attn_2_available():
        model.set_attn_implementation("flash_attention_2")
    rows = read_conversations(order.path("train"), order.prompt)
    dataset = Dataset.from_list(
        [
            {
                "prompt": list(each.turns),
                "completion": [{"role": "assistant", "content": each.answer}],
            }
            for each in rows.conversations
        ]
    )
    adapters = LoraConfig(
        task_type="CAUSAL_LM",
        r=config.lora.rank,
        lora_alpha=config.lora.alpha,
        lora_dropout=config.lora.dropout,
        target_modules=config.lora.target_modules,
    )
    with tempfile.TemporaryDirectory() as scratch:
        arguments = SFTConfig(
            output_dir=scratch,
            per_device_train_batch_size=config.batch_size,
            num_train_epochs=config.epochs,
            learning_rate=config.effective_learning_rate(order.task_type),
            lr_scheduler_type=config.schedule,
            warmup_steps=config.warmup_fraction,
            weight_decay=config.weight_decay,
            max_length=config.max_length,
            seed=config.seed,
            use_cpu=not torch.cuda.is_available(),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            **SETTINGS[kind],
        )
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=dataset,
            processing_class=tokenizer,
            peft_config=adapters if config.method == "lora" else None,
        )
        started = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - started
    # What both sides count: the tokens of the rows, whatever was padded or computed twice.
    encoder = Encoder(tokenizer, end_tokens(model))
    window = config.max_length or 10**6
    tokens = int(encode_rows(rows, encoder, window, config, "train").lengths.sum())
    held_out = read_conversations(order.path("validation"), order.prompt, config.max_validation_rows)
    validation = encode_rows(held_out, encoder, window, config, "validation")
    trained = trainer.model.float().eval()
    trained.set_attn_implementation("sdpa")
    loss = mean_loss(trained, validation.rows, 1_024, packed=False, pad_id=tokenizer.pad_token_id)
    result = {
        "tokens_per_second": tokens * config.epochs / seconds,
        "seconds": seconds,
        "steps": trainer.state.global_step,
        "validation_loss": loss,
        # As our own: the device's, or without one that of the process.
        "peak_memory_bytes": torch.cuda.max_memory_allocated()
        if torch.cuda.is_available()
        else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    Path(result_file).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
