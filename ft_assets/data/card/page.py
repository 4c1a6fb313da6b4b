"""`data_card.html`: the card as one self-contained page that opens offline and runs no script.

The page shows what `data_card.json` says and nothing else. Figures are SVG without text that stretch with the page,
beside labels in HTML.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, get_args

from ft_assets.data.config import NameKind
from ft_assets.pages.charts import clip, visible
from ft_assets.pages.html import environment, safe, style

__all__ = ["TEMPLATES", "render_card"]

TEMPLATES = Path(__file__).parent / "templates"
# Where the columns of the flow stand, and how high its first one is, in percent of the figure.
_COLUMNS = (0.0, 24.5, 49.0, 73.5, 98.5)
_HEIGHT, _NODE, _TURN = 62.0, 1.5, 11.0
_GAP, _LABEL, _BETWEEN, _LEAST = 6.0, 22.0, 2.0, 0.8
_MOST_LABELS, _MOST_LANGUAGES = 30, 8
NO_VALUE = "\u2013"

PERSONAL = {
    "email": "E-mail addresses",
    "phone": "Phone numbers",
    "card": "Payment cards",
    "iban": "IBANs",
    "id": "National ids",
    "ip": "IP addresses",
    "key": "Keys and tokens",
    "url": "URLs with credentials",
    "name": "Names of people",
    "address": "Postal addresses",
    "place": "Places",
}
"""How a kind of personal data is called in a table."""


def render_card(card: Mapping[str, Any]) -> str:
    """The page.

    Args:
        card: what `build_card` returned, or the same read from `data_card.json`.
    """
    filters: dict[str, Callable[..., Any]] = {
        "number": lambda value: NO_VALUE if value is None else f"{value:,.0f}",
        "percent": percent,
        "words": lambda name: str(name).replace("_", " "),
        "kind": lambda name: PERSONAL.get(name, name),
        "cut": clip,
        "coded": coded,
        "by_count": lambda counts: sorted(counts.items(), key=lambda item: (-item[1], item[0])),
        "figure": lambda value: NO_VALUE if value is None else f"{value:.3f}",
    }
    return (
        environment(TEMPLATES, filters)
        .get_template("card.html.j2")
        .render(
            card=card,
            css=style(TEMPLATES / "card.css"),
            flow=flow(card),
            labels=_labels(card["labels"]),
            lengths=[
                histogram
                for title, found in (("Texts", card["lengths"]), ("Answers", card["answer_lengths"]))
                if found and (histogram := _histogram(title, found))
            ],
            most_labels=_MOST_LABELS,
            looks_for_names=not set(get_args(NameKind)).isdisjoint(card["personal_data"]),
            languages=_languages(card["languages"]),
            failed=[check for check in card["checks"] if not check["passed"]],
            checks=_by_asset(card["checks"]),
            settings=_flat(card["settings"]),
        )
    )


def coded(text: str) -> Any:
    """A sentence with what stands in backticks as code."""
    return safe(re.sub("`([^`]+)`", r"<code>\1</code>", escape(visible(text))))


def percent(share: float | None) -> str:
    """A share as a person says it."""
    if share is None:
        return NO_VALUE
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.1f} %"


def flow(card: Mapping[str, Any]) -> dict[str, Any]:
    """The rows as a stream: read, readable, cleaned, labelled, split; what leaves it on the way turns down.

    Returns:
        svg; heads (name, rows and place of each column); splits (name, rows, share and height of each); losses (place
        and parts of what leaves between two columns).
    """
    stages, splits = card["flow"], card["splits"]
    read = stages[0]["rows_in"]
    scale = _HEIGHT / max(read, 1)
    rows = [read, *(stage["kept"] for stage in stages[:3])]
    thick = [max(count * scale, _LEAST if count else 0) for count in rows]
    body, losses = "", []
    for place, stage in enumerate(stages):
        left = _COLUMNS[place] + _NODE
        kept = stage["kept"] * scale
        if place < len(stages) - 1:  # the last one goes to several ends
            kept = thick[place + 1]
            body += _band("kept", (left, _COLUMNS[place + 1]), (0, 0), kept)
        lost = {fate: stage[fate] for fate in ("merged", "quarantined", "erased") if stage[fate]}
        wide = {fate: max(count * scale, _LEAST) for fate, count in lost.items()}
        top, then = kept, 100 - sum(wide.values()) - _BETWEEN * max(len(wide) - 1, 0)
        for fate in lost:
            body += _band(fate, (left, left + _TURN), (top, then), wide[fate])
            top, then = top + wide[fate], then + wide[fate] + _BETWEEN
        if lost:
            losses.append({"left": left + _TURN + 0.8, "parts": lost})
    shown: list[dict[str, Any]] = []
    begin = then = 0.0
    for split in splits:
        high = max(split["rows"] * scale, _LEAST if split["rows"] else 0)
        if shown:  # its label needs room below the one before
            then = max(then + _GAP, shown[-1]["middle"] + _LABEL - high / 2)
        body += _band("kept", (_COLUMNS[3] + _NODE, _COLUMNS[4]), (begin, then), high)
        body += _node(_COLUMNS[4], then, high)
        shown.append({**split, "middle": round(then + high / 2, 2)})
        begin, then = begin + high, then + high
    for place, wide in enumerate(thick):
        body += _node(_COLUMNS[place], 0, wide)
    names = ("Read", "Readable", "Cleaned", "Labelled")
    heads = [
        {"name": name, "rows": count, "left": left}
        for name, count, left in zip(names, rows, _COLUMNS, strict=False)
    ]
    said = ", ".join(f"{head['name'].lower()} {head['rows']:,}" for head in heads)
    svg = (
        '<svg role="img" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f"<title>Rows from stage to stage</title><desc>{said}</desc>{body}</svg>"
    )
    return {"svg": safe(svg), "heads": heads, "splits": shown, "losses": losses}


def _band(kind: str, across: tuple[float, float], down: tuple[float, float], wide: float) -> str:
    """A stream from one height to another."""
    (left, right), (top, then) = across, down
    middle = (left + right) / 2
    a, b, c, d = (_at(value) for value in (top, then, then + wide, top + wide))
    x0, x1, xm = (_at(value) for value in (left, right, middle))
    return (
        f'<path class="band {kind}" d="M{x0} {a}C{xm} {a} {xm} {b} {x1} {b}V{c}'
        f'C{xm} {c} {xm} {d} {x0} {d}z"/>'
    )


def _node(left: float, top: float, wide: float) -> str:
    return f'<rect class="node" x="{left}" y="{_at(top)}" width="{_NODE}" height="{_at(wide)}"/>'


def _at(value: float) -> str:
    """A coordinate with two decimals at most."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _labels(labels: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A line a label: rows before and after, their shares, and how long their bars are."""
    if labels is None:
        return []
    after, before = labels["after"], labels["before"]
    totals = [sum(counts.values()) or 1 for counts in (after, before or {})]
    most = max(
        [count / totals[0] for count in after.values()]
        + [c / totals[1] for c in (before or {}).values()]
        + [1e-9]
    )
    found = []
    for name, rows in sorted(after.items(), key=lambda item: -item[1]):
        share, earlier = rows / totals[0], (before or {}).get(name)
        line = {
            "label": name,
            "rows": rows,
            "share": share,
            "bar": round(100 * share / most, 1),
            "before": None,
        }
        if earlier is not None:
            line["before"] = {
                "rows": earlier,
                "share": earlier / totals[1],
                "bar": round(100 * earlier / totals[1] / most, 1),
            }
        found.append(line)
    return found


