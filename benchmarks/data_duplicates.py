"""Near duplicates, measured: signatures a second, how many planted pairs are found, what is left in several splits.

Held against `planted_pairs.py`, which plants, and `all_pairs.py`, which compares everything. Called by `data.py`.
"""

import random
import time
from collections import Counter
from itertools import cycle

import polars as pl
import pyarrow as pa

from benchmarks.all_pairs import all_pairs, similarity
from benchmarks.bars import Bar
from benchmarks.planted import mixed_texts
from benchmarks.planted_pairs import EDITS, SORTS, Writer
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig, SplitsConfig
from ft_assets.data.duplicates.corpus import Corpus
from ft_assets.data.duplicates.minhash import band_hashes, rows_of_band
from ft_assets.data.duplicates.search import near_duplicates
from ft_assets.data.duplicates.shingles import by_characters, by_words, shingles, slices
from ft_assets.data.examples import RAW_SCHEMA
from ft_assets.data.labels import label
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.near_duplicates import settled
from ft_assets.data.splits import split
from ft_assets.data.texts import normalised

__all__ = ["measure_leakage", "measure_pairs", "measure_signatures"]

RECALL = 0.95
SIGNATURES_A_SECOND = 40_000
NEAR = 0.7


def measure_signatures(rows: int, seed: int) -> list[Bar]:
    """From normalised text to the hashes of the bands, for words and characters; the best of three."""
    texts = normalised(pl.Series(list(mixed_texts(random.Random(seed), rows))))
    size = texts.str.len_bytes().sum() / rows

    def signed(texts: pl.Series) -> None:
        for part in slices(texts):
            for kind, mask in (("words", by_words(part)), ("characters", by_characters(part, NEAR))):
                band_hashes(shingles(part.filter(mask), kind), rows_of_band(NEAR))

    signed(texts[:2_000])
    best = float("inf")
    for _ in range(3):
        started = time.process_time()
        signed(texts)
        best = min(best, time.process_time() - started)
    print(
        f"near_duplicates: {rows:,} rows of {size:.0f} bytes on average: {best / rows * 1e6:.1f} µs a signature"
    )
    return [
        Bar("near_duplicates: signatures a second on one core", rows / best, SIGNATURES_A_SECOND, True, "/s")
    ]


def measure_pairs(number: int, seed: int) -> list[Bar]:
    """So many planted pairs of all sorts and edits, among four times as many texts without a partner."""
    draw = random.Random(seed)
    writer = Writer(draw)
    ways = cycle([(sort, edit) for edit in EDITS for sort in SORTS])
    pairs, known = [], set[str]()
    while len(pairs) < number:
        pair = writer.pair(*next(ways), draw.uniform(0, 0.1))
        if pair.first != pair.second and not known & {
            pair.first,
            pair.second,
        }:  # equal texts are merged before
            pairs.append(pair)
            known |= {pair.first, pair.second}
    texts = [text for pair in pairs for text in (pair.first, pair.second)]
    texts += sorted({writer.text(SORTS[place % len(SORTS)]) for place in range(4 * number)} - known)
    ids = pl.Series([f"{place:016x}" for place in range(len(texts))])
    table = pa.table({"context": pa.nulls(len(texts), pa.string()), "text": pa.array(texts, pa.string())})
    started = time.process_time()
    found = near_duplicates(ids, Corpus(table), NEAR)
    seconds = time.process_time() - started
    told = {
        (int(a, 16), int(b, 16)): value
        for a, b, value in zip(*(found[name].to_list() for name in found.columns), strict=True)
    }
    unverified = sum(
        similarity(texts[a], texts[b]) < NEAR or similarity(texts[a], texts[b]) != value
        for (a, b), value in told.items()
    )
    there, hits = Counter[tuple[str, float]](), Counter[tuple[str, float]]()
    for place, pair in enumerate(pairs):
        value = similarity(pair.first, pair.second)
        band = min(int(value * 10 + 1e-9), 9) / 10
        there[pair.sort, band] += 1
        hits[pair.sort, band] += (2 * place, 2 * place + 1) in told
    print(f"near_duplicates: {number:,} planted pairs among {len(texts):,} texts; {len(told):,} pairs found")
    print(f"  in {seconds:.1f} s on one core, {len(texts) / seconds:,.0f} rows/s in all")
    bands = (0.7, 0.8, 0.9)
    print(f"{'sort':<16}" + "".join(f"{f'{low:.1f} to {low + 0.1:.1f}':>20}" for low in bands))
    for sort in SORTS:
        told_of = [f"{hits[sort, low]:,} of {there[sort, low]:,}" for low in bands]
        print(f"{sort:<16}" + "".join(f"{each:>20}" for each in told_of))
    recalls = {
        low: sum(hits[sort, low] for sort in SORTS) / sum(there[sort, low] for sort in SORTS) for low in bands
    }
    above = sum(hits[sort, low] for sort in SORTS for low in bands)
    return [
        *(
            Bar(f"near_duplicates: recall at {low:.1f} to {low + 0.1:.1f}", recalls[low], RECALL, True)
            for low in bands
        ),
        Bar(
            "near_duplicates: recall at 0.7 and above",
            above / sum(there[sort, low] for sort in SORTS for low in bands),
            RECALL,
            True,
        ),
        Bar("near_duplicates: unverified pairs", unverified, 0, False),
    ]


