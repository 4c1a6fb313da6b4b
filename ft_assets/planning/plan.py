"""Which assets are due, which of them may run now, and why the others wait.

Level-triggered: an asset is due exactly when the versions that it last recorded (inputs, code and configuration,
sources) differ from those that hold now. Nothing is remembered between two plans, so nothing can be forgotten: not by
a restart, a lost cursor or an event that came while a run was under way.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ft_assets.versions import hash_json

__all__ = ["Asset", "Layer", "Plan", "Recorded", "make_plan", "wanted"]

Layer = Literal["data", "model"]


@dataclass(frozen=True)
class Recorded:
    """What an asset's latest materialisation recorded."""

    data_version: str
    code_version: str | None
    inputs: Mapping[str, str]
    """Data version of each input that it read."""
    sources: str | None = None
    """Hash of the content of what it read from outside the graph."""


@dataclass(frozen=True)
class Asset:
    """An asset as it is defined now, beside what it last recorded."""

    name: str
    layer: Layer
    """data: always follows. model: follows by the task's policy."""
    code_version: str
    """Of code and configuration."""
    inputs: tuple[str, ...] = ()
    recorded: Recorded | None = None
    sources: str | None = None
    """Hash of what its sources hold now; None: it has none, or they cannot be told without running it."""
    unready: str | None = None
    """Why it cannot be made now, such as a file that still grows."""
    step: str = ""
    """Assets of one step can only be made together."""
    gone: bool = False
    """Whether the artifact that it last recorded is no longer in the store."""


@dataclass(frozen=True)
class Plan:
    """What to run, and the reasons."""

    due: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Why each due asset is due."""
    held: Mapping[str, str] = field(default_factory=dict)
    """Why a due asset does not run now."""
    run: tuple[str, ...] = ()
    """Assets to make now, in the order of the lineage: those that are due, and those that follow at once."""
    wants: Mapping[str, str] = field(default_factory=dict)
    """What those that are due are made of (`wanted`), where that is known before the run."""
    followers: frozenset[str] = frozenset()
    """Assets of the run that follow from others of it."""
    unclear: Mapping[str, str] = field(default_factory=dict)
    """Why it cannot be told whether an asset is due: a file still grows, say."""

    @property
    def waiting(self) -> dict[str, str]:
        """Everything that waits, and why."""
        return {**self.held, **self.unclear}

    @property
    def reasons(self) -> list[str]:
        """Why the run is needed, a text for each cause; what follows from another one of them is left out."""
        return [
            f"{name}: {reason}"
            for name in self.run
            if name not in self.followers
            for reason in self.due[name]
        ]


def wanted(asset: Asset, versions: Mapping[str, str]) -> str:
    """Fingerprint of what an asset would be made of: the same again gives the same again, failures included.

    Args:
        asset: the asset.
        versions: data version of each asset now.
    """
    inputs = {name: versions[name] for name in asset.inputs}
    return hash_json([asset.name, asset.code_version, inputs, asset.sources])[:24]


def make_plan(
    assets: Sequence[Asset],
    *,
    in_flight: Mapping[str, str],
    failed: Callable[[str, str], str | None],
    hold_model: Callable[[Mapping[str, Sequence[str]]], str | None],
) -> Plan:
    """Decide what to run.

    The data layer goes first: whether the model has to follow is only known when the splits have been made. What is
    downstream of a due asset in its own layer goes into the same run, where it is reused if nothing has changed.

    Args:
        assets: of one task, upstream before downstream.
        in_flight: assets that an unfinished run is making, each with that run.
        failed: takes an asset and what it wants (`wanted`); tells why it is not to be tried again, or None.
        hold_model: takes the due assets of the model layer with their reasons; tells why they wait, or None.
    """
    versions = {asset.name: asset.recorded.data_version for asset in assets if asset.recorded}
    layers = {asset.name: asset.layer for asset in assets}
    due: dict[str, list[str]] = {}
    stopped: dict[str, str] = {}  # what keeps it, and all that is downstream of it, waiting
    chosen: dict[str, None] = {}
    for asset in assets:
        reasons = _reasons(asset, versions)
        if reasons:
            due[asset.name] = reasons
        coming = [name for name in asset.inputs if name in chosen]
        first = next((name for name in coming if layers[name] != asset.layer), None)
        why = next((stopped[name] for name in asset.inputs if name in stopped), None)
        if asset.name in in_flight:
            why = f"run {in_flight[asset.name][:8]} is making {asset.name}"
        elif why is None and first is not None:
            why = f"{first} comes first"
        elif why is None and (reasons or coming):
            why = asset.unready or _obstacle(asset, versions, coming, failed)
        if why is not None:
            stopped[asset.name] = why
        elif reasons or coming:
            chosen[asset.name] = None
    for step in {asset.step for asset in assets if asset.step}:
        together = [asset.name for asset in assets if asset.step == step]
        if (why := next((stopped[name] for name in together if name in stopped), None)) is not None:
            for name in together:
                stopped.setdefault(name, why)
                chosen.pop(name, None)
    model = {name: due[name] for name in chosen if layers[name] == "model" and name in due}
    why = hold_model(model) if model else None
    if why is not None:
        waiting = [name for name in chosen if layers[name] == "model"]
        stopped |= dict.fromkeys(waiting, why)
        for name in waiting:
            del chosen[name]
    steps = {asset.step for asset in assets if asset.step and asset.name in chosen}
    run = tuple(asset.name for asset in assets if asset.name in chosen or asset.step in steps)
    held = {name: stopped[name] for name in due if name in stopped and name not in run}
    followers = {asset.name for asset in assets if asset.name not in due or set(asset.inputs) & set(run)}
    wants = {
        asset.name: wanted(asset, versions)
        for asset in assets
        if asset.name in run and asset.name not in followers
    }
    unclear = {asset.name: asset.unready for asset in assets if asset.unready and asset.name not in due}
    return Plan(due, held, run, wants, frozenset(followers), unclear)


def _obstacle(
    asset: Asset, versions: Mapping[str, str], coming: Sequence[str], failed: Callable[[str, str], str | None]
) -> str | None:
    """Why an asset that is due cannot be made, though nothing upstream is in the way."""
    missing = [name for name in asset.inputs if name not in versions and name not in coming]
    if missing:
        return f"{missing[0]} has not been made yet"
    return None if coming else failed(asset.name, wanted(asset, versions))


def _reasons(asset: Asset, versions: Mapping[str, str]) -> list[str]:
    recorded = asset.recorded
    if recorded is None:
        return ["it has never been made"]
    reasons = [
        f"{name} changed from {(recorded.inputs.get(name) or 'nothing')[:8]} to {versions[name][:8]}"
        for name in asset.inputs
        if name in versions and recorded.inputs.get(name) != versions[name]
    ]
    if asset.gone:
        reasons.append("its artifact is no longer in the store")
    if asset.sources is not None and asset.sources != recorded.sources:
        reasons.append("what its sources hold has changed")
    if asset.code_version != recorded.code_version:
        reasons.append(_what_changed(recorded.code_version, asset.code_version))
    return reasons


def _what_changed(before: str | None, now: str) -> str:
    """A code version is made of two hashes: of the code, and of the stage's share of the configuration."""
    old, new = (before or "-").split("-"), now.split("-")
    parts = [name for name, a, b in zip(("code", "configuration"), old, new, strict=False) if a != b]
    return f"its {' and '.join(parts) or 'code'} changed"
