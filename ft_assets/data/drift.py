"""Drift: whether a version of the labelled rows is another than the last one, in numbers.

Two comparisons with the last version: all rows as they are now (what is trained on has changed), and the rows that are
new (what comes in has changed; a few among many would not show in the first). Of each: labels, lengths and words.
Where rows are new, a classifier tells how well they can be told from the old ones. Labels are counted in all rows;
texts are read of a sample, the rows with the smallest ids, which are hashes: the same rows whenever it is asked.

A value is held against chance: what 99 of 100 random divisions of the same rows stay below. Everything is drawn from
a fixed seed. Not here: which version is the last one, and the check (`ft_assets.components.data_card`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pyarrow as pa

from ft_assets.data.config import DriftConfig
from ft_assets.data.examples import to_polars
from ft_assets.data.texts import LENGTH_EDGES
from ft_assets.spill import take

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["Drift", "Measure", "compare"]

_SEED = 20_261
_DIVISIONS = 100
_BEYOND = 0.99
_FOLDS = 5
_MOST_CLUSTERS = 10
_WORD_BUCKETS = 2**16
# Of a distance of words fewer: each bucket that chance fills on one side only adds to it.
_DISTANCE_BUCKETS = 2**10
# Scripts without spaces between words are taken by the character.
_UNSPACED = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\u0e00-\u0e7f"
_WORD = rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+"

_SAYS = {
    "labels": "population stability index of the labels",
    "lengths": "population stability index of the texts' lengths",
    "vocabulary": "Jensen-Shannon distance of the words",
    "new words": "share of words that the last version has not",
    "classifier": "how well new rows can be told from old ones, as the area under the ROC curve: 0.5 is not at all",
}


@dataclass(frozen=True)
class Measure:
    """One number of a comparison.

    Attributes:
        measure: What is compared.
        of: `all rows` or `new rows`, each against the last version.
        value: How far they differ; 0 (of the classifier 0.5) is not at all.
        low: Lower end of the classifier's 95 % interval; None for the others.
        high: Upper end.
        chance: What chance alone gives.
        limit: By how much the value may be above that.
        drifted: Whether it is above.
        says: What the number is.
    """

    measure: str
    of: str
    value: float
    low: float | None
    high: float | None
    chance: float
    limit: float
    drifted: bool
    says: str


@dataclass(frozen=True)
class Drift:
    """What a comparison has found.

    Attributes:
        new: Rows that the last version has not.
        gone: Rows that only the last version has.
        measures: The numbers; none where there are too few rows.
    """

    new: int
    gone: int
    measures: list[Measure] = field(default_factory=list)

    @property
    def drifted(self) -> list[Measure]:
        """What is above its limit."""
        return [each for each in self.measures if each.drifted]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def compare(last: pa.Table, now: pa.Table, config: DriftConfig, *, classes: bool = True) -> Drift:
    """Compare two versions of the labelled rows.

    Args:
        last: `LABELED_SCHEMA` rows of the last version; example_id, text, label and cluster are read.
        now: Those of this one.
        config: Limits, and how many rows are looked at.
        classes: Whether labels are classes; answers are read as texts, after the prompt.
    """
    old, own = _ids(last), _ids(now)
    new_places = (~own.is_in(old.implode())).arg_true()
    gone = int((~old.is_in(own.implode())).sum())
    found = Drift(len(new_places), gone)
    if min(last.num_rows, now.num_rows) < config.min_rows or not (len(new_places) or gone or classes):
        return found
    base = _Side(last, None, config, classes)
    everything = _Side(now, None, config, classes)
    if now.num_rows >= config.min_rows:
        found.measures.extend(_differences("all rows", base, everything, config))
    if len(new_places) >= config.min_rows:
        arrived = _Side(now, new_places, config, classes)
        found.measures.extend(_differences("new rows", base, arrived, config))
        found.measures.extend(_classifier(base, arrived, config))
    return found


class _Side:
    """Some rows of a table as far as they are compared: labels of all, texts of those with the smallest ids."""

    def __init__(self, table: pa.Table, places: pl.Series | None, config: DriftConfig, classes: bool) -> None:
        narrow = to_polars(table.select(["example_id", "label", "cluster"]))
        if places is not None:
            narrow = narrow[places]
        else:
            places = pl.Series(range(table.num_rows), dtype=pl.UInt32)
        self.labels: dict[str, int] | None = None
        if classes:
            self.labels = dict(narrow["label"].value_counts().iter_rows())
        chosen = narrow["example_id"].arg_sort().head(config.rows)
        self.clusters = narrow["cluster"].gather(chosen).to_list()
        columns = ["text"] if classes else ["text", "label"]
        read = take(table.select(columns), places.gather(chosen).to_numpy())
        texts = to_polars(read).select(pl.concat_str(columns, separator="\n", ignore_nulls=True)).to_series()
        self.lengths = _binned(texts)
        self.words = _count_words(texts)


def _ids(table: pa.Table) -> pl.Series:
    return to_polars(table.select(["example_id"]))["example_id"].hash(seed=0)


def _binned(texts: pl.Series) -> dict[str, int]:
    """How many texts are in each bin of lengths."""
    bins = np.searchsorted(LENGTH_EDGES, texts.str.len_chars().to_numpy(), side="right") - 1
    return {str(place): int(count) for place, count in enumerate(np.bincount(bins)) if count}


def _count_words(texts: pl.Series) -> csr_matrix:
    """Rows by buckets of words: how often each occurs."""
    from sklearn.feature_extraction.text import HashingVectorizer

    vectorizer = HashingVectorizer(
        token_pattern=_WORD, n_features=_WORD_BUCKETS, norm=None, alternate_sign=False, dtype=np.float64
    )
    return vectorizer.transform(texts)


# --- differences of counts ------------------------------------------------------------------------------------


def _differences(of: str, last: _Side, other: _Side, config: DriftConfig) -> Iterator[Measure]:
    """Labels, lengths and words of two sides."""
    draw = np.random.default_rng(_SEED)
    if last.labels is not None and other.labels is not None:
        yield _of_counts(("labels", of), last.labels, other.labels, config.labels, draw)
    yield _of_counts(("lengths", of), last.lengths, other.lengths, config.lengths, draw)
    yield from _of_words(of, last.words, other.words, config, draw)


def _of_counts(
    what: tuple[str, str],
    last: Mapping[str, int],
    other: Mapping[str, int],
    limit: float,
    draw: np.random.Generator,
) -> Measure:
    names = sorted(last.keys() | other.keys())
    a, b = (np.array([side.get(name, 0) for name in names]) for side in (last, other))
    divided = draw.multivariate_hypergeometric(a + b, int(b.sum()), _DIVISIONS, method="marginals")
    chance = [_stability(a + b - part, part) for part in divided]
    return _measure(*what, _stability(a, b), chance, limit)


def _stability(expected: np.ndarray, actual: np.ndarray) -> float:
    """The population stability index: sum of (q - p) ln(q / p); half a row more everywhere, so that no share is 0."""
    p, q = ((side + 0.5) / (side.sum() + len(side) / 2) for side in (expected, actual))
    return float(((q - p) * np.log(q / p)).sum())


def _of_words(
    of: str, last: csr_matrix, other: csr_matrix, config: DriftConfig, draw: np.random.Generator
) -> Iterator[Measure]:
    from scipy.sparse import vstack

    rows = vstack([last, other]).tocsr()
    inside = np.zeros((rows.shape[0], _DIVISIONS + 1))
    inside[last.shape[0] :, 0] = 1
    for place in range(1, _DIVISIONS + 1):
        inside[draw.permutation(rows.shape[0])[: other.shape[0]], place] = 1
    for name, limit, function in (
        ("vocabulary", config.vocabulary, _distance),
        ("new words", config.new_words, _unseen),
    ):
        value, *chance = _by_division(rows, inside, function)
        yield _measure(name, of, value, chance, limit)


def _by_division(
    rows: csr_matrix, inside: np.ndarray, function: Callable[[np.ndarray, np.ndarray], float]
) -> Iterator[float]:
    """The value of each division: the first is the real one."""
    total = np.asarray(rows.sum(axis=0)).ravel()
    transposed = rows.T.tocsr()
    for place in range(inside.shape[1]):
        part = transposed @ inside[:, place]
        yield function(total - part, part)


def _distance(last: np.ndarray, other: np.ndarray) -> float:
    """The Jensen-Shannon distance, to the base 2."""
    p, q = (
        folded / max(folded.sum(), 1)
        for folded in (side.reshape(-1, _DISTANCE_BUCKETS).sum(axis=0) for side in (last, other))
    )
    middle = (p + q) / 2
    divergence = sum(
        float((side[side > 0] * np.log2(side[side > 0] / middle[side > 0])).sum()) / 2 for side in (p, q)
    )
    return max(divergence, 0.0) ** 0.5


def _unseen(last: np.ndarray, other: np.ndarray) -> float:
    return float(other[last == 0].sum() / max(other.sum(), 1))


def _measure(measure: str, of: str, value: float, chance: list[float], limit: float) -> Measure:
    usual = float(np.quantile(chance, _BEYOND))
    return Measure(
        measure,
        of,
        round(value, 4),
        None,
        None,
        round(usual, 4),
        limit,
        value - usual > limit,
        _SAYS[measure],
    )


# --- a classifier ---------------------------------------------------------------------------------------------


def _classifier(last: _Side, new: _Side, config: DriftConfig) -> Iterator[Measure]:
    """Nothing where the new rows are of too few clusters: what they have in common would be learnt, not what is new."""
    from scipy.sparse import vstack
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold

    if min(len(set(side.clusters)) for side in (last, new)) < _MOST_CLUSTERS:
        return
    counts = vstack([last.words, new.words]).tocsr()
    is_new = np.repeat([0, 1], [last.words.shape[0], new.words.shape[0]])
    groups = np.unique([*last.clusters, *new.clusters], return_inverse=True)[1]
    scores = np.zeros(len(is_new))
    folds = StratifiedGroupKFold(_FOLDS, shuffle=True, random_state=_SEED)
    for train, test in folds.split(counts, is_new, groups):
        weights = TfidfTransformer(sublinear_tf=True).fit(counts[train])
        model = LogisticRegression(solver="liblinear", class_weight="balanced", random_state=_SEED)
        model.fit(weights.transform(counts[train]), is_new[train])
        scores[test] = model.decision_function(weights.transform(counts[test]))
    value, low, high = _area(scores, is_new)
    drifted = low > config.classifier
    yield Measure(
        "classifier", "new rows", round(value, 4), round(low, 4), round(high, 4), 0.5, config.classifier, drifted,
        _SAYS["classifier"],
    )  # fmt: skip


def _area(scores: np.ndarray, is_new: np.ndarray) -> tuple[float, float, float]:
    """The area under the ROC curve and its 95 % interval (Hanley & McNeil 1982, for independent rows)."""
    from sklearn.metrics import roc_auc_score

    area = float(roc_auc_score(is_new, scores))
    new, old = int(is_new.sum()), int((1 - is_new).sum())
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    variance = (area * (1 - area) + (new - 1) * (q1 - area**2) + (old - 1) * (q2 - area**2)) / (new * old)
    margin = 1.96 * variance**0.5
    return area, max(area - margin, 0.0), min(area + margin, 1.0)
