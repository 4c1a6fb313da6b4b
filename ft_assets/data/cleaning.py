"""The cleaned stage: texts repaired and normalised, unusable ones refused, exact duplicates merged.

Of a conversation the answer and what stood before are texts, too. Order of the repairs: encoding (mojibake, by
ftfy), HTML (`markup`), control characters, Unicode form, white space, personal data (`personal`). Refused rows are
kept as repaired: nothing that is stored from here on holds personal data that was found. A row is refused by the
first rule that it breaks: `empty_text`, `empty_answer`, `undecodable` (U+FFFD is left: something was lost before we
got it), `too_short`, `too_long`, then by those filters that the task asks for (`filters`). Not here: near duplicates;
labels are compared as read (`labels` compares them once they are mapped).
"""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa

from ft_assets.data import filters, languages
from ft_assets.data.cleaned_parts import CleanedPart, CleanedParts, parts
from ft_assets.data.config import CleaningConfig
from ft_assets.data.examples import (
    CLEANED_SCHEMA,
    QUARANTINE_SCHEMA,
    StageTables,
    counts,
    from_polars,
    quarantine_rows,
    to_polars,
)
from ft_assets.data.markup import without_html
from ft_assets.data.merging import first_seen, keep_by_id, merge, merged_table, repeated, several_groups
from ft_assets.data.personal import pseudonyms, replace
from ft_assets.data.ratings import replaced
from ft_assets.data.texts import (
    LENGTH_EDGES,
    lengths,
    read_texts,
    single_spaced,
    text_keys,
    text_lengths,
    where,
)
from ft_assets.spill import Spill
from ft_assets.turns import changed, texts

if TYPE_CHECKING:
    from ft_assets.data.personal.names import NameFinder

__all__ = ["clean"]

STAGE = "cleaned_examples"

# C0 and C1 controls but those that are white space (tab, line ends, VT, FF, NEL); zero-width space, word joiner, byte
# order mark, soft hyphen, grapheme joiner; marks of the direction of writing, which are for a screen. All of them can
# stand unseen in a number. Zero-width joiners stay: emoji, Indic and Persian script need them.
_CONTROLS = (
    r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u{ad}\u{34f}\u{200b}\u{200e}\u{200f}\u{202a}-\u{202e}"
    r"\u{2060}-\u{2064}\u{2066}-\u{206f}\u{feff}]"
)


# Where a row stood does not change what becomes of it.
_CLEANED = ["example_id", "context", "text", "label", "group", "time", "split"]


def clean(
    table: pa.Table,
    config: CleaningConfig,
    *,
    conversations: bool = False,
    rated: bool = False,
    kept: CleanedParts | None = None,
    names: NameFinder | None = None,
) -> StageTables:
    """Clean raw examples.

    Args:
        table: `RAW_SCHEMA` rows.
        config: What to repair and what to refuse.
        conversations: Whether rows are conversations: their context and answer are texts, too.
        rated: Whether labels are ratings (`ratings.as_label`). Rows are merged once these are counted (`labels`).
        kept: What was made of the same rows by the same rules before, and receives what is made now.
        names: What finds names (`config.names`); None: they stay.

    Returns:
        `CLEANED_SCHEMA` rows. Of rows equal in text_key and raw label one is kept, the first
        (`merging.precedence`). Beyond the common counts the summary has `repaired` (texts by kind of
        repair), `personal_data` (placeholders by kind, those of refused rows included), `lengths` (histogram and
        quartiles of characters, before and after), `texts_in_several_groups` (texts under at least two groups;
        they stay under the smallest one) and, unless that is switched off, `languages` (kept texts by language).
    """
    kept = kept or CleanedParts(None, "")
    told = _Told()
    usable, refused = Spill(CLEANED_SCHEMA), Spill(QUARANTINE_SCHEMA)
    for part in parts(table):
        done = kept.get(part.select(_CLEANED), lambda rows: _clean(rows, config, conversations, rated, names))
        usable.add(done.usable)
        refused.add(_with_places(done.refused, part))
        told.add(done.told)
    kept.forget_others()
    cleaned = usable.table()
    same = repeated(cleaned)
    gone = merge(same.clear() if rated else same)
    examples = keep_by_id(first_seen(cleaned, same), gone["place"])
    quarantine = keep_by_id(refused.table())
    merged = merged_table(cleaned, gone)
    summary = counts(table.num_rows, examples, quarantine, merged) | {
        "repaired": dict(told.repaired),
        "personal_data": {kind: told.personal_data[kind] for kind in _kinds(config)},
        "lengths": {
            "unit": "characters",
            "edges": LENGTH_EDGES,
            "before": lengths(text_lengths(table)),
            "after": lengths(text_lengths(examples)),
        },
        "texts_in_several_groups": several_groups(same),
    }
    if config.count_languages:
        summary["languages"] = languages.counted(examples, config)
    return StageTables(examples, quarantine, merged, summary)


