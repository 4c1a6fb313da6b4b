"""An answer of a person about an example, whatever tool has asked."""

from __future__ import annotations

from dataclasses import dataclass

from ft_assets.errors import UserError

__all__ = ["LABEL", "WHY", "Answer", "unusable"]

LABEL = "label"
"""Name of the question."""
WHY = "why"
"""Name of the question for the reason, which need not be asked."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        example_id: The example.
        label: What was chosen.
        by: Who has answered, as far as the file says; empty otherwise.
        at: When (ISO 8601), as far as the file says; empty otherwise.
        why: The reason given, if any.
        where: Where it stands, for errors.
    """

    example_id: str
    label: str
    by: str
    at: str
    why: str
    where: str


def unusable(where: str, what: str, do: str) -> UserError:
    """The error of an annotated file."""
    return UserError(
        f"the annotations cannot be used: {what}", where=where, do=f"{do}; nothing was taken over"
    )
