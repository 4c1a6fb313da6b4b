"""Settings of training. Light on purpose: the code location loads this module, so it imports pydantic alone.

What reads these settings lies beside this module and runs in the worker.
"""

from typing import Literal

from pydantic import Field, field_validator

from ft_assets.config import StrictModel
from ft_assets.task_types import generates

__all__ = [
    "DEFAULT_LEARNING_RATES",
    "LORA_METHODS",
    "GenerationConfig",
    "LoraConfig",
    "Method",
    "PromptConfig",
    "ResumeConfig",
    "TrainingConfig",
]

Method = Literal[
    "lora",
    "rslora",
    "dora",
    "qlora",
    "ia3",
    "prompt_tuning",
    "prefix_tuning",
    "full",
    "linear_probe",
    "probe_then_full",
]
"""What of a model is trained, by the field's own words."""

LORA_METHODS = ("lora", "rslora", "dora", "qlora")
"""Those that read the settings of `lora`."""

SHARDED_METHODS = ("full", "lora", "rslora")
"""Those whose weights can be spread over several processes."""

DEFAULT_LEARNING_RATES: dict[str, dict[Method, float]] = {
    "classification": {
        "lora": 1e-3,
        "rslora": 5e-4,
        "dora": 1e-3,
        "ia3": 1e-2,
        "full": 5e-5,
        "linear_probe": 1e-2,
        "probe_then_full": 5e-5,
    },
    "generation": {
        "lora": 2e-4,
        "rslora": 1e-4,
        "dora": 2e-4,
        "qlora": 2e-4,
        "ia3": 3e-3,
        "prompt_tuning": 3e-2,
        "prefix_tuning": 1e-2,
        "full": 2e-5,
    },
}
"""Learning rate of each method where the user gives none, for models that choose a label and that write text. A method
that is not listed makes no sense there.

classification: full as the upper end of the grid in the BERT paper (Devlin et al. 2019, A.3: 5e-5, 3e-5, 2e-5), and
the default of `transformers.TrainingArguments`. lora: 20 times that. Adapters want about ten times the rate of full
tuning or more ("LoRA Without Regret", Schulman et al. 2025); Hu et al. 2021 (table 9) use 4e-4 to 5e-4 for
the far larger RoBERTa; 1e-3 suited the small MiniLM on `review_sentiment`. ia3: PEFT's guide takes 8e-3, for the
sentiment of sentences. linear_probe: that of SetFit for its head (`head_learning_rate`). probe_then_full: as full
(Kumar et al. 2022 lower the rate after the probe, too).

generation: full as the default of `trl.SFTConfig`. lora and qlora: ten times that, and what QLoRA (Dettmers et al.
2023, table 9) uses for models of 7 to 13 billion parameters; small ones take two to five times more. prompt_tuning and
prefix_tuning: as in PEFT's examples for AdamW; Lester et al. 2021 take 0.3 with Adafactor. ia3: 3e-3 is that of T-Few
(Liu et al. 2022, section 3.3).

Both: rslora half of lora, because its scale (alpha by the root of the rank) is the larger one; dora as lora
(Liu et al. 2024, table 8: the same or somewhat lower).
"""


class PromptConfig(StrictModel):
    """What a model that writes text is told around each row's own prompt; the same in training, evaluation and use."""

    system: str | None = None
    """System message. None: none, or what the model's own chat template puts there. A row's own one comes first."""

    template: str = "{text}"
    """The prompt; `{text}` stands for the row's. Other braces are text."""

    @field_validator("template")
    @classmethod
    def _has_a_place_for_the_text(cls, value: str) -> str:
        if "{text}" not in value:
            raise ValueError("the template has no {text}: that is where the row's prompt goes")
        return value

    def filled(self, text: str) -> str:
        """The prompt for a row's text."""
        return self.template.replace("{text}", text)


class GenerationConfig(StrictModel):
    """How answers are written when a model is evaluated: greedily, so that they are the same each time."""

    max_new_tokens: int = Field(default=128, ge=1)
    """Most tokens of an answer; where more is needed the report warns."""

    max_rows: int | None = Field(default=None, ge=1)
    """Most test rows that are judged: those with the smallest hash of their ids, so the same for every model. None:
    all. Writing takes far longer than reading, three models write, and some hundred rows tell."""

    shots: int = Field(default=3, ge=1)
    """Examples that the few-shot baseline is shown, drawn from the training rows that are no longer than half of
    them are: long ones would fill the window."""


