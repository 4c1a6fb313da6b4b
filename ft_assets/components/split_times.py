"""The checks of splits that go by time: nothing of a later period is learnt.

They look at what is to be published, and not at how it was decided (`ft_assets.data.ledger.assignment`).
"""

from typing import TYPE_CHECKING

from ft_assets.components.stage import Rule
from ft_assets.data.contracts import CheckOutcome

if TYPE_CHECKING:
    import pyarrow as pa

    from ft_assets.data.ledger.entries import Entries
    from ft_assets.data.ledger.periods import Boundaries

__all__ = ["COLUMNS", "RULES", "outcomes"]

COLUMNS = ["example_id", "time", "split"]
RULES = (
    Rule("time_respected", "no row that comes in is from the time of a later split", "critical"),
    Rule(
        "recorded_rows_in_time",
        "no row that was recorded before, or that its source is for this split, is from the time of a later split",
        "warning",
    ),
)
_ADVICE = (
    "report it as a fault of the project",
    "what is judged on a later time has learnt of it: read its figures as those of random splits, or draw all rows by "
    "time (`python -m ft_assets ledger reset`), with another test set",
)


def outcomes(
    split: str, part: "pa.Table", labelled: "pa.Table", periods: "Boundaries", entries: "Entries"
) -> list[CheckOutcome]:
    """Outcomes of `RULES`.

    Args:
        split: train or validation.
        part: its rows, as they are to be published.
        labelled: `COLUMNS` of the labelled rows.
        periods: by which rows are dealt.
        entries: what was recorded before.
    """
    from ft_assets.data.splits import newer_than

    begins = [periods.test_from, *([periods.validation_from] if split == "train" else [])]
    since = min((each for each in begins if each is not None), default=None)
    found: tuple[list[str], list[str]] = ([], [])
    if since is not None:
        found = newer_than(part, labelled, since, entries)
    return [
        CheckOutcome(
            rule.name,
            not ids,
            rule.severity,
            rule.description,
            part.num_rows,
            len(ids),
            sorted(ids)[:20],
            f"{len(ids)} of {part.num_rows} rows: {advice}" if ids else "",
        )
        for rule, advice, ids in zip(RULES, _ADVICE, found, strict=True)
    ]
