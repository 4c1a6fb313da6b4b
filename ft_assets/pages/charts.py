"""Small standalone SVG pictures, for asset metadata in the UI. Standard library only: it loads at once.

Each function returns a whole SVG document with literal mid-tone colours that hold on light and on dark
ground, no script and no external reference. Dagster shows a markdown image inline only while the whole text
is under 1,000 characters: the pictures are cut to that (`MAX_URI`) by showing fewer bars, bins or points,
never by failing. The large figures of the report page are in `figures`.
"""

import base64
import math
import unicodedata
import urllib.parse
from collections.abc import Mapping, Sequence
from html import escape

__all__ = [
    "as_markdown_image",
    "bar_chart_svg",
    "clip",
    "confusion_svg",
    "histogram_svg",
    "line_chart_svg",
    "visible",
]

# Leaves 80 characters for the alternative text and the markdown around it.
MAX_URI = 910
# Hues of Okabe & Ito (2008), told apart with every common colour blindness; mid-tones, for either ground.
COLOURS = ("#2A86C8", "#D9621A", "#1A9E78", "#CC79A7")
INK = "#808790"
WIDTH, HEIGHT = 300, 100

Series = Mapping[str, Sequence[tuple[float, float]]]


def visible(text: object) -> str:
    """`text` with control and direction characters shown as symbols, so that it cannot reorder the page."""
    return "".join(_shown(character) for character in str(text))


def _shown(character: str) -> str:
    if character in "\n\t":
        return character
    category = unicodedata.category(character)
    if category == "Cc":
        # The block "Control Pictures" mirrors the C0 set; DEL and C1 have no picture of their own.
        return chr(0x2400 + ord(character)) if ord(character) < 0x20 else "\N{REPLACEMENT CHARACTER}"
    if category == "Cs" or ord(character) & 0xFFFE == 0xFFFE:
        return "\N{REPLACEMENT CHARACTER}"
    if unicodedata.bidirectional(character) in _BIDI_CONTROLS or character in _MARKS:
        return f"⟨U+{ord(character):04X}⟩"
    return character


_BIDI_CONTROLS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_MARKS = frozenset("\u200e\u200f\u061c")


def clip(text: object, limit: int) -> str:
    """Visible text of at most `limit` characters, with an ellipsis where it was cut."""
    shown = visible(text)
    return shown if len(shown) <= limit else shown[: max(limit - 1, 1)] + "…"


def label(text: object, limit: int = 12) -> str:
    """Clipped and escaped: safe as the content of an SVG or HTML element and inside a quoted attribute."""
    return escape(clip(text, limit))


def number(value: float) -> str:
    """A coordinate with one decimal at most."""
    rounded = round(value, 1)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)


def _document(body: str, title: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}' role='img'"
        f" font-family='sans-serif' font-size='11' fill='{INK}'><title>{label(title, 40)}</title>{body}</svg>"
    )


def bar_chart_svg(counts: Mapping[str, int], title: str = "Rows by label") -> str:
    """Horizontal bars in the order given; those beyond the room become one bar "other (how many)"."""
    svg = ""
    for rows in range(min(len(counts), 8), 0, -1):
        svg = _bars(_folded(counts, rows), title)
        if len(_data_uri(svg)) <= MAX_URI:
            break
    return svg or _document("<text y='14'>no rows</text>", title)


def _folded(counts: Mapping[str, int], rows: int) -> list[tuple[str, int]]:
    items = list(counts.items())
    if len(items) <= rows:
        return items
    head = items[: rows - 1]
    return [*head, (f"other ({len(items) - len(head)})", sum(count for _, count in items[len(head) :]))]


def _bars(items: Sequence[tuple[str, int]], title: str) -> str:
    top = max((count for _, count in items), default=0) or 1
    step, left, room = 18, 84, 160
    path = texts = ends = ""
    for row, (name, count) in enumerate(items):
        y = row * step
        path += f"M{left} {y + 2}h{round(room * count / top)}v12H{left}z"
        texts += f"<text x='{left - 6}' y='{y + 12}'>{label(name)}</text>"
        ends += f"<text x='{left + 6 + round(room * count / top)}' y='{y + 12}'>{count:,}</text>"
    body = f"<path d='{path}' fill='{COLOURS[0]}'/><g text-anchor='end'>{texts}</g>{ends}"
    return _document(body, title, height=len(items) * step)


