"""Errors for the person who has to act. What went wrong in our own code stays an ordinary exception."""

import re
import traceback

__all__ = ["UserError", "is_out_of_memory", "message_without_values", "without_values"]

# From the first quotation mark to the last: an apostrophe within a word is none.
_QUOTED = re.compile(r"(?<!\w)['\"].*['\"](?!\w)|(?<!\w)['\"].*$", re.DOTALL)
_MESSAGE_CHARS = 300


class UserError(Exception):
    """Something the user can mend: says what was found, where, and what to do next.

    Never carries the text of a row, a secret or personal data: ids, counts, files and lines only.
    """

    def __init__(self, what: str, *, where: str = "", do: str = "") -> None:
        self.what = what
        self.where = where
        self.do = do
        parts = [what, f"  where: {where}" if where else "", f"  do: {do}" if do else ""]
        super().__init__("\n".join(part for part in parts if part))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether Python, torch on a CPU or torch on a GPU says that the memory is not enough."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )


def without_values(error: BaseException) -> str:
    """The traceback of an error, and of those that led to it, as text that may be kept in a log.

    The message of an exception from anywhere may quote a value, and a value may be the text of a row or a
    secret: what stands in quotation marks is left out, and what is very long is cut. Places and lines of code stay.
    """
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return "\nwhich led to:\n".join(map(_told, reversed(chain)))


def message_without_values(message: str) -> str:
    """The message of an exception from anywhere: what stands in quotation marks is left out, what is very long cut."""
    message = _QUOTED.sub("'…'", message)
    return message if len(message) <= _MESSAGE_CHARS else f"{message[:_MESSAGE_CHARS]} …"


def _told(error: BaseException) -> str:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    message = str(error) if isinstance(error, UserError) else message_without_values(str(error))
    return "".join(traceback.format_tb(error.__traceback__)) + (f"{name}: {message}" if message else name)
