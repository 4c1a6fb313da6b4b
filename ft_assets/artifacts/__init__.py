"""The artifact store: immutable directories with a manifest, and an index from build keys to them.

Here belongs how an artifact is committed, found, verified, refused and set aside. What is in one, and what
its versions are, is the stages' matter.

    <root>/<task>/<asset>/<data_version>/            manifest.json and the files
    <root>/<task>/<asset>/index/<build_key>.json     which data version came out of this build
    <root>/<task>/<asset>/refused/<time>-<id>/       what failed its checks, with refusal.json
    <root>/<task>/<asset>/damaged/<data_version>-<id>/   what no longer matched its manifest
    <root>/<task>/<asset>/retired/<data_version>-<id>/   a checkpoint that an erased row went into, with retired.json
    <root>/.staging/, <root>/.locks/                 work in progress
    <root>/.trash-<id>/                              what is being removed

A commit is: files synced, manifest written and synced, one rename, parent synced. A process that is killed
at any moment leaves either the whole artifact or none. On an object store (any fsspec URL) the manifest is
written last, and is the commit.
"""

from ft_assets.artifacts.artifact import Artifact
from ft_assets.artifacts.removal import Removal
from ft_assets.artifacts.staging import Staging
from ft_assets.artifacts.store import ArtifactStore

__all__ = ["Artifact", "ArtifactStore", "Removal", "Staging"]
