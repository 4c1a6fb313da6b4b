"""What a reader must know before believing the numbers: the checks that all task types share.

Each outcome is {"name", "passed", "detail"}; `config.report_checks` describes what the names mean.
"""

from collections.abc import Mapping
from typing import Any

from ft_assets.evaluation.resampling import Bootstrap, Interval

__all__ = ["Check", "defined_in_every_resample", "enough_clusters"]

Check = dict[str, Any]

# Below about 20 clusters the intervals are too narrow (Cameron & Miller 2015, section VI).
ENOUGH_CLUSTERS = 20


def enough_clusters(result: Bootstrap) -> Check:
    return {
        "name": "enough_clusters",
        "passed": result.clusters >= ENOUGH_CLUSTERS,
        "detail": f"clusters: {result.clusters}; below {ENOUGH_CLUSTERS} the intervals are too narrow",
    }


def defined_in_every_resample(result: Bootstrap, metrics: Mapping[str, Interval]) -> Check:
    """`metrics` are those of the first predictor; one that has no value at all is not looked at."""
    undefined = {m: n for m, n in result.undefined.items() if metrics[m]["value"] is not None}
    return {
        "name": "defined_in_every_resample",
        "passed": not undefined,
        "detail": "resamples without a value, left out of the interval: "
        + (", ".join(f"{metric} {count}" for metric, count in undefined.items()) or "none"),
    }
