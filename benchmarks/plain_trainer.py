"""The peer of `main_job.py`: plain `transformers.Trainer` with default arguments, as its documentation shows it.

Run as a program: `python -m benchmarks.plain_trainer ORDER.json RESULT.json`, with a work order of the worker.
It takes from it the rows, the base model, the labels, the method, the learning rate, the epochs and the seed; all
else is default: batches of 8, rows in random order, padded to the longest of the batch, linear decay without warm-up.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def main(order_path: str, result_path: str) -> None:
    import pyarrow.parquet as pq
    from datasets import Dataset
    from peft import LoraConfig, get_peft_model
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    order = json.loads(Path(order_path).read_text())
    settings, labels = order["training"], order["labels"]
    set_seed(settings["seed"])
    tokenizer = AutoTokenizer.from_pretrained(order["base_model"])
    model = AutoModelForSequenceClassification.from_pretrained(order["base_model"], num_labels=len(labels))
    if settings["method"] == "lora":
        lora = settings["lora"]
        config = LoraConfig(
            task_type="SEQ_CLS",
            r=lora["rank"],
            lora_alpha=lora["alpha"],
            lora_dropout=lora["dropout"],
            target_modules=lora["target_modules"],
        )
        model = get_peft_model(model, config)

    def rows(path: str) -> Dataset:
        table = pq.read_table(path)
        encoded = tokenizer(table["text"].to_pylist(), truncation=True)
        targets = [labels.index(name) for name in table["label"].to_pylist()]
        return Dataset.from_dict({**encoded, "labels": targets})

    arguments = TrainingArguments(
        output_dir=str(Path(result_path).parent / "plain"),
        learning_rate=settings["learning_rate"],
        num_train_epochs=settings["epochs"],
        seed=settings["seed"],
        use_cpu=True,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=rows(order["train"]),
        eval_dataset=rows(order["validation"]),
        data_collator=DataCollatorWithPadding(tokenizer),
        processing_class=tokenizer,
    )
    started = time.perf_counter()
    trained = trainer.train()
    seconds = time.perf_counter() - started
    examples = len(trainer.train_dataset) * settings["epochs"]
    result = {
        "examples_per_second": examples / seconds,
        "seconds": seconds,
        "train_loss": trained.training_loss,
        "validation_loss": trainer.evaluate()["eval_loss"],
    }
    Path(result_path).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
