"""The data card as one dict, `data_card.json`: the single source of the page and of the UI's metadata.

`build_card` puts together what the stages' manifests say: counts, checks, versions. It reads no text. Names that come
from the data (groups) are masked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ft_assets.data.masking import mask
from ft_assets.data.rules import rule

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SPLITS", "STAGES", "build_card", "cluster_facts"]

STAGES = ("raw_examples", "cleaned_examples", "labeled_examples")
SPLITS = ("train_split", "validation_split", "test_split")
_FATES = ("kept", "merged", "quarantined", "erased")
_LISTED_CLUSTERS = 5
_LISTED_FILES = 10
_SIZES = (1, 2, 6, 21, 101)
"""Lower edges of the bins of cluster sizes, in rows; the last is open."""
_NAME_CHARS = 60


def build_card(
    about: Mapping[str, Any],
    stages: Mapping[str, Mapping[str, Any]],
    *,
    clusters: Mapping[str, Any],
    drift: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """The card as plain JSON (no text of a row).

    Args:
        about: name, type, title, description, licence, source, language and contact of the task's data.
        stages: {asset: its manifest: summary, checks, data version, code version, libraries}, of `STAGES`,
            `SPLITS` and the quarantine.
        clusters: what `cluster_facts` returned.
        drift: what the comparison with the last version gave.
        settings: the task's settings of the data layer, as plain JSON.
    """
    summaries = {asset: manifest["summary"] for asset, manifest in stages.items()}
    raw, cleaned, labeled = (summaries[name] for name in STAGES)
    card: dict[str, Any] = {
        "card_format": 1,
        **about,
        "files": _files(raw),
        "flow": [*(_flow(name, summaries[name]) for name in STAGES), _split_flow(summaries)],
        "splits": [_split(name, summaries[name]) for name in SPLITS],
        "labels": _labels(labeled),
        "lengths": cleaned.get("lengths"),
        "answer_lengths": labeled.get("answer_lengths"),
        "rules": _rules(summaries, raw["rows_in"]),
        "personal_data": cleaned.get("personal_data") or {},
        "repaired": cleaned.get("repaired") or {},
        "languages": cleaned.get("languages"),
        "duplicates": _duplicates(summaries),
        "ratings": labeled.get("ratings"),
        "corrections": labeled.get("corrections"),
        "unknown_labels": labeled.get("unknown_values") or [],
        "clusters": dict(clusters),
        "drift": dict(drift),
        "checks": [
            {"asset": asset, **check} for asset, manifest in stages.items() for check in manifest["checks"]
        ],
        "settings": dict(settings),
        "versions": {
            asset: {name: manifest[name] for name in ("data_version", "code_version")}
            for asset, manifest in stages.items()
        },
        "libraries": _libraries(stages),
    }
    return card | {"answer": _answer(card), "conclusion": _conclusion(card)}


def cluster_facts(clusters: pa.ChunkedArray) -> dict[str, Any]:
    """How many clusters there are, how large they are, and the largest.

    Args:
        clusters: the cluster of each labelled row.

    Returns:
        count; sizes (clusters and rows by size); largest (name or null, rows). A name is that of the user's group,
        masked; a cluster of equal or similar texts has none.
    """
    import polars as pl

    names = pl.Series("cluster", clusters)
    # 64 bits in the place of a name: of millions of names these are what fits the memory.
    keys = names.hash(seed=0)
    sizes = keys.value_counts(name="rows").sort(["rows", "cluster"], descending=[True, False])
    bins = []
    for place, low in enumerate(_SIZES):
        high = _SIZES[place + 1] - 1 if place + 1 < len(_SIZES) else None
        rows = sizes["rows"].filter(sizes["rows"].is_between(low, high) if high else sizes["rows"] >= low)
        bins.append({"from": low, "to": high, "clusters": len(rows), "rows": int(rows.sum())})
    largest = []
    for key, rows in sizes.head(_LISTED_CLUSTERS).iter_rows():
        name = names[int((keys == key).arg_max() or 0)]
        largest.append({"name": mask(name[2:], _NAME_CHARS) if name.startswith("g:") else None, "rows": rows})
    return {"count": sizes.height, "sizes": bins, "largest": largest}


def _files(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The files that were read, the largest first, and how many there are."""
    files = [
        {name: file.get(name) for name in ("source", "file", "rows", "refused")}
        | {"readable": "unreadable" not in file}
        for file in raw["files"]
    ]
    ordered = sorted(files, key=lambda file: (-file["rows"], file["file"]))
    return {"count": len(files), "largest": ordered[:_LISTED_FILES]}


