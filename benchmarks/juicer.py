"""The recipe "clean" in Data-Juicer, as near to ours as its operators come: run in an environment of its own.

    python -m venv peer
    peer/bin/pip install py-data-juicer==1.6.1 aiohttp selectolax ftfy
    python benchmarks/data.py --only peer --peer peer/bin/python

`peer/bin/python benchmarks/juicer.py ROWS OUTPUT` reads JSON Lines (`id`, `text`) and writes the processor's seconds by
operator, and after which one each row was gone. What Data-Juicer lacks it installs by itself (torch, the first time).
Nothing of `ft_assets` is imported.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ |= {
    "OMP_NUM_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
}

import datasets
import pyarrow as pa
from data_juicer.core.data import NestedDataset
from data_juicer.ops.deduplicator.document_deduplicator import DocumentDeduplicator
from data_juicer.ops.filter.text_length_filter import TextLengthFilter
from data_juicer.ops.mapper.clean_html_mapper import CleanHtmlMapper
from data_juicer.ops.mapper.fix_unicode_mapper import FixUnicodeMapper
from data_juicer.ops.mapper.pii_redaction_mapper import PiiRedactionMapper
from data_juicer.ops.mapper.replace_content_mapper import ReplaceContentMapper
from data_juicer.ops.mapper.whitespace_normalization_mapper import WhitespaceNormalizationMapper
from loguru import logger

# In this process, and not in one that each operator starts anew.
HERE = {"num_proc": None, "auto_op_parallelism": False}


def operators() -> list:
    """Repair of encodings and Unicode, HTML, white space, personal data, length, exact duplicates."""
    return [
        FixUnicodeMapper("NFC", **HERE),
        CleanHtmlMapper(**HERE),
        ReplaceContentMapper(pattern=r"\s+", repl=" ", **HERE),
        WhitespaceNormalizationMapper(**HERE),
        PiiRedactionMapper(mask_paths=False, messages_key=None, **HERE),
        TextLengthFilter(min_len=1, max_len=20_000, **HERE),
        DocumentDeduplicator(lowercase=True, **HERE),
    ]


def used() -> float:
    """The processor's seconds so far, those of processes that were started and have ended included."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def run(rows: NestedDataset) -> tuple[dict[str, float], dict[str, str]]:
    """The processor's seconds by operator, and the operator after which a row was gone by the row's id."""
    seconds, gone, left = {}, {}, set(rows["id"])
    for operator in operators():
        started = used()
        rows = rows.process(operator, open_monitor=False)
        seconds[operator._name] = used() - started
        now = set(rows["id"])
        gone |= dict.fromkeys(left - now, operator._name)
        left = now
    return seconds, gone


def main(source: Path, output: Path) -> None:
    logger.remove()
    datasets.disable_progress_bars()
    datasets.disable_caching()
    pa.set_cpu_count(1)
    rows = [json.loads(line) for line in source.read_text(encoding="utf-8").splitlines()]
    run(NestedDataset.from_list(rows[:2_000]))  # what is loaded at the first call is not the recipe
    seconds, gone = run(NestedDataset.from_list(rows))
    output.write_text(json.dumps({"seconds": seconds, "gone": gone}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
