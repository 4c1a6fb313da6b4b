"""Evaluation of written text: answers against reference answers, and against those of the untuned model.

Here: which numbers make up the evaluation of the task types whose models write (text-generation, summarization,
translation). Not here: how an interval is computed (`generation_intervals`, `resampling`), what a page looks
like (`page`).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ft_assets.errors import UserError
from ft_assets.evaluation.checks import Check, defined_in_every_resample, enough_clusters
from ft_assets.evaluation.config import EvaluationConfig
from ft_assets.evaluation.generation_intervals import TEXT_METRICS, Answers, bootstrap
from ft_assets.evaluation.predictions import MODEL, aligned
from ft_assets.evaluation.resampling import Bootstrap

__all__ = ["LOWER_IS_BETTER", "evaluate_predictions", "headline", "shown_rows", "side_by_side"]

LOWER_IS_BETTER = ("perplexity",)
# The most telling first. BLEU and chrF are what translations are compared by; chrF suits every script.
_HEADLINE = ("rougeL", "rouge1", "rouge2", "chrf", "bleu", "exact_match", "perplexity")
_TRANSLATION = ("chrf", "bleu", "rougeL", "rouge1", "rouge2", "exact_match", "perplexity")

# A model that learned to end its answers ends nearly all; a tenth may be longer than there was room for.
ENOUGH_ENDED = 0.9
# Characters of a text on the page.
PROMPT_CHARACTERS, ANSWER_CHARACTERS = 280, 300


def headline(task_type: str, metrics: Mapping[str, Any]) -> list[str]:
    """The numbers that stand for the whole, the most telling first; those of `metrics` alone."""
    order = _TRANSLATION if task_type == "translation" else _HEADLINE
    return [name for name in order if name in metrics]


def evaluate_predictions(
    examples: pa.Table,
    predictions: pa.Table,
    baselines: Mapping[str, pa.Table],
    config: EvaluationConfig,
    *,
    task_type: str = "text-generation",
    labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything that the report says about the quality of the answers, as plain JSON.

    Args:
        examples: the test rows: example_id, label (the reference answer, or null), cluster.
        predictions: example_id; prediction (the answer; null where none was written); nll (summed negative
            log-likelihood of the reference's tokens, in nats) and tokens (how many these are); ended (whether
            the model ended the answer itself); truncated (whether the prompt was cut to the window). In any order.
        baselines: {name: the same of the untuned model}.
        config: resamples, confidence and seed.
        task_type: decides about the order of the headline.
        labels: nothing here depends on it.

    Returns:
        rows, generated_rows (those with an answer and a reference), clusters, confidence, resamples, seed;
        headline (metric names, the primary one first); lower_is_better (metric names); metrics {name: {"value",
        "low", "high", "n"}}, of perplexity alone where no row was answered; answers {"ended", "different",
        "prompts_truncated"}, counts; baselines {name: {"metrics", "answers"}}; differences {baseline: {metric:
        model less baseline}}; checks: what a reader must know before believing the numbers, {"name", "passed",
        "detail"} each.

    Raises:
        UserError: an example has no prediction or several, a baseline answered other rows than the model, or a
            likelihood is no number.
        RuntimeError: the two ways of computing the metrics disagree (a fault of this package).
    """
    tables = {MODEL: predictions, **{f"baseline {name}": table for name, table in baselines.items()}}
    tables = {name: aligned(examples, table, name) for name, table in tables.items()}
    references = examples["label"].to_pylist()
    answers = {name: _answers(table, name) for name, table in tables.items()}
    answered = _answered(references, answers)
    result = bootstrap(
        references,
        answers,
        [str(cluster) for cluster in examples["cluster"].to_pylist()],
        resamples=config.resamples,
        confidence=config.confidence,
        seed=config.seed,
    )
    metrics = result.metrics[MODEL]
    _require_agreement(metrics, references, answers[MODEL], answered)
    written = {name: _written(table, answered) for name, table in tables.items()}
    return {
        "rows": examples.num_rows,
        "generated_rows": len(answered),
        "clusters": result.clusters,
        "confidence": config.confidence,
        "resamples": config.resamples,
        "seed": config.seed,
        "headline": headline(task_type, metrics),
        "lower_is_better": list(LOWER_IS_BETTER),
        "metrics": metrics,
        "answers": written[MODEL],
        "baselines": {
            name: {"metrics": result.metrics[f"baseline {name}"], "answers": written[f"baseline {name}"]}
            for name in baselines
        },
        "differences": {name: result.differences[f"baseline {name}"] for name in baselines},
        "checks": _checks(result, written, len(answered)),
    }


