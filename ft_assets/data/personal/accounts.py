"""Payment cards and IBANs."""

from __future__ import annotations

import re

from ft_assets.data.personal.detector import Detector, Spans

__all__ = ["CARD", "IBAN"]

# Looked ahead for, so that a number before it (`2 4111 …`) does not swallow it. Not in the middle of an IBAN.
_CARD = re.compile(
    r"[2-6](?<![\w.+-].)(?<![A-Z]{2}\d\d .)(?=(?P<rest>(?:[ -]?\d){11,18})(?![\w-]|\.\d))", re.ASCII
)
# How issuers group the digits; any other grouping is some other number.
_GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (4, 4, 4, 1), (6, 13), (8, 8)}
# Issuer prefixes and their lengths, by ISO/IEC 7812 as the schemes publish them: Visa, Mastercard, American Express,
# Discover, JCB, Diners Club, UnionPay, Maestro.
_ISSUERS = re.compile(
    r"4\d{15}(?:\d{3})?|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12,15}|35(?:2[89]|[3-8]\d)\d{12,15}|3(?:0[0-59]|[689]\d)\d{11}"
    r"|62\d{14,17}|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}"
)


def _cards(text: str) -> Spans:
    from stdnum import luhn

    for found in _CARD.finditer(text):
        value = found[0] + found["rest"]
        groups = re.split("[ -]", value)
        # The last groups may be another number that stands behind it.
        for count in range(len(groups), 0, -1):
            digits = "".join(groups[:count])
            grouped = count == 1 or tuple(map(len, groups[:count])) in _GROUPS
            if grouped and _ISSUERS.fullmatch(digits) and luhn.is_valid(digits):
                yield found.start(), found.start() + len(digits) + count - 1
                break


# Country, check digits, up to 30 more (ISO 13616); written in one piece or in groups. It is found by its first
# digit, and looked ahead for: words such as `AB12` before it look like its beginning.
_IBAN = re.compile(
    r"\d(?<=[a-z]{2}.)(?<![^\W_][a-z]{2}.)\d(?=(?P<rest>(?:[ -]?[a-z0-9]){11,30}))", re.IGNORECASE | re.ASCII
)
_SHORTEST = 15  # Norway's


def _ibans(text: str) -> Spans:
    from stdnum import iban

    for found in _IBAN.finditer(text):
        start = found.start() - len("DE")
        value = text[start : found.end("rest")]
        # Words behind it look like groups of it: the longest part that ends with a word and is valid.
        for end in range(len(value), _SHORTEST - 1, -1):
            behind = text[start + end : start + end + 1]
            if not behind.isalnum() and iban.is_valid(value[:end], check_country=False):
                yield start, start + end
                break


CARD = Detector(r"[0-9](?:[ -]?[0-9]){11}", _cards)
IBAN = Detector(r"[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{4}", _ibans)
