"""The split ledger of a task: which split each row is in, recorded once and for good.

`chain` keeps it on the disk, `assignment` decides from it, `stratify` deals out what is new, `keys` make the numbers
that rows are known by.
"""

from ft_assets.data.ledger.assignment import REASONS, ROWS, Assignment, assign, imported
from ft_assets.data.ledger.chain import ENTRIES, SIDES, Entries, Ledger, find, lock

__all__ = [
    "ENTRIES",
    "REASONS",
    "ROWS",
    "SIDES",
    "Assignment",
    "Entries",
    "Ledger",
    "assign",
    "find",
    "imported",
    "lock",
]
