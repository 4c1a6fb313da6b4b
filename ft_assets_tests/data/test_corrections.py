import json
from dataclasses import replace
from pathlib import Path

import pytest

from ft_assets.data.corrections import (
    COLUMNS,
    REJECT,
    Correction,
    add,
    holding,
    parse,
    read,
    time_of,
    undecided,
)
from ft_assets.errors import UserError

LABELS = ["neg", "pos", "-1"]
LINE = {"example_id": "0a", "label": "pos", "by": "Ann", "at": "2026-01-31", "why": "irony"}


def jsonl(*rows: dict[str, object] | str) -> bytes:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows).encode()


def read_jsonl(*rows: dict[str, object] | str) -> list[Correction]:
    return parse(jsonl(*rows), Path("corrections.jsonl"), LABELS)


def read_csv(text: str) -> list[Correction]:
    return parse(text.encode(), Path("corrections.csv"), LABELS)


def test_a_line_says_which_row_what_label_who_when_and_why() -> None:
    at = "2026-01-31T00:00:00.000000+00:00"  # a date is its beginning, in UTC
    assert read_jsonl(LINE) == [Correction("0a", "pos", "Ann", at, "irony", line=1)]


def test_a_csv_file_says_the_same_with_columns_in_any_order() -> None:
    text = (
        'by,why,label,at,example_id\nAnn,"irony,\nsays she",pos,2026-01-31,0a\n\nBob,,reject,2026-02-01,0b\n'
    )
    first, second = read_csv(text)
    assert (first.example_id, first.label, first.why, first.line) == ("0a", "pos", "irony,\nsays she", 2)
    assert (second.example_id, second.label, second.why, second.line) == ("0b", REJECT, "", 5)


def test_no_reason_need_be_given() -> None:
    without = {name: value for name, value in LINE.items() if name != "why"}
    assert [each.why for each in read_jsonl(without, {**LINE, "why": None})] == ["", ""]


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["corrections.jsonl", "corrections.csv"])
def test_an_empty_file_holds_none(data: bytes, name: str) -> None:
    assert parse(data, Path(name), LABELS) == []


def said(*answers: tuple[str, str, str]) -> list[Correction]:
    """Corrections of one example: label, by and day."""
    return [
        Correction("0a", label, by, time_of(f"2026-01-{day}") or "", line=line)
        for line, (label, by, day) in enumerate(answers, 1)
    ]


@pytest.mark.parametrize(
    ("answers", "held"),
    [
        ([("pos", "Ann", "02"), ("neg", "Bob", "01"), ("neg", "Cid", "01")], ["pos"]),  # the latest
        ([("pos", "Ann", "01"), ("neg", "Bob", "01"), ("pos", "Cid", "01")], ["pos"]),  # what most say
        (
            [("pos", "Ann", "01"), ("neg", "Bob", "01"), ("pos", "Ann", "01")],
            ["neg", "pos"],
        ),  # two people, not three
        ([("pos", "Ann", "01"), ("neg", "Ann", "01")], ["neg", "pos"]),
    ],
)
def test_the_latest_answer_holds_and_of_one_time_what_most_people_say(
    answers: list[tuple[str, str, str]], held: list[str]
) -> None:
    assert sorted({each.label for each in holding(said(*answers))}) == held
    assert undecided(said(*answers)) == ({"0a"} if len(held) > 1 else set())


def test_times_are_compared_in_utc_whatever_their_zone() -> None:
    assert (
        time_of("2026-01-31T12:30:00+02:00") == time_of("2026-01-31T10:30:00Z") == time_of("2026-01-31 10:30")
    )
    assert time_of("last week") is None
    assert time_of("0001-01-01T00:00:00+02:00") is None


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("{", "it is no JSON"),
        ("[1]", "it is no JSON object"),
        ({**LINE, "lable": "pos"}, "did you mean 'label'?"),
        ({name: LINE[name] for name in ("example_id", "label", "at")}, "there is no column 'by'"),
        ({**LINE, "label": "Pos"}, "did you mean 'pos'?"),
        ({**LINE, "label": ""}, "'label' is empty"),
        ({**LINE, "label": 1}, "'label' is no text"),
        ({**LINE, "by": " "}, "'by' is empty"),
        ({**LINE, "at": "31.1.2026"}, "'at' is no date or time"),
        (
            '{"example_id": "0a", "label": "pos", "label": "neg", "by": "Ann", "at": "2026-01-31"}',
            "'label' stands twice",
        ),
        ({**LINE, "example_id": "\ud800"}, "half a character"),
        ({**LINE, "why": "x" * 10_001}, "over 10000 characters"),
    ],
)
def test_a_wrong_line_is_told_with_its_number_and_nothing_is_read(
    wrong: dict[str, object] | str, told: str
) -> None:
    with pytest.raises(UserError) as error:
        read_jsonl(LINE, "", wrong)
    assert told in error.value.what
    assert error.value.where == "corrections.jsonl, line 3"
    assert error.value.do


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("example_id,label,by,at\n0a,pos,Ann\n", 2, "3 fields"),
        ("example_id,label,by\n", 1, "no column 'at'"),
        ("example_id,label,label,by,at\n", 1, "'label' stands twice"),
        ('example_id,label,by,at\n0a,"pos,Ann,2026-01-31\n', 2, "no CSV"),
    ],
)
def test_a_wrong_line_of_a_csv_file_is_told_with_its_number(text: str, line: int, told: str) -> None:
    with pytest.raises(UserError, match=told) as error:
        read_csv(text)
    assert error.value.where == f"corrections.csv, line {line}"


