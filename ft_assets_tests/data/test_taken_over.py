import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.examples import StageTables
from ft_assets.data.readers import raw_examples
from ft_assets.data.taken_over import NOTHING, SourceFile, TakenOver, taken_over
from ft_assets.errors import UserError
from ft_assets.sources import ResolvedFile
from ft_assets.versions import file_sha256, tables_version

SOURCES = [SourceConfig(path="a/*", name="a"), SourceConfig(path="b/*", name="b")]
BAD = b"{"  # a line that cannot be read


def write(folder: Path, files: dict[str, list[bytes]]) -> list[Path]:
    """The files of each source, named `<source>/<file>`, with these texts as rows; anew each time."""
    for path in folder.glob("*/*"):
        path.unlink()
    for name, rows in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [
            row if row == BAD else json.dumps({"text": row.decode(), "label": "x"}).encode() for row in rows
        ]
        path.write_bytes(b"\n".join(lines))
    return sorted(folder.glob("*/*"))


def found(folder: Path) -> tuple[list[tuple[SourceConfig, list[ResolvedFile]]], list[SourceFile]]:
    """The sources with their files, and the content of each."""
    sources = [
        (source, [ResolvedFile(path, path.name) for path in sorted(folder.glob(str(source.path)))])
        for source in SOURCES
    ]
    sources = [(source, files) for source, files in sources if files]
    contents = [
        (source.name, file.name, file_sha256(file.path)) for source, files in sources for file in files
    ]
    return sources, contents


def read(
    folder: Path, erased: frozenset[str] = frozenset(), before: TakenOver = NOTHING
) -> StageTables | str:
    """The reading, or why there is none."""
    try:
        return raw_examples(found(folder)[0], ColumnsConfig(), suppressed=erased, before=before)
    except UserError as error:
        return str(error)


def told(made: StageTables | str) -> object:
    if isinstance(made, str):
        return made
    tables = {"examples": made.examples, "quarantine": made.quarantine}
    return tables_version(tables), json.dumps(made.summary), made.examples.to_pylist()


texts = st.sampled_from([b"one", b"two", b"three", b"four", BAD])
rows = st.lists(texts, min_size=1, max_size=4)
names = st.sampled_from(["a/1.jsonl", "a/2.jsonl", "a/3.jsonl", "b/2.jsonl", "b/4.jsonl"])
folders = st.dictionaries(names, rows, min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data(), first=folders, changes=st.lists(st.tuples(names, st.none() | rows), max_size=3))
def test_with_what_is_taken_over_the_result_is_that_of_reading_all(tmp_path, data, first, changes):
    files, erased = dict(first), frozenset[str]()
    write(tmp_path, files)
    earlier, then = read(tmp_path), found(tmp_path)[1]
    for name, content in changes:
        if content is None:
            files.pop(name, None)
        else:
            files[name] = content
        write(tmp_path, files)
        now = found(tmp_path)[1]
        before = taken_over(earlier, then, now) if isinstance(earlier, StageTables) else NOTHING
        made = read(tmp_path, erased, before)
        assert told(made) == told(read(tmp_path, erased))
        if isinstance(made, StageTables) and made.examples.num_rows and data.draw(st.booleans()):
            # Somebody is erased: the same list holds for what is taken over and for what comes.
            erased |= {made.examples["example_id"][0].as_py()}
            made = read(tmp_path, erased)
        earlier, then = made, now


def test_what_comes_last_is_read_alone_and_knows_the_equal_rows_before(tmp_path):
    files = {"a/1.jsonl": [b"one", b"two", BAD, b"one"], "a/2.jsonl": [b"two", b"one"]}
    write(tmp_path, files)
    earlier, then = read(tmp_path), found(tmp_path)[1]
    write(tmp_path, files | {"a/3.jsonl": [b"one", BAD, b"new", b"one", b"new"]})
    before = taken_over(earlier, then, found(tmp_path)[1])
    assert (before.files, before.examples.num_rows, before.refused.num_rows, before.rows) == (2, 5, 1, 6)
    for name in ("a/1.jsonl", "a/2.jsonl"):
        (tmp_path / name).write_bytes(b"not to be read")
    made = read(tmp_path, before=before)
    write(tmp_path, files | {"a/3.jsonl": [b"one", BAD, b"new", b"one", b"new"]})
    assert told(made) == told(read(tmp_path))
    assert len(set(made.examples["example_id"].to_pylist())) == 9


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({}, 3),
        ({"a/4.jsonl": [b"new"]}, 2),  # the second source comes after it
        ({"b/8.jsonl": [b"new"]}, 3),
        ({"a/0.jsonl": [b"new"]}, 0),
        ({"a/2.jsonl": [b"other"]}, 1),
        ({"a/1.jsonl": None}, 0),
        ({"b/2.jsonl": [b"a name that two sources have"]}, 1),
    ],
)
def test_it_ends_before_the_first_file_that_is_new_changed_or_gone(tmp_path, now, expected):
    files = {"a/1.jsonl": [b"one"], "a/2.jsonl": [b"two"], "b/7.jsonl": [b"one"]}
    write(tmp_path, files)
    earlier, then = read(tmp_path), found(tmp_path)[1]
    write(tmp_path, {name: rows for name, rows in (files | now).items() if rows is not None})
    assert taken_over(earlier, then, found(tmp_path)[1]).files == expected


def test_it_ends_before_a_file_of_which_something_was_erased_or_that_was_refused(tmp_path):
    files = {"a/1.jsonl": [b"one"], "a/2.jsonl": [b"two"], "a/3.jsonl": [b"three"]}
    write(tmp_path, files)
    gone = read(tmp_path).examples["example_id"][1].as_py()
    contents = found(tmp_path)[1]
    assert taken_over(read(tmp_path, frozenset([gone])), contents, contents).files == 1
    write(tmp_path, files | {"a/2.jsonl": [BAD, BAD, b"two"]})
    contents = found(tmp_path)[1]
    assert taken_over(read(tmp_path), contents, contents).files == 1


def test_a_source_that_has_to_be_asked_is_not_taken_over(tmp_path):
    write(tmp_path, {"a/1.jsonl": [b"one"]})
    earlier, contents = read(tmp_path), found(tmp_path)[1]
    assert taken_over(earlier, contents, [("f", "", None), *contents]).files == 0
    assert taken_over(earlier, contents, [*contents, ("f", "", None)]).files == 1
