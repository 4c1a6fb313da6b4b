"""The audit of a data stage: its tables are written to staging, and its contract is run on them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING
from unicodedata import unidata_version

from ft_assets.components.stage import Built, Step, Task
from ft_assets.data.contracts import Expectation, expectations, run
from ft_assets.paths import remembered_dir
from ft_assets.versions import code_version, hash_json, library_versions

if TYPE_CHECKING:
    from ft_assets.data.examples import StageTables
    from ft_assets.data.remembered import Memory

__all__ = ["AUDIT_CODE", "AUDIT_LOADS", "contract", "memory", "write_and_audit"]

# What a contract says is part of what a stage does: another rule runs the audit again.
AUDIT_CODE = (
    "ft_assets.data.contracts",
    "ft_assets.data.contract_runner",
    "ft_assets.data.personal",
    "ft_assets.data.texts",
    "ft_assets.data.duplicates",
    "ft_assets.data.lookup",
    "ft_assets.data.near_duplicates",
    "ft_assets.data.continuations",
    "ft_assets.data.leakage",
    "ft_assets.data.remembered",
)
# Taken as it is loaded: what this process computes is what it has loaded, whatever happens to the files.
_REMEMBERED_CODE = code_version(
    "ft_assets.data.duplicates",
    "ft_assets.data.lookup",
    "ft_assets.data.personal",
    "ft_assets.data.remembered",
    "ft_assets.data.texts",
)


AUDIT_LOADS = ("ft_assets.data.contract_runner",)


def contract(task: Task, asset: str) -> tuple[Expectation, ...]:
    """The expectations of one data stage of a task."""
    config = task.config
    rated = config.columns.rated
    return tuple(expectations(asset, config.label_names, config.contracts, config.cleaning, rated=rated))


def memory(task: Task) -> "Memory":
    """What was computed of the task's texts by this code and these libraries."""
    from ft_assets.data.remembered import Memory

    libraries = library_versions(("numpy", "polars", "phonenumbers", "python-stdnum"))
    made_by = {"code": _REMEMBERED_CODE, "libraries": libraries, "unicode": unidata_version}
    return Memory(remembered_dir() / task.name, hash_json(made_by))


def write_and_audit(
    step: Step, tables: "StageTables", splits: "Mapping[str, StageTables] | None" = None
) -> Built:
    """Write what a stage has made to staging, and run the stage's contract on it.

    Args:
        step: Its staging receives `examples`, `quarantine`, `merged`, and `near_duplicates` where they were looked for.
        tables: What was made.
        splits: For a split, all three by name, to look for overlap.
    """
    from ft_assets.versions import tables_version

    made = {"examples": tables.examples, "quarantine": tables.quarantine, "merged": tables.merged}
    if tables.near_duplicates is not None:
        made["near_duplicates"] = tables.near_duplicates
    for name, table in made.items():
        step.staging.write_table(name, table)
    found = run(contract(step.stage.task, step.stage.asset), tables, splits, memory(step.stage.task))
    return Built(tables_version(made), tables.summary, found)
