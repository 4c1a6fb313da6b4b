import json
import unicodedata

import polars as pl
import pyarrow as pa
import pytest
from ftfy.badness import is_bad
from hypothesis import example, given
from hypothesis import strategies as st

from ft_assets.data.cleaning import _looks_broken, clean
from ft_assets.data.config import CleaningConfig
from ft_assets.data.examples import CLEANED_SCHEMA, MERGED_SCHEMA, QUARANTINE_SCHEMA, RAW_SCHEMA
from ft_assets.data.markup import without_html
from ft_assets.data.texts import _LOWER_CASE_FOLDS, _fold, normalised, text_keys
from ft_assets_tests.data.helpers import answers, conversation_table, planted_tickets, raw_table, rows, turns

DEFAULT = CleaningConfig()


def cleaned(*texts, **config):
    return clean(raw_table(*((text, "x") for text in texts)), CleaningConfig(**config))


def refused(tables):
    return [(row["example_id"], row["rule"]) for row in tables.quarantine.to_pylist()]


def test_tables_have_the_schema_of_the_stage_and_are_sorted_by_id():
    tables = clean(
        raw_table(("b", "x"), ("", "x"), ("a", "x"), ("a", "x")).sort_by([("row", "descending")]), DEFAULT
    )
    assert tables.examples.schema == CLEANED_SCHEMA
    assert tables.quarantine.schema == QUARANTINE_SCHEMA
    assert tables.merged.schema == MERGED_SCHEMA
    assert tables.examples["example_id"].to_pylist() == ["e000", "e002"]


def test_no_rows_are_no_error():
    assert clean(RAW_SCHEMA.empty_table(), DEFAULT).summary["kept"] == 0


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        ("The room wasnâ€™t clean", "The room wasn\u2019t clean"),
        ("cafÃ© crÃ¨me", "café crème"),
        (
            "fine café \u2013 très bien \u201cvraiment\u201d",
            "fine café \u2013 très bien \u201cvraiment\u201d",
        ),
        ("日本語のテキスト", "日本語のテキスト"),
        ("a\x00b\x07\u200bc\ufeffd\u00ade", "abcde"),
        ("e\u0301", "é"),
        (" a \t\r\n b\u00a0\u2003c ", "a b c"),
        ("👩\u200d🚀 flies", "👩\u200d🚀 flies"),
    ],
)
def test_texts_are_repaired_and_good_ones_left_alone(text, repaired):
    assert rows(cleaned(text), "text") == [(repaired,)]


def test_repairs_can_be_turned_off():
    assert rows(cleaned("cafÃ©", repair_encoding=False), "text") == [("cafÃ©",)]
    assert rows(cleaned("  a\r\n\r\n  b ", collapse_whitespace=False), "text") == [("a\n\n  b",)]


def test_the_compatibility_form_is_a_choice():
    assert rows(cleaned("ﬁne"), "text") == [("ﬁne",)]
    assert rows(cleaned("ﬁne", unicode_form="NFKC"), "text") == [("fine",)]


def test_repairs_are_counted_by_kind():
    texts = ("cafÃ©", "<p>a</p>", "a\x00b", "e\u0301", "a  b", "a@b.org", "fine")
    assert cleaned(*texts).summary["repaired"] == {
        "encoding": 1,
        "html": 1,
        "control_characters": 1,
        "unicode_form": 1,
        "white_space": 2,  # where the tag of a paragraph was, a line ends
        "personal_data": 1,
    }


MOJIBAKE = st.text().map(lambda text: text.encode().decode("latin-1"))


@example("Ü»²")
@given(
    st.one_of(
        st.text(), MOJIBAKE, st.text("ÂÃâ€™œž©a \n\\[]#"), st.text("Ã àØÙ¡¢·°²»\u00d7√∂ \u201aÄì", max_size=6)
    )
)
def test_the_test_in_polars_finds_what_ftfys_own_finds(text):
    assert pl.Series([text]).str.contains(_looks_broken())[0] == is_bad(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (None, "empty_text"),
        ("", "empty_text"),
        (" \t\n", "empty_text"),
        ("\u200b\x00", "empty_text"),
        ("lost \ufffd here", "undecodable"),
        ("ab", "too_short"),
        ("abcdefghijk", "too_long"),
    ],
)
def test_unusable_texts_are_refused_by_rule(text, rule):
    tables = cleaned(text, "enough", min_chars=3, max_chars=10)
    assert refused(tables) == [("e000", rule)]
    assert tables.summary["by_rule"] == {rule: 1}


