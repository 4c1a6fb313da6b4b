"""Contracts: what the checks of all data stages cost, and how much of that is Great Expectations."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from benchmarks.bars import Bar
from benchmarks.mixed import LABELS, mixed_rows
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig, SplitsConfig
from ft_assets.data.contracts import STAGES, Expectation, expectations, run
from ft_assets.data.examples import StageTables, counts
from ft_assets.data.labels import label
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.near_duplicates import settled
from ft_assets.data.splits import split

__all__ = ["measure_contracts"]

GOAL = 1.0
"""Seconds of the processor for 100,000 rows, after the library's import."""


def measure_contracts(rows: int, seed: int) -> list[Bar]:
    """All checks of the six stages, on rows that pass them; the best of three for each stage."""
    from ft_assets.data import contract_runner

    made = _stages(rows, seed)
    splits = {name.removesuffix("_split"): tables for name, tables in made.items() if name.endswith("_split")}
    judged = _Timed(contract_runner._validate)
    contract_runner._validate = judged
    expected = {stage: expectations(stage, LABELS) for stage in STAGES}
    run(expected["raw_examples"], made["raw_examples"])  # what is loaded and compiled once does not count
    print(f"contracts: {rows:,} rows")
    print(f"{'stage':<18}{'checks':>8}{'all, s':>9}{'Great Expectations, s':>24}")
    total = 0.0
    for stage, tables in made.items():
        best, of_them = float("inf"), float("inf")
        for _ in range(3):
            judged.seconds, started = 0.0, time.process_time()
            found = run(expected[stage], tables, splits if stage.endswith("_split") else None)
            best = min(best, time.process_time() - started)
            of_them = min(of_them, judged.seconds)
        critical = [each.name for each in found if not each.passed and each.severity == "critical"]
        assert not critical, f"{stage}: {critical}"
        print(f"{stage:<18}{len(found):>8}{best:>9.2f}{of_them:>24.2f}")
        total += of_them
    contract_runner._validate = judged.function
    # The cost does not grow with the rows: of fewer than 100,000 it is not less.
    return [
        Bar(
            "contracts: Great Expectations, CPU-seconds for 100,000 rows",
            total * min(1, 100_000 / rows),
            GOAL,
            False,
            "s",
        )
    ]


class _Timed:
    """The function that hands lines to Great Expectations, and how long it took."""

    def __init__(self, function: Any) -> None:
        self.function = function
        self.seconds = 0.0

    def __call__(self, expected: Sequence[Expectation], table: pa.Table) -> Iterator[tuple[Expectation, Any]]:
        started = time.process_time()
        found = list(self.function(expected, table))
        self.seconds += time.process_time() - started
        return iter(found)


def _stages(rows: int, seed: int) -> Mapping[str, StageTables]:
    raw = mixed_rows(rows, seed)
    nothing = StageTables(raw)
    summary = counts(rows, raw, nothing.quarantine, nothing.merged) | {"files": [{"file": "rows.jsonl"}]}
    cleaned = clean(raw, CleaningConfig())
    labelled = settled(label(cleaned.examples, LabelsConfig(names=LABELS)), CleaningConfig().near_duplicates)
    parts = split(
        labelled.examples,
        SplitsConfig(),
        entries=Entries.none(),
        ledger_id="ab" * 16,
        near=CleaningConfig().near_duplicates,
    ).tables
    return {
        "raw_examples": StageTables(raw, summary=summary),
        "cleaned_examples": cleaned,
        "labeled_examples": labelled,
        **{f"{name}_split": tables for name, tables in parts.items()},
    }
