"""The whole system as processes of its own, killed where no run can help itself: the daemon, and the code server."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from ft_assets_tests.live import LiveSystem
from ft_assets_tests.runs import eventually

# Some looks of the daemon (10 s apart), a dead run found (30 s) and run again; a busy machine takes several times that.
REST_SECONDS = 600
STARTED = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])


@pytest.fixture
def system(tiny_bert_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveSystem]:
    """A small task that retrains by itself, current, with its daemon."""
    # A short path: that of a code server's socket may have 108 characters.
    with tempfile.TemporaryDirectory(prefix="ft-live-") as folder:
        data = Path(folder) / "data"
        monkeypatch.setenv("FT_DATA_DIR", str(data))
        monkeypatch.setenv("DAGSTER_HOME", str(data / "dagster"))
        monkeypatch.setenv("TMPDIR", folder)  # tells its workers from those of other tests
        monkeypatch.setattr(tempfile, "tempdir", None)
        made = LiveSystem(Path(folder), tiny_bert_dir)
        made.begin()
        made.start()
        try:
            yield made
        finally:
            made.stop()


def test_a_killed_daemon_and_a_killed_code_server_lose_no_update(system: LiveSystem) -> None:
    with system.instance() as instance:
        assert system.wait_until_current(instance, REST_SECONDS) is not None, system.due(instance)
        for role in ("daemon", "code server"):
            before = {run.run_id for run in instance.get_runs()}
            system.drop()
            eventually(
                lambda known=before: {run.run_id for run in instance.get_runs(STARTED)} - known, REST_SECONDS
            )
            assert system.kill(role, random.Random(0)), f"there was no {role}"
            assert system.wait_until_current(instance, REST_SECONDS) is not None, system.due(instance)
        assert system.slots_held(instance) == 0
        assert system.damage() == []
        eventually(lambda: not system.workers())
