"""Texts with personal data planted in them, and with what only looks like it: for measuring detectors.

Kept apart from what is measured: nothing of `ft_assets` is imported, and check digits are computed here by the rules as
they are published. All values are drawn at random: nobody's, but of valid form. Not here: measuring (`data.py`).
"""

from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

__all__ = ["HARD_NEGATIVES", "KINDS", "Planted", "hard_negative", "mixed_texts", "planted", "prose"]

DIGITS, LETTERS, HEX = string.digits, string.ascii_uppercase, "0123456789abcdef"
ALNUM = string.ascii_letters + DIGITS
NAMED = re.compile(r'(?:SSN|BSN|"?client_secret"?:|api_key=|Authorization: Bearer|password:)[ "]*')


@dataclass(frozen=True)
class Planted:
    """A text, and where in it what stands.

    Attributes:
        text: A sentence or several.
        kind: Kind of personal data; or, of a hard negative, what it is (`order number`).
        value: What was planted, as it stands in the text.
        start: Its place, in characters.
    """

    text: str
    kind: str
    value: str
    start: int

    @property
    def secret(self) -> tuple[int, int]:
        """Start and end of what has to go: of `password: x` and `SSN 1` the part behind the name."""
        named = NAMED.match(self.value)
        end = self.start + len(self.value.rstrip('"'))
        return self.start + (named.end() if named else 0), end


def some(draw: random.Random, chars: str, count: int) -> str:
    return "".join(draw.choices(chars, k=count))


# --- Check digits, by the published rules


