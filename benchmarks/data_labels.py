"""Label errors: 5 % of the sample's labels are flipped at random; how many of them are among the first 200 of the
queue, and how many does cleanlab find, given the same out-of-fold probabilities.

cleanlab is no dependency: it runs in an environment of its own (`--cleanlab PYTHON`, else one that is made for the
occasion). It is asked in all its ways, and the best of them on average is the bar, beside the way that is its default.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from benchmarks.bars import Bar
from ft_assets.data.cleaning import clean
from ft_assets.data.label_errors import calibrated
from ft_assets.data.labels import label
from ft_assets.data.readers import raw_examples
from ft_assets.data.relabelling import codes_of, folds, queue
from ft_assets.evaluation.out_of_fold import out_of_fold
from ft_assets.paths import PROJECT, cache_dir, data_dir
from ft_assets.sources import resolve
from ft_assets.task import TaskConfig

__all__ = ["measure_label_errors"]

TASK = PROJECT / "ft_assets" / "defs" / "review_sentiment" / "defs.yaml"
CLEANLAB = "cleanlab==2.9.0"
FLIPPED, LOOKED_AT = 0.05, 200

# What cleanlab offers to find and to rank label errors with; the first one is its default.
_PEER = """
import json, sys
import numpy as np
from cleanlab.filter import find_label_issues

given = np.load(sys.argv[1])
found = {}
for filter_by in ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning"):
    for ranked_by in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        order = find_label_issues(given["labels"], given["probabilities"], filter_by=filter_by,
                                  return_indices_ranked_by=ranked_by, n_jobs=1)
        found[f"{filter_by}, {ranked_by}"] = [int(place) for place in order[:int(sys.argv[2])]]
print(json.dumps(found))
"""


def measure_label_errors(seeds: Sequence[int], cleanlab: str | None = None) -> list[Bar]:
    """Precision at 200, on average over the seeds of what is flipped.

    Args:
        seeds: of the flips.
        cleanlab: a Python that has cleanlab; None: an environment is made for it.
    """
    rows, labels = _sample()
    fold = folds(rows["cluster"], 5)
    truth = codes_of(rows["label"], labels)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as made:
        python = cleanlab or _environment(Path(made))
        for seed in seeds:
            given = _flipped(truth, len(labels), seed)
            wrong = given != truth
            started = time.process_time()
            probabilities = out_of_fold(rows["text"], given, fold, len(labels))
            names = pa.array(np.asarray(labels)[given])
            flipped = rows.set_column(rows.schema.get_field_index("label"), "label", names)
            found, _ = queue(flipped, calibrated(given, probabilities), labels, LOOKED_AT)
            seconds = time.process_time() - started
            place = {each: number for number, each in enumerate(rows["example_id"].to_pylist())}
            ours.append(_precision(wrong, [place[each] for each in found["example_id"].to_pylist()]))
            for way, order in _asked(python, given, probabilities, Path(made)).items():
                theirs.setdefault(way, []).append(_precision(wrong, order))
            print(
                f"label errors: seed {seed}: {wrong.sum()} of {len(wrong):,} labels flipped; found among the first "
                f"{LOOKED_AT}: {ours[-1] * LOOKED_AT:.0f} ({seconds:.1f} s)"
            )
    default, *_ = theirs
    mean = {way: float(np.mean(found)) for way, found in theirs.items()}
    best = max(mean, key=lambda way: mean[way])
    for way, value in sorted(mean.items(), key=lambda entry: -entry[1]):
        print(f"  cleanlab, {way:<50} {value:.3f}  {[round(each, 3) for each in theirs[way]]}")
    value = float(np.mean(ours))
    print(f"  ours{'':<56} {value:.3f}  {[round(each, 3) for each in ours]}")
    return [
        Bar(
            f"label errors: precision at {LOOKED_AT}, against cleanlab ({default})",
            value,
            mean[default],
            True,
        ),
        Bar(
            f"label errors: precision at {LOOKED_AT}, against cleanlab's best ({best})",
            value,
            mean[best],
            True,
        ),
    ]


def _sample() -> tuple[pa.Table, list[str]]:
    """The sample's labelled rows, and its labels."""
    config = TaskConfig.model_validate(yaml.safe_load(TASK.read_text(encoding="utf-8"))["attributes"])
    files = [
        (source, resolve(str(source.path), cache=cache_dir(), base=data_dir())) for source in config.sources
    ]
    cleaned = clean(raw_examples(files, config.columns).examples, config.cleaning)
    return label(cleaned.examples, config.label_rules).examples, config.label_rules.label_names()


def _flipped(truth: np.ndarray, classes: int, seed: int) -> np.ndarray:
    """The labels, 5 % of them another one, each other one as likely."""
    draw = np.random.default_rng(seed)
    given = truth.copy()
    places = draw.choice(len(truth), round(FLIPPED * len(truth)), replace=False)
    given[places] = (truth[places] + draw.integers(1, classes, len(places))) % classes
    return given


def _precision(wrong: np.ndarray, order: Sequence[int]) -> float:
    return float(wrong[list(order)[:LOOKED_AT]].sum()) / LOOKED_AT


def _environment(folder: Path) -> str:
    python = folder / "cleanlab" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", folder / "cleanlab"], check=True)
    subprocess.run([python, "-m", "pip", "install", "--quiet", CLEANLAB], check=True)
    return str(python)


def _asked(python: str, labels: np.ndarray, probabilities: np.ndarray, folder: Path) -> dict[str, list[int]]:
    """The rows that cleanlab suspects, the most suspicious first, in each of its ways."""
    given = folder / "given.npz"
    np.savez(given, labels=labels, probabilities=probabilities)
    done = subprocess.run(
        [python, "-c", _PEER, given, str(LOOKED_AT)], check=True, capture_output=True, text=True
    )
    found: dict[str, list[int]] = json.loads(done.stdout)
    return found
