"""The Dagster side: the component, and the assets, checks and jobs that it builds; one module a stage.

Nothing here computes: the stages call the plain layers (`data`, `training`, `evaluation`) and the worker.
"""
