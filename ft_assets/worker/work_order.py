"""The work order: the JSON file that tells the worker what to do. Light: the code location loads this
module."""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from ft_assets.config import StrictModel
from ft_assets.errors import UserError
from ft_assets.task_types import generates
from ft_assets.training.config import GenerationConfig, PromptConfig, ResumeConfig, TrainingConfig

__all__ = ["RESULT_FILES", "CardFacts", "Kind", "ResumeOrder", "WorkOrder"]

Kind = Literal["train", "predict", "convert", "embed"]
"""The kinds of work."""

RESULT_FILES: dict[Kind, str] = {
    "train": "training.json",
    "predict": "prediction.json",
    "convert": "conversion.json",
    "embed": "embedding.json",
}
"""The file in the output that says what was measured and used."""

_NEEDED: dict[Kind, list[str]] = {
    "train": ["base_model", "train"],
    "predict": ["checkpoint", "examples"],
    "convert": ["base_model"],
    "embed": ["base_model", "examples"],
}


class CardFacts(StrictModel):
    """What the model card says that the worker cannot know."""

    task: str = "model"
    """Name of the task; the title of the card."""

    description: str = ""
    """What the model is for, in the user's words."""

    base_model: str | None = None
    """Identity of the base model (a hub name, or the source as pinned in the task), never a path of this
    machine."""

    license: str | None = None
    """Licence as the Hub names it, if known: apache-2.0, mit, …"""

    language: str | None = None
    """Language code of the texts, if known."""

    data_versions: dict[str, str] = Field(default_factory=dict)
    """Data version of each input: train_split, validation_split, base_model."""


class ResumeOrder(ResumeConfig):
    """Where a training keeps its state, and how often."""

    folder: str
    """A folder of this training's own."""


class WorkOrder(StrictModel):
    """One piece of work: train a checkpoint, predict with one, convert a base model, or embed texts. Paths are
    absolute."""

    kind: Kind
    """What to do."""

    task_type: str = "text-classification"
    """Task type, as Hugging Face names it."""

    output: str
    """Existing directory that receives the results, and nothing else."""

    labels: list[str] | None = Field(default=None, min_length=2)
    """Names of the classes, in the order of the model's outputs. Only for models that choose a label."""

    base_model: str | None = None
    """Folder of the base model, or a GGUF file (convert only); of the encoder (embed)."""

    train: str | None = None
    """Parquet file with example_id, text, label (and context, for models that write). train; and predict with
    `shots`, which are taken from it."""

    validation: str | None = None
    """Parquet file like `train`. Without it nothing is evaluated and nothing stops early."""

    checkpoint: str | None = None
    """Folder of the model to predict with. predict only."""

    examples: str | None = None
    """Parquet file. predict: with example_id and text (and context and label, for models that write); embed: with
    text."""

    shots: int = Field(default=0, ge=0)
    """Training examples that stand before each prompt. predict only, for models that write."""

    training: TrainingConfig = TrainingConfig()
    """Settings of training; of these predict and embed read device, precision, threads, tokens_per_pass and
    max_length."""

    prompt: PromptConfig = PromptConfig()
    """What stands around each row's prompt. Only for models that write."""

    generation: GenerationConfig = GenerationConfig()
    """How answers are written. predict only, for models that write."""

    resume: ResumeOrder | None = None
    """Where the training keeps its state, to go on from it. train only; None: nowhere."""

    tokens: str | None = None
    """Folder in which tokenised rows are kept, known by their content. train only; None: they are not."""

    card: CardFacts = CardFacts()
    """Facts for the model card."""

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "WorkOrder":
        needed = list(_NEEDED[self.kind])
        if not generates(self.task_type) and self.kind in ("train", "predict"):
            needed.append("labels")
        if self.shots:
            needed.append("train")
        missing = [name for name in needed if getattr(self, name) is None]
        if missing:
            raise ValueError(f"a work order of kind '{self.kind}' needs {', '.join(missing)}")
        return self

    def path(self, name: str) -> Path:
        """One of the paths that the kind of work needs; that it is there has been checked.

        Raises:
            ValueError: it is not.
        """
        value = getattr(self, name)
        if value is None:
            raise ValueError(f"the work order lacks {name}")
        return Path(value)

    def write(self, path: Path) -> Path:
        """Write this order as JSON and return the path."""
        path.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> "WorkOrder":
        """Read an order.

        Raises:
            UserError: the file is missing or is no valid work order.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise UserError(f"the work order cannot be read: {error.strerror}", where=str(path)) from error
        except ValidationError as error:
            faults = "; ".join(
                f"{'.'.join(map(str, e['loc'])) or 'order'}: {e['msg']}"
                for e in error.errors(include_input=False)
            )
            raise UserError(f"not a valid work order: {faults}", where=str(path)) from error
