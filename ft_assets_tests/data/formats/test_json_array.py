import json

import pytest

from ft_assets.data.formats import json_array
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import jsonl, read, read_as, rows, turns


def write(tmp_path, content: str | bytes, name: str = "a.json"):
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return tmp_path / name


def array(tmp_path, *records):
    return write(tmp_path, json.dumps(records, indent=1))


def test_rows_are_the_objects_of_the_array_with_their_number(tmp_path):
    path = array(tmp_path, {"text": "a", "label": 1}, {"label": None, "more": [1, {}], "text": "é \u2028"})
    assert rows(read(path), "text", "label", "row") == [("a", "1", 1), ("é \u2028", None, 2)]


def test_a_row_is_the_same_as_in_json_lines(tmp_path):
    records = [{"text": f"text {n}", "label": value} for n, value in enumerate([4, 4.0, 1e22, 0.10, True])]
    as_lines, as_array = read(jsonl(tmp_path / "a.jsonl", *records)), read(array(tmp_path, *records))
    assert rows(as_array, "example_id", "text", "label") == rows(as_lines, "example_id", "text", "label")


def test_rows_longer_than_what_is_read_at_once_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(json_array, "_CHUNK_CHARS", 7)
    texts = [character * length for length, character in enumerate("abcdefghé" * 5)]
    path = array(tmp_path, *({"text": text, "label": "x"} for text in texts))
    assert [text for (text,) in rows(read(path), "text")] == texts


def test_no_more_than_the_row_at_hand_is_held(tmp_path, monkeypatch):
    held = []

    class Watched(json_array._Text):
        def value(self):
            found = super().value()
            held.append(len(self.text))
            return found

    monkeypatch.setattr(json_array, "_Text", Watched)
    path = array(tmp_path, *({"text": f"{n:04d}" * 25, "label": "x"} for n in range(5_000)))
    assert read(path).summary["kept"] == 5_000
    # One chunk and the part of a row that it cut.
    assert max(held) < json_array._CHUNK_CHARS + 1_000 < path.stat().st_size / 5


@pytest.mark.parametrize("row", ['"a"', "12", "null", "[1]", '{"text": ["a"], "label": "x"}'])
def test_what_is_no_object_of_texts_costs_its_row(tmp_path, row):
    path = write(tmp_path, f'[{{"text": "a", "label": "x"}}, {row}, {{"text": "b", "label": "y"}}]')
    tables = read(path)
    assert rows(tables, "text", "row") == [("a", 1), ("b", 3)]
    assert tables.quarantine["rule"].to_pylist() == ["malformed_row"]
    assert tables.quarantine["reason"][0].as_py().startswith("a.json, row 2: ")


@pytest.mark.parametrize(
    ("text", "rule", "reason"),
    [
        (b"caf\xe9", "undecodable", "row 2, byte 14: not utf-8"),
        (b"nul \0", "malformed_row", "row 2: holds a NUL byte"),
        (rb"half \ud800", "undecodable", "row 2: field 'text' holds half a character"),
    ],
)
def test_a_text_that_is_none_costs_its_row(tmp_path, text, rule, reason):
    good = b'{"text": "a", "label": "x"}'
    tables = read(write(tmp_path, b'[%b, {"text": "%b"}, %b]' % (good, text, good)))
    assert rows(tables, "row") == [(1,), (3,)]
    assert tables.quarantine["rule"].to_pylist() == [rule]
    assert reason in tables.quarantine["reason"][0].as_py()


def test_other_encodings_and_a_byte_order_mark(tmp_path):
    content = '\ufeff [{"text": "é", "label": "x"}]'
    assert rows(read(write(tmp_path, content)), "text") == [("é",)]
    assert rows(read(write(tmp_path, content.encode("utf-16-le")), encoding="utf-16-le"), "text") == [("é",)]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ('[{"text": "a", "label": "x"}, {"text": "b"', "cut off"),
        ('[{"text": "a", "label": "x"}', "cut off"),
        ('[{"text": "a", "label": "x"}, ', "cut off"),
        ('[{"text": "a", "label": "x"} {"text": "b"}]', "no ',' or ']' follows"),
        ('[{"text": "a", "label": "x"}] [1]', "more follows"),
        ('[{"text": "a", "label": "x"}, {text: 1}]', "no JSON"),
        ("[" * 200_000, "RecursionError"),
        (f'[{{"text": "a", "label": {"1" * 5_000}}}]', "ValueError"),
        ("[]", "there are no rows"),
        ('{"text": "a",\n "label": "x"}', "looks like one JSON object"),
        ('{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}', "looks like JSON Lines"),
        ("text,label\na,x\n", "looks like delimited or plain text"),
    ],
)
def test_a_file_that_is_no_array_of_objects_is_an_error(tmp_path, content, what):
    with pytest.raises(UserError, match=what) as error:
        read(write(tmp_path, content))
    assert "a.json" in error.value.where and error.value.do


def test_a_row_without_an_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(json_array, "MAX_RECORD_CHARS", 200_000)
    path = write(tmp_path, '[{"text": "a", "label": "x"}, {"text": "' + "b" * 3_000_000 + '"}]')
    with pytest.raises(UserError, match="longer than 200000 characters") as error:
        read(path)
    assert error.value.where.startswith("a.json, row 2")


def test_conversations(tmp_path):
    path = array(tmp_path, {"messages": turns("p", "q", "r", "s")})
    assert rows(read_as("text-generation", path), "text", "label") == [("r", "s")]
