"""Further commands of `python -m ft_assets`, one module a command, or two that tell of the same.

A module's `add_parser` adds its commands, and sets the `handler` of each: it takes the parsed arguments and gives the
exit status, None for 0. The modules are imported at every call of a command: what a handler needs, it
imports itself.
"""

from importlib import import_module
from typing import Any

__all__ = ["add_parsers"]

MODULES = ("lineage", "relabel", "withdraw", "gc", "erase", "ledger")


def add_parsers(commands: Any) -> None:
    """Add the commands of all modules to the parser's subcommands."""
    for name in MODULES:
        import_module(f"ft_assets.commands.{name}").add_parser(commands)
