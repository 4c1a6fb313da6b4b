"""From raw rows to splits: readers, cleaning, labels, splits, and the contracts that hold at each stage.

Plain Python: nothing here imports dagster. Import the modules by name; this package itself imports nothing.
"""
