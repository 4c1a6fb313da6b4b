"""Files that are looked at again and again."""

import hashlib
import os

import pytest

from ft_assets.errors import UserError
from ft_assets.planning.watch import SETTLED_SECONDS, FileWatch

NOW = 1_900_000_000.0


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.csv"
    write(path, "one", NOW - 60)
    return path


def write(path, text, when):
    path.write_text(text)
    os.utime(path, (when, when))


def look(tmp_path, path, now=NOW):
    watch = FileWatch(tmp_path / "memory.sqlite", now)
    try:
        return watch.sha256(path)
    finally:
        watch.save()


def test_a_file_is_known_by_its_content(tmp_path, file):
    assert look(tmp_path, file) == hashlib.sha256(b"one").hexdigest()
    write(file, "two", NOW - 50)
    assert look(tmp_path, file) == hashlib.sha256(b"two").hexdigest()


def test_what_has_not_changed_is_not_read_again(tmp_path, file):
    before = look(tmp_path, file)
    stat = file.stat()
    with file.open("r+b") as same:  # other bytes under the same size, time and number, as nobody writes them
        same.write(b"eno")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert look(tmp_path, file) == before


def test_a_file_that_was_just_written_to_is_waited_for(tmp_path, file):
    write(file, "half", NOW - SETTLED_SECONDS / 2)
    with pytest.raises(UserError, match=r"a\.csv is still being written"):
        look(tmp_path, file)
    assert look(tmp_path, file, NOW + SETTLED_SECONDS) == hashlib.sha256(b"half").hexdigest()


def test_a_time_stamp_in_the_future_delays_and_does_not_block(tmp_path, file):
    write(file, "ahead", NOW + 86_400)
    with pytest.raises(UserError, match="still being written"):
        look(tmp_path, file)
    with pytest.raises(UserError, match="still being written"):
        look(tmp_path, file, NOW + 1)
    assert look(tmp_path, file, NOW + SETTLED_SECONDS) == hashlib.sha256(b"ahead").hexdigest()


def test_a_file_that_has_vanished_is_told(tmp_path, file):
    file.unlink()
    with pytest.raises(UserError, match=r"a\.csv cannot be read"):
        look(tmp_path, file)


def test_what_is_remembered_may_be_lost(tmp_path, file):
    before = look(tmp_path, file)
    (tmp_path / "memory.sqlite").unlink()
    assert look(tmp_path, file) == before