def test_bytes_that_are_no_utf_8_are_told_with_their_line() -> None:
    with pytest.raises(UserError, match="not UTF-8") as error:
        parse(jsonl(LINE) + b"\n\xff", Path("corrections.jsonl"), LABELS)
    assert error.value.where.endswith("line 2")


def test_no_error_tells_who_has_decided() -> None:
    with pytest.raises(UserError) as error:
        read_jsonl({**LINE, "by": "Ann Smith", "at": "?"})
    assert "Ann" not in str(error.value)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "corrections.jsonl", LABELS)


@pytest.mark.parametrize("name", ["corrections.jsonl", "corrections.csv"])
def test_what_was_added_is_read_again_after_what_was_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new" / name
    first = Correction("0a", "-1", "=Ann", "2026-01-31T10:00:00.000000+00:00", 'two\nlines, "quoted"')
    second = Correction("0b", REJECT, "Bob", "2026-01-31T10:00:00.123000+00:00")
    assert add(path, [first], LABELS) == 1
    assert add(path, [first, second], LABELS) == 1
    found = read(path, LABELS)
    assert [(each.example_id, each.label, each.by, each.at, each.why) for each in found] == [
        (each.example_id, each.label, each.by, each.at, each.why) for each in (first, second)
    ]
    assert not list(path.parent.glob(".*"))  # neither a lock nor a draft


def test_cells_of_a_csv_file_are_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    add(path, [Correction("0a", "-1", "=cmd()", "2026-01-31T10:00:00.000000+00:00")], LABELS)
    assert path.read_text() == f"{','.join(COLUMNS)}\n0a,'-1,'=cmd(),2026-01-31T10:00:00Z,\n"


@pytest.mark.parametrize(
    "before",
    [
        "by,label,example_id,at,why\nBob,neg,0b,2026-01-01,\n",
        "example_id,by,label,at,why\n0b,Bob,neg,2026-01-01,\n",
        "\ufeff\n,,\nexample_id,label,by,why,at\r\n0b,neg,Bob,,2026-01-01",
        "\ufeff",
        ",,,,\r\n",
    ],
)
def test_what_is_added_to_a_csv_file_stands_under_the_columns_that_it_has(
    tmp_path: Path, before: str
) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes(before.encode())
    there = read(path, LABELS)
    # A name that is a label: where columns were confused it would be read as one.
    new = Correction("0a", "pos", "neg", "2026-01-31T10:00:00.000000+00:00", "irony")
    assert add(path, [new], LABELS) == 1
    *kept, added = read(path, LABELS)
    assert kept == there
    assert (added.example_id, added.label, added.by, added.at, added.why) == (
        "0a",
        "pos",
        "neg",
        new.at,
        "irony",
    )
    assert path.read_bytes().startswith(before.encode())


def test_without_a_column_for_reasons_only_a_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text("example_id,label,by,at\n0b,neg,Bob,2026-01-01\n")
    without = Correction("0a", "pos", "Ann", "2026-01-31T10:00:00.000000+00:00")
    assert add(path, [without], LABELS) == 1
    before = path.read_bytes()
    with pytest.raises(UserError, match="no column 'why'"):
        add(path, [replace(without, why="irony")], LABELS)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["corrections.jsonl", "corrections.csv"])
@pytest.mark.parametrize("why", ["x" * 10_001, "\ud800", "nothing\0"])
def test_what_could_not_be_read_again_is_not_added(tmp_path: Path, name: str, why: str) -> None:
    path = tmp_path / name
    (there,) = read_jsonl(LINE)
    add(path, [there], LABELS)
    before = path.read_bytes()
    with pytest.raises(UserError, match="the answers cannot be added"):
        add(path, [replace(there, why=why)], LABELS)
    assert path.read_bytes() == before


def test_nothing_is_added_to_a_file_that_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "corrections.jsonl"
    path.write_bytes(jsonl(LINE, "{"))
    with pytest.raises(UserError, match="no JSON"):
        add(path, read_jsonl(LINE), LABELS)
    assert path.read_bytes() == jsonl(LINE, "{")


def test_a_last_line_without_an_end_stays_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "corrections.jsonl"
    path.write_bytes(jsonl(LINE))
    assert add(path, read_jsonl({**LINE, "label": "neg"}), LABELS) == 1
    assert [each.label for each in read(path, LABELS)] == ["pos", "neg"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "kept.jsonl").write_bytes(b"")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "kept.jsonl")
    add(tmp_path / "link.jsonl", read_jsonl(LINE), LABELS)
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len(read(tmp_path / "kept.jsonl", LABELS)) == 1
