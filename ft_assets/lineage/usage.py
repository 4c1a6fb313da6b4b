"""Where files went: which checkpoints and reports hold rows of a file, and what a checkpoint was made of.

Rows are counted by their text: a row that was merged into an equal one counts as its file's, since its text is in the
model. So the rows of all files may add up to more than a split has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ft_assets.errors import UserError
from ft_assets.lineage.graph import Build, files, upstream
from ft_assets.lineage.tables import read

if TYPE_CHECKING:
    import polars as pl

__all__ = [
    "CheckpointUse",
    "FileRows",
    "FileUse",
    "ReportUse",
    "UnknownError",
    "checkpoints",
    "file_count",
    "file_uses",
    "find_checkpoint",
    "making",
    "rows_held",
    "settings",
]

MERGING = ("cleaned_examples", "labeled_examples")
SHORTEST_HASH = 6


class UnknownError(UserError):
    """There is no such file or checkpoint in this task; another one may have it."""


@dataclass(frozen=True)
class FileRows:
    """A file, and how many of its rows are in something."""

    source: str
    name: str
    sha256: str | None
    """None: a function has yielded these rows."""
    read: int
    """Rows that were read from it, the refused ones included."""
    rows: Mapping[str, int | None]
    """By split; None where the split's artifact, or that of the raw rows, is gone. Empty where nobody counted."""


@dataclass(frozen=True)
class ReportUse:
    """A report that has judged a checkpoint."""

    build: Build
    rows: int | None
    """Test rows."""


@dataclass(frozen=True)
class CheckpointUse:
    """A checkpoint and all that went into it."""

    build: Build
    rows: Mapping[str, int]
    """Rows of train and validation, as the training has counted them."""
    files: Sequence[FileRows]
    """All files that were read for it, those without a row in it included. Where builds of other files gave the same
    splits before the training, theirs, too."""
    base_model: str
    base_model_version: str
    config: Mapping[str, Any]
    config_digest: str
    code: str
    seed: int | None
    """None: it was not recorded."""
    libraries: Mapping[str, str]
    reports: Sequence[ReportUse]


@dataclass(frozen=True)
class FileUse:
    """A file and all that holds rows of it."""

    source: str
    name: str
    sha256: str | None
    raw: Sequence[Build]
    """The builds of `raw_examples` that have read it."""
    rows: int
    """Rows that were read from it, the refused ones included."""
    refused: int
    checkpoints: Sequence[tuple[Build, Mapping[str, int | None]]]
    """With the rows of the file by split; those that read the file and hold none of its rows are left out."""
    reports: Sequence[tuple[Build, int | None]]
    """With the rows of the file among the test rows, by the same rule."""


def checkpoints(builds: Collection[Build], most_files: int | None = None) -> list[CheckpointUse]:
    """All checkpoints, newest first.

    Args:
        builds: of one task.
        most_files: count the rows of so many files of each, and not those of the others.

    Raises:
        UserError: a table is damaged.
    """
    rows_in = _Rows(builds)
    found = [
        _checkpoint(builds, build, rows_in, most_files) for build in builds if build.asset == "checkpoint"
    ]
    return sorted(found, key=lambda use: use.build.created, reverse=True)


def making(builds: Collection[Build], build_key: str) -> CheckpointUse | None:
    """One checkpoint, from manifests and index entries alone: no row is counted. None if it is not there."""
    found = [each for each in builds if each.asset == "checkpoint" and each.build_key == build_key]
    return _checkpoint(builds, found[0], _Rows(builds), most=0) if found else None


def find_checkpoint(builds: Collection[Build], version: str) -> list[CheckpointUse]:
    """The builds of a checkpoint by its data version or the beginning of it.

    Raises:
        UnknownError: there is none, or several versions begin so.
    """
    known = sorted({build.data_version for build in builds if build.asset == "checkpoint"})
    found = [each for each in known if version and each.startswith(version)]
    if len(found) != 1:
        few = ", ".join(each[:12] for each in (found or known)[:10]) or "none"
        raise UnknownError(
            f"{len(found) or 'no'} checkpoint{'s begin' if found else ' begins'} with that version",
            where=f"checkpoints: {few}",
            do="give the beginning of one of them",
        )
    wanted = [build for build in builds if build.asset == "checkpoint" and build.data_version == found[0]]
    return [_checkpoint(builds, build, _Rows(builds)) for build in wanted]


