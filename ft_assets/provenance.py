"""Provenance: everything that went into an artifact, read from the manifests, back to the sources."""

from typing import Any

from ft_assets.artifacts import Artifact, ArtifactStore

__all__ = ["ancestors", "provenance"]


def ancestors(store: ArtifactStore, artifact: Artifact) -> dict[str, Artifact]:
    """The artifacts that an artifact was made from, directly or not, and itself, by asset name.

    An input from outside the graph (its name begins with `source:`) ends its branch, and so does one that was taken
    out of the store: rows of it were erased.
    """
    found = {artifact.asset: artifact}
    waiting = [artifact]
    while waiting:
        current = waiting.pop()
        for asset, version in current.inputs.items():
            if asset in found or asset.startswith("source:"):
                continue
            if store.has(current.task, asset, version):
                found[asset] = store.open(current.task, asset, version)
                waiting.append(found[asset])
    return found


def provenance(artifacts: dict[str, Artifact]) -> dict[str, Any]:
    """Data version, build key, code version, inputs and libraries of each artifact, as plain JSON."""
    return {
        asset: {
            "data_version": artifact.data_version,
            "build_key": artifact.build_key,
            "code_version": artifact.manifest["code_version"],
            "created": artifact.manifest["created"],
            "inputs": artifact.inputs,
            "libraries": artifact.manifest["libraries"],
        }
        for asset, artifact in sorted(artifacts.items())
    }
