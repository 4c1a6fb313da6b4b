"""The pages that lead by the hand: each command of the tutorial and of the failing check, in a copy of the checkout.

The blocks mean: `bash`, run it (`bash fails`: it must fail); `text`, lines of what the command before printed, in this
order; `yaml` and `csv`, contents of the file that is named in the first comment or behind the word; a `csv` without a
name is the beginning of the tutorial's data. In expected lines `…` stands for anything, and a number for any number:
a model's scores differ in the last digit from one sort of CPU to another.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from jsonschema import Draft202012Validator

from ft_assets.paths import PROJECT
from ft_assets.sources import identity
from ft_assets.task import TaskConfig
from ft_assets_tests.conftest import CACHE, copy_package, sample
from ft_assets_tests.tickets import ASSETS

DOCS = PROJECT / "docs"
COPIED = (
    "Makefile",
    "constraints.txt",
    "pyproject.toml",
    "workspace.yaml",
    "dagster.yaml",
    "ft_assets",
    "docs",
)
# Set by `make test` for its own data directory, or by its make for itself.
NOT_PASSED_ON = ("FT_DATA_DIR", "FT_STORE", "DAGSTER_HOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS")
BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Walk:
    """A walk through the page: the copy of the checkout, and what each command printed."""

    checkout: Path
    state: Path
    """The environment of the terminal, between two commands."""
    printed: list[tuple[str, str, list[str]]] = field(default_factory=list)
    """Command, its output, and the lines that the page expects of it."""

    def follow(self, page: Path) -> "Walk":
        """Do what the blocks of a page say."""
        for language, about, content in BLOCK.findall(page.read_text(encoding="utf-8")):
            if language == "bash":
                done = run(content, self.checkout, self.state)
                assert (done.returncode != 0) == (about == "fails"), f"{content}\n{done.stdout}"
                self.printed.append((content, done.stdout, []))
            elif language == "text":
                self.printed[-1][2].extend(content.splitlines())
            elif language == "yaml" or about:
                name = about or content.splitlines()[0].removeprefix("# ")
                (self.checkout / name).write_text(content, encoding="utf-8")
            else:
                data = (DOCS / "tutorial" / "tickets.csv").read_text(encoding="utf-8")
                assert data.startswith(content)
        return self

    def compare(self) -> None:
        """What was printed holds the lines that the page shows, in their order."""
        assert any(expected for _, _, expected in self.printed)
        for command, output, expected in self.printed:
            plain = re.sub(r"\x1b\[[0-9;]*m", "", output)
            lines = iter([" ".join(line.split()) for line in plain.splitlines()])
            for line in expected:
                assert any(pattern(line).search(found) for found in lines), f"{command}: {line}\n{output}"


def make_checkout(folder: Path) -> Path:
    """A checkout in which `make setup` finds everything installed and `make fetch` everything in the cache."""
    for name in COPIED:
        source = PROJECT / name
        if name == "ft_assets":
            copy_package(folder / name)
        elif source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            shutil.copy(source, folder / name)
    environment = folder / ".venv"
    environment.mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != ".installed":
            (environment / part.name).symlink_to(part)
    (folder / "data" / "cache").mkdir(parents=True)
    (folder / "data" / "cache" / "pypi").symlink_to(CACHE / "pypi")
    (environment / ".installed").touch()  # last: newer than what it is compared with
    return folder


def run(command: str, checkout: Path, state: Path) -> subprocess.CompletedProcess[str]:
    """Run one block as if all were typed into one terminal: the environment is carried on."""
    script = f"set -e\n[ -f {state} ] && source {state}\n{command}\nexport -p > {state}\n"
    environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}
    return subprocess.run(
        ["bash", "-c", script],
        cwd=checkout,
        env={**environment, "PYTHONPATH": str(checkout), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = tmp_path_factory.mktemp("tutorial")
    (folder / "checkout").mkdir()
    return Walk(make_checkout(folder / "checkout"), folder / "state").follow(DOCS / "tutorial.md")


def pattern(line: str) -> re.Pattern[str]:
    """What an expected line matches: white space and numbers count for little, `…` is anything."""
    parts = [re.escape(" ".join(part.split())) for part in line.split("…")]
    return re.compile(re.sub(r"\d+(?:\\\.\d+)?", r"[\\d.]+", ".*".join(parts)))


def test_the_tutorial_shows_what_its_commands_print(walk: Walk) -> None:
    walk.compare()


def test_the_users_yaml_has_at_most_15_lines(walk: Walk) -> None:
    file = walk.checkout / "ft_assets" / "defs" / "support_tickets" / "defs.yaml"
    assert len(file.read_text().splitlines()) <= 15


def test_new_test_rows_gave_a_new_report_and_no_new_model(walk: Walk) -> None:
    with instance_of(walk) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.SUCCESS] * 2
        last = {asset: latest(instance, asset) for asset in ASSETS}
    assert {asset for asset, seen in last.items() if seen["reused"]} == {"base_model", "checkpoint"}
    store = walk.checkout / "data" / "store" / "support_tickets"
    versions = {asset: len(list(store.glob(f"{asset}/*/manifest.json"))) for asset in ASSETS}
    once = {asset for asset, number in versions.items() if number == 1}
    assert once == {"base_model", "checkpoint", "train_split", "validation_split", "quarantine"}
    assert all(number == 2 for asset, number in versions.items() if asset not in once)


def test_the_failing_check_fails_as_its_page_says_and_is_mended_by_its_command(walk: Walk) -> None:
    after = Walk(walk.checkout, walk.state).follow(DOCS / "failing-check.md")
    after.compare()
    with instance_of(walk) as instance:
        states = [run.status for run in instance.get_runs(limit=2)]
        assert states == [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
        # The rows are those of the tutorial's beginning; the card compares them with those that it was about last.
        assert {asset for asset in ASSETS if not latest(instance, asset)["reused"]} == {"data_card"}


@contextmanager
def instance_of(walk: Walk) -> Iterator[dg.DagsterInstance]:
    """The instance that the walk's commands have used: its event log lies where DAGSTER_HOME says."""
    home = walk.checkout / "data" / "dagster"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home))
        with dg.DagsterInstance.get() as instance:
            yield instance


