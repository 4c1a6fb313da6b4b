"""Which rows are for train, validation and test."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from ft_assets.config import StrictModel
from ft_assets.data.times import iso, microseconds

__all__ = ["SemanticDuplicatesConfig", "SplitsConfig"]


def _as_moment(value: Any) -> Any:
    text = value.isoformat() if isinstance(value, date) else str(value)
    made = microseconds(text)
    if made is None:
        raise ValueError(f"'{text}' is no time: write a day (2026-03-01), or a day and time in ISO 8601")
    return iso(made)


Moment = Annotated[str, BeforeValidator(_as_moment)]


class SemanticDuplicatesConfig(StrictModel):
    """Rows of validation and test that say what a row of an earlier split says, in other words: looked for by the
    embeddings of their texts before splits are published. It warns, and moves no row."""

    threshold: float = Field(default=0.9, gt=0, le=1)
    """Cosine from which on two texts count as saying the same. On `review_sentiment` with MiniLM 8 of 1,109 rows reach
    0.9, and each of them does; from 0.85 on are 27, and many have no more than their topic in common. Another model has
    another scale: look at the largest and the median cosine that the splits show."""
    model: str | None = None
    """The encoder, as `base_model` names one; null: the base model, where that is an encoder. One that was trained to
    tell sentences alike (such as MiniLM or E5) tells it far better than one that was not."""


class SplitsConfig(StrictModel):
    """Shares of the splits, for clusters that the split ledger has not recorded yet; what is recorded stays."""

    validation: float = Field(default=0.15, ge=0, lt=1)
    """Share of rows in validation. 0: those of the sources that are for validation, and no others."""
    test: float = Field(default=0.15, ge=0, lt=1)
    """Share of rows in test. 0: those of the sources that are for test, and no others."""
    by: Literal["random", "time"] = "random"
    """random: new clusters are drawn so that labels are spread evenly. time: the newest ones are for test, those before
    them for validation (`columns.time`)."""
    validation_from: Moment | None = None
    """Where splits go by time: since when rows are for validation; null: as the shares say."""
    test_from: Moment | None = None
    """Where splits go by time: since when rows are for test; null: as the shares say."""
    salt: str = "ft_assets"
    """Goes into the draw of new clusters. To draw all rows anew: `python -m ft_assets ledger reset TASK`."""
    semantic_duplicates: SemanticDuplicatesConfig | None = None
    """How texts that mean the same are looked for in several splits; null: they are not. `{}` does, by the defaults."""

    @property
    def dealing(self) -> dict[str, Any]:
        """What decides which split a row goes to, as plain JSON."""
        return self.model_dump(mode="json", exclude={"semantic_duplicates"})

    @property
    def shares(self) -> dict[str, float]:
        """Share of rows by split, train included."""
        return {
            "train": 1 - (self.test + self.validation),
            "validation": self.validation,
            "test": self.test,
        }

    @model_validator(mode="after")
    def _boundaries_belong_to_time(self) -> SplitsConfig:
        given = {"validation": self.validation_from, "test": self.test_from}
        if not any(given.values()):
            return self
        if self.by != "time":
            raise ValueError("'validation_from' and 'test_from' belong to 'by: time'")
        for name, since in given.items():
            if (since is None) != (self.shares[name] == 0):
                raise ValueError(
                    f"give '{name}_from', too, or 'validation: 0' and 'test: 0' where there is no period"
                )
        if all(given.values()) and str(given["validation"]) >= str(given["test"]):
            raise ValueError("'validation_from' has to be before 'test_from'")
        return self

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> SplitsConfig:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation and test take {self.validation + self.test:g}: nothing left for train"
            )
        return self
