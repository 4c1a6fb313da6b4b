import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ft_assets.data import remembered
from ft_assets.data.remembered import Memory, exact_keys

LENGTH = np.dtype([("length", "<u4"), ("twice", "<u2", (2,))])


def results(texts):
    made = np.empty(len(texts), LENGTH)
    made["length"] = [len(text) for text in texts]
    made["twice"] = made["length"][:, None]
    return made


def ask(memory, texts):
    """The texts that were not known; what is said of the others is looked at, and of all it is remembered."""
    kept = memory.of("lengths", LENGTH)
    known, found = kept.find(exact_keys(pl.Series(texts, dtype=pl.String)))
    assert (found == results([text for text, there in zip(texts, known, strict=True) if there])).all()
    new = [text for text, there in zip(texts, known, strict=True) if not there]
    kept.add(exact_keys(pl.Series(new, dtype=pl.String)), results(new))
    kept.settle()
    return new


def test_keys_are_of_the_text_as_it_stands():
    keys = exact_keys(pl.Series(["A text", "a text", "A text ", "é", "e\u0301", "A text"]))
    assert len(np.unique(keys)) == 5 and keys[0] == keys[5]


def test_what_was_added_is_found_by_the_next_one(tmp_path):
    memory = Memory(tmp_path, "code")
    assert ask(memory, ["a", "bb", "a"]) == ["a", "bb", "a"]
    assert ask(memory, ["bb", "ccc", "a"]) == ["ccc"]
    assert ask(memory, ["a", "bb", "ccc"]) == []


def test_nothing_is_found_or_kept_without_a_folder():
    memory = Memory()
    assert ask(memory, ["a"]) == ["a"] and ask(memory, ["a"]) == ["a"]


def test_what_is_not_asked_for_is_forgotten_once_something_is_added(tmp_path):
    memory = Memory(tmp_path, "code")
    ask(memory, ["a", "bb"])
    ask(memory, ["a"])  # nothing is added
    assert ask(memory, ["a", "bb"]) == []
    ask(memory, ["a", "ccc"])
    assert ask(memory, ["bb"]) == ["bb"]


def test_a_part_of_the_texts_makes_forget_nothing(tmp_path):
    memory = Memory(tmp_path, "code")
    ask(memory, ["a", "bb"])
    assert ask(memory.of_more(), ["ccc"]) == ["ccc"]
    assert ask(memory, ["a", "bb", "ccc"]) == []


def test_other_code_other_settings_or_another_form_know_nothing(tmp_path):
    ask(Memory(tmp_path, "code"), ["a"])
    keys = exact_keys(pl.Series(["a"]))
    assert Memory(tmp_path, "code").of("lengths", LENGTH).find(keys)[0].all()
    for other in (
        Memory(tmp_path, "other").of("lengths", LENGTH),
        Memory(tmp_path, "code").of("lengths", LENGTH, unit="words"),
        Memory(tmp_path, "code").of("lengths", np.dtype([("length", "<u8")])),
        Memory(tmp_path, "code").of("words", LENGTH),
    ):
        assert not other.find(keys)[0].any()


@pytest.mark.parametrize("name", ["high", "low", "results"])
def test_what_was_changed_on_the_disk_is_not_used(tmp_path, name):
    memory = Memory(tmp_path, "code")
    ask(memory, ["a", "bb"])
    [path] = tmp_path.glob(f"lengths/*/{name}")
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    assert ask(memory, ["a", "bb"]) == ["a", "bb"]
    assert ask(memory, ["a", "bb"]) == []


def test_a_process_that_is_killed_loses_what_it_has_added_alone(tmp_path):
    memory = Memory(tmp_path, "code")
    ask(memory, ["a"])
    kept = memory.of("lengths", LENGTH)
    kept.add(exact_keys(pl.Series(["bb"])), results(["bb"]))
    del kept  # it never settles
    assert ask(memory, ["a", "bb"]) == ["bb"]


def test_no_text_is_kept(tmp_path):
    ask(Memory(tmp_path, "code"), ["a secret that nobody should read", "another"])
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files and not any(b"secret" in path.read_bytes() for path in files)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.lists(st.text("abc", max_size=3), max_size=12), max_size=4))
def test_however_texts_come_and_go_what_is_said_of_them_is_right(
    tmp_path: Path, monkeypatch, asked: list[list[str]]
) -> None:
    monkeypatch.setattr(remembered, "_AT_ONCE", 3)  # many ranges of keys
    shutil.rmtree(tmp_path / "memory", ignore_errors=True)
    memory, known = Memory(tmp_path / "memory", "code"), set[str]()
    for texts in asked:
        new = ask(memory, texts)
        assert set(new) == set(texts) - known
        known = set(texts) if new else known
