"""Ratings: what several people said of one text, and the label that follows.

A row's ratings are read from several columns, from one that holds lists, or from several rows of one text
(`columns.ratings`, `columns.rater`). Up to labelling they stand in the column `label`, as JSON: a list of
[rater, rating] pairs. Each rating of a rater who is named counts once for a text; one of nobody counts each time, and
so do those of a list. Rows with one text are therefore not merged before their ratings are counted.

Here: writing and changing that JSON, and the vote. Not here: what a single rating means (`labels`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable

import polars as pl

from ft_assets.data.formats import Json

__all__ = [
    "as_label",
    "disagreement",
    "is_list",
    "majority",
    "pseudonym",
    "ratings_of",
    "replaced",
    "tally",
    "votes",
]


def pseudonym(rater: str) -> str:
    """A name for a rater that does not tell who it is: 12 letters, 48 bits of SHA-256.

    Raters only have to be told apart. Letters alone, because digits may look like a phone number to what looks for
    personal data.
    """
    digits = hashlib.sha256(rater.strip().encode()).hexdigest()[:12]
    return "".join(chr(ord("a") + int(digit, 16)) for digit in digits)


def as_label(values: Iterable[tuple[str | None, str | None]]) -> str | None:
    """What stands in the column `label`: the JSON of the ratings; None if there are none.

    Args:
        values: Rater (a pseudonym; None: nobody is named) and what was read: a rating, or the JSON of several.
    """
    pairs = [[rater, rating] for rater, value in values for rating in ratings_of(value)]
    return _as_json(pairs) if pairs else None


def _as_json(pairs: Iterable[list[str | None]]) -> str:
    return json.dumps(list(pairs), ensure_ascii=False)


def ratings_of(value: str | None) -> list[str]:
    """The ratings in a cell: one, or those of a list (in JSON, as a csv file may hold it, too); empty ones are none."""
    found = _list_in(value)
    if found is not None:
        return [str(each) for each in found if each is not None and str(each).strip()]
    return [value] if value and value.strip() else []


def is_list(value: str | None) -> bool:
    """Whether a cell holds a list of ratings."""
    return _list_in(value) is not None


def _list_in(value: str | None) -> list[str | int | float | None] | None:
    if value is None or not (isinstance(value, Json) or value.lstrip().startswith("[")):
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and all(isinstance(each, str | int | float | None) for each in found):
        return found
    return None


def replaced(labels: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Labels that `as_label` made, with the function called once on all their ratings.

    (Called on the JSON it could break it: what it replaces may reach into an escape.)
    """
    held = [None if label is None else json.loads(label) for label in labels]
    ratings = pl.Series([rating for pairs in held for _, rating in pairs or []], dtype=pl.String)
    after = iter(function(ratings))
    made = [None if pairs is None else _as_json([rater, next(after)] for rater, _ in pairs) for pairs in held]
    return pl.Series(labels.name, made, dtype=pl.String)


def votes(rows: pl.DataFrame) -> pl.DataFrame:
    """One line a rating that counts: text_key and label, the rating as it was read but for white space around it.

    What a rater has said of a text twice, in one row or several, counts once; nobody's ratings count each time.

    Args:
        rows: text_key and label of all rows with these texts, the label as `as_label` made it.
    """
    pairs = pl.List(pl.List(pl.String))
    held = rows.select("text_key", pl.col("label").str.json_decode(pairs)).drop_nulls("label")
    each = held.explode("label").select(
        "text_key", pl.col("label").list.get(1).str.strip_chars(), pl.col("label").list.get(0).alias("rater")
    )
    named = each.filter(pl.col("rater").is_not_null()).unique(maintain_order=True)
    return pl.concat([each.filter(pl.col("rater").is_null()), named]).select("text_key", "label")


def tally(rows: pl.DataFrame) -> pl.DataFrame:
    """How many ratings of each text are for each label.

    Args:
        rows: One line a rating: text_key and mapped, the label that it is for (null: none of the task's).

    Returns:
        text_key, mapped and n, for each pair that there is.
    """
    return rows.drop_nulls("mapped").group_by("text_key", "mapped").agg(pl.len().cast(pl.Int64).alias("n"))


def majority(tallied: pl.DataFrame) -> pl.DataFrame:
    """The label that most ratings of each text are for.

    Args:
        tallied: What `tally` gives.

    Returns:
        text_key, mapped (null where several labels lead) and tied.
    """
    leading = pl.col("mapped").filter(pl.col("n") == pl.col("n").max()).alias("leading")
    found = tallied.group_by("text_key").agg(leading)
    tied = pl.col("leading").list.len() > 1
    only = pl.when(~tied).then(pl.col("leading").list.first()).alias("mapped")
    return found.select("text_key", only, tied.alias("tied"))


def disagreement(rows: pl.DataFrame, tallied: pl.DataFrame) -> pl.Series:
    """The share of a text's ratings that are for another label than it has: 0 if all agree; null if there are none.

    Args:
        rows: text_key and mapped, the label that the text has.
        tallied: What `tally` gives.
    """
    total = tallied.group_by("text_key").agg(pl.col("n").sum().alias("all"))
    counted = rows.select("text_key", "mapped").join(total, on="text_key", how="left", maintain_order="left")
    counted = counted.join(tallied, on=["text_key", "mapped"], how="left", maintain_order="left")
    against = (pl.col("all") - pl.col("n").fill_null(0)) / pl.col("all")
    return counted.select(against.alias("disagreement")).to_series()
