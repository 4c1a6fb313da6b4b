"""The base of all configuration models. The models themselves lie beside the code that reads them."""

import difflib
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["StrictModel"]


class StrictModel(BaseModel):
    """Immutable settings; an unknown key is an error that names the nearest known key."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    near = difflib.get_close_matches(str(key), cls.model_fields, n=1, cutoff=0.5)
                    hint = (
                        f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(cls.model_fields)}"
                    )
                    raise ValueError(f"unknown key '{key}': {hint}")
        return values
