"""The life of one row: where it was read, what changed it, what became of it, which models and reports know it.

Told for every version of every asset that is still in the store, the current one first. Text is shown only masked, and
none from `raw_examples`. So are labels, which are whole answers where a model writes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ft_assets.data.masking import mask
from ft_assets.errors import UserError
from ft_assets.lineage.graph import Build, builds, downstream
from ft_assets.lineage.tables import read, rows_of
from ft_assets.paths import ledger_dir

__all__ = ["Event", "Explanation", "explain"]

SPLITS = ("train_split", "validation_split", "test_split")
STAGES = ("raw_examples", "cleaned_examples", "labeled_examples", *SPLITS)
QUEUE = "relabel_queue"
MOST_LISTED = 10
SHOWN_CHARS = 160
_ID = re.compile(r"[0-9a-f]{1,16}")


@dataclass(frozen=True)
class Event:
    """What one version of an asset did with the row."""

    asset: str
    data_version: str
    created: str
    current: bool | None
    """Whether this is the version that the asset has now; None if that is not known."""
    example_id: str
    """The row itself, or the one that it was merged into."""
    fate: str
    """read, kept, merged, refused, suspected, assigned, trained on, chosen by, judged."""
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """All that the store tells of a row."""

    task: str
    example_id: str
    now: str
    """What it is now, in a sentence."""
    events: Sequence[Event]
    """In the order of the lineage; of each asset the current version first, then the newest."""
    gone: Sequence[str]
    """Versions that were built once and whose files are no longer in the store, as `asset/version`."""

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def explain(
    store_root: Path,
    task: str | None,
    example_id: str,
    current: Mapping[str, Mapping[str, str]] | None = None,
) -> Explanation:
    """The life of a row.

    Args:
        store_root: a store on a file system.
        task: where to look; None: in all tasks.
        example_id: an id, or the beginning of one.
        current: the data version that each asset has now, by task; None: not known.

    Raises:
        UserError: no row has this id (the nearest are named), several begin so (they are listed), several tasks have
            it, or a table is damaged.
    """
    wanted = example_id.strip().lower()
    if not _ID.fullmatch(wanted):
        raise UserError(
            "this is no example id, nor the beginning of one",
            do="give up to 16 of the digits 0-9 and a-f, as they stand in the column example_id",
        )
    known = builds(store_root, task)
    if not known:
        raise UserError(
            f"nothing was built yet{f' of the task {task}' if task else ''}",
            where=str(store_root),
            do="check the task's name, and FT_DATA_DIR or FT_STORE; or materialise the task first",
        )
    found_task, found = _resolve(known, wanted)
    own = [build for build in known if build.task == found_task]
    versions = None if current is None else current.get(found_task, {})
    life = _Life(own, versions)
    life.follow(found, None)
    order = {asset: place for place, asset in enumerate((*STAGES, QUEUE, "checkpoint", "evaluation_report"))}
    events = sorted(life.events, key=lambda event: event.created, reverse=True)
    events.sort(key=lambda event: (order[event.asset], not event.current))
    return Explanation(found_task, found, _now(events, found, versions), events, life.gone())


def _resolve(known: Sequence[Build], wanted: str) -> tuple[str, str]:
    """The one row whose id begins so, and its task."""
    matches = sorted(_ids(known, wanted))
    exact = [match for match in matches if match[1] == wanted]
    found = exact or matches
    if len(found) == 1:
        return found[0]
    if not found:
        near = _nearest(wanted, {each for _, each in _ids(known, "")})
        tasks = sorted({build.task for build in known})
        raise UserError(
            f"no row has the id {wanted}, nor one that begins so",
            where=f"tasks: {', '.join(tasks)}",
            do=f"the nearest ids are {', '.join(near)}"
            if near
            else "materialise the task: no row is in the store",
        )
    listed = ", ".join(f"{each} ({task})" for task, each in found[:MOST_LISTED])
    more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
    raise UserError(
        f"{len(found)} rows have an id that begins with {wanted}"
        if not exact
        else f"{len(found)} tasks have {wanted}",
        where=f"{listed}{more}",
        do="give more digits" if not exact else "say which one with --task",
    )


def _ids(known: Sequence[Build], beginning: str) -> set[tuple[str, str]]:
    """Task and id of all rows whose id begins so, the refused and merged ones included."""
    import polars as pl

    found = set()
    for build in _one_of_each_version(known):
        for table in ("examples", "quarantine", "merged") if build.asset in STAGES else ():
            rows = read(build, table, ["example_id"])
            if rows is not None:
                column = rows.filter(pl.col("example_id").str.starts_with(beginning))["example_id"]
                found |= {(build.task, each) for each in column.to_list()}
    return found


def _nearest(wanted: str, ids: Collection[str]) -> list[str]:
    """The ids that are most like a mistyped one: first by the digits that stand in their place, counted from either
    end, then by `difflib` among the best of these."""

    def in_place(each: str) -> int:
        from_left = sum(a == b for a, b in zip(each, wanted, strict=False))
        return max(from_left, sum(a == b for a, b in zip(reversed(each), reversed(wanted), strict=False)))

    best = sorted(ids, key=lambda each: (-in_place(each), each))[:200]
    return difflib.get_close_matches(wanted, best, n=3, cutoff=0) if best else []


def _one_of_each_version(known: Collection[Build]) -> list[Build]:
    """The first build of each data version: the tables of the others are the same."""
    found: dict[tuple[str, str, str], Build] = {}
    for build in known:
        found.setdefault((build.task, build.asset, build.data_version), build)
    return list(found.values())


class _Life:
    """Collects the events of a row, and of those that it was merged into."""

    def __init__(self, known: Sequence[Build], current: Mapping[str, str] | None) -> None:
        self.events: list[Event] = []
        self._builds = known
        self._versions = _one_of_each_version(known)
        self._current = current
        self._seen: set[tuple[str, str, str]] = set()

    def gone(self) -> list[str]:
        """Versions of the data stages whose files are not there."""
        return [
            f"{build.asset}/{build.data_version}"
            for build in self._versions
            if build.asset in STAGES and not build.path.is_dir()
        ]

    def follow(self, example_id: str, within: set[tuple[str, str]] | None) -> None:
        """Note what every version of every stage did with a row; only those versions that are in `within`."""
        for build in self._versions:
            place = (build.asset, build.data_version)
            if build.asset not in (*STAGES, QUEUE) or (within is not None and place not in within):
                continue
            if (example_id, *place) in self._seen:
                continue
            self._seen.add((example_id, *place))
            if build.asset == "raw_examples":
                self._read(build, example_id)
            elif build.asset in SPLITS:
                self._assigned(build, example_id)
            elif build.asset == QUEUE:
                self._suspected(build, example_id)
            else:
                self._processed(build, example_id)

    def _note(self, build: Build, example_id: str, fate: str, **facts: Any) -> None:
        current = None if self._current is None else self._current.get(build.asset) == build.data_version
        self.events.append(
            Event(build.asset, build.data_version, build.created, current, example_id, fate, facts)
        )

    def _read(self, build: Build, example_id: str) -> None:
        for row in rows_of(build, "examples", example_id) or []:
            self._note(build, example_id, "read", source=row["source"], file=row["file"], row=row["row"])
        self._refused(build, example_id)

    def _refused(self, build: Build, example_id: str) -> None:
        for row in rows_of(build, "quarantine", example_id) or []:
            facts = {name: row[name] for name in ("rule", "reason", "file", "row") if row[name] is not None}
            if row["rule"] == "conflicting_labels":
                facts["same_text"] = self._same_text(build, example_id)
            self._note(build, example_id, "refused", **facts)

    def _processed(self, build: Build, example_id: str) -> None:
        self._refused(build, example_id)
        for row in rows_of(build, "examples", example_id) or []:
            facts = (
                self._labelled(build, row) if build.asset == "labeled_examples" else self._cleaned(build, row)
            )
            self._note(build, example_id, "kept", **facts, stands_for=self._merged_into(build, example_id))
        self._merged(build, example_id)

    def _merged(self, build: Build, example_id: str) -> None:
        for row in rows_of(build, "merged", example_id) or []:
            into = str(row["merged_into"])
            near = {each: like for each, like in self._near(build, example_id).items() if each == into}
            alike = {"similarity": near[into]} if near else {}
            self._note(build, example_id, "merged", into=into, rule=row["rule"], **alike)
            below = {(each.asset, each.data_version) for each in downstream(self._builds, [build])}
            self.follow(into, below | {(build.asset, build.data_version)})

    def _cleaned(self, build: Build, row: Mapping[str, Any]) -> dict[str, Any]:
        facts: dict[str, Any] = {"text": mask(row["text"], SHOWN_CHARS), "characters": len(row["text"])}
        return facts | self._repairs(build, row)

    def _repairs(self, build: Build, row: Mapping[str, Any]) -> dict[str, Any]:
        """Which rules have changed the text. They are not recorded by row, so the row is cleaned once more with the
        build's own settings; nothing is told if that gives another text, as with code that has changed since."""
        for raw, made in self._inputs(build, "raw_examples"):
            table = _raw_row(raw, row["example_id"])
            if table is None:
                continue
            before = table["text"][0].as_py() or ""
            changed = _cleaned_again(table, made.record.get("config") or {}, row["text"])
            return {"characters_before": len(before)} | ({} if changed is None else {"changed_by": changed})
        return {}

    def _suspected(self, build: Build, example_id: str) -> None:
        for row in rows_of(build, "examples", example_id) or []:
            facts = {name: row[name] for name in ("rank", "score", "confidence")}
            labels = {name: _shown(row[name]) for name in ("label", "suggested")}
            self._note(build, example_id, "suspected", **labels, **facts)

    def _labelled(self, build: Build, row: Mapping[str, Any]) -> dict[str, Any]:
        near = self._near(build, str(row["example_id"]))
        facts: dict[str, Any] = {"label": _shown(row["label"]), "cluster": _cluster(row["cluster"])}
        if near:
            facts["near_duplicates"] = dict(list(near.items())[:MOST_LISTED])
        # What an older version was built by knows neither.
        facts |= {name: row[name] for name in ("disagreement", "corrected") if row.get(name) is not None}
        for cleaned, _ in self._inputs(build, "cleaned_examples"):
            for before in rows_of(cleaned, "examples", str(row["example_id"])) or []:
                return facts | {"label_as_read": _shown(before["label"])}
        return facts

    def _near(self, build: Build, example_id: str) -> dict[str, float]:
        """The near duplicates of a row's text, the nearest first: id and similarity."""
        import polars as pl

        pairs = read(build, "near_duplicates")
        if pairs is None:
            return {}
        a, b, like = (pl.col(name) for name in ("example_id_a", "example_id_b", "similarity"))
        found = pairs.select(
            pl.when(a == example_id).then(b).when(b == example_id).then(a).alias("id"), like.round(4)
        )
        return dict(found.drop_nulls().sort("similarity", "id", descending=[True, False]).iter_rows())

    def _same_text(self, build: Build, example_id: str) -> list[str]:
        """The other rows with the text of a row that conflicts with them."""
        import polars as pl

        for cleaned, _ in self._inputs(build, "cleaned_examples"):
            rows = read(cleaned, "examples", ["example_id", "text_key"])
            if rows is not None:
                key = rows.filter(pl.col("example_id") == example_id)["text_key"]
                same = rows.filter(pl.col("text_key").is_in(key.implode()))["example_id"].to_list()
                return sorted(each for each in same if each != example_id)[:MOST_LISTED]
        return []

    def _inputs(self, build: Build, asset: str) -> Iterator[tuple[Build, Build]]:
        """The upstream artifacts of all builds of a version, each with the build that has read it."""
        for made in self._builds:
            if (made.asset, made.data_version) == (build.asset, build.data_version):
                for each in self._versions:
                    if each.asset == asset and each.data_version == made.inputs.get(asset):
                        yield each, made

    def _merged_into(self, build: Build, example_id: str) -> list[str]:
        """Rows that were merged into this one."""
        import polars as pl

        merged = read(build, "merged", ["example_id", "merged_into"])
        if merged is None:
            return []
        return sorted(merged.filter(pl.col("merged_into") == example_id)["example_id"].to_list())[
            :MOST_LISTED
        ]

    def _assigned(self, split: Build, example_id: str) -> None:
        self._refused(split, example_id)
        self._merged(split, example_id)
        for row in rows_of(split, "examples", example_id) or []:
            facts = {"label": _shown(row["label"]), "cluster": _cluster(str(row["cluster"]))}
            self._note(split, example_id, "assigned", **facts, **_recorded(split.task, example_id))
            fates = {"train_split": "trained on", "validation_split": "chosen by"}
            for build in self._versions:
                reads = any(
                    made.inputs.get(split.asset) == split.data_version
                    for made in self._builds
                    if (made.asset, made.data_version) == (build.asset, build.data_version)
                )
                place = (example_id, build.asset, build.data_version)
                if not reads or place in self._seen:
                    continue
                if build.asset == "checkpoint" and split.asset in fates:
                    self._seen.add(place)
                    self._note(build, example_id, fates[split.asset])
                elif build.asset == "evaluation_report" and split.asset == "test_split":
                    self._seen.add(place)
                    self._judged(build, example_id, str(row["label"]))

    def _judged(self, report: Build, example_id: str, label: str) -> None:
        for row in rows_of(report, "predictions", example_id) or [{}]:
            facts: dict[str, Any] = {
                "checkpoint": report.inputs.get("checkpoint", ""),
                "label": _shown(label),
            }
            if "prediction" in row:
                facts |= {"prediction": _shown(row["prediction"]), "right": row["prediction"] == label}
                confidence = row.get(f"p_{row['prediction']}")
                if isinstance(confidence, float):
                    facts["confidence"] = round(confidence, 4)
            self._note(report, example_id, "judged", **facts)


