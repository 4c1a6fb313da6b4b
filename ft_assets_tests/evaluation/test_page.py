"""`report.html`: everything is there, nothing acts, nothing is fetched."""

import re

import pyarrow as pa
import pytest

from ft_assets.evaluation import text_generation
from ft_assets.evaluation.config import EvaluationConfig
from ft_assets.evaluation.page import duration, estimate, signed, size, speed, unbroken
from ft_assets.evaluation.report import build_report, render_html
from ft_assets.evaluation.text_classification import evaluate_predictions
from ft_assets_tests.evaluation.helpers import (
    LABELS,
    answers,
    changed,
    data_summaries,
    examples,
    noisy,
    predictions,
    provenance,
    texts,
    training,
)
from ft_assets_tests.pages.helpers import HOSTILE, Page


def page_of(labels, text="a row", name="some_task", **task):
    actual, guess = noisy(160, 1, 0.7, labels)
    _, worse = noisy(160, 1, 0.3, labels)
    table, given = examples(actual, text=text), predictions(guess, labels)
    evaluation = evaluate_predictions(
        table, given, {"tfidf": predictions(worse, labels)}, EvaluationConfig(resamples=100), labels=labels
    )
    about = {"name": name, "type": "text-classification", "title": None, "description": "", **task}
    report = build_report(about, evaluation, training(), provenance(), data_summaries())
    return report, render_html(report, table, given)


def written_page_of(references, tuned, baselines, task_type="text-generation", text="Write it."):
    table = examples(references, text=text)
    evaluation = text_generation.evaluate_predictions(
        table, tuned, baselines, EvaluationConfig(resamples=100), task_type=task_type
    )
    about = {"name": "some_texts", "type": task_type, "title": None, "description": ""}
    report = build_report(about, evaluation, training(), provenance(), data_summaries())
    return report, render_html(report, table, tuned, baselines)


@pytest.fixture(scope="module")
def written():
    references = texts(60, 1)
    baselines = {
        "zero_shot": answers(changed(references, 3, 0.2), nll=30),
        "few_shot": answers(changed(references, 4, 0.5)),
    }
    report, html = written_page_of(references, answers(changed(references, 2, 0.8), nll=10), baselines)
    return report, html, Page(html)


@pytest.fixture(scope="module")
def hostile_written():
    texts = [HOSTILE] * 8
    baselines = {"zero_shot": answers(["<b>" + HOSTILE] * 8)}
    return Page(written_page_of(texts, answers(texts), baselines, text=HOSTILE)[1])


@pytest.fixture(scope="module")
def plain():
    report, html = page_of(LABELS)
    return report, html, Page(html)


@pytest.fixture(scope="module")
def hostile():
    return Page(page_of([HOSTILE, "b"], HOSTILE, HOSTILE, title=HOSTILE, description=HOSTILE)[1])


def test_the_page_opens_with_the_answer(plain):
    report, _, page = plain
    # Spaces and hyphens inside an estimate are of the sort that does not break.
    shown = page.text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{NON-BREAKING HYPHEN}", "-")
    assert shown.index(report["answer"]) < shown.index("How good")


@pytest.mark.parametrize(
    "section",
    [
        "quality",
        "confusion",
        "baselines",
        "labels",
        "training",
        "cost",
        "mistakes",
        "data",
        "provenance",
        "method",
    ],
)
def test_the_page_has_every_section(plain, section):
    assert ("id", section) in plain[2].attributes


def test_the_page_shows_the_numbers_of_the_report(plain):
    report, _, page = plain
    for metric in report["headline"]:
        assert f"{report['metrics'][metric]['value']:.3f}" in page.text
    assert "1 min 54 s" in page.text
    assert "1.0 GiB" in page.text
    assert "dddddddddddd" in page.text


def test_nothing_is_fetched(plain, hostile, hostile_written):
    for page in (plain[2], hostile, hostile_written):
        references = {
            value for key, value in page.attributes if key in ("href", "src", "srcset", "action", "data")
        }
        assert references == {"data:,"}
        assert "url(" not in page.style
        assert "@import" not in page.style


def test_nothing_acts(plain, hostile, hostile_written):
    for page in (plain[2], hostile, hostile_written):
        assert not set(page.tags) & {
            "script",
            "iframe",
            "object",
            "embed",
            "img",
            "form",
            "base",
            "a",
            "foreignobject",
        }
        assert not [key for key, _ in page.attributes if key.startswith("on")]


def test_a_policy_forbids_scripts_and_fetching(plain):
    policy = next(value for key, value in plain[2].attributes if value and value.startswith("default-src"))
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:")
    assert plain[1].index("Content-Security-Policy") < plain[1].index("<style")


def test_hostile_text_stays_text(hostile):
    shown = HOSTILE.replace("\x00", "␀").replace("\u202e", "⟨U+202E⟩")
    # In the title, the heading, the answer, the description and the tables of labels.
    assert hostile.text.count(shown) >= 5
    # {{ 7*7 }} was not computed.
    assert "49" not in hostile.text.replace(shown, "")
    assert "\x00" not in hostile.text
    assert "\u202e" not in hostile.text


def test_hostile_text_leaves_the_page_in_one_piece(plain, hostile):
    count = {tag: plain[2].tags.count(tag) for tag in ("html", "head", "body", "main", "style", "title")}
    # <title> also names each figure, so only the others are the same for every page.
    assert {tag: hostile.tags.count(tag) for tag in count if tag != "title"} == {
        tag: number for tag, number in count.items() if tag != "title"
    }


def test_every_figure_is_named(plain, written):
    for page in (plain[2], written[2]):
        figures = page.tags.count("svg")
        assert figures > 0
        assert page.attributes.count(("role", "img")) == figures == page.tags.count("desc")


