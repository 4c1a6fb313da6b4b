"""Which work for the worker is still to come in a run, so that it is started ahead of its order.

Loading torch and transformers takes seconds. A run that has something to build uses them: the worker loads while the
data stages work, and the one that predicts while the training ends.
"""

import dagster as dg

from ft_assets.worker.work_order import Kind

__all__ = ["coming_work", "make_worker_ready"]

# Assets that the worker makes, in the order of the lineage.
_WORK: dict[str, Kind] = {"checkpoint": "train", "evaluation_report": "predict"}


def coming_work(context: dg.AssetExecutionContext, asset: dg.AssetKey) -> Kind | None:
    """The kind of work that the run next asks of the worker for the same task, after this asset; None: no more."""
    assets = list(_WORK)
    task, name = asset.path[-2:]
    later = assets[assets.index(name) + 1 :] if name in assets else assets
    selected = {tuple(key.path[-2:]) for key in context.job_def.asset_layer.selected_asset_keys}
    return next((_WORK[each] for each in later if (task, each) in selected), None)


def make_worker_ready(context: dg.AssetExecutionContext, asset: dg.AssetKey, task_type: str) -> None:
    """Start the worker for what comes, from a step that does not use it itself."""
    kind = coming_work(context, asset)
    if asset.path[-1] not in _WORK and kind is not None:
        context.resources.launcher.make_ready(kind, task_type)
