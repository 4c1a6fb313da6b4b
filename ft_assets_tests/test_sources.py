"""Sources: paths, patterns, folders of base models, the user's own functions, any fsspec URL."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import fsspec
import pytest

from ft_assets.errors import UserError
from ft_assets.sources import identity, load_function, resolve, resolve_model
from ft_assets_tests.web import Web, serve


@pytest.fixture
def data(tmp_path: Path) -> Path:
    base = tmp_path / "data"
    for name in ("in/b.csv", "in/a.csv", "in/deep/c.csv", "in/.hidden.csv", "in/x[1].csv", "in/note.txt"):
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).write_text(name)
    return base


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def names(source: str, base: Path, cache: Path) -> list[str]:
    return [file.name for file in resolve(source, cache=cache, base=base)]


# --- paths and patterns -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source, expected",
    [
        ("in/a.csv", ["a.csv"]),
        ("in/*.csv", ["a.csv", "b.csv", "x[1].csv"]),
        ("in/**/*.csv", ["a.csv", "b.csv", "deep/c.csv", "x[1].csv"]),
        ("*/a.csv", ["in/a.csv"]),
        ("in/[ab].csv", ["a.csv", "b.csv"]),
        ("in/x[1].csv", ["x[1].csv"]),
    ],
)
def test_files_and_patterns(data: Path, cache: Path, source: str, expected: list[str]) -> None:
    assert names(source, data, cache) == expected
    assert names(str(data / source), Path("/"), cache) == expected
    assert names(f"file://{data / source}", Path("/"), cache) == expected


def test_a_found_file_is_where_it_says(data: Path, cache: Path) -> None:
    (found,) = resolve("in/deep/*", cache=cache, base=data)
    assert found.path.read_text() == "in/deep/c.csv"


def test_a_file_that_several_links_lead_to_is_given_once(data: Path, cache: Path) -> None:
    (data / "in" / "loop").symlink_to(".")
    (data / "in" / "deep" / "again.csv").symlink_to("../a.csv")
    assert names("in/**/*.csv", data, cache) == ["a.csv", "b.csv", "deep/c.csv", "x[1].csv"]


def test_a_link_that_leads_elsewhere_is_followed(data: Path, cache: Path) -> None:
    (data / "other.csv").write_text("other")
    (data / "in" / "link.csv").symlink_to("../other.csv")
    (found,) = resolve("in/l*.csv", cache=cache, base=data)
    assert (found.name, found.path.read_text()) == ("link.csv", "other")


def test_line_ends_and_stray_bytes_in_a_name_are_shown_escaped(data: Path, cache: Path) -> None:
    for name in (b"one\ntwo.md", b"bad\xff.md"):
        (data / "in" / os.fsdecode(name)).write_bytes(name)
    found = resolve("in/*.md", cache=cache, base=data)
    assert [(file.name, file.path.read_bytes()) for file in found] == [
        (r"bad\udcff.md", b"bad\xff.md"),
        (r"one\ntwo.md", b"one\ntwo.md"),
    ]


def test_a_misspelt_file_names_the_nearest(data: Path, cache: Path) -> None:
    with pytest.raises(UserError, match=r"'in/aa\.csv' does not exist") as error:
        resolve("in/aa.csv", cache=cache, base=data)
    assert error.value.do == "did you mean 'a.csv'?"


def test_a_missing_folder_is_said_to_be_missing(data: Path, cache: Path) -> None:
    with pytest.raises(UserError) as error:
        resolve("inn/a.csv", cache=cache, base=data)
    assert f"no folder {data / 'inn'}" in error.value.where


def test_a_pattern_without_a_match_says_what_is_there(data: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="no file matches") as error:
        resolve("in/*.parquet", cache=cache, base=data)
    assert "a.csv" in error.value.where


def test_a_folder_is_no_file(data: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="is a folder") as error:
        resolve("in", cache=cache, base=data)
    assert "in/*.csv" in error.value.do


@pytest.mark.parametrize(
    "source, expected",
    [
        ("in/a.csv", "in/a.csv"),
        ("/home/me/secret project/a.csv", "a.csv"),
        ("../other/a.csv", "a.csv"),
        ("~/a.csv", "a.csv"),
        ("pypi://My_Package==1.0[wheel]/a/b.csv", "pypi://my-package==1.0[wheel]/a/b.csv"),
        ("hf://o/n@main/a", "hf://o/n@main/a"),
        ("s3://bucket/a.csv", "s3://bucket/a.csv"),
        ("https://me:secret@host/a.csv?token=x", "https://host/a.csv"),
    ],
)
def test_identity_tells_nothing_of_the_machine_and_no_secret(source: str, expected: str) -> None:
    assert identity(source) == expected


# --- fsspec URLs --------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> str:
    fs = fsspec.filesystem("memory")
    root = "memory://sources"
    fs.pipe(
        {f"{root}/a.csv": b"a", f"{root}/b.csv": b"b", f"{root}/deep/c.csv": b"c", f"{root}/note.txt": b"n"}
    )
    yield root
    fs.rm(root, recursive=True)


@pytest.mark.parametrize(
    "path, expected",
    [
        ("/a.csv", ["a.csv"]),
        ("/*.csv", ["a.csv", "b.csv"]),
        ("/**/*.csv", ["a.csv", "b.csv", "deep/c.csv"]),
        ("/deep", ["c.csv"]),
    ],
)
def test_files_at_a_url(memory: str, cache: Path, path: str, expected: list[str]) -> None:
    assert names(memory + path, Path("/"), cache) == expected


def test_a_changed_file_at_a_url_is_read_again(memory: str, cache: Path) -> None:
    source = f"{memory}/a.csv"
    assert resolve(source, cache=cache, base=Path("/"))[0].path.read_bytes() == b"a"
    fsspec.filesystem("memory").pipe(source, b"changed")
    assert resolve(source, cache=cache, base=Path("/"))[0].path.read_bytes() == b"changed"


def test_a_pinned_file_is_used_from_the_cache_when_the_url_is_gone(memory: str, cache: Path) -> None:
    source = (
        f"{memory}/a.csv#sha256=ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # of b"a"
    )
    resolve(source, cache=cache, base=Path("/"))
    fsspec.filesystem("memory").rm(f"{memory}/a.csv")
    assert resolve(source, cache=cache, base=Path("/"))[0].path.read_bytes() == b"a"


def test_a_pinned_file_that_differs_is_refused(memory: str, cache: Path) -> None:
    with pytest.raises(UserError, match="is not the file that was pinned") as error:
        resolve(f"{memory}/a.csv#sha256={'0' * 64}", cache=cache, base=Path("/"))
    assert "write the new hash" in error.value.do


def test_a_damaged_cached_copy_is_fetched_again(memory: str, cache: Path) -> None:
    (found,) = resolve(f"{memory}/a.csv", cache=cache, base=Path("/"))
    found.path.write_bytes(b"spoilt")
    assert resolve(f"{memory}/a.csv", cache=cache, base=Path("/"))[0].path.read_bytes() == b"a"


@pytest.mark.parametrize(
    "source", ["memory://sources/none.csv", "memory://sources/*.none", "memory://nowhere"]
)
def test_nothing_at_a_url(memory: str, cache: Path, source: str) -> None:
    with pytest.raises(UserError, match="there is nothing at"):
        resolve(source, cache=cache, base=Path("/"))


def test_an_unknown_kind_of_url(cache: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        resolve("nosuch://x/a.csv", cache=cache, base=Path("/"))


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as served:
        yield served


def test_a_file_over_http(web: Web, cache: Path) -> None:
    web.pages["/a.csv"] = b"a,b"
    (found,) = resolve(f"{web.url}/a.csv", cache=cache, base=Path("/"))
    assert (found.name, found.path.read_bytes()) == ("a.csv", b"a,b")


def test_no_network_is_a_clear_error_without_secrets(cache: Path) -> None:
    # Port 9 (discard) of this machine: nobody listens.
    with pytest.raises(UserError) as error:
        resolve("http://me:secret@127.0.0.1:9/a.csv?token=secret", cache=cache, base=Path("/"))
    assert "127.0.0.1" in str(error.value)
    assert "secret" not in str(error.value)


# --- base models --------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_model_by_path(model: Path, cache: Path) -> None:
    assert resolve_model("model", cache=cache, base=model.parent) == model
    assert resolve_model(str(model), cache=cache, base=Path("/")) == model


def test_a_model_that_does_not_exist(model: Path, cache: Path) -> None:
    with pytest.raises(UserError, match="base model 'modell' does not exist") as error:
        resolve_model("modell", cache=cache, base=model.parent)
    assert "hf://" in error.value.do


def test_a_model_with_pickled_weights_only_is_refused(model: Path, cache: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pickled ones \(pytorch_model.bin\)") as error:
        resolve_model("model", cache=cache, base=model.parent)
    assert "save_pretrained" in error.value.do


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_a_model_that_needs_code_of_its_own_is_refused(model: Path, cache: Path, name: str) -> None:
    (model / name).write_text(json.dumps({"auto_map": {"AutoModel": "modeling.Own"}}))
    with pytest.raises(UserError, match=f"needs code of its own \\({name}"):
        resolve_model("model", cache=cache, base=model.parent)


def test_a_folder_without_a_configuration_is_no_model(model: Path, cache: Path) -> None:
    (model / "config.json").unlink()
    with pytest.raises(UserError, match=r"has no config\.json"):
        resolve_model("model", cache=cache, base=model.parent)
    (model / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="is an adapter"):
        resolve_model("model", cache=cache, base=model.parent)


def test_a_model_with_a_missing_part_is_refused(model: Path, cache: Path) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    weights = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weights}))
    with pytest.raises(UserError, match=r"incomplete: model-00002-of-00002\.safetensors"):
        resolve_model("model", cache=cache, base=model.parent)


def test_a_model_at_a_url(model: Path, cache: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.put(str(model), "memory://models/tiny", recursive=True)
    folder = resolve_model("memory://models/tiny", cache=cache, base=Path("/"))
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    fs.rm("memory://models", recursive=True)


# --- functions ----------------------------------------------------------------------------------------------


@pytest.fixture
def task(tmp_path: Path) -> Path:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "helpers_of_mine.py").write_text("PLACE = __file__")
    (folder / "reader.py").write_text(
        "import helpers_of_mine\ndef load():\n    return helpers_of_mine.PLACE\nLIMIT = 3\n"
    )
    return folder


def test_a_function_beside_the_task_and_what_it_imports(task: Path) -> None:
    path = list(sys.path)
    assert load_function("reader:load", task)() == str(task.resolve() / "helpers_of_mine.py")
    assert sys.path == path
    assert not {"reader", "helpers_of_mine"} & set(sys.modules)


def test_two_tasks_may_have_modules_of_the_same_name(task: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "reader.py").write_text("def load():\n    return 'other'\n")
    assert load_function("reader:load", task)() != "other"
    assert load_function("reader:load", other)() == "other"
    assert load_function("reader:load", task)() != "other"


def test_a_changed_function_is_seen(task: Path) -> None:
    load_function("reader:load", task)
    (task / "reader.py").write_text("def load():\n    return 'new'\n")
    assert load_function("reader:load", task)() == "new"


def test_a_function_of_an_installed_module(task: Path) -> None:
    assert load_function("posixpath:join", task)("a", "b") == "a/b"


@pytest.mark.parametrize(
    "ref, what, hint",
    [
        ("reader", "names no function", "module:function"),
        ("reader:load()", "names no function", "module:function"),
        ("reeder:load", "there is no module 'reeder'", "put reeder.py there"),
        ("reader:lod", "has no function 'lod'", "did you mean 'load'?"),
        ("reader:LIMIT", "is a int, not a function", ""),
    ],
)
def test_a_function_that_cannot_be_had(task: Path, ref: str, what: str, hint: str) -> None:
    with pytest.raises(UserError) as error:
        load_function(ref, task)
    assert what in error.value.what
    assert hint in error.value.do


@pytest.mark.parametrize(
    "source, what, line",
    [
        ("import no_such_package_here\n", "no module named 'no_such_package_here'", ""),
        ("x = 1\nraise ValueError('broken')\n", "ValueError: broken", "line 2"),
        ("x = (\n", "SyntaxError", "line 1"),
    ],
    ids=["missing package", "raises", "no Python"],
)
def test_a_module_that_does_not_import(task: Path, source: str, what: str, line: str) -> None:
    (task / "reader.py").write_text(source)
    with pytest.raises(UserError) as error:
        load_function("reader:load", task)
    assert what in error.value.what
    assert line in error.value.where
