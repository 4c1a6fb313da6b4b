"""Settings of the evaluation. Light: the code location loads it at start."""

from typing import Literal

from pydantic import Field, field_validator

from ft_assets.config import StrictModel

__all__ = ["REPORT_CHECKS", "BaselineName", "EvaluationConfig"]

REPORT_CHECKS = {
    "enough_clusters": "there are enough clusters in test for the intervals to be as wide as they must",
    "enough_rows_of_each_label": "each label has enough rows in test to say something about it",
    "every_label_predicted": "the model predicts each label at least once",
    "defined_in_every_resample": "every metric has a value in every resample",
}
"""What a reader must know before believing the numbers; the outcomes are `checks` in the report."""

BaselineName = Literal["majority", "tfidf"]


class EvaluationConfig(StrictModel):
    """How predictions become metrics with intervals, and what they are compared with."""

    resamples: int = Field(default=10_000, ge=100, le=1_000_000)
    """Bootstrap resamples, a count. 10,000 hold the simulation error of a 95 % bound far below the width of
    the interval (Davison & Hinkley 1997, section 5.2.3, ask for 1,000 at least)."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Share of the percentile interval, 0.5 to 1."""

    seed: int = Field(default=0, ge=0)
    """Seed of the resamples and of the baselines."""

    title: str | None = None
    """Title of the report; the task's name when absent."""

    baselines: tuple[BaselineName, ...] = ("majority", "tfidf")
    """What the fine-tuned model is compared with, on the same rows."""

    @field_validator("baselines")
    @classmethod
    def _no_baseline_twice(cls, names: tuple[BaselineName, ...]) -> tuple[BaselineName, ...]:
        if len(set(names)) != len(names):
            raise ValueError("a baseline is named twice")
        return names
