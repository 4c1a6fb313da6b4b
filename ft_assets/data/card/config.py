"""What a user says about the data, for the people who read its card. Light: the code location loads it at start."""

from ft_assets.config import StrictModel

__all__ = ["CardConfig"]


class CardConfig(StrictModel):
    """What no stage can know of the data (after Gebru et al. 2021, Datasheets for Datasets), shown as it is written."""

    title: str | None = None
    """Title of the data card; the task's name when absent."""
    description: str = ""
    """What the rows are and how they were collected; the task's description when empty."""
    licence: str = ""
    """Under which terms the data may be used, such as an SPDX name (`CC-BY-4.0`)."""
    source: str = ""
    """Where the data is from: a citation, an address, a system."""
    language: str = ""
    """The language of the texts, as people say it or as BCP 47 has it (`en`)."""
    contact: str = ""
    """Whom to ask about the data."""
