"""Rows that were merged into one with another text: they and what is kept stay on one side."""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from ft_assets.data.examples import MERGED_SCHEMA
from ft_assets.data.ledger.assignment import ROWS
from ft_assets.data.ledger.entries import SIDES, Entries
from ft_assets.data.ledger.keys import ROW
from ft_assets.data.ledger.merged import Merged, merged_into
from ft_assets_tests.data.ledger.helpers import entries

TEST, VALIDATION, TRAIN = range(len(SIDES))
# Rows 1 and 2 are kept, of texts 10 and 20.
KEPT = {1: 10, 2: 20}


def merged(rows: dict[tuple[int, int], int], known: Entries) -> Merged:
    """Rows that were merged, from {(example, text): example that it was merged into}."""
    table = pa.table(
        {
            "example_id": [f"{each:016x}" for each in KEPT],
            "text_key": [f"{each:032x}" for each in KEPT.values()],
        }
    )
    lines = [
        {
            "example_id": f"{example:016x}",
            "text_key": f"{text:032x}",
            "merged_into": f"{into:016x}",
            "rule": "r",
            "text": "t",
        }
        for (example, text), into in rows.items()
    ]
    return merged_into(table, [pa.Table.from_pylist(lines, MERGED_SCHEMA)], known)


def handed_on(found: Merged, meant: int | None = None) -> list[tuple[int, int]]:
    """Text of a kept row, and the side that it is given."""
    columns = {"example": [*KEPT], "text": [*KEPT.values()], "meant": [meant] * 2}
    rows = pl.DataFrame(columns, schema={name: ROWS[name] for name in columns})
    return found.handed_on(rows).select("key", "side").rows()


def recorded(found: Merged, *sides: int | None) -> list[tuple[int, int, int, str]]:
    made = found.entries(pl.Series(sides, dtype=pl.UInt8))
    return made.select("example", "key", "side", "rule").rows()


def test_nothing_is_said_of_rows_that_nothing_is_known_of() -> None:
    assert handed_on(merged({(3, 30): 1}, Entries.none())) == []


def test_a_row_is_where_the_one_is_that_was_merged_into_it() -> None:
    by_id, by_text = entries({(3, 99): "train"}), entries({(9, 30): "validation"})
    assert handed_on(merged({(3, 30): 1}, by_id)) == [(10, TRAIN)]
    assert handed_on(merged({(3, 30): 2}, by_text)) == [(20, VALIDATION)]


def test_of_several_sides_test_comes_first() -> None:
    known = entries({(3, 30): "train", (4, 40): "test"})
    assert handed_on(merged({(3, 30): 1, (4, 40): 1}, known)) == [(10, TEST), (10, TRAIN)]


def test_a_row_of_a_source_for_one_split_is_told_by_that_unless_it_stands_for_one_that_judges() -> None:
    known = entries({(3, 30): "validation"})
    assert handed_on(merged({(3, 30): 1}, known), meant=TEST) == []
    assert handed_on(merged({(3, 30): 1}, known), meant=TRAIN) == [(10, VALIDATION)]


def test_merged_rows_are_recorded_where_the_kept_one_is() -> None:
    found = merged({(4, 40): 1, (3, 30): 2}, Entries.none())
    assert recorded(found, TEST, TRAIN) == [(3, 30, TRAIN, "merged"), (4, 40, TEST, "merged")]


def test_a_merged_row_that_is_recorded_stays_where_it_was() -> None:
    """Its text is another one now, which was recorded nowhere."""
    found = merged({(3, 30): 1}, entries({(3, 99): "train"}))
    assert recorded(found, TEST, TEST) == [(3, 30, TRAIN, "merged")]
    assert recorded(merged({(3, 30): 1}, entries({(3, 30): "train"})), TEST, TEST) == []


def test_rows_merged_into_a_quarantined_one_are_not_recorded() -> None:
    assert recorded(merged({(3, 30): 1}, Entries.none()), None, TRAIN) == []


def test_rows_with_the_text_of_the_kept_one_are_recorded_too() -> None:
    """Cleaning may tell them apart some day."""
    found = merged({(3, 10): 1, (5, 30): 3, (3, 30): 1}, Entries.none())
    assert recorded(merged({(3, 10): 1}, Entries.none()), TEST, TEST) == [(3, 10, TEST, "merged")]
    assert recorded(found, TEST, TEST)[-1] == (5, 30, TEST, "merged")


def known_before(rows: dict[tuple[int, int], int], known: Entries) -> list[tuple[int, int]]:
    """The rows that were recorded before, and the places of those that they were merged into."""
    found = merged(rows, known)
    before = found.known_before(pl.Series([*KEPT], dtype=ROW), known)
    ids = found.table["example_id"].to_pylist()
    return [(int(ids[line], 16), into) for into, line in before.rows()]


def test_of_equal_rows_the_one_that_was_recorded_first_stays() -> None:
    assert known_before({(3, 10): 1}, entries({(3, 10): "train"})) == [(3, 0)]
    assert known_before({(3, 10): 1}, entries({(3, 10): "train", (1, 10): "train"})) == [(3, 0)]
    assert known_before({(3, 10): 1}, entries({(1, 10): "train", (3, 10): "train"})) == []
    assert known_before({(3, 10): 1, (4, 10): 1}, entries({(4, 10): "train", (3, 10): "train"})) == [(4, 0)]
    assert known_before({(3, 10): 1, (4, 20): 2}, entries({(4, 20): "test"})) == [(4, 1)]


def test_a_row_that_judges_stays_before_one_that_was_recorded_first() -> None:
    assert known_before({(3, 10): 1}, entries({(1, 98): "train", (3, 99): "test"})) == [(3, 0)]
    assert known_before({(3, 10): 1}, entries({(1, 98): "test", (3, 99): "train"})) == []


def test_a_near_duplicate_takes_nobodys_place() -> None:
    assert known_before({(3, 30): 1}, entries({(3, 30): "test"})) == []


def test_a_row_is_followed_to_the_one_that_is_kept_in_the_end() -> None:
    """Merged as equal, once more as equal, and then as a near duplicate."""
    rows = {(6, 30): 5, (5, 30): 3, (3, 30): 1}
    assert merged(rows, Entries.none()).rows["into"].to_list() == [0, 0, 0]
    assert merged({(3, 30): 9}, Entries.none()).rows.height == 0
