"""Dagster resources over the artifact store."""
