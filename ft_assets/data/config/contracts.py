"""What must hold, and when a version counts as another than the last one."""

from __future__ import annotations

import re
from typing import Any, Literal, get_args

from pydantic import Field, field_validator, model_validator

from ft_assets.config import StrictModel, nearest_or_all
from ft_assets.data.config.values import LabelName

__all__ = ["ContractsConfig", "DriftConfig", "OwnCheck", "SettableCheck", "Severity"]

Severity = Literal["critical", "warning"]
SettableCheck = Literal[
    "files_readable",
    "few_rows_quarantined",
    "every_class_present",
    "answers_present",
    "label_balance",
    "near_duplicate_clusters_small",
    "near_duplicate_labels_agree",
    "few_shared_passages",
    "no_shared_semantic_duplicates",
    "corrections_used",
]
"""Checks whose outcome is a matter of taste; the others say that something is wrong."""


class DriftConfig(StrictModel):
    """When a version of the data counts as another than the last one. A value drifts when it is further above what
    chance gives than its limit; it warns and never blocks."""

    rows: int = Field(default=5_000, ge=100, le=50_000)
    """Rows of either side whose texts are compared, a count: those with the smallest ids, which are hashes."""
    min_rows: int = Field(default=100, ge=20)
    """New rows, a count: of fewer nothing is said. With 100 the share of a label is known to 0.1 (95 %)."""
    labels: float = Field(default=0.1, ge=0)
    """Population stability index of the labels. Below 0.1 nothing has changed, above 0.25 much has (Siddiqi 2006,
    Credit Risk Scorecards, p. 369)."""
    lengths: float = Field(default=0.1, ge=0)
    """The same of the texts' lengths, over bins that double."""
    vocabulary: float = Field(default=0.1, ge=0, le=1)
    """Jensen-Shannon distance of the words, from 0 to 1 (Endres & Schindelin 2003; 0.1 is what the tools of the field
    take)."""
    new_words: float = Field(default=0.1, ge=0, le=1)
    """Share of words that the last version has not."""
    classifier: float = Field(default=0.7, ge=0.5, le=1)
    """Area under the ROC curve of a classifier that tells new rows from old ones (Lopez-Paz & Oquab 2017): 0.5 cannot,
    1 always can, from 0.7 it can acceptably (Hosmer & Lemeshow 2000, p. 162). The lower end of the 95 % interval is
    held against it."""


class OwnCheck(StrictModel):
    """A check of the task's own on what is known of each row: exactly one of `between`, `in_set`, `not_in_set` and
    `matches`."""

    name: str = Field(pattern="^[a-z][a-z0-9_]*$", max_length=60)
    """Its name in the UI."""
    column: Literal["chars", "words", "label", "group"]
    """chars and words: the length of the text; label, and group as they stand in the stage."""
    stage: Literal["cleaned_examples", "labeled_examples"] = "labeled_examples"
    """The asset that is checked."""
    between: tuple[float | None, float | None] | None = None
    """Least and largest value, both included; null is no limit. For chars and words."""
    in_set: list[LabelName] | None = None
    """The only values that may occur. For label and group."""
    not_in_set: list[LabelName] | None = None
    """Values that may not occur. For label and group."""
    matches: str | None = None
    """Regular expression that is found in each value. For label and group."""
    mostly: float = Field(default=1.0, gt=0, le=1)
    """Share of the rows for which it must hold."""
    severity: Severity = "warning"
    """critical: the stage is not published where it fails."""
    advice: str = "look at the rows, and at what the task says of them"
    """What to do when it fails."""

    @model_validator(mode="after")
    def _one_test_that_fits_its_column(self) -> OwnCheck:
        tests = ("between", "in_set", "not_in_set", "matches")
        given = [name for name in tests if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"{self.name}: give exactly one of {', '.join(tests)}, not {given or 'none'}")
        of_lengths = self.column in ("chars", "words")
        if of_lengths != (given == ["between"]):
            fits = "between" if of_lengths else "in_set, not_in_set or matches"
            raise ValueError(f"{self.name}: {given[0]} does not fit the column {self.column}: use {fits}")
        return self

    @field_validator("between")
    @classmethod
    def _limits_leave_room(cls, value: tuple[float | None, float | None] | None) -> Any:
        given = [limit for limit in value or () if limit is not None]
        if value is not None and (not given or given != sorted(given)):
            raise ValueError("expected [least, largest], of which one may be null")
        return value

    @field_validator("matches")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return value


class ContractsConfig(StrictModel):
    """Limits of the checks that are a matter of taste; the others follow from the task."""

    max_quarantined: float = Field(default=0.1, ge=0, le=1)
    """Share of a stage's rows that may be refused before a warning is given."""
    max_cluster: float = Field(default=0.1, gt=0, le=1)
    """Share of the rows that a cluster made by near duplicates may hold before a warning is given: with more of them
    validation and test (0.15 each) are not met."""
    max_shared_passages: float = Field(default=0.01, ge=0, lt=1)
    """Share of the rows of validation or test that may have 13 words in a row in common with train before a warning is
    given."""
    max_label_deviation: float = Field(default=0.15, ge=0, le=1)
    """Largest difference between a label's share in a split and in all rows before a warning is given.
    Of five draws of 300 clusters of twelve rows none is off by more than 0.02. A few large clusters are, and so may be
    what was recorded before labels were drawn evenly: of 300 salted hashes on the sample none by more than 0.15."""
    drift: DriftConfig = DriftConfig()
    """When the data card warns of a version that is another than the last one."""
    severity: dict[SettableCheck, Severity] = Field(default_factory=dict)
    """Check → critical or warning, where it is not to be as it is: what is critical and fails keeps a stage from being
    published, a warning tells. Checks that guard against faults of the project cannot be set."""

    expect: list[OwnCheck] = Field(default_factory=list)
    """Checks of the task's own, beside those that every task has."""

    @field_validator("expect")
    @classmethod
    def _names_are_distinct(cls, value: list[OwnCheck]) -> list[OwnCheck]:
        names = [(each.stage, each.name) for each in value]
        if len(set(names)) != len(names):
            raise ValueError("two checks of one stage have the same name")
        return value

    @model_validator(mode="before")
    @classmethod
    def _name_what_has_moved(cls, values: Any) -> Any:
        if isinstance(values, dict) and "unreadable_files" in values:
            raise ValueError("'unreadable_files' is now 'severity: {files_readable: critical}'")
        return values

    @field_validator("severity", mode="before")
    @classmethod
    def _name_the_nearest_check(cls, given: Any) -> Any:
        known = get_args(SettableCheck)
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                raise ValueError(
                    f"no check '{name}' has a severity that can be set: {nearest_or_all(name, known)}"
                )
        return given
