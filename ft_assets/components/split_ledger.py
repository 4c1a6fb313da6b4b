"""The split ledger as the splits' step uses it: what identifies it, what it takes over, and when it is written.

It is written once all checks have passed and before anything is published. A draft that is refused records nothing; a
process that is killed in between has recorded what the next run, which finds the same rows, publishes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.components.recorded import current_artifact
from ft_assets.components.stage import Rule, Step, Watch
from ft_assets.content_cache import ContentCache
from ft_assets.data.contracts import CheckOutcome
from ft_assets.data.ledger.chain import NO_LEDGER, Ledger, Segment, lock_file
from ft_assets.errors import UserError
from ft_assets.paths import ledger_dir, ledgers_read_dir
from ft_assets.removal import suppressed

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from ft_assets.data.ledger.entries import Entries
    from ft_assets.data.ledger.periods import Boundaries
    from ft_assets.data.splits import Splits

__all__ = ["LOCKED_ROWS", "Known", "known", "lock", "locked_rows", "looked_at", "sources", "watch"]

IDENTITY = "source:ledger"
LOCK = "source:lock"
LOCKED_ROWS = Rule(
    "locked_rows_intact",
    "every row of a locked test set, or its duplicate, is in test, unchanged, and in no other split",
    "critical",
)
SPLIT_ASSETS = {"test": "test_split", "validation": "validation_split", "train": "train_split"}


@dataclass(frozen=True)
class Known:
    """The ledger of a task as a step finds it."""

    ledger: Ledger
    entries: "Entries"
    """With those of earlier splits that it does not have."""
    earlier: "pl.DataFrame"
    """The entries of these."""
    periods: "Boundaries"
    """By which rows were dealt by time, if they were."""

    @property
    def lock(self) -> Segment | None:
        """The lock on the test set."""
        return self.ledger.locked

    def record(self, step: Step, made: "Splits") -> Callable[[], None]:
        """What records the entries once the checks have passed."""
        import polars as pl

        from ft_assets.data.ledger.entries import record

        config = step.stage.task.config.splits.dealing
        entries = pl.concat([self.earlier, made.entries])
        about: dict[str, Any] = {
            "settings": config,
            "made_from": step.inputs["labeled_examples"].data_version,
            "boundaries": (made.periods or self.periods).as_dict(),
        }

        def append() -> None:
            record(self.ledger, entries, at=datetime.now(UTC), **about)

        return append


def sources(task: str, shared: dict[str, Any]) -> dict[str, str]:
    """What identifies the ledger: its id, which stays as it grows, and the lock. It is begun here if there is none; the
    step holds its lock.

    Raises:
        UserError: it is damaged.
    """
    if "ledger" not in shared:
        folder = ledger_dir(task)
        shared["ledger"] = Ledger.open(folder) or Ledger.create(folder)
    ledger = shared["ledger"]
    return _identities(ledger)


def lock(task: str) -> Path:
    """The lock file that is held while the splits are made."""
    return lock_file(task)


def watch(task: str) -> Watch:
    """Another ledger, or another lock, makes the splits due."""

    def look(sha256: Callable[[Path], str]) -> Mapping[str, str]:
        # Without a look at the entries: this is done every ten seconds.
        ledger = Ledger.open(ledger_dir(task), verify=False)
        return {} if ledger is None else _identities(ledger)

    return Watch((IDENTITY, LOCK), look)


def _identities(ledger: Ledger) -> dict[str, str]:
    return {IDENTITY: ledger.id} | ({} if ledger.locked is None else {LOCK: ledger.locked.sha256})


def known(step: Step) -> Known:
    """What is recorded, and what has to be taken over from splits that are current and that the ledger does not know:
    of a version without it, or since a copy was made from which it was restored."""
    from ft_assets.data.ledger.assignment import imported
    from ft_assets.data.ledger.entries import read
    from ft_assets.data.ledger.periods import Boundaries, recorded

    ledger = step.shared["ledger"]
    entries = read(ledger, ContentCache(ledgers_read_dir() / step.stage.task.name))
    rows, boundaries = _earlier(step, ledger, entries)
    earlier = imported(rows, entries)
    if earlier.height:
        step.context.log.info(f"the ledger takes over {earlier.height:,} entries from the current splits")
    periods = recorded(ledger) or Boundaries.from_dict(boundaries)
    return Known(ledger, entries.with_entries(earlier), earlier, periods)


def _earlier(step: Step, ledger: Ledger, entries: "Entries") -> "tuple[pl.DataFrame, Mapping[str, str]]":
    """The rows of those current splits of which the ledger does not know all, and the boundaries that they have.

    All that is published was recorded by its id, so the ids tell. Of each split: only some of them may have changed
    since a copy was made.
    """
    from ft_assets.data.ledger.keys import example_keys
    from ft_assets.data.splits import earlier_rows

    task, store = step.stage.task.name, step.context.resources.artifact_store.open()
    known = entries.rows["example"].implode()
    tables: dict[str, pa.Table] = {}
    with_groups = False
    boundaries: Mapping[str, str] = {}
    for split, asset in SPLIT_ASSETS.items():
        try:
            artifact = current_artifact(step.context.instance, store, task, asset)
        except UserError as error:
            # What a ledger with entries has forgotten cannot be told; one without has forgotten all of it.
            if not ledger.segments:
                step.context.log.warning(
                    f"the ledger is new, and {asset}, made before it, cannot be read: its rows are drawn anew "
                    f"({error.what})"
                )
            continue
        if artifact is None:
            continue
        made_with = artifact.summary.get("ledger", {"id": NO_LEDGER})["id"]
        ids = example_keys(artifact.table(columns=["example_id"])["example_id"])
        if made_with in ledger.instead_of or ids.is_in(known).all():
            continue
        with_groups = made_with == NO_LEDGER
        boundaries = artifact.summary.get("boundaries", {})
        tables[split] = artifact.table(columns=["example_id", "context", "text", "cluster"])
    return earlier_rows(tables, ledger.id, with_groups=with_groups), boundaries


def looked_at(task: str) -> dict[str, Any]:
    """How often the test split was evaluated on, and whether it is locked, as metadata."""
    from ft_assets.data.ledger import golden

    try:
        ledger = Ledger.open(ledger_dir(task), verify=False)
        shown: dict[str, Any] = {"test_set_evaluations": golden.reads(task)}
        if ledger is not None and ledger.locked is not None:
            since = ledger.locked.record["at"]
            shown["test_set_locked"] = f"{ledger.locked.record['rows']:,} rows, since {since}"
            shown["test_set_evaluations_since_lock"] = golden.reads(task, since)
    except UserError as error:  # what was made is still good
        return {"test_set_evaluations": f"cannot be told: {error.what}"}
    return shown


def locked_rows(known: Known, task: str, splits: "Mapping[str, pa.Table]") -> CheckOutcome:
    """Whether the rows of a locked test set are as they were."""
    from ft_assets.data.ledger import golden

    if known.lock is None:
        return _outcome(0, [], "")
    found = golden.tampered(known.ledger, known.lock, splits, suppressed.read(task))
    counts = {"missing": found.missing, "changed": found.changed, "in another split": found.elsewhere}
    told = ", ".join(f"{len(ids)} {what}" for what, ids in counts.items() if ids)
    advice = (
        f"{told}, of {known.lock.record['rows']} locked rows: put back what was changed in the sources, the labels or "
        f"the cleaning; or `python -m ft_assets lock {task} --release`, if the test set may change"
    )
    return _outcome(known.lock.record["rows"], found.ids, advice)


def _outcome(checked: int, ids: list[str], advice: str) -> CheckOutcome:
    return CheckOutcome(
        LOCKED_ROWS.name,
        not ids,
        LOCKED_ROWS.severity,
        LOCKED_ROWS.description if checked else "no test set is locked",
        checked,
        len(ids),
        ids[:20],
        advice if ids else "",
    )
