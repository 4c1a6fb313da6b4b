"""Where pip looks for packages on this machine: its configuration files and `PIP_*` environment variables.

Read here rather than asked of pip, which an environment made by other tools may not have.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ft_assets.errors import UserError

__all__ = ["PipConfig", "read_pip_config"]

_DEFAULT_INDEX = "https://pypi.org/simple"
_DEFAULT_TIMEOUT = 15.0  # seconds, pip's own default
_TRUE = frozenset({"1", "true", "yes", "on", "y", "t"})


@dataclass(frozen=True)
class PipConfig:
    """What of pip's configuration decides where a package comes from."""

    indexes: tuple[str, ...] = (_DEFAULT_INDEX,)
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    cert: str | None = None
    client_cert: str | None = None
    proxy: str | None = None
    timeout: float = _DEFAULT_TIMEOUT
    retries: int = 5


def read_pip_config(environ: Mapping[str, str] | None = None) -> PipConfig:
    """pip's configuration, in pip's order: files for all, for the user, of the environment,
    `PIP_CONFIG_FILE`, `PIP_*`.

    See https://pip.pypa.io/en/stable/topics/configuration/. A later one replaces an earlier one, option by
    option.

    Raises:
        UserError: a configuration file or a number in it cannot be read.
    """
    environ = os.environ if environ is None else environ
    options: dict[str, str] = {}
    for path in _files(environ):
        options |= _read(path)
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            options[name.removeprefix("PIP_").lower().replace("_", "-")] = value
    no_index = options.get("no-index", "").lower() in _TRUE
    first = options.get("index-url") or options.get("pypi-url") or _DEFAULT_INDEX
    indexes = () if no_index else (first, *_list(options, "extra-index-url"))
    return PipConfig(
        indexes=tuple(dict.fromkeys(indexes)),
        find_links=_list(options, "find-links"),
        trusted_hosts=_list(options, "trusted-host"),
        cert=options.get("cert"),
        client_cert=options.get("client-cert"),
        proxy=options.get("proxy"),
        timeout=_number(options, ("timeout", "default-timeout"), _DEFAULT_TIMEOUT),
        retries=int(_number(options, ("retries",), 5)),
    )


def _files(environ: Mapping[str, str]) -> Iterable[Path]:
    extra = environ.get("PIP_CONFIG_FILE")
    if extra == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path.home())
    if sys.platform == "darwin":
        shared = [Path("/Library/Application Support/pip/pip.conf")]
        own = [
            home / ".pip/pip.conf",
            home / ".config/pip/pip.conf",
            home / "Library/Application Support/pip/pip.conf",
        ]
    else:
        folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
        shared = [*(Path(folder) / "pip/pip.conf" for folder in folders), Path("/etc/pip.conf")]
        config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        own = [home / ".pip/pip.conf", config_home / "pip/pip.conf"]
    return [*shared, *own, Path(sys.prefix) / "pip.conf", *([Path(extra)] if extra else [])]


def _read(path: Path) -> dict[str, str]:
    """The options of one file: `[global]`, then `[download]`, the command that comes nearest to what is done
    here."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError) as error:
        raise UserError(
            "pip's configuration cannot be read", where=str(path), do="mend or remove it"
        ) from error
    options: dict[str, str] = {}
    for section in ("global", "download"):
        if parser.has_section(section):
            options |= {name.replace("_", "-"): value for name, value in parser.items(section)}
    return options


def _list(options: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(options.get(name, "").split()))


def _number(options: Mapping[str, str], names: tuple[str, ...], default: float) -> float:
    for name in names:
        if options.get(name):
            try:
                return float(options[name])
            except ValueError as error:
                raise UserError(
                    f"pip's option '{name}' is no number: {options[name]!r}", do="correct pip's configuration"
                ) from error
    return default
