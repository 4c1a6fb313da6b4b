"""The fresh process that `reloaded` asks about a checkpoint: `python -m ft_assets.training.fresh`.

It loads its libraries as the worker does, and ends as that does: a third of what it costs.
"""

import os
import sys

from ft_assets.loading import load

_LIBRARIES = ("ft_assets.training.reloaded", "transformers.modeling_utils", "transformers.models.auto")


def main() -> None:
    """Answer what is asked on stdin, a line each, until it ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what libraries print is no answer
    load(*_LIBRARIES)
    from ft_assets.training.reloaded import serve

    serve(sys.stdin, answers)


if __name__ == "__main__":
    main()
    os._exit(0)  # taking torch down in order costs more than a second, and nothing is left to do
