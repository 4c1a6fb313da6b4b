"""Text as it may be shown to people in the UI and in reports: personal data and secrets masked, and cut.

Here: quick patterns that would rather mask too much. Not here: finding personal data in order to replace it
in the data, which wants validation and measured precision.
"""

from __future__ import annotations

import re

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
            r"\b(?:password|passwd|passwort|pwd|secret|token|api[_ -]?key)\s{0,3}(?:[:=]|\bis\b)\s{0,3}\S+"
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


def mask(text: str, limit: int = 80) -> str:
    """One line of the text, with typed placeholders for what looks private, cut to the limit.

    E-mail addresses, URLs, IBANs, IP addresses, national ids, keys and tokens, passwords and digit runs of seven and
    more (phone, card, account numbers) are masked; names and postal addresses are not. Control characters, line
    ends and the characters that reverse the direction of writing become spaces.

    Args:
        text: Any text.
        limit: Longest result, in characters; a cut one ends in an ellipsis.
    """
    # Masking before cutting, or a cut address would no longer look like one; the part that can be shown is
    # at most as long as its placeholders allow, so what lies far behind the limit need not be looked at.
    window = text[: 40 * limit + 4_000]
    shown = "".join(char if char.isprintable() else " " for char in window)
    for placeholder, pattern in _PATTERNS:
        shown = pattern.sub(placeholder, shown)
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit and len(window) == len(text) else shown[: limit - 1].rstrip() + "…"
