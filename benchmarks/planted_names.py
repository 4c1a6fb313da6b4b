"""Texts with names and postal addresses planted in them, and with what only looks like it: for measuring `names`.

Kept apart from what is measured, as `planted.py` is. First names and surnames are common ones of several languages, put
together by chance.
"""

from __future__ import annotations

import random

from benchmarks.planted import Planted

__all__ = ["SORTS", "planted_name"]

FIRST = [
    "Anna",
    "James",
    "Maria",
    "Peter",
    "Fatima",
    "Wei",
    "Oleg",
    "Ingrid",
    "Pierre",
    "Amara",
    "Carlos",
    "Yuki",
    "Priya",
    "Mohammed",
    "Chloe",
    "Lukas",
    "Sofia",
    "Kwame",
    "Nils",
    "Giulia",
    "Hannah",
    "Diego",
    "Emily",
    "Rahul",
    "Zoë",
    "Matteo",
    "Aisha",
    "Thomas",
    "Linh",
    "Katarzyna",
]
LAST = [
    "Smith",
    "Müller",
    "Okafor",
    "Dupont",
    "García",
    "Rossi",
    "Jansen",
    "O'Neill",
    "Nowak",
    "Kim",
    "Patel",
    "Johnson",
    "Fernández",
    "Schmidt",
    "Nguyen",
    "Lindqvist",
    "Moreau",
    "Abdi",
    "Tanaka",
    "Brown",
    "Ivanova",
    "Costa",
    "Hughes",
    "Weber",
    "Singh",
    "Dubois",
    "Larsen",
    "Haddad",
    "Murphy",
    "Kowalska",
]
STREETS = ["Oak", "Maple", "Church", "Victoria", "Mill", "Park", "High", "Washington", "Cedar", "Station"]
TOWNS = [
    "Springfield",
    "Bristol",
    "Oxford",
    "Portland",
    "Dayton",
    "Leeds",
    "Salem",
    "Franklin",
    "Dover",
    "Clinton",
]
OUTER = ("IL 62704", "OR 97201", "OH 45402", "MA 01970", "TN 37064")
GERMAN = ("Haupt", "Bahnhof", "Linden", "Goethe", "Schiller", "Garten")
IN_TEXTS = {
    "name": (
        "My name is {}, and I have been a customer for years.",
        "I spoke to {} in support on Monday.",
        "{} told me that the order was lost.",
        "Please send the invoice to {}.",
        "Thanks, {}",
        "the parcel was signed for by {} who does not live here",
    ),
    "address": (
        "Please deliver it to {} before Friday.",
        "I live at {} and nobody rang.",
        "My new address is {}.",
        "The parcel went to {} instead.",
    ),
}
NO_NAMES = (
    "The Galaxy Watch arrived in May, and the Pixel in August.",
    "I bought the Marshall speaker, not the Bose one.",
    "We will mark the order as sent, and bill you in March.",
    "Great Sound, Poor Battery, Would Not Buy Again.",
    "The Home Depot had it in stock; Target and Best Buy did not.",
    "Windows Update broke Microsoft Office again.",
    "It plays Dolby Atmos and DTS on the Sony receiver.",
    "Works with Alexa but not with Siri.",
)
NO_ADDRESSES = (
    "In 2019 Way more people bought it; 12 Angry Men is better.",
    "I waited 45 minutes at the counter, then 3 days for the parcel.",
    "The road is long: 200 miles of Route 66 in 4 hours.",
    "Chapter 12 Place Settings explains the 5 Star Drive mode.",
    "It took 3 attempts to drive the 40 screws in.",
    "Version 10 Court Edition costs 59 euros.",
)
SORTS = ("name", "address")


def planted_name(draw: random.Random, sort: str) -> Planted:
    """A text that holds a name or an address; or, of sort `none`, neither."""
    if sort == "none":
        return Planted(draw.choice(NO_NAMES + NO_ADDRESSES), sort, "", 0)
    value = _name(draw) if sort == "name" else _address(draw)
    before, after = draw.choice(IN_TEXTS[sort]).split("{}")
    return Planted(before + value + after, sort, value, len(before))


def _name(draw: random.Random) -> str:
    first, last = draw.choice(FIRST), draw.choice(LAST)
    return draw.choice((f"{first} {last}", f"{first} {last}", first, f"{first[0]}. {last}", f"Mr {last}"))


def _address(draw: random.Random) -> str:
    number = draw.randint(1, 240)
    street = (
        f"{number} {draw.choice(STREETS)} {draw.choice(('Street', 'Road', 'Avenue', 'Lane', 'St.', 'Dr'))}"
    )
    german = f"{draw.choice(GERMAN)}{draw.choice(('straße', 'str.', 'weg', 'allee'))} {number}"
    french = f"{number} {draw.choice(('rue', 'avenue'))} {draw.choice(('de la Paix', 'Pasteur', 'du Moulin Vert'))}"
    return draw.choice(
        (
            street,
            f"{street}, {draw.choice(TOWNS)}, {draw.choice(OUTER)}",
            f"{street}, {draw.choice(TOWNS)}",
            german,
            f"{german}, {draw.randint(10_000, 99_999)} {draw.choice(('Berlin', 'Köln', 'Bad Homburg'))}",
            f"{french}, {draw.randint(10_000, 95_999)} {draw.choice(('Paris', 'Lyon'))}",
        )
    )
