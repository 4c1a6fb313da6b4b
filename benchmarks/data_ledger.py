"""The split ledger, measured: rows assigned, recorded, read again; one percent more; and that no row moves.

Rows are as the splits' stage makes them of labelled examples: numbers, of which a third stand in groups of five. What
it takes to make these of texts is measured with the stages (`scale`).
"""

import json
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bars import Bar

ROWS = 5_000_000
MORE = 0.01
SHARES = (0.15, 0.15, 0.7)
MEMORY_GOAL = 2.0
"""GiB: the whole of the data layer has to do with it."""
_MIX = 0x9E3779B97F4A7C15


def measure_ledger(rows: int, root: Path) -> list[Bar]:
    """Each of three processes does a part, so that memory is that of the part alone. Seconds are the processor's."""
    with tempfile.TemporaryDirectory(prefix="ledger-") as folder:
        first, again, more = (_in_a_process(root, part, rows, folder) for part in ("first", "again", "more"))
    print(f"ledger: {rows:,} rows, a third of them in groups of five, seven labels")
    print(f"  new ledger: assigned in {first['assign']:.1f} s, recorded in {first['record']:.1f} s "
          f"({first['megabytes']:.0f} MB on disk); at most {first['memory']:.2f} GiB")  # fmt: skip
    print(f"  the same rows: ledger read and verified in {again['read']:.1f} s ({again['entries']:.0f} MB in memory), "
          f"assigned in {again['assign']:.1f} s; at most {again['memory']:.2f} GiB")  # fmt: skip
    print(f"  1 % more: assigned in {more['assign']:.1f} s; at most {more['memory']:.2f} GiB")
    moved, off = again["moved"] + more["moved"], first["off"]
    return [
        Bar("ledger: rows that change their split on an append of 1 %", moved, 0, False, "rows"),
        Bar("ledger: share of a label off the wish by", off, 0.001, False),
        Bar(
            "ledger: memory", max(part["memory"] for part in (first, again, more)), MEMORY_GOAL, False, "GiB"
        ),
    ]


def _in_a_process(root: Path, part: str, rows: int, folder: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.data_ledger", part, str(rows), folder]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def made_rows(rows: int, start: int = 0) -> Any:
    """Rows from a number on: the same number is the same row. Every third group of five rows is one cluster."""
    import polars as pl

    from ft_assets.data.ledger.keys import ROW, TEXT
    from ft_assets.data.ledger.stratify import mixed

    number = np.arange(start, start + rows, dtype=np.uint64)
    group = (number // np.uint64(5)).astype(np.int64)
    is_grouped = group % 3 == 0
    cluster = np.where(is_grouped, group * 5, number.astype(np.int64))
    high = pl.Series(mixed(number).view(np.int64)).cast(TEXT)
    return pl.DataFrame(
        {
            "example": pl.Series(mixed(number ^ np.uint64(_MIX)), dtype=ROW),
            "text": high * pl.Series([2**64], dtype=TEXT)
            + pl.Series(mixed(~number) >> np.uint64(1)).cast(TEXT),
            "group": pl.Series(np.where(is_grouped, group, -1)).cast(TEXT).replace(-1, None),
            "cluster": cluster.astype(np.uint32),
            "stratum": (mixed(number + np.uint64(7)) % np.uint64(7)).astype(np.uint32),
            "time": pl.Series([None], dtype=pl.Int64).new_from_index(0, rows),
            "meant": pl.Series([None], dtype=pl.UInt8).new_from_index(0, rows),
        }
    )


def _part(part: str, rows: int, folder: Path) -> dict[str, float]:
    import time

    import polars as pl

    from ft_assets.data.ledger.assignment import assign
    from ft_assets.data.ledger.chain import Ledger
    from ft_assets.data.ledger.entries import Entries, read, record

    no_pairs = pl.DataFrame(schema={"a": pl.UInt64, "b": pl.UInt64})
    new = int(rows * MORE)
    # One percent is half new clusters, and half rows more of groups that are there.
    table = (
        made_rows(rows)
        if part != "more"
        else pl.concat([made_rows(rows), _joining(new // 2), made_rows(new - new // 2, rows)])
    )
    found: dict[str, float] = {}
    known = Entries.none()
    started = time.process_time()
    if part != "first":
        ledger = Ledger.open(folder / "ledger")
        assert ledger is not None
        known = read(ledger)
        found["read"] = time.process_time() - started
        found["entries"] = (known.rows.estimated_size() + known.groups.estimated_size()) / 1e6
        started = time.process_time()
    made = assign(table, known, lambda places: no_pairs, SHARES)
    found["assign"] = time.process_time() - started
    sides = made.rows["side"]
    if part == "first":
        started = time.process_time()
        ledger = Ledger.create(folder / "ledger")
        record(ledger, made.entries, settings={}, made_from="benchmark", at=datetime.now(UTC))
        found["record"] = time.process_time() - started
        found["megabytes"] = sum(path.stat().st_size for path in (folder / "ledger").iterdir()) / 1e6
        found["off"] = _off(table["stratum"].to_numpy(), sides.to_numpy())
        sides.to_frame().write_parquet(folder / "sides.parquet")
    else:
        before = pl.read_parquet(folder / "sides.parquet")["side"]
        found["moved"] = float((sides.head(rows) != before).sum())
        assert sides.null_count() == 0
    # VmHWM and not ru_maxrss: the latter begins with that of the parent.
    status = Path("/proc/self/status").read_text()
    found["memory"] = int(status.split("VmHWM:")[1].split()[0]) / 2**20
    return found


def _joining(rows: int) -> Any:
    """New rows of groups that are there."""
    import polars as pl

    groups = (
        made_rows(rows * 15)
        .filter(pl.col("group").is_not_null())
        .unique("group", maintain_order=True)
        .head(rows)
    )
    own = made_rows(groups.height, 2**40)
    return own.with_columns(groups["group"], groups["cluster"])


def _off(stratum: Any, side: Any) -> float:
    """The largest difference between the share of a split in a label and the wish."""
    tally = np.bincount(side.astype(np.int64) * 7 + stratum, minlength=21).reshape(3, 7)
    return float(np.abs(tally / tally.sum(0) - np.array(SHARES)[:, None]).max())


if __name__ == "__main__":
    print(json.dumps(_part(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))))
