"""The data layer, measured: `python benchmarks/data.py [--quick] [--only PART …]`.

- personal: precision and recall of each detector of personal data, on values and hard negatives of `planted.py`;
- names: recall and precision of names and postal addresses, by Presidio and the spaCy pipeline that `--names` names;
- clean: rows a second of the recipe "clean" on one core: UTF-8 in, encoding, HTML, Unicode NFC, white space, personal
  data, length filters, exact duplicates, quarantine, on mixed rows of about 400 bytes;
- near_duplicates: MinHash signatures a second on one core, of the same mixed rows; how many planted pairs are found, by
  similarity, and how many of those found are none;
- leakage: what is in several splits, by comparing everything, where a fifth of the rows are near duplicates;
- embedding: cosines of the sample's rows and of planted sentences, rows embedded a second, cost of the comparison;
- ledger: rows that move when one percent more arrives (none may), time and memory of assigning 5 million;
- steps: what each step of that recipe costs, and what each filter beside it would;
- filters: precision and recall of the language filter and the quality filters, on texts of `planted_filters.py`;
- peer: the same recipe in Data-Juicer, which has an environment of its own (`--peer`, see `juicer.py`);
- contracts: seconds of the processor for the checks of all stages, and of Great Expectations among them;
- label_errors: 5 % of the sample's labels flipped, how many are among the first 200 of the queue; beside cleanlab;
- scale: memory and time of all data stages of a task, for 1.25 and for 5 million rows (half an hour);
- append: time of the same stages after one percent more rows, and rows that change their split then.

`--quick` does a tenth of it. Seconds are those of the processor, on one thread: neighbours on the machine count little.
"""

import argparse
import os
import random
import sys
import time
from collections import Counter
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"  # read when the library is imported: the goal is one of a core
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import polars as pl  # noqa: E402

from benchmarks.bars import Bar, show  # noqa: E402
from benchmarks.data_contracts import measure_contracts  # noqa: E402
from benchmarks.data_duplicates import measure_leakage, measure_pairs, measure_signatures  # noqa: E402
from benchmarks.data_embedding import measure_embedding  # noqa: E402
from benchmarks.data_filters import RECIPE, measure_filters, measure_peer, measure_steps  # noqa: E402
from benchmarks.data_labels import measure_label_errors  # noqa: E402
from benchmarks.data_ledger import ROWS, measure_ledger  # noqa: E402
from benchmarks.data_names import report_names  # noqa: E402
from benchmarks.data_scale import measure_append, measure_scale  # noqa: E402
from benchmarks.mixed import mixed_rows  # noqa: E402
from benchmarks.planted import HARD_NEGATIVES, KINDS, hard_negative, planted  # noqa: E402
from ft_assets.data.cleaning import clean  # noqa: E402
from ft_assets.data.config import CleaningConfig  # noqa: E402
from ft_assets.data.personal import spans  # noqa: E402

