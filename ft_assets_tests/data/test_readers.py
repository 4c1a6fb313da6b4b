import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, ColumnsConfig, LabelsConfig, SourceConfig
from ft_assets.data.examples import QUARANTINE_SCHEMA, RAW_SCHEMA
from ft_assets.data.labels import label
from ft_assets.data.ratings import pseudonym
from ft_assets.data.readers import raw_examples
from ft_assets.errors import UserError
from ft_assets.sources import ResolvedFile, resolve
from ft_assets_tests.data.helpers import PLANTED, answers, jsonl, planted_tickets, read, read_as, rows


def csv(tmp_path, content: str, name: str = "a.csv"):
    path = tmp_path / name
    path.write_text(content)
    return path


def ids(tables):
    return dict(rows(tables, "text", "example_id"))


def test_tables_have_the_schema_of_the_stage(tmp_path):
    tables = read(csv(tmp_path, "text,label\na,x\nb\nc,y\n"))
    assert tables.examples.schema == RAW_SCHEMA
    assert tables.quarantine.schema == QUARANTINE_SCHEMA


def test_an_id_survives_another_label_another_file_name_and_another_row(tmp_path):
    before = ids(read(csv(tmp_path, "text,label\na,x\nb,y\n")))
    after = ids(read(csv(tmp_path, "text,label\nb,y\nnew,z\na,other\n", "renamed.csv")))
    assert {text: after[text] for text in before} == before


def test_another_source_name_makes_other_ids(tmp_path):
    path = csv(tmp_path, "text,label\na,x\n")
    assert ids(read(path, name="one")) != ids(read(path, name="two"))


def test_equal_texts_of_several_sources_and_files_have_different_ids(tmp_path):
    files = [ResolvedFile(csv(tmp_path, "text,label\na,x\na,x\n", name), name) for name in ("1.csv", "2.csv")]
    source = SourceConfig(path="*.csv")
    tables = raw_examples([(source, files), (source, files[:1])], ColumnsConfig())
    assert len(set(tables.examples["example_id"].to_pylist())) == 6


def test_rows_stand_in_source_order_with_relative_file_names(tmp_path):
    files = [
        ResolvedFile(csv(tmp_path, f"text,label\n{name},x\n", name), name) for name in ("b.csv", "a.csv")
    ]
    tables = raw_examples([(SourceConfig(path="*.csv"), files)], ColumnsConfig())
    assert rows(tables, "text", "file") == [("b.csv", "b.csv"), ("a.csv", "a.csv")]


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("id", ["12_1", "12_2", "x"]),
        ({"column": "id", "pattern": "^(.+)_"}, ["12", "12", None]),
        ({"column": "id", "pattern": r"\d+$"}, ["1", "2", None]),
    ],
)
def test_the_group_is_a_column_or_what_a_pattern_finds_in_it(tmp_path, group, expected):
    path = csv(tmp_path, "id,text,label\n12_1,a,x\n12_2,b,x\nx,c,x\n")
    tables = read(path, ColumnsConfig.model_validate({"group": group}))
    assert tables.examples["group"].to_pylist() == expected
    assert tables.summary["without_group"] == expected.count(None)


def test_an_empty_group_is_none(tmp_path):
    tables = read(csv(tmp_path, 'author,text,label\n,a,x\n" ",b,x\n'), ColumnsConfig(group="author"))
    assert tables.examples["group"].to_pylist() == [None, None]


def test_a_source_without_files_is_an_error():
    with pytest.raises(UserError, match="no file was found"):
        raw_examples([(SourceConfig(path="*.csv"), [])], ColumnsConfig())


def test_the_summary_counts_rows_by_file(tmp_path):
    summary = read(csv(tmp_path, "text,label\na,x\nb\nc,y\n")).summary
    assert summary["files"] == [{"source": "default", "file": "a.csv", "rows": 3, "refused": 1}]
    assert (summary["rows_in"], summary["kept"], summary["quarantined"]) == (3, 2, 1)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("xy")), min_size=1, max_size=12), st.randoms()
)
def test_moving_rows_changes_no_set_of_ids(tmp_path_factory, examples, random):
    def read_rows(examples):
        path = tmp_path_factory.mktemp("rows") / "a.csv"
        path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in examples))
        return sorted(rows(read(path), "example_id", "text"))

    moved = list(examples)
    random.shuffle(moved)
    assert read_rows(moved) == read_rows(examples)


def test_planted_tickets_lose_exactly_the_planted_rows():
    expected = {
        (row["file"], row["row"]): row["rule"] for row in answers()["rows"] if row["stage"] == "raw_examples"
    }
    refused = planted_tickets().quarantine.to_pylist()
    assert {(row["file"], row["row"]): row["rule"] for row in refused} == expected


