"""A stage: how an asset's step turns its inputs into a published artifact. Write, audit, publish.

What belongs here is common to all assets: reuse by build key, the audit before anything is published, the
versions that are recorded. What a stage computes stands in its own module beside this one; each of them has
`stages(task)`, and a function that builds the artifact.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact, ArtifactStore, Staging
from ft_assets.components import metadata
from ft_assets.components.attempts import Attempts
from ft_assets.components.launch_settings import FORCE, check_settings
from ft_assets.components.run_reason import tell_reason
from ft_assets.components.worker_ahead import make_worker_ready
from ft_assets.compute.local import run_is_over
from ft_assets.data.contracts import CheckOutcome, Expectation, Severity
from ft_assets.disk import flock
from ft_assets.io.artifacts import told_as_failures
from ft_assets.loading import load
from ft_assets.paths import data_dir
from ft_assets.planning.plan import Layer
from ft_assets.task import TaskConfig
from ft_assets.versions import build_key, code_version, hash_json, library_versions

__all__ = ["SOURCES_TAG", "Built", "Rule", "Stage", "Step", "Task", "Watch", "assets_of", "publish"]

SOURCES_TAG = "ft_assets/sources"
"""Tag of a materialisation: hash of what the watched sources held."""

_PRIORITY = "dagster/priority"
"""Dagster's tag: of the steps that could be made, the one with the highest number is next."""

RESOURCES = {"artifact_store", "launcher"}
"""What `publish` uses."""

Event = dg.AssetCheckResult | dg.MaterializeResult


@cache
def _code_version(code: tuple[str, ...]) -> str:
    """The same for all tasks; what this process runs is what it has loaded, whatever happens to the files."""
    return code_version(*code)


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
class Built:
    """What a stage wrote into its staging directory."""

    data_version: str
    summary: Mapping[str, Any]
    outcomes: Sequence[CheckOutcome] = ()
    seconds: float | None = None
    """How long it took, libraries' loading left out; None: as long as the build did."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the UI shows of this build alone, beside what `Stage.describe` tells of any artifact."""
    before_commit: Callable[[], None] | None = None
    """Called once all checks of the step have passed, before anything is published: for what has to outlive the
    artifact. It must change nothing where it was called before: a process may be killed right after it."""


@dataclass(frozen=True)
class Stage:
    """One asset of one task: what it is, what it is made from and how, and which rules its artifact must keep."""

    task: Task
    asset: str
    description: str
    kinds: frozenset[str]
    code: tuple[str, ...]
    """Modules whose code decides what comes out; their hash is part of the code version."""
    config: Mapping[str, Any]
    """The stage's share of the task's configuration, as plain JSON."""
    build: Callable[["Step"], Built]
    """Writes the artifact into staging."""
    inputs: tuple[str, ...] = ()
    """Names of the upstream assets, of the same task."""
    sources: Callable[[dict[str, Any]], Mapping[str, str]] | None = None
    """Content identities of what is read from outside the graph; their names begin with `source:`. It is given
    `Step.shared`."""
    history: (
        Callable[[dg.AssetExecutionContext, "Stage", Mapping[str, Artifact]], Mapping[str, str]] | None
    ) = None
    """Identities of what was published before and is looked at again; names as those of `sources`. The same again where
    nothing else has changed, or nothing would ever be reused."""
    expectations: tuple[Expectation | Rule, ...] = ()
    libraries: tuple[str, ...] = ()
    """Distributions whose versions are written into the manifest."""
    loads: tuple[str, ...] = ()
    """Modules that the build uses; they are loaded before its time is taken."""
    describe: Callable[[Artifact], dict[str, Any]] = metadata.counts
    """The artifact as metadata for the UI. Cheap: it also runs when the artifact is reused."""
    seed: int = 0
    pool: str | None = None
    lock: Callable[[], Path] | None = None
    """A lock file that the step holds from before its sources are told until it has published."""
    step: str = ""
    """Name of the step, where it makes several assets."""
    aside: bool = False
    """Whether nothing waits for it: a run makes it after all that could be made instead."""
    layer: Layer = "data"
    """Whether it follows its inputs at once, or by the task's policy."""
    watch: "Watch | None" = None
    settings: Mapping[str, dg.Field] = field(default_factory=dict)
    """What the launchpad takes for one run, beside `force`."""
    with_settings: Callable[["Stage", Mapping[str, Any]], "Stage"] | None = None
    """The stage with what the launchpad was given, where it takes anything."""

    @property
    def key(self) -> dg.AssetKey:
        return dg.AssetKey([self.task.name, self.asset])

    @cached_property
    def code_version(self) -> str:
        return f"{_code_version(self.code)[:12]}-{hash_json(dict(self.config))[:12]}"

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

    @property
    def step_name(self) -> str:
        """The step that makes it, as the run's config names it."""
        return f"{self.task.name}__{self.step or self.asset}"

    def out(self) -> dg.AssetOut:
        max_age = self.task.config.policy.max_age(self.asset)
        return dg.AssetOut(
            key=self.key,
            description=self.description,
            kinds=set(self.kinds),
            group_name=self.task.name,
            owners=self.task.config.owners or None,
            code_version=self.code_version,
            io_manager_key="artifacts",
            freshness_policy=dg.FreshnessPolicy.time_window(max_age) if max_age else None,
        )


