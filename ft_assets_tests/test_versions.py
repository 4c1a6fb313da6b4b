"""Versions: what changes them and what does not."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ft_assets.versions import (
    build_key,
    canonical_json,
    code_version,
    files_version,
    hash_json,
    library_versions,
    table_version,
    tables_version,
)
from ft_assets.versions.code import _file_hash


@pytest.fixture
def table() -> pa.Table:
    return pa.table(
        {
            "text": ["one", None, "", "übér", "one"],
            "n": pa.array([1, None, 3, 0, -5], pa.int64()),
            "score": [0.5, None, 0.0, -1.5, 2.0],
            "flag": [True, False, None, True, False],
            "tags": [["a", None], None, [], ["b"], ["a"]],
            "pair": [{"x": 1, "y": "p"}, None, {"x": None, "y": ""}, {"x": 2, "y": None}, {"x": 1, "y": "p"}],
            "when": pa.array([0, None, 10**9, 1, 2], pa.timestamp("s", "UTC")),
            "pairs": pa.array([[("k", 1)], None, [], [("k", None)], []], pa.map_(pa.string(), pa.int8())),
            "nothing": pa.nulls(5),
        }
    )


def test_version_is_the_same_after_any_parquet_encoding(table: pa.Table, tmp_path: Path) -> None:
    expected = table_version(table)
    for number, options in enumerate(
        [
            {"compression": "zstd", "use_dictionary": False},
            {"row_group_size": 2, "data_page_version": "2.0"},
            {"version": "1.0"},
        ]
    ):
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table, path, **options)
        assert table_version(pq.read_table(path)) == expected, options


def test_version_ignores_chunks_slices_and_column_order(table: pa.Table) -> None:
    expected = table_version(table)
    pieces = [table.slice(0, 1), table.slice(1, 3), table.slice(4)]
    assert table_version(pa.concat_tables(pieces)) == expected
    assert table_version(pa.concat_tables([table, table]).slice(5)) == expected
    assert table_version(table.select(table.column_names[::-1])) == expected
    assert table_version(table.replace_schema_metadata({"a": "b"})) == expected


@pytest.mark.parametrize(
    "type_", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_version_ignores_how_strings_are_stored(type_: pa.DataType) -> None:
    plain = pa.table({"a": ["x", None, "", "x"]})
    assert table_version(plain.cast(pa.schema([("a", type_)]))) == table_version(plain)


def test_version_ignores_what_lies_under_nulls() -> None:
    def with_garbage(data: bytes, numbers: list[int]) -> pa.Table:
        valid = pa.py_buffer(bytes([0b101]))
        offsets = pa.py_buffer(pa.array([0, 1, 3, 4], pa.int32()).buffers()[1])
        texts = pa.Array.from_buffers(pa.string(), 3, [valid, offsets, pa.py_buffer(data)])
        values = pa.Array.from_buffers(pa.int64(), 3, [valid, pa.array(numbers).buffers()[1]])
        return pa.table({"t": texts, "n": values})

    assert table_version(with_garbage(b"aXXb", [1, 7, 3])) == table_version(with_garbage(b"aYYb", [1, 8, 3]))


@pytest.mark.parametrize(
    "other",
    [
        pa.table({"a": ["y", "x", None]}),
        pa.table({"a": ["x", "y", ""]}),
        pa.table({"a": ["xy", "", None]}),
        pa.table({"a": ["x", "y"]}),
        pa.table({"b": ["x", "y", None]}),
        pa.table({"a": pa.array([b"x", b"y", None])}),
        pa.table({"a": ["x", "y", None], "b": ["x", "y", None]}),
    ],
    ids=["row order", "null or empty", "shifted bytes", "fewer rows", "column name", "type", "more columns"],
)
def test_version_sees(other: pa.Table) -> None:
    assert table_version(other) != table_version(pa.table({"a": ["x", "y", None]}))


def test_version_tells_number_types_apart() -> None:
    versions = {
        table_version(pa.table({"a": pa.array([1, 2], t)})) for t in (pa.int32(), pa.int64(), pa.float64())
    }
    assert len(versions) == 3


def test_empty_tables_with_different_columns_differ() -> None:
    one = pa.table({"a": pa.array([], pa.string())})
    assert table_version(one) != table_version(pa.table({"a": pa.array([], pa.int8())}))
    assert table_version(one) == table_version(pa.table({"a": ["x"]}).slice(1))


def test_a_type_without_a_canonical_form_is_refused() -> None:
    union = pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])])
    with pytest.raises(TypeError, match="cannot be versioned"):
        table_version(pa.table({"a": union}))


@settings(max_examples=60, deadline=None)  # deadline off: shared machines
@given(
    rows=st.lists(
        st.tuples(st.none() | st.text(), st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=20
    ),
    cut=st.integers(0, 20),
)
def test_version_depends_on_the_rows_alone(rows: list, cut: int) -> None:
    schema = pa.schema([("t", pa.string()), ("n", pa.int64())])
    texts = [row[0].encode("utf-8", "replace").decode() if row[0] else row[0] for row in rows]
    table = pa.table({"t": texts, "n": [row[1] for row in rows]}, schema=schema)
    again = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert table_version(again) == table_version(table)
    if rows:
        assert table_version(table.slice(1)) != table_version(table)


def test_tables_version_covers_names_and_contents() -> None:
    a, b = pa.table({"x": [1]}), pa.table({"x": [2]})
    assert tables_version({"a": a, "b": b}) == tables_version({"b": b, "a": a})
    assert tables_version({"a": a, "b": b}) != tables_version({"a": b, "b": a})


def test_canonical_json_has_one_text_for_equal_values() -> None:
    assert canonical_json({"b": (1, 2), "a": "é\ud800"}) == b'{"a":"\\u00e9\\ud800","b":[1,2]}'
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(float("nan"))
    with pytest.raises(TypeError, match="object cannot be written"):
        canonical_json(object())


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "b"},
        {"code_version": "2"},
        {"config": {"x": 2}},
        {"inputs": {}},
        {"seed": 1},
        {"nonce": "n"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_build_key_covers(change: dict) -> None:
    parts = {"stage": "a", "code_version": "1", "config": {"x": 1}, "inputs": {"raw": "v"}, "seed": 0}
    assert build_key(**parts) == build_key(**parts)
    assert build_key(**{**parts, **change}) != build_key(**parts)


def test_files_version_sees_names_and_bytes_and_not_what_is_excluded(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"123")
    (tmp_path / "b.txt").write_text("x")
    version = files_version(tmp_path)
    assert files_version(tmp_path, exclude=["b.*"]) != version
    (tmp_path / "b.txt").write_text("y")
    assert files_version(tmp_path) != version
    (tmp_path / "b.txt").write_text("x")
    assert files_version(tmp_path) == version
    (tmp_path / "sub" / "a.bin").rename(tmp_path / "sub" / "c.bin")
    assert files_version(tmp_path) != version


def test_library_versions_leaves_out_what_is_not_installed() -> None:
    versions = library_versions(["pyarrow", "no-such-distribution"])
    assert versions == {"pyarrow": pa.__version__}


SOURCE = '''
"""What it is."""

LIMIT = 3


class Model:
    rate: float = 0.5
    """A rate."""


def clean(text, *, limit=LIMIT):
    """Says what it does."""
    # a reason
    return text[:limit].strip()
'''


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    counter = iter(range(100))

    def write_source(source: str) -> str:
        name = f"versioned_{next(counter)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return write_source


@pytest.mark.parametrize(
    "old, new",
    [
        ("# a reason", "# another reason\n    # in two lines"),
        ('"""Says what it does."""', '"""Says it better."""'),
        ('    """Says what it does."""\n', ""),
        ('"""A rate."""', '"""The rate, per second."""'),
        ('"""What it is."""', ""),
        ("*, limit=LIMIT)", "*,\n    limit = LIMIT,\n)"),
    ],
    ids=["comment", "docstring", "no docstring", "attribute docstring", "module docstring", "layout"],
)
def test_code_version_does_not_see(write, old: str, new: str) -> None:
    assert old in SOURCE
    assert code_version(write(SOURCE.replace(old, new))) == code_version(write(SOURCE))


@pytest.mark.parametrize(
    "old, new",
    [
        ("LIMIT = 3", "LIMIT = 4"),
        ("LIMIT = 3", "LIMIT = '3'"),
        ("limit].strip", "limit].lstrip"),
        ("[:limit]", "[limit:]"),
        ("*, limit", "limit"),
        ("text, *", "text: str, *"),
        ("rate: float = 0.5", "rate: float = 0.6"),
    ],
)
def test_code_version_sees(write, old: str, new: str) -> None:
    assert old in SOURCE
    assert code_version(write(SOURCE.replace(old, new))) != code_version(write(SOURCE))


def test_code_version_of_a_name_a_module_and_a_path_agree(write, tmp_path: Path) -> None:
    name = write(SOURCE)
    by_name = code_version(name)
    assert name not in sys.modules
    assert code_version(tmp_path / f"{name}.py") == by_name
    assert code_version(__import__(name)) == by_name


def test_code_version_of_one_function_ignores_the_rest_of_its_module(write) -> None:
    name, other = write(SOURCE), write(SOURCE.replace("0.5", "0.7"))
    assert code_version(f"{name}:clean") == code_version(f"{other}:clean")
    assert code_version(f"{name}:Model") != code_version(f"{other}:Model")
    assert code_version(__import__(name).clean) == code_version(f"{name}:clean")


def test_code_version_of_a_package_covers_all_of_its_modules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "versioned_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    version = code_version("versioned_package")
    (package / "inner.py").write_text("x = 1000")
    assert code_version("versioned_package") != version


def test_a_remembered_hash_is_used_and_a_spoilt_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    expected = code_version(path)
    (memo,) = (tmp_path / "__pycache__").iterdir()
    for text in ("", "0 0 " + "f" * 32, memo.read_text()[:-1], "\N{SNOWMAN}"):
        memo.write_text(text)
        _file_hash.cache_clear()
        assert code_version(path) == expected
    memo.write_text(memo.read_text()[:-32] + "f" * 32)
    _file_hash.cache_clear()
    assert code_version(path) != expected


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_code_that_may_not_be_written_to_is_hashed_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(SOURCE)
    tmp_path.chmod(0o500)
    assert code_version(tmp_path / "module.py")
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("name", ["no_such_module", "ft_assets.no_such", "ft_assets.errors.deeper"])
def test_code_version_of_a_module_that_is_not_there(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=name):
        code_version(name)


def test_code_version_of_a_function_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="defines no 'no_such'"):
        code_version("ft_assets.errors:no_such")


def test_hashing_code_imports_nothing() -> None:
    script = textwrap.dedent(
        """
        import sys
        from ft_assets.versions import code_version
        before = set(sys.modules)
        code_version("ft_assets.data", "ft_assets.artifacts", "sklearn.dummy")
        print(sorted(set(sys.modules) - before))
        """
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_hash_is_stable_across_processes_and_releases() -> None:
    # Written down: a changed hash would rebuild every artifact of every user.
    assert hash_json({"a": [1, None, "x"]}) == "09eb9d670454768e474c17674ec55be2"
    assert table_version(pa.table({"a": ["x", None], "n": [1, 2]})) == "d246524152492d8861f393962b1ddfee"
