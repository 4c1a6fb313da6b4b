"""How a raw label becomes one of the task's, and which labels are looked at again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ft_assets.config import StrictModel
from ft_assets.data.config.values import LabelName, RawLabel

__all__ = ["LabelsConfig", "RelabelConfig", "Threshold"]


class Threshold(StrictModel):
    """A label for the numbers above and/or below a bound; without bounds, for all that is left."""

    label: LabelName
    """The label given."""
    above: float | None = None
    """Exclusive lower bound, in units of the label column."""
    below: float | None = None
    """Exclusive upper bound, in units of the label column."""

    @model_validator(mode="after")
    def _bounds_leave_room(self) -> Threshold:
        if self.above is not None and self.below is not None and self.above >= self.below:
            raise ValueError(f"no number is above {self.above} and below {self.below}")
        return self


class LabelsConfig(StrictModel):
    """How the raw label becomes one of the task's labels: exactly one of `names`, `map`, `thresholds`.

    A plain list in the YAML (`labels: [a, b]`) means `names`.
    """

    ratings: Literal["majority", "mean"] | None = None
    """How several ratings of a text become one. majority: the label that most are for; mean: the mean of the numbers
    goes through the thresholds. None: mean where there are thresholds, else majority."""
    corrections: str | None = None
    """The file of human corrections, .jsonl or .csv: below the data directory, or beside the task (`./…`). None:
    corrections/<task>.jsonl, if it is there."""

    names: list[LabelName] | None = None
    """The labels, as they stand in the data."""
    map: dict[RawLabel, LabelName] | None = None
    """Raw value → label; raw values that are not listed are refused."""
    thresholds: list[Threshold] | None = None
    """Rules for a number, first match wins; a last rule without bounds takes all that is left."""

    @model_validator(mode="before")
    @classmethod
    def _a_list_means_names(cls, values: Any) -> Any:
        return {"names": values} if isinstance(values, list) else values

    @model_validator(mode="after")
    def _one_way_and_two_labels(self) -> LabelsConfig:
        given = [key for key in ("names", "map", "thresholds") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of 'names', 'map' and 'thresholds', not {given or 'none'}")
        for key, values in (("names", self.names), ("map", self.map)):
            if values is not None and len({value.strip() for value in values}) != len(values):
                raise ValueError(f"'{key}' has a value twice (white space around it does not count)")
        for rule in (self.thresholds or [])[:-1]:
            if rule.above is None and rule.below is None:
                raise ValueError(f"the rule for '{rule.label}' has no bound and is not the last one")
        if self.ratings == "mean" and self.thresholds is None:
            raise ValueError("ratings: mean wants numbers, and thresholds to make labels of them")
        if len(self.label_names()) < 2:
            raise ValueError("a classification needs at least two labels")
        return self

    @field_validator("corrections")
    @classmethod
    def _corrections_are_a_local_file(cls, value: str | None) -> str | None:
        if value is not None and ("://" in value or not value.lower().endswith((".jsonl", ".csv"))):
            raise ValueError("expected a file of this machine that ends in .jsonl or .csv")
        return value

    @property
    def rated_by(self) -> Literal["majority", "mean"]:
        """How several ratings become one."""
        return self.ratings or ("majority" if self.thresholds is None else "mean")

    def label_names(self) -> list[str]:
        """The task's labels in the model's order: `names` as given, else by first appearance."""
        if self.names is not None:
            return list(self.names)
        if self.map is not None:
            return list(dict.fromkeys(self.map.values()))
        return list(dict.fromkeys(rule.label for rule in self.thresholds or []))


class RelabelConfig(StrictModel):
    """The queue of labels that are probably wrong."""

    queue: int = Field(default=500, ge=0, le=100_000)
    """Rows of the queue at most; 0: there is none."""
    folds: int = Field(default=5, ge=2, le=20)
    """Models that judge, each of which has not seen the rows that it judges."""
    max_rows: int = Field(default=50_000, ge=100)
    """Rows that are judged at most, drawn by whole clusters: time is linear in them, about a minute for these."""
