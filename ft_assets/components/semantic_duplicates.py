"""The check of validation and test for texts that mean the same as one of an earlier split, where the task asks for it.

The worker embeds those texts that were not embedded before; the comparison is `ft_assets.data.embeddings`. Rows stay
where they are: what an embedding tells is a hint, and the splits of recorded rows never change.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ft_assets.components import metadata
from ft_assets.components.live import LiveProgress
from ft_assets.components.stage import Rule, Step, Task, Watch
from ft_assets.components.worker_ahead import coming_work
from ft_assets.data.config import SemanticDuplicatesConfig
from ft_assets.data.contracts import CheckOutcome
from ft_assets.errors import UserError
from ft_assets.paths import cache_dir, remembered_dir
from ft_assets.sources.files import is_local
from ft_assets.versions import code_version, file_sha256, files_version, hash_json, library_versions

if TYPE_CHECKING:
    import numpy as np

    from ft_assets.data.embeddings import SemanticDuplicates
    from ft_assets.data.examples import StageTables
    from ft_assets.data.remembered import Memory

__all__ = ["CODE", "LIBRARIES", "describe", "outcome", "rules", "search", "sources", "summary", "watch"]

MODEL = "source:embedding_model"
LISTED = 20
_PAIR = ("example_id", "partner", "partner_split", "cosine")
# What decides what a vector is.
_EMBEDDING = (
    "ft_assets.data.embeddings:said",
    "ft_assets.training.embeddings",
    "ft_assets.training.batches:batches_by_tokens",
    "ft_assets.training.batches:PadBatch",
    "ft_assets.training.checkpoint:load_encoder",
    "ft_assets.training.rows:tokenised",
    "ft_assets.training.rows:model_window",
)
CODE = ("ft_assets.components.semantic_duplicates", "ft_assets.data.embeddings", *_EMBEDDING)
LIBRARIES = ("torch", "transformers", "tokenizers")
# How a model's configuration calls the size of what it says of a token.
_SIZES = ("hidden_size", "dim", "d_model", "emb_dim")


@cache
def _embedding_code() -> str:
    """The code that decides what a vector is, as it was when it was first asked for: when the task was loaded."""
    return code_version(*_EMBEDDING)


def rules(task: Task) -> list[Rule]:
    """The check of validation and of test; none where it is not asked for."""
    asked = task.config.splits.semantic_duplicates
    if asked is None:
        return []
    _embedding_code()
    return [
        Rule(
            "no_shared_semantic_duplicates",
            f"no text means the same (cosine {asked.threshold:g} and more) as one of an earlier split",
            task.config.contracts.severity.get("no_shared_semantic_duplicates", "warning"),
        )
    ]


def sources(task: Task, shared: dict[str, Any]) -> dict[str, str]:
    """The content of the model, where the check is asked for: another one looks anew.

    Raises:
        UserError: it does not exist, cannot be had, or is no folder with safetensors weights.
    """
    if task.config.splits.semantic_duplicates is None:
        return {}
    if MODEL not in shared:
        shared |= _identity(task, file_sha256)
    return {MODEL: shared[MODEL]}


def watch(task: Task, also: Watch) -> Watch:
    """What is watched of the splits: the model, too, where it lies on this machine and may change."""
    asked = task.config.splits.semantic_duplicates
    if asked is None or not is_local(_source(task, asked)):
        return also
    return Watch((*also.names, MODEL), lambda sha256: {**also.look(sha256), **_identity(task, sha256)})


def _identity(task: Task, sha256: Callable[[Path], str]) -> dict[str, str]:
    return {MODEL: files_version(_model(task), sha256=sha256)}


def _source(task: Task, asked: SemanticDuplicatesConfig) -> str:
    return asked.model or task.config.base_model


def _setting(asked: SemanticDuplicatesConfig) -> str:
    return "splits.semantic_duplicates.model" if asked.model else "base_model"


def _model(task: Task) -> Path:
    """The folder of the model."""
    from ft_assets.sources import resolve_model

    asked = _asked(task)
    source = _source(task, asked)
    try:
        model = resolve_model(source, cache=cache_dir(), base=task.base_of(source))
    except UserError as error:
        raise UserError(
            f"the model that is to embed texts cannot be used: {error.what}",
            where=f"{_setting(asked)}: {error.where}",
            do=error.do,
        ) from error
    if model.is_file():
        raise UserError(
            "a GGUF file embeds no texts",
            where=f"{_setting(asked)}: {model}",
            do="name an encoder with safetensors weights as splits.semantic_duplicates.model",
        )
    return model


def _asked(task: Task) -> SemanticDuplicatesConfig:
    asked = task.config.splits.semantic_duplicates
    assert asked is not None  # noqa: S101 - called only where it is asked for
    return asked


def search(step: Step, splits: "Mapping[str, StageTables]") -> "dict[str, SemanticDuplicates]":
    """What is found in validation and in test.

    Args:
        step: of any of the splits; its run may be cancelled meanwhile.
        splits: all three by name, as they are to be published.

    Raises:
        UserError: the model is no encoder, has no tokenizer, is damaged, changes meanwhile, or gives NaN.
        dagster.Failure: the run was cancelled.
    """
    from ft_assets.data.embeddings import EARLIER, semantic_duplicates, vectors_of
    from ft_assets.data.examples import to_polars

    threshold = _asked(step.stage.task).threshold
    ids = {
        name: to_polars(each.examples.select(["example_id"]))["example_id"] for name, each in splits.items()
    }
    # Below the staging directory, which goes however the step ends: it holds texts.
    scratch = step.staging.path / ".embedding"
    scratch.mkdir()
    try:
        vectors = vectors_of(
            {name: each.examples for name, each in splits.items()},
            _size(step),
            lambda texts: _embed(step, texts, scratch),
            _memory(step),
            scratch,
        )
        return {name: semantic_duplicates(name, ids, vectors, threshold) for name in EARLIER}
    finally:
        shutil.rmtree(scratch)


def _size(step: Step) -> int:
    """Components of a vector, as the model's configuration says."""
    model = _model(step.stage.task)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    size = next((config[name] for name in _SIZES if isinstance(config.get(name), int)), None)
    if size is None:
        raise UserError(
            f"the model's configuration has none of {', '.join(_SIZES)}",
            where=str(model / "config.json"),
            do="name an encoder (BERT, MPNet, XLM-RoBERTa, …) as splits.semantic_duplicates.model",
        )
    return size


