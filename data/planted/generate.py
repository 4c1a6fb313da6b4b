"""Writes the planted data set: `tickets.csv`, `tickets.jsonl`, `ratings.tsv` and `answers.json`.

    python data/planted/generate.py [FOLDER]

Everything in it is invented by this file: sentences from word lists, people who do not exist, addresses of
domains and networks reserved for examples (RFC 2606, RFC 5737), test numbers of card schemes. The answers are
written by the hand that plants, never by the code that is tested. Standard library only.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

SEED = 20_240
ROWS_OF_EACH_LABEL = 60

THINGS = ["kettle", "lamp", "keyboard", "backpack", "printer", "router", "jacket", "tent", "monitor", "radio"]
TIMES = ["after two days", "on the first evening", "within a week", "since March", "every single morning"]
PHRASES = {
    "positive": ["works beautifully", "is a joy to use", "looks great and feels solid", "exceeded my hopes"],
    "negative": ["stopped working", "arrived broken", "smells of burnt plastic", "is a waste of money"],
    "neutral": ["came in a brown box", "has a blue switch", "is the 2021 model", "weighs about two pounds"],
}
# How the labels are written in the files; the task maps them.
RAW = {"positive": ["pos", "+", "positive"], "negative": ["neg", "-", "negative"], "neutral": ["neu"]}
LABEL_MAP = {raw: label for label, raws in RAW.items() for raw in raws}

PERSONAL = {
    "email": "please answer to jane.doe@example.org soon",
    "phone": "call me at +1 (202) 555-0143 after six",
    "card": "I paid with 4111 1111 1111 1111 last week",
    "iban": "refund it to DE89 3704 0044 0532 0130 00 please",
    "ip": "it only answers at 192.0.2.77 from home",
    "token": "my key is sk-test-0a1b2c3d4e5f6a7b8c9d in the app",
    "id": "my social security number is 123-45-6789 in full",
    "url": "see https://user:secret@example.com/orders?id=7 for it",
}
NO_PERSONAL = {
    "order_number": "order 48213 came in two parts",
    "version": "firmware 10.2.1 fixed the fan",
    "date": "bought on 3 May 2021 in the shop",
    "price": "it cost 1,299.00 with the bag",
}


class Planter:
    """Collects rows and what is known about them; a row's number is known when the file is written."""

    def __init__(self) -> None:
        self.random = random.Random(SEED)  # noqa: S311 - a data set, not a secret
        self.rows: list[dict] = []
        self.used: set[str] = set()

    def sentence(self, label: str) -> str:
        while True:
            thing, other = self.random.sample(THINGS, 2)
            text = (
                f"The {thing} {self.random.choice(PHRASES[label])} {self.random.choice(TIMES)}, "
                f"unlike the {other} of my {self.random.choice(['brother', 'aunt', 'office', 'club'])}."
            )
            if text not in self.used:
                self.used.add(text)
                return text

    def author(self) -> str:
        return f"author-{self.random.randrange(40):02d}"

    def add(
        self, text: str, raw: str | None, kind: str = "clean", author: str | None = None, **known
    ) -> dict:
        row = {"author": author or self.author(), "text": text, "raw": raw, "kind": kind, **known}
        self.rows.append(row)
        return row

    def plant(self, kind: str, **known) -> dict:
        """A clean row of a random label, with a note of what it is for."""
        label = self.random.choice(list(RAW))
        return self.add(self.sentence(label), RAW[label][0], kind, **known)


def plant_all(make: Planter) -> None:
    for label, raws in RAW.items():
        for _ in range(ROWS_OF_EACH_LABEL):
            make.add(make.sentence(label), make.random.choice(raws))
    plant_duplicates(make)
    plant_labels(make)
    plant_texts(make)
    plant_encodings(make)
    for planted, sentences in (("personal", PERSONAL), ("no_personal", NO_PERSONAL)):
        for kind, tail in sentences.items():
            row = make.plant(planted, contains=kind)
            row["text"] = f"{row['text']} And {tail}."
    make.random.shuffle(make.rows)


def plant_duplicates(make: Planter) -> None:
    variants = [
        str,
        str.upper,
        lambda text: text.replace(" ", "  ") + " ",
        lambda text: text.replace(" ", "\u00a0"),
    ]
    for index in range(8):
        first = make.plant("duplicate", set=f"same-{index}")
        twin = make.add(variants[index % 4](first["text"]), first["raw"], "duplicate", set=f"same-{index}")
        twin["author"] = first["author"] if index % 2 else twin["author"]
    for index in range(3):  # the same label in two spellings: known to be duplicates only once mapped
        text, author = make.sentence("positive"), make.author()
        make.add(text, "pos", "duplicate_after_mapping", author, set=f"mapped-{index}")
        make.add(text, "+", "duplicate_after_mapping", author, set=f"mapped-{index}")


def plant_labels(make: Planter) -> None:
    for index in range(4):
        text = make.sentence("neutral")
        make.add(text, "pos", "conflict", set=f"conflict-{index}")
        make.add(text.lower(), "neg", "conflict", set=f"conflict-{index}")
    for raw in ["positiv", "POS", "n/a", "positiv", "5"]:
        make.plant("unknown_label")["raw"] = raw
    for raw in ["", "  ", ""]:
        make.plant("missing_label")["raw"] = raw
    for _ in range(6):  # wrong, but nothing in the row shows it: for whoever looks for label errors
        make.add(make.sentence("positive"), "neg", "wrong_label", true_label="positive")


