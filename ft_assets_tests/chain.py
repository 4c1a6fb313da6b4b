"""Assets that cost nothing to make, on the real machinery: stages, store, checks, planner, runs of Dagster.

`source → one → two → …`, the last of them a model that follows by the task's policy. Each asset holds the text of its
input and its own setting; an asset in `dull` holds its setting alone, so that the wave ends there.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from ft_assets.artifacts import Artifact
from ft_assets.components.resources import default_resources
from ft_assets.components.stage import Built, Rule, Stage, Step, Task, Watch, assets_of
from ft_assets.data.contracts import CheckOutcome
from ft_assets.errors import UserError
from ft_assets.versions import file_sha256, hash_json

__all__ = ["Chain", "texts"]

RULE = Rule("no_evil", "the text holds nothing evil", "critical")


@dataclass
class Chain:
    """What the stages are made of now; change it as a user changes files, settings and code.

    Args:
        task: any task; its policy holds for the last asset.
        file: the source.
        length: how many assets.
    """

    task: Task
    file: Path
    length: int = 4
    settings: dict[str, str] = field(default_factory=dict)
    dull: set[str] = field(default_factory=set)
    faults: dict[str, str] = field(default_factory=dict)
    """What an asset's build raises, as long as it is here."""
    during: Callable[[str], None] = lambda asset: None
    """Called in the middle of a build."""
    made: list[str] = field(default_factory=list)
    """Every asset that was built, in order; reuse is no build."""

    @property
    def names(self) -> list[str]:
        return [f"asset_{place}" for place in range(self.length)]

    def stages(self) -> list[Stage]:
        """The stages as they are defined now."""
        return [self._stage(place, name) for place, name in enumerate(self.names)]

    def definitions(self) -> dg.Definitions:
        """A code location with these stages."""
        return dg.Definitions(
            assets=[assets_of(stage) for stage in self.stages()],
            resources=default_resources(),
            executor=dg.in_process_executor,
        )

    def expected(self) -> dict[str, str]:
        """The text of each asset if everything is current: computed here, not looked up."""
        found: dict[str, str] = {}
        text = self.file.read_text()
        for name in self.names:
            text = self._text(name, text)
            found[name] = text
        return found

    def _text(self, name: str, text: str) -> str:
        setting = self.settings.get(name, "-")
        return setting if name in self.dull else f"{text} {setting}"

    def _stage(self, place: int, name: str) -> Stage:
        first, last = place == 0, place == self.length - 1
        watch = Watch(("source:file",), self._identity) if first else None
        return Stage(
            task=self.task,
            asset=name,
            description="a link of the chain",
            kinds=frozenset(),
            code=("ft_assets.errors",),
            config={"setting": self.settings.get(name, "-"), "dull": name in self.dull},
            build=self._build,
            inputs=() if first else (self.names[place - 1],),
            sources=(lambda shared: self._identity(file_sha256)) if first else None,
            watch=watch,
            expectations=(RULE,),
            describe=lambda artifact: {},
            layer="model" if last else "data",
        )

    def _identity(self, sha256: Callable[[Path], str]) -> dict[str, str]:
        return {"source:file": sha256(self.file)}

    def _build(self, step: Step) -> Built:
        name = step.stage.asset
        [text] = [_read(artifact) for artifact in step.inputs.values()] or [self.file.read_text()]
        self.during(name)
        if name in self.faults:
            raise UserError(self.faults[name], where=name)
        self.made.append(name)
        made = self._text(name, text)
        step.staging.write_text("text.txt", made)
        evil = "evil" in made
        outcome = CheckOutcome(
            RULE.name,
            not evil,
            RULE.severity,
            RULE.description,
            1,
            int(evil),
            [],
            "it is evil" if evil else "",
        )
        return Built(hash_json(made), {}, [outcome])


def _read(artifact: Artifact) -> str:
    return artifact.file("text.txt").read_text()


def texts(instance: dg.DagsterInstance, chain: Chain) -> dict[str, Any]:
    """The text that each asset has now."""
    store = default_resources()["artifact_store"].open()
    found = {}
    for name in chain.names:
        event = instance.get_latest_materialization_event(dg.AssetKey([chain.task.name, name]))
        made = event.asset_materialization if event else None
        if made is not None:
            found[name] = _read(store.open(chain.task.name, name, (made.tags or {})["dagster/data_version"]))
    return found
