import csv

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.config import ColumnsConfig
from ft_assets.data.formats import delimited, lines
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import read, rows


def write(tmp_path, content: bytes, name: str = "a.csv"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def refused(tables):
    return [(row["row"], row["rule"], row["reason"]) for row in tables.quarantine.sort_by("row").to_pylist()]


def test_csv_fields_may_be_quoted_and_span_lines(tmp_path):
    tables = read(write(tmp_path, b'label,text\r\nx,"one ""two"", three"\r\ny,"a\nb"\r\nz,c\r\n'))
    assert rows(tables, "text", "label", "row") == [
        ('one "two", three', "x", 2),
        ("a\nb", "y", 3),
        ("c", "z", 5),
    ]


def test_a_quote_in_a_tsv_is_a_character(tmp_path):
    tables = read(write(tmp_path, b'text\tlabel\n"Open\tx\nthe 5" pipe\ty\n', "a.tsv"))
    assert rows(tables, "text", "label") == [('"Open', "x"), ('the 5" pipe', "y")]


def test_a_tsv_with_quoting_can_be_said_to_have_it(tmp_path):
    tables = read(write(tmp_path, b'text\tlabel\n"a\tb"\tx\n', "a.tsv"), quoting="double")
    assert rows(tables, "text", "label") == [("a\tb", "x")]


def test_a_file_without_header_takes_its_columns_from_the_source(tmp_path):
    path = write(tmp_path, b"1_1\t0.5\tfine\n1_2\t-1\tnot so\n", "a.txt")
    tables = read(path, ColumnsConfig(label="rating"), format="tsv", columns=["id", "rating", "text"])
    assert rows(tables, "text", "label", "row") == [("fine", "0.5", 1), ("not so", "-1", 2)]


def test_blank_lines_are_no_rows_but_count_as_lines(tmp_path):
    tables = read(write(tmp_path, b"text,label\n\na,x\n\n\nb,y\n"))
    assert rows(tables, "text", "row") == [("a", 3), ("b", 6)]
    assert tables.summary["rows_in"] == 2


def test_a_byte_order_mark_is_not_part_of_the_first_column(tmp_path):
    assert rows(read(write(tmp_path, b"\xef\xbb\xbftext,label\na,x\n")), "text") == [("a",)]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "shift_jis", "gb18030"])
def test_declared_encodings_are_read(tmp_path, encoding):
    text = {"shift_jis": "日本語", "gb18030": "中文"}.get(encoding, "café")
    tables = read(write(tmp_path, f"text,label\n{text},x\n".encode(encoding)), encoding=encoding)
    assert rows(tables, "text") == [(text,)]


def test_line_ends_of_old_macintosh_files_are_read(tmp_path):
    assert rows(read(write(tmp_path, b"text,label\ra,x\rb,y\r")), "text") == [("a",), ("b",)]


def test_too_few_or_too_many_fields_send_the_row_to_quarantine_and_the_others_go_on(tmp_path):
    tables = read(write(tmp_path, b"text,label\na,x\nb\nc,y,z\nd,w\n"))
    assert rows(tables, "text") == [("a",), ("d",)]
    assert refused(tables) == [
        (3, "malformed_row", "a.csv, line 3: 1 fields, expected 2"),
        (4, "malformed_row", "a.csv, line 4: 3 fields, expected 2"),
    ]


def test_a_quote_that_nobody_closes_costs_its_own_line_only(tmp_path):
    tables = read(write(tmp_path, b'text,label\na,x\n"open,y\n' + b"b,x\n" * 50 + b'"c, d",z\n'))
    assert rows(tables, "text")[-1] == ("c, d",)
    assert tables.summary["kept"] == 52
    assert [row[:2] for row in refused(tables)] == [(3, "malformed_row")]


def test_a_nul_byte_sends_the_row_to_quarantine(tmp_path):
    tables = read(write(tmp_path, b"text,label\na,x\nb\0b,y\nc,z\n"))
    assert refused(tables) == [(3, "malformed_row", "a.csv, line 3: holds a NUL byte")]
    assert tables.quarantine["text"].to_pylist() == ["b\0b,y\n"]


def test_bytes_outside_the_encoding_send_the_row_to_quarantine_with_place_and_advice(tmp_path):
    tables = read(write(tmp_path, "text,label\né,x\ncaf".encode() + b"\xe9,y\nb,z\n"))
    assert rows(tables, "text") == [("é",), ("b",)]
    assert refused(tables) == [
        (3, "undecodable", "a.csv, line 3, byte 4: not utf-8; set `encoding:` in sources")
    ]
    assert tables.quarantine["text"].to_pylist() == ["caf\ufffd,y\n"]


def test_a_file_mostly_outside_the_encoding_is_an_error_with_advice(tmp_path):
    with pytest.raises(UserError, match="2 of 3 rows are not utf-8") as error:
        read(write(tmp_path, b"text,label\n\xe9,x\n\xe8,y\nb,z\n"))
    assert "encoding:" in error.value.do


def test_a_file_with_half_of_its_rows_outside_the_encoding_is_read(tmp_path):
    assert read(write(tmp_path, b"text,label\n\xe9,x\nb,z\n")).summary["quarantined"] == 1


