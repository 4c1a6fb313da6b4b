"""What a person may set for one run in the launchpad: `force` at every step; seed and training settings at the one
that trains.

They are the config of the steps, so they work for a whole job, for some of its assets, and may be left out. Dagster
checks names and types before a run starts; limits such as "below 1" are checked before its first step does anything.
"""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import dagster as dg
from pydantic import BaseModel, ValidationError

from ft_assets.errors import UserError
from ft_assets.training.config import TrainingConfig

__all__ = ["FORCE", "TRAINING", "changed_settings", "check_settings", "with_settings"]

_TRAINS = "__checkpoint"
"""How the name of a step ends that takes the settings of `TRAINING`."""


def _fields(model: type[BaseModel], name: str) -> dict[str, dg.Field]:
    """The fields of a settings model as Dagster's config: all optional, without defaults, since what is left out
    stays as the task has it."""
    return {
        key: dg.Field(
            _config_type(field.annotation, f"{name}_{key}"), is_required=False, description=field.description
        )
        for key, field in model.model_fields.items()
    }


def _config_type(annotation: Any, name: str) -> Any:
    options = get_args(annotation)
    if get_origin(annotation) is Literal:
        return dg.Enum(name, [dg.EnumValue(option) for option in options])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return dg.Shape(_fields(annotation, name))
    if NoneType in options:
        return dg.Noneable(_config_type(Union[tuple(set(options) - {NoneType})], name))  # noqa: UP007 - from a tuple
    if get_origin(annotation) in (UnionType, Union):  # one value, or a list of such
        (one,) = (option for option in options if get_origin(option) is not list)
        return dg.ScalarUnion(scalar_type=one, non_scalar_schema=dg.Array(one))
    return annotation


FORCE = {
    "force": dg.Field(
        bool,
        default_value=False,
        is_required=False,
        description="Make it anew even if the store has it; what comes out takes its place.",
    )
}
"""Every step has it."""

TRAINING = {
    "seed": dg.Field(
        dg.Noneable(int), is_required=False, description="Instead of training.seed of the task, for this run."
    ),
    "training": dg.Field(
        dg.Shape(_fields(TrainingConfig, "training")),
        is_required=False,
        description="Instead of these settings of the task's `training`, for this run.",
    ),
}
"""The step that trains has these, too."""


def check_settings(run_config: Mapping[str, Any]) -> None:
    """Check the settings of all steps of a run, whichever step asks: then none of them does half of the work first.

    Raises:
        UserError: a value is outside of its limits; names the key.
    """
    for step, given in (run_config.get("ops") or {}).items():
        if step.endswith(_TRAINS):
            with_settings(TrainingConfig(), (given or {}).get("config") or {}, step)


def with_settings(training: TrainingConfig, given: Mapping[str, Any], step: str) -> TrainingConfig:
    """The task's settings of training with those of the launchpad in their place.

    Args:
        training: of the task.
        given: the config of the step.
        step: its name, for the error.

    Raises:
        UserError: a value is outside of its limits, or there are two seeds; names the key.
    """
    changes = dict(given.get("training") or {})
    seed = given.get("seed")
    where = f"the run's config, ops: {step}: config"
    if seed is not None:
        if changes.get("seed", seed) != seed:
            raise UserError(
                f"seed is {seed} and training.seed is {changes['seed']}",
                where=where,
                do="leave one of them out",
            )
        changes["seed"] = seed
    if not changes:
        return training
    values = training.model_dump()
    if "lora" in changes:
        changes["lora"] = values["lora"] | changes["lora"]
    try:
        return TrainingConfig.model_validate(values | changes)
    except ValidationError as error:
        faults = "; ".join(
            f"training.{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
            for fault in error.errors(include_input=False)
        )
        raise UserError(faults, where=where, do="correct it in the launchpad, and launch it again") from None


def changed_settings(
    before: Mapping[str, Any], now: Mapping[str, Any], name: str = ""
) -> dict[str, tuple[Any, Any]]:
    """The settings that differ: what each was, and what it is."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in now:
        old, new = before.get(key), now[key]
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found |= changed_settings(old, new, f"{name}{key}.")
        elif old != new:
            found[f"{name}{key}"] = (old, new)
    return found
