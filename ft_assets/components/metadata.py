"""What the UI shows of an artifact: its summary's numbers, a table, a masked sample, a small picture.

Everything is read from the manifest's summary or a few rows, so that a reused artifact is described at once.
No text of a row gets here unmasked, and none at all from raw data.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.pages.charts import as_markdown_image, bar_chart_svg
from ft_assets.report_server import lineage_url

__all__ = [
    "bars",
    "counts",
    "labels",
    "lengths",
    "lineage_link",
    "readable",
    "refused",
    "rounded",
    "rows_table",
    "sample",
    "share_table",
]

SAMPLE_ROWS = 5


def counts(artifact: Artifact) -> dict[str, Any]:
    """Rows in, kept, merged, quarantined and erased, as numbers that the UI plots over time."""
    summary = artifact.summary
    shown: dict[str, Any] = {
        name: int(summary[name]) for name in ("rows_in", "kept", "merged", "quarantined") if name in summary
    }
    if "kept" in summary:
        shown["dagster/row_count"] = int(summary["kept"])
    if summary.get("erased"):
        shown["erased"] = int(summary["erased"])
    return shown | refused(summary)


def refused(summary: Mapping[str, Any]) -> dict[str, Any]:
    """What tells a person why a stage's output was refused: rows by rule, and labels that the task does not know."""
    shown: dict[str, Any] = {}
    if summary.get("by_rule"):
        shown["refused_or_merged_by_rule"] = share_table(summary["by_rule"], "rule")
    if summary.get("unknown_values"):
        shown["unknown_labels"] = rows_table(summary["unknown_values"])
    return shown


def share_table(values: Mapping[str, int], name: str, counted: str = "rows") -> dg.TableMetadataValue:
    """A count and its share for each name, largest first."""
    total = sum(values.values()) or 1
    return rows_table(
        [
            {name: str(key), counted: int(n), "share": f"{n / total:.1%}"}
            for key, n in sorted(values.items(), key=lambda item: -item[1])
        ]
    )


def rounded(value: Any) -> Any:
    """A number with the four digits that a person reads; what is no fraction stays as it is."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def readable(values: Mapping[str, Any]) -> str:
    """Settings on one line: names in words, numbers rounded."""
    return "; ".join(f"{name.replace('_', ' ')}: {_in_words(value)}" for name, value in values.items())


def _in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{rounded(item)} at {name}" for name, item in value.items())
    return str(rounded(value))


def rows_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows of plain values as a table of the UI, columns in the order of the first row."""
    names = list(rows[0]) if rows else ["nothing"]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in names])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], schema=schema)


def sample(
    artifact: Artifact, columns: Sequence[str] = ("label", "text", "example_id")
) -> dg.TableMetadataValue:
    """The first rows by id, with masked and shortened text; the column that tells least comes last."""
    from ft_assets.data.masking import mask

    rows = artifact.head(SAMPLE_ROWS, columns=columns).to_pylist()
    return rows_table([{name: _cell(name, row[name], mask) for name in columns} for row in rows])


def _cell(name: str, value: Any, mask: Callable[[str], str]) -> str:
    # An id is a hash and tells nothing; masked, nobody could look the row up.
    return "" if value is None else str(value) if name == "example_id" else mask(str(value))


def lineage_link(artifact: Artifact) -> dg.MarkdownMetadataValue:
    """To the page that tells where each file of the task went, and what each checkpoint was made of."""
    build = artifact.build_key if artifact.asset == "checkpoint" else ""
    return dg.MetadataValue.md(f"[open the lineage]({lineage_url(artifact.task, build)})")


def bars(values: Mapping[str, int], title: str) -> dg.MarkdownMetadataValue:
    """A bar chart, small enough to be shown inline."""
    return dg.MetadataValue.md(as_markdown_image(bar_chart_svg(dict(values), title), title))


def labels(artifact: Artifact) -> dict[str, Any]:
    """How many rows each label has, as a table and as a picture; nothing where labels are no classes."""
    rows = artifact.summary.get("labels")
    if rows is None:
        return {}
    return {"labels": share_table(rows, "label"), "label_distribution": bars(rows, "rows by label")}


def lengths(artifact: Artifact) -> dict[str, Any]:
    """The distribution of the kept texts' lengths, in characters; each bin is twice as wide as the one before."""
    return _lengths(artifact.summary["lengths"], "", "rows by characters")


def answers(artifact: Artifact) -> dict[str, Any]:
    """How long answers are, and how many rows have none; nothing where labels are classes."""
    summary = artifact.summary
    if "answer_lengths" not in summary:
        return {}
    without = {"without_answer": summary["without_answer"]} if "without_answer" in summary else {}
    return _lengths(summary["answer_lengths"], "answer_", "answers by characters") | without


def _lengths(summary: Mapping[str, Any], of: str, title: str) -> dict[str, Any]:
    after = summary["after"]
    return {
        f"median_{of}characters": after["median"] or 0,
        f"longest_{of}characters": after["max"] or 0,
        f"{of}length_distribution": bars(_few_bins(summary["edges"], after["counts"]), title),
    }


def _few_bins(edges: Sequence[int], counts: Sequence[int], most: int = 5) -> dict[str, int]:
    """The bins that hold rows, with their limits as names; those at the thinner end together if there are
    more than a small picture has room for."""
    filled = [place for place, rows in enumerate(counts) if rows] or [0]
    bins = [(edges[at], edges[at + 1] - 1, counts[at]) for at in range(filled[0], filled[-1] + 1)]
    while len(bins) > most:
        end = 0 if bins[0][2] + bins[1][2] < bins[-2][2] + bins[-1][2] else len(bins) - 2
        (low, _, first), (_, high, second) = bins[end : end + 2]
        bins[end : end + 2] = [(low, high, first + second)]
    return {f"{low}-{high}": rows for low, high, rows in bins}