@dataclass(frozen=True)
class Watch:
    """Those sources of a stage that can be looked at cheaply and often: local files."""

    names: tuple[str, ...]
    """How the names of their identities begin."""
    look: Callable[[Callable[[Path], str]], Mapping[str, str]]
    """Takes what gives the SHA-256 of a file; gives the identities, as `Stage.sources` would."""

    def version(self, identities: Mapping[str, str]) -> str:
        """One hash of what these sources hold."""
        return hash_json({name: found for name, found in identities.items() if name.startswith(self.names)})


@dataclass(frozen=True)
class Step:
    """What a stage's build is given."""

    context: dg.AssetExecutionContext
    stage: Stage
    inputs: Mapping[str, Artifact]
    """The upstream artifacts, by asset."""
    sources: Mapping[str, str]
    """What the stage's `sources` and `history` gave."""
    build_key: str
    staging: Staging
    """Receives the files."""
    shared: dict[str, Any]
    """What the stages of one step compute once for all of them."""
    force: bool
    """Whether all is to be made anew, whatever was made before."""


@dataclass(frozen=True)
class Draft:
    """The artifact of one stage before it is published: found in the store, or new and in staging."""

    stage: Stage
    inputs: Mapping[str, Artifact]
    versions: Mapping[str, str]
    """Versions of all that goes into it, sources included."""
    build_key: str
    built: Built | Artifact
    staging: Staging | None = None
    instead_of: str | None = None
    """The build key without the nonce of a forced build."""


def assets_of(*stages: Stage) -> dg.AssetsDefinition:
    """The assets of some stages with the same inputs, made and published by one step."""
    first = stages[0]

    @dg.multi_asset(
        name=first.step_name,
        ins={name: dg.AssetIn(key=dg.AssetKey([first.task.name, name])) for name in first.inputs},
        outs={stage.asset: stage.out() for stage in stages},
        check_specs=[spec for stage in stages for spec in stage.check_specs],
        required_resource_keys=RESOURCES,
        config_schema={**FORCE, **first.settings},
        pool=first.pool,
        op_tags={_PRIORITY: "-1"} if first.aside else None,
    )
    def step(context: dg.AssetExecutionContext, **inputs: Artifact) -> Iterator[Event]:
        yield from publish(context, stages, inputs)

    return step


def publish(
    context: dg.AssetExecutionContext, stages: Sequence[Stage], inputs: Mapping[str, Artifact]
) -> Iterator[Event]:
    """Make the artifacts of one step and publish all of them, or none.

    An artifact whose build key is in the store is reused. The others are written to staging and audited; if a
    critical check fails anywhere in the step, nothing is published, the refused artifacts are kept aside for
    inspection, and the last good versions stay current. What the launchpad was given holds for this run alone.

    However the step ends, an interrupt included, no staging directory and no lock outlives it.

    Raises:
        dg.Failure: a critical check failed, the run was cancelled, or an error was raised (what, where, what to do).
    """
    names = ", ".join(f"{stage.task.name}/{stage.asset}" for stage in stages)
    with told_as_failures(f"making {names}"):
        tell_reason(context)
        check_settings(context.run.run_config)
        given = context.op_execution_context.op_config
        stages = [stage.with_settings(stage, given) if stage.with_settings else stage for stage in stages]
        store: ArtifactStore = context.resources.artifact_store.open()
        shared: dict[str, Any] = {}
        attempts = Attempts(context, stages, inputs)
        with ExitStack() as stack:
            stack.enter_context(attempts.noting_failures())
            for path in {stage.lock(): None for stage in stages if stage.lock}:
                stack.enter_context(flock(path, _waiting(context, f"{names}: another process has the lock")))
            drafts = []
            for stage in stages:
                drafts.append(
                    _draft(context, stack, stage, inputs, shared, attempts=attempts, force=given["force"])
                )
            for draft in drafts:
                built = draft.built
                for outcome in built.outcomes if isinstance(built, Built) else built.manifest["checks"]:
                    yield _check_result(draft.stage, outcome)
            refused = [draft for draft in drafts if _failed(draft)]
            if refused:
                raise _refusal(store, refused)
            for draft in drafts:
                if isinstance(draft.built, Built) and draft.built.before_commit is not None:
                    draft.built.before_commit()
            published = [_commit(store, draft) for draft in drafts]
            attempts.made({draft.stage.asset: draft.versions for draft in drafts})
        for draft, artifact in zip(drafts, published, strict=True):
            if isinstance(draft.built, Built):
                context.log.info(f"published {artifact.path}")
            yield _result(draft, artifact)


