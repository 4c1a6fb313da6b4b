"""Values that YAML spells otherwise than it reads them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

__all__ = ["AsText", "LabelName", "RawLabel"]


def _as_text(value: Any) -> Any:
    """YAML reads `1` as a number and `no` as false; only the first still has its own spelling."""
    if isinstance(value, bool):
        raise ValueError(f"YAML reads this word as {str(value).lower()}: put it in quotes")
    return str(value) if isinstance(value, int | float) else value


AsText = BeforeValidator(_as_text, json_schema_input_type=str | int | float)
LabelName = Annotated[str, AsText, Field(min_length=1)]
RawLabel = Annotated[str, AsText]
