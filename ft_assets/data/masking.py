"""Text as it may be shown to people in the UI and in reports: personal data and secrets masked, and cut.

Whatever `personal` finds is gone, and so is what quick patterns hold for private, which would rather mask too much. Not
here: replacing personal data in the data, which wants precision.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, partial

__all__ = ["mask"]

# Order matters: a URL may hold an address, a token may hold digits. Every repetition is bounded or works on a
# class that its neighbour cannot match, so that hostile text costs linear time.
_PATTERNS = [
    ("<KEY>", re.compile(r"-----BEGIN [A-Z ]{1,40}-----.*?(?:-----END [A-Z ]{1,40}-----|$)", re.DOTALL)),
    ("<URL>", re.compile(r"(?:\b[a-z][a-z0-9+.-]{1,15}://|\bwww\.)[^\s<>\"']+", re.IGNORECASE)),
    ("<EMAIL>", re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")),
    (
        "<KEY>",
        re.compile(
            r"\b(?:[spr]k|gh[pousr]|github_pat|glpat|hf|xox[abeoprs]|xapp|npm|pypi|whsec|shp(?:at|ca|pa|ss)|dckr_pat|"
            r"dop_v1|GOCSPX)[-_][\w-]{8,}|\b(?:SG|ya29)\.[\w-]{8,}(?:\.[\w-]+)?"
            r"|\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{12,}|\bAIza[\w-]{20,}|\beyJ[\w-]{8,}(?:\.[\w-]+){0,2}"
        ),
    ),
    (
        "<SECRET>",
        re.compile(
            r"(?<![^\W_])(?:password|passwd|passwort|pwd|secret|token|(?:api|access|secret|private|account)[_ -]?key)"
            r"\\{0,3}[\"']?\s{0,3}(?:[:=]|\bis\b)\s{0,3}\S+"
            r"|\bbearer\s{1,3}[\w~+/.=-]{8,}",
            re.IGNORECASE,
        ),
    ),
    ("<IBAN>", re.compile(r"\b[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,4})?\b")),
    (
        "<IP>",
        re.compile(
            r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\b(?:[0-9a-fA-F]{1,4}:){4,7}[0-9a-fA-F]{0,4}\b"
            r"|\b(?:[0-9a-fA-F]{1,4}:){1,6}(?::[0-9a-fA-F]{1,4}){1,6}\b"
        ),
    ),
    # National ids that hold letters: United Kingdom, Italy, Spain. Those of digits alone are numbers, below.
    (
        "<ID>",
        re.compile(
            r"\b(?:[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]|[A-Z]{6}[\dL-V]{2}[A-Z][\dL-V]{2}[A-Z][\dL-V]{3}[A-Z]"
            r"|[XYZ][ -]?\d{7}[ -]?[A-Z])\b",
            re.IGNORECASE,
        ),
    ),
    # Mixed letters and digits in one long word: keys, hashes, session ids.
    ("<KEY>", re.compile(r"\b(?=[A-Za-z_-]{0,64}\d)(?=[\d_-]{0,64}[A-Za-z])[\w-]{24,}")),
    # At least seven digits with the separators of phone, card and account numbers between them.
    ("<NUMBER>", re.compile(r"(?:\+|\b)\(?\d(?:[ ()./-]{0,3}\d){6,}")),
]


# A part of the text is looked at first; what its end may have cut in two, so that it no longer looks like anything, is
# not shown. Enough for what the patterns cannot tell by its beginning: an address up to its domain.
_MORE, _BROKEN = 400, 200
_PASSES = 8


def mask(text: str, limit: int = 80) -> str:
    """One line of the text, with typed placeholders for what looks private, cut to the limit.

    What the detectors of all kinds of personal data find is masked, phone numbers by the regions that are the default;
    and beyond it URLs, e-mail and IP addresses, IBANs, national ids, keys and tokens, passwords and digit runs of seven
    and more. Names and postal addresses are not. Control characters, line ends and the characters that reverse the
    direction of writing become spaces.

    Args:
        text: Any text.
        limit: Longest result, in characters; a cut one ends in an ellipsis.
    """
    # Masking before cutting, or a cut address would no longer look like one. Placeholders are short, so that more of
    # the text may have to be looked at, but not without end.
    size, most = limit + _MORE, 40 * limit + 4_000
    while True:
        shown = _masked(text[:size])
        if size >= len(text):
            return shown if len(shown) <= limit else _cut(shown, limit)
        shown = shown[:-_BROKEN]
        if len(shown) >= limit or size >= most:
            return _cut(shown, limit)
        size = min(4 * size, most)


def _cut(shown: str, limit: int) -> str:
    return shown[: limit - 1].rstrip() + "…"


def _masked(text: str) -> str:
    """One line with placeholders. What is left may look like something new: until nothing is found."""
    without_personal_data = _detectors()
    text = without_personal_data(text)
    for _ in range(_PASSES):
        shown = _one_line(text)
        text = shown if shown == text else without_personal_data(shown)
        if text == shown:
            return shown
    return "<TEXT>"  # written so as to have no end


def _one_line(text: str) -> str:
    """One line without what the quick patterns find."""
    if not text.isprintable():
        text = "".join(char if char.isprintable() else " " for char in text)
    for placeholder, pattern in _PATTERNS:
        text = pattern.sub(placeholder, text)
    return " ".join(text.split())


@cache
def _detectors() -> Callable[[str], str]:
    # Imported only where something is masked: forms are made when the code location loads, and polars is heavy.
    from ft_assets.data.config import CleaningConfig
    from ft_assets.data.personal import replace_in

    default = CleaningConfig()
    return partial(replace_in, kinds=default.personal_data, regions=default.phone_regions)
