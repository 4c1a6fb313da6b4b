"""Translation: text generation with texts and their translations."""

from ft_assets.data.forms import GENERAL, TRANSLATIONS, pair
from ft_assets.data.layouts import Layout

__all__ = ["LAYOUT"]

_OWN = pair("translation", "source", "target")
LAYOUT = Layout(input_fields=("context", "text"), target_field="label", forms=(_OWN, TRANSLATIONS, *GENERAL))
