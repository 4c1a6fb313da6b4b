"""Cleaning in parts, measured: what each step costs, whom language and quality filters hit, and the recipe in a peer.

Not here: the recipe "clean" as a whole (`data.py`), other detectors of languages (`language_detectors.py`).
"""

import json
import random
import subprocess
import tempfile
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pyarrow as pa

from benchmarks.bars import Bar
from benchmarks.planted_filters import DEFECTS, LANGUAGES, LOOKALIKES, Sample, in_english, in_language
from ft_assets.data import filters
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, QualityConfig

__all__ = ["RECIPE", "measure_filters", "measure_peer", "measure_steps"]

RECIPE = CleaningConfig(count_languages=0)
"""The recipe "clean": what a task has that says nothing, but for the count of languages."""
GOAL, TIMES_THE_PEER = 0.95, 5
# As the page on cleaning proposes them for short texts.
QUALITY = QualityConfig(min_words=3, min_letter_share=0.5, max_symbol_share=0.2, max_repeated_share=0.3)
SHORT, LONG = 60, 400

STEPS: dict[str, tuple[str, CleaningConfig]] = {
    "repair of encodings": ("without", CleaningConfig(count_languages=0, repair_encoding=False)),
    "HTML": ("without", CleaningConfig(count_languages=0, strip_html=False)),
    "white space": ("without", CleaningConfig(count_languages=0, collapse_whitespace=False)),
    "personal data": ("without", CleaningConfig(count_languages=0, personal_data=[])),
    "language filter": ("with", CleaningConfig(count_languages=0, languages=["en"])),
    "languages counted": ("with", CleaningConfig()),
    "quality: words": ("with", CleaningConfig(count_languages=0, quality=QualityConfig(min_words=3))),
    "quality: letters": (
        "with",
        CleaningConfig(count_languages=0, quality=QualityConfig(min_letter_share=0.5)),
    ),
    "quality: symbols": (
        "with",
        CleaningConfig(count_languages=0, quality=QualityConfig(max_symbol_share=0.2)),
    ),
    "quality: repetition": (
        "with",
        CleaningConfig(count_languages=0, quality=QualityConfig(max_repeated_share=0.3)),
    ),
    "quality: all four": ("with", CleaningConfig(count_languages=0, quality=QUALITY)),
}


def measure_steps(table: pa.Table) -> list[Bar]:
    """What each step costs: the recipe with it, and without it. The best of three each, in turn."""
    configs = {"the recipe": RECIPE} | {name: config for name, (_, config) in STEPS.items()}
    best = dict.fromkeys(configs, float("inf"))
    for config in configs.values():
        clean(table.slice(0, 2_000), config)  # what is loaded once is not the step
    for _ in range(3):
        for name, config in configs.items():
            started = time.process_time()
            clean(table, config)
            best[name] = min(best[name], time.process_time() - started)
    rows, whole = table.num_rows, best["the recipe"]
    print(f"steps: {rows:,} rows, the recipe {whole / rows * 1e6:.1f} µs a row ({rows / whole:,.0f} rows/s)")
    print(f"{'step':<22}{'µs a row':>9}  {'rows/s of the recipe':>22}")
    for name, (how, _) in STEPS.items():
        cost = (whole - best[name] if how == "without" else best[name] - whole) / rows * 1e6
        print(f"{name:<22}{cost:>9.1f}  {how:>8} it {rows / best[name]:>10,.0f}")
    return []


