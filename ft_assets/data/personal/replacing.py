"""Personal data in columns of text: replaced by placeholders, counted, and looked for again."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache

import polars as pl

from ft_assets.data.config import PersonalKind
from ft_assets.data.personal.accounts import CARD, IBAN
from ft_assets.data.personal.addresses import EMAIL, IP
from ft_assets.data.personal.credentials import KEY, URL
from ft_assets.data.personal.detector import Detector
from ft_assets.data.personal.identities import ID
from ft_assets.data.personal.phones import phone

__all__ = ["find", "free_of", "pseudonyms", "replace", "replace_in", "spans", "with_placeholders"]

# In this order: where two of them overlap, the first one is meant. A URL may hold an address, a token may hold digits,
# and a phone number is the weakest claim on a run of digits.
_DETECTORS: Mapping[PersonalKind, Detector] = {
    "url": URL,
    "key": KEY,
    "email": EMAIL,
    "iban": IBAN,
    "card": CARD,
    "id": ID,
    "ip": IP,
}
# More than what nests in real texts: with a placeholder at the border of each, two or three.
_PASSES = 8
# Digits of other scripts, and the spaces, hyphens and wide signs that stand in numbers and addresses, one character for
# one.
_NOT_PLAIN = (
    r"[\p{Nd}--[0-9]]|[\x{a0}\x{2007}\x{2009}\x{202f}\x{2010}-\x{2015}\x{2212}\x{ff0b}\x{ff0e}\x{ff20}]"
)

_SIGNS = {
    **dict.fromkeys("\u00a0\u2007\u2009\u202f", " "),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
    "\uff0b": "+",
    "\uff0e": ".",
    "\uff20": "@",
}
_NO_ASCII = re.compile(rf"[\d{''.join(_SIGNS)}](?<![0-9])")
# What hides an address from collectors of such: a browser shows `a&#64;b.org` and `a&commat;b.org` as `a@b.org`.
_REFERENCE = (
    r"&(?:amp;)*(#[0-9]{2,7};?|#[xX][0-9a-fA-F]{2,6};?|(?:commat|period|plus|lowbar|colon|sol|dash|hyphen);)"
)
_REFERENCES = re.compile(_REFERENCE)
# What Unicode calls default ignorable, among Latin letters, digits and signs, where no script and no emoji needs it.
_UNSEEN = (
    "[\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff]"
)
_LATIN = "[ -~\u00c0-\u024f]"
_BETWEEN = re.compile(f"{_UNSEEN}(?<={_LATIN}.){_UNSEEN}*+(?={_LATIN})")
_AT = re.compile(r"%40(?<=[\w.+-]%40)(?=[\w-]+\.\w)")  # as URLs write an address
_HIDDEN = f"{_REFERENCE}|{_UNSEEN}|%40"


def replace(
    texts: pl.Series, kinds: Sequence[PersonalKind], regions: Sequence[str]
) -> tuple[pl.Series, Counter[str]]:
    """Texts with typed placeholders (`<EMAIL>`) in the place of personal data, and how many there were of each kind.

    Where HTML's character references, characters that nobody sees, or `%40` hide some, those of the text are resolved.

    Args:
        texts: Strings; nulls stay.
        kinds: What to look for.
        regions: Countries whose phone numbers are known without their country code.
    """
    found: Counter[str] = Counter()
    detectors = _detectors(tuple(kinds), tuple(regions))
    texts = _with_hidden(texts, detectors)
    rows, remaining = list(range(len(texts))), texts
    # What is left may look like something new, since its neighbours have changed: until nothing is found.
    for _ in range(_PASSES):
        changed: dict[int, str] = {}
        for place, text, suspected in _suspects(remaining, detectors):
            if taken := find(text, suspected):
                found.update(kind for _, _, kind in taken)
                changed[rows[place]] = with_placeholders(text, taken)
        if not changed:
            return texts, found
        rows, remaining = list(changed), pl.Series(list(changed.values()), dtype=pl.String)
        texts = texts.clone().scatter(rows, remaining)
    return texts.clone().scatter(rows, _bluntly(remaining, detectors)), found


def replace_in(text: str, kinds: Sequence[PersonalKind], regions: Sequence[str]) -> str:
    """One text with typed placeholders, as `replace` does it for many: for one, polars costs more than it saves."""
    detectors = _detectors(tuple(kinds), tuple(regions))
    resolved = _resolved(text)
    if resolved != text and find(resolved, detectors):
        text = resolved
    for _ in range(_PASSES):
        found = find(text, detectors)
        if not found:
            return text
        text = with_placeholders(text, found)
    return str(_bluntly(pl.Series([text]), detectors)[0])


def spans(
    texts: pl.Series, kinds: Sequence[PersonalKind], regions: Sequence[str]
) -> list[list[tuple[int, int, PersonalKind]]]:
    """Start, end and kind of what is found in each text, in its order; no two overlap."""
    found: list[list[tuple[int, int, PersonalKind]]] = [[] for _ in range(len(texts))]
    for place, text, suspected in _suspects(texts, _detectors(tuple(kinds), tuple(regions))):
        found[place] = find(text, suspected)
    return found


def free_of(texts: pl.Series, kinds: Sequence[PersonalKind], regions: Sequence[str]) -> pl.Series:
    """Whether each text holds none of these kinds; nulls hold none."""
    texts = _with_hidden(texts, _detectors(tuple(kinds), tuple(regions)))
    return pl.Series([not found for found in spans(texts, kinds, regions)], dtype=pl.Boolean)


def pseudonyms(
    texts: pl.Series, kinds: Sequence[PersonalKind], regions: Sequence[str], *, every: bool = False
) -> pl.Series:
    """Texts that stand for somebody (authors, customers): where one holds personal data, 16 digits of its SHA-256.

    A placeholder would make one of them all.

    Args:
        texts: Strings; nulls stay.
        kinds: What to look for.
        regions: Countries whose phone numbers are known without their country code.
        every: Whether each of them does: a name that stands by itself no model can tell.
    """
    free = texts.is_null() if every else free_of(texts, kinds, regions)
    hashed = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts.filter(~free)]
    return texts.clone().scatter((~free).arg_true(), pl.Series(hashed, dtype=pl.String))


def find(text: str, detectors: Mapping[PersonalKind, Detector]) -> list[tuple[int, int, PersonalKind]]:
    """Start, end and kind of what is found, in the order of the text; no two overlap."""
    plain = text if text.isascii() else _in_ascii(text)
    found: list[tuple[int, int, PersonalKind]] = []
    taken = bytearray(len(text))
    for kind, detector in detectors.items():
        for start, end in detector.find(plain):
            if taken.find(1, start, end) < 0:
                taken[start:end] = b"\1" * (end - start)
                found.append((start, end, kind))
    return sorted(found)


def _with_hidden(texts: pl.Series, detectors: Mapping[PersonalKind, Detector]) -> pl.Series:
    """The texts, with what hides something resolved in those that turn out to hold something then: in others it may be
    what is talked about."""
    places = texts.str.contains(_HIDDEN).fill_null(False).arg_true()
    if not len(places):
        return texts
    resolved = pl.Series([_resolved(text) for text in texts.gather(places)], dtype=pl.String)
    holding = [place for place, text, suspected in _suspects(resolved, detectors) if find(text, suspected)]
    return texts.clone().scatter(places.gather(holding), resolved.gather(holding))


def _resolved(text: str) -> str:
    """The text as it is meant: without character references, unseen characters, and `%40` in an address."""
    text = _REFERENCES.sub(lambda found: html.unescape(f"&{found[1]}"), text)
    return _AT.sub("@", _BETWEEN.sub("", text))


def _suspects(
    texts: pl.Series, detectors: Mapping[PersonalKind, Detector]
) -> Iterator[tuple[int, str, dict[PersonalKind, Detector]]]:
    """Place and text of each row that looks as if it held something, and the detectors to ask."""
    plain = _in_ascii_digits(texts)
    # One bit a kind: few sets of kinds occur, and each is made once.
    bits = pl.Series([0], dtype=pl.UInt32).new_from_index(0, len(texts))
    for bit, detector in enumerate(detectors.values()):
        bits = bits + plain.str.contains(detector.looks_like).fill_null(False).cast(pl.UInt32) * (1 << bit)
    sets: dict[int, dict[PersonalKind, Detector]] = {}
    rows = (bits > 0).arg_true()
    for place, text, found in zip(rows, texts.gather(rows), bits.gather(rows), strict=True):
        if found not in sets:
            sets[found] = {
                kind: each for bit, (kind, each) in enumerate(detectors.items()) if found >> bit & 1
            }
        yield place, text, sets[found]


def _bluntly(texts: pl.Series, detectors: Mapping[PersonalKind, Detector]) -> pl.Series:
    """The texts without all that only looks like something, for those that were written so as to have no end."""
    while any(True for _ in _suspects(texts, detectors)):
        for kind, detector in detectors.items():
            texts = _in_ascii_digits(texts).str.replace_all(detector.looks_like, f"<{kind.upper()}>")
    return texts


def _in_ascii_digits(texts: pl.Series) -> pl.Series:
    """The texts as the patterns read them; looking first, because few need it."""
    other = ((texts.str.len_bytes() != texts.str.len_chars()) & texts.str.contains(_NOT_PLAIN)).fill_null(
        False
    )
    if not other.any():
        return texts
    plain = pl.Series([_in_ascii(text) for text in texts.filter(other)], dtype=pl.String)
    return texts.clone().scatter(other.arg_true(), plain)


def with_placeholders(text: str, found: Iterable[tuple[int, int, str]]) -> str:
    """The text with a placeholder (`<KIND>`) from each start to each end, in its order."""
    parts, last = [], 0
    for start, end, kind in found:
        parts += [text[last:start], f"<{kind.upper()}>"]
        last = end
    return "".join([*parts, text[last:]])


@cache
def _detectors(kinds: tuple[PersonalKind, ...], regions: tuple[str, ...]) -> Mapping[PersonalKind, Detector]:
    wanted = {kind: detector for kind, detector in _DETECTORS.items() if kind in kinds}
    return {**wanted, "phone": phone(regions)} if "phone" in kinds else wanted


def _in_ascii(text: str) -> str:
    """The text with these characters as ASCII. Few texts have many: replacing is quicker than `str.translate`."""
    return _NO_ASCII.sub(lambda found: _SIGNS.get(found[0]) or str(unicodedata.decimal(found[0])), text)