def test_a_refused_row_keeps_its_text_and_place_and_gets_a_reason_without_text():
    (row,) = cleaned("secret words", max_chars=5).quarantine.to_pylist()
    assert row == {
        "example_id": "e000",
        "stage": "cleaned_examples",
        "rule": "too_long",
        "reason": "12 characters, at most 5 are wanted",
        "text": "secret words",
        "file": "rows.csv",
        "row": 1,
    }


def test_limits_are_inclusive_and_count_characters_not_bytes():
    assert cleaned("éé", "éééé", min_chars=2, max_chars=4).summary["kept"] == 2


def test_rows_equal_but_for_case_white_space_and_width_are_merged():
    tables = clean(
        raw_table(("Straße  eins", "x"), ("STRASSE EINS", "x"), ("\uff33trasse eins", "x")), DEFAULT
    )
    assert rows(tables, "example_id") == [("e000",)]
    assert set(tables.merged["text_key"].to_pylist()) == set(tables.examples["text_key"].to_pylist())
    assert tables.merged.select(["example_id", "merged_into", "rule"]).to_pylist() == [
        {"example_id": each, "merged_into": "e000", "rule": "exact_duplicate"} for each in ("e001", "e002")
    ]


def test_a_merged_row_keeps_what_is_its_own():
    made = clean(raw_table(("a", "x", "g1", None, "train"), ("A", "x", "g2")), DEFAULT)
    assert made.merged.select(["example_id", "text", "group", "split"]).to_pylist() == [
        {"example_id": "e001", "text": "A", "group": "g2", "split": None}
    ]


def test_the_row_kept_is_that_of_the_smallest_group_none_first():
    assert rows(clean(raw_table(("a", "x", "g2"), ("A", "x", "g1")), DEFAULT), "example_id") == [("e001",)]
    assert rows(clean(raw_table(("a", "x", "g1"), ("A", "x", None)), DEFAULT), "example_id") == [("e001",)]


def test_rows_with_different_labels_are_not_merged_yet():
    assert clean(raw_table(("a", "x"), ("a", "y"), ("a", None), ("a", None)), DEFAULT).summary["merged"] == 1


def test_texts_under_several_groups_are_counted():
    table = raw_table(("a", "x", "1"), ("A", "x", "2"), ("b", "x", "1"), ("b", "x", "1"), ("c", "x", None))
    assert clean(table, DEFAULT).summary["texts_in_several_groups"] == 1


def test_lengths_are_counted_before_and_after():
    lengths = cleaned("a" * 10, "b   b", None, max_chars=9).summary["lengths"]
    assert sum(lengths["before"]["counts"]) == 3
    assert sum(lengths["after"]["counts"]) == 1
    assert (lengths["before"]["max"], lengths["after"]["max"]) == (10, 3)
    assert len(lengths["edges"]) == len(lengths["before"]["counts"])


@given(st.text())
def test_texts_are_equal_by_their_case_folded_compatibility_form(text):
    expected = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    # polars and Python disagree on four control characters (U+001C to U+001F), which cleaning removes.
    same = [" ".join(each.translate(dict.fromkeys(range(0x1C, 0x20))).split()) for each in (expected,)]
    found = normalised(pl.Series([text]))[0].translate(dict.fromkeys(range(0x1C, 0x20)))
    assert " ".join(found.split()) == same[0]


def test_what_is_folded_by_lower_case_alone_is_what_unicode_says():
    codes = [*range(0xD800), *range(0xE000, 0x10000), *range(0x1F000, 0x20000)]
    characters = pl.Series([chr(code) for code in codes])
    simple = characters.filter(characters.str.contains(f"[{_LOWER_CASE_FOLDS}]"))
    assert len(simple) > 35_000
    assert simple.str.to_lowercase().to_list() == [_fold(each) for each in simple]
    # None depends on its neighbours: none combines with what stands before it, and no sigma ends a word.
    seconds = {
        chr(int(parts[1], 16))
        for code in codes
        if len(parts := unicodedata.decomposition(chr(code)).split()) == 2 and parts[0][0] != "<"
    }
    jamo = {chr(code) for code in range(0x1100, 0x1200)}
    assert not set(simple) & (seconds | jamo | set("\u03a3\u03c2"))
    assert not any(unicodedata.combining(each) for each in simple)


def test_a_text_key_is_a_hash_of_the_normalised_text_and_stays_the_same_for_ever():
    # Written down once: splits hang on it.
    assert text_keys(pl.Series(["A  text", "a text", None])).to_list() == [
        "734194ede5b063e654d63cb95a682ca1",
        "734194ede5b063e654d63cb95a682ca1",
        None,
    ]


