"""How a row came to its split, or why it is in none."""

from __future__ import annotations

import polars as pl

from ft_assets.data.ledger.entries import SIDES

__all__ = ["HOW", "KIND", "PLACED", "REASONS", "TEST", "TRAIN"]

REASONS = {
    "bridges_splits": "it belongs together with rows that are in {}",
    "text_across_splits": "the row belongs to {0}, and its text to {1}",
    "group_across_splits": "the row belongs to {0}, and its group to {1}",
    "near_duplicate_across_splits": "the row belongs to {0}, and a near duplicate, or another part of its "
    "conversation, to {1}",
    "source_for_other_split": "the row was recorded in {0}, and its source is for {1}",
    "split_is_closed": "it belongs together with rows of {}, which takes the rows of its sources alone",
    "test_is_locked": "it belongs to {}, which is locked",
    "newer_than_its_split": "it belongs together with rows of an earlier split, and is from the time of {}",
    "without_time": "splits go by time, and the row has none",
}
"""Rule of the quarantine → its reason; the places are for splits."""

TEST, TRAIN = SIDES.index("test"), SIDES.index("train")
PLACED = ("recorded", "meant")
_ENTRIES_ALONE = ("same_row", "same_text", "merged", "imported")
HOW = pl.Enum([*PLACED, "joined", "stratified", "by_time", *REASONS, *_ENTRIES_ALONE])
"""How rows came to their splits, and the rules of entries. (Numbers: as words they take 16 bytes a row.)"""
KIND = pl.Enum(["row", "group"])
