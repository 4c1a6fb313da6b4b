"""`report.html`: the report as one self-contained page that opens offline and runs no script.

The page shows what `report.json` says and nothing else, but for a few masked rows. It is safe against hostile
text: everything is escaped (autoescape), control and direction characters become visible symbols, and a
content security policy forbids scripts and every fetch, should something slip through all the same.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ft_assets.evaluation import task_type_module
from ft_assets.pages import figures
from ft_assets.pages.html import environment, safe, style

__all__ = ["OF_HUNDRED", "render_html"]

TEMPLATES = Path(__file__).parent / "templates"
# What the page says about the training; whatever the trainer did not measure is None.
COST = (
    "best_step",
    "device",
    "device_name",
    "examples_per_second",
    "parameters",
    "peak_memory_bytes",
    "precision",
    "seconds",
    "seed",
    "settings",
    "stopped_early",
    "tokens_per_second",
    "trainable_parameters",
    "truncated",
    "window",
)
MOST_LABELS, WORST = 30, 20
NO_VALUE = "\N{EN DASH}"
OF_HUNDRED = frozenset({"bleu", "chrf"})
"""Metrics that go from 0 to 100. Perplexity has no upper end; all others go from 0 to 1."""

NAMES = {
    "f1_macro": "Macro-F1",
    "accuracy": "Accuracy",
    "precision_macro": "Macro precision",
    "recall_macro": "Macro recall",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "bleu": "BLEU",
    "chrf": "chrF",
    "exact_match": "Exact match",
    "perplexity": "Perplexity",
    "majority": "Majority label",
    "tfidf": "TF-IDF",
    "zero_shot": "Zero-shot",
    "few_shot": "Few-shot",
}
"""How a metric or a baseline is called in a table."""


def render_html(
    report: Mapping[str, Any],
    examples: pa.Table | None = None,
    predictions: pa.Table | None = None,
    baselines: Mapping[str, pa.Table] | None = None,
) -> str:
    """The page.

    Args:
        report: what `build_report` returned, or the same read from `report.json`.
        examples: the test rows (example_id, text, label, cluster), for those shown with masked text.
        predictions: the model's predictions for them. Without these two the page shows no row.
        baselines: {name: the baseline's predictions}; answers are shown beside those of `zero_shot`.
    """
    filters: dict[str, Callable[..., Any]] = {
        "duration": duration,
        "size": size,
        "number": lambda value: "not measured" if value is None else f"{value:,.0f}",
        "speed": speed,
        "estimate": estimate,
        "signed": signed,
        "unbroken": unbroken,
        "digits": digits,
        "name": lambda key: NAMES.get(key, key),
    }
    rows: dict[str, Any] = {"mistakes": [], "samples": []}
    if examples is not None and predictions is not None:
        rows |= task_type_module(report["task_type"]).shown_rows(examples, predictions, baselines or {})
    return (
        environment(TEMPLATES, filters)
        .get_template("report.html.j2")
        .render(
            report=report,
            css=style(),
            libraries=_libraries(report),
            cost={**dict.fromkeys(COST), **report["training"]},
            **rows,
            **_figures(report),
        )
    )


def estimate(value: float | None, digits: int = 3) -> str:
    """A metric's value or bound."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, with its sign."""
    return NO_VALUE if value is None else f"{value:+.{digits}f}".replace("-", "\N{MINUS SIGN}")


def digits(metric: str) -> int:
    """Decimals of a metric in a table: what tells two values apart is of the same size on every scale."""
    return 1 if metric in OF_HUNDRED else 2 if metric == "perplexity" else 3


def unbroken(sentence: str) -> str:
    """The sentence with each estimate and its interval, and each hyphenated term, kept on one line."""
    kept = re.sub(r"\S+ \[[^\]]*\]", lambda found: found[0].replace(" ", "\N{NO-BREAK SPACE}"), sentence)
    return re.sub(r"\b(macro|TF|ROUGE|zero|few)-", "\\1\N{NON-BREAKING HYPHEN}", kept)


def duration(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "not measured"
    if seconds < 0.1:
        return "under 0.1 s"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def speed(per_second: float | None) -> str:
    """Whole things a second, or two digits where they are few: 0.26 are not none."""
    if per_second is None:
        return "not measured"
    return f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}"


def size(count: float | None) -> str:
    """Bytes in binary units."""
    if not count:
        return "not measured"
    power = min(int(math.log(count, 1024)), 4)
    return f"{count / 1024**power:,.{1 if power > 2 else 0}f} {('B', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"


def _figures(report: Mapping[str, Any]) -> dict[str, Any]:
    """Every figure of the page."""
    primary = report["headline"][0]
    metrics, rivals = report["metrics"], report["baselines"]
    differences = {name: values[primary] for name, values in report["differences"].items()}
    gains = figures.axis(_bounds(differences.values()), include=[0.0])
    scores = {name: entry["metrics"][primary] for name, entry in rivals.items()}
    drawn = [name for name in report["headline"] if name != "perplexity"]
    unit = figures.axis([0.0, 1.0])
    ranked = _axis(primary, [metrics[primary], *scores.values()])
    return {
        "primary": primary,
        "less_is_better": primary in report.get("lower_is_better", ()),
        "unit": unit,
        "ranking_axis": ranked,
        "gain_axis": gains,
        "headline": [_row(name, metrics[name], _axis(name)) for name in drawn],
        "perplexity": metrics.get("perplexity"),
        "answers": [
            ("Fine-tuned", report.get("answers")),
            *((name, entry.get("answers")) for name, entry in rivals.items()),
        ],
        "ranking": [
            _row("Fine-tuned", metrics[primary], ranked),
            *(_row(name, score, ranked, kind="s2") for name, score in scores.items()),
        ],
        "gains": [_row(name, interval, gains, zero=True) for name, interval in differences.items()],
        "per_class": [
            {**row, "figure": _row(f"F1 of {row['label']}", row["f1"], unit)["figure"]}
            for row in report.get("per_class", [])
        ],
        "confusion": _confusion(report.get("confusion_matrix")),
        "loss": _loss(report["training"]),
        "flow": [{**stage, "figure": _flow(stage)} for stage in report["data"]["flow"]],
    }


def _axis(metric: str, estimates: Sequence[Mapping[str, Any]] = ()) -> figures.Axis:
    """The scale of a metric; that of perplexity, which has no upper end, holds the estimates and 1, the best."""
    if metric == "perplexity":
        return figures.axis(_bounds(estimates), include=[1.0])
    return figures.axis([0.0, 100.0 if metric in OF_HUNDRED else 1.0])


def _bounds(estimates: Iterable[Mapping[str, Any]]) -> list[float]:
    """All numbers of the estimates."""
    ends = ("low", "value", "high")
    return [estimate[end] for estimate in estimates for end in ends if estimate[end] is not None]


def _row(name: str, interval: Mapping[str, Any], scale: figures.Axis, **style: Any) -> dict[str, Any]:
    """What a line of a dot-and-whisker plot needs."""
    figure = safe(figures.whisker(interval, scale, NAMES.get(name, name), **style))
    return {"key": name, "interval": interval, "figure": figure, "of_hundred": name in OF_HUNDRED}


def _confusion(matrix: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The heat map's rows; above `MOST_LABELS` nobody can read it: the most frequent mistakes instead."""
    if matrix is None:
        return None
    labels = matrix["labels"]
    rows = [
        {
            "label": label,
            "cells": [
                {
                    "prediction": prediction,
                    "count": count,
                    "share": count / max(sum(counts), 1),
                    "hit": i == j,
                }
                for j, (prediction, count) in enumerate(zip(labels, counts, strict=True))
            ],
        }
        for i, (label, counts) in enumerate(zip(labels, matrix["counts"], strict=True))
    ]
    mistakes = [
        {**c, "label": row["label"]} for row in rows for c in row["cells"] if c["count"] and not c["hit"]
    ]
    worst = sorted(mistakes, key=lambda mistake: -mistake["count"])[:WORST]
    return {"labels": labels, "rows": rows if len(labels) <= MOST_LABELS else [], "worst": worst}


def _flow(stage: Mapping[str, Any]) -> Any:
    parts = {key: stage[key] or 0 for key in ("kept", "merged", "quarantined")}
    return safe(figures.stacked_bar(parts, stage["rows_in"] or 0, stage["stage"]))


def _libraries(report: Mapping[str, Any]) -> dict[str, str]:
    """Versions of all libraries that took part; several where the assets were made with different ones."""
    found: dict[str, set[str]] = {}
    entries = [entry for entry in report["provenance"].values() if isinstance(entry, Mapping)]
    for libraries in [report["training"].get("libraries"), *(entry.get("libraries") for entry in entries)]:
        for library, version in (libraries or {}).items():
            found.setdefault(library, set()).add(str(version))
    return {library: ", ".join(sorted(versions)) for library, versions in sorted(found.items())}


def _loss(training: Mapping[str, Any]) -> dict[str, Any] | None:
    points: dict[str, list[tuple[float, float]]] = {"train": [], "validation": []}
    for point in training.get("history") or []:
        if point.get("loss") is not None:
            points["train" if point["kind"] == "train" else "validation"].append(
                (point["step"], point["loss"])
            )
    drawn = figures.curves(points, training.get("best_step"), "Loss by step")
    return None if drawn is None else {**drawn, "svg": safe(drawn["svg"])}
