"""Postal addresses by their form: street and number, and the town behind, as English, German, Dutch, French, Spanish
and Italian write them.

Case matters: `10 years in a way` is none. No two repetitions that follow each other can share a character, so time is
linear in the text. Not here: what else tells an address (`names`).
"""

from __future__ import annotations

import re

__all__ = ["STREETS", "TOWN"]

_WORD = r"[^\W\d_a-z](?:[\w'\u2019]|\.(?=\w)){0,30}"
"""A word that begins with a capital, without the full stop behind it."""
_WORDS = rf"{_WORD}(?:[ -]{_WORD}){{0,2}}"
_NUMBER = r"\d{1,5}(?:\s?[a-zA-Z]\b|\s?bis\b)?(?:\s?[-/]\s?\d{1,4})?"

_ENGLISH = (
    "Street|St|Avenue|Ave|Road|Rd|Lane|Ln|Drive|Dr|Court|Ct|Boulevard|Blvd|Square|Sq|Way|Place|Pl|Terrace|Close|"
    "Crescent|Parkway|Pkwy|Highway|Hwy"
)
_GERMAN = (
    r"straße|strasse|[Ss]tr\.|weg|allee|platz|gasse|ring|damm|ufer|straat|gracht|laan|plein|"
    "Straße|Strasse|Weg|Allee|Platz|Gasse|Markt|Ring|Damm|Ufer"
)
_FRENCH = "rue|avenue|boulevard|place|allée|chemin|impasse|quai"
_SPANISH = "[Cc]alle|[Aa]venida|[Pp]laza|[Pp]aseo|[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso"

STREETS = (
    # 12 Main Street, 221B Baker St., 5 Oak Lane, Apt. 3
    rf"\b{_NUMBER},? (?:{_WORD}\.? ){{1,4}}(?:{_ENGLISH})\b\.?"
    r"(?:,? (?:Apt|Apartment|Suite|Unit|Flat)\.? ?#?\w{1,5}\b)?",
    # Hauptstraße 5, Am Alten Markt 3a, Keizersgracht 12
    rf"\b(?:{_WORD}[ -]){{0,3}}[^\W\d_]{{0,40}}(?:{_GERMAN}) {_NUMBER}(?!\w)",
    # 8 bis, rue de la Paix
    rf"\b{_NUMBER},? (?:{_FRENCH})(?: (?:de|du|des|la|le|les))* (?:d'|l')?{_WORD}(?:[ -]{_WORD}){{0,3}}",
    # Calle de Alcalá 42, Via Roma, 10
    rf"\b(?:{_SPANISH})(?: (?:de|del|della|dei|la|las|los|el))*(?: {_WORD}){{1,3}},? {_NUMBER}(?!\w)",
)
"""Street and number."""

TOWN = re.compile(
    r"(?:[ \t]*[,\n][ \t]*| )(?:"
    # 10115 Berlin, D-10115 Berlin, 1012 AB Amsterdam, 75001 Paris
    rf"(?:[A-Z]{{1,2}}-)?\d{{4,5}}(?: [A-Z]{{2}}\b)? {_WORDS}"
    # Springfield, IL 62704
    rf"|{_WORDS},? (?:[A-Z]{{2}} )?\d{{5}}(?:-\d{{4}})?\b"
    # London NW1 6XE
    rf"|{_WORDS},? [A-Z]{{1,2}}\d[A-Z\d]? ?\d[A-Z]{{2}}\b)"
)
"""What may stand behind it: a town with its postal code."""
