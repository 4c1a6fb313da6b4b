"""Phone numbers: four ways of writing them, each judged by the number plans of `phonenumbers`.

A run of digits is a phone number if it is written as one (country code; area code in brackets or with the trunk zero;
in the groups of North America) or if a word before it says so, and if a number plan knows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ft_assets.data.personal.detector import Detector, Spans, said_before, words
from ft_assets.errors import UserError

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

__all__ = ["phone"]

_GAP = r"[ ()./-]{0,3}"
_ABROAD = re.compile(rf"[+0](?<![\w+].)(?:(?<=\+)|0(?=[1-9]))\(?\d(?:{_GAP}\d){{6,14}}(?!\w)", re.ASCII)
# Behind a point or the like it is a part of something else.
_AMERICA = re.compile(
    r"[(1-9](?<![\w.,/+-].)(?:(?<=1)[ .-]\(?[2-9]|(?<=\()[2-9]|(?<=[2-9]))\d\d(?:\) ?|[ .-])[2-9]\d\d[ .-]\d{4}"
    r"(?![\w-]|[.,]\d)",
    re.ASCII,
)
# Behind a digit and a space, it is a part of a longer number.
_TRUNK = re.compile(
    rf"[(0](?<![\w.,/+-].)(?<!\d .)(?:(?<=\()0|(?<=0))[1-9]\)?(?:{_GAP}\d){{6,11}}(?![\w-]|[.,/]\d)", re.ASCII
)
_PLAIN = re.compile(
    rf"[(0-9](?<![\w.,/+-].)(?<!\d .)(?:(?<=\()\d|(?<=\d))(?:{_GAP}\d){{6,11}}(?![\w-]|[.,/]\d)", re.ASCII
)
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[./-]\d{1,2}[./-]\d{1,2}|\d{1,2}[./-]\d{1,2}[./-](?:(?:19|20)\d\d|\d\d(?=\s|$)))(?!\d)"
)
_ISBN = re.compile(r"97[89][ -]?\d[ -]?\d")
_PHONE = words(
    r"phone|telephone|tel|mobile|cell|cellphone|fax|call|called|calling|ring|dial|text|whatsapp|sms|hotline|reach|"
    r"telefon|handy|mobil|anruf|anrufen|erreichbar|téléphone|portable|appel|appeler|appelez|teléfono|móvil|llame|"
    r"llama|llámame|llamar|telefono|cellulare|telefoon|bel|number is"
)
_OTHER = words(
    r"order|invoice|ticket|ref|reference|case|id|item|article|isbn|issn|ean|upc|asin|imei|version|serial|sn|tracking|"
    r"model|part|sku|date|bestellung|rechnung|artikel|commande|facture|pedido|pin|zip|"
    r"batch|lot|build|patent|parcel|shipment|page"
)


def phone(regions: Sequence[str]) -> Detector:
    """The detector of phone numbers.

    Args:
        regions: Countries whose numbers are known without their country code (ISO 3166, two letters).

    Raises:
        UserError: a country is unknown.
    """
    from phonenumbers import SUPPORTED_REGIONS

    unknown = sorted(set(regions) - SUPPORTED_REGIONS)
    if unknown:
        raise UserError(
            f"no phone numbers are known of {', '.join(unknown)}",
            where="cleaning.phone_regions",
            do="write countries by their two letters, such as US, GB, DE",
        )
    return Detector(rf"[0-9](?:{_GAP}[0-9]){{6}}", partial(_phones, regions=tuple(regions)))


def _phones(text: str, regions: tuple[str, ...]) -> Spans:
    for found in _ABROAD.finditer(text):
        end = _longest_valid(found[0])
        if end:
            yield found.start(), found.start() + end
    for found in _AMERICA.finditer(text):
        is_other = said_before(text, found.start(), _PHONE, _OTHER) is False
        if "US" in regions and not is_other and _is_valid(found[0], "US"):
            yield found.span()
    for pattern in (_TRUNK, _PLAIN):
        for found in pattern.finditer(text):
            value = found[0]
            if _is_other(value):
                continue
            said = said_before(text, found.start(), _PHONE, _OTHER)
            # With a trunk zero and gaps it is written as a phone number; without, or in one piece, it may be anything.
            written = pattern is _TRUNK and not value.isdigit() and said is None
            if said or written:
                for end in _ends(value):
                    if _is_valid_in(value[:end], regions, local=bool(said)):
                        yield found.start(), found.start() + end
                        break


def _is_other(value: str) -> bool:
    return bool(_DATE.match(value.lstrip("(")) or _ISBN.match(value))


def _ends(value: str) -> list[int]:
    """Where a number may end, the longest first: what follows may be another one. At least seven digits are left."""
    gaps = [gap.start() for gap in re.finditer(r"[ /]+", value)]
    whole = [len(value), *reversed(gaps)][:4]
    return [end for end in whole if sum(char.isdigit() for char in value[:end]) >= 7]


def _longest_valid(value: str) -> int:
    """How much of it is a number with its country code; 0: nothing.

    Behind a plus a possible length will do, since plans have gaps and change; two zeros alone say less.
    """
    number = "+" + value.removeprefix("00").lstrip("+")
    cut = len(value) - len(number)
    judges = (_is_valid, _is_possible) if value.startswith("+") else (_is_valid,)
    for judge in judges:
        for end in _ends(value):
            if judge(number[: end - cut], None):
                return end
    return 0


def _is_valid(value: str, region: str | None) -> bool:
    from phonenumbers import is_valid_number

    number = _parsed(value, region)
    return number is not None and is_valid_number(number)


def _is_possible(value: str, region: str | None) -> bool:
    from phonenumbers import is_possible_number

    number = _parsed(value, region)
    return number is not None and is_possible_number(number)


def _parsed(value: str, region: str | None) -> PhoneNumber | None:
    import phonenumbers

    try:
        return phonenumbers.parse(value, region)
    except phonenumbers.NumberParseException:
        return None


def _is_valid_in(value: str, regions: tuple[str, ...], *, local: bool) -> bool:
    """Whether it is a number of one of the countries; with `local`, one without its area code will do."""
    if any(_is_valid(value, region) for region in regions):
        return True
    return local and _is_local(value, regions)


def _is_local(value: str, regions: tuple[str, ...]) -> bool:
    from phonenumbers import ValidationResult, is_possible_number_with_reason

    numbers = [_parsed(value, region) for region in regions]
    local = ValidationResult.IS_POSSIBLE_LOCAL_ONLY
    return any(number is not None and is_possible_number_with_reason(number) == local for number in numbers)
