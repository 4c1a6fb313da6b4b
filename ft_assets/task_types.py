"""Task types by family: which ones write text. Standard library only: every layer asks this."""

__all__ = ["GENERATION", "generates"]

GENERATION = ("text-generation", "summarization", "translation")
"""Task types whose model writes an answer; the last two are presets of the first."""


def generates(task_type: str) -> bool:
    """Whether models of this type write text, rather than choose a label."""
    return task_type in GENERATION