def file_uses(builds: Collection[Build], file: str | None = None, most: int | None = None) -> list[FileUse]:
    """All files with what holds their rows, those that were read last first.

    Args:
        builds: of one task.
        file: the name of one file, or the beginning of its SHA-256 (at least six digits): this one only. A name may
            have held several contents.
        most: so many files at most.

    Raises:
        UnknownError: no build has read the file.
        UserError: a table is damaged.
    """
    raw: dict[tuple[str, str, str | None], list[tuple[Build, Mapping[str, Any]]]] = defaultdict(list)
    for build in builds:
        if build.asset == "raw_examples":
            for entry, sha256 in _entries(build):
                raw[entry["source"], entry["file"], sha256].append((build, entry))
    wanted = [key for key in raw if file is None or _is_meant(key, file)]
    if file is not None and not wanted:
        import difflib

        names = sorted({name for _, name, _ in raw})
        near = difflib.get_close_matches(file, names, n=3, cutoff=0.5) or names[:5]
        raise UnknownError(
            "no build has read this file",
            where=f"files that were read: {', '.join(near) or 'none'}{', …' if len(names) > len(near) else ''}",
            do="give its name as it stands there, or the beginning of its SHA-256",
        )
    users = [
        (build, _splits(builds, build), _raw_keys(upstream(builds, [build])))
        for build in builds
        if build.asset in _READ
    ]
    # Those that were read last first, by name among them.
    wanted.sort(key=lambda key: key[:2])
    wanted.sort(key=lambda key: raw[key][-1][0].created, reverse=True)
    uses, rows_in = [], _Rows(builds)
    for key in wanted[:most]:
        readers, entries = [build for build, _ in raw[key]], [entry for _, entry in raw[key]]
        held: dict[str, list[tuple[Build, dict[str, int | None]]]] = {
            "checkpoint": [],
            "evaluation_report": [],
        }
        for build, splits, raw_of in users:
            both = [reader for reader in readers if reader.build_key in raw_of]
            if both:
                rows = {name: rows_in.of(key[:2], split, both) for name, split in splits.items()}
                if any(count is None or count for count in rows.values()):
                    held[build.asset].append((build, rows))
        uses.append(
            FileUse(
                *key,
                raw=readers,
                rows=max(entry["rows"] for entry in entries),
                refused=max(entry["refused"] for entry in entries),
                checkpoints=held["checkpoint"][::-1],
                reports=[(build, rows["test"]) for build, rows in held["evaluation_report"][::-1]],
            )
        )
    return uses


def rows_held(builds: Collection[Build], asset: str, data_version: str, file: tuple[str, str]) -> int | None:
    """Rows of a file (source and name) that a version of a data asset holds; None if that cannot be told any more.

    Raises:
        UserError: a table is damaged.
    """
    rows_in = _Rows(builds)
    counts = []
    for build in builds:
        if (build.asset, build.data_version) == (asset, data_version):
            raws = [each for each in [build, *upstream(builds, [build])] if each.asset == "raw_examples"]
            counts.append(rows_in.of(file, build, raws))
    return max((count for count in counts if count is not None), default=None)


def file_count(builds: Collection[Build]) -> int:
    """How many files `file_uses` tells of."""
    return len(
        {
            (entry["source"], entry["file"], sha256)
            for build in builds
            if build.asset == "raw_examples"
            for entry, sha256 in _entries(build)
        }
    )


def settings(config: Mapping[str, Any], within: str = "") -> dict[str, str]:
    """A configuration as names (nested ones with dots) and values on a line; what was left to its default by None is
    left out."""
    found: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            found |= settings(value, f"{within}{name}.")
        elif value is not None:
            found[f"{within}{name}"] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found


def _raw_keys(builds: Iterable[Build]) -> set[str]:
    return {each.build_key for each in builds if each.asset == "raw_examples"}


def _is_meant(key: tuple[str, str, str | None], file: str) -> bool:
    _, name, sha256 = key
    is_hash = len(file) >= SHORTEST_HASH and sha256 is not None and sha256.startswith(file.lower())
    return name == file or is_hash


def _entries(raw: Build) -> list[tuple[Mapping[str, Any], str | None]]:
    """What a build of `raw_examples` tells of each file, with its SHA-256."""
    contents = files(raw)
    places: dict[tuple[str, str], list[str]] = defaultdict(list)
    for place, source in enumerate((raw.record.get("config") or {}).get("sources") or []):
        for name, sha256 in contents.items():
            if name.startswith(f"{place}/{source['name']}/"):
                places[source["name"], name.removeprefix(f"{place}/{source['name']}/")].append(sha256)
    found = []
    for entry in raw.summary.get("files") or []:
        several = places[entry["source"], entry["file"]]
        found.append((entry, contents.get(entry["file"]) or (several.pop(0) if several else None)))
    return found


def _splits(builds: Collection[Build], build: Build) -> dict[str, Build]:
    """The splits that a checkpoint or report has read, by their names, one build for each."""
    found = {}
    for each in builds:
        if each.task == build.task and build.inputs.get(each.asset) == each.data_version:
            name, is_split, _ = each.asset.partition("_split")
            if is_split:
                found[name] = each
    order = ("train", "validation", "test")
    return {name: found[name] for name in order if name in found and f"{name}_split" in _READ[build.asset]}


_READ = {"checkpoint": ("train_split", "validation_split"), "evaluation_report": ("test_split",)}


