"""Dagster resources over the artifact store and the channels of notifications."""