def test_a_file_mostly_ragged_is_an_error(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read(write(tmp_path, b"text,label\na,b,c\nd,e,f\ng,h\n"))


def test_a_misspelt_column_names_the_nearest_one(tmp_path):
    with pytest.raises(UserError, match="no column 'text': did you mean 'txet'") as error:
        read(write(tmp_path, b"txet,label\na,x\n"))
    assert error.value.where.startswith("a.csv (at ")


def test_a_missing_column_lists_those_there_are(tmp_path):
    with pytest.raises(UserError, match="columns there: 'id', 'body'"):
        read(write(tmp_path, b"id,body\n1,x\n"), ColumnsConfig(text="body", label="rating"))


def test_another_delimiter_is_suspected_where_the_header_is_one_field(tmp_path):
    path = write(tmp_path, b"text;label\na;x\n")
    with pytest.raises(UserError, match="delimiter: ';'"):
        read(path)
    assert rows(read(path, delimiter=";"), "text", "label") == [("a", "x")]


def test_a_column_that_stands_twice_is_an_error(tmp_path):
    with pytest.raises(UserError, match="stands 2 times"):
        read(write(tmp_path, b"text,label,text\na,x,b\n"))


def test_a_header_without_rows_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no rows"):
        read(write(tmp_path, b"text,label\n"))


def test_a_line_beyond_the_limit_is_refused_without_being_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "MAX_RECORD_CHARS", 100)
    tables = read(write(tmp_path, b"text,label\na,x\n" + b"b" * 1_000 + b",y\nc,z\n"))
    assert rows(tables, "text", "row") == [("a", 2), ("c", 4)]
    assert refused(tables) == [(3, "malformed_row", "a.csv, line 3: longer than 100 characters")]


@pytest.mark.parametrize("inner", ["short\n", 'a, b\n"", ""\n', "x" * 90 + "\n"])
def test_a_record_over_many_lines_that_is_too_long_is_refused_as_one(tmp_path, monkeypatch, inner):
    monkeypatch.setattr(delimited, "MAX_RECORD_CHARS", 100)
    content = f'text,label\na,x\n"{inner * 50}",y\nb,z\n"{inner[:20]}",w\nc,v\n'
    tables = read(write(tmp_path, content.encode()))
    assert rows(tables, "label") == [("x",), ("z",), ("w",), ("v",)]
    assert refused(tables) == [(3, "malformed_row", "a.csv, line 3: longer than 100 characters")]


def test_a_quote_that_nobody_closes_costs_its_own_line_however_long_the_rest_is(tmp_path, monkeypatch):
    monkeypatch.setattr(delimited, "MAX_RECORD_CHARS", 100)
    tables = read(write(tmp_path, b'text,label\n"open,y\n' + b"b,x\n" * 500 + b'"c\nd",z\n'))
    assert rows(tables, "text")[-1] == ("c\nd",)
    assert tables.summary["kept"] == 501
    assert [row[:2] for row in refused(tables)] == [(2, "malformed_row")]


def test_each_line_is_looked_at_a_few_times_only_whatever_its_quotes(tmp_path, monkeypatch):
    """Each of these lines leaves a record open that goes on to the end of the file."""
    looked_at, after = [], delimited._after
    monkeypatch.setattr(
        delimited, "_after", lambda text, delimiter: looked_at.append(text) or after(text, delimiter)
    )
    tables = read(write(tmp_path, b"text,label\n" + b"a,x\n" * 1001 + b'a",b,"c\n' * 1000))
    assert tables.summary["kept"] == 1001 and tables.quarantine.num_rows == 1000
    assert len(looked_at) < 3000


@given(st.text('a",\n\r', max_size=60))
def test_quotes_are_read_as_by_trying_each_line_in_turn(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(b"text,label\n" + content.encode())
    dialect = delimited._Dialect("a.csv", "utf-8", ",", "double")
    feed = delimited._Feed(lines.iterate(path, "utf-8"), lines.iterate(path, "utf-8"), dialect)
    found = [(row.row, getattr(row, "values", None)) for row in delimited._quoted(feed, dialect)]
    left = [line.text for line in lines.iterate(path, "utf-8")]
    expected = []
    while left:
        row = sum(1 for _ in lines.iterate(path, "utf-8")) - len(left) + 1
        reader = csv.reader(left, strict=True)
        try:
            values = next(reader)
        except csv.Error:
            values, taken = None, 1
        else:
            taken = reader.line_num
        left = left[taken:]
        if values != []:
            expected.append((row, values))
    assert found == expected


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1), st.text("ab"))
    )
)
def test_what_pythons_csv_module_writes_is_read_back(tmp_path_factory, written):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), ("first", "a"), *written])
    assert rows(read(path), "text", "label") == [("first", "a"), *written]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_refused_or_a_clear_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(b"text,label\n" + content)
    try:
        tables = read(path)
    except UserError:
        return
    assert tables.summary["rows_in"] == tables.examples.num_rows + tables.quarantine.num_rows


def test_the_first_row_of_a_file_without_a_header_is_in_no_message(tmp_path):
    content = b"my number is +44 20 7946 0123 call me,jane@example.org,good\nx,y,z\n"
    with pytest.raises(UserError) as error:
        read(write(tmp_path, content))
    assert "columns there: (a text of 37 characters), (a text of 16 characters), 'good'" in str(error.value)
