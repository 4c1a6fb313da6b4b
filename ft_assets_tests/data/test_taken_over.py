import json
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets import spill
from ft_assets.artifacts import Artifact, ArtifactStore
from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.examples import StageTables, digests, example_ids
from ft_assets.data.readers import raw_examples
from ft_assets.data.taken_over import EqualRows, TakenOver, take_over
from ft_assets.errors import UserError
from ft_assets.sources import ResolvedFile
from ft_assets.versions import hash_json, tables_version
from ft_assets_tests.data.helpers import turns

SOURCES = (SourceConfig(path="first/*", name="one"), SourceConfig(path="second/*", name="two"))


@dataclass(frozen=True)
class File:
    """A file of one of the two sources."""

    name: str
    content: str
    place: int = 0


Files = tuple[File, ...]


def csv(*rows: str) -> str:
    return "\n".join(["text,label", *rows])


class Task:
    """A task whose raw examples are published one version after the other."""

    def __init__(self, folder: Path, task_type: str = "text-classification") -> None:
        self.folder = folder
        self.store = ArtifactStore(folder / "store")
        self.task_type = task_type
        self.files: Files = ()
        self.erased: frozenset[str] = frozenset()
        self.last: Artifact | None = None

    def read(self, files: Files, before: TakenOver | None = None) -> StageTables:
        """All files, or those that are not taken over: the others are not there."""
        before = before or TakenOver()
        for place, file in enumerate(files):
            path = self._path(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            if place >= len(before.files):
                path.write_text(file.content)
        sources = [
            (source, [ResolvedFile(self._path(file), file.name) for file in files if file.place == place])
            for place, source in enumerate(SOURCES)
        ]
        sources = [(source, there) for source, there in sources if there]
        return raw_examples(
            before.still_to_read(sources),
            ColumnsConfig(),
            self.task_type,
            suppressed=self.erased,
            before=before,
        )

    def taken_over(self, files: Files) -> TakenOver:
        """What can be taken over from the last version, if there is one."""
        if self.last is None:
            return TakenOver()
        same = takewhile(lambda file: file in self.files, files)
        return take_over(self.last, [(SOURCES[file.place].name, file.name) for file in same])

    def publish(self, files: Files, made: StageTables) -> None:
        version = told(made)
        with self.store.staging("t", "raw_examples") as staging:
            staging.write_table("examples", made.examples)
            staging.write_table("quarantine", made.quarantine)
            self.last = self.store.commit(
                staging,
                data_version=hash_json(version),
                build_key=hash_json(version),
                inputs={},
                config={},
                code_version="1",
                summary=made.summary,
            )
        self.files = files

    def _path(self, file: File) -> Path:
        return self.folder / str(file.place) / file.name


def told(made: StageTables) -> tuple[str, dict[str, Any]]:
    """All that comes out."""
    tables = {"examples": made.examples, "quarantine": made.quarantine, "merged": made.merged}
    return tables_version(tables), made.summary


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return Task(tmp_path)


# Texts that stand several times, in one file and in several, and now and then a row that is refused: `b`.
CONTENTS = st.lists(st.sampled_from(["a,x", "a,y", "c,x", "d,", "a,x", "b"]), min_size=1, max_size=6).map(
    lambda rows: csv(*rows)
)
CHANGES = st.tuples(
    st.sampled_from(["append", "append", "erase", "insert", "change", "append", "remove", "reorder"]),
    st.integers(0, 20),
    st.builds(
        File,
        st.sampled_from([f"{number}.csv" for number in range(6)]),
        CONTENTS,
        st.sampled_from([0, 0, 1]),
    ),
)


def changed(files: Files, what: str, place: int, file: File) -> Files:
    """The files after a change; no two files of a source have one name, and those of the first source come first."""
    others = tuple(each for each in files if (each.name, each.place) != (file.name, file.place))
    place %= max(len(files), 1)
    if what == "append":
        files = (*others, file)
    elif what == "insert":
        files = (*others[:place], file, *others[place:])
    elif what == "change":
        files = tuple(
            replace(each, content=file.content) if at == place else each for at, each in enumerate(files)
        )
    elif what == "remove":
        files = files[:place] + files[place + 1 :]
    elif what == "reorder":
        files = files[place:] + files[:place]
    return tuple(sorted(files, key=lambda each: each.place))


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=40, deadline=None)
@given(changes=st.lists(CHANGES, min_size=4, max_size=8))
def test_with_what_is_taken_over_the_result_is_that_of_reading_all_files(tmp_path_factory, changes):
    task = Task(tmp_path_factory.mktemp("task"))
    files: Files = ()
    for what, place, file in changes:
        if what == "erase" and task.last is not None:
            rows = [
                each for name in ("examples", "quarantine") for each in task.last.table(name)["example_id"]
            ]
            task.erased |= {rows[place % len(rows)].as_py()} if rows else set()
            task.last = None  # of another list nothing is taken over
        files = changed(files, what, place, file)
        try:
            expected = task.read(files)
        except UserError:  # no file can be read
            continue
        made = task.read(files, task.taken_over(files))
        assert told(made) == told(expected)
        task.publish(files, made)