def _kinds(config: CleaningConfig) -> list[str]:
    """All that is replaced by placeholders."""
    return [*config.personal_data, *(config.names.kinds if config.names else [])]


def _clean(
    rows: pa.Table, config: CleaningConfig, conversations: bool, rated: bool, names: NameFinder | None
) -> CleanedPart:
    """What becomes of each row by itself."""
    told = _Told()
    repaired = _repair(to_polars(rows), config, told, names, conversations=conversations, rated=rated)
    good, bad = _judged(repaired, config, conversations)
    good = good.with_columns(text_keys(read_texts(good)).alias("text_key"))
    usable, refused = from_polars(good, CLEANED_SCHEMA, sort=False), quarantine_rows(bad, STAGE)
    return CleanedPart(usable, refused, told.as_dict())


def _with_places(refused: pa.Table, part: pa.Table) -> pa.Table:
    """Refused rows with the file and row where each stood."""
    if not refused.num_rows:
        return refused
    places = to_polars(part.select(["example_id", "file", "row"]))
    joined = (
        to_polars(refused)
        .drop("file", "row")
        .join(places, on="example_id", how="left", maintain_order="left")
    )
    return from_polars(joined, QUARANTINE_SCHEMA, sort=False)


@dataclass
class _Told:
    """What the repairs have changed: texts by kind of repair, placeholders by kind of personal data."""

    repaired: Counter[str] = field(default_factory=Counter)
    personal_data: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, dict[str, int]]:
        return {"repaired": dict(self.repaired), "personal_data": dict(self.personal_data)}

    def add(self, other: Mapping[str, Mapping[str, int]]) -> None:
        self.repaired.update(other["repaired"])
        self.personal_data.update(other["personal_data"])


def _repair(
    frame: pl.DataFrame,
    config: CleaningConfig,
    told: _Told,
    names: NameFinder | None,
    *,
    conversations: bool,
    rated: bool,
) -> pl.DataFrame:
    """The frame with repaired texts; what was changed is added to `told`."""
    groups = frame["group"]
    if config.personal_data or names:
        regions, every = config.phone_regions, names is not None
        groups = _by_value(
            groups, partial(pseudonyms, kinds=config.personal_data, regions=regions, every=every)
        )
    if not conversations:

        def without(values: pl.Series) -> pl.Series:
            # Names of classes are no names of people: `jordan`, `paris`.
            return _without_personal_data(values, config, _Told(), None)

        labels = _by_value(frame["label"], partial(replaced, function=without) if rated else without)
        return frame.with_columns(_repaired(frame["text"], config, told, names), labels, groups)
    whole = [_repaired(frame[name], config, told, names, conversations=True) for name in ("text", "label")]
    contexts = [json.loads(value) if value else [] for value in frame["context"]]
    contents = pl.Series(
        "content", [text for turns in contexts for turn in turns for text in texts(turn)], dtype=pl.String
    )
    repaired = iter(_repaired(contents, config, told, names, conversations=True))
    before = [
        json.dumps([changed(turn, lambda _: next(repaired)) for turn in turns], ensure_ascii=False)
        if turns
        else None
        for turns in contexts
    ]
    return frame.with_columns(*whole, pl.Series("context", before, dtype=pl.String), groups)


