"""Which artifacts of a task hold certain rows, or were made from such; and where a row comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ft_assets.artifacts.artifact import RESERVED
from ft_assets.disk import folders
from ft_assets.lineage.graph import Build, builds

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SPLITS", "Holder", "Rows", "holders", "ids_among", "is_named", "rows_of"]

SPLITS = ("train_split", "validation_split", "test_split")
_FIRST = "raw_examples"
_ROW_ASSETS = (_FIRST, "cleaned_examples", "labeled_examples", *SPLITS, "quarantine")
"""Their tables name every row that went into them: what they hold is what they say."""
_ROWLESS = ("base_model",)
_ID_COLUMNS = ("example_id", "merged_into")


@dataclass(frozen=True)
class Rows:
    """Rows that somebody means."""

    ids: frozenset[str]
    """Ids of the rows that were named, and of those with the very same text."""
    asked: frozenset[str]
    """Ids of the rows that were named, as far as they are known."""
    files: Counter[str] = field(default_factory=Counter, hash=False)
    """How many of them each source file has had, by the name that its rows carry."""


@dataclass(frozen=True)
class Holder:
    """A folder of the store that holds rows, or was made from such."""

    asset: str
    name: str
    """A data version, or `refused/<folder>`, `damaged/<folder>`."""
    why: str


def rows_of(
    root: Path,
    task: str,
    *,
    ids: Collection[str] = (),
    is_file: Callable[[str], bool] | None = None,
    same_text: bool = False,
) -> Rows:
    """The rows of a task with these ids, or of this file, in all versions that the store has of its data.

    Args:
        root: the store.
        task: the task.
        ids: of rows.
        is_file: tells by the name that rows carry whether their file is meant.
        same_text: whether rows with the very same text count as well.
    """
    asked: set[str] = set()
    found: set[str] = set()
    places: dict[str, set[str]] = {}
    for folder in _folders_with_rows(root / task / _FIRST):
        try:
            rows = list(_matching(folder, ids, is_file, same_text))
        except (ValueError, OSError):  # damaged: `holders` counts it, whatever is in it
            continue
        for each, where, mine in rows:
            found.add(each)
            places.setdefault(where or "", set()).add(each)
            if mine:
                asked.add(each)
    # A version of the raw rows may have been removed while later stages still have the row.
    for asset in _ROW_ASSETS[1:]:
        for folder in _folders_with_rows(root / task / asset):
            with suppress(ValueError, OSError):
                asked |= ids_among(folder, set(ids) - asked)
    return Rows(
        frozenset(found | asked),
        frozenset(asked),
        Counter({name: len(each) for name, each in places.items()}),
    )


def holders(root: Path, task: str, ids: Collection[str]) -> list[Holder]:
    """All that holds one of these rows or was made from such, downstream first.

    What a data stage holds, its tables tell. A model is made of its rows without naming them: there it counts what
    it was made from, and what was made from something that is no longer in the store counts as made from the rows.
    What is damaged cannot be searched, and counts.
    """
    known = builds(root, task)
    found: dict[tuple[str, str], str] = {}
    assets = [folder for folder in folders(root / task) if folder.name not in _ROWLESS]
    for folder in assets:
        for version in _versions(folder):
            if _holds(version, ids):
                found[folder.name, version.name] = "holds the rows"
    modelled = [build for build in known if build.asset not in (*_ROW_ASSETS, *_ROWLESS)]
    gone = {
        (name, version)
        for build in modelled
        for name, version in build.inputs.items()
        if name not in _ROWLESS and not (root / task / name / version).is_dir()
    }
    while more := {
        (build.asset, build.data_version): reason
        for build in modelled
        if build.path.is_dir() and (build.asset, build.data_version) not in found
        for reason in [_made_from(build, found, gone)]
        if reason
    }:
        found |= more
    order = {name: place for place, name in enumerate(_ROW_ASSETS)}
    whole = [Holder(asset, version, why) for (asset, version), why in found.items()]
    aside = [holder for folder in assets for holder in _aside(folder, ids, found)]
    return sorted(
        [*whole, *aside], key=lambda each: (-order.get(each.asset, len(order)), each.asset, each.name)
    )


def ids_among(folder: Path, ids: Collection[str]) -> set[str]:
    """Those of the ids that the tables below a folder name.

    Raises:
        ValueError, OSError: a table cannot be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not ids:
        return set()
    wanted = pa.array(sorted(ids), pa.string())
    found: set[str] = set()
    for path in folder.rglob("*.parquet"):
        table = _read(path, _ID_COLUMNS)
        for column in table.columns:
            found.update(pc.unique(column.filter(pc.is_in(column, value_set=wanted))).to_pylist())
    return found