def latest(instance: dg.DagsterInstance, asset: str) -> dict[str, Any]:
    event = instance.get_latest_materialization_event(dg.AssetKey(["support_tickets", asset]))
    assert event is not None and event.asset_materialization is not None
    return {name: value.value for name, value in event.asset_materialization.metadata.items()}


def fragments(page: str) -> list[str]:
    """The YAML blocks of a page."""
    return re.findall(r"^```yaml\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.M | re.S)


PAGES = ("how-to.md", "personal-data.md", "labels.md", "cleaning.md")
HOW_TO = [text for page in PAGES for text in fragments(page)]


@pytest.mark.parametrize("fragment", HOW_TO, ids=lambda text: " ".join(text.split())[:40])
def test_each_fragment_of_the_how_to_pages_can_be_loaded(fragment: str) -> None:
    attributes = sample() | yaml.safe_load(fragment)
    assert not list(Draft202012Validator(TaskConfig.model_json_schema()).iter_errors(attributes))
    for source in TaskConfig.model_validate(attributes).sources:
        if source.path and "://" in source.path:
            assert identity(source.path)  # raises where the form is wrong


def test_the_task_of_the_page_about_models_that_write_can_be_loaded() -> None:
    whole, *parts = map(yaml.safe_load, fragments("language-models.md"))
    for part in ({}, *parts):
        attributes = whole["attributes"] | part
        assert not list(Draft202012Validator(TaskConfig.model_json_schema()).iter_errors(attributes))
        assert TaskConfig.model_validate(attributes).label_names is None


def test_the_task_in_the_readme_is_that_of_the_tutorial() -> None:
    pages = (PROJECT / "README.md", DOCS / "tutorial.md")
    found = [
        re.findall(r"^```yaml\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S) for page in pages
    ]
    assert found[0] == found[1] and len(found[0]) == 1


@pytest.mark.parametrize(
    "page",
    sorted([PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *DOCS.glob("*.md")]),
    ids=lambda page: page.name,
)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    for target, anchor in links(page):
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in headings(path), f"{page.name} links to {target}#{anchor}"


def links(page: Path) -> Iterator[tuple[str, str]]:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        # The pictures are made by driving the UI, after the text.
        if not link.startswith("http") and not link.endswith(".png"):
            target, _, anchor = link.partition("#")
            yield target, anchor


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found}
