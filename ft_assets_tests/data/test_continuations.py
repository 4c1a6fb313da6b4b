"""Conversations that go on in another row: found, in one cluster, never in two splits."""

import json
import random

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ft_assets.data.answers import answer
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, NearDuplicatesConfig, SplitsConfig
from ft_assets.data.continuations import SHORTEST, continuations
from ft_assets.data.contracts import expectations, run
from ft_assets.data.examples import StageTables
from ft_assets.data.ledger.entries import Entries
from ft_assets.data.near_duplicates import settled
from ft_assets.data.splits import SPLITS, split
from ft_assets.turns import TOOLS
from ft_assets_tests.data.helpers import conversation_table, rows, turns, unlike

LONG = "why does the pump of my brother stop at night as soon as it begins to rain"


def snapshots(*said: str) -> list[dict]:
    """A conversation as a log of requests holds it: each answer is a row, after all that was said before."""
    return [
        {"context": turns(*said[:place]), "text": said[place], "label": said[place + 1]}
        for place in range(0, len(said), 2)
    ]


def pairs(*examples: dict) -> list[tuple[int, int]]:
    return list(continuations(conversation_table(*examples)).iter_rows())


def other(number: int) -> str:
    """A text of several words that is like no other one's."""
    return " ".join(unlike(100 * number + place) for place in range(8))


def labelled(*examples: dict) -> StageTables:
    cleaned = clean(conversation_table(*examples), CleaningConfig(), conversations=True)
    return settled(answer(cleaned.examples), NearDuplicatesConfig())


# --- What is found


def test_each_row_is_found_in_all_that_go_on_from_it() -> None:
    assert pairs(*snapshots(LONG, "a", "b", "c", "d", "e")) == [(0, 1), (0, 2), (1, 2)]


def test_another_answer_on_the_way_is_another_conversation() -> None:
    first, second = snapshots(LONG, "a", "b", "c")
    assert pairs(first | {"label": "another one"}, second) == []
    assert pairs(first | {"label": None}, second) == []


def test_case_white_space_and_the_systems_instructions_do_not_count() -> None:
    first, second = snapshots(LONG, "An answer", "b", "c")
    system = {"role": "system", "content": "Be kind."}
    tools = {"role": TOOLS, "tools": [{"name": "search"}]}
    second["context"] = [tools, system, *turns(LONG.upper(), "an  answer")]
    assert pairs(first, second) == [(0, 1)]


def test_who_has_said_it_counts() -> None:
    first, second = snapshots(LONG, "a", "b", "c")
    second["context"] = turns(LONG, "a", first="assistant")
    assert pairs(first, second) == []


def test_what_a_tool_has_said_is_part_of_it() -> None:
    call = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"function": {"name": "look", "arguments": {}}}],
    }
    asked = [*turns(LONG), call]
    stands_for = {"role": "tool", "content": "", "stands_for": "text", "tool_call_id": "1"}
    first = {"context": [*asked, stands_for], "text": "it rains", "label": "stay"}
    said = [{"role": "tool", "content": "it rains"}, {"role": "assistant", "content": "stay"}]
    second = {"context": [*asked, *said], "text": "and now", "label": "go"}
    assert pairs(first, second) == [(0, 1)]
    assert pairs(first | {"text": "the sun shines"}, second) == []


@pytest.mark.parametrize(("chars", "found"), [(SHORTEST - 1, []), (SHORTEST, [(0, 1)])])
def test_greetings_count_for_nothing(chars: int, found: list[tuple[int, int]]) -> None:
    assert pairs(*snapshots("x" * (chars - 1), "a", "b", "c")) == found


def test_texts_that_stand_alone_are_none() -> None:
    assert pairs({"text": LONG, "label": "a"}, {"text": LONG, "label": "a"}) == []


