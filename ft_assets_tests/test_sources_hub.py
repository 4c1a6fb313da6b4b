"""`hf://`: the real client against a hub of our own on 127.0.0.1."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from urllib.parse import quote

import huggingface_hub.constants
import pytest

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.readers import raw_examples
from ft_assets.errors import UserError
from ft_assets.sources import resolve, resolve_model
from ft_assets_tests.web import Web, serve

COMMIT = "a" * 40
MODEL = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"weights" * 1000,
    "pytorch_model.bin": b"pickled",
    "1_Pooling/config.json": b"{}",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch):
    """A hub with nothing in it; `HF_ENDPOINT` names it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serve() as web:
        monkeypatch.setenv("HF_ENDPOINT", web.url)
        yield web


def put(hub: Web, name: str, files: dict[str, bytes], revision: str = "main", commit: str = COMMIT) -> None:
    """Puts a repository on the hub, as the parts of its interface that the client uses."""
    kind, repo = (
        ("datasets", name.removeprefix("datasets/")) if name.startswith("datasets/") else ("models", name)
    )
    info = {"id": repo, "sha": commit, "private": False, "tags": [], "downloads": 0}
    info["siblings"] = [{"rfilename": file} for file in files]
    tree = [
        {"type": "file", "path": file, "oid": "0" * 40, "size": len(data)} for file, data in files.items()
    ]
    for path, answer in {
        f"/api/{kind}/{repo}/revision/{revision}": info,
        f"/api/{kind}/{repo}/revision/{commit}": info,
        f"/api/{kind}/{repo}/tree/{commit}": tree,
    }.items():
        hub.pages[path] = json.dumps(answer).encode()
        hub.headers[path] = {"Content-Type": "application/json"}
    for file, data in files.items():
        path = f"/{name}/resolve/{commit}/{quote(file)}"
        hub.pages[path] = data
        hub.headers[path] = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": commit}


def downloads(hub: Web) -> list[str]:
    return sorted(
        line.split(f"{COMMIT}/")[1] for line in hub.asked if line.startswith("GET") and "/resolve/" in line
    )