def _flow(stage: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    return {"stage": stage, "rows_in": summary["rows_in"], **{fate: summary.get(fate, 0) for fate in _FATES}}


def _split_flow(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The three splits as one stage: each counts as its rows in what came into it."""
    parts = [_flow(name, summaries[name]) for name in SPLITS]
    return {"stage": "splits"} | {key: sum(part[key] for part in parts) for key in ("rows_in", *_FATES)}


def _duplicates(summaries: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Rows merged as equal, texts under several groups, and what is known of near duplicates (None: not looked for) and
    of texts of validation and test that mean the same as one of an earlier split (empty: not looked for)."""
    labeled = summaries["labeled_examples"]
    exact = sum(summaries[name]["by_rule"].get("exact_duplicate", 0) for name in STAGES)
    near = labeled.get("near_duplicates")
    same = {name.removesuffix("_split"): summaries[name].get("semantic_duplicates") for name in SPLITS}
    return {
        "exact": exact,
        "texts_in_several_groups": labeled.get("texts_in_several_groups", 0),
        "near": near
        and {name: near[name] for name in ("pairs", "by_similarity", "other_labels") if name in near},
        "semantic": {
            split: {name: found[name] for name in ("rows", "share", "threshold", "largest_cosine")}
            for split, found in same.items()
            if found
        },
    }


def _split(asset: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    names = ("share", "clusters", "labels", "label_shares", "overall_label_shares", "largest_deviation")
    return {
        "split": asset.removesuffix("_split"),
        "rows": summary["kept"],
        **{name: summary.get(name) for name in names},
    }


def _labels(labeled: Mapping[str, Any]) -> dict[str, Any] | None:
    """Rows by label before and after the labelled stage; None where labels are answers. `before` is None where the
    stage has not counted."""
    if "labels" not in labeled:
        return None
    return {"before": labeled.get("labels_before"), "after": labeled["labels"]}


def _rules(summaries: Mapping[str, Mapping[str, Any]], rows_read: int) -> list[dict[str, Any]]:
    """What each rule took at each stage, the most first."""
    found = [
        {
            "rule": name,
            "stage": stage,
            "fate": rule(name).fate,
            "rows": rows,
            "share": round(rows / rows_read, 6) if rows_read else 0.0,
            "says": rule(name).says,
            "do": rule(name).do,
            "setting": rule(name).setting,
        }
        for stage, summary in summaries.items()
        for name, rows in summary.get("by_rule", {}).items()  # the quarantine counts them once more
    ]
    return sorted(found, key=lambda each: (-each["rows"], each["rule"], each["stage"]))


def _libraries(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Versions of the libraries that took part; several where stages were made with different ones."""
    found: dict[str, set[str]] = {}
    for manifest in stages.values():
        for library, version in manifest.get("libraries", {}).items():
            found.setdefault(library, set()).add(str(version))
    return {library: ", ".join(sorted(versions)) for library, versions in sorted(found.items())}


def _answer(card: Mapping[str, Any]) -> str:
    """The card in one sentence."""
    read, files = card["flow"][0]["rows_in"], card["files"]["count"]
    used = card["flow"][-1]["kept"]
    rows = {split["split"]: split["rows"] for split in card["splits"]}
    return (
        f"{_several(read, 'row')} of {_several(files, 'file')} became {_several(used, 'example')}: "
        f"{rows['train']:,} to train, {rows['validation']:,} to validate, {rows['test']:,} to test."
    )


def _conclusion(card: Mapping[str, Any]) -> str:
    totals = {fate: sum(stage[fate] for stage in card["flow"]) for fate in _FATES}
    # The splits put back what was merged into a row that was recorded later.
    labelled, splits = card["flow"][-2:]
    totals["merged"] -= splits["rows_in"] - labelled["kept"]
    parts = [
        _several(totals[fate], "row") + f" {told}"
        for fate, told in (
            ("merged", "merged as duplicates"),
            ("quarantined", "refused, each with its reason"),
            ("erased", "erased on request"),
        )
        if totals[fate]
    ]
    told = "Every row was kept" if not parts else ", ".join(parts)
    return f"{told}. {_checks(card['checks'])}"


def _checks(checks: Sequence[Mapping[str, Any]]) -> str:
    failed = [check for check in checks if not check["passed"]]
    if not failed:
        return f"All {len(checks)} checks of its stages passed."
    return f"{len(failed)} of {len(checks)} checks of its stages {'warns' if len(failed) == 1 else 'warn'}."


def _several(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
