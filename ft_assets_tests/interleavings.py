"""Random interleavings of changes, runs, failures, kills, cancels and restarts, on the real machinery.

At rest every asset must hold what follows from the source and the settings of that moment, computed here and not
looked up; and no run may have been asked for without a cause.
"""

import os
import random
import time
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg

from ft_assets.components.stage import SOURCES_TAG, Task
from ft_assets.versions import file_sha256
from ft_assets_tests.chain import Chain, texts
from ft_assets_tests.flow import Flow, names

__all__ = ["Outcome", "interleave"]

WORDS = ("a", "b", "c", "evil")


class Killed(BaseException):
    """Ends a run in the middle of a build as SIGKILL does: nothing of the run's own is done after it."""


@dataclass
class Outcome:
    """What one interleaving has shown."""

    seed: int
    runs: int = 0
    stale: list[str] = field(default_factory=list)
    """Assets that were not current at rest."""
    without_cause: list[str] = field(default_factory=list)
    """Runs that were asked for while nothing in them was due."""
    story: list[str] = field(default_factory=list)
    """What was done, to repeat it by hand."""


def interleave(instance: dg.DagsterInstance, task: Task, folder: Path, seed: int, length: int = 8) -> Outcome:
    """Do `length` random things to a chain of four assets, then mend all faults and let it come to rest."""
    return _Interleaving(instance, task, folder, seed).play(length)


class _Interleaving:
    def __init__(self, instance: dg.DagsterInstance, task: Task, folder: Path, seed: int) -> None:
        self.draw = random.Random(seed)
        self.instance = instance
        self.chain = Chain(task, folder / f"source-{seed}.txt")
        self.found = Outcome(seed)
        self.write("a")
        self.flow = Flow(instance, self.chain)

    def play(self, length: int) -> Outcome:
        for _ in range(length):
            self.draw.choices(
                [
                    self.change_source,
                    self.change_setting,
                    self.tick,
                    self.break_or_mend,
                    self.restart,
                    self.by_hand,
                ],
                weights=[3, 2, 6, 1, 1, 1],
            )[0]()
        self.come_to_rest()
        return self.found

    # --- what may happen ---

    def write(self, text: str) -> None:
        self.found.story.append(f"source: {text}")
        self.chain.file.write_text(text)
        os.utime(self.chain.file, (time.time() - 60,) * 2)

    def change_source(self) -> None:
        self.write(self.draw.choice(WORDS))

    def change_setting(self) -> None:
        asset = self.draw.choice(self.chain.names)
        self.chain.settings[asset] = self.draw.choice("xyz")
        if self.draw.random() < 0.3:
            self.chain.dull ^= {asset}
        self.found.story.append(f"setting of {asset}")
        self.flow.use(self.chain)

    def break_or_mend(self) -> None:
        if self.chain.faults:
            self.chain.faults.clear()
        else:
            self.chain.faults[self.draw.choice(self.chain.names)] = "out of order"
        self.found.story.append(f"faults: {list(self.chain.faults)}")

    def restart(self) -> None:
        self.found.story.append("restart")
        self.flow = Flow(self.instance, self.chain)

    def by_hand(self) -> None:
        assets = [name for name in self.chain.names if self.draw.random() < 0.5]
        if assets:
            self.found.story.append(f"by hand: {assets}")
            self.materialize(assets)

    def tick(self) -> None:
        requests, _told = self.flow.look()
        for request in requests:
            self.judge(request)
            self.found.story.append(f"run: {names(request.asset_selection or ())}")
            self.found.runs += 1
            self.disturb()
            try:
                self.flow.carry_out(request)
            except Killed:
                self.end_of_process()
            finally:
                self.chain.during = lambda asset: None

    def disturb(self) -> None:
        """Something may happen in the middle of one build of the coming run."""
        what = self.draw.choices([None, self.change_source, self.kill], weights=[6, 2, 2])[0]
        at = self.draw.choice(self.chain.names)

        def during(asset: str) -> None:
            if asset == at and what is not None:
                self.chain.during = lambda asset: None
                self.found.story.append(f"while {asset} is made:")
                what()

        self.chain.during = during

    def kill(self) -> None:
        self.found.story.append("killed")
        raise Killed

    def end_of_process(self) -> None:
        """What becomes of a run whose process is gone: found and marked, or somebody cancels it."""
        live = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
        for run in self.instance.get_runs(dg.RunsFilter(statuses=live)):
            if self.draw.random() < 0.7:
                self.instance.report_run_failed(run)
            else:
                self.found.story.append("cancelled")
                self.instance.report_run_canceled(run)

    # --- what must hold ---

    def judge(self, request: dg.RunRequest) -> None:
        asked = names(request.asset_selection or ())
        if not any(self.is_due(name) for name in asked):
            self.found.without_cause.append(f"{asked} after {self.found.story}")

    def is_due(self, name: str) -> bool:
        """By what Dagster itself has recorded, without the planner."""
        tags = self.tags(name)
        stage = next(stage for stage in self.chain.stages() if stage.asset == name)
        if not tags or tags["dagster/code_version"] != stage.code_version:
            return True
        prefix = f"dagster/input_data_version/{self.chain.task.name}"
        if any(
            tags[f"{prefix}/{each}"] != self.tags(each).get("dagster/data_version") for each in stage.inputs
        ):
            return True
        # By the content of the source, not by what came out of it: an asset that ignores it must be made to know that.
        return stage.watch is not None and tags[SOURCES_TAG] != stage.watch.version(
            stage.watch.look(file_sha256)
        )

    def tags(self, name: str) -> dict[str, str]:
        event = self.instance.get_latest_materialization_event(dg.AssetKey([self.chain.task.name, name]))
        made = event.asset_materialization if event else None
        return dict(made.tags or {}) if made else {}

    def come_to_rest(self) -> None:
        """All faults are mended, and a person runs by hand what failed or was cancelled, as the page says."""
        self.chain.faults.clear()
        if "evil" in self.chain.file.read_text():
            self.write("mended")
        for _ in range(20):
            requests, _told = self.flow.look()
            for request in requests:
                self.judge(request)
                self.found.runs += 1
                self.flow.carry_out(request)
            if not requests:
                due = [name for name in self.chain.names if self.is_due(name)]
                if not due:
                    break
                self.found.story.append(f"by hand at the end: {due[:1]}")
                self.materialize(due[:1])
        now, wanted = texts(self.instance, self.chain), self.chain.expected()
        self.found.stale = [name for name in self.chain.names if now.get(name) != wanted[name]]

    def materialize(self, assets: list[str]) -> None:
        job = self.flow.definitions.resolve_implicit_global_asset_job_def()
        keys = [dg.AssetKey([self.chain.task.name, name]) for name in assets]
        job.execute_in_process(instance=self.instance, asset_selection=keys, raise_on_error=False)
