"""Versions: hashes of data, files, code and configuration, and the build key made of them.

Here belongs how a version is computed: of tables in `tables`, code in `code`, JSON and files in `plain`.
What an artifact is, and where versions are written down, lies in `ft_assets.artifacts`. The code location
hashes the code of every stage when it loads, so only the standard library is imported here; pyarrow is, where
a table is hashed.
"""

from ft_assets.versions.code import code_version, library_versions
from ft_assets.versions.plain import build_key, canonical_json, file_sha256, files_version, hash_json
from ft_assets.versions.tables import table_version, tables_version

__all__ = [
    "build_key",
    "canonical_json",
    "code_version",
    "file_sha256",
    "files_version",
    "hash_json",
    "library_versions",
    "table_version",
    "tables_version",
]