class ResumeConfig(StrictModel):
    """How a training that is cut off goes on. Changes nothing of what comes out, so it is in no build key."""

    every_minutes: float = Field(default=10.0, ge=0)
    """Minutes between two resume points: what is lost at most. One holds the trained weights three times (AdamW keeps
    two numbers for each), and the best ones so far."""

    every_steps: int | None = Field(default=None, ge=1)
    """Steps after which one is taken in any case. None: only the minutes count."""

    keep: int = Field(default=2, ge=1)
    """Resume points that stay on the disk. Two, so that there is one while the next is written."""


class LoraConfig(StrictModel):
    """Low-rank adapters (Hu et al. 2021)."""

    rank: int = Field(default=16, ge=1)
    """Rank of the update matrices. 16: the low end of the 16-32 that "LoRA Without Regret" finds enough for
    small data."""

    alpha: int = Field(default=32, ge=1)
    """Scale of the update: it is multiplied by alpha / rank. 32 = 2 times rank, the usual choice."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout (probability) on the adapters' input. 0 is PEFT's own default; it costs a tenth of the time on
    a CPU."""

    target_modules: str | list[str] = "all-linear"
    """Modules that get adapters: "all-linear" (every linear layer but the head; QLoRA, Dettmers et al.
    2023), or names."""


