"""The base of all configuration models. The models themselves lie beside the code that reads them."""

import difflib
import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

__all__ = ["StrictModel", "nearest_or_all"]


def nearest_or_all(name: object, known: Iterable[str], what: str = "names") -> str:
    """What may have been meant by a name that is not known."""
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"known {what}: {', '.join(known)}"


class StrictModel(BaseModel):
    """Immutable settings; an unknown key is an error that names the nearest known key.

    Pydantic says so when a task is loaded (`dg check defs`), the JSON schema when only the YAML is looked at
    (`dg check yaml`).
    """

    # Errors do not quote what was given: the URL of a database may hold a password.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True
    )

    @model_validator(mode="before")
    @classmethod
    def _name_the_nearest_key(cls, values: Any) -> Any:
        if isinstance(values, dict):
            for key in values:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}': {nearest_or_all(key, cls.model_fields, 'keys')}")
        return values

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        made = handler(core)
        schema = handler.resolve_ref_schema(made)
        properties = schema.get("properties")
        if properties:
            known = list(properties)
            schema["properties"] = {name: _by_type(part) for name, part in properties.items()}
            # Validators say "<constant> was expected" and point at the key: with these constants that names
            # the key that was meant. No value that somebody writes is equal to one.
            schema["patternProperties"] = {
                _misspelt(name, known): {"const": f"the key '{name}'"} for name in known
            }
            schema["additionalProperties"] = {"const": f"one of the keys {', '.join(known)}"}
        return made


def _misspelt(key: str, known: list[str]) -> str:
    """A pattern of names that are no key themselves and one slip away from this one: a letter missing, wrong, added
    or swapped with the next, the plural for the singular (or that beside the slip), words joined in another way."""
    stem = key.removesuffix("s")
    first, *words = stem.split("_")
    slips = ["[-_ ]?".join([first, *(f"[{word[0]}{word[0].upper()}]{word[1:]}" for word in words)])]
    for i in range(len(stem) + 1):
        before, after = stem[:i], stem[i:]
        slips += [
            f"{before}.{after}",
            f"{before}.?{after[1:]}",
            f"{before}{after[1:2]}{after[:1]}{after[2:]}",
        ]
    return f"^(?!(?:{'|'.join(map(re.escape, known))})$)(?:{'|'.join(dict.fromkeys(slips))})s?$"


def _by_type(schema: dict[str, Any]) -> dict[str, Any]:
    """Alternatives told apart by the type of the value: a fault within one of them is then reported as such, and
    not as "not valid under any of the given schemas"."""
    options = schema.get("anyOf")
    if not options or not all("type" in option or "$ref" in option for option in options):
        return schema
    kinds = [option.get("type", "object") for option in options]
    if len(set(kinds)) < len(kinds):
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    chosen = [
        {"if": {"type": kind}, "then": option}
        for kind, option in zip(kinds, options, strict=True)
        if set(option) != {"type"}
    ]
    return rest | {"type": kinds} | ({"allOf": chosen} if chosen else {})
