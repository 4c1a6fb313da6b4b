"""Errors for the person who has to act. What went wrong in our own code stays an ordinary exception."""

__all__ = ["UserError"]


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