def _memory(step: Step) -> "Memory":
    """The vectors that this model gave before, by the same code, libraries and settings."""
    from ft_assets.data.remembered import Memory

    training = step.stage.task.config.training
    made_by = {
        "model": step.sources[MODEL],
        "code": _embedding_code(),
        "libraries": library_versions(LIBRARIES),
        "precision": training.precision,
        "device": training.device,
    }
    return Memory(remembered_dir() / step.stage.task.name, hash_json(made_by))


def _embed(step: Step, texts: Path, output: Path) -> "np.ndarray":
    """Vectors of the texts in a Parquet file, by the worker."""
    import numpy as np

    from ft_assets.sources import check_weights
    from ft_assets.worker.work_order import WorkOrder

    task = step.stage.task
    model = _model(task)
    check_weights(model, _source(task, _asked(task)))
    order = WorkOrder(
        kind="embed",
        task_type=task.config.task_type,
        output=str(output),
        base_model=str(model),
        examples=str(texts),
        # The whole window of the model, whatever the training's is.
        training=task.config.training.model_copy(update={"max_length": None}),
    )
    result = step.context.resources.launcher.run(
        step.context,
        order,
        on_message=LiveProgress(step.context, step.stage.key),
        then=coming_work(step.context, step.stage.key),
    )
    if files_version(model) != step.sources[MODEL]:
        raise UserError("the model has changed while it embedded texts", where=str(model), do="run it again")
    step.context.log.info(
        f"{result['rows']:,} texts embedded in {result['seconds']:.1f} s, on {result['device_name']}; "
        f"{result['truncated']:,} of them were longer than {result['window']:,} tokens and were cut"
    )
    return np.load(output / "embeddings.npy", mmap_mode="r", allow_pickle=False)


def outcome(task: Task, found: "SemanticDuplicates") -> CheckOutcome:
    """The check of one split."""
    (rule,) = rules(task)
    rows = found.pairs.height
    told = " and ".join(f"{number} with {split}" for split, number in found.by_split.items() if number)
    return CheckOutcome(
        rule.name,
        not rows,
        rule.severity,
        rule.description,
        found.checked,
        rows,
        found.pairs["example_id"].head(LISTED).to_list(),
        f"{rows} of {found.checked} rows ({told}): look at the pairs in the metadata (`python -m ft_assets explain "
        "EXAMPLE_ID`). What one source says again and again needs a group (`columns.group`); what is nearly the same "
        "in its words, a lower `cleaning.near_duplicates.threshold`; where texts have no more than their topic in "
        "common, raise `splits.semantic_duplicates.threshold`"
        if rows
        else "",
    )


def summary(task: Task, found: "SemanticDuplicates") -> dict[str, Any]:
    """What the artifact's summary keeps, as plain JSON: ids and numbers, never a text."""
    import numpy as np

    cosines = found.nearest
    return {
        "semantic_duplicates": {
            "rows": found.pairs.height,
            "share": found.pairs.height / max(found.checked, 1),
            "with": found.by_split,
            "threshold": _asked(task).threshold,
            "largest_cosine": round(float(cosines.max()), 4) if len(cosines) else None,
            "median_cosine": round(float(np.median(cosines)), 4) if len(cosines) else None,
            "pairs": [
                {**pair, "cosine": round(pair["cosine"], 4)} for pair in found.pairs.head(LISTED).to_dicts()
            ],
        }
    }


def describe(found: Mapping[str, Any] | None) -> dict[str, Any]:
    """The same as metadata, of a summary's `semantic_duplicates`."""
    if found is None:
        return {}
    # The order of a manifest's keys is that of the alphabet.
    pairs = [{name: pair[name] for name in _PAIR} for pair in found["pairs"]]
    numbers = {
        "semantic_duplicates": found["rows"],
        "semantic_duplicates_share": metadata.rounded(found["share"]),
        "semantic_duplicates_threshold": found["threshold"],
        "largest_cosine": found["largest_cosine"],
        "median_cosine": found["median_cosine"],
    }
    shown = {name: value for name, value in numbers.items() if value is not None}
    return shown | ({"semantic_duplicate_pairs": metadata.rows_table(pairs)} if pairs else {})