def test_planted_ratings_are_read_as_latin_1_without_quoting():
    columns = ColumnsConfig.model_validate(
        {"label": "rating", "group": {"column": "id", "pattern": "^(.+)_"}}
    )
    tables = read(PLANTED / "ratings.tsv", columns, encoding="latin-1", columns=["id", "rating", "text"])
    assert tables.summary["kept"] == 30
    assert [text for (text,) in rows(tables, "text") if not text.isascii() or '"' in text] == [
        text for (text,) in rows(tables, "text") if text.endswith(('"Voilà', "très bien", '5" wide'))
    ]


@pytest.mark.network
def test_the_sample_is_read_in_full(reviews_file):
    columns = ColumnsConfig.model_validate(
        {"label": "rating", "group": {"column": "id", "pattern": "^(.+)_"}}
    )
    tables = read(reviews_file, columns, format="tsv", encoding="latin-1", columns=["id", "rating", "text"])
    assert (tables.summary["kept"], tables.summary["quarantined"], tables.summary["groups"]) == (
        3_708,
        0,
        300,
    )


def several(tmp_path, **contents: str):
    """The raw stage of several files, in the order given."""
    files = [
        ResolvedFile(csv(tmp_path, content, f"{name}.csv"), f"{name}.csv")
        for name, content in contents.items()
    ]
    return raw_examples([(SourceConfig(path="*.csv"), files)], ColumnsConfig())


def test_a_file_that_cannot_be_used_is_refused_on_its_own_and_the_others_go_on(tmp_path):
    tables = several(tmp_path, a="text,label\na,x\n", b="text,other\nsecret,x\n", c="text,label\nc,x\n")
    assert rows(tables, "text") == [("a",), ("c",)]
    (entry,) = tables.quarantine.to_pylist()
    assert (entry["rule"], entry["file"], entry["row"], entry["text"]) == (
        "unreadable_file",
        "b.csv",
        None,
        "",
    )
    assert entry["reason"].startswith("b.csv: there is no column 'label'") and str(tmp_path) not in str(entry)
    summary = tables.summary
    assert (summary["rows_in"], summary["kept"], summary["quarantined"]) == (3, 2, 1)
    assert [file.get("unreadable") for file in summary["files"]] == [None, entry["reason"], None]


def test_where_no_file_can_be_used_the_first_fault_is_an_error(tmp_path):
    with pytest.raises(UserError, match="the file is empty") as error:
        several(tmp_path, a="", b="text,label\n")
    assert f"(at {tmp_path / 'a.csv'})" in error.value.where


def no_permission(path):
    if os.geteuid() == 0:
        pytest.skip("root may read anything")
    path.chmod(0)


def bad_disk(path):
    # The memory of a process is a file that can be opened, and cannot be read at its beginning: for root neither.
    path.unlink()
    path.symlink_to("/proc/self/mem")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "No such file or directory"),
        (no_permission, "Permission denied"),
        (bad_disk, "Input/output error"),
    ],
    ids=["gone since it was listed", "no permission", "bad disk"],
)
@pytest.mark.parametrize("name", ["b.csv", "b.csv.gz", "b.parquet"])
def test_a_file_that_cannot_be_opened_is_refused_on_its_own(tmp_path, spoil, reason, name):
    names = ("a.csv", name, "c.csv")
    files = [ResolvedFile(csv(tmp_path, "text,label\na,x\n", each), each) for each in names]
    spoil(tmp_path / name)
    tables = raw_examples([(SourceConfig(path="*"), files)], ColumnsConfig())
    assert rows(tables, "file") == [("a.csv",), ("c.csv",)]
    (entry,) = tables.quarantine.to_pylist()
    assert (entry["rule"], entry["file"]) == ("unreadable_file", name)
    assert entry["reason"].startswith(f"{name}: the file cannot be read: {reason}")
    assert str(tmp_path) not in entry["reason"]


