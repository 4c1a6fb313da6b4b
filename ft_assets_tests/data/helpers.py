"""What the tests of the data layer share: files read in a line, tables from rows, the planted data set."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ft_assets.data import splits
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, ColumnsConfig, LabelsConfig, SourceConfig, SplitsConfig
from ft_assets.data.corrections import Correction, time_of
from ft_assets.data.examples import RAW_SCHEMA, StageTables
from ft_assets.data.labels import label
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.ratings import as_label
from ft_assets.data.readers import raw_examples
from ft_assets.data.rulings import rulings
from ft_assets.data.splits import SplitName
from ft_assets.data.times import microseconds
from ft_assets.paths import PROJECT
from ft_assets.sources import ResolvedFile

PLANTED = PROJECT / "data" / "planted"


def read(path: Path, columns: ColumnsConfig | None = None, /, **source: Any) -> StageTables:
    """The raw stage of one file."""
    return read_as("text-classification", path, columns, **source)


def read_as(
    task_type: str, path: Path, columns: ColumnsConfig | None = None, /, **source: Any
) -> StageTables:
    """The raw stage of one file, for a task of this type."""
    config = SourceConfig(path=path.name, **source)
    return raw_examples([(config, [ResolvedFile(path, path.name)])], columns or ColumnsConfig(), task_type)


def jsonl(path: Path, *records: Any) -> Path:
    """A JSON Lines file of these records; a `str` is a line as it is."""
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def turns(*contents: str, first: str = "user") -> list[dict[str, str]]:
    """Messages of a user and an assistant in turn."""
    roles = ("user", "assistant") if first == "user" else ("assistant", "user")
    return [{"role": roles[place % 2], "content": content} for place, content in enumerate(contents)]


def conversation_table(*examples: dict[str, Any]) -> pa.Table:
    """Raw rows of conversations, with ids e000, e001, …; `context` is a list of messages."""
    table = raw_table(*((row.get("text"), row.get("label"), row.get("group")) for row in examples))
    contexts = [json.dumps(row["context"]) if row.get("context") else None for row in examples]
    place = table.schema.get_field_index("context")
    return table.set_column(place, "context", pa.array(contexts, pa.string()))


def unlike(number: int) -> str:
    """A text of one word that is no near duplicate of another one's."""
    return "".join(chr(97 + byte % 26) for byte in hashlib.sha256(b"%d" % number).digest()[:12])


def rows(tables: StageTables, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of the examples, row by row."""
    return list(zip(*(tables.examples[name].to_pylist() for name in names), strict=True))


def raw_table(*examples: tuple[str | None, ...]) -> pa.Table:
    """Raw rows of (text, label[, group[, time[, split]]]), with ids e000, e001, … in the order given."""
    padded = [(*example, None, None, None)[:5] for example in examples]
    count = len(padded)
    return pa.table(
        {
            "example_id": [f"e{index:03d}" for index in range(count)],
            "source": ["default"] * count,
            "file": ["rows.csv"] * count,
            "row": list(range(1, count + 1)),
            "context": [None] * count,
            "text": [each[0] for each in padded],
            "label": [each[1] for each in padded],
            "group": [each[2] for each in padded],
            "time": [microseconds(each[3]) if each[3] else None for each in padded],
            "split": [each[4] for each in padded],
        },
        schema=RAW_SCHEMA,
    )


def labelled(*examples: Any, labels: LabelsConfig, cleaning: CleaningConfig | None = None) -> StageTables:
    """Raw rows taken through cleaning and labelling."""
    return label(clean(raw_table(*examples), cleaning or CleaningConfig()).examples, labels)


def split(table: pa.Table, config: SplitsConfig, **more: Any) -> dict[SplitName, StageTables]:
    """The splits of labelled rows by an empty ledger."""
    return splits.split(table, config, entries=Entries.none(), ledger_id="ab" * 16, **more).tables


def rated(*examples: tuple[str, list[str] | None], labels: LabelsConfig, **given: Any) -> StageTables:
    """Rows of (text, ratings) taken through cleaning and labelling."""
    table = raw_table(*((text, as_label((None, each) for each in said or [])) for text, said in examples))
    return label(clean(table, CleaningConfig(), rated=True).examples, labels, rated=True, **given)


def corrected(
    *examples: Any, labels: LabelsConfig, by: Sequence[tuple[str, str] | tuple[str, str, str]]
) -> StageTables:
    """Raw rows taken through cleaning and labelling with corrections: example_id, label and, if it matters, when."""
    cleaned = clean(raw_table(*examples), CleaningConfig())
    lines = [
        Correction(
            each[0], each[1], "Ann", time_of(each[2] if len(each) == 3 else "2026-01-31") or "", line=number
        )
        for number, each in enumerate(by, 1)
    ]
    return label(cleaned.examples, labels, rulings=rulings(lines, cleaned.examples, cleaned.merged))


def answers() -> dict[str, Any]:
    """What is known about the planted data set."""
    return json.loads((PLANTED / "answers.json").read_text(encoding="utf-8"))


def planted_tickets() -> StageTables:
    """The raw stage of the planted tickets, grouped by author."""
    files = [ResolvedFile(PLANTED / name, name) for name in ("tickets.csv", "tickets.jsonl")]
    return raw_examples([(SourceConfig(path="tickets.*"), files)], ColumnsConfig(group="author"))