def _checkpoint(
    builds: Collection[Build], build: Build, rows_in: _Rows, most: int | None = None
) -> CheckpointUse:
    above = upstream(builds, [build])
    raws = [each for each in above if each.asset == "raw_examples"]
    # What was read later and gave the same splits holds the same rows, but nobody trained on it.
    raws = [each for each in raws if each.created <= build.created] or raws
    bases = [each for each in above if each.asset == "base_model"]
    splits = _splits(builds, build)
    found: dict[tuple[str, str, str | None], list[tuple[Build, int]]] = defaultdict(list)
    for raw in raws:
        for entry, sha256 in rows_in.entries(raw):
            found[entry["source"], entry["file"], sha256].append((raw, entry["rows"]))
    code, _, digest = str(build.record.get("code_version", "")).partition("-")
    reports = [
        ReportUse(each, each.summary.get("test_rows"))
        for each in builds
        if each.asset == "evaluation_report"
        and each.task == build.task
        and each.inputs.get("checkpoint") == build.data_version
    ]
    return CheckpointUse(
        build=build,
        rows=dict(build.summary.get("rows") or {}),
        files=[
            FileRows(
                *key,
                max(count for _, count in readers),
                {
                    name: rows_in.of(key[:2], split, [raw for raw, _ in readers])
                    for name, split in splits.items()
                }
                if most is None or place < most
                else {},
            )
            for place, (key, readers) in enumerate(sorted(found.items(), key=lambda item: item[0][:2]))
        ],
        base_model=str(bases[-1].summary.get("source", "")) if bases else "",
        base_model_version=build.inputs.get("base_model", ""),
        config=build.record.get("config") or {},
        config_digest=digest,
        code=code,
        seed=build.record.get("seed"),
        libraries=build.record.get("libraries") or {},
        reports=reports[::-1],
    )


class _Rows:
    """What builds of `raw_examples` have read, and rows of files whose text is in a split; each is looked up once."""

    def __init__(self, builds: Collection[Build]) -> None:
        self._builds = builds
        self._entries: dict[str, list[tuple[Mapping[str, Any], str | None]]] = {}
        self._counted: dict[tuple[str, str], Mapping[tuple[str, str], int] | None] = {}

    def entries(self, raw: Build) -> list[tuple[Mapping[str, Any], str | None]]:
        """What a build tells of each file, with its SHA-256."""
        if raw.build_key not in self._entries:
            self._entries[raw.build_key] = _entries(raw)
        return self._entries[raw.build_key]

    def of(self, file: tuple[str, str], split: Build, raws: Iterable[Build]) -> int | None:
        """Of one file (source and name), as these builds have read it; None if that cannot be told any more."""
        tables = [self._count(split, raw) for raw in raws]
        counts = [table.get(file, 0) for table in tables if table is not None]
        return max(counts, default=None)

    def _count(self, split: Build, raw: Build) -> Mapping[tuple[str, str], int] | None:
        place = (split.build_key, raw.build_key)
        if place not in self._counted:
            above = [*upstream(self._builds, [split]), split]
            merging = tuple(_Same(each) for each in above if each.asset in MERGING)
            self._counted[place] = _by_file(_Same(raw), merging, _Same(split))
        return self._counted[place]


class _Same:
    """A build, equal to another one with the same files: what was counted for the one holds for the other."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self._files = (
            build.path,
            str(sorted((build.record.get("files") or {}).items(), key=str)),
            build.path.is_dir(),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self._files == other._files

    def __hash__(self) -> int:
        return hash(self._files)


@lru_cache(maxsize=512)
def _by_file(raw: _Same, merging: tuple[_Same, ...], split: _Same) -> Mapping[tuple[str, str], int] | None:
    """Rows of each file (source and name) whose text is in a split."""
    import polars as pl

    rows = read(raw.build, "examples", ["example_id", "source", "file"])
    kept = read(split.build, "examples", ["example_id"])
    if rows is None or kept is None:
        return None
    merged = [
        table
        for each in (*merging, split)
        if (table := read(each.build, "merged", ["example_id", "merged_into"])) is not None
    ]
    rows = rows.with_columns(pl.col("example_id").alias("lives_as"))
    # What cleaning has merged, labelling may merge again: as equal, and then as a near duplicate; and of equal rows a
    # split has the one that was recorded first.
    for _ in range(len(MERGING) + 2):
        rows = _followed(rows, merged)
    held = rows.join(kept, left_on="lives_as", right_on="example_id", how="semi").unique("example_id")
    counted = held.group_by("source", "file").len()
    return {(source, file): count for source, file, count in counted.iter_rows()}


def _followed(rows: pl.DataFrame, merged: Sequence[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    if not merged:
        return rows
    into = pl.concat(merged).unique().rename({"example_id": "lives_as"})
    moved = rows.join(into, on="lives_as").drop("lives_as").rename({"merged_into": "lives_as"})
    return pl.concat([rows, moved.select(rows.columns)]).unique()
