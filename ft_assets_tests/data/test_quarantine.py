"""The quarantine of a task: every refused row with the place where it stands."""

import pyarrow as pa

from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, LabelsConfig
from ft_assets.data.labels import label
from ft_assets.data.quarantine import gather
from ft_assets_tests.data.helpers import answers, planted_tickets, raw_table


def test_rows_of_all_stages_say_in_which_file_and_row_they_stand():
    raw = planted_tickets()
    cleaned = clean(raw.examples, CleaningConfig())
    labelled = label(cleaned.examples, LabelsConfig(map=answers()["label_map"]))
    tables = [each.quarantine for each in (raw, cleaned, labelled)]
    rows = gather(tables, raw.examples).to_pylist()
    assert len(rows) == sum(table.num_rows for table in tables)
    assert {row["stage"] for row in rows} == {"raw_examples", "cleaned_examples", "labeled_examples"}
    places = {row["example_id"]: (row["file"], row["row"]) for row in raw.examples.to_pylist()}
    for row in rows:
        if row["stage"] == "raw_examples":
            assert row["file"] and row["text"] is None
        else:
            assert (row["file"], row["row"]) == places[row["example_id"]]


def test_the_place_of_a_row_that_could_not_be_read_is_its_own():
    table = raw_table(("x", "y"))
    refused = pa.table(
        {
            **{"example_id": ["e000"], "stage": ["raw_examples"], "rule": ["malformed_row"]},
            **{"reason": ["r"], "text": ["t"], "file": ["other.csv"], "row": [7]},
        }
    )
    (row,) = gather([refused], table).to_pylist()
    assert (row["file"], row["row"], row["text"]) == ("other.csv", 7, None)


def test_the_order_is_that_of_the_stages_then_of_the_ids():
    cleaned = clean(raw_table(("", "a"), ("", "b"), ("ok", "c")), CleaningConfig())
    raw = cleaned.quarantine.slice(0, 0)
    rows = gather([raw, cleaned.quarantine], raw_table(("", "a"), ("", "b"), ("ok", "c")))
    assert rows["example_id"].to_pylist() == sorted(rows["example_id"].to_pylist())
