"""The way to annotation tools and back: the relabel queue as a file that they read, their export as corrections.

One module a form: `label_studio` (tasks in JSON), `argilla` (records in JSON), `flat` (a row an annotation: CSV and
JSON Lines for both tools and for spreadsheets, Label Studio's JSON-MIN, our own corrections). Each knows its names,
writes rows of the queue, and gives `Answer`s. In all of them the question is called `label`, and a second one, if
asked, `why`.

Here: which form a file has, and answers as corrections. Not here: the file of corrections (`data.corrections`).
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ft_assets.data.annotation import argilla, flat, label_studio
from ft_assets.data.annotation.answer import Answer, unusable
from ft_assets.data.corrections import REJECT, Correction, time_of
from ft_assets.data.formats import Repeating, json_object, nearest
from ft_assets.data.spreadsheets import restored, to_csv

__all__ = ["ENDINGS", "Imported", "Tool", "exported", "imported"]

Tool = Literal["label-studio", "argilla"]
ENDINGS = (".csv", ".jsonl", ".json")


@dataclass(frozen=True)
class Imported:
    """What an annotated file says.

    Attributes:
        corrections: In the order of the file, for `corrections.add`.
        unanswered: Rows that nobody has answered, or whose answer was skipped, is a draft or was thrown away.
        contested: Examples to which people have given different answers; which one holds `corrections.holding` says.
    """

    corrections: list[Correction]
    unanswered: int
    contested: int


def exported(rows: Sequence[Mapping[str, Any]], ending: str, tool: Tool = "label-studio") -> bytes:
    """Rows of the queue as the content of a file.

    Args:
        rows: Of `relabelling.QUEUE_SCHEMA`, as mappings.
        ending: `.csv` and `.jsonl` are the same for both tools; `.json` is the tool's own form.
        tool: Who is to read it.
    """
    if ending == ".csv":
        # Two empty columns, for whoever answers in a spreadsheet.
        return to_csv([*flat.COLUMNS, "label", "why"], ([*flat.row(each).values(), "", ""] for each in rows))
    if ending == ".jsonl":
        return "".join(f"{json.dumps(flat.row(each), ensure_ascii=False)}\n" for each in rows).encode()
    own = [argilla.record(each) if tool == "argilla" else label_studio.task(each) for each in rows]
    return f"{json.dumps(own, ensure_ascii=False, indent=1)}\n".encode()


def imported(path: Path, labels: Sequence[str], *, by: str = "", at: str | None = None) -> Imported:
    """What people have answered, as corrections.

    Args:
        path: An export of Label Studio (JSON, JSON-MIN, CSV) or Argilla (records as JSON, JSON Lines or CSV), a CSV
            that was filled in by hand, or other corrections.
        labels: The task's labels.
        by: Who has answered, where the file does not say.
        at: When, where it does not (as `corrections.time_of` gives it).

    Raises:
        UserError: It cannot be read, an answer is no label of the task, or nothing says who answered: says where.
            Nothing is taken from it then.
    """
    corrections: list[Correction] = []
    unanswered = 0
    for row, item in _items(path):
        where = f"{path.name}, row {row}"
        form = next((form for form in (label_studio, argilla) if form.is_mine(item)), flat)
        try:
            answers = list(form.answers(item, where))
        except (AttributeError, KeyError, TypeError) as error:  # a list where a mapping belongs, and the like
            raise unusable(where, "it is not as the tool writes it", "export it again") from error
        unanswered += not answers
        corrections += [_correction(each, labels, by, at) for each in answers]
    different = Counter(example for example, _ in {(each.example_id, each.label) for each in corrections})
    return Imported(corrections, unanswered, sum(number > 1 for number in different.values()))


def _correction(answer: Answer, labels: Sequence[str], by: str, at: str | None) -> Correction:
    known = {REJECT: REJECT} | {name.strip(): name for name in labels}
    label = answer.label.strip()
    if label not in known:
        told = nearest(label, known, "labels")
        raise unusable(answer.where, f"the answer is no label of the task: {told}", "correct it there")
    time = time_of(answer.at) if answer.at else at
    if time is None:
        raise unusable(answer.where, "nothing says when it was answered", "say it with --at DATE")
    who = answer.by or by
    if not who:
        raise unusable(answer.where, "nothing says who answered", "say it with --by NAME")
    made = Correction(answer.example_id, known[label], who, time)
    return replace(made, why=" ".join(answer.why.split()))


def _items(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The rows, tasks or records of a file, counted from 1."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise unusable(path.name, f"it is none of {', '.join(ENDINGS)}", "export it as one of them")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise unusable(path.name, f"it cannot be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise unusable(path.name, "it is not UTF-8", "export it in that encoding") from error
    try:
        if ending == ".csv":
            found: list[Any] = _csv_rows(text, path.name)
        elif ending == ".jsonl":
            found = [_parsed(line, path.name) for line in text.split("\n") if line.strip()]
        else:
            found = _parsed(text, path.name)
    except (ValueError, RecursionError, csv.Error) as error:
        raise unusable(path.name, f"it is no {ending[1:].upper()}", "export it again") from error
    if not isinstance(found, list):
        raise unusable(path.name, "it is no list of tasks, records or rows", "export it again")
    for row, item in enumerate(found, 1):
        if not isinstance(item, dict):
            raise unusable(f"{path.name}, row {row}", "it is no JSON object", "export it again")
        yield row, item


def _parsed(text: str, name: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = json_object(pairs)
        if isinstance(made, Repeating):
            raise unusable(name, "a key stands twice in one object: which value is meant?", "export it again")
        return made

    return json.loads(text, object_pairs_hook=unique)


def _csv_rows(text: str, name: str) -> list[Any]:
    header, *rows = list(csv.reader(io.StringIO(text, newline=""), strict=True)) or [[]]
    if len(set(header)) < len(header):
        raise unusable(name, "a column stands twice: which one is meant?", "take one of them out")
    for number, cells in enumerate(rows, 1):
        if cells and len(cells) != len(header):
            raise unusable(
                f"{name}, row {number}", f"{len(cells)} fields, the first line has {len(header)}", "mend it"
            )
    return [dict(zip(header, map(restored, cells), strict=True)) for cells in rows if cells]
