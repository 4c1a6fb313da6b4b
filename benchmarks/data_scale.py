"""The data layer at scale: peak memory and time of raw rows to splits, as assets of a task, by the number of rows; and
what one percent more costs.

Each size is materialised by a process of its own, in a new data directory. Memory is what the process holds by itself
(RssAnon, watched from outside): pages of files that it has mapped are the kernel's to drop.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from math import log
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.bars import Bar
from benchmarks.planted import mixed_texts

__all__ = ["measure_append", "measure_scale"]

ROOT = Path(__file__).resolve().parent.parent
MEMORY_MIB = 2_048
EXPONENT = 1.1
APPENDED = 0.05
DIFFERENT = 50_000
ASSETS = (
    "raw_examples",
    "cleaned_examples",
    "labeled_examples",
    "train_split",
    "validation_split",
    "test_split",
)


def measure_scale(sizes: tuple[int, int], seed: int) -> list[Bar]:
    """Peak memory of the larger size, and the power of the rows by which the processor's time grows."""
    with tempfile.TemporaryDirectory(prefix="ft_assets-scale-", dir=os.environ.get("FT_DATA_DIR")) as folder:
        seconds, mib = zip(
            *(_materialised(Path(folder, str(rows)), rows, seed) for rows in sizes), strict=True
        )
    power = log(seconds[1] / seconds[0]) / log(sizes[1] / sizes[0])
    return [
        Bar(f"scale: memory of {sizes[1]:,} rows", max(mib), MEMORY_MIB, False, "MiB"),
        Bar(
            f"scale: time grows with rows to the power of ({sizes[0]:,} to {sizes[1]:,})",
            power,
            EXPONENT,
            False,
        ),
    ]


def measure_append(rows: int, seed: int) -> list[Bar]:
    """Time of all data stages after a file with one percent more rows, as a share of the time before; and the rows that
    are in another split then."""
    with tempfile.TemporaryDirectory(prefix="ft_assets-append-", dir=os.environ.get("FT_DATA_DIR")) as folder:
        data = Path(folder)
        (data / "incoming").mkdir()
        _write(data / "incoming" / "rows-1.parquet", rows, seed)
        first, _ = _run(data, f"append: {rows:,} rows")
        before = _splits(data)
        more = rows // 100
        _write(data / "incoming" / "rows-2.parquet", more, seed + 1)
        second, _ = _run(data, f"append: {more:,} more")
        after = _splits(data)
    moved = sum(after.get(row, split) != split for row, split in before.items())
    return [
        Bar(f"append: time of 1 % more than {rows:,} rows, of the first", second / first, APPENDED, False),
        Bar("append: rows that are in another split", moved, 0, False),
    ]


def _splits(data: Path) -> dict[str, str]:
    """The split of each row, of those that were made last."""
    found: dict[str, str] = {}
    for name in ("train", "validation", "test"):
        made = data.glob(f"store/scale/{name}_split/*/manifest.json")
        newest = max(made, key=lambda path: json.loads(path.read_bytes())["created"])
        ids = pq.read_table(newest.parent / "examples.parquet", columns=["example_id"])["example_id"]
        found |= dict.fromkeys(ids.to_pylist(), name)
    return found


def _materialised(data: Path, rows: int, seed: int) -> tuple[float, float]:
    """Processor seconds and peak MiB of all data stages of a new task."""
    (data / "incoming").mkdir(parents=True)
    size = _write(data / "incoming" / "rows-1.parquet", rows, seed)
    told = _run(data, f"scale: {rows:,} rows ({size / 2**20:,.0f} MiB of text)")
    shutil.rmtree(data)
    return told


def _run(data: Path, what: str) -> tuple[float, float]:
    """Processor seconds and peak MiB of a process that materialises the task in this data directory."""
    environment = {**os.environ, "FT_DATA_DIR": str(data), "DAGSTER_DISABLE_TELEMETRY": "1"}
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "benchmarks.data_scale"],
            cwd=ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        peak = _watched(process)
        output.seek(0)
        printed = output.read()
    if process.returncode:
        raise RuntimeError(f"{what}: failed:\n{printed[-6000:]}")
    told = json.loads(printed.splitlines()[-1])
    wall = time.perf_counter() - started
    print(
        f"{what}: {peak:,.0f} MiB, {told['cpu']:,.0f} CPU seconds, {wall:,.0f} s; of which {told['stages']}"
    )
    return told["cpu"], peak


def _watched(process: subprocess.Popen[bytes]) -> float:
    """Largest RssAnon of the process in MiB, ten times a second."""
    peak = 0
    while process.poll() is None:
        try:
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        except OSError:
            break
        peak = max([peak, *(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))])
        time.sleep(0.1)
    process.wait()
    return peak / 1024


def _write(path: Path, rows: int, seed: int) -> int:
    """A Parquet file of mixed rows, a tenth of them seen before: as many different texts as are drawn. Where they come
    again, every few words are told apart, or all copies would be near duplicates. Gives the bytes of text."""
    draw, size = random.Random(seed), 0
    texts = list(mixed_texts(draw, min(rows, DIFFERENT)))
    schema = pa.schema([("text", pa.string()), ("label", pa.string()), ("author", pa.string())])
    with pq.ParquetWriter(path, schema, compression="zstd") as file:
        for start in range(0, rows, DIFFERENT):
            mark = "".join(chr(97 + int(digit)) for digit in f"{start // DIFFERENT:03d}")
            part = [
                f"{text} {mark}".replace(" of my ", f" of {mark} my ").replace(" shop ", f" {mark} shop ")
                if text.strip()
                else text
                for text in texts[: rows - start]
            ]
            size += sum(map(len, part))
            labels = [f"label {len(text.split()[0]) % 3}" if text.split() else "label 0" for text in part]
            authors = [f"author {(start + place) // 7}" for place in range(len(part))]
            file.write_table(pa.table([part, labels, authors], schema=schema))
    return size


def _task() -> None:
    """Materialise the data stages of a task in this process; print the seconds of each as JSON."""
    import dagster as dg

    from ft_assets.components.fine_tuning_task import build_assets
    from ft_assets.components.resources import default_resources
    from ft_assets.components.stage import Task
    from ft_assets.paths import data_dir
    from ft_assets.task import TaskConfig

    config = TaskConfig.model_validate(
        {
            "task_type": "text-classification",
            "sources": [{"path": "incoming/*.parquet", "max_decoded_mib": 100_000}],
            "columns": {"group": "author"},
            "labels": [f"label {number}" for number in range(3)],
            "base_model": str(data_dir()),
        }
    )
    definitions = dg.Definitions(
        assets=build_assets(Task("scale", config, data_dir())),
        resources=default_resources(),
        executor=dg.in_process_executor,
    )
    # It has to know in the second run what the first one has made: that is what is taken over.
    history = data_dir() / "dagster"
    history.mkdir(exist_ok=True)
    with dg.DagsterInstance.local_temp(str(history)) as instance:
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance, asset_selection=[dg.AssetKey(["scale", name]) for name in ASSETS]
        )
    manifests = (json.loads(path.read_bytes()) for path in data_dir().glob("store/scale/*/*/manifest.json"))
    made = sorted(manifests, key=lambda manifest: manifest["created"])
    seconds = {manifest["asset"]: round(manifest["seconds"], 1) for manifest in made}
    print(json.dumps({"cpu": time.process_time(), "stages": seconds}))


if __name__ == "__main__":
    _task()