@pytest.mark.parametrize("section", ["quality", "answers", "baselines", "samples", "data", "method"])
def test_the_page_of_a_model_that_writes_has_its_own_sections(written, section):
    assert ("id", section) in written[2].attributes


def test_the_page_of_a_model_that_writes_speaks_of_no_labels(written):
    assert not {("id", "confusion"), ("id", "labels"), ("id", "mistakes")} & set(written[2].attributes)
    assert "label" not in written[2].text


def test_every_metric_is_shown_on_its_own_scale(written):
    report, _, page = written
    for name, digits in {"rougeL": 3, "bleu": 1, "chrf": 1, "exact_match": 3, "perplexity": 2}.items():
        for metrics in (report["metrics"], *(entry["metrics"] for entry in report["baselines"].values())):
            assert f"{metrics[name]['value']:.{digits}f}" in page.text
    assert page.text.count("of 100") == 2
    assert "less is better" in page.text


def test_no_mark_lies_outside_of_its_figure(written):
    translated = written_page_of(texts(40, 1), answers(texts(40, 1)), {}, "translation")[1]
    for html in (written[1], translated):
        places = [float(place) for place in re.findall(r'class="dot [^"]*" d="M([\d.-]+) ', html)]
        assert places
        assert all(0 <= place <= 100 for place in places)


def test_answers_stand_side_by_side(written):
    assert written[2].text.count("Untuned") == written[2].text.count("Fine-tuned ROUGE-L") == 6
    assert [written[1].count(f"<b>{kind}</b>") for kind in ("best", "middle", "worst")] == [2, 2, 2]


def test_hostile_answers_stay_text(hostile_written):
    # Masking turns what acts on the text into spaces.
    shown = "<script>alert(1)</script></style></title>{{ 7*7 }}{% raw %} "
    # Prompt, reference and both answers of each of six rows.
    assert hostile_written.text.count(shown) == 24
    assert "49" not in hostile_written.text
    assert "\x00" not in hostile_written.text
    assert "\u202e" not in hostile_written.text


def test_an_empty_answer_is_said_to_be_empty():
    html = written_page_of(["a b"] * 4, answers(["", "a", "a b", "b"]), {})[1]
    assert html.count("<em>empty</em>") == 1
    assert "Untuned" not in html


def test_plain_texts_are_shown_by_perplexity_alone():
    nothing = answers([None] * 30)
    report, html = written_page_of([None] * 30, nothing, {"zero_shot": answers([None] * 30, nll=40)})
    page = Page(html)
    assert f"{report['metrics']['perplexity']['value']:.2f}" in page.text
    assert "ROUGE" not in page.text
    assert not {("id", "answers"), ("id", "samples")} & set(page.attributes)


def test_terms_and_intervals_do_not_break():
    assert unbroken("ROUGE-L 0.30 [0.28, 0.33] over zero-shot") == (
        "ROUGE\N{NON-BREAKING HYPHEN}L 0.30\N{NO-BREAK SPACE}[0.28,\N{NO-BREAK SPACE}0.33] over "
        "zero\N{NON-BREAKING HYPHEN}shot"
    )


def test_rows_are_shown_masked():
    page = Page(page_of(LABELS, "write to jane.doe@example.com, please")[1])
    assert "jane.doe" not in page.text


def test_without_rows_the_page_shows_none(plain):
    assert "a row" in plain[2].text
    assert "Where it was sure and wrong" not in Page(render_html(plain[0])).text


@pytest.mark.parametrize("count", [2, 12, 40])
def test_few_and_many_labels_find_their_room(count):
    html = page_of([f"label{i}" for i in range(count)])[1]
    page = Page(html)
    assert ("heat" in html) and ("label0" in page.text)
    assert ("The most frequent of the mistakes" in page.text) == (count > 30)


def test_an_untold_training_and_one_cluster_give_a_page():
    table = examples(["a", "b"] * 10, ["c"] * 20)
    evaluation = evaluate_predictions(
        table, predictions(["a"] * 20, ["a", "b"]), {}, EvaluationConfig(), labels=["a", "b"]
    )
    task = {"name": "t", "type": "text-classification"}
    page = Page(render_html(build_report(task, evaluation, {}, {}, {})))
    assert "not measured" in page.text
    assert "Before you rely on this" in page.text


def test_a_row_without_text_is_shown_empty():
    table = examples(["a", "b"]).set_column(1, "text", pa.array([None, None], pa.string()))
    given = predictions(["b", "a"], ["a", "b"])
    evaluation = evaluate_predictions(table, given, {}, EvaluationConfig(resamples=100), labels=["a", "b"])
    report = build_report({"name": "t", "type": "text-classification"}, evaluation, {}, {}, {})
    assert "Where it was sure and wrong" in render_html(report, table, given)


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(0.01), "under 0.1 s"),
        (duration(59.94), "59.9 s"),
        (duration(59.97), "60.0 s"),
        (duration(114.2), "1 min 54 s"),
        (duration(7_260), "2 h 1 min"),
        (duration(None), "not measured"),
        (speed(1234.5), "1,234"),
        (speed(9.96), "10"),
        (speed(0.2578), "0.26"),
        (speed(None), "not measured"),
        (size(842 * 2**20), "842 MiB"),
        (size(3 * 2**30), "3.0 GiB"),
        (size(None), "not measured"),
        (estimate(0.7184), "0.718"),
        (estimate(None), "\N{EN DASH}"),
        (signed(0.1), "+0.100"),
        (signed(-0.1), "\N{MINUS SIGN}0.100"),
    ],
)
def test_numbers_are_said_as_people_read_them(shown, expected):
    assert shown == expected