def _languages(found: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """A line a language, the commonest first; the rarest together."""
    if not found or not found["by_language"]:
        return []
    tally = sorted(found["by_language"].items(), key=lambda item: (-item[1], item[0]))
    rest = sum(count for _, count in tally[_MOST_LANGUAGES:])
    shown = [*tally[:_MOST_LANGUAGES], *([("others", rest)] if rest else [])]
    total, most = sum(found["by_language"].values()), max(count for _, count in shown)
    return [
        {"language": name, "rows": count, "share": count / total, "bar": round(100 * count / most, 1)}
        for name, count in shown
    ]


def _histogram(title: str, lengths: Mapping[str, Any]) -> dict[str, Any] | None:
    """Bars of the bins that hold rows, before and after, with the lower edges below them."""
    after, before = lengths["after"], lengths.get("before")
    counts = [each["counts"] for each in (before, after) if each]
    filled = [place for place in range(len(lengths["edges"])) if any(each[place] for each in counts)]
    if not filled:
        return None
    first, last = filled[0], filled[-1]
    most = max(max(each[first : last + 1]) for each in counts)
    bins = [
        {
            "from": lengths["edges"][place],
            "after": after["counts"][place],
            "after_bar": round(100 * after["counts"][place] / most, 2),
            "before": before["counts"][place] if before else None,
            "before_bar": round(100 * before["counts"][place] / most, 2) if before else None,
        }
        for place in range(first, last + 1)
    ]
    return {"title": title, "bins": bins, "after": after, "before": before}


def _by_asset(checks: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    found: dict[str, list[Mapping[str, Any]]] = {}
    for check in checks:
        found.setdefault(check["asset"], []).append(check)
    return found


def _flat(settings: Mapping[str, Any], of: str = "") -> dict[str, str]:
    """Settings with their full names; empty ones are left out."""
    found: dict[str, str] = {}
    for name, value in settings.items():
        full = f"{of}{name}"
        if isinstance(value, Mapping):
            found |= _flat(value, f"{full}.")
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            for place, each in enumerate(value):
                found |= _flat(each, f"{full}[{place}].")
        elif value not in (None, "", []):
            found[full] = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return found
