"""The task: everything that a user writes in one `defs.yaml`, as one plain model.

Each part of it is a small model beside the code that reads it; this module only puts them together.
It is loaded with the code location, so it imports pydantic and nothing heavier.
"""

import pkgutil
import re
from importlib.util import find_spec

from pydantic import Field, field_validator, model_validator

from ft_assets.config import StrictModel
from ft_assets.cost import CostConfig
from ft_assets.data.card.config import CardConfig
from ft_assets.data.config import (
    CleaningConfig,
    ColumnsConfig,
    ContractsConfig,
    LabelName,
    LabelsConfig,
    RelabelConfig,
    SourceConfig,
    SplitsConfig,
)
from ft_assets.data.formats import nearest
from ft_assets.data.layouts import load_layout
from ft_assets.evaluation.config import EvaluationConfig
from ft_assets.planning.config import PolicyConfig
from ft_assets.task_types import generates
from ft_assets.training.config import GenerationConfig, PromptConfig, ResumeConfig, TrainingConfig

__all__ = ["TaskConfig", "task_types"]

NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_]*$")
OWNER = re.compile(r"team:.+|[^@\s]+@[^@\s]+\.[^@\s]+")


def task_types() -> list[str]:
    """The task types that this installation knows, as Hugging Face names them.

    A task type is one module in each layer; the one in `ft_assets/data/layouts/` makes its name known.
    """
    spec = find_spec("ft_assets.data.layouts")
    paths = spec.submodule_search_locations if spec else None
    return [module.name.replace("_", "-") for module in pkgutil.iter_modules(paths or [])]


def _changed(model: StrictModel, *names: str) -> list[str]:
    """Those of the settings that are not at their defaults."""
    fields = type(model).model_fields
    return [
        name for name in names if getattr(model, name) != fields[name].get_default(call_default_factory=True)
    ]


class TaskConfig(StrictModel):
    """One fine-tuning task: where its rows come from, what they mean, what is trained, how it is judged."""

    task_type: str
    """The sort of task, named as Hugging Face names it, such as `text-classification`."""
    sources: list[SourceConfig] = Field(min_length=1)
    """Where the rows come from: files, globs, URLs, packages or Python functions of your own."""
    labels: list[LabelName] | LabelsConfig | None = None
    """The label names; or how they follow from the label column: `map` or `thresholds`. None where a model writes."""
    base_model: str
    """The pretrained model: a folder, `hf://owner/name@revision` or `pypi://name==version[wheel]/folder`; or a GGUF
    file."""
    columns: ColumnsConfig = ColumnsConfig()
    """Which columns hold text, label and group."""
    description: str = ""
    """One or two sentences for the people who read the lineage and the report."""
    owners: list[str] = Field(default_factory=list)
    """Who answers for it: e-mail addresses, or `team:name`."""
    cleaning: CleaningConfig = CleaningConfig()
    """What is repaired and what is refused before labelling."""
    splits: SplitsConfig = SplitsConfig()
    """Shares of validation and test, whether they are drawn or go by the rows' times, and the salt of the draw."""
    relabel: RelabelConfig = RelabelConfig()
    """The queue of labels that are probably wrong, where labels are chosen."""
    contracts: ContractsConfig = ContractsConfig()
    """Limits of the data checks that are a matter of taste."""
    card: CardConfig = CardConfig()
    """What the data card says that no stage can know: licence, source, language, contact."""
    training: TrainingConfig = TrainingConfig()
    """Method, learning rate, epochs and all else that the trainer is told."""
    resume: ResumeConfig = ResumeConfig()
    """How often a training keeps its state, to go on when it is cut off."""
    prompt: PromptConfig = PromptConfig()
    """What stands around each row's prompt, where a model writes."""
    generation: GenerationConfig = GenerationConfig()
    """How answers are written when a model that writes is evaluated."""
    cost: CostConfig = CostConfig()
    """What an hour of the machine that trains costs."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """Baselines, intervals and the title of the report."""
    policy: PolicyConfig = PolicyConfig()
    """When the model is trained again by itself, and how old assets may grow."""

    @field_validator("task_type")
    @classmethod
    def _known_task_type(cls, value: str) -> str:
        if value not in task_types():
            raise ValueError(f"unknown task type '{value}': known are {', '.join(task_types())}")
        return value

    @field_validator("owners")
    @classmethod
    def _owners_as_dagster_has_them(cls, value: list[str]) -> list[str]:
        for owner in value:
            if not OWNER.fullmatch(owner):
                raise ValueError(f"'{owner}' is no owner: write an e-mail address, or team:NAME")
        return value

    @model_validator(mode="after")
    def _parts_belong_to_the_task_type(self) -> "TaskConfig":
        self._splits_have_rows()
        self.training.check(self.task_type)
        self.evaluation.check_baselines(self.task_type)
        if generates(self.task_type):
            self._writes()
        else:
            self._chooses()
        return self

    def _splits_have_rows(self) -> None:
        splits = self.splits
        if splits.by == "time" and self.columns.time is None:
            raise ValueError("splits.by: time needs the column that tells it: `columns: {time: …}`")
        for name in ("validation", "test"):
            if not splits.shares[name] and name not in {source.split for source in self.sources}:
                raise ValueError(
                    f"splits.{name}: 0 leaves it without rows: give a share, or a source with `split: {name}`"
                )

    def _chooses(self) -> None:
        if self.labels is None:
            raise ValueError(f"labels: {self.task_type} needs them: the names of the classes")
        given = _changed(self, "prompt", "generation")
        given += [f"columns.{name}" for name in _changed(self.columns, "layout", "rename")]
        if given:
            raise ValueError(f"{given[0]}: is for models that write; leave it out with {self.task_type}")

    def _writes(self) -> None:
        if self.labels is not None:
            raise ValueError(f"labels: {self.task_type} has none: what is learnt is the answer of each row")
        same = self.splits.semantic_duplicates
        if same is not None and same.model is None:
            raise ValueError(
                "splits.semantic_duplicates.model: name an encoder: the base model writes, and embeds no texts"
            )
        columns = self.columns
        if self.relabel != RelabelConfig():
            raise ValueError(f"relabel: is for tasks that choose labels; leave it out with {self.task_type}")
        given = _changed(columns, "text", "label", "ratings", "rater")
        if given:
            raise ValueError(
                f"columns.{given[0]}: {self.task_type} reads rows in a form of their own; name your columns with "
                "`columns: {rename: {your_name: prompt}}`"
            )
        forms = load_layout(self.task_type).forms
        if columns.layout not in ("auto", *(form.name for form in forms)):
            known = ", ".join(form.name for form in forms)
            raise ValueError(
                f"columns.layout: {self.task_type} does not read '{columns.layout}': known are {known}"
            )
        taken = [form for form in forms if columns.layout in ("auto", form.name)]
        fields = dict.fromkeys(name for form in taken for name in (*form.fields, *form.optional))
        for column, field in columns.rename.items():
            if field not in fields:
                advice = nearest(field, fields, "fields")
                raise ValueError(
                    f"columns.rename: '{column}' is to be '{field}', which no form has: {advice}"
                )

    @property
    def label_names(self) -> list[str] | None:
        """The names of the classes; None where a model writes."""
        return None if self.labels is None else self.label_rules.label_names()

    @property
    def label_rules(self) -> LabelsConfig:
        """The labels as rules, whichever way they were written; only where there are any.

        Raises:
            ValueError: the task has none.
        """
        if self.labels is None:
            raise ValueError(f"{self.task_type} has no labels")
        return self.labels if isinstance(self.labels, LabelsConfig) else LabelsConfig(names=self.labels)