def _matching(
    folder: Path, ids: Collection[str], is_file: Callable[[str], bool] | None, same_text: bool
) -> Iterator[tuple[str, str | None, bool]]:
    """Id and file of each row of the raw stage that is meant, and whether it was named or only has the same text.

    The text of a conversation is its last prompt, and many end alike: the same text stands after the same context.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ("example_id", "file", "text", "context")
    tables = []
    for path in sorted(folder.glob("*.parquet")):
        table = _read(path, columns)
        if table.num_columns == len(columns) - 1 and "context" not in table.column_names:
            table = table.append_column(
                "context", pa.nulls(table.num_rows, pa.string())
            )  # refused rows have none
        if table.num_columns == len(columns):
            tables.append(table.select(columns))
    if not tables:
        return
    rows = pa.concat_tables(tables)
    names = pc.unique(rows["file"].drop_null()).to_pylist() if is_file is not None else []
    files = [name for name in names if is_file is not None and is_file(name)]
    mine = pc.or_(
        pc.is_in(rows["example_id"], value_set=pa.array(sorted(ids), pa.string())),
        pc.is_in(rows["file"], value_set=pa.array(files, pa.string())),
    )
    meant = mine
    if same_text:
        meant = pc.or_(mine, _in_pairs(rows["context"], rows["text"], mine))
    found = rows.append_column("mine", mine).filter(meant)
    yield from zip(*(found[name].to_pylist() for name in ("example_id", "file", "mine")), strict=True)


def _in_pairs(contexts: pa.ChunkedArray, texts: pa.ChunkedArray, mine: pa.ChunkedArray) -> pa.Array:
    """Whether context and text of each row are those of one under the mask. A row without a text is like no other."""
    import polars as pl

    pairs = pl.DataFrame({"context": pl.from_arrow(contexts), "text": pl.from_arrow(texts)})
    wanted = pairs.filter(pl.Series(pl.from_arrow(mine)) & pairs["text"].is_not_null())
    same = pairs.with_row_index().join(wanted, on=["context", "text"], how="semi", nulls_equal=True)["index"]
    return pl.int_range(pairs.height, eager=True, dtype=pl.UInt32).is_in(same.implode()).to_arrow()


def _made_from(build: Build, found: Collection[tuple[str, str]], gone: Collection[tuple[str, str]]) -> str:
    for name, version in build.inputs.items():
        if (name, version) in found:
            return f"made from {name} {version[:8]}"
    for name, version in build.inputs.items():
        if (name, version) in gone:
            return f"made from {name} {version[:8]}, which is no longer in the store: nothing tells what was in it"
    return ""


def _aside(folder: Path, ids: Collection[str], found: Collection[tuple[str, str]]) -> Iterator[Holder]:
    for path in folders(folder / "damaged"):
        yield Holder(folder.name, f"damaged/{path.name}", "damaged, so that it cannot be searched")
    for path in folders(folder / "refused"):
        if _holds(path, ids):
            yield Holder(folder.name, f"refused/{path.name}", "holds the rows")
        elif folder.name not in _ROW_ASSETS and _inputs_of_refused(path) & set(found):
            yield Holder(folder.name, f"refused/{path.name}", "made from the rows")


def _inputs_of_refused(folder: Path) -> set[tuple[str, str]]:
    try:
        return set(json.loads((folder / "refusal.json").read_bytes())["inputs"].items())
    except (OSError, ValueError, KeyError, AttributeError):
        return set()


def _holds(folder: Path, ids: Collection[str]) -> bool:
    try:
        return bool(ids_among(folder, ids))
    except (ValueError, OSError):  # not readable: better too much than too little
        return True


def _folders_with_rows(folder: Path) -> list[Path]:
    return [*_versions(folder), *folders(folder / "refused")]


def _read(path: Path, names: Sequence[str]) -> pa.Table:
    """Those of the columns that a table has."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        return file.read(columns=[name for name in names if name in file.schema_arrow.names])


def is_named(name: str, wanted: str) -> bool:
    """Whether a file's name or path ends in what a person has called it."""
    given = PurePosixPath(wanted).parts
    return bool(given) and PurePosixPath(name).parts[-len(given) :] == given


def _versions(folder: Path) -> list[Path]:
    return [path for path in folders(folder) if path.name not in RESERVED]
