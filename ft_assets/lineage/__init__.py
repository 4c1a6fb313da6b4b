"""Lineage: what became of a row and of a file, and what went into a model, read from the artifact store.

Plain Python over manifests, index entries and tables; nothing here knows Dagster or changes the store.
"""
