"""How the worker speaks: messages to Dagster through dagster-pipes, or as lines of JSON on stdout.

A message is a dict with a `kind`:

    progress    step, steps, epoch, loss, learning_rate, grad_norm, examples_per_second, tokens_per_second,
    seconds_left
                (predict: step, steps, examples_per_second, seconds_left); about one a second
    evaluation  step, loss, and accuracy and f1_macro, or perplexity
    note        text
    result      what the result's file says (training.json, …), without the history
    error       what, where, do: something the user can mend; the exit code is 2
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MESSAGE_PREFIX", "open_messages"]

MESSAGE_PREFIX = '{"kind": '
"""How a line on stdout begins that is a message."""


@contextmanager
def open_messages() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give the function that sends a message to whoever started the worker."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ:
        yield _print
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        yield pipes.report_custom_message


def _print(message: dict[str, Any]) -> None:
    ordered = {"kind": message["kind"], **message}
    sys.stdout.write(json.dumps(ordered) + "\n")
    sys.stdout.flush()
