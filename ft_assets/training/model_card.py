"""The README of a checkpoint: a model card as the Hugging Face Hub reads it (YAML front matter, then
Markdown)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

__all__ = ["model_card"]


def model_card(
    *,
    title: str,
    description: str,
    task_type: str,
    labels: list[str] | None,
    base_model: str | None,
    license_name: str | None,
    language: str | None,
    data_versions: Mapping[str, str],
    training: Mapping[str, Any],
    result: Mapping[str, Any],
    prompt: str = "{text}",
) -> str:
    """Text of the card.

    Args:
        title: name of the task.
        description: what the model is for.
        task_type: as Hugging Face names it.
        labels: names of the classes, of a classifier.
        base_model: hub name or pinned source of the base model; only a hub name goes into the front matter,
            since the Hub refuses anything else there.
        license_name: licence as the Hub names it.
        language: language code.
        data_versions: data version of each input.
        training: settings that were used.
        result: what the training measured.
        prompt: what stands around a text, of a model that writes; `{text}` is the text.
    """
    front: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": task_type,
        "tags": [task_type, "ft_assets"],
    }
    if base_model and _is_hub_name(base_model):
        front["base_model"] = base_model
    if license_name:
        front["license"] = license_name
    if language:
        front["language"] = language
    lines = [
        "---",
        yaml.safe_dump(front, sort_keys=True, allow_unicode=True).strip(),
        "---",
        "",
        f"# {title}",
        "",
        description,
        "",
        f"Base model: {base_model or 'not stated'}." + (f" Classes: {', '.join(labels)}." if labels else ""),
        "",
        "## Use",
        "",
        "```python",
        "from transformers import pipeline",
        "",
        *(_writing(prompt) if labels is None else _CLASSIFYING),
        "```",
        "",
        *_table("## Training", training),
        *_table("## Result of training", result),
        *_table("## Inputs", data_versions),
        "Scores on held-out rows are in the evaluation report of the task.",
        "",
    ]
    return "\n".join(lines)


_CLASSIFYING = [
    'classify = pipeline("text-classification", model="PATH_OF_THIS_FOLDER")',
    'classify("a text", truncation=True)',
]


def _writing(prompt: str) -> list[str]:
    return [
        'write = pipeline("text-generation", model="PATH_OF_THIS_FOLDER")',
        f"prompt = {prompt!r}.replace('{{text}}', 'a text')",
        'write([{"role": "user", "content": prompt}], do_sample=False, return_full_text=False)',
    ]


def _is_hub_name(source: str) -> bool:
    parts = source.split("/")
    return len(parts) in (1, 2) and all(
        part and part.replace("-", "").replace("_", "").replace(".", "").isalnum() for part in parts
    )


def _table(heading: str, facts: Mapping[str, Any]) -> list[str]:
    if not facts:
        return []
    rows = [f"| {name} | {_shown(value)} |" for name, value in facts.items()]
    return [heading, "", "| what | value |", "|---|---|", *rows, ""]


def _shown(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
