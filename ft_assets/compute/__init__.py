"""Launchers: what starts the worker, follows it and ends it."""
