"""Which columns of the sources hold what."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ft_assets.config import StrictModel

__all__ = ["ColumnRef", "ColumnsConfig", "LanguagesConfig"]


class ColumnRef(StrictModel):
    """A column, and the part of its value that is meant."""

    column: str
    """Name of the column."""
    pattern: str | None = None
    """Regular expression searched in the value: its one group counts, or the whole match when it has none."""

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                groups = re.compile(value).groups
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
            if groups > 1:
                raise ValueError(f"has {groups} groups, expected one or none: write (?:…) for the others")
        return value


class LanguagesConfig(StrictModel):
    """The languages of rows that hold a text in several of them, by the names that they have there (`en`)."""

    source: str = Field(min_length=1)
    """The language that is translated."""
    target: str = Field(min_length=1)
    """The language that it is translated into."""

    @model_validator(mode="after")
    def _they_differ(self) -> LanguagesConfig:
        if self.source == self.target:
            raise ValueError(f"source and target are both '{self.source}'")
        return self


class ColumnsConfig(StrictModel):
    """Which columns of the sources hold what. `text` and `label` are those of a classification; a conversation comes
    in a form of its own (`layout`)."""

    text: str = "text"
    """Column with the text."""
    label: str = "label"
    """Column with the label, or with the number that `labels.thresholds` turns into one."""
    ratings: list[str] = Field(default_factory=list)
    """Columns with what several raters said, instead of `label`; each holds one rating or a list of them."""
    rater: str | None = None
    """Column that says who gave the label, where a text has a row for each rater."""
    layout: Literal[
        "auto",
        "chat",
        "sharegpt",
        "alpaca",
        "prompt_completion",
        "completion",
        "summarization",
        "translation",
        "translations",
    ] = "auto"
    """Form of the rows, where a model writes. auto: by the names of the columns."""
    rename: dict[str, str] = Field(default_factory=dict)
    """Column → field of the form (`question: prompt`), where a model writes."""
    languages: LanguagesConfig | None = None
    """Which is which, where rows hold translations by language (`{"translation": {"en": …, "fr": …}}`)."""
    tool_turns: Literal["refuse", "keep"] = "refuse"
    """What becomes of conversations in which a tool is called or speaks. keep: only where the chat template of the base
    model knows them (the role `tool`, `tool_calls`, a row's `tools`); the training checks it."""
    group: str | ColumnRef | None = None
    """What belongs together (author, thread, product) and may not be split apart; null: nothing does."""
    time: str | ColumnRef | None = None
    """When the row was made: ISO 8601, in UTC where it names no zone, or a number of seconds (or milli-, micro-,
    nanoseconds) since 1970. What is no time refuses its row; an empty value is no time known."""

    @model_validator(mode="after")
    def _ratings_come_in_one_way(self) -> ColumnsConfig:
        if self.ratings and self.rater:
            raise ValueError("give 'ratings' (columns of one row) or 'rater' (a row for each), not both")
        if len(set(self.ratings)) < len(self.ratings):
            raise ValueError("'ratings' names a column twice")
        return self

    @property
    def rated(self) -> bool:
        """Whether a text has several ratings instead of a label."""
        return bool(self.ratings or self.rater)