def histogram_svg(edges: Sequence[float], counts: Sequence[int], title: str = "Distribution") -> str:
    """A histogram: `counts[i]` rows lie between `edges[i]` and `edges[i + 1]`.

    Above 24 bins neighbours are merged.

    Raises:
        ValueError: there is not one edge more than there are counts.
    """
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} counts need {len(counts) + 1} edges, not {len(edges)}")
    if not counts:
        return _document("<text y='14'>no rows</text>", title)
    stride = math.ceil(len(counts) / 24)
    merged = [sum(counts[i : i + stride]) for i in range(0, len(counts), stride)]
    bounds = [edges[i] for i in range(0, len(counts), stride)] + [edges[-1]]
    top, span = max(merged) or 1, (bounds[-1] - bounds[0]) or 1
    base, room = 80, 66
    path = f"M0 {base}"
    for count, right in zip(merged, bounds[1:], strict=True):
        path += f"V{base - round(room * count / top)}H{round(WIDTH * (right - bounds[0]) / span)}"
    body = (
        f"<path d='{path}V{base}z' fill='{COLOURS[0]}'/><text y='94'>{bounds[0]:,.4g}</text>"
        f"<text x='{WIDTH}' y='94' text-anchor='end'>{bounds[-1]:,.4g}</text>"
        f"<text x='{WIDTH}' y='10' text-anchor='end'>max {max(merged):,}</text>"
    )
    return _document(body, title)


def line_chart_svg(series: Series, title: str = "Loss by step") -> str:
    """Lines of (x, y) points over a shared x axis, at most four; points that are not finite are left out."""
    lines = {name: _finite(points) for name, points in list(series.items())[: len(COLOURS)]}
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return _document("<text y='14'>no points</text>", title)
    svg = ""
    for most in (40, 28, 20, 14, 9, 5):
        svg = _lines({name: thinned(points, most) for name, points in lines.items()}, title)
        if len(_data_uri(svg)) <= MAX_URI:
            break
    return svg


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most `most` of the points, evenly chosen, first and last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(i * (len(points) - 1) / (most - 1))] for i in range(most)]


def _lines(lines: Mapping[str, Sequence[tuple[float, float]]], title: str) -> str:
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    (left, right), (low, high) = (min(xs), max(xs)), (min(ys), max(ys))
    wide, tall = (right - left) or 1, (high - low) or 1
    body = ""
    for index, (name, points) in enumerate(lines.items()):
        place = " ".join(
            f"{34 + round(260 * (x - left) / wide)} {84 - round(66 * (y - low) / tall)}" for x, y in points
        )
        colour = COLOURS[index]
        # A point alone has no line: it shows by the round ends of one without length.
        drawn = f"{place}h0' stroke-linecap='round" if len(points) == 1 else place
        body += (
            f"<path d='M{drawn}' fill='none' stroke='{colour}' stroke-width='{2 + 3 * (len(points) == 1)}'/>"
        )
        body += f"<text x='{34 + 66 * index}' y='10' fill='{colour}'>{label(name, 10)}</text>"
    body += f"<text y='24'>{high:.3g}</text><text y='86'>{low:.3g}</text>"
    return _document(body + f"<text x='294' y='99' text-anchor='end'>{right:,.6g}</text>", title)


def confusion_svg(
    matrix: Sequence[Sequence[int]], labels: Sequence[str], title: str = "Confusion matrix"
) -> str:
    """Heat map: rows are the true label, columns the predicted one, in the order of `labels`.

    The shade is the share of the row. Above 12 labels the cells carry no numbers. Unlike the others this one
    is too large to be shown inline.

    Raises:
        ValueError: the matrix is not square with one row a label.
    """
    size = len(labels)
    if len(matrix) != size or any(len(row) != size for row in matrix):
        raise ValueError(f"a confusion matrix of {size} labels has {size} rows of {size} counts")
    cell, tall, left = (44, 22, 84) if size <= 12 else (14, 14, 84)
    body = ""
    for i, row in enumerate(matrix):
        total = sum(row) or 1
        y = 16 + i * tall
        body += f"<text x='{left - 6}' y='{y + tall / 2 + 4:g}' text-anchor='end'>{label(labels[i])}</text>"
        for j, count in enumerate(row):
            x = left + j * cell
            shade = f" fill-opacity='{0.06 + 0.9 * count / total:.2f}'"
            body += (
                f"<rect x='{x}' y='{y}' width='{cell - 1}' height='{tall - 1}' fill='{COLOURS[0]}'{shade}/>"
            )
            if size <= 12:
                ink = " fill='#fff'" if count / total > 0.5 else ""
                body += (
                    f"<text x='{x + cell // 2}' y='{y + 15}' text-anchor='middle'{ink}>{number(count)}</text>"
                )
    body += f"<text x='{left}' y='11'>predicted: {label(', '.join(map(str, labels)), 40)}</text>"
    return _document(body, title, width=left + max(size * cell, 216), height=20 + size * tall)


def as_markdown_image(svg: str, alt: str) -> str:
    """`svg` as a markdown image with a data URI; `alt` is cut to 60 characters."""
    kept = "".join(" " if character in "[]\\\n`*_<>&" else character for character in clip(alt, 60))
    return f"![{kept}]({_data_uri(svg)})"


def _data_uri(svg: str) -> str:
    """URL-encoded or base64, whichever is shorter.

    Left plain is only what neither ends an address in markdown nor is decoded there (as "&lt;" would be).
    """
    quoted = "data:image/svg+xml," + urllib.parse.quote(svg, safe="='/:;,!@$+?.~-_")
    encoded = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    return min(quoted, encoded, key=len)
