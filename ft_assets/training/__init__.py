"""Training and prediction as plain Python: no Dagster. `config` is light; all else here runs in the worker
only."""
