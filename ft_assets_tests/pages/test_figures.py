"""The figures of the page."""

import xml.etree.ElementTree as ET

import pytest

from ft_assets.pages.figures import axis, curves, stacked_bar, whisker


@pytest.mark.parametrize(
    ("values", "include", "ticks"),
    [
        ([0.0, 1.0], [], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0.091, 0.194], [0.0], ["0.00", "0.05", "0.10", "0.15", "0.20"]),
        ([-0.03, 0.02], [0.0], ["-0.03", "-0.02", "-0.01", "0.00", "0.01", "0.02"]),
        ([1, 164], [0], ["0", "50", "100", "150", "200"]),
        ([0.5], [0.5], ["0.5", "0.6"]),
        ([], [], ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
    ],
)
def test_an_axis_holds_its_values_on_round_ticks(values, include, ticks):
    scale = axis(values, include=include)
    assert all(scale.low <= value <= scale.high for value in values)
    assert [text for _, text in scale.labels] == ticks


def test_a_whisker_says_its_numbers_to_a_screen_reader():
    root = ET.fromstring(whisker({"value": 0.5, "low": 0.4, "high": 0.61}, axis([0, 1]), "F1 of <b>"))
    assert root.find("title").text == "F1 of <b>"
    assert root.find("desc").text == "0.500, interval 0.400 to 0.610"


def test_a_whisker_without_interval_is_a_dot_and_without_value_nothing():
    scale = axis([0, 1])
    assert 'class="range' not in whisker({"value": 0.5, "low": None, "high": None}, scale, "x")
    assert 'class="dot' not in whisker({"value": None, "low": None, "high": None}, scale, "x")


def test_curves_leave_out_what_is_not_finite_and_mark_the_best_step():
    drawn = curves(
        {"train": [(1, 1.0), (2, float("nan")), (100, 0.5)], "validation": [(50, 0.7)]}, 50, "Loss"
    )
    assert drawn["mark"] == 50.0
    assert "nan" not in drawn["svg"]
    ET.fromstring(drawn["svg"])


def test_no_points_give_no_curves():
    assert curves({"train": [], "validation": [(1, float("inf"))]}, None, "Loss") is None


def test_the_parts_of_a_bar_add_up():
    root = ET.fromstring(stacked_bar({"kept": 6, "merged": 3, "quarantined": 1}, 10, "stage"))
    assert [float(part.get("width")) for part in root.iter("rect")] == [60.0, 30.0, 10.0]
