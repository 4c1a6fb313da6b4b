"""The worker embeds texts: `kind: embed`."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from ft_assets.compute.process import worker_environment
from ft_assets.worker.work_order import WorkOrder
from ft_assets_tests.tiny_models import write_sentiment


def test_an_embed_order_leaves_vectors_and_what_was_measured_and_tells_no_text(tiny_bert_dir, tmp_path):
    (tmp_path / "output").mkdir()
    texts = write_sentiment(tmp_path / "texts.parquet", 30)
    order = WorkOrder(
        kind="embed", output=str(tmp_path / "output"), base_model=str(tiny_bert_dir), examples=str(texts)
    )
    done = subprocess.run(
        [sys.executable, "-m", "ft_assets.worker", str(order.write(tmp_path / "work_order.json"))],
        check=False, capture_output=True, text=True, env=worker_environment(), cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"embeddings.npy", "embedding.json"}
    facts = json.loads((tmp_path / "output" / "embedding.json").read_text())
    assert json.loads(done.stdout.splitlines()[-1]) == {"kind": "result", **facts}
    vectors = np.load(tmp_path / "output" / "embeddings.npy", mmap_mode="r", allow_pickle=False)
    assert vectors.shape == (facts["rows"], facts["size"]) == (30, 32)
    assert not any(text in done.stdout + done.stderr for text in pq.read_table(texts)["text"].to_pylist())


def test_an_embed_order_needs_a_model_and_texts():
    with pytest.raises(ValidationError, match="needs base_model, examples"):
        WorkOrder(kind="embed", output="/")