def plant_texts(make: Planter) -> None:
    for text in ["", "   ", "\t", "\u200b\u200b"]:
        make.plant("empty_text")["text"] = text
    for _ in range(2):
        row = make.plant("too_long")
        row["text"] = " ".join([row["text"]] * (20_000 // len(row["text"]) + 1))
    for text in ["Fine.", "So-so.", "Gone!"]:
        make.plant("short_but_fine")["text"] = text


def plant_encodings(make: Planter) -> None:
    words = ["café", "crème brûlée", "it\u2019s nice \u2013 really", "costs 20 €"]
    for index, word in enumerate(words):
        row = make.plant("mojibake")
        row["repaired"] = f"{row['text']} ({word} {index})"
        row["text"] = row["repaired"].encode().decode("cp1252")
    for word in words:
        row = make.plant("fine_accents")
        row["text"] = f"{row['text']} ({word})"
    for _ in range(2):
        row = make.plant("lost_character")
        row["text"] = row["text"].replace("e", "\ufffd", 1)
    for _ in range(3):  # a byte of Latin-1 in a file of UTF-8
        row = make.plant("undecodable")
        row["text"], row["bytes"] = f"{row['text']} Voil@.", (b"@", b"\xe0")
    for _ in range(2):
        row = make.plant("nul")
        row["text"], row["bytes"] = f"{row['text']} A@B.", (b"@", b"\0")
    for cells in (["only one field"], ["a", "b", "c", "d", "e"]):
        make.rows.append({"kind": "ragged", "cells": cells})
    make.rows.append({"kind": "open_quote", "line": 'author-00,"a quote that nobody closes,pos'})


# What each kind must come to: stage and rule of its rows' end, or None where they are kept.
FATES = {
    "undecodable": ("raw_examples", "undecodable"),
    "nul": ("raw_examples", "malformed_row"),
    "ragged": ("raw_examples", "malformed_row"),
    "open_quote": ("raw_examples", "malformed_row"),
    "empty_text": ("cleaned_examples", "empty_text"),
    "too_long": ("cleaned_examples", "too_long"),
    "lost_character": ("cleaned_examples", "undecodable"),
    "unknown_label": ("labeled_examples", "unknown_label"),
    "missing_label": ("labeled_examples", "missing_label"),
    "conflict": ("labeled_examples", "conflicting_labels"),
}


def cell(value: str) -> str:
    return '"' + value.replace('"', '""') + '"' if any(char in value for char in ',"\n') else value


def csv_line(row: dict) -> bytes:
    if "line" in row:
        return row["line"].encode() + b"\r\n"
    cells = row.get("cells") or [row["author"], cell(row["text"]), cell(row["raw"] or "")]
    line = ",".join(cells).encode()
    return (line.replace(*row["bytes"]) if "bytes" in row else line) + b"\r\n"


def json_line(row: dict) -> bytes:
    record = {"author": row["author"], "text": row["text"], "label": row["raw"]}
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"


def answer(row: dict, file: str, number: int) -> dict:
    stage, rule = FATES.get(row["kind"], (None, None))
    known = {
        key: row[key]
        for key in ("set", "contains", "true_label", "repaired", "raw")
        if row.get(key) is not None
    }
    return {"file": file, "row": number, "kind": row["kind"], "stage": stage, "rule": rule, **known}


def write_tickets(folder: Path) -> list[dict]:
    make = Planter()
    plant_all(make)
    # What only a text format can hold goes into the csv; a third of the rest into the JSON Lines.
    only_csv = {"undecodable", "nul", "ragged", "open_quote"}
    in_json = [row for index, row in enumerate(make.rows) if index % 3 == 0 and row["kind"] not in only_csv]
    chosen = {id(row) for row in in_json}
    in_csv = [row for row in make.rows if id(row) not in chosen]
    (folder / "tickets.csv").write_bytes(b"author,text,label\r\n" + b"".join(map(csv_line, in_csv)))
    (folder / "tickets.jsonl").write_bytes(b"".join(map(json_line, in_json)))
    return [
        *(answer(row, "tickets.csv", number) for number, row in enumerate(in_csv, start=2)),
        *(answer(row, "tickets.jsonl", number) for number, row in enumerate(in_json, start=1)),
    ]


def write_ratings(folder: Path) -> list[dict]:
    """Latin-1, tab-separated, no header: id, rating, text; quotes are characters, one rating is no number."""
    make = Planter()
    lines, answers = [], []
    for number in range(1, 31):
        label = make.random.choice(list(RAW))
        base = {"positive": 2.0, "negative": -2.0, "neutral": 0.0}[label]
        rating = f"{base + make.random.uniform(-0.4, 0.4):.2f}"
        text = make.sentence(label) + {3: ' "Voilà', 7: " très bien", 11: ' 5" wide'}.get(number, "")
        known: dict = {"kind": "rating", "label": label}
        if number == 13:
            rating, known = (
                "two",
                {"kind": "not_a_number", "stage": "labeled_examples", "rule": "not_a_number"},
            )
        lines.append(f"{number % 6}_{number}\t{rating}\t{text}\r\n")
        answers.append({"file": "ratings.tsv", "row": number, "stage": None, "rule": None, **known})
    (folder / "ratings.tsv").write_bytes("".join(lines).encode("latin-1"))
    return answers


def main(folder: Path) -> None:
    tickets, ratings = write_tickets(folder), write_ratings(folder)
    answers = {"label_map": LABEL_MAP, "rows": tickets + ratings}
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in answers["rows"])
    head = json.dumps(answers["label_map"], ensure_ascii=False)
    (folder / "answers.json").write_text(
        f'{{"label_map": {head},\n "rows": [\n  {lines}\n ]}}\n', encoding="utf-8"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
