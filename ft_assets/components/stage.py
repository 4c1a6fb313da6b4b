"""A stage: how an asset's step turns its inputs into a published artifact. Write, audit, publish.

What belongs here is common to all assets: reuse by build key, the audit before anything is published, the
versions that are recorded. What a stage computes stands in its own module beside this one.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore, Staging
from ft_assets.components import metadata
from ft_assets.compute.local import run_is_over
from ft_assets.data.contracts import CheckOutcome, Expectation, Severity
from ft_assets.io.artifacts import told_as_failures
from ft_assets.paths import data_dir
from ft_assets.task import TaskConfig
from ft_assets.versions import build_key, code_version, hash_json, library_versions

__all__ = ["Built", "Production", "Rule", "Stage", "Task", "publish"]

Event = dg.AssetCheckResult | dg.MaterializeResult


@dataclass(frozen=True)
class Task:
    """A task as its assets see it: the configuration, its name, and the folder of its `defs.yaml`."""

    name: str
    config: TaskConfig
    folder: Path

    def base_of(self, source: str) -> Path:
        """Where a relative source starts: `./` and `../` at the task's own folder, all others at the data
        directory (`incoming/...`)."""
        return self.folder if source.startswith(("./", "../")) else data_dir()


@dataclass(frozen=True)
class Rule:
    """A check that a stage makes by itself, without a contract on rows."""

    name: str
    description: str
    severity: Severity


@dataclass(frozen=True)
class Stage:
    """One asset of one task: what it is, what it is made from, and which rules its artifact must keep."""

    task: Task
    asset: str
    description: str
    kinds: frozenset[str]
    code: tuple[str, ...]
    """Modules whose code decides what comes out; their hash is part of the code version."""
    config: Mapping[str, Any]
    """The stage's share of the task's configuration, as plain JSON."""
    inputs: tuple[str, ...] = ()
    """Names of the upstream assets, of the same task."""
    expectations: tuple[Expectation | Rule, ...] = ()
    libraries: tuple[str, ...] = ()
    """Distributions whose versions are written into the manifest."""
    describe: Callable[[Artifact], dict[str, Any]] = metadata.counts
    """The artifact as metadata for the UI. Cheap: it also runs when the artifact is reused."""
    seed: int = 0

    @property
    def key(self) -> dg.AssetKey:
        return dg.AssetKey([self.task.name, self.asset])

    @cached_property
    def code_version(self) -> str:
        return f"{code_version(*self.code)[:12]}-{hash_json(dict(self.config))[:12]}"

    @property
    def check_specs(self) -> list[dg.AssetCheckSpec]:
        return [
            dg.AssetCheckSpec(
                rule.name,
                asset=self.key,
                description=rule.description,
                blocking=rule.severity == "critical",
            )
            for rule in self.expectations
        ]

    def spec(self) -> dict[str, Any]:
        """What `dg.asset` and `dg.AssetOut` both take."""
        return {
            "description": self.description,
            "kinds": set(self.kinds),
            "group_name": self.task.name,
            "owners": self.task.config.owners or None,
            "code_version": self.code_version,
            "io_manager_key": "artifacts",
        }

    def asset_arguments(self) -> dict[str, Any]:
        """Arguments of `@dg.asset` for an asset made by a step of its own."""
        return {
            "key": self.key,
            "ins": self.ins(),
            "check_specs": self.check_specs,
            "required_resource_keys": {"artifact_store"},
            "output_required": True,
            **self.spec(),
        }

    def ins(self) -> dict[str, dg.AssetIn]:
        return {name: dg.AssetIn(key=dg.AssetKey([self.task.name, name])) for name in self.inputs}


@dataclass(frozen=True)
class Built:
    """What a stage wrote into its staging directory."""

    data_version: str
    summary: Mapping[str, Any]
    outcomes: Sequence[CheckOutcome] = ()


@dataclass(frozen=True)
class Production:
    """One artifact to be made: its stage, the versions that were read, and the function that writes it."""

    stage: Stage
    upstream: Mapping[str, Artifact]
    build: Callable[[Staging], Built]
    sources: Mapping[str, str] = field(default_factory=dict)
    """Content identities of what was read from outside the graph; their names begin with `source:`."""

    @property
    def inputs(self) -> dict[str, str]:
        return {name: artifact.data_version for name, artifact in self.upstream.items()} | dict(self.sources)

    @property
    def build_key(self) -> str:
        return build_key(
            stage=self.stage.asset,
            code_version=self.stage.code_version,
            config=dict(self.stage.config),
            inputs=self.inputs,
            seed=self.stage.seed,
        )


def publish(context: dg.AssetExecutionContext, *productions: Production) -> Iterator[Event]:
    """Make the artifacts of one step and publish all of them, or none.

    An artifact whose build key is in the store is reused. The others are written to staging and audited; if a
    critical check fails anywhere in the step, nothing is published, the refused artifacts are kept aside for
    inspection, and the last good versions stay current.

    However the step ends, an interrupt included, no staging directory and no lock outlives it.

    Raises:
        dg.Failure: a critical check failed, the run was cancelled, or an error was raised (what, where, what to do).
    """
    names = ", ".join(f"{production.stage.task.name}/{production.stage.asset}" for production in productions)
    with told_as_failures(f"making {names}"):
        store: ArtifactStore = context.resources.artifact_store.open()
        with ExitStack() as stack:
            drafts = [_draft(context, store, stack, production) for production in productions]
            for production, _, built in drafts:
                for outcome in built.outcomes if isinstance(built, Built) else built.manifest["checks"]:
                    yield _check_result(production.stage, outcome)
            refused = [draft for draft in drafts if _failed(draft[2])]
            if refused:
                raise _refusal(store, refused)
            published = [_commit(store, *draft) for draft in drafts]
        for (production, _, built), artifact in zip(drafts, published, strict=True):
            if isinstance(built, Built):
                context.log.info(f"published {artifact.path}")
            yield _result(context, production, artifact, reused=isinstance(built, Artifact))


Draft = tuple[Production, Staging | None, "Built | Artifact"]


def _draft(
    context: dg.AssetExecutionContext, store: ArtifactStore, stack: ExitStack, production: Production
) -> Draft:
    """The artifact in the store that has the build key; else a new one, in staging."""
    stage = production.stage
    name = f"{stage.task.name}/{stage.asset}"

    def waiting() -> None:
        context.log.info(f"{name}: another run is making the same artifact; waiting for it")
        if run_is_over(context):
            raise dg.Failure("the run was cancelled while it waited for another one", allow_retries=False)

    stack.enter_context(store.building(stage.task.name, stage.asset, production.build_key, on_wait=waiting))
    found = store.find(stage.task.name, stage.asset, production.build_key)
    if found is not None:
        context.log.info(f"{name}: nothing that goes into it has changed; reused {found.data_version}")
        return production, None, found
    staging = stack.enter_context(store.staging(stage.task.name, stage.asset))
    return production, staging, production.build(staging)


def _failed(built: Built | Artifact) -> list[CheckOutcome]:
    if isinstance(built, Artifact):
        return []
    return [outcome for outcome in built.outcomes if outcome.severity == "critical" and not outcome.passed]


def _refusal(store: ArtifactStore, refused: Sequence[Draft]) -> dg.Failure:
    reasons: list[str] = []
    kept: list[str] = []
    shown: dict[str, Any] = {}
    for production, staging, built in refused:
        failed = _failed(built)
        assert staging is not None and isinstance(built, Built)  # noqa: S101 - what was reused is never refused
        path = store.refuse(
            staging,
            reasons=[outcome.as_dict() for outcome in failed],
            inputs=production.inputs,
            summary=dict(built.summary),
        )
        asset = production.stage.asset
        shown[f"refused {asset}"] = dg.MetadataValue.path(str(path))
        kept.append(str(path))
        shown |= {f"{asset} {name}": value for name, value in metadata.refused(built.summary).items()}
        for outcome in failed:
            reasons.append(f"{asset}: {outcome.name} ({outcome.description}): {outcome.advice}")
    text = "\n".join(f"  - {reason}" for reason in reasons)
    return dg.Failure(
        description=f"Nothing was published: {len(reasons)} critical check(s) failed.\n{text}\n"
        f"The last good version stays current; what was refused is kept in {', '.join(kept)}",
        metadata=shown,
        allow_retries=False,
    )


def _commit(
    store: ArtifactStore, production: Production, staging: Staging | None, built: Built | Artifact
) -> Artifact:
    if isinstance(built, Artifact):
        return built
    assert staging is not None  # noqa: S101 - only what was reused has none, and that is an Artifact
    stage = production.stage
    return store.commit(
        staging,
        data_version=built.data_version,
        build_key=production.build_key,
        inputs=production.inputs,
        config=dict(stage.config),
        code_version=stage.code_version,
        summary=dict(built.summary),
        checks=[outcome.as_dict() for outcome in built.outcomes],
        libraries=library_versions(stage.libraries),
        seed=stage.seed,
    )


def _result(
    context: dg.AssetExecutionContext, production: Production, artifact: Artifact, *, reused: bool
) -> dg.MaterializeResult:
    stage = production.stage
    # What was read is what is recorded: Dagster would otherwise look "latest" up by itself.
    tags = {
        f"dagster/input_data_version/{stage.task.name}/{name}": upstream.data_version
        for name, upstream in production.upstream.items()
    }
    return dg.MaterializeResult(
        asset_key=stage.key,
        value=artifact,
        data_version=dg.DataVersion(artifact.data_version),
        tags=tags,
        metadata={
            **stage.describe(artifact),
            "reused": reused,
            "build_key": artifact.build_key,
            # Below <store>/<task>: a whole path is wider than the page, and cuts what stands above it.
            "artifact": f"{artifact.asset}/{artifact.data_version}",
        },
    )


def _check_result(stage: Stage, outcome: CheckOutcome | Mapping[str, Any]) -> dg.AssetCheckResult:
    values = outcome.as_dict() if isinstance(outcome, CheckOutcome) else dict(outcome)
    severity = dg.AssetCheckSeverity.ERROR if values["severity"] == "critical" else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=stage.key,
        check_name=values["name"],
        passed=values["passed"],
        severity=severity,
        description=values["description"] if values["passed"] else values["advice"],
        metadata={
            "checked": values["checked"],
            "unexpected": values["unexpected"],
            **(
                {"example_ids": dg.MetadataValue.json(values["example_ids"])} if values["example_ids"] else {}
            ),
        },
    )