PARTS = (
    "personal",
    "names",
    "clean",
    "steps",
    "filters",
    "peer",
    "near_duplicates",
    "leakage",
    "embedding",
    "ledger",
    "contracts",
    "label_errors",
    "scale",
    "append",
)
GOAL = 0.95
ROWS_A_SECOND = 20_000
SEED = 20_261


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of it")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="these parts only")
    parser.add_argument(
        "--cleanlab", metavar="PYTHON", help="one that has cleanlab; else an environment is made for it"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="of what is planted")
    parser.add_argument("--peer", type=Path, metavar="PYTHON", help="the Python that has Data-Juicer")
    parser.add_argument("--names", type=Path, metavar="MODEL", help="the folder of a spaCy pipeline")
    given = parser.parse_args()
    bars: list[Bar] = []
    if "personal" in given.only:
        bars += measure_personal(200 if given.quick else 2_000, given.seed)
    if "names" in given.only:
        if given.names is None:
            print("names: left out: `--names` names no pipeline of spaCy")
        else:
            report_names(200 if given.quick else 2_000, given.seed, given.names)
    if "clean" in given.only:
        bars += measure_clean(10_000 if given.quick else 100_000, given.seed)
    if "near_duplicates" in given.only:
        bars += measure_signatures(10_000 if given.quick else 100_000, given.seed)
        bars += measure_pairs(2_000 if given.quick else 20_000, given.seed)
    if "leakage" in given.only:
        bars += measure_leakage(1_000 if given.quick else 10_000, given.seed)
    if "embedding" in given.only:
        bars += measure_embedding(5_000 if given.quick else 20_000, given.seed)
    if "ledger" in given.only:
        bars += measure_ledger(ROWS // 10 if given.quick else ROWS, ROOT)
    if "steps" in given.only:
        bars += measure_steps(mixed_rows(10_000 if given.quick else 50_000, given.seed))
    if "filters" in given.only:
        bars += measure_filters(50 if given.quick else 500, given.seed)
    if "peer" in given.only:
        if given.peer is None:
            print("peer: left out: `--peer` names no Python that has Data-Juicer")
        else:
            bars += measure_peer(mixed_rows(10_000 if given.quick else 50_000, given.seed), given.peer)
    if "contracts" in given.only:
        bars += measure_contracts(10_000 if given.quick else 100_000, given.seed)
    if "label_errors" in given.only:
        bars += measure_label_errors(range(1 if given.quick else 3), given.cleanlab)
    if "scale" in given.only:
        bars += measure_scale((125_000, 500_000) if given.quick else (1_250_000, 5_000_000), given.seed)
    if "append" in given.only:
        bars += measure_append(100_000 if given.quick else 5_000_000, given.seed)
    show(bars)


def measure_personal(number: int, seed: int) -> list[Bar]:
    """As many values of each kind, and five times as many hard negatives, all in texts of their own.

    A value is found if what the detector of its kind takes out covers all of it that is secret. Whatever else it takes
    out anywhere is wrong, in the texts of other kinds, too.
    """
    draw = random.Random(seed)
    config = CleaningConfig()
    values = [planted(draw, kind) for kind in KINDS for _ in range(number)]
    negatives = [hard_negative(draw) for _ in range(5 * number)]
    texts = [each.text for each in [*values, *negatives]]
    found = spans(pl.Series(texts), config.personal_data, config.phone_regions)
    hits, claims, wrong = Counter[str](), Counter[str](), Counter[tuple[str, str]]()
    for each, taken in zip([*values, *negatives], found, strict=True):
        first, last = each.secret
        hits[each.kind] += any(
            kind == each.kind and start <= first and last <= end for start, end, kind in taken
        )
        for start, end, kind in taken:
            claims[kind] += 1
            if kind != each.kind or end <= each.start or start >= each.start + len(each.value):
                wrong[kind, each.kind] += 1
    print(
        f"personal: {number:,} values of each kind, {len(negatives):,} hard negatives of {len(HARD_NEGATIVES)} sorts"
    )
    print(f"{'kind':<8}{'recall':>8}{'precision':>11}  taken for it by mistake")
    bars = []
    for kind in KINDS:
        mistakes = Counter({other: count for (claimed, other), count in wrong.items() if claimed == kind})
        recall = hits[kind] / number
        precision = 1 - mistakes.total() / max(claims[kind], 1)
        told = ", ".join(f"{other} ({count})" for other, count in mistakes.most_common(4)) or "nothing"
        print(f"{kind:<8}{recall:>8.4f}{precision:>11.4f}  {told}")
        bars += [
            Bar(f"personal: precision of {kind}", precision, GOAL, True),
            Bar(f"personal: recall of {kind}", recall, GOAL, True),
        ]
    return bars


def measure_clean(rows: int, seed: int) -> list[Bar]:
    """The best of three: what disturbs a measurement only ever makes it slower."""
    table = mixed_rows(rows, seed)
    size = table["text"].nbytes / rows
    clean(table.slice(0, 2_000), RECIPE)  # what is loaded and compiled once is not the recipe
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        made = clean(table, RECIPE)
        best = min(best, time.process_time() - started)
    summary = made.summary
    print(f"clean: {rows:,} rows of {size:.0f} bytes on average: {best / rows * 1e6:.1f} µs a row")
    print(f"  kept {summary['kept']:,}, merged {summary['merged']:,}, quarantined {summary['quarantined']:,}")
    print(f"  repaired: {summary['repaired']}")
    print(f"  personal data: {summary['personal_data']}")
    return [Bar("clean: rows a second on one core", rows / best, ROWS_A_SECOND, True, "rows/s")]


if __name__ == "__main__":
    main()
