"""Text classification: one text in, one label out."""

from ft_assets.data.layouts import Layout

__all__ = ["LAYOUT"]

LAYOUT = Layout(input_fields=("text",), target_field="label")
