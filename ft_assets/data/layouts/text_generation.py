"""Text generation: a conversation in, its last answer out."""

from ft_assets.data.forms import GENERAL
from ft_assets.data.layouts import Layout

__all__ = ["LAYOUT"]

LAYOUT = Layout(input_fields=("context", "text"), target_field="label", forms=GENERAL)
