"""The lineage of a task as one page: every file with what holds it, every checkpoint with what it was made of.

One self-contained page without scripts, in the look of the report. Names of files and settings come from outside:
everything is escaped, control and direction characters become visible symbols, and a content security policy forbids
scripts and every fetch, should something slip through all the same.
"""

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ft_assets.lineage.graph import Build
from ft_assets.lineage.usage import checkpoints, file_count, file_uses, settings
from ft_assets.pages.html import environment, style

__all__ = ["render_lineage"]

TEMPLATES = Path(__file__).parent / "templates"
MOST_FILES, MOST_CHECKPOINTS, MOST_CHECKPOINT_FILES = 300, 50, 50
"""What a person still looks through, and a browser opens at once; the command lists all."""


def render_lineage(task: str, builds: Collection[Build], current: Mapping[str, str] | None = None) -> str:
    """The page.

    Args:
        task: name of the task.
        builds: all of this task.
        current: the data version that each asset has now; None: not known.

    Raises:
        UserError: a table in the store is damaged.
    """
    filters: dict[str, Callable[..., Any]] = {
        "number": lambda value: "?" if value is None else f"{value:,}",
        "version": lambda value: value[:12],
        "time": lambda created: created[:16].replace("T", " "),
        "settings": settings,
    }
    made = environment(TEMPLATES, filters)
    made.tests |= {
        "current": lambda build: bool(current) and current.get(build.asset) == build.data_version,  # type: ignore[union-attr]
        "there": lambda build: build.path.is_dir(),
    }
    values: dict[str, Any] = {
        "files": file_uses(builds, most=MOST_FILES),
        "file_count": file_count(builds),
        "checkpoints": checkpoints(builds, most_files=MOST_CHECKPOINT_FILES),
    }
    return made.get_template("lineage.html.j2").render(
        task=task,
        css=style(TEMPLATES / "lineage.css"),
        most={"files": MOST_FILES, "checkpoints": MOST_CHECKPOINTS, "its_files": MOST_CHECKPOINT_FILES},
        knows_current=current is not None,
        reports=len({build.data_version for build in builds if build.asset == "evaluation_report"}),
        **values,
    )
