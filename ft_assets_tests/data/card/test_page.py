"""`data_card.html`: everything is there, nothing acts, nothing is fetched."""

import re
from itertools import pairwise

import pytest

from ft_assets.data.card.facts import build_card, cluster_facts
from ft_assets.data.card.page import coded, flow, percent, render_card
from ft_assets.data.config import LabelsConfig
from ft_assets.data.examples import StageTables, counts
from ft_assets_tests.data.card.test_facts import ABOUT, NO_DRIFT, manifests_of
from ft_assets_tests.data.helpers import raw_table
from ft_assets_tests.pages.helpers import HOSTILE, Page
from ft_assets_tests.ui import browser_page

LONG = "W" * 3_000


def raw_of(rows, file="rows.csv"):
    table = raw_table(*rows)
    nothing = StageTables(table)
    files = [{"source": file, "file": file, "rows": len(rows), "refused": 0}]
    return StageTables(
        table, summary=counts(len(rows), table, nothing.quarantine, nothing.merged) | {"files": files}
    )


def card_of(labels, file="rows.csv", *, group="g", settings=None, drift=NO_DRIFT, **about):
    rows = [(f"text number {n}", labels[n % len(labels)], f"{group}{n // 3}") for n in range(60)]
    rows += [
        ("text number 1", labels[1], f"{group}0"),
        ("", labels[0], None),
        ("other", f"{labels[0]}?", None),
    ]
    manifests, labelled = manifests_of(raw_of(rows, file), LabelsConfig(names=labels))
    clusters = cluster_facts(labelled.examples["cluster"])
    return build_card(ABOUT | about, manifests, clusters=clusters, drift=drift, settings=settings or {})


@pytest.fixture(scope="module")
def plain():
    drift = {
        "says": "Compared with version 0123.",
        "measures": [
            {"measure": "labels", "of": "new rows", "value": 0.31, "low": 0.2, "high": 0.4, "chance": 0.02,
             "limit": 0.1, "drifted": True, "says": "how far"},
        ],
    }  # fmt: skip
    card = card_of(
        ["good", "bad"],
        licence="CC-BY-4.0",
        contact="data@example.org",
        settings={"a": {"b": 3}},
        drift=drift,
    )
    html = render_card(card)
    return card, html, Page(html)


@pytest.fixture(scope="module")
def hostile():
    about = dict.fromkeys(("title", "description", "licence", "source", "language", "contact"), HOSTILE)
    return Page(
        render_card(card_of([HOSTILE, "b"], HOSTILE, group=HOSTILE, settings={HOSTILE: HOSTILE}, **about))
    )


def test_the_page_says_what_the_card_says(plain):
    card, _, page = plain
    told = (card["answer"], card["conclusion"], "CC-BY-4.0", "data@example.org", "good", "rows.csv", "a.b")
    assert all(each in page.text for each in told)
    for each in card["rules"]:
        assert each["rule"].replace("_", " ") in page.text and each["do"] in page.text
    for check in card["checks"]:
        assert check["description"] in page.text


def test_what_was_not_stated_is_said_not_to_be(plain):
    assert plain[2].text.count("not stated") == 2  # source and language


def test_drift_is_shown_with_its_numbers(plain):
    assert re.search(r"0\.310\s+0\.200 to 0\.400\s*0\.020\s*\+0\.1\s*drift", plain[2].text)


