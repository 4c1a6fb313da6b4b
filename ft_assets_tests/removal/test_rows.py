"""Which rows go together when one of them is named."""

from pathlib import Path

import pyarrow.parquet as pq

from ft_assets.removal.rows import rows_of
from ft_assets_tests.data.helpers import jsonl, read_as, turns


def test_conversations_with_one_prompt_are_one_text_only_after_the_same_context(tmp_path: Path) -> None:
    ends = [turns(f"question {number}", "yes", "Continue.", f"answer {number}") for number in range(5)]
    starts = [turns("Continue.", "with what?"), turns("Continue.", "what?")]
    chats = [*ends, turns("question 0", "yes", "Continue.", "another answer"), *starts]
    made = read_as(
        "text-generation", jsonl(tmp_path / "chats.jsonl", *({"messages": each} for each in chats))
    )
    version = tmp_path / "store" / "chats" / "raw_examples" / ("a" * 64)
    version.mkdir(parents=True)
    pq.write_table(made.examples, version / "examples.parquet")
    pq.write_table(made.quarantine, version / "quarantine.parquet")  # it has no column for what stood before
    id_of = dict(zip(made.examples["row"].to_pylist(), made.examples["example_id"].to_pylist(), strict=True))

    def with_the_text_of(row: int) -> set[int]:
        found = rows_of(tmp_path / "store", "chats", ids=[id_of[row]], same_text=True)
        return {row for row, each in id_of.items() if each in found.ids}

    assert [with_the_text_of(row) for row in (1, 2, 7)] == [{1, 6}, {2}, {7, 8}]
