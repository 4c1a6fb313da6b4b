from ft_assets.data.answers import answer
from ft_assets.data.cleaning import clean
from ft_assets.data.config import CleaningConfig, SplitsConfig
from ft_assets.data.examples import LABELED_SCHEMA
from ft_assets.data.splits import SPLITS
from ft_assets_tests.data.helpers import conversation_table, rows, split, turns


def answered(*examples):
    return answer(clean(conversation_table(*examples), CleaningConfig(), conversations=True).examples)


def clusters(*examples):
    return dict(rows(answered(*examples), "example_id", "cluster"))


def test_every_row_passes_with_its_answer():
    examples = [{"text": "p", "label": "a", "context": turns("x", "y")}, {"text": "q", "label": "b"}]
    tables = answered(*examples)
    assert tables.examples.schema == LABELED_SCHEMA
    assert rows(tables, "text", "label") == [("p", "a"), ("q", "b")]
    assert {key: tables.summary[key] for key in ("rows_in", "kept", "merged", "quarantined")} == {
        "rows_in": 2,
        "kept": 2,
        "merged": 0,
        "quarantined": 0,
    }


def test_several_answers_to_one_prompt_have_one_cluster():
    found = clusters({"text": "p", "label": "a"}, {"text": "P", "label": "b"}, {"text": "q", "label": "a"})
    assert found["e000"] == found["e001"] != found["e002"]


def test_a_prompt_with_another_context_is_another_cluster():
    found = clusters({"text": "p", "label": "a"}, {"text": "p", "label": "a", "context": turns("x", "y")})
    assert found["e000"] != found["e001"]


def test_a_group_is_a_cluster():
    found = clusters({"text": "p", "label": "a", "group": "m"}, {"text": "q", "label": "b", "group": "m"})
    assert set(found.values()) == {"g:m"}


def test_a_prompt_under_several_groups_or_none_stands_under_the_smallest():
    tables = answered(
        {"text": "p", "label": "a", "group": "n"},
        {"text": "p", "label": "b", "group": "m"},
        {"text": "p", "label": "c"},
    )
    assert {cluster for (cluster,) in rows(tables, "cluster")} == {"g:m"}
    assert tables.summary["texts_in_several_groups"] == 1


def test_the_summary_says_how_long_answers_are_and_how_many_are_missing():
    examples = [{"text": f"p{size}", "label": "a" * size} for size in (1, 2, 3, 4, 100)]
    summary = answered(*examples, {"text": "plain"}).summary
    lengths = summary["answer_lengths"]
    assert (lengths["unit"], summary["without_answer"], summary["clusters"]) == ("characters", 1, 6)
    assert [lengths["after"][name] for name in ("min", "q1", "median", "q3", "max")] == [1, 2, 3, 4, 100]
    assert sum(lengths["after"]["counts"]) == 5


def test_splits_tell_the_lengths_of_answers_and_nothing_of_labels():
    made = answered(*({"text": f"p{index}", "label": f"a{index}"} for index in range(60)))
    parts = split(made.examples, SplitsConfig(validation=0.3, test=0.3), classes=False)
    for name in SPLITS:
        summary = parts[name].summary
        assert not set(summary) & {"labels", "label_shares", "overall_label_shares", "largest_deviation"}
        assert sum(summary["answer_lengths"]["after"]["counts"]) == parts[name].examples.num_rows


def test_answers_to_one_prompt_are_never_in_two_splits():
    examples = [{"text": f"p{index}", "label": f"a{each}"} for index in range(40) for each in range(3)]
    parts = split(answered(*examples).examples, SplitsConfig(validation=0.3, test=0.3), classes=False)
    texts = [set(parts[name].examples["text"].to_pylist()) for name in SPLITS]
    assert sum(map(len, texts)) == len(set.union(*texts)) == 40
