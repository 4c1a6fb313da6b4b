"""`train_split`, `validation_split`, `test_split`: three assets of one step, so that one writer assigns rows.

They are three, not one: rows that land only in test re-evaluate and do not re-train.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ft_assets.artifacts import Artifact
from ft_assets.components import metadata, semantic_duplicates, split_ledger, split_times
from ft_assets.components.audit import AUDIT_CODE, AUDIT_LOADS, contract, write_and_audit
from ft_assets.components.stage import Built, Rule, Stage, Step, Task

if TYPE_CHECKING:
    from ft_assets.data.examples import StageTables
    from ft_assets.data.splits import Splits

__all__ = ["SPLITS", "stages"]

SPLITS = ("train", "validation", "test")
PURPOSE = {
    "train": "Examples that the model learns from.",
    "validation": "Examples that choose: when to stop, and the baselines' settings.",
    "test": "Examples that only judge. No cluster of them is in another split.",
}


def stages(task: Task) -> list[Stage]:
    return [_stage(task, split) for split in SPLITS]


def _stage(task: Task, split: str) -> Stage:
    asset = f"{split}_split"
    same = task.config.splits.semantic_duplicates
    return Stage(
        task=task,
        asset=asset,
        description=PURPOSE[split] + " Recorded in the split ledger: no row ever changes its split.",
        kinds=frozenset({"parquet"}),
        code=(
            "ft_assets.data.splits",
            "ft_assets.data.ledger",
            "ft_assets.data.examples",
            "ft_assets.data.merging",
            "ft_assets.data.times",
            *AUDIT_CODE,
            *(semantic_duplicates.CODE if same else ()),
        ),
        config={
            "splits": task.config.splits.dealing,
            "contracts": task.config.contracts.model_dump(mode="json"),
            "labels": task.config.label_names,
            "near_duplicates": task.config.cleaning.near_duplicates.model_dump(mode="json"),
            **({"semantic_duplicates": same.model_dump(mode="json")} if same else {}),
        },
        inputs=("labeled_examples", "cleaned_examples"),
        expectations=(*contract(task, asset), *_rules(task, split)),
        sources=lambda shared: {
            **split_ledger.sources(task.name, shared),
            **semantic_duplicates.sources(task, shared),
        },
        watch=semantic_duplicates.watch(task, split_ledger.watch(task.name)),
        lock=lambda: split_ledger.lock(task.name),
        loads=("ft_assets.data.splits", *AUDIT_LOADS),
        libraries=(
            *("polars", "numpy", "great-expectations", "pandas", "pyarrow"),
            *(semantic_duplicates.LIBRARIES if same else ()),
        ),
        describe=_describe,
        build=lambda step: _build(step, split),
        step="splits",
        pool="gpu" if same else None,
    )


def _rules(task: Task, split: str) -> Sequence[Rule]:
    found: list[Rule] = [] if split == "train" else semantic_duplicates.rules(task)
    if split == "test":
        found.append(split_ledger.LOCKED_ROWS)
    elif task.config.splits.by == "time":
        found += split_times.RULES
    return found


def _build(step: Step, split: str) -> Built:
    if "splits" not in step.shared:
        known, made = step.shared["known"], step.shared["splits"] = _assigned(step)
        step.shared["record"] = known.record(step, made)
    known, made = step.shared["known"], step.shared["splits"]
    built = write_and_audit(step, made.tables[split], splits=made.tables)
    if split == "test":
        rows = {name: each.examples for name, each in made.tables.items()}
        outcome = split_ledger.locked_rows(known, step.stage.task.name, rows)
        built = replace(built, outcomes=[*built.outcomes, outcome])
    elif made.periods is not None:
        labelled = step.inputs["labeled_examples"].table(columns=split_times.COLUMNS)
        part = made.tables[split].examples
        found = split_times.outcomes(split, part, labelled, made.periods, known.entries)
        built = replace(built, outcomes=[*built.outcomes, *found])
    if split != "train" and step.stage.task.config.splits.semantic_duplicates is not None:
        built = _with_semantic_duplicates(step, built, split, made.tables)
    # Once for all three.
    return replace(built, before_commit=step.shared.pop("record", None))


def _with_semantic_duplicates(
    step: Step, built: Built, split: str, tables: "Mapping[str, StageTables]"
) -> Built:
    """With the check for texts that mean the same as one of an earlier split."""
    task = step.stage.task
    if "semantic_duplicates" not in step.shared:
        step.shared["semantic_duplicates"] = semantic_duplicates.search(step, tables)
    found = step.shared["semantic_duplicates"][split]
    return replace(
        built,
        summary={**built.summary, **semantic_duplicates.summary(task, found)},
        outcomes=[*built.outcomes, semantic_duplicates.outcome(task, found)],
    )


def _assigned(step: Step) -> "tuple[split_ledger.Known, Splits]":
    from ft_assets.data.splits import split

    config, labelled = step.stage.task.config, step.inputs["labeled_examples"]
    known = split_ledger.known(step)
    made = split(
        labelled.table(),
        config.splits,
        entries=known.entries,
        ledger_id=known.ledger.id,
        merged=[step.inputs[name].table("merged") for name in ("cleaned_examples", "labeled_examples")],
        periods=known.periods,
        near=config.cleaning.near_duplicates,
        classes=config.label_names is not None,
        new_in_test=known.lock is None,
    )
    told = ", ".join(f"{rows:,} {how.replace('_', ' ')}" for how, rows in made.how.items())
    step.context.log.info(f"rows by how they came to their split: {told}")
    salts = {segment.record["settings"]["salt"] for segment in known.ledger.of_kind("entries")}
    if salts - {config.splits.salt}:
        step.context.log.warning(
            "`splits.salt` is another one than rows were drawn with before: it is for new clusters alone. To draw all "
            f"rows anew, run `python -m ft_assets ledger reset {step.stage.task.name}`"
        )
    also = {"ledger": {"id": known.ledger.id}}
    also |= {"boundaries": made.periods.as_dict()} if made.periods is not None else {}
    tables = {name: replace(each, summary=each.summary | also) for name, each in made.tables.items()}
    return known, replace(made, tables=tables)


def _describe(artifact: Artifact) -> dict[str, Any]:
    return {
        **metadata.counts(artifact),
        **metadata.labels(artifact),
        **metadata.answers(artifact),
        **artifact.summary.get("boundaries", {}),
        **semantic_duplicates.describe(artifact.summary.get("semantic_duplicates")),
        **(split_ledger.looked_at(artifact.task) if artifact.asset == "test_split" else {}),
        "sample": metadata.sample(artifact),
    }