@given(
    st.lists(
        st.tuples(st.one_of(st.none(), st.text("aA é\x00\ufffd", max_size=4)), st.sampled_from("xy")),
        max_size=8,
    )
)
def test_every_row_is_kept_merged_or_refused_and_cleaning_again_changes_nothing(examples):
    tables = clean(raw_table(*examples), DEFAULT)
    ids = [
        *tables.examples["example_id"].to_pylist(),
        *tables.merged["example_id"].to_pylist(),
        *tables.quarantine["example_id"].to_pylist(),
    ]
    assert sorted(ids) == [f"e{index:03d}" for index in range(len(examples))]
    count = tables.examples.num_rows
    again = pa.table(
        {
            name: tables.examples[name] if name in CLEANED_SCHEMA.names else pa.nulls(count)
            for name in RAW_SCHEMA.names
        }
    )
    assert clean(again.cast(RAW_SCHEMA), DEFAULT).examples.equals(tables.examples)


def test_planted_mojibake_is_repaired_to_what_it_was():
    raw = planted_tickets().examples
    place = {(row["file"], row["row"]): row["example_id"] for row in raw.to_pylist()}
    planted = {
        place[row["file"], row["row"]]: row["repaired"] for row in answers()["rows"] if "repaired" in row
    }
    texts = dict(rows(clean(raw, DEFAULT), "example_id", "text"))
    assert {each: texts[each] for each in planted} == planted
    assert clean(raw, DEFAULT).summary["repaired"]["encoding"] == len(planted) == 4


def conversations(*examples, **config):
    return clean(conversation_table(*examples), CleaningConfig(**config), conversations=True)


CODE = "\n\n    def f(x):\r\n        # first\r\n\r\n        return  x\t\n\n"


def test_code_keeps_its_lines_and_its_indentation():
    found = rows(conversations({"text": CODE, "label": CODE}), "text", "label")
    kept = "    def f(x):\n        # first\n\n        return  x"
    assert found == [(kept, kept)]


def test_white_space_of_conversations_is_collapsed_where_the_task_says_so():
    found = rows(conversations({"text": CODE, "label": " a\n b"}, collapse_whitespace=True), "text", "label")
    assert found == [("def f(x): # first return x", "a b")]


def test_white_space_of_a_classification_is_collapsed_unless_the_task_says_no():
    assert rows(cleaned(" a\n  b "), "text") == [("a b",)]
    assert rows(cleaned(" a\r\n  b ", collapse_whitespace=False), "text") == [("a\n  b",)]


def test_answers_and_earlier_turns_are_repaired_as_texts_are():
    broken = "caf\u00c3\u00a9 cafe\u0301\u200b\r\nrest  "
    tables = conversations({"text": broken, "label": broken, "context": turns(broken, broken)})
    (row,) = tables.examples.to_pylist()
    repaired = "café café\nrest"
    assert (row["text"], row["label"]) == (repaired, repaired)
    assert json.loads(row["context"]) == turns(repaired, repaired)
    kinds = ("encoding", "control_characters", "unicode_form", "white_space")
    assert tables.summary["repaired"] == dict.fromkeys(kinds, 4) | {"personal_data": 0}


def test_calls_of_tools_are_repaired_as_texts_are_and_stay_json():
    arguments = {"to": ["jane@example.org", 4111111111111111], "note": 'cafe\u0301 "x"', "days": 2}
    call = {"type": "function", "function": {"name": "send", "arguments": arguments}}
    before = [
        *turns("hi"),
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "", "tool_call_id": "c1", "stands_for": "text"},
    ]
    tables = conversations({"text": "sent", "label": "done", "context": before})
    (kept,) = rows(tables, "context")
    (question, asked, answered) = json.loads(kept[0])
    assert (question, answered) == (before[0], before[2])
    function = asked["tool_calls"][0]["function"]
    assert function["name"] == "send"
    assert function["arguments"] == {"to": ["<EMAIL>", "<CARD>"], "note": 'café "x"', "days": 2}
    assert tables.summary["personal_data"]["email"] == tables.summary["personal_data"]["card"] == 1


def test_the_label_of_a_classification_stays_as_it_was_read():
    assert rows(clean(raw_table(("a", " x\n")), DEFAULT), "label") == [(" x\n",)]


@pytest.mark.parametrize(
    "lost", [{"text": "a\ufffd"}, {"label": "a\ufffd"}, {"context": turns("a", "b\ufffd")}]
)
def test_a_conversation_that_has_lost_a_character_is_refused(lost):
    tables = conversations({"text": "p", "label": "a"} | lost)
    assert refused(tables) == [("e000", "undecodable")]
    assert tables.quarantine["reason"][0].as_py().startswith("1 characters were lost")