def _by_value(column: pl.Series, function: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The column with the function called once on its different values."""
    values = column.drop_nulls().unique()
    after = function(values)
    other = values != after
    if not other.any():
        return column
    return column.replace(values.filter(other), after.filter(other))


def _repaired(
    text: pl.Series,
    config: CleaningConfig,
    told: _Told,
    names: NameFinder | None,
    *,
    conversations: bool = False,
) -> pl.Series:
    """Repaired texts; what each kind of repair has changed is added to `told`."""

    def step(name: str, after: pl.Series) -> pl.Series:
        told.repaired[name] += int((text != after).sum() or 0)
        return after

    if config.repair_encoding:
        text = step("encoding", _repair_encoding(text))
    if config.strip_html if config.strip_html is not None else not conversations:
        text = step("html", without_html(text))
    text = step("control_characters", text.str.replace_all(_CONTROLS, ""))
    not_ascii = text.str.len_bytes() != text.str.len_chars()
    text = step("unicode_form", where(not_ascii, text, partial(unicodedata.normalize, config.unicode_form)))
    text = step("white_space", _white_space(text, config, conversations))
    return step("personal_data", _without_personal_data(text, config, told, names))


def _without_personal_data(
    text: pl.Series, config: CleaningConfig, told: _Told, names: NameFinder | None
) -> pl.Series:
    after, found = replace(text, config.personal_data, config.phone_regions)
    told.personal_data.update(found)
    if names is not None:
        after, found = names.replace(after)
        told.personal_data.update(found)
    return after


def _white_space(text: pl.Series, config: CleaningConfig, conversations: bool) -> pl.Series:
    collapse = config.collapse_whitespace
    if collapse if collapse is not None else not conversations:
        return single_spaced(text).str.strip_chars()
    text = text.str.replace_all("\r\n", "\n", literal=True).str.replace_all("\r", "\n", literal=True)
    if not conversations:
        return text.str.strip_chars()
    # Empty lines before the first one go, its indentation stays.
    return text.str.strip_chars_end().str.replace(r"^(?:[^\S\n]*\n)+", "")


def _repair_encoding(text: pl.Series) -> pl.Series:
    """ftfy's encoding repair, for the rows that its own test calls bad; it leaves the others as they are.

    In polars that test costs 1 to 5 µs a row of 400 characters, not 120 µs; the repair 200 µs a bad row.
    """
    bad = text.str.contains(_looks_broken()).fill_null(False)
    if not bad.any():
        return text
    from ftfy import fix_encoding

    return where(bad, text, fix_encoding)


@cache
def _looks_broken() -> str:
    """ftfy's pattern of text that was decoded wrongly, without the spaces and comments of verbose syntax.

    (The regex engine of polars would ignore spaces inside character classes, too; and `²` is in Python's `\\w` alone.)
    """
    from ftfy.badness import BADNESS_RE

    plain: list[str] = []
    in_class = in_comment = escaped = False
    for char in BADNESS_RE.pattern:
        if in_comment:
            in_comment = char != "\n"
        elif escaped or in_class:
            plain.append(char)
            in_class = in_class and (escaped or char != "]")
            escaped = char == "\\" and not escaped
        elif char == "#":
            in_comment = True
        elif not char.isspace():
            plain.append(char)
            in_class, escaped = char == "[", char == "\\"
    return "".join(plain).replace(r"\w", r"[\p{L}\p{N}_]")


def _judged(
    frame: pl.DataFrame, config: CleaningConfig, conversations: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that are kept, and those that are refused with rule and reason."""
    judged = frame.with_columns(_rule(config, conversations).alias("rule"))
    bad = judged.filter(pl.col("rule").is_not_null())
    bad = bad.with_columns(_reason(config, conversations).alias("reason"))
    good = judged.filter(pl.col("rule").is_null()).drop("rule")
    found = filters.refusals(good, config, conversations=conversations)
    filtered = good.with_columns(found).filter(pl.col("rule").is_not_null())
    return good.filter(found["rule"].is_null()), pl.concat([bad, filtered])


def _lost(conversations: bool) -> pl.Expr:
    """Characters of a row that were lost before we got it."""
    texts = ("text", "context", "label") if conversations else ("text",)
    return pl.sum_horizontal(
        pl.col(name).str.count_matches("\ufffd", literal=True).fill_null(0) for name in texts
    )


def _rule(config: CleaningConfig, conversations: bool) -> pl.Expr:
    text, answer = pl.col("text"), pl.col("label")
    length = text.str.len_chars()
    return (
        pl.when(text.is_null() | (length == 0))
        .then(pl.lit("empty_text"))
        .when(pl.lit(conversations) & (answer == "").fill_null(False))
        .then(pl.lit("empty_answer"))
        .when(_lost(conversations) > 0)
        .then(pl.lit("undecodable"))
        .when(length < config.min_chars)
        .then(pl.lit("too_short"))
        .when(length > config.max_chars)
        .then(pl.lit("too_long"))
    )


def _reason(config: CleaningConfig, conversations: bool) -> pl.Expr:
    chars = pl.col("text").str.len_chars()
    lost = _lost(conversations)
    reasons = {
        "empty_text": pl.lit("no text is left after cleaning"),
        "empty_answer": pl.lit("no answer is left after cleaning"),
        "undecodable": pl.format("{} characters were lost in an earlier conversion (U+FFFD)", lost),
        "too_short": pl.format("{} characters, at least {} are wanted", chars, pl.lit(config.min_chars)),
        "too_long": pl.format("{} characters, at most {} are wanted", chars, pl.lit(config.max_chars)),
    }
    return pl.coalesce(pl.when(pl.col("rule") == rule).then(reason) for rule, reason in reasons.items())
