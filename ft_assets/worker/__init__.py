"""The process that trains and predicts: `python -m ft_assets.worker WORK_ORDER.json`."""
