"""What the UI shows of an artifact: its summary's numbers, a table, a masked sample, a small picture.

Everything is read from the manifest's summary or a few rows, so that a reused artifact is described at once.
No text of a row gets here unmasked, and none at all from raw data.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.evaluation.charts import as_markdown_image, bar_chart_svg

__all__ = ["bars", "counts", "labels", "lengths", "rows_table", "sample", "share_table"]

SAMPLE_ROWS = 5


def counts(artifact: Artifact) -> dict[str, Any]:
    """Rows in, kept, merged and quarantined, as numbers that the UI plots over time."""
    summary = artifact.summary
    shown: dict[str, Any] = {
        name: int(summary[name]) for name in ("rows_in", "merged", "quarantined") if name in summary
    }
    if "kept" in summary:
        shown["dagster/row_count"] = int(summary["kept"])
    if summary.get("by_rule"):
        shown["refused_or_merged_by_rule"] = share_table(summary["by_rule"], "rule")
    return shown


def share_table(values: Mapping[str, int], name: str) -> dg.TableMetadataValue:
    """A count and its share for each name, largest first."""
    total = sum(values.values()) or 1
    return rows_table(
        [
            {name: str(key), "rows": int(n), "share": f"{n / total:.1%}"}
            for key, n in sorted(values.items(), key=lambda item: -item[1])
        ]
    )


def rows_table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Rows of plain values as a table of the UI, columns in the order of the first row."""
    names = list(rows[0]) if rows else ["nothing"]
    schema = dg.TableSchema(columns=[dg.TableColumn(name) for name in names])
    return dg.MetadataValue.table([dg.TableRecord(dict(row)) for row in rows], schema=schema)


def sample(
    artifact: Artifact, columns: Sequence[str] = ("example_id", "text", "label")
) -> dg.TableMetadataValue:
    """The first rows by id, with masked and shortened text."""
    from ft_assets.data.masking import mask

    rows = artifact.table("examples").slice(0, SAMPLE_ROWS).to_pylist()
    return rows_table([{name: _cell(name, row[name], mask) for name in columns} for row in rows])


def _cell(name: str, value: Any, mask: Callable[[str], str]) -> str:
    # An id is a hash and tells nothing; masked, nobody could look the row up.
    return "" if value is None else str(value) if name == "example_id" else mask(str(value))


def bars(values: Mapping[str, int], title: str) -> dg.MarkdownMetadataValue:
    """A bar chart, small enough to be shown inline."""
    return dg.MetadataValue.md(as_markdown_image(bar_chart_svg(dict(values), title), title))


def labels(artifact: Artifact) -> dict[str, Any]:
    """How many rows each label has, as a table and as a picture."""
    rows = artifact.summary["labels"]
    return {"labels": share_table(rows, "label"), "label_distribution": bars(rows, "rows by label")}


def lengths(artifact: Artifact) -> dict[str, Any]:
    """The distribution of the kept texts' lengths, in characters; each bin is twice as wide as the one before."""
    summary = artifact.summary["lengths"]
    after = summary["after"]
    return {
        "median_characters": after["median"] or 0,
        "longest_characters": after["max"] or 0,
        "length_distribution": bars(_few_bins(summary["edges"], after["counts"]), "rows by characters"),
    }


def _few_bins(edges: Sequence[int], counts: Sequence[int], most: int = 6) -> dict[str, int]:
    """The bins that hold rows, with their limits as names; the shortest ones together if there are too many."""
    last = max((place for place, rows in enumerate(counts) if rows), default=0)
    first = max(next((place for place, rows in enumerate(counts) if rows), 0), last - most + 1)
    bins = {f"{edges[place]}-{edges[place + 1] - 1}": counts[place] for place in range(first + 1, last + 1)}
    return {f"0-{edges[first + 1] - 1}": sum(counts[: first + 1]), **bins}