class TrainingConfig(StrictModel):
    """How a model is trained. The defaults suit an encoder of 20 to 400 million parameters and some thousand
    rows."""

    method: Method = "lora"
    """What is trained. full: every weight. lora: low-rank adapters (Hu et al. 2021) on a frozen model, and a
    classifier's head; rslora: scaled by the root of the rank (Kalajdzievski 2023); dora: direction and size apart (Liu
    et al. 2024); qlora: on a model in 4 bits (Dettmers et al. 2023). ia3: a factor for each key, value and inner
    activation (Liu et al. 2022). prompt_tuning: vectors before the text (Lester et al. 2021); prefix_tuning: keys and
    values before those of each layer (Li & Liang 2021). linear_probe: the head alone, on features that are computed
    once; probe_then_full: that, then every weight (Kumar et al. 2022)."""

    lora: LoraConfig = LoraConfig()
    """Settings of the adapters; read with lora, rslora, dora and qlora."""

    virtual_tokens: int = Field(default=20, ge=1)
    """Vectors of prompt_tuning and prefix_tuning. 20: beyond that Lester et al. 2021 (figure 3b) gain little."""

    probe_epochs: float = Field(default=3.0, gt=0)
    """Passes of probe_then_full in which the head alone is trained; they cost hardly more than one."""

    learning_rate: float | None = Field(default=None, gt=0, lt=1)
    """Peak learning rate. None: by method (see DEFAULT_LEARNING_RATES)."""

    schedule: Literal["linear", "cosine", "constant"] = "linear"
    """Course of the learning rate after the warm-up; linear decay to 0 as in the BERT paper."""

    warmup_fraction: float = Field(default=0.06, ge=0, lt=1)
    """Share of all steps in which the rate rises from 0. 6 %: RoBERTa (Liu et al. 2019, table 10), LoRA
    (table 9)."""

    epochs: float = Field(default=2.0, gt=0)
    """Passes over the training rows, if early stopping does not end it sooner."""

    batch_size: int = Field(default=32, ge=1)
    """Examples an optimizer step, whatever fits the memory: a batch is computed in parts (see
    tokens_per_pass)."""

    tokens_per_pass: int | None = Field(default=None, ge=1)
    """Most tokens (padding counted) in one forward and backward pass; a larger batch is computed in parts
    that add up to the same gradient. None: 1,024 on a CPU, where larger matrices bring no speed, and 65,536
    on a GPU. Where the memory is not enough for it, half of it is taken, or half of that (see training/memory.py)."""

    gradient_checkpointing: bool = False
    """Keep only what enters each layer and compute the rest again in the backward pass (Chen et al. 2016): the same
    gradients with far less memory, for about a third more time."""

    compile: bool = False
    """Compile the passes of the training with `torch.compile` before the first step: the same numbers up to rounding
    (dropout draws others). Worth it for long trainings on a GPU; compiling takes a minute or more, and on a CPU the
    passes of small models became slower by it (docs/language-models.md). Needs a C++ compiler, on a GPU Triton. Not
    with sharded, nor with a linear_probe, whose encoder is not computed at all."""

    sharded: bool = False
    """Where several processes train: spread weights, gradients and the optimizer's state over them (FSDP), for models
    that one GPU cannot hold; else each holds all of it, which is faster. Only with full, lora and rslora."""

    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's decay; biases and norms are left out. 0.01 as in the BERT paper."""

    max_gradient_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm. 1.0: the default of transformers."""

    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Probability for every dropout of the model. None: with full what the base model's configuration says; with all
    else 0, since few weights are trained: on `review_sentiment` the validation loss was lower without (0.561
    against 0.574, mean of 3 seeds), and on a CPU a fifth of the time is saved."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Share of the target given to all classes alike (Szegedy et al. 2016)."""

    class_weights: Literal["none", "balanced"] = "none"
    """balanced: the loss of a class counts by rows / (classes times rows of the class), as scikit-learn has
    it."""

    max_length: int | None = Field(default=None, ge=4)
    """Most tokens of a row. None: the model's window. What is longer is counted and reported, and dealt with as
    `too_long` says."""

    too_long: Literal["cut", "drop", "error"] = "cut"
    """What becomes of training rows longer than that: cut at the end, left out of training, or an error that names
    them. Where a cut takes the whole answer away, the row is left out."""

    max_unsupervised: float = Field(default=0.05, ge=0, le=1)
    """Share of the training rows that may be left out because nothing of them is left to learn, before it is an
    error. Only for models that write text."""

    packing: bool = True
    """Rows of a pass one after the other without padding, each seeing itself alone. Only for models that write text.
    Whether a model does that right is measured before the first step; if it does not, rows are padded."""

    length_grouping: bool = True
    """Batches of rows of like length, so that little is padded. Order of batches stays random."""

    evaluations_per_epoch: float = Field(default=2.0, gt=0)
    """How often the validation loss is taken; the last step always is."""

    max_validation_rows: int | None = Field(default=None, ge=1)
    """Most validation rows that the loss is taken on, those with the smallest hash of their ids. None: all."""

    early_stopping_patience: int | None = Field(default=3, ge=1)
    """Evaluations without a better validation score before training stops. None: never. The best weights are
    kept in either case."""

    best_by: Literal["loss", "f1_macro"] = "loss"
    """Validation score that says which weights are the best."""

    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Arithmetic of forward and backward passes; the weights stay in fp32. auto: bf16 on a GPU that has it,
    else fp32."""

    device: Literal["auto", "cpu"] = "auto"
    """auto: a GPU if there is one."""

    threads: int | None = Field(default=None, ge=1)
    """CPU threads of the worker. None: the cores that this process may use."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the head, the adapters, the order of rows and the dropout: on a CPU the same seed gives the
    same weights."""

    def effective_dropout(self) -> float | None:
        """The dropout that is set; None: the base model's own stays."""
        return (
            0.0 if self.dropout is None and self.method not in ("full", "probe_then_full") else self.dropout
        )

    def effective_learning_rate(self, task_type: str) -> float:
        """The peak learning rate that is used: the user's, or the default of the method."""
        if self.learning_rate is not None:
            return self.learning_rate
        return DEFAULT_LEARNING_RATES[_family(task_type)][self.method]

    def check(self, task_type: str) -> None:
        """Whether these settings mean something for a task type.

        Raises:
            ValueError: one does not.
        """
        known = DEFAULT_LEARNING_RATES[_family(task_type)]
        if self.method not in known:
            raise ValueError(
                f"training.method: {self.method} is not for {task_type}; take one of {', '.join(known)}"
            )
        if self.sharded and self.method not in SHARDED_METHODS:
            raise ValueError(
                f"training.sharded: not with {self.method}; take one of {', '.join(SHARDED_METHODS)}"
            )
        if self.compile and (self.sharded or self.method == "linear_probe"):
            other = "training.sharded" if self.sharded else "training.method: linear_probe"
            raise ValueError(f"training.compile: not with {other}; leave one of them out")
        if not generates(task_type):
            return
        for name, only in (("label_smoothing", 0.0), ("class_weights", "none"), ("best_by", "loss")):
            if getattr(self, name) != only:
                raise ValueError(
                    f"training.{name}: {getattr(self, name)} is for models that choose a label; leave it out"
                )


def _family(task_type: str) -> str:
    return "generation" if generates(task_type) else "classification"