def shown_rows(
    examples: pa.Table, predictions: pa.Table, baselines: Mapping[str, pa.Table]
) -> dict[str, list[dict[str, Any]]]:
    """The rows that the page shows: {"samples": `side_by_side`}."""
    return {"samples": side_by_side(examples, predictions, baselines.get("zero_shot"))}


def side_by_side(
    examples: pa.Table, predictions: pa.Table, untuned: pa.Table | None = None, each: int = 2
) -> list[dict[str, Any]]:
    """Rows with the answers that the model gave before and after: the best, middle and worst ones by what tuning
    gained in ROUGE-L, or by ROUGE-L alone where there is no untuned model.

    Args:
        examples: example_id, text (the prompt), label (the reference answer).
        predictions: example_id and prediction of the tuned model.
        untuned: the same of the untuned model.
        each: how many rows of a sort; fewer where there are not so many.

    Returns:
        example_id, kind ("best", "middle" or "worst"), prompt, reference, and tuned and untuned (None without
        it), each {"text", "rougeL"}. Texts are masked and shortened.
    """
    from ft_assets.evaluation.rouge import rouge

    before = aligned(examples, untuned, "baseline zero_shot") if untuned is not None else None
    columns = [examples[name].to_pylist() for name in ("example_id", "text", "label")]
    columns.append(aligned(examples, predictions, MODEL)["prediction"].to_pylist())
    columns.append(before["prediction"].to_pylist() if before is not None else [None] * examples.num_rows)
    rows = [
        {
            "example_id": example_id,
            "prompt": prompt or "",
            "reference": reference,
            "tuned": {"text": tuned, "rougeL": rouge(tuned, reference)[2]},
            "untuned": None if other is None else {"text": other, "rougeL": rouge(other, reference)[2]},
        }
        for example_id, prompt, reference, tuned, other in zip(*columns, strict=True)
        if reference is not None and tuned is not None
    ]
    rows.sort(key=lambda row: (-_gain(row), row["example_id"]))
    return [_masked(rows[place]) | {"kind": kind} for place, kind in _spread(len(rows), each).items()]


def _gain(row: Mapping[str, Any]) -> float:
    before = row["untuned"]["rougeL"] if row["untuned"] else 0.0
    return float(row["tuned"]["rougeL"] - before)


def _masked(row: Mapping[str, Any]) -> dict[str, Any]:
    from ft_assets.data.masking import mask

    answers = {name: row[name] for name in ("tuned", "untuned")}
    return {
        **row,
        "prompt": mask(row["prompt"], PROMPT_CHARACTERS),
        "reference": mask(row["reference"], ANSWER_CHARACTERS),
        **{
            name: own and own | {"text": mask(own["text"], ANSWER_CHARACTERS)}
            for name, own in answers.items()
        },
    }


