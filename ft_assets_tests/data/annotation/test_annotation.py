"""Files for annotation tools, and what comes back. What Label Studio and Argilla export was written down from their own
code (label_studio_sdk 2.1.2, argilla 2.8.0), with names, ids and texts changed."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from ft_assets.data.annotation import Imported, exported, imported
from ft_assets.data.annotation.label_studio import interface
from ft_assets.data.corrections import REJECT, Correction, add
from ft_assets.errors import UserError

LABELS = ["neg", "pos", "-1"]
QUEUED = {
    "rank": 1,
    "example_id": "0a",
    "text": '=fine, "quoted"',
    "label": "neg",
    "suggested": "pos",
    "score": 0.05,
    "confidence": 0.95,
    "disagreement": None,
}
USER = "00000000-0000-0000-0000-000000000005"
AT = "2026-02-01T00:00:00.000000+00:00"


def annotation(choice: str, who: object, at: str, why: str = "", **changes: object) -> dict[str, Any]:
    """An annotation as Label Studio exports it in JSON."""
    result = [
        {
            "id": "r1",
            "from_name": "label",
            "to_name": "text",
            "type": "choices",
            "value": {"choices": [choice]},
        }
    ]
    if why:
        value = {"text": [why]}
        result.append({"id": "r2", "from_name": "why", "to_name": "text", "type": "textarea", "value": value})
    about = {
        "id": 11,
        "was_cancelled": False,
        "ground_truth": False,
        "lead_time": 3.1,
        "task": 1,
        "project": 1,
    }
    return {**about, "completed_by": who, "created_at": at, "updated_at": at, "result": result, **changes}


def task(example_id: str, *annotations: dict[str, Any]) -> dict[str, Any]:
    data = {"example_id": example_id, "text": "x", "given_label": "neg"}
    return {"id": 1, "data": data, "annotations": list(annotations), "predictions": [], "project": 1}


def taken(path: Path, content: object, **given: Any) -> Imported:
    """What is read from a file with this content."""
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return imported(path, LABELS, **given)


def told(found: Imported) -> list[tuple[str, str, str, str, str]]:
    return [(each.example_id, each.label, each.by, each.at[:19], each.why) for each in found.corrections]


def test_a_csv_of_the_queue_has_no_formula_and_room_for_an_answer() -> None:
    header, row = list(csv.reader(io.StringIO(exported([QUEUED], ".csv").decode(), newline="")))
    assert header[:4] == ["example_id", "text", "given_label", "suggested_label"]
    assert header[-2:] == ["label", "why"]
    assert dict(zip(header, row, strict=True))["text"] == '\'=fine, "quoted"'


def test_a_line_of_the_queue_says_the_same() -> None:
    assert json.loads(exported([QUEUED], ".jsonl")) == {
        "example_id": "0a",
        "text": '=fine, "quoted"',
        "given_label": "neg",
        "suggested_label": "pos",
        "confidence": 0.95,
        "score": 0.05,
        "disagreement": None,
        "rank": 1,
    }


def test_a_task_of_label_studio_has_its_data_and_a_prediction() -> None:
    (made,) = json.loads(exported([QUEUED], ".json"))
    assert made["data"]["example_id"] == "0a"
    assert "label" not in made["data"]  # that is the answer's name, also in the tool's flat exports
    (prediction,) = made["predictions"]
    assert prediction["score"] == 0.95
    assert prediction["result"] == [
        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["pos"]}}
    ]


def test_a_record_of_argilla_has_its_id_and_a_suggestion() -> None:
    (made,) = json.loads(exported([QUEUED], ".json", "argilla"))
    assert made == {
        "id": "0a",
        "fields": {"text": '=fine, "quoted"'},
        "metadata": {"given_label": "neg", "score": 0.05, "rank": 1},
        "suggestions": {"label": {"value": "pos", "score": 0.95, "agent": "confident learning"}},
        "responses": {},
        "vectors": {},
    }


def test_the_interface_offers_each_label_and_to_reject_safely() -> None:
    made = interface(["a<b", 'say "x"'])
    assert '<Choice value="a&lt;b"/>' in made
    assert "<Choice value='say \"x\"'/>" in made
    assert f'<Choice value="{REJECT}"/>' in made


def test_annotations_of_label_studio_become_corrections(tmp_path: Path) -> None:
    found = taken(
        tmp_path / "export.json",
        [
            task(
                "0a",
                annotation(
                    "pos", {"id": 1, "email": "ann@example.org"}, "2026-01-02T10:00:00.1Z", "irony,\n no"
                ),
                annotation("neg", 2, "2026-01-03T10:00:00Z"),
            ),
            task("0b", annotation("reject", 2, "2026-01-03T10:00:00Z")),
            task("0c", annotation("pos", 2, "2026-01-03T10:00:00Z", was_cancelled=True)),
            task("0d"),
        ],
    )
    assert told(found) == [
        ("0a", "pos", "ann@example.org", "2026-01-02T10:00:00", "irony, no"),
        ("0a", "neg", "Label Studio user 2", "2026-01-03T10:00:00", ""),
        ("0b", REJECT, "Label Studio user 2", "2026-01-03T10:00:00", ""),
    ]
    assert (found.unanswered, found.contested) == (2, 1)


def test_the_minimal_json_of_label_studio_says_the_same(tmp_path: Path) -> None:
    about = {
        "annotation_id": 11,
        "created_at": "2026-01-02T10:00:00Z",
        "lead_time": 3.1,
        "id": 1,
        "text": "x",
    }
    found = taken(
        tmp_path / "export.json",
        [
            {**about, "example_id": "0a", "label": "pos", "why": "irony", "annotator": "ann@example.org",
             "updated_at": "2026-01-04T10:00:00Z"},
            {**about, "example_id": "0b", "label": "neg", "annotator": 2, "updated_at": "2026-01-03T10:00:00Z"},
            {**about, "example_id": "0c", "label": "", "annotator": None, "updated_at": None, "created_at": None},
        ],
    )  # fmt: skip
    assert told(found) == [
        ("0a", "pos", "ann@example.org", "2026-01-04T10:00:00", "irony"),
        ("0b", "neg", "Label Studio user 2", "2026-01-03T10:00:00", ""),
    ]
    assert found.unanswered == 1


def test_the_csv_of_label_studio_says_the_same(tmp_path: Path) -> None:
    found = taken(
        tmp_path / "export.csv",
        '"annotation_id","annotator","created_at","example_id","given_label","id","label","lead_time","text",'
        '"updated_at","why"\n'
        '12,"2","2026-01-03T10:00:00.123456Z","0a","neg",1,"-1",3.1,"fine, ""quoted""\nnew",'
        '"2026-01-03T10:00:00.123456Z",""\n'
        '"","","","0c","neg",3,"","","x","",""\n',
    )
    assert told(found) == [("0a", "-1", "Label Studio user 2", "2026-01-03T10:00:00", "")]


def test_records_of_argilla_become_corrections_of_the_time_that_is_given(tmp_path: Path) -> None:
    record = {
        "fields": {"text": "x"},
        "metadata": {},
        "suggestions": {},
        "vectors": {},
        "status": "completed",
    }
    found = taken(
        tmp_path / "records.json",
        [
            {
                **record,
                "id": "0a",
                "responses": {
                    "label": [{"value": "pos", "user_id": USER}],
                    "why": [{"value": "irony", "user_id": USER}],
                },
            },
            {**record, "id": "0b", "responses": {}, "status": "pending"},
        ],
        at=AT,
    )
    assert told(found) == [("0a", "pos", f"Argilla user {USER}", AT[:19], "irony")]
    assert found.unanswered == 1


FLAT = {
    "id": "0a",
    "status": "completed",
    "text": "x",
    "label.responses": ["pos", "neg"],
    "label.responses.users": [USER, "other"],
    "label.responses.status": ["submitted", "draft"],
    "label.suggestion": "neg",
}


def test_of_flattened_records_what_was_submitted_counts(tmp_path: Path) -> None:
    found = taken(tmp_path / "records.jsonl", json.dumps(FLAT), at=AT)
    assert told(found) == [("0a", "pos", f"Argilla user {USER}", AT[:19], "")]


@pytest.mark.parametrize("write", [json.dumps, str])
def test_a_csv_of_flattened_records_holds_lists_as_json_or_as_python_writes_them(
    tmp_path: Path, write: Any
) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(FLAT)
    writer.writerow([write(each) if isinstance(each, list) else each for each in FLAT.values()])
    assert [each.label for each in taken(tmp_path / "records.csv", text.getvalue(), at=AT).corrections] == [
        "pos"
    ]


def test_an_array_as_numpy_writes_it_is_refused_because_its_parts_would_run_together(tmp_path: Path) -> None:
    text = "id,label.responses,label.responses.users\n0a,['pos' 'neg'],['u1' 'u2']\n"
    with pytest.raises(UserError, match="a cell holds no list") as error:
        taken(tmp_path / "records.csv", text, at=AT)
    assert error.value.where == "records.csv, row 1"


def test_a_queue_that_was_filled_in_by_hand_becomes_corrections(tmp_path: Path) -> None:
    first, second = dict(QUEUED), {**QUEUED, "example_id": "0b"}
    rows = list(csv.reader(io.StringIO(exported([first, second], ".csv").decode(), newline="")))
    rows[1][-2:] = ["'-1", "irony"]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    found = taken(tmp_path / "queue.csv", text.getvalue(), by="Ann", at=AT)
    assert told(found) == [("0a", "-1", "Ann", AT[:19], "irony")]
    assert found.unanswered == 1


@pytest.mark.parametrize("name", ["corrections.jsonl", "corrections.csv"])
def test_corrections_can_be_restored_from_a_copy_of_their_file(tmp_path: Path, name: str) -> None:
    lines = [Correction("0a", "-1", "=Ann", AT, "irony"), Correction("0b", REJECT, "Bob", AT)]
    add(tmp_path / name, lines, LABELS)
    assert imported(tmp_path / name, LABELS).corrections == lines


@pytest.mark.parametrize(
    ("name", "content", "message", "where"),
    [
        ("a.json", "{", "it is no JSON", "a.json"),
        ("a.json", "{}", "no list of tasks", "a.json"),
        ("a.json", "[1]", "no JSON object", "a.json, row 1"),
        ("a.txt", "", "none of .csv, .jsonl, .json", "a.txt"),
        ("a.csv", "example_id,label\n0a,pos,x\n", "3 fields", "a.csv, row 1"),
        ("a.csv", 'example_id,label\n0a,"pos\n', "no CSV", "a.csv"),
        ("a.csv", "example_id,sentiment\n0a,pos\n", "no column 'label'", "a.csv, row 1"),
        ("a.csv", "example_id,label,annotator\n0a,Pos,ann\n", "did you mean 'pos'", "a.csv, row 1"),
        ("a.csv", "example_id,label\n,pos\n", "no example_id", "a.csv, row 1"),
        ("a.csv", "example_id,label\n0a,pos\n", "nothing says who", "a.csv, row 1"),
        ("a.csv", "example_id,label,by,at\n0a,pos,ann,soon\n", "nothing says when", "a.csv, row 1"),
        ("a.json", [{"example_id": "0a", "label": {"choices": ["pos", "neg"]}}], "several labels", "a.json, row 1"),
        ("a.json", [{"id": "0a", "responses": {"mood": []}}], "no question 'label', but mood", "a.json, row 1"),
        ("a.json", [{"data": {"example_id": "0a"}, "annotations": "x"}], "not as the tool writes", "a.json, row 1"),
        ("a.json", [{"id": "0a", "responses": {"label": [1]}}], "not as the tool writes", "a.json, row 1"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_with_its_place(
    tmp_path: Path, name: str, content: object, message: str, where: str
) -> None:
    with pytest.raises(UserError, match=message) as error:
        taken(tmp_path / name, content, at=AT)
    assert error.value.where == where
    assert error.value.do


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("mood", "'mood'"),
        ("jane@example.org", r"\(a text of 16 characters\)"),
        ("x" * 500, r"\(a text of 500 characters\)"),
    ],
)
def test_another_name_of_the_choice_is_told_unless_it_is_no_name(
    tmp_path: Path, name: str, told: str
) -> None:
    made = annotation("pos", 1, "2026-01-03T10:00:00Z")
    made["result"][0]["from_name"] = name
    with pytest.raises(UserError, match=rf"no choice 'label', but {told}\n"):
        taken(tmp_path / "export.json", [task("0a", made)])


def test_what_the_queue_suggests_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    for ending, tool in ((".json", "label-studio"), (".json", "argilla"), (".csv", "argilla")):
        found = taken(tmp_path / f"queue{ending}", exported([QUEUED], ending, tool).decode(), by="Ann", at=AT)  # type: ignore[arg-type]
        assert (found.corrections, found.unanswered) == ([], 1)
    with pytest.raises(UserError, match="no column 'label'"):
        taken(tmp_path / "queue.jsonl", exported([QUEUED], ".jsonl").decode(), by="Ann", at=AT)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "example_id,label,label\n0a,pos,neg\n", "a column stands twice"),
        ("a.jsonl", '{"example_id": "0a", "label": "pos", "label": "neg"}', "a key stands twice"),
        (
            "a.json",
            '[{"data": {"example_id": "0a", "example_id": "0b"}, "annotations": []}]',
            "a key stands twice",
        ),
    ],
)
def test_of_two_values_under_one_name_none_is_chosen(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        taken(tmp_path / name, content, by="Ann", at=AT)
