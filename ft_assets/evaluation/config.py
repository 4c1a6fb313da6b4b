"""Settings of the evaluation, and what it is called. Light: the code location loads it at start."""

from typing import Literal

from pydantic import Field, field_validator

from ft_assets.config import StrictModel
from ft_assets.task_types import generates

__all__ = ["BaselineName", "EvaluationConfig", "report_checks"]

BaselineName = Literal["majority", "tfidf", "zero_shot", "few_shot"]

_CLASSIFIERS: tuple[BaselineName, ...] = ("majority", "tfidf")
_UNTUNED: tuple[BaselineName, ...] = ("zero_shot", "few_shot")
_CLASSIFICATION_CHECKS = {
    "enough_rows_of_each_label": "each label has enough rows in test to say something about it",
    "every_label_predicted": "the model predicts each label at least once",
}
_GENERATION_CHECKS = {
    "answers_end": "the model ends nearly all of its answers by itself, within the limit of new tokens",
    "answers_differ": "the model does not give the same answer to every prompt",
    "no_prompt_truncated": "no prompt was cut to the model's window, neither for the model nor for a baseline",
}


def report_checks(task_type: str) -> dict[str, str]:
    """What a reader must know before believing the numbers: {name: what holds where it is passed}.

    The outcomes are `checks` in the report.
    """
    return {
        "enough_clusters": "there are enough clusters in test for the intervals to be as wide as they must",
        **(_GENERATION_CHECKS if generates(task_type) else _CLASSIFICATION_CHECKS),
        "defined_in_every_resample": "every metric has a value in every resample",
    }


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

    baselines: tuple[BaselineName, ...] | None = None
    """What the fine-tuned model is compared with, on the same rows. All that the task type has, when absent:
    majority and tfidf where labels are predicted, zero_shot and few_shot where text is written."""

    @field_validator("baselines")
    @classmethod
    def _no_baseline_twice(cls, names: tuple[BaselineName, ...] | None) -> tuple[BaselineName, ...] | None:
        if names is not None and len(set(names)) != len(names):
            raise ValueError("a baseline is named twice")
        return names

    def baselines_for(self, task_type: str) -> tuple[BaselineName, ...]:
        """The baselines of a task of this type."""
        return _fitting(task_type) if self.baselines is None else self.baselines

    def check_baselines(self, task_type: str) -> None:
        """Refuse a baseline that a task of this type cannot have.

        Raises:
            ValueError: there is one; says which ones fit.
        """
        fitting = _fitting(task_type)
        foreign = [name for name in self.baselines_for(task_type) if name not in fitting]
        if foreign:
            raise ValueError(
                f"evaluation.baselines: {', '.join(foreign)} cannot stand beside a model of the task type "
                f"'{task_type}'; use some of: {', '.join(fitting)}"
            )


def _fitting(task_type: str) -> tuple[BaselineName, ...]:
    return _UNTUNED if generates(task_type) else _CLASSIFIERS
