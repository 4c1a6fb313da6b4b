"""The small pictures: valid, short enough to be shown inline, safe."""

import base64
import urllib.parse
import xml.etree.ElementTree as ET

import pytest

from ft_assets.pages.charts import (
    as_markdown_image,
    bar_chart_svg,
    confusion_svg,
    histogram_svg,
    line_chart_svg,
    visible,
)

HOSTILE = "</text><script>alert(1)</script>\x00\u202e]]>&\"'"
# Dagster shows a markdown image inline below this length.
INLINE = 1_000

PICTURES = {
    "bars": bar_chart_svg({"negative": 1_216, "neutral": 762, "positive": 1_719}),
    "many bars": bar_chart_svg({f"a label with a long name {i}": i * 1_000 for i in range(60)}),
    "bars beyond ascii": bar_chart_svg({f"很长的标签名称很长的标签{i}": i for i in range(20)}),
    "hostile bars": bar_chart_svg({HOSTILE: 3, "b": 0}),
    "no bars": bar_chart_svg({}),
    "histogram": histogram_svg(list(range(201)), [i * 37 % 1_000 for i in range(200)]),
    "empty histogram": histogram_svg([0], []),
    "flat histogram": histogram_svg([5, 5], [0]),
    "lines": line_chart_svg(
        {n: [(s, 1 / (s + k)) for s in range(500)] for k, n in ((1, "train"), (2, "validation"))}
    ),
    "one point": line_chart_svg({"train": [(1, 0.5)], "validation": []}),
    "no finite point": line_chart_svg({"train": [(1, float("nan"))]}),
    "confusion": confusion_svg([[3, 1], [0, 4]], ["a", HOSTILE]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_valid_svg_with_a_title_and_no_reference(name):
    root = ET.fromstring(PICTURES[name])
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.get("role") == "img"
    assert root.find("{http://www.w3.org/2000/svg}title").text
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert tags <= {"svg", "title", "text", "path", "g", "rect"}
    assert not any("href" in key or key.startswith("on") for element in root.iter() for key in element.attrib)


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "confusion"])
def test_a_picture_is_short_enough_to_be_shown_inline(name):
    assert (
        len(as_markdown_image(PICTURES[name], "what it shows, in a sentence that is rather long " * 3))
        < INLINE
    )


@pytest.mark.parametrize("name", PICTURES)
def test_the_data_uri_gives_back_the_picture(name):
    address = as_markdown_image(PICTURES[name], "alt").removeprefix("![alt](").removesuffix(")")
    head, body = address.split(",", 1)
    assert not set(address) & set(' ()<>"&#\n')
    decoded = base64.b64decode(body).decode() if head.endswith("base64") else urllib.parse.unquote(body)
    assert decoded == PICTURES[name]


def test_bars_beyond_the_room_are_added_up():
    picture = bar_chart_svg({f"label {i}": 1 for i in range(50)})
    shown = [text.text for text in ET.fromstring(picture).iter("{http://www.w3.org/2000/svg}text")]
    numbers = [int(text) for text in shown if text.isdigit()]
    assert any(text.startswith("other (") for text in shown)
    assert sum(numbers) == 50


def test_the_alternative_text_cannot_break_out_of_the_markdown():
    assert as_markdown_image("<svg/>", "a](http://evil) [b\n# c").startswith(
        "![a (http://evil)  b # c](data:"
    )


def test_control_and_direction_characters_become_symbols():
    assert visible("a\x00b\u202ec\u200fd\x7f\ne") == "a␀b⟨U+202E⟩c⟨U+200F⟩d�\ne"


def test_letters_of_all_scripts_stay_as_they_are():
    text = "naïve שלום مرحبا 日本語 👩‍💻"
    assert visible(text) == text


def test_a_histogram_wants_one_edge_more_than_counts():
    with pytest.raises(ValueError, match="need 3 edges"):
        histogram_svg([0, 1], [1, 2])


def test_a_confusion_matrix_must_be_square():
    with pytest.raises(ValueError, match="2 rows of 2 counts"):
        confusion_svg([[1, 2]], ["a", "b"])
