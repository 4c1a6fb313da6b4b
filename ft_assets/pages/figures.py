"""The figures of the report page: SVG without text, that stretches with the page, beside labels in HTML.

A figure that is scaled as a whole has unreadable labels on a phone. So each drawing here spans its box
(`preserveAspectRatio="none"`, strokes that do not scale, dots as round line caps), and the page sets the
labels in its own type. Colours come from the page's style sheet by class, for light, dark and print.
Standard library only. Every number is computed here; every text is escaped.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ft_assets.pages.charts import number, thinned, visible

__all__ = ["Axis", "axis", "curves", "stacked_bar", "whisker"]

Points = Sequence[tuple[float, float]]


class Axis:
    """A linear scale with round ticks; positions are percentages of its length."""

    def __init__(self, low: float, high: float, ticks: Sequence[float]) -> None:
        self.low, self.high, self.ticks = low, high, list(ticks)

    def at(self, value: float) -> float:
        """Position of a value, in percent."""
        return round(100 * (value - self.low) / (self.high - self.low), 2)

    @property
    def labels(self) -> list[tuple[float, str]]:
        """(position, text) of each tick."""
        digits = next(
            n for n in range(7) if n == 6 or all(abs(tick - round(tick, n)) < 1e-9 for tick in self.ticks)
        )
        return [(self.at(tick), f"{tick:,.{digits}f}") for tick in self.ticks]


def axis(values: Sequence[float], *, include: Sequence[float] = (), ticks: int = 5) -> Axis:
    """The smallest axis on round ticks (1, 2 or 5 times a power of ten) that holds all values."""
    held = [value for value in (*values, *include) if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(held), max(held)
    span = (high - low) or abs(high) or 1.0
    rough = span / ticks
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    if first == last:
        last += 1
    # Multiplied, not added up, so that 0.1 + 0.2 stays 0.3.
    marks = [round(index * step, 12) for index in range(first, last + 1)]
    return Axis(marks[0], marks[-1], marks)


def _svg(body: str, title: str, description: str, height: int = 100) -> str:
    return (
        f'<svg role="img" viewBox="0 0 100 {height}" preserveAspectRatio="none">'
        f"<title>{escape(visible(title))}</title><desc>{escape(visible(description))}</desc>{body}</svg>"
    )


def _grid(scale: Axis, zero: bool) -> str:
    lines = "".join(f"M{scale.at(tick)} 0V100" for tick in scale.ticks)
    mark = f'<path class="zero" d="M{scale.at(0)} 0V100"/>' if zero else ""
    return f'<path class="grid" d="{lines}"/>{mark}'


def whisker(
    interval: Mapping[str, Any], scale: Axis, title: str, *, kind: str = "s1", zero: bool = False
) -> str:
    """A dot at the value and a line from low to high, over the grid of the axis; `kind` is the CSS class."""
    value, low, high = interval["value"], interval["low"], interval["high"]
    if value is None:
        return _svg(_grid(scale, zero), title, "no value")
    body = _grid(scale, zero)
    said = f"{value:.3f}"
    if low is not None:
        body += f'<path class="range {kind}" d="M{scale.at(low)} 50H{scale.at(high)}"/>'
        body += f'<path class="range ends {kind}" d="M{scale.at(low)} 30V70M{scale.at(high)} 30V70"/>'
        said += f", interval {low:.3f} to {high:.3f}"
    body += f'<path class="dot {kind}" d="M{scale.at(value)} 50h0"/>'
    return _svg(body, title, said)


def curves(series: Mapping[str, Points], mark: float | None, title: str) -> dict[str, Any] | None:
    """Lines over the steps of a training, the best step marked.

    Args:
        series: {name: (step, loss)}; drawn in the classes s1, s2, … in this order.
        mark: step that is marked, if any.
        title: what is shown.

    Returns:
        svg, x and y (axes) and mark (position in percent, or None); None where there is nothing to draw.
    """
    lines = {
        name: thinned([point for point in points if all(map(math.isfinite, point))], 200)
        for name, points in series.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return None
    x = axis([point[0] for points in lines.values() for point in points], include=[0])
    y = axis([point[1] for points in lines.values() for point in points], ticks=4)
    body = (
        '<path class="grid" d="' + "".join(f"M0 {number(100 - y.at(tick))}H100" for tick in y.ticks) + '"/>'
    )
    if mark is not None:
        body += f'<path class="mark" d="M{x.at(mark)} 0V100"/>'
    for place, (name, points) in enumerate(lines.items(), start=1):
        path = " ".join(f"{x.at(step)} {round(100 - y.at(loss), 2)}" for step, loss in points)
        body += f'<path class="line s{place}" d="M{path}{"h0" if len(points) == 1 else ""}"/>'
        if name != next(iter(lines)):
            dots = "".join(f"M{x.at(step)} {round(100 - y.at(loss), 2)}h0" for step, loss in points)
            body += f'<path class="point s{place}" d="{dots}"/>'
    said = "; ".join(
        f"{name}: from {points[0][1]:.3f} to {points[-1][1]:.3f}" for name, points in lines.items()
    )
    return {"svg": _svg(body, title, said), "x": x, "y": y, "mark": None if mark is None else x.at(mark)}


def stacked_bar(parts: Mapping[str, int], total: int, title: str) -> str:
    """One bar whose parts are shares of `total`; the keys are CSS classes."""
    body, start = "", 0.0
    for kind, count in parts.items():
        wide = 100 * count / max(total, 1)
        body += f'<rect class="{escape(kind)}" x="{number(start)}" width="{round(wide, 2)}" height="100"/>'
        start += wide
    said = ", ".join(f"{kind} {count:,}" for kind, count in parts.items())
    return _svg(body, title, said)