def test_several_sources_and_patterns_make_one_table_in_the_order_of_the_task(tmp_path):
    for name in ("one/a.csv", "one/deep/b.csv", "two/a.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        text = f"text {name}"
        (tmp_path / name).write_text(
            f"text,label\n{text},x\n" if name.endswith("csv") else json.dumps({"text": text, "label": "x"})
        )
    sources = [
        SourceConfig(path="two/*.jsonl", name="second"),
        SourceConfig(path="one/**/*.csv", name="first"),
        SourceConfig(path="one/a.csv", name="again"),
    ]
    found = [(source, resolve(str(source.path), cache=tmp_path, base=tmp_path)) for source in sources]
    tables = raw_examples(found, ColumnsConfig())
    assert rows(tables, "source", "file", "text") == [
        ("second", "a.jsonl", "text two/a.jsonl"),
        ("first", "a.csv", "text one/a.csv"),
        ("first", "deep/b.csv", "text one/deep/b.csv"),
        ("again", "a.csv", "text one/a.csv"),
    ]


def test_a_file_refused_half_way_takes_no_occurrence_from_the_others(tmp_path):
    good, bad = "text,label\na,x\na,x\n", "text,label\na,x\na,x\n" + "b\n" * 3
    alone = several(tmp_path, a=good, c=good).examples["example_id"]
    assert several(tmp_path, a=good, b=bad, c=good).examples["example_id"] == alone


def read_without(path, *erased):
    files = [ResolvedFile(path, path.name)]
    return raw_examples([(SourceConfig(path=path.name), files)], ColumnsConfig(), suppressed=erased)


def test_erased_rows_are_left_out_and_counted_and_the_others_keep_their_ids(tmp_path):
    path = csv(tmp_path, "text,label\na,x\nb\nc,y\nb,x\n")
    before = ids(read(path))
    refused = read(path).quarantine["example_id"][0].as_py()
    tables = read_without(path, before["a"], refused)
    assert ids(tables) == {text: before[text] for text in ("c", "b")}
    assert tables.quarantine.num_rows == 0
    assert (tables.summary["rows_in"], tables.summary["kept"], tables.summary["erased"]) == (4, 2, 2)
    assert tables.summary["files"] == [
        {"source": "default", "file": "a.csv", "rows": 4, "refused": 0, "erased": 2}
    ]


def test_every_row_that_equals_an_erased_one_is_left_out_in_whatever_order(tmp_path):
    first = ids(read(csv(tmp_path, "text,label\na,x\n")))["a"]
    tables = read_without(csv(tmp_path, "text,label\na,x\nb,y\na,z\na,x\n"), first)
    assert rows(tables, "text") == [("b",)] and tables.summary["erased"] == 3


def test_rows_that_were_erased_stay_out_when_their_source_is_renamed_and_the_others_get_new_ids(tmp_path):
    path = csv(tmp_path, "text,label\na,x\nb\nc,y\na,z\nd,x\n")
    files = [ResolvedFile(path, path.name)]

    def under(name, *erased, former=()):
        source = SourceConfig(path=path.name, name=name)
        return raw_examples([(source, files)], ColumnsConfig(), suppressed=erased, former_names=former)

    before = under("old")
    erased = [before.examples["example_id"][0].as_py(), before.quarantine["example_id"][0].as_py()]
    renamed = under("new", *erased, former=["old", "older"])
    assert rows(renamed, "text") == [("c",), ("d",)] and renamed.quarantine.num_rows == 0
    assert renamed.summary["erased"] == 3
    assert ids(renamed) == {text: ids(under("new"))[text] for text in ("c", "d")}
    # A source that still has the name is not the one that was renamed.
    assert ids(under("old", *erased, former=["old"])) == {text: ids(before)[text] for text in ("c", "d")}


def test_without_erased_rows_the_summary_of_a_file_is_as_it_was(tmp_path):
    summary = read_without(csv(tmp_path, "text,label\na,x\n")).summary
    assert summary["erased"] == 0 and "erased" not in summary["files"][0]


def test_the_columns_of_several_raters_are_one_label_until_they_are_counted(tmp_path):
    file = tmp_path / "rated.csv"
    file.write_text("text,first,second\nfine,pos,neg\nbad,,\n")
    tables = read(file, ColumnsConfig(ratings=["first", "second"]))
    first, second = pseudonym("first"), pseudonym("second")
    said = json.dumps([[first, "pos"], [second, "neg"]])
    assert rows(tables, "text", "label") == [("fine", said), ("bad", None)]
    assert tables.summary["without_label"] == 1


def test_a_column_may_hold_a_list_of_ratings(tmp_path):
    file = jsonl(
        tmp_path / "rated.jsonl", {"text": "a", "said": ["pos", 2, None]}, {"text": "b", "said": "neg"}
    )
    assert rows(read(file, ColumnsConfig(ratings=["said"])), "label") == [
        ('[[null, "pos"], [null, "2"]]',),  # nothing tells who has said which
        (json.dumps([[pseudonym("said"), "neg"]]),),
    ]


def test_where_a_text_has_a_row_for_each_rater_it_is_not_told_who_that_is(tmp_path):
    file = tmp_path / "rated.csv"
    file.write_text("text,label,who\na,pos,ann@example.org\na,pos,bob@example.org\na,neg,\n")
    labels = [each for (each,) in rows(read(file, ColumnsConfig(rater="who")), "label")]
    assert labels == [
        f'[["{pseudonym("ann@example.org")}", "pos"]]',
        f'[["{pseudonym("bob@example.org")}", "pos"]]',
        '[[null, "neg"]]',
    ]


def test_two_raters_who_agree_are_not_taken_for_a_duplicate(tmp_path):
    file = tmp_path / "rated.csv"
    file.write_text("text,label,who\na,pos,ann\na,pos,bob\na,neg,eve\na,pos,ann\n")
    raw = read(file, ColumnsConfig(rater="who"))
    cleaned = clean(raw.examples, CleaningConfig(), rated=True)
    labelled = label(cleaned.examples, LabelsConfig(names=["pos", "neg"]), rated=True)
    assert rows(labelled, "label", "disagreement") == [("pos", 1 / 3)]  # what ann has said twice counts once


@pytest.mark.parametrize("nobody", [None, "", " "])
def test_where_nobody_is_named_each_row_is_a_rating(tmp_path, nobody):
    said = [{"text": "a", "label": each, "who": nobody} for each in ("pos", "pos", "neg")]
    raw = read(jsonl(tmp_path / "rated.jsonl", *said), ColumnsConfig(rater="who"))
    cleaned = clean(raw.examples, CleaningConfig(), rated=True)
    labelled = label(cleaned.examples, LabelsConfig(names=["pos", "neg"]), rated=True)
    assert rows(labelled, "label", "disagreement") == [("pos", 1 / 3)]
    assert labelled.summary["merged"] == 2


# --- times, and the split that a source is for ----------------------------------------------------------------


def times(tables):
    return [None if each is None else each.isoformat() for (each,) in rows(tables, "time")]


def test_a_rows_time_stays_with_it_and_is_no_part_of_its_id(tmp_path):
    records = [
        {"text": "a", "label": "x", "at": at} for at in ("2026-03-01T01:00:00+01:00", 1772323200, None)
    ]
    file = jsonl(tmp_path / "rows.jsonl", *records, {"text": "b", "label": "x"})
    timed, plain = read(file, ColumnsConfig(time="at")), read(file)
    assert times(timed) == ["2026-03-01T00:00:00+00:00"] * 2 + [None, None]
    assert timed.summary["without_time"] == 2
    assert timed.examples["example_id"].equals(plain.examples["example_id"])
    assert times(plain) == [None] * 4


def test_a_pattern_finds_the_time_in_its_column(tmp_path):
    file = jsonl(tmp_path / "rows.jsonl", {"text": "a", "label": "x", "id": "mail-2026-03-01-17"})
    pattern = {"column": "id", "pattern": r"\d{4}-\d\d-\d\d"}
    assert times(read(file, ColumnsConfig.model_validate({"time": pattern}))) == ["2026-03-01T00:00:00+00:00"]


def test_what_is_no_time_costs_its_row_and_tells_where_it_stood(tmp_path):
    lines = ["text,label,at", "a,x,2026-03-01", "b,x,03/04/2026", "c,x,"]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(lines))
    tables = read(file, ColumnsConfig(time="at"))
    assert times(tables) == ["2026-03-01T00:00:00+00:00", None]
    (refused,) = tables.quarantine.to_pylist()
    assert (refused["rule"], refused["row"]) == ("malformed_row", 3)
    assert "rows.csv, row 3: what `columns.time` names is no time" in refused["reason"]
    assert "03/04" not in refused["reason"]