def test_nothing_acts_and_nothing_is_fetched(plain, hostile):
    for page in (plain[2], hostile):
        assert not {"script", "iframe", "object", "img", "form", "base"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        links = [value for name, value in page.attributes if name in ("href", "src")]
        assert links == ["data:,"]
        policy = next(value for name, value in page.attributes if "default-src" in (value or ""))
        assert "default-src 'none'" in policy
        assert "url(" not in page.style and "@import" not in page.style


def test_hostile_names_are_shown_as_text(hostile):
    assert "<script>alert(1)</script>" in hostile.text
    assert "\u202e" not in hostile.text and "\x00" not in hostile.text
    assert "{{ 7*7 }}" in hostile.text


def test_code_in_an_advice_is_code_and_the_rest_is_text():
    assert coded("set `a: <b>` or <i>") == "set <code>a: &lt;b&gt;</code> or &lt;i&gt;"


def test_hostile_values_stay_out_of_styles(hostile):
    styles = [value for name, value in hostile.attributes if name == "style"]
    assert styles and all(re.fullmatch(r"(width|height|left|top):[\d.]+%", value) for value in styles)


@pytest.mark.browser
def test_a_word_without_end_fits_a_phone(tmp_path):
    about = dict.fromkeys(
        ("title", "description", "licence", "source", "language", "contact"), HOSTILE + LONG
    )
    card = card_of([HOSTILE + LONG, "b"], LONG, group=LONG, settings={LONG: LONG}, **about)
    (tmp_path / "card.html").write_text(render_card(card), encoding="utf-8")
    with browser_page() as page:
        told = []
        page.on("console", lambda message: told.append(message.text))
        page.set_viewport_size({"width": 390, "height": 900})
        page.goto((tmp_path / "card.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert told == []


def test_the_stream_has_room_for_all_of_its_labels(plain):
    drawn = flow(plain[0])
    middles = [split["middle"] for split in drawn["splits"]]
    # A label of three lines is a fifth of the figure's height.
    assert all(after - before >= 20 for before, after in pairwise(middles))
    assert max(middles) < 90


def test_languages_near_duplicates_and_ratings_are_shown_where_they_were_counted(plain):
    by_language = {f"l{place}": 100 - place for place in range(12)}
    more = {
        "languages": {"looked_at": 500, "of": 900, "by_language": by_language},
        "duplicates": plain[0]["duplicates"]
        | {
            "near": {"pairs": 7, "by_similarity": {"0.8 to 0.9": 7}, "other_labels": 2},
            "semantic": {"test": {"rows": 3, "share": 0.02, "threshold": 0.9, "largest_cosine": 0.97}},
        },
        "ratings": {"ratings": 41, "contested": 5, "mean_disagreement": 0.125},
    }
    text = Page(render_card(plain[0] | more)).text
    for told in (
        "Of 500 rows drawn by lot",
        "l7",
        "others",
        "Jaccard 0.8 to 0.9",
        "Such pairs with different labels",
        "Texts of test that mean the same as one of an earlier split, cosine 0.9 and more3 (2.0 %)",
        "Contested",
        "0.125",
    ):
        assert told in text
    assert "l8" not in text and "Ratings" not in plain[2].text


def test_a_task_whose_model_writes_has_lengths_of_answers_and_no_labels(plain):
    card = plain[0]
    answers = {name: card["lengths"][name] for name in ("unit", "edges", "after")}
    splits = [split | {"labels": None, "label_shares": None} for split in card["splits"]]
    page = Page(render_card(card | {"labels": None, "answer_lengths": answers, "splits": splits}))
    assert "Answers" in page.text
    assert "Labelled rows, the commonest" not in page.text and "Beside each label" not in page.text


def test_whether_names_are_looked_for_is_told_as_it_is(plain):
    card, _, page = plain
    assert "Names and addresses are not looked for." in page.text
    with_names = Page(render_card(card | {"personal_data": {"email": 0, "name": 3}}))
    assert "Names and addresses are not looked for." not in with_names.text
    assert "Such a model misses some names" in with_names.text and "Names of people" in with_names.text


def test_a_stage_that_keeps_nothing_can_still_be_drawn(plain):
    card = plain[0]
    nothing = [stage | {"kept": 0} for stage in card["flow"]]
    empty = [split | {"rows": 0} for split in card["splits"]]
    assert "nan" not in flow({"flow": nothing, "splits": empty})["svg"].lower()


@pytest.mark.parametrize(
    ("share", "said"), [(0, "0.0 %"), (0.0004, "under 0.1 %"), (0.5, "50.0 %"), (None, "\N{EN DASH}")]
)
def test_shares_are_said_as_a_person_says_them(share, said):
    assert percent(share) == said