@given(st.lists(st.lists(st.sampled_from(["x" * 40, "y" * 40, "z"]), min_size=2, max_size=8), max_size=8))
def test_it_finds_what_comparing_all_with_all_finds(conversations: list[list[str]]) -> None:
    said = [each[: len(each) // 2 * 2] for each in conversations]
    examples = [{"context": turns(*each[:-2]), "text": each[-2], "label": each[-1]} for each in said]
    expected = [
        (a, b)
        for a, first in enumerate(said)
        for b, second in enumerate(said)
        if len(first) < len(second) and second[: len(first)] == first and len("".join(first)) >= SHORTEST
    ]
    assert pairs(*examples) == expected


# --- What becomes of them


def test_they_share_a_cluster_and_the_summary_tells_how_many() -> None:
    made = labelled(
        *snapshots(LONG, "a", other(1), other(2), other(3), "c"), {"text": other(4), "label": "d"}
    )
    clusters = [cluster for (cluster,) in rows(made, "cluster")]
    assert clusters[0] == clusters[1] == clusters[2] != clusters[3]
    told = made.summary["near_duplicates"]
    assert (told["continued"], told["pairs"], told["clusters"]) == (3, 0, 1)
    assert made.summary["clusters"] == 2


def test_groups_that_a_conversation_connects_become_one() -> None:
    first, second = snapshots(LONG, "a", other(1), other(2))
    third = {"text": other(3), "label": "d", "group": "g2"}
    made = labelled(first | {"group": "g1"}, second | {"group": "g2"}, third)
    assert {cluster for (cluster,) in rows(made, "cluster")} == {"g:g1"}


def test_nothing_is_looked_for_where_near_duplicates_are_ignored() -> None:
    cleaned = clean(
        conversation_table(*snapshots(LONG, "a", other(1), "b")), CleaningConfig(), conversations=True
    )
    made = settled(answer(cleaned.examples), NearDuplicatesConfig(action="ignore"))
    assert made.summary["clusters"] == 2


def test_no_split_divides_them() -> None:
    lot = random.Random(1)
    talks = [
        snapshots(*(other(10 * number + place) for place in range(2 * lot.randint(1, 4))))
        for number in range(60)
    ]
    table = labelled(*(row for talk in talks for row in talk)).examples
    made = _split(table)
    sides = [set(made[name].examples["cluster"].to_pylist()) for name in SPLITS]
    assert all(sides) and not set.intersection(*sides)
    assert len(set().union(*sides)) == len(talks)


def test_one_that_is_recorded_in_train_is_taken_out_if_what_it_goes_on_from_is_in_test() -> None:
    """As they may be where the splits were made before conversations were looked at."""
    first, second = snapshots(LONG, "a", other(1), other(2))
    others = [{"text": other(number), "label": "x"} for number in range(10, 40)]
    table = labelled(first, second, *others).examples
    ids = table["example_id"].to_pylist()
    apart = table.set_column(
        table.schema.get_field_index("cluster"), "cluster", pa.array([f"t:{each}" for each in ids])
    )
    for seed in range(200):
        before = _whole(apart, salt=str(seed))
        where = {
            row: name for name in SPLITS for row in before.tables[name].examples["example_id"].to_pylist()
        }
        if (where["e000"], where["e001"]) == ("test", "train"):
            break
    entries = Entries.none().with_entries(before.entries)
    made = _whole(table, entries=entries, salt=str(seed)).tables
    assert made["test"].examples["example_id"].to_pylist().count("e000") == 1
    (row,) = made["train"].quarantine.to_pylist()
    assert (row["example_id"], row["rule"]) == ("e001", "near_duplicate_across_splits")
    assert "conversation" in row["reason"]


def test_a_conversation_in_two_splits_is_critical_whatever_was_found_before() -> None:
    talk = snapshots(LONG, "a", other(1), other(2))
    others = [{"text": other(number), "label": "x"} for number in range(10, 40)]
    made = _split(labelled(*talk, *others).examples)
    home = next(name for name in SPLITS if "e001" in made[name].examples["example_id"].to_pylist())
    away = next(name for name in SPLITS if name != home)
    assert "no_shared_conversations" not in _failures(home, made)
    longer = made[home].examples.filter(
        pa.array([each == "e001" for each in made[home].examples["example_id"].to_pylist()])
    )
    rest = made[home].examples.filter(
        pa.array([each != "e001" for each in made[home].examples["example_id"].to_pylist()])
    )
    leaked = made | {
        home: StageTables(rest, summary=made[home].summary),
        away: StageTables(pa.concat_tables([made[away].examples, longer]), summary=made[away].summary),
    }
    for name, row in ((home, "e000"), (away, "e001")):
        outcome = _failures(name, leaked)["no_shared_conversations"]
        assert (outcome.severity, outcome.example_ids) == ("critical", [row])
        assert LONG not in json.dumps(outcome.as_dict())


def _split(table: pa.Table) -> dict:
    return _whole(table).tables


def _whole(table: pa.Table, entries: Entries | None = None, salt: str = ""):
    return split(
        table,
        SplitsConfig(salt=salt),
        entries=entries or Entries.none(),
        ledger_id="ab" * 16,
        near=NearDuplicatesConfig(),
        classes=False,
    )


def _failures(name: str, made: dict) -> dict:
    found = run(expectations(f"{name}_split", None), made[name], made)
    return {each.name: each for each in found if not each.passed}
