"""E-mail addresses and IP addresses."""

from __future__ import annotations

import ipaddress
import re

from ft_assets.data.personal.detector import Detector, Spans, said_before, words

__all__ = ["EMAIL", "IP"]

# RFC 5321, 4.5.3.1: 64 octets before the @. They are looked for backwards from it, each read once (possessive).
_DOMAIN = re.compile(
    r"@(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}(?P<top>[^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w@])",
    re.IGNORECASE,
)
_LOCAL = re.compile(r"(?<![\w.+%'-])[\w.+%'-]++\Z")
_LONGEST_LOCAL = 64
# `icon@2x.png` is a file, and `git@host.org:path` names a repository for ssh.
_FILE_ENDINGS = frozenset(
    {"png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "ts", "py", "json", "html"}
)


def _emails(text: str) -> Spans:
    for found in _DOMAIN.finditer(text):
        before = text[max(0, found.start() - _LONGEST_LOCAL - 1) : found.start()]
        local = _LOCAL.search(before)
        name = local[0].lstrip("'.") if local else ""  # not the quotation mark or the full stop before it
        is_file = found["top"].lower() in _FILE_ENDINGS
        if 0 < len(name) <= _LONGEST_LOCAL and not is_file and name != "git":
            yield found.start() - len(name), found.end()


_V4 = re.compile(r"\d(?<![\w.-].)\d{0,2}(?:\.\d{1,3}){3}(?![\w-]|\.\d)", re.ASCII)
# Found by its first colon; `ipaddress` judges the rest.
_V6 = re.compile(
    r":(?<=[0-9a-f]{4}:)(?<![\w:.].{5})[0-9a-f:]{1,34}(?:\d{1,3}(?:\.\d{1,3}){3})?(?![\w:])", re.IGNORECASE
)
_NO_ADDRESS = words(
    "version|release|firmware|build|ver|v|rev|revision|section|chapter|clause|paragraph|"
    "figure|table|kernel|sdk|bios|oid|update to|upgraded to"
)
_ADDRESS = words("ip|address|host|server|from|client|login|dns|gateway|ping|subnet|proxy|router")
# From 2000 on: what is assigned to somebody (IANA, IPv6 address space). Below lie loopback and what code writes as
# a slice (`x[12::2]`).
_FIRST_OF_V6 = 0x2000


def _ips(text: str) -> Spans:
    for found in _V4.finditer(text):
        if _identifies(found[0]) and said_before(text, found.start(), _ADDRESS, _NO_ADDRESS) is not False:
            yield found.span()
    for found in _V6.finditer(text):
        start = found.start() - len("2001")
        value = text[start : found.end()]
        value = value if value.endswith("::") else value.rstrip(":")
        # Words of hex letters (`fade::beef`) are names in code.
        is_name = value.replace(":", "").isalpha()
        if not is_name and int(value[:4], 16) >= _FIRST_OF_V6 and _identifies(value):
            yield start, start + len(value)


def _identifies(text: str) -> bool:
    """Whether it is an address, and one of some machine: none that every machine has, no network mask."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified or address.packed[:2] == b"\xff\xff")


EMAIL = Detector(r"[^\s@]@[^\s@]+\.", _emails)
IP = Detector(r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9a-fA-F]{4}:[0-9a-fA-F:]*:", _ips)