def luhn_digit(digits: str) -> str:
    """ISO/IEC 7812-1, annex B."""
    doubled = [int(each) * (2 if place % 2 == 0 else 1) for place, each in enumerate(reversed(digits))]
    return str(-sum(each // 10 + each % 10 for each in doubled) % 10)


def iban_of(country: str, account: str) -> str:
    """ISO 13616: 98 minus the number, letters as 10 to 35, mod 97."""
    number = "".join(str(int(char, 36)) for char in f"{account}{country}00")
    return f"{country}{98 - int(number) % 97:02d}{account}"


def steuer_id(draw: random.Random) -> str:
    """§ 139b AO: of the first ten digits one stands twice; check digit by ISO 7064, MOD 11,10."""
    digits = draw.sample(DIGITS, 9)
    digits.insert(draw.randrange(1, 9), draw.choice(digits))
    while digits[0] == "0" or any(
        a == b == c for a, b, c in zip(digits, digits[1:], digits[2:], strict=False)
    ):
        draw.shuffle(digits)
    product = 10
    for each in digits:
        product = ((int(each) + product) % 10 or 10) * 2 % 11
    return "".join(digits) + str((11 - product) % 10)


def nir(draw: random.Random) -> str:
    """INSEE: 97 minus the 13 digits mod 97."""
    body = (
        f"{draw.choice('12')}{draw.randrange(100):02d}{draw.randint(1, 12):02d}{draw.randint(1, 19):02d}"
        f"{draw.randint(1, 989):03d}{draw.randint(1, 999):03d}"
    )
    return f"{body}{97 - int(body) % 97:02d}"


def dni_letter(number: int) -> str:
    """Ministerio del Interior: the number mod 23."""
    return "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23]


ODD_LETTERS = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23]


def codice_fiscale(draw: random.Random) -> str:
    """DM 23 December 1976: odd places by a table, even ones by their value, sum mod 26."""
    odd = dict(
        zip(
            DIGITS + LETTERS,
            [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, *ODD_LETTERS],
            strict=True,
        )
    )
    consonants = "BCDFGLMNPRSTVZ"
    body = (
        f"{some(draw, consonants, 6)}{draw.randrange(100):02d}{draw.choice('ABCDEHLMPRST')}"
        f"{draw.randint(1, 28) + draw.choice((0, 40)):02d}{draw.choice('ABCDEFGHIL')}{draw.randint(1, 999):03d}"
    )
    total = sum(
        odd[char] if place % 2 == 0 else int(char) if char.isdigit() else LETTERS.index(char)
        for place, char in enumerate(body)
    )
    return body + LETTERS[total % 26]


def bsn(draw: random.Random) -> str:
    """Eleven test: 9a + 8b + ... + 2h - i is divisible by 11."""
    while True:
        body = f"{draw.randint(1, 9)}{some(draw, DIGITS, 7)}"
        rest = sum(int(each) * weight for each, weight in zip(body, range(9, 1, -1), strict=True)) % 11
        if rest < 10:
            return f"{body}{rest}"


# --- Personal data

NAMES = ["jane", "max", "li", "amara", "pierre", "zoë", "ingrid", "oleg", "fatima", "j.r", "maria-luisa"]
SURNAMES = ["doe", "muster", "okafor", "dupont", "garcia", "rossi", "jansen", "smith", "o'neill", "nowak"]
HOSTS = ["example.org", "example.com", "mail.example.net", "uni-beispiel.de", "firma.co.uk", "correo.es"]
HOSTS += ["posta.example.it", "münchen-post.de", "a.io", "dept.cs.example.edu", "shop.online"]


def email(draw: random.Random) -> str:
    name, surname = draw.choice(NAMES), draw.choice(SURNAMES)
    local = draw.choice(
        [f"{name}.{surname}", f"{name[0]}{surname}", f"{name}_{draw.randint(1, 99)}", f"{name}+shop", name]
    )
    made = f"{local}@{draw.choice(HOSTS)}"
    return draw.choice([made, made, made, made.upper(), made.title()])


def groups(digits: str, *sizes: int, gap: str = " ") -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return gap.join([*parts, *([digits[at:]] if digits[at:] else [])])


def phone(draw: random.Random) -> str:
    def n(count: int) -> str:
        return some(draw, DIGITS, count)

    area = draw.choice(["202", "212", "303", "312", "415", "512", "617", "702", "206", "404"])
    exchange, line = f"{draw.randint(2, 9)}{draw.randint(2, 9)}{draw.randint(0, 9)}", n(4)
    gap = draw.choice(" -./")
    return draw.choice(
        [
            f"({area}) {exchange}-{line}",
            f"{area}-{exchange}-{line}",
            f"{area}.{exchange}.{line}",
            f"+1 {area} {exchange} {line}",
            f"+1-{area}-{exchange}-{line}",
            f"+1{area}{exchange}{line}",
            f"1-{area}-{exchange}-{line}",
            f"020 7946 0{n(3)}",
            f"07700 900{n(3)}",
            f"0161 496 0{n(3)}",
            f"+44 20 7946 0{n(3)}",
            f"+44 (0)7700 900{n(3)}",
            f"030{gap}23125{n(3)}",
            f"0171 39200{n(2)}",
            f"(089) 9998{n(4)}",
            f"+49 (0)40 66969{n(3)}",
            f"0049 221 4710{n(3)}",
            f"+4915228817{n(3)}",
            f"01 99 00 {n(2)} {n(2)}",
            f"06.39.98.{n(2)}.{n(2)}",
            f"+33 6 39 98 {n(2)} {n(2)}",
            f"+34 612 {n(3)} {n(3)}",
            f"+39 02 {n(4)} {n(4)}",
            f"+39 347 {n(3)} {n(4)}",
            f"020-{draw.randint(2, 7)}{n(6)}",
            f"06-{draw.randint(1, 5)}{n(7)}",
            f"+41 44 668 18 {n(2)}",
            f"+43 1 5880{n(4)}",
            f"+46 70 174 06 {n(2)}",
            f"+91 98{n(3)} {n(5)}",
            f"+81 3-{draw.randint(3, 6)}{n(3)}-{n(4)}",
            f"+61 4{draw.randint(10, 29)} {n(3)} {n(3)}",
            f"+55 11 9{draw.randint(6, 9)}{n(3)}-{n(4)}",
            f"+48 22 {draw.randint(3, 6)}{n(2)} {n(2)} {n(2)}",
        ]
    )


def phone_in_one_piece(draw: random.Random) -> str:
    """Only a word before it tells: without one nobody could know."""
    n = some(draw, DIGITS, 6)
    return draw.choice(
        [
            f"212{draw.randint(2, 9)}{draw.randint(2, 9)}{n[:5]}",
            f"07700900{n[:3]}",
            f"0171{n}1",
            f"0612{n}",
        ]
    )


def card(draw: random.Random) -> str:
    prefix, length, sizes = draw.choice(
        [
            ("4", 16, (4, 4, 4)),
            ("4", 16, (4, 4, 4)),
            (str(draw.randint(51, 55)), 16, (4, 4, 4)),
            (str(draw.randint(2221, 2720)), 16, (4, 4, 4)),
            (draw.choice(["34", "37"]), 15, (4, 6)),
            (draw.choice(["6011", "65"]), 16, (4, 4, 4)),
            (str(draw.randint(3528, 3589)), 16, (4, 4, 4)),
            ("36", 14, (4, 6)),
            ("62", 16, (4, 4, 4)),
        ]
    )
    body = prefix + some(draw, DIGITS, length - len(prefix) - 1)
    digits = body + luhn_digit(body)
    return draw.choice(
        [digits, groups(digits, *sizes), groups(digits, *sizes), groups(digits, *sizes, gap="-")]
    )


def iban(draw: random.Random) -> str:
    def n(count: int) -> str:
        return some(draw, DIGITS, count)

    country, account = draw.choice(
        [
            ("DE", n(18)),
            ("AT", n(16)),
            ("CH", n(5) + n(12)),
            ("NL", some(draw, LETTERS, 4) + n(10)),
            ("GB", some(draw, LETTERS, 4) + n(14)),
            ("FR", n(10) + some(draw, DIGITS + LETTERS, 11) + n(2)),
            ("ES", n(20)),
            ("IT", draw.choice(LETTERS) + n(10) + some(draw, DIGITS, 12)),
            ("NO", n(11)),
            ("PL", n(24)),
            ("MT", some(draw, LETTERS, 4) + n(5) + some(draw, DIGITS, 18)),
        ]
    )
    whole = iban_of(country, account)
    return draw.choice([whole, groups(whole, *[4] * ((len(whole) - 1) // 4)), whole.lower()])


def national_id(draw: random.Random) -> str:
    area = draw.choice([each for each in range(1, 900) if each != 666])
    ssn = f"{area:03d}-{draw.randint(1, 99):02d}-{draw.randint(1, 9999):04d}"
    nino = (
        f"{draw.choice('ABCEGHJLMPRSTWXYZ')}{draw.choice('ACEHJLMPRSWXY')}{some(draw, DIGITS, 6)}"
        f"{draw.choice('ABCD')}"
    )
    tax, french, number, foreign = (
        steuer_id(draw),
        nir(draw),
        draw.randrange(10**8),
        draw.randrange(3 * 10**7),
    )
    nie = f"{'XYZ'[foreign // 10**7]}{foreign % 10**7:07d}{dni_letter(foreign)}"
    return draw.choice(
        [
            ssn,
            ssn,
            f"SSN {ssn.replace('-', '')}",
            nino,
            groups(nino, 2, 2, 2, 2),
            tax,
            groups(tax, 2, 3, 3),
            french,
            groups(french, 1, 2, 2, 2, 3, 3),
            f"{number:08d}{dni_letter(number)}",
            f"{number:08d}-{dni_letter(number)}",
            nie,
            codice_fiscale(draw),
            f"BSN {bsn(draw)}",
        ]
    )


def ip(draw: random.Random) -> str:
    def octet() -> int:
        return draw.randint(0, 255)

    def group() -> str:
        return f"{draw.randrange(1, 65536):x}"

    return draw.choice(
        [
            f"192.0.2.{octet()}",
            f"198.51.100.{octet()}",
            f"203.0.113.{octet()}",
            f"10.{octet()}.{octet()}.{octet()}",
            f"192.168.{octet()}.{octet()}",
            f"{draw.randint(11, 126)}.{octet()}.{octet()}.{octet()}",
            f"{draw.randint(130, 223)}.{octet()}.{octet()}.{octet()}",
            f"2001:db8::{group()}",
            f"2001:db8:{group()}:{group()}::{group()}",
            "2001:0db8:" + ":".join(f"{draw.randrange(65536):04x}" for _ in range(6)),
            f"fe80::{group()}:{group()}:{group()}:{group()}",
        ]
    )


def key(draw: random.Random) -> str:
    def url64(count: int) -> str:
        return some(draw, ALNUM + "-_", count)

    def part(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    body = base64.b64encode(draw.randbytes(150)).decode()
    pem = "\n".join(body[at : at + 64] for at in range(0, len(body), 64))
    sort = draw.choice(["RSA ", "EC ", "", "OPENSSH "])
    head = part('{"alg":"HS256","typ":"JWT"}')
    claims = f'{{"sub":"{draw.randrange(10**9)}","iat":{draw.randrange(10**9)}}}'
    secret = some(draw, ALNUM, draw.choice([20, 32, 40]))
    return draw.choice(
        [
            f"sk-{some(draw, ALNUM, 48)}",
            f"sk-proj-{url64(60)}a1",
            f"sk-test-{some(draw, HEX, 20)}",
            f"ghp_{some(draw, ALNUM, 36)}",
            f"github_pat_{some(draw, ALNUM, 22)}_{some(draw, ALNUM, 59)}",
            f"glpat-{some(draw, ALNUM, 20)}",
            f"AKIA{some(draw, LETTERS + '234567', 16)}",
            f"AIza{some(draw, ALNUM, 35)}",
            f"xoxb-{some(draw, DIGITS, 11)}-{some(draw, DIGITS, 12)}-{some(draw, ALNUM, 24)}",
            f"sk_live_{some(draw, ALNUM, 24)}",
            f"hf_{some(draw, string.ascii_letters, 34)}",
            f"npm_{some(draw, ALNUM, 36)}",
            f"SG.{some(draw, ALNUM, 22)}.{some(draw, ALNUM, 43)}",
            f"{head}.{part(claims)}.{some(draw, ALNUM, 43)}",
            f"-----BEGIN {sort}PRIVATE KEY-----\n{pem}\n-----END {sort}PRIVATE KEY-----",
            f"api_key={secret}",
            f'"client_secret": "{secret}"',
            f"Authorization: Bearer {secret}",
            f"password: {some(draw, ALNUM, 6)}{draw.choice('!#%')}{draw.randint(10, 99)}x",
        ]
    )


def url(draw: random.Random) -> str:
    host, secret = draw.choice(["example.com", "db.example.org", "git.example.net"]), some(draw, ALNUM, 16)
    return draw.choice(
        [
            f"https://{draw.choice(NAMES[:5])}:{secret}@{host}/orders?id={draw.randrange(999)}",
            f"postgresql://app:{secret}@{host}:5432/shop",
            f"mongodb+srv://{draw.choice(NAMES[:3])}:{secret}@{host}/test?retryWrites=true",
            f"ftp://anna:{secret[:8]}@{host}/in/",
            f"redis://:{secret}@{host}:6379/0",
            f"https://{secret}{secret}@{host}/team/code.git",
            f"https://{host}/v1/items?page=2&access_token={secret}{secret}",
            f"https://{host}/file.zip?sig={secret}&se=2024-01-01",
            f"https://{host}/login?user=x&password={secret}",
        ]
    )


KINDS: dict[str, Callable[[random.Random], str]] = {
    "email": email,
    "phone": phone,
    "card": card,
    "iban": iban,
    "id": national_id,
    "ip": ip,
    "key": key,
    "url": url,
}

# --- What only looks like it


def isbn13(draw: random.Random) -> str:
    body = f"978{some(draw, DIGITS, 9)}"
    digit = -sum(int(each) * (3 if place % 2 else 1) for place, each in enumerate(body)) % 10
    return draw.choice([f"{body}{digit}", f"{body[:3]}-{body[3]}-{body[4:7]}-{body[7:]}-{digit}"])


def wrong(draw: random.Random, right: str) -> str:
    """One digit changed, so that no check digit holds."""
    places = [place for place, char in enumerate(right) if char.isdigit()]
    at = draw.choice(places[4:])
    return f"{right[:at]}{(int(right[at]) + draw.randint(1, 8)) % 10}{right[at + 1 :]}"


def date(draw: random.Random) -> str:
    y, m, d = draw.randint(1950, 2029), draw.randint(1, 12), draw.randint(1, 28)
    return draw.choice(
        [
            f"{y}-{m:02d}-{d:02d}",
            f"{d:02d}.{m:02d}.{y}",
            f"{m:02d}/{d:02d}/{y}",
            f"{d:02d}-{m:02d}-{y}",
            f"{y}{m:02d}{d:02d}",
            f"{y}-{m:02d}-{d:02d} {draw.randrange(24):02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d}",
            f"{d:02d}/{m:02d}/{y} {draw.randrange(24):02d}.{draw.randrange(60):02d}",
        ]
    )


def n(draw: random.Random, low: int, high: int) -> str:
    return str(draw.randint(10 ** (low - 1), 10**high - 1))


NO_PERSONAL_CODE = [
    "@property",
    "std::vector<int>",
    "x[1::2]",
    "token = tokenizer.next_token",
    "a::b",
    "fade::beef",
]
NO_PERSONAL_CODE += [
    "password = getpass()",
    "sk-learn-style-pipeline-object",
    "api_key=os.environ",
    "secret: optional",
]


def order_number(draw: random.Random) -> str:
    return draw.choice(
        [
            f"order {n(draw, 5, 12)}",
            f"order no. {n(draw, 9, 9)}",
            f"invoice {n(draw, 10, 10)}",
            f"order #{n(draw, 3, 3)}-{n(draw, 7, 7)}-{n(draw, 7, 7)}",
            f"ticket {n(draw, 8, 8)}",
            f"order 0{n(draw, 9, 9)}",
            f"case {n(draw, 4, 4)}-{n(draw, 4, 4)}-{n(draw, 4, 4)}",
        ]
    )


def bare_number(draw: random.Random) -> str:
    millions = f"{draw.randint(1, 9)},{n(draw, 3, 3)},{n(draw, 3, 3)}"
    return draw.choice([n(draw, 7, 11), millions, n(draw, 13, 16)])


def version(draw: random.Random) -> str:
    a, b, c, d = draw.randint(0, 20), draw.randint(0, 99), draw.randint(0, 99), draw.randint(0, 255)
    return draw.choice(
        [
            f"firmware {a}.{b}.{c}",
            f"version {a}.{b}.{c}.{d}",
            f"v{a}.{b}.{c}.{d}",
            f"build {a}.0.{draw.randint(1000, 22000)}.{d}",
            f"package@{a}.{b}.{c}",
        ]
    )


def book(draw: random.Random) -> str:
    return f"{draw.choice(['ISBN ', 'isbn: ', ''])}{isbn13(draw)}"


def other_code_number(draw: random.Random) -> str:
    issn = f"ISSN {n(draw, 4, 4)}-{n(draw, 4, 4)}"
    return draw.choice([issn, f"EAN {n(draw, 13, 13)}", f"IMEI {n(draw, 15, 15)}"])


def price_or_decimal(draw: random.Random) -> str:
    place = f"{draw.randint(-90, 90)}.{n(draw, 6, 6)}, {draw.randint(1, 180)}.{n(draw, 6, 6)}"
    price = f"1.{n(draw, 3, 3)}.{n(draw, 3, 3)},00"
    return draw.choice([f"{draw.randint(1, 9)},{n(draw, 3, 3)}.00", f"0.{n(draw, 9, 9)}", place, price])


def hash_or_uuid(draw: random.Random) -> str:
    uuid = "-".join(some(draw, HEX, size) for size in (8, 4, 4, 4, 12))
    return draw.choice([some(draw, HEX, 40), some(draw, HEX, 64), uuid, some(draw, HEX, 7)])


def mac_or_time(draw: random.Random) -> str:
    time = f"{draw.randrange(24):02d}:{draw.randrange(60):02d}:{draw.randrange(60):02d}"
    return draw.choice([":".join(some(draw, HEX, 2) for _ in range(6)), time])


def mention_or_file(draw: random.Random) -> str:
    picture = f"IMG_2021{n(draw, 4, 4)}_{n(draw, 6, 6)}.jpg"
    others = ["icon@2x.png", "see git@github.com:team/code.git", "5 pcs @ 3.50", picture]
    return draw.choice([f"@{draw.choice(NAMES[:5])}_{draw.randrange(99)}", *others])


def plain_url(draw: random.Random) -> str:
    return draw.choice(
        [
            f"https://example.com/orders/{n(draw, 6, 10)}?page={draw.randrange(99)}",
            "https://example.org/@jane/post",
            "ssh://git@git.example.net/team/code.git",
            f"http://shop.example.com/item?id={n(draw, 8, 8)}&ref=home",
        ]
    )


def no_such_id(draw: random.Random) -> str:
    rest = f"{n(draw, 2, 2)}-{n(draw, 4, 4)}"
    return draw.choice([f"000-{rest}", f"666-{rest}", f"BG{n(draw, 6, 6)}A", f"9{n(draw, 8, 8)}"])


def part_number(draw: random.Random) -> str:
    return draw.choice(
        [
            f"part {some(draw, LETTERS, 2)}-{n(draw, 4, 4)}-{n(draw, 3, 3)}",
            f"model {some(draw, LETTERS, 3)}{n(draw, 6, 6)}",
            f"1Z{some(draw, LETTERS + DIGITS, 16)}",
            f"serial {some(draw, LETTERS + DIGITS, 12)}",
        ]
    )


HARD_NEGATIVES: dict[str, Callable[[random.Random], str]] = {
    "order number": order_number,
    "bare number": bare_number,
    "version": version,
    "ISBN": book,
    "ISSN, EAN, IMEI": other_code_number,
    "date": date,
    "price or decimal": price_or_decimal,
    "hash or UUID": hash_or_uuid,
    "MAC or time": mac_or_time,
    "code": lambda draw: draw.choice(NO_PERSONAL_CODE),
    "mention or file": mention_or_file,
    "URL": plain_url,
    "wrong check digit": lambda draw: wrong(draw, draw.choice([iban, card])(draw)),
    "no such id": no_such_id,
    "part number": part_number,
}

# --- Texts around it

LEAD = {
    "email": ["please answer to", "write me at", "my address is", "from", "contact:", "it went to", "cc", "reach"],
    "phone": ["call me at", "my number is", "phone:", "tel.", "you reach us under", "the shop has", "fax", "or try"],
    "card": ["I paid with", "card", "charged to", "my Visa", "number", "it is", "from"],
    "iban": ["refund it to", "IBAN", "my account is", "transfer to", "to", "from"],
    "id": ["my id is", "ID:", "they asked for", "I gave them", "the form says", "under"],
    "ip": ["it only answers at", "from", "the server is", "logged in from", "blocked", "I see", "host"],
    "key": ["my key is", "use", "I pasted", "here:", "config:", "then"],
    "url": ["see", "it is at", "clone", "connect to", "link:", "open"],
}  # fmt: skip
PLAIN_LEAD = ["about", "it says", "the box has", "I have", "see", "with", "for", "since", "and then"]
# Words that speak of numbers and of calling, with neither behind them.
DISTRACTIONS = [
    "My order is late after the update.",
    "I did call the phone line.",
    "The invoice is wrong.",
    "Version 2!",
]
DISTRACTIONS += [
    "The model on the page, the case, the serial and the item:",
    "They sent me the ticket,",
    "No SSN.",
]
TAIL = [
    "24 hours a day",
    "2 times",
    "soon",
    "please",
    "in the app",
    "from home",
    "last week",
    "for it",
    "again",
    "as before",
    "if you can",
]
THINGS = ["kettle", "lamp", "keyboard", "backpack", "printer", "router", "jacket", "tent", "monitor", "radio"]
VERBS = ["works", "stopped", "arrived", "broke", "helps", "rattles", "leaks", "shines", "smells", "fits"]
MORE = ["beautifully", "suddenly", "again", "late", "today", "twice", "quietly", "badly", "well", "slowly"]
OTHERS = [
    "für Oma",
    "très bien",
    "in the café",
    "“really”",
    "\u2013 honestly",
    "naïve me",
    "cafe\u0301",
    "🙂",
    "¿verdad?",
]
TAGS = [
    "<p>{}</p>",
    "<div class='x'>{}</div>",
    "{}<br/>",
    "<b>{}</b>",
    '<a href="https://example.org/a">{}</a>',
]


def prose(draw: random.Random, chars: int) -> str:
    """Sentences of about so many characters, a tenth of them with letters that are not ASCII."""
    parts: list[str] = []
    size = 0
    while size < chars:
        whose, what = draw.choice(THINGS), f"{draw.choice(VERBS)} {draw.choice(MORE)}"
        sentence = f"The {draw.choice(THINGS)} of my {whose} shop {what}"
        if draw.random() < 0.1:
            sentence += f" {draw.choice(OTHERS)}"
        parts.append(f"{sentence}.")
        size += len(sentence) + 2
    return " ".join(parts)


def planted(draw: random.Random, kind: str, chars: int = 80) -> Planted:
    """A text with one value of the kind."""
    value, lead = KINDS[kind](draw), draw.choice(LEAD[kind])
    if kind == "phone" and draw.random() < 0.1:
        value, lead = phone_in_one_piece(draw), draw.choice(["call me at", "phone:", "tel.", "my mobile is"])
    return _within(draw, kind, value, lead, chars)


def hard_negative(draw: random.Random, chars: int = 80) -> Planted:
    """A text with something that only looks like personal data."""
    sort = draw.choice(list(HARD_NEGATIVES))
    return _within(draw, sort, HARD_NEGATIVES[sort](draw), draw.choice(PLAIN_LEAD), chars)


def _within(draw: random.Random, kind: str, value: str, lead: str, chars: int) -> Planted:
    before, after = prose(draw, chars // 2), prose(draw, chars // 2)
    if draw.random() < 0.3:
        before += f" {draw.choice(DISTRACTIONS)}"
    end = draw.choice([".", ",", "", "!", ")"])
    opening = " (" if end == ")" else " "
    quantity = draw.choice(["2", "room 12", "AB12 is it"]) + opening if draw.random() < 0.05 else ""
    head = f"{before} And {lead}{opening}{quantity}"
    return Planted(f"{head}{value}{end} {draw.choice(TAIL)}. {after}", kind, value, len(head))


def mixed_texts(draw: random.Random, count: int, chars: int = 330) -> Iterator[str]:
    """Rows as they come in: prose; a tenth each with personal data, with what looks like it, with tags, with loose
    white space, and seen before; a few broken ones."""
    kept: list[str] = []
    for place in range(count):
        chance = draw.random()
        if chance < 0.1:
            text = planted(draw, draw.choice(list(KINDS)), chars).text
        elif chance < 0.2:
            text = hard_negative(draw, chars).text
        elif chance < 0.3:
            text = " ".join(draw.choice(TAGS).format(prose(draw, chars // 4)) for _ in range(4))
        elif chance < 0.4 and kept:
            text = draw.choice(kept).upper() if draw.random() < 0.3 else draw.choice(kept)
        elif chance < 0.5:
            text = prose(draw, chars).replace(". ", draw.choice([".\r\n", ".  ", ".\u00a0", "\t"]))
        elif chance < 0.51:
            text = prose(draw, chars).encode().decode("cp1252", "replace")
        elif chance < 0.515:
            text = draw.choice(["", "  \t", "\u200b"])
        elif chance < 0.516:
            text = prose(draw, 21_000)
        else:
            text = f"{prose(draw, chars)} {place}"
        kept = [*kept[-200:], text] if len(text) < 2_000 else kept
        yield text
