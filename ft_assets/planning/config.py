"""The policy of a task: when its model is trained again, how old its assets may grow, how long raw rows are kept."""

import re
from datetime import timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator

from ft_assets.config import StrictModel

__all__ = ["AgedAsset", "PolicyConfig"]

AgedAsset = Literal["raw_examples", "cleaned_examples", "labeled_examples", "checkpoint", "evaluation_report"]

# Dagster looks every half a minute, and takes no window of less than one minute.
Days = Annotated[float, Field(ge=0.01, le=36_500)]

# Five fields, or a name such as @daily. Whether the numbers make sense is for the scheduler to say.
_CRON = re.compile(r"(\S+\s+){4}\S+|@(hourly|daily|weekly|monthly|yearly)")


class PolicyConfig(StrictModel):
    """When the model is trained again. The data stages always follow their sources at once."""

    retrain: Literal["on_change", "schedule", "manual"] = "manual"
    """`on_change`: as soon as what it is trained on has changed. `schedule`: at the times of `cron`. `manual`: when
    a person says so."""
    cron: str | None = None
    """When to retrain, with `retrain: schedule`: minute, hour, day of month, month, day of week; or `@daily`."""
    timezone: str = "UTC"
    """Time zone of `cron` and of the day that `max_per_day` counts in, such as `Europe/Berlin`."""
    min_new_rows: int = Field(default=0, ge=0)
    """Fewer new training rows than this wait for more. Another base model, setting or code does not wait."""
    max_per_day: int | None = Field(default=None, ge=1)
    """Most trainings a day that start by themselves; those by hand count, too."""
    max_age_days: dict[AgedAsset, Days] = Field(default_factory=dict)
    """Days after which an asset that no run has made or confirmed is marked as too old, by asset: 0.01 (a quarter
    of an hour) to 36,500."""

    raw_retention_days: float = Field(default=30, ge=0, le=36_500)
    """Days that a version of `raw_examples` is kept once it is no longer current, counted from when it was made: raw
    rows hold whatever personal data the sources hold. `gc` removes older ones, whatever was made from them."""

    def max_age(self, asset: str) -> timedelta | None:
        """How long ago an asset may have been made or confirmed; None: for ever."""
        return next((timedelta(days=days) for name, days in self.max_age_days.items() if name == asset), None)

    @field_validator("cron")
    @classmethod
    def _cron_has_five_fields(cls, value: str | None) -> str | None:
        if value is not None and not _CRON.fullmatch(value.strip()):
            raise ValueError(
                f"'{value}' is no cron expression: write five fields (minute, hour, day of month, month, day of "
                "week), such as '0 3 * * 1' for Mondays at three, or '@daily'"
            )
        return value.strip() if value else value

    @field_validator("timezone")
    @classmethod
    def _known_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"unknown time zone '{value}': write one such as Europe/Berlin or UTC"
            ) from error
        return value

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> "PolicyConfig":
        if self.retrain == "schedule" and self.cron is None:
            raise ValueError("retrain: schedule needs cron, such as '0 3 * * *' for every night at three")
        if self.retrain != "schedule" and self.cron is not None:
            raise ValueError(
                f"cron has no meaning with retrain: {self.retrain}; set retrain: schedule, or drop cron"
            )
        if self.retrain == "manual":
            for name in ("min_new_rows", "max_per_day"):
                if name in self.model_fields_set:
                    raise ValueError(
                        f"{name} has no meaning with retrain: manual; set on_change or schedule, or drop it"
                    )
        return self