def test_times_of_parquet_are_read_as_they_are(tmp_path):
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)
    table = pa.table(
        {
            "text": ["a"],
            "label": ["x"],
            "ns": pa.array([moment], pa.timestamp("ns", "Europe/Berlin")),
            "day": pa.array([moment.date()], pa.date32()),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    found = [times(read(tmp_path / "rows.parquet", ColumnsConfig(time=name)))[0] for name in ("ns", "day")]
    assert found == ["2026-03-01T12:00:00+00:00", "2026-03-01T00:00:00+00:00"]


def test_conversations_have_times_and_groups_too(tmp_path):
    record = {"prompt": "p", "completion": "c", "who": "g", "at": "2026-03-01"}
    file = jsonl(tmp_path / "rows.jsonl", record)
    tables = read_as("text-generation", file, ColumnsConfig(group="who", time="at"))
    assert rows(tables, "text", "label", "group") == [("p", "c", "g")]
    assert times(tables) == ["2026-03-01T00:00:00+00:00"]


def test_rows_of_a_source_that_is_for_a_split_say_so(tmp_path):
    file = jsonl(tmp_path / "rows.jsonl", {"text": "a", "label": "x"})
    assert rows(read(file, split="test"), "split") == [("test",)]
    assert rows(read(file), "split") == [(None,)]
