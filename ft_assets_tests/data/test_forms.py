import csv
import json

import pytest

from ft_assets.data.config import ColumnsConfig, SourceConfig
from ft_assets.data.forms import STANDS_FOR_TEXT
from ft_assets.data.readers import raw_examples
from ft_assets.errors import UserError
from ft_assets_tests.data.helpers import jsonl, read, read_as, rows, turns

SYSTEM = {"role": "system", "content": "Be kind."}
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]


def made(tmp_path, *records, task_type="text-generation", **columns):
    """The raw stage of these records as JSON Lines."""
    return read_as(task_type, jsonl(tmp_path / "a.jsonl", *records), ColumnsConfig(**columns))


def table(path, *records):
    """A CSV file of these records, with what is nested as JSON text."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(records[0]))
        writer.writeheader()
        for record in records:
            writer.writerow(
                {name: each if isinstance(each, str) else json.dumps(each) for name, each in record.items()}
            )
    return path


def only(tables):
    (row,) = tables.examples.to_pylist()
    return (json.loads(row["context"]) if row["context"] else None, row["text"], row["label"])


def form(tables):
    return [(entry["file"], entry["form"]) for entry in tables.summary["forms"]]


FORMS = [
    ("chat", {"messages": turns("q", "a")}, (None, "q", "a")),
    ("chat", {"messages": [SYSTEM, *turns("p", "b", "q", "a")]}, ([SYSTEM, *turns("p", "b")], "q", "a")),
    ("sharegpt", {"conversations": SHAREGPT}, (None, "q", "a")),
    ("sharegpt", {"conversations": SHAREGPT, "system": "Be kind."}, ([SYSTEM], "q", "a")),
    (
        "sharegpt",
        {"conversations": [{"from": "system", "value": "Be kind."}, *SHAREGPT]},
        ([SYSTEM], "q", "a"),
    ),
    ("alpaca", {"instruction": "q", "output": "a"}, (None, "q", "a")),
    ("alpaca", {"instruction": "q", "input": "more", "output": "a"}, (None, "q\n\nmore", "a")),
    ("alpaca", {"instruction": "q", "input": " ", "output": "a", "system": "Be kind."}, ([SYSTEM], "q", "a")),
    ("prompt_completion", {"prompt": "q", "completion": "a"}, (None, "q", "a")),
    (
        "prompt_completion",
        {"prompt": [SYSTEM, *turns("q")], "completion": turns("a", first="assistant")},
        ([SYSTEM], "q", "a"),
    ),
    ("prompt_completion", {"prompt": turns("p", "b", "q"), "completion": "a"}, (turns("p", "b"), "q", "a")),
    ("completion", {"text": "all of it"}, (None, "all of it", None)),
]


@pytest.mark.parametrize(("name", "record", "expected"), FORMS)
def test_a_form_is_recognised_and_read_from_json_and_from_csv(tmp_path, name, record, expected):
    for tables in (
        made(tmp_path, record),
        read_as("text-generation", table(tmp_path / "a.csv", record)),
    ):
        assert [found for _, found in form(tables)] == [name]
        assert only(tables) == expected


@pytest.mark.parametrize("who", ["gpt", "assistant", "chatgpt", "bard", "bing", "model"])
def test_the_names_that_sharegpt_has_for_a_model_are_known(tmp_path, who):
    conversation = [{"from": "user", "value": "q"}, {"from": who, "value": "a"}]
    assert only(made(tmp_path, {"conversations": conversation})) == (None, "q", "a")


@pytest.mark.parametrize(
    ("task_type", "record", "name"),
    [
        ("summarization", {"document": "q", "summary": "a"}, "summarization"),
        ("translation", {"source": "q", "target": "a"}, "translation"),
        ("summarization", {"messages": turns("q", "a")}, "chat"),
        ("translation", {"prompt": "q", "completion": "a"}, "prompt_completion"),
    ],
)
def test_a_preset_has_a_form_of_its_own_and_reads_the_general_ones(tmp_path, task_type, record, name):
    tables = made(tmp_path, record, task_type=task_type)
    assert form(tables) == [("a.jsonl", name)]
    assert only(tables) == (None, "q", "a")


ENGLISH_TO_FRENCH = {"languages": {"source": "en", "target": "fr"}}


def test_a_text_in_several_languages_is_translated_as_the_task_says(tmp_path):
    record = {"id": 7, "translation": {"de": "Frage", "fr": "a", "en": "q"}}
    tables = made(tmp_path, record, task_type="translation", **ENGLISH_TO_FRENCH)
    assert form(tables) == [("a.jsonl", "translations")]
    assert only(tables) == (None, "q", "a")
    back = {"languages": {"source": "fr", "target": "en"}}
    assert only(made(tmp_path, record, task_type="translation", **back)) == (None, "a", "q")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_text_in_several_languages_is_read_from_other_formats(tmp_path, kind):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path, record = tmp_path / f"a.{kind}", {"translation": {"en": "q", "fr": "a"}}
    if kind == "csv":
        table(path, record)
    else:
        pq.write_table(pa.Table.from_pylist([record]), path)
    assert only(read_as("translation", path, ColumnsConfig(**ENGLISH_TO_FRENCH))) == (None, "q", "a")


def test_which_language_is_translated_has_to_be_said(tmp_path):
    with pytest.raises(UserError, match=r"languages of a row are 'en', 'fr'(.|\n)*languages: {source: en"):
        made(tmp_path, {"translation": {"en": "q", "fr": "a"}}, task_type="translation")
    with pytest.raises(ValueError, match="source and target are both 'en'"):
        ColumnsConfig(languages={"source": "en", "target": "en"})


@pytest.mark.parametrize(
    ("translation", "rule", "reason"),
    [
        ({"fr": "secret"}, "no_prompt", "there is no text in 'en'"),
        ({"en": "secret", "de": "secret"}, "no_answer", "there is no text in 'fr'"),
        ({"en": "secret", "fr": None}, "no_answer", "the last answer is empty"),
        (["secret"], "malformed_conversation", "'translation' is no mapping of languages to texts"),
    ],
)
def test_a_row_without_one_of_the_languages_is_refused(tmp_path, translation, rule, reason):
    good = {"translation": {"en": "q", "fr": "a"}}
    tables = made(
        tmp_path, good, good, {"translation": translation}, task_type="translation", **ENGLISH_TO_FRENCH
    )
    (refused,) = tables.quarantine.to_pylist()
    assert refused["rule"] == rule and reason in refused["reason"] and "secret" not in refused["reason"]


# Tools

CALL = {"role": "assistant", "content": '{"name": "weather"}'}
TOOL = {"role": "tool", "content": "rain"}
KEEP = {"tool_turns": "keep"}


def test_what_a_tool_has_said_is_kept_where_the_task_says_so(tmp_path):
    earlier = [*turns("p"), CALL, TOOL, *turns("b", first="assistant")]
    tables = made(tmp_path, {"messages": [*earlier, *turns("q", "a")]}, **KEEP)
    assert only(tables) == (earlier, "q", "a")


def test_an_answer_may_follow_what_a_tool_has_said(tmp_path):
    answered = [*turns("q"), CALL, TOOL, *turns("a", first="assistant")]
    context, text, label = only(made(tmp_path, {"messages": answered}, **KEEP))
    assert (context, text, label) == ([*turns("q"), CALL, STANDS_FOR_TEXT], "rain", "a")


@pytest.mark.parametrize(
    ("caller", "tool"), [("function_call", "observation"), ("tool_call", "tool_response"), ("gpt", "tool")]
)
def test_tools_have_many_names(tmp_path, caller, tool):
    names = zip(("human", caller, tool, "gpt"), ("q", CALL["content"], "rain", "a"), strict=True)
    record = {"conversations": [{"from": name, "value": value} for name, value in names]}
    assert only(made(tmp_path, record, **KEEP)) == ([*turns("q"), CALL, STANDS_FOR_TEXT], "rain", "a")


@pytest.mark.parametrize(
    ("messages", "rule", "reason"),
    [
        ([*turns("q"), TOOL, *turns("a", first="assistant")], "unknown_role", "columns: {tool_turns: keep}"),
        (
            [*turns("q"), CALL | {"tool_calls": [{"name": "secret"}]}, TOOL, *turns("a", first="assistant")],
            "tool_call",
            "turn 2 of 4 has a call of a tool beside its content",
        ),
    ],
)
def test_tools_that_are_not_read_are_refused_with_the_way_out(tmp_path, messages, rule, reason):
    tables = made(tmp_path, *[{"messages": turns("q", "a")}] * 2, {"messages": messages})
    (refused,) = tables.quarantine.to_pylist()
    assert refused["rule"] == rule and reason in refused["reason"] and "secret" not in refused["reason"]


def called(arguments, **beside):
    return {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            beside | {"type": "function", "function": {"name": "weather", "arguments": arguments}}
        ],
    }


ASKED = called({"city": "Bergen", "days": 2}, id="c1")
ANSWERED = {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": "rain"}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]


def with_calls(*, call, **row):
    return row | {"messages": [*turns("q"), call, ANSWERED, *turns("a", first="assistant")]}


def test_calls_keep_their_structure_and_so_does_what_they_are_answered_with(tmp_path):
    context, text, label = only(made(tmp_path, with_calls(call=ASKED), **KEEP))
    assert context == [*turns("q"), ASKED, {**STANDS_FOR_TEXT, "tool_call_id": "c1", "name": "weather"}]
    assert (text, label) == ("rain", "a")


@pytest.mark.parametrize(
    "call",
    [
        ASKED | {"content": None},
        ASKED | called('{"city": "Bergen", "days": 2}', id="c1"),
        ASKED | {"tool_calls": [{"id": "c1", **ASKED["tool_calls"][0]["function"]}]},
    ],
)
def test_calls_are_written_in_several_ways(tmp_path, call):
    assert only(made(tmp_path, with_calls(call=call), **KEEP))[0][1] == ASKED


def test_a_single_function_call_is_one_of_several(tmp_path):
    call = {"role": "assistant", "function_call": {"name": "weather", "arguments": "{}"}}
    assert only(made(tmp_path, with_calls(call=call), **KEEP))[0][1] == called({})


def test_a_rows_tools_come_first(tmp_path):
    expected = {"role": "tools", "content": "", "tools": TOOLS}
    assert only(made(tmp_path, with_calls(call=ASKED, tools=TOOLS), **KEEP))[0][0] == expected
    row = {"prompt": "q", "completion": "a", "tools": json.dumps(TOOLS)}
    assert only(made(tmp_path, row, **KEEP)) == ([expected], "q", "a")


def test_a_rows_tools_are_not_read_where_tools_do_not_speak(tmp_path):
    assert only(made(tmp_path, {"messages": turns("q", "a"), "tools": TOOLS})) == (None, "q", "a")


def test_the_name_of_a_person_beside_a_message_is_not_read(tmp_path):
    question = {"role": "user", "content": "q", "name": "Kari"}
    assert only(made(tmp_path, {"messages": [question, *turns("a", first="assistant")]}, **KEEP)) == (
        None,
        "q",
        "a",
    )


@pytest.mark.parametrize(
    ("row", "rule", "reason"),
    [
        ({"messages": [*turns("q"), ASKED]}, "tool_call", "an answer in words has to come last"),
        (with_calls(call=called("{secret")), "malformed_conversation", "call in turn 2 of 4' is no JSON"),
        (with_calls(call=called(["secret"])), "malformed_conversation", "turn 2 of 4 are no JSON object"),
        (with_calls(call=called('{"secret": NaN}')), "malformed_conversation", "are no JSON object"),
        (
            with_calls(call=called('{"a":' * 60 + "{}" + "}" * 60)),
            "malformed_conversation",
            "are no JSON object",
        ),
        (with_calls(call=ASKED | {"tool_calls": ["secret"]}), "malformed_conversation", "has no name"),
        (with_calls(call=ASKED | {"tool_calls": "secret"}), "malformed_conversation", "are no list"),
        (with_calls(call=ASKED | {"role": "user"}), "malformed_conversation", "are no list of an assistant"),
        (with_calls(call=called('{"city": "\\ud800"}')), "undecodable", "turn 2 of 4 holds half a character"),
        (with_calls(call=ASKED, tools="secret"), "malformed_conversation", "'tools' is no"),
    ],
)
def test_calls_that_cannot_be_read_are_refused(tmp_path, row, rule, reason):
    tables = made(tmp_path, *[{"messages": turns("q", "a")}] * 2, row, **KEEP)
    (refused,) = tables.quarantine.to_pylist()
    assert refused["rule"] == rule and reason in refused["reason"] and "secret" not in refused["reason"]


@pytest.mark.parametrize(
    "messages",
    [
        [TOOL, *turns("a", first="assistant")],
        [*turns("q"), CALL, TOOL | {"content": " "}, *turns("a", first="assistant")],
    ],
)
def test_a_tool_needs_somebody_who_asks_and_something_to_say(tmp_path, messages):
    tables = made(tmp_path, *[{"messages": turns("q", "a")}] * 2, {"messages": messages}, **KEEP)
    assert tables.quarantine["rule"].to_pylist() == ["no_prompt"]


def test_a_function_gives_lists_and_mappings(tmp_path):
    (tmp_path / "made_up_rows.py").write_text(
        "def rows():\n"
        "    yield {'messages': ({'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'a'})}\n"
    )
    source = SourceConfig(function="made_up_rows:rows")
    tables = raw_examples([(source, [])], ColumnsConfig(), "text-generation", tmp_path)
    assert only(tables) == (None, "q", "a")


def test_a_text_may_begin_with_a_bracket(tmp_path):
    for text in ('[1, 2] is a list of "numbers"', "[1, 2]", '[{"a": 1}]', "[" * 100_000):
        assert only(made(tmp_path, {"prompt": text, "completion": "a"})) == (None, text, "a")


def test_files_of_one_source_may_have_different_forms(tmp_path):
    from ft_assets.sources import ResolvedFile

    files = [
        jsonl(tmp_path / "a.jsonl", {"messages": turns("q", "a")}),
        jsonl(tmp_path / "b.jsonl", {"instruction": "i", "output": "o"}),
    ]
    source = SourceConfig(path="*.jsonl")
    resolved = [ResolvedFile(path, path.name) for path in files]
    tables = raw_examples([(source, resolved)], ColumnsConfig(), "text-generation")
    assert tables.summary["forms"] == [
        {"file": "a.jsonl", "form": "chat", "mapping": "messages → context, text, label"},
        {
            "file": "b.jsonl",
            "form": "alpaca",
            "mapping": "instruction + input → text; output → label; system → context",
        },
    ]
    assert rows(tables, "text", "label") == [("q", "a"), ("i", "o")]


def test_a_classification_has_no_forms(tmp_path):
    assert "forms" not in read(jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "x"})).summary


# Recognition


@pytest.mark.parametrize(
    ("task_type", "record", "name"),
    [
        ("text-generation", {"text": "t", "prompt": "q", "completion": "a"}, "prompt_completion"),
        ("summarization", {"document": "q", "summary": "a", "text": "t", "messages": "m"}, "summarization"),
    ],
)
def test_a_form_of_ones_own_comes_first_and_a_plain_text_last(tmp_path, task_type, record, name):
    assert form(made(tmp_path, record, task_type=task_type)) == [("a.jsonl", name)]


BOTH = {"instruction": "i", "output": "o", "messages": turns("q", "a")}


def test_a_file_that_could_be_read_in_two_forms_is_an_error_until_the_task_says_which(tmp_path):
    with pytest.raises(UserError, match=r"chat or as alpaca(.|\n)*layout: chat"):
        made(tmp_path, BOTH)
    assert only(made(tmp_path, BOTH, layout="chat")) == (None, "q", "a")
    assert only(made(tmp_path, BOTH, layout="alpaca")) == (None, "i", "o")


def test_no_form_names_the_columns_there_the_forms_and_the_way_out(tmp_path):
    with pytest.raises(UserError) as caught:
        made(tmp_path, {"question": "q", "answer": "a"})
    for part in ("'question', 'answer'", "a.jsonl", "alpaca (instruction, output)", "columns: {rename: {"):
        assert part in str(caught.value)


def test_a_layout_whose_columns_are_missing_is_an_error(tmp_path):
    with pytest.raises(UserError, match="columns of the layout 'chat' are missing"):
        made(tmp_path, {"prompt": "q", "completion": "a"}, layout="chat")


def test_columns_are_looked_for_beyond_unreadable_rows(tmp_path):
    # More unreadable rows than are looked at for names; fewer than readable ones, or the file would be refused.
    good = {"prompt": "q", "completion": "a"}
    tables = made(tmp_path, good, *['{"prompt"'] * 150, *[good] * 200)
    assert (tables.examples.num_rows, tables.quarantine.num_rows) == (201, 150)
    first_broken = jsonl(tmp_path / "b.jsonl", *['{"prompt"'] * 150, *[good] * 200)
    assert read_as("text-generation", first_broken).examples.num_rows == 200


def test_a_column_that_only_a_late_row_has_is_read(tmp_path):
    plain = {"instruction": "i", "output": "o"}
    tables = made(tmp_path, *[plain] * 150, plain | {"input": "late"})
    assert tables.examples["text"].to_pylist()[-1] == "i\n\nlate"
    renamed = made(tmp_path, *[plain] * 150, plain | {"extra": "late"}, rename={"extra": "input"})
    assert renamed.examples["text"].to_pylist()[-1] == "i\n\nlate"


# Renaming


def test_columns_are_renamed_to_the_fields_of_a_form(tmp_path):
    tables = made(
        tmp_path, {"question": "q", "reply": "a"}, rename={"question": "prompt", "reply": "completion"}
    )
    assert only(tables) == (None, "q", "a")
    (entry,) = tables.summary["forms"]
    assert entry["form"] == "prompt_completion"
    assert entry["mapping"].endswith("(question as prompt, reply as completion)")


def test_a_renamed_column_stands_before_one_of_that_name(tmp_path):
    record = {"prompt": "system prompt", "question": "q", "completion": "a"}
    for columns in (record, dict(reversed(record.items()))):
        assert only(made(tmp_path, columns, rename={"question": "prompt"})) == (None, "q", "a")


def test_a_column_renamed_away_is_not_read_under_its_own_name(tmp_path):
    record = {"input": "q", "instruction": "never", "output": "a"}
    assert only(made(tmp_path, record, rename={"input": "instruction"})) == (None, "q", "a")


def test_two_columns_cannot_be_one_field(tmp_path):
    with pytest.raises(UserError, match="'a' and 'b' are both to be 'prompt'"):
        made(tmp_path, {"a": "q", "b": "q", "completion": "a"}, rename={"a": "prompt", "b": "prompt"})


def test_rows_are_grouped_as_ever(tmp_path):
    tables = made(
        tmp_path, *({"prompt": f"q{i}", "completion": "a", "who": f"user-{i % 2}"} for i in range(4)),
        group={"column": "who", "pattern": r"user-(\d)"},
    )  # fmt: skip
    assert rows(tables, "group") == [("0",), ("1",), ("0",), ("1",)]


# Identity


def test_an_id_survives_a_corrected_answer_and_not_another_context(tmp_path):
    def ids(*records):
        return [each for (each,) in rows(made(tmp_path, *records), "example_id")]

    before = ids({"messages": [SYSTEM, *turns("q", "a")]})
    assert ids({"messages": [SYSTEM, *turns("q", "corrected")]}) == before
    assert ids({"messages": turns("q", "a")}) != before


def test_the_form_is_no_part_of_an_id(tmp_path):
    chat = made(tmp_path, {"messages": turns("q", "a")})
    alpaca = made(tmp_path, {"instruction": "q", "output": "a"})
    assert rows(chat, "example_id") == rows(alpaca, "example_id")


def test_the_id_of_a_text_to_classify_is_what_it_has_always_been(tmp_path):
    tables = read(jsonl(tmp_path / "a.jsonl", {"text": "a", "label": "x"}))
    assert rows(tables, "example_id", "context") == [(CLASSIFIED, None)]


# Computed by the version before conversations came in: another value would make all erased and recorded ids void.
CLASSIFIED = "35b9da340f3d36f6"


# Refusals

SECRET = "secret words"
GOOD = [{"messages": turns("q", "a")}] * 3


@pytest.mark.parametrize(
    ("messages", "rule", "reason"),
    [
        (SECRET, "malformed_conversation", "'messages' is no JSON"),
        ({"role": "user", "content": SECRET}, "malformed_conversation", "'messages' is no list of messages"),
        ([SECRET], "malformed_conversation", "'messages' is no list of messages"),
        (None, "malformed_conversation", "'messages' is no list of messages"),
        ([{"content": SECRET}], "malformed_conversation", "turn 1 of 1 has no role"),
        (
            [{"role": "user", "content": [{"type": "text", "text": SECRET}]}, *turns("a", first="assistant")],
            "malformed_conversation",
            "the content of turn 1 of 2 is no text",
        ),
        (
            [*turns(SECRET), {"role": "assistant", "content": None}, *turns("q", "a")],
            "malformed_conversation",
            "the content of turn 2 of 4 is no text",
        ),
        (
            [*turns("q", "a"), SYSTEM, *turns("q", "a")],
            "malformed_conversation",
            "turn 3 of 5 is a system message",
        ),
        (
            [*turns("q"), {"role": "tool", "content": SECRET}, *turns("a", first="assistant")],
            "unknown_role",
            "turn 2 of 3 has the role 'tool'",
        ),
        ([{"role": SECRET, "content": "q"}], "unknown_role", "turn 1 of 1 has another role"),
        (turns(SECRET), "no_answer", "no turn is an answer"),
        ([], "no_answer", "no turn is an answer"),
        (turns(SECRET, " \n"), "no_answer", "the last answer is empty"),
        ([*turns(SECRET), {"role": "assistant", "content": None}], "no_answer", "the last answer is empty"),
        (turns("q", SECRET, "q"), "unanswered", "the last turn has no answer"),
        (turns(SECRET, first="assistant"), "no_prompt", "there is no prompt before the last answer"),
        ([SYSTEM, *turns(SECRET, first="assistant")], "no_prompt", "there is no prompt"),
        (turns("", SECRET), "no_prompt", "there is no prompt"),
        ([*turns("q", "a"), {"role": "assistant", "content": SECRET}], "no_prompt", "there is no prompt"),
    ],
)
def test_a_row_that_is_no_conversation_is_refused_and_the_reason_holds_none_of_it(
    tmp_path, messages, rule, reason
):
    tables = made(tmp_path, *GOOD, {"messages": messages})
    (refused,) = tables.quarantine.to_pylist()
    assert (refused["rule"], refused["row"]) == (rule, 4)
    assert refused["reason"].startswith("a.jsonl, row 4: ")
    assert reason in refused["reason"]
    assert SECRET not in refused["reason"]
    # What stood there is kept, as JSON of the row.
    if messages is not None:
        kept = json.loads(refused["text"])["messages"]
        assert kept == messages if isinstance(messages, str) else json.loads(kept) == messages


@pytest.mark.parametrize(
    ("record", "rule"),
    [
        ({"instruction": "i", "output": None}, "no_answer"),
        ({"instruction": " ", "input": "x", "output": "o"}, "no_prompt"),
        ({"instruction": None, "output": "o"}, "no_prompt"),
        ({"instruction": {"a": 1}, "output": "o"}, "malformed_row"),
    ],
)
def test_rows_of_plain_fields_are_refused_by_the_same_rules(tmp_path, record, rule):
    tables = made(tmp_path, *[{"instruction": "i", "output": "o"}] * 2, record)
    assert tables.quarantine["rule"].to_pylist() == [rule]


@pytest.mark.parametrize(("prompt", "rule"), [([], "no_prompt"), ([1, 2], "malformed_conversation")])
def test_a_list_that_is_none_of_messages_does_not_become_text(tmp_path, prompt, rule):
    tables = made(tmp_path, *[{"prompt": "q", "completion": "a"}] * 2, {"prompt": prompt, "completion": "a"})
    assert tables.quarantine["rule"].to_pylist() == [rule]


@pytest.mark.parametrize("task_type", ["text-generation", "text-classification"])
def test_what_is_nested_is_no_text(tmp_path, task_type):
    records = [*[{"text": "t", "label": "x"}] * 2, {"text": ["t"], "label": "x"}]
    tables = made(tmp_path, *records, task_type=task_type)
    assert tables.quarantine["reason"].to_pylist() == [
        "a.jsonl, row 3: field 'text' holds a list, expected text"
    ]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv"])
def test_a_key_that_stands_twice_within_a_message_costs_its_row(tmp_path, ending):
    good = json.dumps(turns("q", "a"))
    twice = good.replace('"q"', f'"q", "content": "{SECRET}"')
    path = tmp_path / f"a.{ending}"
    if ending == "csv":
        table(path, *[{"messages": each} for each in (good, good, twice)])
    else:
        lines = [f'{{"messages": {each}}}' for each in (good, good, twice)]
        path.write_text("\n".join(lines) if ending == "jsonl" else f"[{','.join(lines)}]")
    tables = read_as("text-generation", path)
    assert rows(tables, "text") == [("q",)] * 2
    (refused,) = tables.quarantine.to_pylist()
    assert "'messages' a key stands twice in one object" in refused["reason"]
    assert SECRET not in refused["reason"]
    assert SECRET in refused["text"]  # nothing of what stood there is lost


def test_half_a_character_inside_json_is_refused(tmp_path):
    whole = json.dumps(turns("q", "a"))
    path = table(tmp_path / "a.csv", {"messages": whole}, {"messages": whole.replace('"q"', r'"\ud800"')})
    tables = read_as("text-generation", path)
    assert tables.quarantine["rule"].to_pylist() == ["undecodable"]


def test_a_file_more_than_half_of_whose_rows_are_no_conversations_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"2 of 3 rows cannot be read(.|\n)*read as chat"):
        made(tmp_path, GOOD[0], *[{"messages": turns("q")}] * 2)


def test_a_row_that_is_refused_in_another_encoding_is_kept_readable(tmp_path):
    path = tmp_path / "a.jsonl"
    lines = [*GOOD, {"messages": turns("é")}]
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="latin-1")
    tables = read_as("text-generation", path, encoding="latin-1")
    assert "é" in tables.quarantine["text"][0].as_py()