def measure_peer(table: pa.Table, python: Path) -> list[Bar]:
    """The recipe in Data-Juicer (`juicer.py`, run by that Python) and here, on the same rows, one core each."""
    # Of equal rows Data-Juicer keeps the first one, whatever its label; so do we where none has a label and a group.
    for name in ("label", "group"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pa.nulls(table.num_rows, pa.string()))
    with tempfile.TemporaryDirectory(prefix="ft_assets-peer-") as folder:
        source, output = Path(folder, "rows.jsonl"), Path(folder, "juicer.json")
        rows = zip(table["example_id"].to_pylist(), table["text"].to_pylist(), strict=True)
        source.write_text("".join(json.dumps({"id": id_, "text": text}) + "\n" for id_, text in rows))
        script = Path(__file__).with_name("juicer.py")
        subprocess.run([python, script, source, output], check=True, stdout=subprocess.DEVNULL)
        peer = json.loads(output.read_text())
    clean(table.slice(0, 2_000), RECIPE)
    started = time.process_time()
    made = clean(table, RECIPE)
    ours, theirs = time.process_time() - started, sum(peer["seconds"].values())
    gone = {
        row["example_id"]: row["rule"] for row in [*made.quarantine.to_pylist(), *made.merged.to_pylist()]
    }
    number = table.num_rows
    print(
        f"peer: {number:,} rows; ours {number / ours:,.0f} rows/s, Data-Juicer {number / theirs:,.0f} rows/s, of it"
    )
    for name, seconds in peer["seconds"].items():
        print(f"  {name:<34}{seconds / number * 1e6:>7.1f} µs a row")
    fates = Counter(
        (gone.get(id_, "kept"), peer["gone"].get(id_, "kept")) for id_ in table["example_id"].to_pylist()
    )
    print(f"  {'ours':<20}{'Data-Juicer':<26}rows")
    for (here, there), count in fates.most_common():
        print(f"  {here:<20}{there:<26}{count:,}")
    same = sum(count for (here, there), count in fates.items() if (here == "kept") == (there == "kept"))
    return [
        Bar("peer: our rows/s, times those of Data-Juicer", theirs / ours, TIMES_THE_PEER, True),
        Bar("peer: share of rows that both keep or both do not", same / number, 0.99, True),
    ]


def measure_filters(number: int, seed: int) -> list[Bar]:
    """Precision and recall on planted texts, and what was taken by mistake."""
    draw = random.Random(seed)
    return [*_measure_languages(draw, number), *_measure_quality(draw, number)]


def _measure_languages(draw: random.Random, number: int) -> list[Bar]:
    """English is wanted: of `LANGUAGES` as many texts each, and as many English ones as all of them."""
    bars = []
    for chars, name in ((SHORT, "short"), (LONG, "long")):
        planted = [in_language(draw, code, chars) for code in LANGUAGES for _ in range(number)]
        english = [in_english(draw, chars) for _ in planted]
        config = CleaningConfig(languages=["en"])
        hit = _refused(planted, config), _refused(english, config)
        bars += _told(f"language, {name} texts", planted, english, *hit)
    return bars


def _measure_quality(draw: random.Random, number: int) -> list[Bar]:
    """Each rule with all rules on: a defect is found by whichever of them is asked first."""
    config = CleaningConfig(quality=QUALITY)
    fine = [Sample(make(draw), sort) for sort, make in LOOKALIKES.items() for _ in range(number)]
    taken = _rules(fine, config)
    bars = []
    for rule, make in DEFECTS.items():
        planted = [Sample(make(draw), rule) for _ in range(number)]
        bars += _told(
            f"quality, {rule}", planted, fine, _refused(planted, config), [each == rule for each in taken]
        )
    return bars


def _told(
    what: str, planted: list[Sample], others: list[Sample], hit: list[bool], wrong: list[bool]
) -> list[Bar]:
    recall, precision = sum(hit) / len(hit), sum(hit) / max(sum(hit) + sum(wrong), 1)
    missed = Counter(each.sort for each, found in zip(planted, hit, strict=True) if not found)
    mistakes = Counter(each.sort for each, found in zip(others, wrong, strict=True) if found)

    def often(counted: Counter[str]) -> str:
        return ", ".join(f"{sort} ({count})" for sort, count in counted.most_common(4)) or "nothing"

    print(f"{what}: {len(planted):,} planted, {len(others):,} that only look like it")
    print(f"  recall {recall:.4f}, missed: {often(missed)}")
    print(f"  precision {precision:.4f}, taken by mistake: {often(mistakes)}")
    return [Bar(f"{what}: precision", precision, GOAL, True), Bar(f"{what}: recall", recall, GOAL, True)]


def _refused(samples: list[Sample], config: CleaningConfig) -> list[bool]:
    return [rule is not None for rule in _rules(samples, config)]


def _rules(samples: list[Sample], config: CleaningConfig) -> list[str | None]:
    texts = pl.DataFrame({"text": [each.text for each in samples]})
    return filters.refusals(texts, config)["rule"].to_list()