def disconnect(hub: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # nobody listens at the discard port


def test_a_model_is_fetched_without_its_pickled_weights(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", MODEL)
    folder = resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == MODEL["model.safetensors"]
    present = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert present == downloads(hub) == ["1_Pooling/config.json", "config.json", "model.safetensors"]


def test_a_gguf_file_is_fetched_alone_where_it_is_named(hub: Web, tmp_path: Path) -> None:
    content = b"GGUF\x03\0\0\0 and more"
    put(hub, "org/model", MODEL | {"q/m.Q4_0.gguf": content, "q/m.Q8_0.gguf": b"GGUF"})
    file = resolve_model(f"hf://org/model@{COMMIT}/q/m.Q4_0.gguf", cache=tmp_path, base=tmp_path)
    assert (file.name, file.read_bytes()) == ("m.Q4_0.gguf", content)
    assert downloads(hub) == ["q/m.Q4_0.gguf"]


def test_a_repository_of_gguf_files_asks_for_one_of_them(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", {"README.md": b"", "m.Q4_0.gguf": b"GGUF", "m.Q8_0.gguf": b"GGUF"})
    with pytest.raises(UserError, match="no safetensors weights, but 2 in GGUF's format") as error:
        resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    assert error.value.do.endswith(f"hf://org/model@{COMMIT}/m.Q4_0.gguf")


@pytest.mark.parametrize("revision", [COMMIT, "v1.0", "refs%2Fpr%2F1"])
def test_the_second_time_needs_no_network(
    hub: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, revision: str
) -> None:
    put(hub, "org/model", MODEL, revision)
    source = f"hf://org/model@{revision}"
    first = resolve_model(source, cache=tmp_path, base=tmp_path)
    disconnect(hub, monkeypatch)
    assert resolve_model(source, cache=tmp_path, base=tmp_path) == first


def test_a_commit_is_not_asked_for_twice(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", MODEL)
    resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    asked = len(hub.asked)
    resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    assert len(hub.asked) == asked


def test_a_branch_that_moved_is_followed(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", MODEL)
    resolve_model("hf://org/model@main", cache=tmp_path, base=tmp_path)
    put(hub, "org/model", MODEL | {"model.safetensors": b"new"}, commit="b" * 40)
    folder = resolve_model("hf://org/model@main", cache=tmp_path, base=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == b"new"


def test_a_damaged_copy_is_fetched_again(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", MODEL)
    folder = resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    (folder / "model.safetensors").write_bytes(b"w")
    folder = resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == MODEL["model.safetensors"]


def test_a_revision_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names no revision") as error:
        resolve_model("hf://org/model", cache=tmp_path, base=tmp_path)
    assert "pin it by the commit hash" in error.value.do


@pytest.mark.parametrize(
    "code, what",
    [
        ("RevisionNotFound", "has no revision 'v9'"),
        ("RepoNotFound", "there is no model 'org/model', or it is private"),
        ("GatedRepo", "org/model is gated"),
    ],
)
def test_what_the_hub_does_not_have(hub: Web, tmp_path: Path, code: str, what: str) -> None:
    path = "/api/models/org/model/revision/v9"
    hub.status[path] = 403 if code == "GatedRepo" else 404
    hub.headers[path] = {"X-Error-Code": code}
    with pytest.raises(UserError, match=what) as error:
        resolve_model("hf://org/model@v9", cache=tmp_path, base=tmp_path)
    assert error.value.do


def test_no_network_says_what_to_do(hub: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disconnect(hub, monkeypatch)
    with pytest.raises(UserError, match="cannot be fetched") as error:
        resolve_model("hf://org/model@main", cache=tmp_path, base=tmp_path)
    assert "127.0.0.1:9" in error.value.where
    assert "make fetch" in error.value.do


def test_pickled_weights_only_is_said_before_anything_is_fetched(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", {"config.json": b"{}", "pytorch_model.bin": b"x"})
    with pytest.raises(UserError, match=r"only pickled ones \(pytorch_model.bin\)"):
        resolve_model("hf://org/model@main", cache=tmp_path, base=tmp_path)
    assert downloads(hub) == []


def test_a_model_with_code_of_its_own_is_refused(hub: Web, tmp_path: Path) -> None:
    put(
        hub,
        "org/model",
        MODEL | {"config.json": b'{"auto_map": {"AutoModel": "own.Model"}}', "own.py": b"boom()"},
    )
    with pytest.raises(UserError, match="needs code of its own"):
        resolve_model("hf://org/model@main", cache=tmp_path, base=tmp_path)


def test_one_file_of_a_data_set(hub: Web, tmp_path: Path) -> None:
    put(hub, "datasets/org/reviews", {"data/train.csv": b"a,b", "data/test.csv": b"c", "README.md": b""})
    (found,) = resolve(f"hf://datasets/org/reviews@{COMMIT}/data/train.csv", cache=tmp_path, base=tmp_path)
    assert (found.name, found.path.read_bytes()) == ("train.csv", b"a,b")
    assert downloads(hub) == ["data/train.csv"]


def test_a_folder_of_a_data_set(hub: Web, tmp_path: Path) -> None:
    put(hub, "datasets/org/reviews", {"data/train.csv": b"a,b", "data/test.csv": b"c", "README.md": b""})
    found = resolve("hf://datasets/org/reviews@main/data", cache=tmp_path, base=tmp_path)
    assert [file.name for file in found] == ["test.csv", "train.csv"]


def test_rows_of_a_data_set_by_revision(hub: Web, tmp_path: Path) -> None:
    rows = b"text,label\na,x\n"
    parts = {"data/1.csv.gz": gzip.compress(rows), "data/2.jsonl": b'{"text": "b", "label": "y"}'}
    put(hub, "datasets/org/reviews", parts | {"README.md": b"no rows"}, revision="v1.0")
    source = SourceConfig(path="hf://datasets/org/reviews@v1.0/data")
    made = raw_examples([(source, resolve(str(source.path), cache=tmp_path, base=tmp_path))], ColumnsConfig())
    assert made.examples["text"].to_pylist() == ["a", "b"]
    assert made.examples["file"].to_pylist() == ["1.csv.gz", "2.jsonl"]


SHARDS = {
    f"{folder}/{split}-{place}.parquet": f"{split}{place}".encode()
    for folder in ("en", "en/old")
    for split in ("train", "test")
    for place in range(2)
}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("en/train-*.parquet", ["train-0.parquet", "train-1.parquet"]),
        ("*/test-?.parquet", ["en/test-0.parquet", "en/test-1.parquet"]),
        (
            "**/t*-[1].parquet",
            [f"en/{each}-1.parquet" for each in ("old/test", "old/train", "test", "train")],
        ),
    ],
)
def test_a_pattern_in_a_data_set(hub: Web, tmp_path: Path, pattern: str, expected: list[str]) -> None:
    put(hub, "datasets/org/reviews", SHARDS | {"README.md": b""})
    found = resolve(f"hf://datasets/org/reviews@{COMMIT}/{pattern}", cache=tmp_path, base=tmp_path)
    assert [file.name for file in found] == expected
    assert len(downloads(hub)) == len(expected)  # and no other file was fetched


def test_a_pattern_that_matches_nothing_names_what_there_is(hub: Web, tmp_path: Path) -> None:
    put(hub, "datasets/org/reviews", SHARDS)
    with pytest.raises(UserError, match=r"has no 'de/\*\.parquet'") as error:
        resolve("hf://datasets/org/reviews@main/de/*.parquet", cache=tmp_path, base=tmp_path)
    assert "en/old/test-0.parquet" in error.value.where


def test_a_pattern_that_is_none_is_an_error(hub: Web, tmp_path: Path) -> None:
    put(hub, "datasets/org/reviews", SHARDS)
    with pytest.raises(UserError, match=r"'\*\*' can only be an entire path component"):
        resolve("hf://datasets/org/reviews@main/en**.parquet", cache=tmp_path, base=tmp_path)


def test_a_name_with_a_bracket_is_no_pattern(hub: Web, tmp_path: Path) -> None:
    put(hub, "datasets/org/reviews", {"a[1].csv": b"a", "a1.csv": b"b"})
    (found,) = resolve(f"hf://datasets/org/reviews@{COMMIT}/a[1].csv", cache=tmp_path, base=tmp_path)
    assert (found.name, found.path.read_bytes()) == ("a[1].csv", b"a")


def test_a_path_that_the_repository_does_not_have(hub: Web, tmp_path: Path) -> None:
    put(hub, "datasets/org/reviews", {"data/train.csv": b"a,b"})
    with pytest.raises(UserError, match=r"has no 'data/trian\.csv'") as error:
        resolve("hf://datasets/org/reviews@main/data/trian.csv", cache=tmp_path, base=tmp_path)
    assert "data/train.csv" in error.value.where


def test_an_interrupted_download_is_gone_on_with(hub: Web, tmp_path: Path) -> None:
    put(hub, "org/model", MODEL)
    weights = f"/org/model/resolve/{COMMIT}/model.safetensors"
    data = hub.pages.pop(weights)
    with pytest.raises(UserError):
        resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    hub.pages[weights] = data
    folder = resolve_model(f"hf://org/model@{COMMIT}", cache=tmp_path, base=tmp_path)
    assert (folder / "model.safetensors").read_bytes() == data