def measure_leakage(rows: int, seed: int) -> list[Bar]:
    """What is in several splits of rows of which a fifth are planted near duplicates, and a tenth equal to another one.

    Half of the rows are in groups of about four. Everything is compared with everything, by other code than that which
    looks for near duplicates, in the texts as they stand in the splits.
    """
    draw = random.Random(seed)
    writer = Writer(draw)
    texts: list[str] = []
    for (edit, sort), _ in zip(
        cycle([(edit, sort) for edit in EDITS for sort in SORTS]), range(rows // 5), strict=False
    ):
        pair = writer.pair(sort, edit, draw.uniform(0, 0.1))
        texts += [pair.first, pair.second]
    texts += [writer.text(SORTS[place % len(SORTS)]) for place in range(rows // 2)]
    texts += draw.choices(texts, k=rows - len(texts))
    draw.shuffle(texts)
    kind = {text: draw.choice("ab") for text in dict.fromkeys(texts)}
    groups = [f"author {draw.randrange(rows // 8)}" if draw.random() < 0.5 else None for _ in texts]
    raw = raw_rows(texts, [kind[text] for text in texts], groups)
    config = CleaningConfig()
    made = settled(label(clean(raw, config).examples, LabelsConfig(names=["a", "b"])), config.near_duplicates)
    splits = split(
        made.examples,
        SplitsConfig(),
        entries=Entries.none(),
        ledger_id="ab" * 16,
        near=config.near_duplicates,
    ).tables
    group_of = dict(
        zip(made.examples["example_id"].to_pylist(), made.examples["group"].to_pylist(), strict=True)
    )
    place = [name for name, part in splits.items() for _ in range(part.examples.num_rows)]
    ids = [each for part in splits.values() for each in part.examples["example_id"].to_pylist()]
    keys = normalised(
        pl.Series([each for part in splits.values() for each in part.examples["text"].to_pylist()])
    ).to_list()
    near = all_pairs(keys, NEAR)
    across = {pair: value for pair, value in near.items() if place[pair[0]] != place[pair[1]]}
    in_test = {row for pair in across for row in pair if place[row] == "test"}
    test_rows = max(place.count("test"), 1)
    equal = len({(key, name) for key, name in zip(keys, place, strict=True)}) - len(set(keys))
    both = {
        (group_of[each], name) for each, name in zip(ids, place, strict=True) if group_of[each] is not None
    }
    shared = len(both) - len({group for group, _ in both})
    told = made.summary["near_duplicates"]
    print(
        f"leakage: {len(ids):,} rows in the splits ({', '.join(f'{name} {place.count(name):,}' for name in splits)})"
    )
    largest = told["largest"][0]["rows"] if told["largest"] else 0
    print(
        f"  {told['pairs']:,} pairs of near duplicates were found, {len(near):,} there are; the largest cluster"
    )
    print(f"  that they have made has {largest:,} rows; across splits: {len(across)} pairs from {NEAR} on")
    return [
        Bar("leakage: texts in several splits", equal, 0, False),
        Bar("leakage: groups in several splits", shared, 0, False),
        Bar(
            "leakage: pairs from 0.8 on across splits",
            sum(value >= 0.8 for value in across.values()),
            0,
            False,
        ),
        Bar("leakage: share of test rows with a partner from 0.7 on", len(in_test) / test_rows, 0.01, False),
    ]


def raw_rows(texts: list[str], labels: list[str], groups: list[str | None]) -> pa.Table:
    """Rows as the readers give them (`RAW_SCHEMA`)."""
    rows = pl.DataFrame(
        {
            "example_id": [f"{place:016x}" for place in range(len(texts))],
            "source": "rows",
            "file": "rows.jsonl",
            "row": range(len(texts)),
            "context": pl.Series([None] * len(texts), dtype=pl.String),
            "text": texts,
            "label": labels,
            "group": pl.Series(groups, dtype=pl.String),
            "time": pl.Series([None] * len(texts), dtype=pl.Datetime("us", "UTC")),
            "split": pl.Series([None] * len(texts), dtype=pl.String),
        }
    )
    return rows.to_arrow().cast(RAW_SCHEMA)