def test_of_a_classification_only_the_text_counts_as_lost():
    tables = clean(raw_table(("a\ufffd", "x\ufffd"), ("b", "y\ufffd")), DEFAULT)
    assert refused(tables) == [("e000", "undecodable")]
    assert tables.quarantine["reason"][0].as_py().startswith("1 characters were lost")


def test_an_answer_that_is_empty_after_cleaning_is_refused_and_a_plain_text_has_none():
    tables = conversations({"text": "p", "label": "\u200b \n"}, {"text": "plain"})
    assert refused(tables) == [("e000", "empty_answer")]
    assert rows(tables, "text", "label") == [("plain", None)]


def test_limits_of_length_are_those_of_the_prompt():
    tables = conversations({"text": "abc", "label": "a" * 50, "context": turns("b" * 50, "c")}, max_chars=3)
    assert refused(tables) == []


def test_different_answers_to_one_prompt_are_kept_and_equal_ones_merged():
    examples = [
        {"text": text, "label": label} for text, label in (("P", "a"), ("p ", "b"), ("p", "a"), ("p", "A"))
    ]
    tables = conversations(*examples)
    assert sorted(rows(tables, "text", "label")) == [("P", "a"), ("p", "A"), ("p", "b")]
    assert tables.merged["example_id"].to_pylist() == ["e002"]
    assert len(set(tables.examples["text_key"].to_pylist())) == 1


def test_prompts_with_another_context_are_other_texts():
    tables = conversations(
        {"text": "why?", "label": "a", "context": turns("x", "y")},
        {"text": "why?", "label": "a", "context": turns("z", "y")},
        {"text": "why?", "label": "a"},
    )
    assert tables.merged.num_rows == 0
    assert len(set(tables.examples["text_key"].to_pylist())) == 3


def test_plain_texts_that_are_equal_are_merged():
    tables = conversations({"text": "same"}, {"text": "Same"})
    assert rows(tables, "example_id") == [("e000",)]


PERSONAL = "write to jane@example.org or call 030 1234567"
REPLACED = "write to <EMAIL> or call <PHONE>"


def test_personal_data_becomes_placeholders_in_text_context_and_answer():
    tables = conversations({"text": PERSONAL, "label": PERSONAL, "context": turns("hello", PERSONAL)})
    (row,) = tables.examples.to_pylist()
    assert (row["text"], row["label"]) == (REPLACED, REPLACED)
    assert json.loads(row["context"]) == turns("hello", REPLACED)
    assert tables.summary["personal_data"] == dict.fromkeys(DEFAULT.personal_data, 0) | {
        "email": 3,
        "phone": 3,
    }


def test_personal_data_is_found_in_repaired_text():
    hidden = "a\u200b@example.org, 4111\u200b 1111 1111 1111, <b>jane</b>@example.org"
    assert rows(cleaned(hidden), "text") == [("<EMAIL>, <CARD>, <EMAIL>",)]


def test_refused_rows_are_kept_with_placeholders():
    (row,) = cleaned(f"{PERSONAL} \ufffd").quarantine.to_pylist()
    assert (row["rule"], row["text"]) == ("undecodable", f"{REPLACED} \ufffd")


def test_texts_that_differ_in_personal_data_alone_are_duplicates():
    assert rows(cleaned("I am a@b.org", "I am c@d.org"), "text") == [("I am <EMAIL>",)]


def test_lengths_are_judged_with_the_placeholders():
    assert refused(cleaned("a@b.de", max_chars=6)) == [("e000", "too_long")]


def test_groups_and_labels_that_hold_personal_data_do_not_show_it():
    found = clean(raw_table(("a", "x@y.org", "p@q.org"), ("b", "pos", "thread 1")), DEFAULT)
    first, second = rows(found, "label", "group")
    assert first[0] == "<EMAIL>" and "@" not in first[1]
    assert second == ("pos", "thread 1")