@given(numbers=st.lists(st.integers(0, 40), max_size=8))
def test_the_ids_tell_how_many_equal_rows_there_are(numbers):
    keys = digests("s", [[str(place).encode()] for place in range(len(numbers))])
    ids = [each for key, number in zip(keys, numbers, strict=True) for each in given_to(key, number)]
    equal = EqualRows(pa.chunked_array([pa.array(ids, pa.string())]))
    assert equal.count([*keys, *keys]).tolist() == numbers * 2


def given_to(key: bytes, number: int) -> list[str]:
    return example_ids([key] * number, range(number))


FIRST = File("1.csv", csv("a,x", "a,x", "b", "c,y"))
SECOND = File("2.csv", csv("a,x", "d,y"))


def after(task: Task, before: Files, now: Files) -> list[str]:
    """The files that are taken over."""
    task.publish(before, task.read(before))
    return [file["file"] for file in task.taken_over(now).files]


def test_files_that_stand_first_are_taken_over(task: Task) -> None:
    more = File("3.csv", csv("a,x", "e,z"))
    assert after(task, (FIRST, SECOND), (FIRST, SECOND, more)) == ["1.csv", "2.csv"]
    assert after(task, (FIRST, SECOND), (FIRST,)) == ["1.csv"]
    assert after(task, (FIRST, SECOND), (FIRST, replace(SECOND, content=more.content), more)) == ["1.csv"]


def test_a_file_in_the_middle_that_is_new_or_gone_ends_what_is_taken_over(task: Task) -> None:
    between = File("1b.csv", csv("a,x"))
    assert after(task, (FIRST, SECOND), (FIRST, between, SECOND)) == ["1.csv"]
    assert after(task, (FIRST, between, SECOND), (FIRST, SECOND)) == ["1.csv"]
    assert after(task, (FIRST, SECOND), (SECOND, FIRST)) == []


def test_a_file_that_was_refused_as_a_whole_is_read_again(task: Task) -> None:
    refused = File("1b.csv", csv())
    files = (FIRST, refused, SECOND)
    assert after(task, files, files) == ["1.csv"]


def test_a_file_that_has_lost_erased_rows_is_read_again(task: Task) -> None:
    files = (FIRST, SECOND)
    task.erased = frozenset(task.read(files).examples["example_id"].to_pylist()[-1:])
    assert after(task, files, files) == ["1.csv"]


def test_a_file_whose_name_stands_in_several_sources_is_read_again(task: Task) -> None:
    files = (FIRST, SECOND, File("2.csv", csv("a,x"), place=1))
    assert after(task, files, files) == ["1.csv"]


def test_how_conversations_were_read_is_told_of_files_that_are_taken_over(tmp_path: Path) -> None:
    task = Task(tmp_path, "text-generation")
    old, new = (
        File(f"{number}.jsonl", json.dumps({"messages": turns("q", f"a {number}")})) for number in (1, 2)
    )
    task.publish((old,), task.read((old,)))
    made = task.read((old, new), task.taken_over((old, new)))
    assert [form["file"] for form in made.summary["forms"]] == ["1.jsonl", "2.jsonl"]
    assert told(made) == told(task.read((old, new)))


def test_tables_on_disk_are_taken_over_without_a_copy(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "IN_MEMORY", 0)
    task.publish((FIRST,), task.read((FIRST,)))
    before = task.taken_over((FIRST, SECOND))
    made = task.read((FIRST, SECOND), before)
    (text,) = before.examples["text"].chunks
    assert made.examples["text"].chunk(0).buffers()[2].address == text.buffers()[2].address
    assert told(made) == told(task.read((FIRST, SECOND)))
