"""Helpers of the tests of the artifact store: a small artifact, and what a store holds."""

from __future__ import annotations

from typing import Any

import fsspec
import pyarrow as pa

from ft_assets.artifacts import Artifact, ArtifactStore, Staging

__all__ = ["TABLE", "commit", "files_below", "publish"]

TABLE = pa.table({"example_id": ["a", "b"], "text": pa.array(["x", None], pa.large_string())})


def publish(
    store: ArtifactStore, data_version: str = "v1", build_key: str = "k1", text: str = "hello", **more: Any
) -> Artifact:
    with store.staging("task", "asset") as staging:
        staging.write_table("examples", TABLE)
        staging.write_json("sub/info", {"z": 1, "a": [text]})
        staging.write_text("notes.txt", text)
        return commit(store, staging, data_version, build_key, **more)


def commit(
    store: ArtifactStore, staging: Staging, data_version: str = "v1", build_key: str = "k1", **more: Any
) -> Artifact:
    return store.commit(
        staging,
        data_version=data_version,
        build_key=build_key,
        inputs={"raw": "r1"},
        config={"x": 1},
        code_version="c1",
        summary={"rows_in": 2},
        checks=[{"name": "rows", "passed": True}],
        libraries={"pyarrow": pa.__version__},
        **more,
    )


def files_below(root: str) -> list[str]:
    fs, path = fsspec.url_to_fs(root)
    return sorted(name[len(path) :].lstrip("/") for name in fs.find(path))
