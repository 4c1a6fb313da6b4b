"""What is seen of a training while it runs: observations that the UI plots, and lines in the run's log."""

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

from ft_assets.components.metadata import rounded

__all__ = ["LiveProgress"]

# Each observation is a row in the event log: often enough to watch, rarely enough to keep a long run's log small.
OBSERVE_SECONDS = 5.0
PLOTTED = (
    "step",
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "examples_per_second",
    "tokens_per_second",
    "seconds_left",
)


class LiveProgress:
    """Receives the worker's messages within a step: call it with each one."""

    def __init__(self, context: dg.AssetExecutionContext, key: dg.AssetKey) -> None:
        self.context = context
        self.key = key
        self._observed = 0.0
        # An observation without a value breaks that value's line in the UI's plot: each one carries them all.
        self._latest: dict[str, float] = {}

    def __call__(self, message: Mapping[str, Any]) -> None:
        kind = message.get("kind")
        if kind == "progress":
            self._progress(message)
        elif kind == "evaluation":
            scores = {f"validation_{name}": message[name] for name in message if name not in ("kind", "step")}
            self._observe(scores | {"step": message.get("step")})
            self.context.log.info(
                "validation at step %s: %s",
                message.get("step"),
                _shown(message, ("loss", "f1_macro", "perplexity")),
            )
        elif kind == "note":
            self.context.log.info(str(message["text"]))

    def _progress(self, message: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if now - self._observed < OBSERVE_SECONDS:
            return
        self._observed = now
        self._observe({name: message[name] for name in PLOTTED if message.get(name) is not None})
        self.context.log.info(
            "step %s of %s, %s",
            message.get("step"),
            message.get("steps"),
            _shown(message, ("loss", "examples_per_second", "tokens_per_second", "seconds_left")),
        )

    def _observe(self, values: Mapping[str, Any]) -> None:
        self._latest |= {
            name: float(rounded(value)) for name, value in values.items() if isinstance(value, int | float)
        }
        self.context.log_event(dg.AssetObservation(asset_key=self.key, metadata=dict(self._latest)))


def _shown(message: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {message[name]:.4g}" for name in names if message.get(name) is not None
    )
