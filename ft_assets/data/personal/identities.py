"""National ids: social security, tax and identity numbers that can be validated.

A form that other numbers have, too (nine digits in a row), counts only behind a word that says what it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ft_assets.data.personal.detector import Detector, Spans, said_before, words

__all__ = ["ID"]


@dataclass(frozen=True)
class _Form:
    """How an id is written.

    Attributes:
        pattern: As it is written, found by its first digit; its repetitions have a fixed length.
        check: Whether what was found is one.
        letters: Characters of it that stand before the first digit.
        after: Words one of which stands before it; None: the form is its own alone.
    """

    pattern: re.Pattern[str]
    check: Callable[[str], bool]
    letters: int = 0
    after: re.Pattern[str] | None = None


def _written(pattern: str, before: str = "", first: str = r"\d") -> re.Pattern[str]:
    """An id that begins with these letters, none or a fixed number, and goes on from its first digit."""
    return re.compile(
        rf"{first}(?<={before}.)(?<![\w.+-]{before}.){pattern}(?![\w-]|[.,]\d)", re.IGNORECASE | re.ASCII
    )


def _valid(module: str) -> Callable[[str], bool]:
    """The check of a module of `stdnum`, which is imported when it is needed."""

    def check(value: str) -> bool:
        return bool(import_module(f"stdnum.{module}").is_valid(value))

    return check


# Prefixes that are given out (HMRC, National Insurance Manual, NIM39110); there is no check digit.
_NINO = re.compile(r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]", re.IGNORECASE)

_FORMS = (
    # United States, social security number.
    _Form(_written(r"\d\d-\d{2}-\d{4}"), _valid("us.ssn")),
    _Form(
        _written(r"\d\d ?\d{2} ?\d{4}"),
        _valid("us.ssn"),
        after=words(r"ssn|social security(?: (?:number|no\.?))?"),
    ),
    # United Kingdom, national insurance number.
    _Form(_written(r"\d ?\d{2} ?\d{2} ?[A-D]", "[A-Z]{2}"), lambda value: bool(_NINO.match(value)), 2),
    _Form(_written(r"\d ?\d{2} ?\d{2} ?[A-D]", "[A-Z]{2} "), lambda value: bool(_NINO.match(value)), 3),
    # Germany, tax id (§ 139b AO): one digit of the first ten stands two or three times; a check digit.
    _Form(_written(r"\d ?\d{3} ?\d{3} ?\d{3}", first="[1-9]"), _valid("de.idnr")),
    # France, social security number: sex, year, month, department, commune, order, key (mod 97).
    _Form(_written(r" ?\d{2} ?\d{2} ?\d[\dAB] ?\d{3} ?\d{3} ?\d{2}", first="[12]"), _valid("fr.nir")),
    # Spain, DNI and NIE: the letter is the number mod 23.
    _Form(_written(r"(?:\d{7}|\d\.\d{3}\.\d{3})[ -]?[A-Z]"), _valid("es.dni")),
    _Form(_written(r"\d{6}[ -]?[A-Z]", "[XYZ]"), _valid("es.nie"), 1),
    _Form(_written(r"\d{6}[ -]?[A-Z]", "[XYZ][ -]"), _valid("es.nie"), 2),
    # Italy, codice fiscale. Letters may stand for digits, from the right on.
    _Form(
        _written(r"[\dL-NP-V][A-EHLMPRST][\dL-NP-V]{2}[A-Z][\dL-NP-V]{3}[A-Z]", "[A-Z]{6}"),
        _valid("it.codicefiscale"),
        6,
    ),
    # Netherlands, BSN: one in eleven numbers of nine digits would pass.
    _Form(
        _written(r"(?:\d{8}|\d{3}\.\d{2}\.\d{3})"),
        _valid("nl.bsn"),
        after=words(r"bsn|burgerservicenummer|sofinummer"),
    ),
)
_OTHER = words(r"order|invoice|bestelling|factuur|ticket|tracking|serial|isbn|model|product|sku|part")


def _ids(text: str) -> Spans:
    for form in _FORMS:
        for found in form.pattern.finditer(text):
            start = found.start() - form.letters
            named = form.after is None or said_before(text, start, form.after, _OTHER)
            if named and form.check(text[start : found.end()]):
                yield start, found.end()


ID = Detector(
    r"(?i:ssn|social security|bsn|burgerservicenummer|sofinummer)"
    r"|[0-9]{3}-[0-9]{2}-[0-9]{4}"  # SSN
    r"|[0-9]{2} ?[0-9]{2} ?[0-9]{2} ?[A-Da-d]"  # NINO
    r"|[0-9]{2} ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}"  # tax id
    r"|[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9ABab] ?[0-9]{3}"  # NIR
    r"|(?:[0-9]{7}|[0-9]\.[0-9]{3}\.[0-9]{3})[ -]?[A-Za-z]"  # DNI, NIE
    r"|[A-Za-z]{6}[0-9][0-9A-Za-z][A-Za-z][0-9A-Za-z]{2}[A-Za-z]",  # codice fiscale
    _ids,
)
