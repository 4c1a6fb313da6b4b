"""Tracebacks that may be kept: places and kinds of errors, no values."""

import pytest

from ft_assets.errors import UserError, without_values


def told(error: Exception) -> str:
    try:
        raise error
    except type(error) as raised:
        return without_values(raised)


@pytest.mark.parametrize(
    ("message", "kept"),
    [
        ("could not convert string to float: 'my private words'", "could not convert string to float: '…'"),
        ('failed for 1 out of 3 values: ["my, private"]', "failed for 1 out of 3 values: ['…']"),
        ("'my private' and 'words, too' differ", "'…' differ"),
        ("cut off: 'my private wor", "cut off: '…'"),
        ("mat1 and mat2 can't be multiplied (32x64 and 32x32)", None),
    ],
)
def test_what_stands_in_quotation_marks_is_left_out(message: str, kept: str | None) -> None:
    assert told(ValueError(message)).endswith(f"ValueError: {kept or message}")


def test_what_is_very_long_is_cut() -> None:
    assert len(told(ValueError("word " * 10_000)).rpartition("ValueError: ")[2]) < 400


def test_the_place_and_all_that_led_to_it_are_kept() -> None:
    try:
        try:
            raise KeyError("a private word")
        except KeyError as error:
            raise UserError("no 'label' there", where="file.csv", do="add it") from error
    except UserError as error:
        text = without_values(error)
    assert "'a private word'" not in text and "KeyError: '…'" in text
    assert text.index("KeyError") < text.index("which led to:") < text.index("no 'label' there")
    assert __file__ in text and "raise KeyError(" in text