def _draft(
    context: dg.AssetExecutionContext,
    stack: ExitStack,
    stage: Stage,
    inputs: Mapping[str, Artifact],
    shared: dict[str, Any],
    *,
    attempts: Attempts,
    force: bool,
) -> Draft:
    """The artifact in the store that has the stage's build key; else a new one, in staging."""
    store: ArtifactStore = context.resources.artifact_store.open()
    name = f"{stage.task.name}/{stage.asset}"
    sources = dict(stage.sources(shared) if stage.sources else {})
    sources |= stage.history(context, stage, inputs) if stage.history else {}
    versions = {each: artifact.data_version for each, artifact in inputs.items()} | sources
    of_build = partial(
        build_key,
        stage=stage.asset,
        code_version=stage.code_version,
        config=dict(stage.config),
        inputs=versions,
        seed=stage.seed,
    )
    key, usual = of_build(nonce=context.run_id if force else None), of_build()
    waiting = _waiting(context, f"{name}: another run is making the same artifact")
    stack.enter_context(store.building(stage.task.name, stage.asset, key, on_wait=waiting))
    found = store.find(stage.task.name, stage.asset, key)
    if found is not None:
        context.log.info(f"{name}: nothing that goes into it has changed; reused {found.data_version}")
        return Draft(stage, inputs, versions, key, found)
    if stage.loads:
        load(*stage.loads)
    attempts.begin(stage.asset, versions)
    make_worker_ready(context, stage.key, stage.task.config.task_type)
    staging = stack.enter_context(store.staging(stage.task.name, stage.asset))
    started = time.perf_counter()
    built = stage.build(Step(context, stage, inputs, sources, key, staging, shared, force))
    if built.seconds is None:
        built = replace(built, seconds=time.perf_counter() - started)
    return Draft(stage, inputs, versions, key, built, staging, instead_of=usual if force else None)


def _waiting(context: dg.AssetExecutionContext, why: str) -> Callable[[], None]:
    """What is called now and then while a lock is waited for."""

    def waiting() -> None:
        context.log.info(f"{why}; waiting for it")
        if run_is_over(context):
            raise dg.Failure("the run was cancelled while it waited for another one", allow_retries=False)

    return waiting


def _failed(draft: Draft) -> list[CheckOutcome]:
    """The critical checks that a new artifact has failed; what is reused has passed them before."""
    outcomes = draft.built.outcomes if isinstance(draft.built, Built) else ()
    return [outcome for outcome in outcomes if outcome.severity == "critical" and not outcome.passed]


def _refusal(store: ArtifactStore, refused: Sequence[Draft]) -> dg.Failure:
    reasons: list[str] = []
    kept: list[str] = []
    shown: dict[str, Any] = {}
    for draft in refused:
        failed, built = _failed(draft), draft.built
        assert draft.staging is not None and isinstance(built, Built)  # noqa: S101 - see `_failed`
        path = store.refuse(
            draft.staging,
            reasons=[outcome.as_dict() for outcome in failed],
            inputs=draft.versions,
            summary=dict(built.summary),
        )
        asset = draft.stage.asset
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


def _commit(store: ArtifactStore, draft: Draft) -> Artifact:
    stage, built = draft.stage, draft.built
    if isinstance(built, Artifact):
        return built
    assert draft.staging is not None  # noqa: S101 - only what was reused has none
    return store.commit(
        draft.staging,
        data_version=built.data_version,
        build_key=draft.build_key,
        instead_of=draft.instead_of,
        inputs=draft.versions,
        config=dict(stage.config),
        code_version=stage.code_version,
        summary=dict(built.summary),
        checks=[outcome.as_dict() for outcome in built.outcomes],
        seconds=built.seconds,
        libraries=library_versions(stage.libraries),
        seed=stage.seed,
    )


def _result(draft: Draft, artifact: Artifact) -> dg.MaterializeResult:
    stage = draft.stage
    # What was read is what is recorded: Dagster would otherwise look "latest" up by itself.
    tags = {
        f"dagster/input_data_version/{stage.task.name}/{name}": upstream.data_version
        for name, upstream in draft.inputs.items()
    }
    if stage.watch is not None:
        tags[SOURCES_TAG] = stage.watch.version(draft.versions)
    return dg.MaterializeResult(
        asset_key=stage.key,
        value=artifact,
        data_version=dg.DataVersion(artifact.data_version),
        tags=tags,
        metadata={
            **stage.describe(artifact),
            **(draft.built.metadata if isinstance(draft.built, Built) else {}),
            "reused": isinstance(draft.built, Artifact),
            "build_key": artifact.build_key,
            "build_seconds": metadata.rounded(artifact.manifest.get("seconds", 0.0)),
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
