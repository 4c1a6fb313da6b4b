"""`explain` and `lineage`: what became of a row, where a file went, what a checkpoint was made of."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ft_assets.errors import UserError
from ft_assets.paths import store_root

if TYPE_CHECKING:
    from ft_assets.lineage.explain import Event, Explanation
    from ft_assets.lineage.graph import Build
    from ft_assets.lineage.usage import CheckpointUse, FileUse

__all__ = ["add_parser"]

VERSION_CHARS = 12
RECORDED = {
    "stratified": "drawn for a new cluster",
    "by_time": "a new cluster, by its time",
    "meant": "its source is for this split",
    "joined": "it belongs together with rows that were there",
    "same_text": "its text was there before",
    "merged": "as the row that it was merged into",
    "same_row": "the row was there before, with another text",
    "imported": "taken over from earlier splits",
}
"""Rule of the split ledger → what it says of a row."""
BY_TEXT = "A file's rows are counted by their text: one that was merged into an equal row counts, too."


def add_parser(commands: Any) -> None:
    """Add the commands."""
    command = commands.add_parser(
        "explain", help="tell the whole life of one row, from its file to the reports"
    )
    command.add_argument("example_id", help="its example_id, or the beginning of it")
    command.add_argument("--task", help="look in this task only")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(handler=_explain)
    command = commands.add_parser(
        "lineage", help="tell which checkpoints and reports hold a file, and what a checkpoint was made of"
    )
    command.add_argument("task", nargs="?", help="this task only")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--file", help="one file: its name, or the beginning of its SHA-256")
    which.add_argument("--checkpoint", help="one checkpoint: its data version, or the beginning of it")
    command.add_argument("--json", action="store_true", help="print JSON")
    command.set_defaults(handler=_lineage)


def _explain(given: argparse.Namespace) -> None:
    from ft_assets.commands.current import current_versions
    from ft_assets.lineage.explain import explain
    from ft_assets.lineage.graph import builds, local_store

    root = local_store(store_root())
    found = explain(root, given.task, given.example_id, current_versions(builds(root, given.task)))
    _print(found.as_dict() if given.json else _life(found))


def _lineage(given: argparse.Namespace) -> None:
    from ft_assets.commands.current import current_versions
    from ft_assets.lineage.graph import builds, local_store
    from ft_assets.lineage.usage import UnknownError, checkpoints, file_uses, find_checkpoint

    known = builds(local_store(store_root()), given.task)
    if not known:
        raise UserError(
            f"nothing was built yet{f' of the task {given.task}' if given.task else ''}",
            where=store_root().partition("://")[2] or store_root(),
            do="check the task's name, and FT_DATA_DIR or FT_STORE; or materialise the task first",
        )
    current = current_versions(known)
    tasks = sorted({build.task for build in known})
    everything = given.file is None and given.checkpoint is None
    unknown: list[UnknownError] = []
    told: list[dict[str, Any]] = []
    lines: list[str] = []
    for task in tasks:
        own = [build for build in known if build.task == task]
        versions = None if current is None else current.get(task, {})
        files: list[FileUse] = []
        models: list[CheckpointUse] = []
        try:
            if given.checkpoint is not None:
                models = find_checkpoint(own, given.checkpoint)
            else:
                files = file_uses(own, given.file)
        except UnknownError as error:  # another task may have it
            unknown.append(error)
            continue
        if everything:
            models = checkpoints(own)
        told.append(
            {
                "task": task,
                "files": [_file_as_dict(use, versions) for use in files],
                "checkpoints": [_checkpoint_as_dict(use, versions) for use in models],
            }
        )
        lines += _task_lines(task, files, models, versions, in_full=given.checkpoint is not None)
    if not told:
        raise unknown[-1]
    _print(told if given.json else [*lines, "", BY_TEXT])


def _print(found: Any) -> None:
    """Lines for people, without characters that would act on the terminal; all else as JSON."""
    if isinstance(found, list) and all(isinstance(line, str) for line in found):
        from ft_assets.pages.charts import visible

        print("\n".join(visible(line) for line in found))
    else:
        print(json.dumps(found, indent=2, ensure_ascii=True))


# --- explain ------------------------------------------------------------------------------------------------


def _life(found: Explanation) -> list[str]:
    lines = [f"{found.example_id} of {found.task}", f"Now: {found.now}."]
    older = [event for event in found.events if event.current is False]
    recent = [event for event in found.events if event.current is not False]
    for title, events in (("", recent), ("In older builds:", older)):
        if events:
            lines += ["", *([title] if title else [])]
            for event in events:
                lines += _event_lines(event, found.example_id)
    if found.gone:
        lines += ["", f"No longer in the store, so nothing is known of: {', '.join(map(_cut, found.gone))}"]
    return lines


def _event_lines(event: Event, example_id: str) -> Iterator[str]:
    whose = "" if event.example_id == example_id else f"{event.example_id}: "
    yield f"  {event.asset:<18}{event.data_version[:VERSION_CHARS]}  {_time(event.created)}  {whose}{_told(event)}"
    if event.facts.get("text") is not None:
        yield f"  {'':<18}text, masked: {event.facts['text']}"
    if event.facts.get("stands_for"):
        yield f"  {'':<18}merged into it: {', '.join(event.facts['stands_for'])}"
    if event.facts.get("near_duplicates"):
        near = (f"{each} ({like:.2f})" for each, like in event.facts["near_duplicates"].items())
        yield f"  {'':<18}near duplicates: {', '.join(near)}"
    if event.facts.get("same_text"):
        yield f"  {'':<18}the same text: {', '.join(event.facts['same_text'])}"


def _told(event: Event) -> str:
    facts = event.facts
    match event.fate:
        case "read":
            told = f"read from {facts['file']}, row {facts['row']} (source {facts['source']})"
        case "refused":
            place = f" ({facts['file']}, row {facts['row']})" if "row" in facts else ""
            told = f"refused by {facts['rule']}: {facts['reason']}{place}"
        case "merged":
            alike = f", similarity {facts['similarity']:.2f}" if "similarity" in facts else ""
            told = f"merged into {facts['into']} ({facts['rule'].replace('_', ' ')}{alike})"
        case "assigned":
            told = f"in the {event.asset.removesuffix('_split')} split (cluster: {facts['cluster']}){_since(facts)}"
        case "suspected":
            told = (
                f"its label {facts['label']} is probably wrong, {facts['suggested']} is likelier "
                f"({facts['confidence']:.1%}; place {facts['rank']} of the queue)"
            )
        case "trained on":
            told = "was trained on it"
        case "chosen by":
            told = "was not trained on it; its best step was chosen by it"
        case "judged":
            said = f"predicted {facts['prediction']}" if "prediction" in facts else "judged"
            sure = f" at {facts['confidence']:.1%}" if "confidence" in facts else ""
            model = facts["checkpoint"][:VERSION_CHARS]
            told = f"{said}{sure}, the label is {facts['label']} (checkpoint {model})"
        case _ if event.asset == "labeled_examples":
            told = f"labelled {facts['label']}{_from(facts)}{_by_people(facts)}"
        case _:
            told = _repaired(facts)
    return told


def _since(facts: Mapping[str, Any]) -> str:
    if "not_told" in facts:
        return f"; since when and why cannot be told: {facts['not_told']}"
    if "recorded" not in facts:
        return ""
    return f", recorded {_time(facts['recorded'])}: {RECORDED[facts['recorded_as']]}"


def _from(facts: Mapping[str, Any]) -> str:
    return (
        f", from {facts['label_as_read']}" if facts.get("label_as_read") not in (None, facts["label"]) else ""
    )


def _by_people(facts: Mapping[str, Any]) -> str:
    corrected = f"; corrected by a person, {facts['corrected']}" if "corrected" in facts else ""
    if "disagreement" not in facts:
        return corrected
    return f"; {facts['disagreement']:.0%} of its ratings are for another label{corrected}"


def _repaired(facts: Mapping[str, Any]) -> str:
    before, after = facts.get("characters_before"), facts["characters"]
    if facts.get("changed_by"):
        rules = ", ".join(name.replace("_", " ") for name in facts["changed_by"])
        return f"repaired: {rules} (characters: {before}, then {after})"
    if facts.get("changed_by") is None:
        return f"kept (characters: {after}; what repaired it cannot be told any more)"
    return f"kept as it was (characters: {after})"


# --- lineage ------------------------------------------------------------------------------------------------


def _task_lines(
    task: str,
    files: Sequence[FileUse],
    models: Sequence[CheckpointUse],
    current: Mapping[str, str] | None,
    in_full: bool,
) -> list[str]:
    lines = [task]
    for use in files:
        lines += ["", f"  {use.name}  ({_content(use.sha256)}, source {use.source})"]
        lines.append(
            f"    read by raw_examples {', '.join(_named(build, current) for build in use.raw)}: "
            f"{use.rows:,} rows, {use.refused:,} unreadable"
        )
        for build, rows in use.checkpoints:
            lines.append(f"    in checkpoint {_named(build, current)}: {_counts(rows)}")
        for build, count in use.reports:
            lines.append(f"    in evaluation_report {_named(build, current)}: {_counts({'test': count})}")
        if not use.checkpoints and not use.reports:
            lines.append("    in no checkpoint and no report")
    for model in models:
        lines += ["", *_checkpoint_lines(model, current, in_full)]
    return lines


def _checkpoint_lines(use: CheckpointUse, current: Mapping[str, str] | None, in_full: bool) -> Iterator[str]:
    from ft_assets.lineage.usage import settings

    yield f"  checkpoint {_named(use.build, current)}, {_time(use.build.created)}"
    yield f"    rows           {_counts(use.rows)}"
    for file in use.files:
        yield f"    file           {file.name} ({_content(file.sha256)}): {_counts(file.rows)}"
    yield f"    base model     {use.base_model} ({use.base_model_version[:VERSION_CHARS]})"
    yield f"    configuration  {use.config_digest}"
    for name, value in settings(use.config).items() if in_full else ():
        yield f"                   {name}: {value}"
    yield f"    code           {use.code}"
    if use.seed is not None:
        yield f"    seed           {use.seed}"
    yield f"    libraries      {', '.join(f'{name} {version}' for name, version in use.libraries.items())}"
    for report in use.reports:
        yield f"    report         {_named(report.build, current)}: {_counts({'test': report.rows})}"


def _content(sha256: str | None) -> str:
    return f"sha256 {sha256[:VERSION_CHARS]}" if sha256 else "from a function"


def _counts(rows: Mapping[str, int | None]) -> str:
    told = [f"{'?' if count is None else f'{count:,}'} {name}" for name, count in rows.items()]
    return ", ".join(told) or "unknown"


def _named(build: Build, current: Mapping[str, str] | None) -> str:
    is_current = current is not None and current.get(build.asset) == build.data_version
    gone = "" if build.path.is_dir() else ", no longer in the store"
    return f"{build.data_version[:VERSION_CHARS]}{' (current)' if is_current else ''}{gone}"


def _cut(place: str) -> str:
    asset, _, version = place.partition("/")
    return f"{asset} {version[:VERSION_CHARS]}"


def _time(created: str) -> str:
    return created[:16].replace("T", " ")


def _build_as_dict(build: Build, current: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "data_version": build.data_version,
        "build_key": build.build_key,
        "created": build.created,
        "current": None if current is None else current.get(build.asset) == build.data_version,
        "in_store": build.path.is_dir(),
    }


def _file_as_dict(use: FileUse, current: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        "source": use.source,
        "file": use.name,
        "sha256": use.sha256,
        "rows": use.rows,
        "refused": use.refused,
        "raw_examples": [_build_as_dict(build, current) for build in use.raw],
        "checkpoints": [
            _build_as_dict(build, current) | {"rows": dict(rows)} for build, rows in use.checkpoints
        ],
        "reports": [
            _build_as_dict(build, current) | {"rows": {"test": count}} for build, count in use.reports
        ],
    }


def _checkpoint_as_dict(use: CheckpointUse, current: Mapping[str, str] | None) -> dict[str, Any]:
    return {
        **_build_as_dict(use.build, current),
        "rows": dict(use.rows),
        "files": [
            {"source": file.source, "file": file.name, "sha256": file.sha256, "rows": dict(file.rows)}
            for file in use.files
        ],
        "base_model": {"source": use.base_model, "data_version": use.base_model_version},
        "config": dict(use.config),
        "config_digest": use.config_digest,
        "code": use.code,
        "seed": use.seed,
        "libraries": dict(use.libraries),
        "reports": [
            _build_as_dict(report.build, current) | {"rows": {"test": report.rows}} for report in use.reports
        ],
    }