def _raw_row(raw: Build, example_id: str) -> Any:
    rows = rows_of(raw, "examples", example_id)
    if not rows:
        return None
    import pyarrow as pa

    from ft_assets.data.examples import RAW_SCHEMA

    return pa.Table.from_pylist(rows, schema=RAW_SCHEMA)


def _cleaned_again(table: Any, config: Mapping[str, Any], text: str) -> list[str] | None:
    """Names of the repairs that change this row; None if they do not lead to the text that was published."""
    from pydantic import ValidationError

    from ft_assets.data.cleaning import clean
    from ft_assets.data.config import CleaningConfig

    try:
        settings = CleaningConfig.model_validate(config.get("cleaning") or {})
    except ValidationError:  # settings of another version of the code
        return None
    made = clean(table, settings, conversations=bool(config.get("conversations")))
    if made.examples["text"].to_pylist() != [text]:
        return None
    return [name for name, rows in made.summary["repaired"].items() if rows]


def _recorded(task: str, example_id: str) -> dict[str, Any]:
    """When and why the ledger has recorded the row's split; why that cannot be told, where it is damaged."""
    from ft_assets.data.ledger.chain import Ledger
    from ft_assets.data.ledger.entries import find

    try:
        ledger = Ledger.open(ledger_dir(task))
        found = find(ledger, example_id) if ledger is not None else []
    except UserError as error:
        return {"not_told": error.what}
    return {"recorded": found[0]["at"], "recorded_as": found[0]["rule"]} if found else {}