def _spread(rows: int, each: int) -> dict[int, str]:
    """{place: kind} among rows that are sorted from best to worst, in this order and none twice."""
    middle = max(0, (rows - each) // 2)
    places: dict[int, str] = {}
    for kind, chosen in (
        ("best", range(min(each, rows))),
        ("worst", range(max(0, rows - each), rows)),
        ("middle", range(middle, min(middle + each, rows))),
    ):
        for place in chosen:
            places.setdefault(place, kind)
    return dict(sorted(places.items()))


def _answers(table: pa.Table, name: str) -> Answers:
    nll = table["nll"].cast(pa.float64()).to_numpy()
    tokens = pc.fill_null(table["tokens"], 0).cast(pa.int64()).to_numpy()
    broken = int((~np.isfinite(nll)).sum())
    if broken:
        raise UserError(
            f"{name}: the likelihood of {broken} rows is no number", do="materialise the predictions again"
        )
    return Answers(table["prediction"].to_pylist(), nll, tokens)


def _answered(references: Sequence[str | None], answers: Mapping[str, Answers]) -> list[int]:
    """Places of the rows that have an answer and a reference: the same for all, or their numbers could not be
    compared."""
    found = {
        name: [
            row
            for row, (text, reference) in enumerate(zip(own.texts, references, strict=True))
            if text is not None and reference is not None
        ]
        for name, own in answers.items()
    }
    for name, rows in found.items():
        if rows != found[MODEL]:
            raise UserError(
                f"{name}: {len(rows)} rows are answered, and not the same as the {len(found[MODEL])} of the {MODEL}",
                do="materialise the baselines and the predictions again, with the same settings",
            )
    return found[MODEL]


def _written(table: pa.Table, answered: Sequence[int]) -> dict[str, int]:
    """Counts among the answers: ended by the model itself, different from each other, prompts that were cut."""
    rows = table.take(pa.array(answered, pa.int64()))
    return {
        "ended": pc.sum(rows["ended"]).as_py() or 0,
        "different": len(set(rows["prediction"].to_pylist())),
        "prompts_truncated": pc.sum(rows["truncated"]).as_py() or 0,
    }


def _checks(result: Bootstrap, written: Mapping[str, Mapping[str, int]], answered: int) -> list[Check]:
    own = written[MODEL]
    cut = {name: counts["prompts_truncated"] for name, counts in written.items()}
    return [
        enough_clusters(result),
        {
            "name": "answers_end",
            "passed": own["ended"] >= ENOUGH_ENDED * answered,
            "detail": f"answers that the model ended itself: {own['ended']:,} of {answered:,}; below "
            f"{ENOUGH_ENDED:.0%} there are too few new tokens allowed, or the model did not learn to end",
        },
        {
            "name": "answers_differ",
            "passed": answered < 2 or own["different"] > 1,
            "detail": f"different answers: {own['different']:,} to {answered:,} prompts",
        },
        {
            "name": "no_prompt_truncated",
            "passed": not any(cut.values()),
            "detail": f"prompts cut to the window, of {answered:,}: "
            + ", ".join(f"{name} {count:,}" for name, count in cut.items()),
        },
        defined_in_every_resample(result, result.metrics[MODEL]),
    ]


def _require_agreement(
    metrics: Mapping[str, Any], references: Sequence[str | None], answers: Answers, answered: Sequence[int]
) -> None:
    """The values of the bootstrap's sums must be those of the `evaluate` metrics over rouge-score and sacrebleu."""
    from ft_assets.evaluation.generation_metrics import Perplexity, combined

    values = Perplexity().compute(nll=answers.nll, tokens=answers.tokens)
    if answered:
        texts, wanted = ([column[row] for row in answered] for column in (answers.texts, references))
        values |= combined().compute(predictions=texts, references=wanted)
    for name in (*TEXT_METRICS, "perplexity") if answered else ("perplexity",):
        value = math.nan if metrics[name]["value"] is None else metrics[name]["value"]
        # The same counts and row values; logarithms and the order of additions leave some 1e-15 of the value.
        same = math.isclose(value, values[name], rel_tol=1e-9, abs_tol=1e-12)
        if not same and not (math.isnan(value) and math.isnan(values[name])):
            raise RuntimeError(f"{name}: {value} by sums, {values[name]} by evaluate")