def test_kinds_of_personal_data_are_a_choice():
    text = "a@b.org at 192.0.2.1"
    assert rows(cleaned(text, personal_data=["ip"]), "text") == [("a@b.org at <IP>",)]
    off = cleaned(text, personal_data=[])
    assert rows(off, "text") == [(text,)] and off.summary["personal_data"] == {}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("<p>One<br>two</p><p class='x > y'>three &amp; four</p>", "One two three & four"),
        ("a <b>bold</b> <a href=\"https://x.org/?a=1>2\">link</a>", "a bold link"),
        ("x<!-- not\nseen -->y <SCRIPT>if (a < b) alert('<p>')</SCRIPT > z<style>p{}</style>", "x y z"),
        ("no tag: a < b and c > d &amp; <user> <EMAIL> <3", "no tag: a < b and c > d &amp; <user> <EMAIL> <3"),
        ("<b@example.org> wrote", "<<EMAIL>> wrote"),
        ("a <br/>b &lt;i&gt; &#8203;e&#x301;", "a b <i> é"),
        ("<p", "<p"),
    ],
)  # fmt: skip
def test_html_is_taken_out_where_there_is_a_tag(text, plain):
    assert rows(cleaned(text), "text") == [(plain,)]


def test_html_stays_where_a_model_writes_unless_the_task_says_otherwise():
    page = "<p>Hello</p>"
    assert rows(conversations({"text": page, "label": page}), "text", "label") == [(page, page)]
    assert rows(conversations({"text": page, "label": page}, strip_html=True), "text", "label") == [
        ("Hello",) * 2
    ]
    assert rows(cleaned(page, strip_html=False), "text") == [(page,)]


@pytest.mark.parametrize("part", ["<", "<p ", "<!--", "<script>", '<a b="', "&#", "<p>&lt;"])
def test_hostile_markup_comes_to_an_end(part):
    text = ("<p>" + part * 1_000_000)[:1_000_000]  # squared, this length would take hours
    assert len(without_html(pl.Series([text]))) == 1


ENGLISH = "The kettle of my neighbour stopped working last week."
GERMAN = "Der Wasserkocher meiner Nachbarin geht seit letzter Woche nicht mehr."


def test_filters_are_asked_after_the_rules_that_always_hold():
    tables = cleaned(ENGLISH, GERMAN, "", "ok", languages=["en"], quality={"min_words": 2})
    assert rows(tables, "text") == [(ENGLISH,)]
    assert refused(tables) == [("e001", "other_language"), ("e002", "empty_text"), ("e003", "too_few_words")]
    assert tables.quarantine["reason"].to_pylist()[2] == "1 words, at least 2 are wanted"
    summary = tables.summary
    assert (summary["rows_in"], summary["kept"], summary["quarantined"]) == (4, 1, 3)
    assert summary["by_rule"] == {"empty_text": 1, "other_language": 1, "too_few_words": 1}


def test_what_a_filter_refuses_is_kept_as_it_was_repaired():
    tables = cleaned(f"<p>{GERMAN}</p> jane@example.org", languages=["en"])
    assert tables.quarantine["text"].to_pylist() == [f"{GERMAN} <EMAIL>"]


def test_of_conversations_prompt_and_answer_are_filtered():
    table = conversation_table(
        {"text": ENGLISH, "label": "I am sorry. " * 9},
        {"text": GERMAN, "label": "Ja."},
        {"text": ENGLISH, "label": "No."},
    )
    config = CleaningConfig(languages=["en"], quality={"max_repeated_share": 0.3})
    tables = clean(table, config, conversations=True)
    assert refused(tables) == [("e000", "too_repetitive"), ("e001", "other_language")]
    assert rows(tables, "label") == [("No.",)]


def test_the_languages_of_kept_texts_are_counted_unless_that_is_switched_off():
    made = cleaned(ENGLISH, ENGLISH, GERMAN, "ok")
    assert made.summary["languages"] == {"looked_at": 3, "of": 3, "by_language": {"de": 1, "en": 1, "und": 1}}
    assert "languages" not in cleaned(ENGLISH, count_languages=0).summary


def test_of_equal_rows_the_one_of_a_source_for_test_is_kept():
    raw = raw_table(("a", "x"), ("a", "x", "g", None, "train"), ("a", "x", "h", None, "test"))
    found = clean(raw, DEFAULT)
    assert rows(found, "example_id", "split") == [("e002", "test")]
    assert found.merged["merged_into"].to_pylist() == ["e002", "e002"]


def test_a_text_that_stands_several_times_is_as_old_as_the_first_of_them():
    raw = raw_table(("a", "x", None, "2026"), ("a", "x", None, "2024"), ("a", "x"), ("b", "x"))
    found = clean(raw, DEFAULT)
    assert [each and each.year for (each,) in rows(found, "time")] == [2024, None]


def test_marks_that_nobody_sees_hide_no_personal_data():
    made = cleaned("card 4111\u200e1111\u034f1111\u20661111\u2069 now")
    assert rows(made, "text") == [("card <CARD> now",)]
