"""Templates of pages that open offline, run no script and are safe against hostile text.

Everything is escaped (autoescape), and control and direction characters become visible symbols. The templates add a
content security policy that forbids scripts and every fetch, should something slip through all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.pages.charts import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["STYLE", "environment", "safe", "style"]

STYLE = Path(__file__).parent / "page.css"
"""The look of all pages."""


def environment(templates: Path, filters: Mapping[str, Callable[..., Any]]) -> Environment:
    """Jinja for the templates of a folder; a name that is not defined is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(templates),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= filters
    return made


def style(*more: Path) -> Markup:
    """The style sheet of a page: the common one, then its own."""
    return safe("\n".join(path.read_text(encoding="utf-8") for path in (STYLE, *more)))


def safe(text: str) -> Markup:
    """SVG or CSS made by this package, in which every foreign text is escaped already."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - see above


def _shown(value: Any) -> Any:
    """Every value on its way into the page: ordinary text without characters that act."""
    return visible(value) if type(value) is str else value
