"""Summarization: text generation with documents and their summaries."""

from ft_assets.data.forms import GENERAL, pair
from ft_assets.data.layouts import Layout

__all__ = ["LAYOUT"]

_OWN = pair("summarization", "document", "summary")
LAYOUT = Layout(input_fields=("context", "text"), target_field="label", forms=(_OWN, *GENERAL))
