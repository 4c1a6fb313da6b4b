"""What the environment says of this machine: where things lie, ports, processes. Everything that is written at run time
lies below one data directory."""

import os
from pathlib import Path

from ft_assets.errors import UserError

__all__ = [
    "cache_dir",
    "cleaned_dir",
    "data_dir",
    "ledger_dir",
    "ledgers_read_dir",
    "remembered_dir",
    "reports_port",
    "resume_dir",
    "store_root",
    "tokens_dir",
    "training_processes",
]

PACKAGE = Path(__file__).resolve().parent
PROJECT = PACKAGE.parent


def data_dir() -> Path:
    """The data directory: `FT_DATA_DIR`; else `data/` of the checkout, or of the working directory where
    the package is installed as a library. Holds `incoming/`, `store/` and `cache/`."""
    given = os.environ.get("FT_DATA_DIR")
    if given:
        return Path(given).expanduser().resolve()
    home = PROJECT if (PROJECT / "workspace.yaml").is_file() else Path.cwd()
    return home / "data"


def store_root() -> str:
    """Root of the artifact store: `FT_STORE` (a path or any fsspec URL), else `<data directory>/store`."""
    return os.environ.get("FT_STORE") or str(data_dir() / "store")


def cache_dir() -> Path:
    """Downloads and local copies: may be deleted at any time, is filled again from the sources."""
    return data_dir() / "cache"


def resume_dir() -> Path:
    """States of trainings under way, by task: a training that is cut off goes on from there. On this machine's disk,
    wherever the store is."""
    return data_dir() / "resume"


def tokens_dir() -> Path:
    """Tokenised rows, by task: made anew where they are missing."""
    return cache_dir() / "tokens"


def cleaned_dir() -> Path:
    """What cleaning has made of rows, by task: made anew where it is missing."""
    return cache_dir() / "cleaned"


def remembered_dir() -> Path:
    """What was computed of texts, by task and by hashes of the texts: made anew where it is missing."""
    return cache_dir() / "remembered"


def ledgers_read_dir() -> Path:
    """What many small segments of a split ledger say, in one file, by task: made anew where it is missing."""
    return cache_dir() / "ledgers"


def ledger_dir(task: str) -> Path:
    """The split ledger of a task: which split each row is in, for good. Outlives the store; belongs into backups."""
    return data_dir() / "ledger" / task


def reports_port() -> int:
    """Port on 127.0.0.1 at which `python -m ft_assets reports` shows the reports."""
    return int(os.environ.get("FT_REPORTS_PORT", "3001"))


def training_processes() -> int:
    """How many processes train one model together: `FT_PROCESSES`, else one.

    Raises:
        UserError: it is no such number.
    """
    given = os.environ.get("FT_PROCESSES", "1")
    if not given.isdecimal() or int(given) < 1:
        raise UserError(
            "it must be a number of processes, at least 1",
            where="environment variable FT_PROCESSES",
            do="set it to the number of GPUs of this machine, or leave it out",
        )
    return int(given)
