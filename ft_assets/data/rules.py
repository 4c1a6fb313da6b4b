"""The list of rules by which a row is refused or merged: what each says, what to do about it, which setting it follows.

Quarantine, data card and documentation show a rule as it stands here, and no stage can refuse a row by another one
(`examples.counts` looks). To add a rule is one entry in `RULES`. Standard library only. Not here: how a rule is
computed (the stage's module); what must hold of a whole stage (`contracts`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = ["RULES", "Fate", "Rule", "rule"]

Fate = Literal["refused", "merged"]


@dataclass(frozen=True)
class Rule:
    """Why a row does not go on.

    Attributes:
        name: As it stands in the quarantine and in summaries; letters and underscores.
        stages: The assets that apply it.
        says: What is so with the row; a quarantine's reason may add numbers.
        do: What a person can do.
        setting: The setting of the task that decides, or an empty text.
        fate: refused: in the quarantine; merged: it lives on in an equal row, or a near duplicate.
    """

    name: str
    stages: tuple[str, ...]
    says: str
    do: str
    setting: str = ""
    fate: Fate = "refused"


_RAW, _CLEANED, _LABELED = ("raw_examples",), ("cleaned_examples",), ("labeled_examples",)
_SPLITS = ("train_split", "validation_split", "test_split")
_NEW = ("test_split",)  # where new rows that are in no split are counted

RULES: Mapping[str, Rule] = {
    rule.name: rule
    for rule in (
        Rule(
            "unreadable_file",
            _RAW,
            "the file cannot be read as a whole",
            "mend the file, or its settings",
            "sources",
        ),
        Rule(
            "malformed_row",
            _RAW,
            "the row is not as its format asks",
            "mend the row in the source",
            "sources",
        ),
        Rule(
            "undecodable",
            (*_RAW, *_CLEANED),
            "characters are not in the file's encoding, or were lost before the row came here",
            "set the encoding, or export the source again",
            "sources.encoding",
        ),
        Rule(
            "malformed_conversation",
            _RAW,
            "the turns are not as a conversation has them",
            "mend the row",
            "columns.layout",
        ),
        Rule(
            "unknown_role",
            _RAW,
            "a turn has a role that is not known",
            "rename the role in the source",
            "columns.layout",
        ),
        Rule(
            "tool_call",
            _RAW,
            "a turn calls a tool, and the task does not keep calls, or no answer in words follows",
            "keep calls, where the base model's chat template knows them",
            "columns.tool_turns",
        ),
        Rule(
            "no_prompt",
            _RAW,
            "nothing stands before the answer",
            "add the prompt, or leave the row out",
            "columns.layout",
        ),
        Rule(
            "no_answer",
            _RAW,
            "the conversation has no answer",
            "add the answer, or leave the row out",
            "columns.layout",
        ),
        Rule(
            "unanswered",
            _RAW,
            "the last turn has no answer",
            "cut the last turn, or add its answer",
            "columns.layout",
        ),
        Rule(
            "empty_text",
            _CLEANED,
            "no text is left after cleaning",
            "look at the source: the column may be the wrong one",
            "columns.text",
        ),
        Rule(
            "empty_answer",
            _CLEANED,
            "no answer is left after cleaning",
            "look at the source: an answer is missing",
            "columns.layout",
        ),
        Rule(
            "too_short",
            _CLEANED,
            "the text is shorter than wanted",
            "lower the limit, or leave these rows out",
            "cleaning.min_chars",
        ),
        Rule(
            "too_long",
            _CLEANED,
            "the text is longer than wanted",
            "raise the limit, or cut the texts in the source",
            "cleaning.max_chars",
        ),
        Rule(
            "too_few_words",
            _CLEANED,
            "the text has fewer words than wanted",
            "lower the limit, or leave these rows out",
            "cleaning.quality.min_words",
        ),
        Rule(
            "too_many_words",
            _CLEANED,
            "the text has more words than wanted",
            "raise the limit, or cut the texts in the source",
            "cleaning.quality.max_words",
        ),
        Rule(
            "too_few_letters",
            _CLEANED,
            "too few of the words hold a letter",
            "lower the limit where numbers and signs are meant to be there",
            "cleaning.quality.min_letter_share",
        ),
        Rule(
            "too_many_symbols",
            _CLEANED,
            "too many hash signs or ellipses for the words",
            "raise the limit where they are meant to be there",
            "cleaning.quality.max_symbol_share",
        ),
        Rule(
            "too_repetitive",
            _CLEANED,
            "the text says the same words again and again",
            "raise the limit, or leave these rows out",
            "cleaning.quality.max_repeated_share",
        ),
        Rule(
            "other_language",
            _CLEANED,
            "the text is in none of the languages wanted",
            "add its language, or leave these rows out",
            "cleaning.languages",
        ),
        Rule(
            "exact_duplicate",
            (*_CLEANED, *_LABELED),
            "the same text stands there with the same label",
            "nothing: one row is kept",
            fate="merged",
        ),
        Rule(
            "near_duplicate",
            _LABELED,
            "nearly the same text stands there with the same label",
            "nothing: one row is kept; or keep all of them, together in one split",
            "cleaning.near_duplicates",
            fate="merged",
        ),
        Rule(
            "recorded_before",
            _SPLITS,
            "a row with the same text and label was recorded in this split before it",
            "nothing: that row stays",
            fate="merged",
        ),
        Rule("missing_label", _LABELED, "the label is missing", "label the row", "columns.label"),
        Rule(
            "not_a_number",
            _LABELED,
            "the label is no number, and labels are thresholds",
            "mend the label",
            "labels.thresholds",
        ),
        Rule(
            "unknown_label",
            _LABELED,
            "the label is none of the task's",
            "mend the label, or add it to the task",
            "labels",
        ),
        Rule(
            "tied_ratings",
            _LABELED,
            "several labels have the most ratings",
            "ask one more rater, or decide by a correction",
            "columns.ratings",
        ),
        Rule(
            "conflicting_labels",
            _LABELED,
            "the same text stands there with different labels",
            "decide which one is right by a correction, or in the source",
            "labels.corrections",
        ),
        Rule(
            "rejected",
            _LABELED,
            "a person has taken the text out",
            "nothing; a later correction that gives a label takes it back in",
            "labels.corrections",
        ),
        Rule(
            "bridges_splits",
            _NEW,
            "the row is new, and belongs together with rows that are in several splits",
            "nothing: it would carry what is in test into training. Leave the row out, or correct its group",
            "columns.group",
        ),
        Rule(
            "text_across_splits",
            _SPLITS,
            "the row belongs to one split, and its text to another one",
            "nothing where sources for several splits hold the same text; else look at what has changed in the "
            "cleaning: `ledger reset` draws all anew",
            "cleaning",
        ),
        Rule(
            "group_across_splits",
            _SPLITS,
            "the row belongs to one split, and its group to another one",
            "correct its group; where the column is new, `ledger reset` draws all anew",
            "columns.group",
        ),
        Rule(
            "near_duplicate_across_splits",
            _SPLITS,
            "the row belongs to one split, and a near duplicate, or another part of its conversation, to test or "
            "validation",
            "nothing: it is left out where it would leak",
        ),
        Rule(
            "source_for_other_split",
            _SPLITS,
            "the row was recorded in one split, and its source is for another one",
            "take `split:` off its source, or draw all anew with `ledger reset`",
            "sources.split",
        ),
        Rule(
            "split_is_closed",
            _NEW,
            "the row belongs together with rows of a split that takes the rows of its sources alone",
            "nothing: it would leak anywhere else",
            "splits",
        ),
        Rule(
            "test_is_locked",
            _NEW,
            "the row could go to test alone, which is locked",
            "nothing; once the lock is released it goes there",
            "splits.by",
        ),
        Rule(
            "newer_than_its_split",
            _NEW,
            "the row belongs together with rows of a split, and is from the time of a later one",
            "nothing: it would carry the future into training. Where groups live long, split without `columns.group`",
            "splits.by",
        ),
        Rule(
            "without_time",
            _NEW,
            "splits go by time, and the row has none",
            "fill in the column in the source, or split at random",
            "columns.time",
        ),
    )
}
"""All rules by name, in the order in which a row meets them."""


def rule(name: str) -> Rule:
    """The rule of this name.

    Raises:
        ValueError: there is none: a fault of the code that refused a row by it.
    """
    if name not in RULES:
        raise ValueError(f"no rule is called '{name}': add it to RULES in ft_assets/data/rules.py")
    return RULES[name]
