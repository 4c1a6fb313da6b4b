"""Keys, tokens and passwords, and URLs that hold one.

By the prefixes that providers give their keys, by their form (PEM, JWT), or behind a word that says so (`api_key = …`);
what has no form of its own must look random.
"""

from __future__ import annotations

import base64
import math
import re
from collections import Counter

from ft_assets.data.personal.detector import Detector, Spans

__all__ = ["KEY", "URL"]

_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----")
# A key that was cut off has no end: as much as looks like its body.
_PEM_BODY = re.compile(r"(?:[A-Za-z0-9+/=\s]|\\[nr]|[A-Za-z-]{1,30}: [^\n]{0,200}\n)*+")

_LONGEST_PEM = 16_000  # an RSA key of 16,384 bits has some 12,000 characters

# Prefix and form of each, as its provider documents it, or as the public rules of secret scanners have it.
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    r"gh[pousr]_[A-Za-z0-9]{30,255}|github_pat_[A-Za-z0-9_]{40,255}|glpat-[\w-]{20,255}"
    r"|(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}|AIza[\w-]{35}|ya29\.[\w-]{20,400}|GOCSPX-[\w-]{28}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,250}"
    r"|(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{16,250}|whsec_[A-Za-z0-9]{20,100}"
    r"|hf_[A-Za-z]{30,50}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{40,400}|dop_v1_[a-f0-9]{64}"
    r"|SG\.[\w-]{16,40}\.[\w-]{30,60}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|dckr_pat_[\w-]{20,60}"
    r"|eyJ[\w-]{10,2000}\.eyJ[\w-]{10,8000}(?:\.[\w-]{0,2000})?"
    r")(?![A-Za-z0-9])",
    re.ASCII,
)
# This prefix is a word of everyday code, too (`sk-learn-…`): what follows must look random.
_SK = re.compile(r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{16,250}(?![A-Za-z0-9_-])", re.ASCII)
_NAMED = re.compile(
    r"(?:api[_ -]?key|access[_ -]?key|secret[_ -]?key|private[_ -]?key|account[_ -]?key|client[_ -]?secret|secret|"
    r"token|password|passwd|passwort|pwd)\\{0,3}[\"']?\s{0,3}(?:[:=]|=>|\bis\b)\s{0,3}\\{0,3}[\"']?(?P<value>[^\s\"'`,;<>(){}\[\]]{8,250})"
    r"|\bbearer\s{1,3}(?P<bearer>[\w~+/.=-]{16,2000})"
    r"|\bbasic\s{1,3}(?P<basic>[A-Za-z0-9+/]{6,2000}={0,2})",
    re.IGNORECASE,
)
# One of these stands in whatever that finds; few texts have one.
_WORDS = ("key", "secret", "token", "pass", "pwd", "bearer", "basic")
# Bits a character: English words have about 2.8 to 3.3 over such lengths, random hex digits 3.4 and more from 16 on.
_RANDOM = 3.0


def _keys(text: str) -> Spans:
    for begin in _PEM.finditer(text):
        last = f"-----END {begin[1]}-----"
        end = text.find(last, begin.end(), begin.end() + _LONGEST_PEM)
        body = _PEM_BODY.match(text, begin.end(), begin.end() + _LONGEST_PEM)
        yield begin.start(), end + len(last) if end >= 0 else body.end() if body else begin.end()
    for found in _PREFIXED.finditer(text):
        yield found.span()
    for found in _SK.finditer(text):
        if _is_random(found[0][3:]):
            yield found.span()
    folded = text.casefold()
    for found in _NAMED.finditer(text) if any(word in folded for word in _WORDS) else ():
        name = str(found.lastgroup)
        value = found[name].rstrip(".!?:\\")  # quotation marks within JSON stand behind a backslash
        if _is_login(value) if name == "basic" else _is_random(value):
            yield found.start(name), found.start(name) + len(value)


def _is_login(value: str) -> bool:
    """Whether it is a name and a password, as HTTP has them (RFC 7617)."""
    try:
        login = base64.b64decode(value + "=" * (-len(value) % 4)).decode()
    except ValueError:
        return False
    return login.isprintable() and ":" in login


def _is_random(value: str) -> bool:
    """Whether it mixes digits, letters and cases, and repeats itself as little, as what is drawn by chance."""
    digits = sum(char.isdigit() for char in value)
    capitals = sum(char.isupper() for char in value)
    letters = sum(char.isalpha() for char in value)
    # Names have few digits and capitals (`tokenizer_v2`, `getAccessToken`), numbers have no letters.
    mixed = letters and 0.25 <= capitals / letters <= 0.75
    if not letters or not (digits >= 3 or mixed or (digits and len(value) < 16)):
        return False
    return (digits > 0 or len(value) >= 16) and _entropy(value) >= min(_RANDOM, 0.85 * math.log2(len(value)))


def _entropy(value: str) -> float:
    """Shannon's entropy of its characters, in bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


# The user's part is bounded, and ends at what may not stand in it (RFC 3986, 3.2.1).
_USERINFO = re.compile(
    r"://(?P<user>[^\s/@<>\"'`:]{0,200})(?P<password>:[^\s/@<>\"'`]{1,300})?@[^\s<>\"'`]+", re.IGNORECASE
)
_QUERY = re.compile(
    r"://[^\s<>\"'`?#]{1,500}\?(?=[^\s<>\"'`]{0,2000}?(?<=[?&])(?:access_token|auth_token|id_token|refresh_token|token|"
    r"api_?key|key|secret|password|passwd|pwd|sig|signature|x-amz-signature)=[^&\s#]{6})[^\s<>\"'`]+",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{1,20}\Z", re.IGNORECASE)
_LONGEST_SCHEME = 22
_TRAILING = ".,;:!?)]}"


def _urls(text: str) -> Spans:
    for found in _USERINFO.finditer(text):
        scheme = _scheme(text, found.start())
        # Without a password it names a user alone (`ssh://git@host/path`), but for http, where it is a token.
        if scheme and (found["password"] or (found["user"] and scheme.startswith("http"))):
            yield _trimmed(found, scheme)
    for found in _QUERY.finditer(text):
        scheme = _scheme(text, found.start())
        if scheme in ("http", "https"):
            yield _trimmed(found, scheme)


def _scheme(text: str, at: int) -> str:
    scheme = _SCHEME.search(text[max(0, at - _LONGEST_SCHEME) : at])
    return scheme[0].lower() if scheme else ""


def _trimmed(found: re.Match[str], scheme: str) -> tuple[int, int]:
    """From the scheme to the end, without the full stop or the bracket of the sentence around it."""
    return found.start() - len(scheme), found.start() + len(found[0].rstrip(_TRAILING))


KEY = Detector(
    r"PRIVATE KEY|gh[pousr]_|github_pat_|glpat-|AKIA|ASIA|AROA|AIDA|AIza|ya29\.|GOCSPX-|xox[abeoprs]-|xapp-|sk-|"
    r"[spr]k_(?:live|test)_|whsec_|hf_|npm_|pypi-|dop_v1_|SG\.|shp(?:at|ca|pa|ss)_|dckr_pat_|eyJ|"
    r"(?i:(?:key|secret|token|password|passwd|passwort|pwd)\\{0,3}[\"']?\s{0,3}(?:[:=]|is\s)|(?:bearer|basic)\s)",
    _keys,
)
URL = Detector(r"://[^\s/]*@|(?i:https?://[^\s?]*\?[^\s]*=)", _urls)