def _shown(label: Any) -> str:
    """A class as it is, unless it looks private; the beginning of an answer, masked."""
    return mask(str(label), SHOWN_CHARS)


def _cluster(key: str) -> str:
    """A group may be a person's name or address, the other keys are hashes: of the row's own text, or of one that it is
    connected with."""
    kind, _, rest = key.partition(":")
    return f"group {mask(rest)}" if kind == "g" else f"text {rest[:8]}"


def _now(events: Sequence[Event], example_id: str, current: Mapping[str, str] | None) -> str:
    """The row's present state in a sentence."""
    if current is None:
        return "which versions are current is not known here: DAGSTER_HOME is not set"
    now = [event for event in events if event.current]
    own = [event for event in now if event.example_id == example_id]
    refused = next((event for event in own if event.fate == "refused"), None)
    if refused is not None:
        return f"refused by {refused.facts['rule']} in {refused.asset}"
    if not any(event.fate == "read" for event in own):
        return "not in the current raw_examples: no file has it any more, or they were not materialised since"
    merged = [event.facts["into"] for event in now if event.fate == "merged"]
    prefix = f"merged into {merged[-1]}, which is " if merged else ""
    assigned = next((event for event in own if event.fate == "assigned"), None)
    if assigned is not None:  # recorded before the row that it was merged into, it stays in its split
        prefix = ""
    else:
        assigned = next((event for event in now if event.fate == "assigned"), None)
    if assigned is not None:
        split = assigned.asset.removesuffix("_split")
        return f"{prefix}in the {split} split, with the label {assigned.facts['label']}"
    stage = own[-1].asset
    return f"{prefix}known up to {stage}; what follows was not materialised since"
