"""Finding and downloading one file of a package index, the way pip is configured to."""

from __future__ import annotations

import hashlib
import logging
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ft_assets.errors import UserError
from ft_assets.sources.pip_config import PipConfig, read_pip_config

if TYPE_CHECKING:
    from ft_assets.sources.pypi import PackageFile

__all__ = ["download"]

_CHUNK = 1024 * 1024


def download(wanted: PackageFile, folder: Path) -> None:
    """Downloads the wheel or sdist of a package into a folder, under its own file name, verified by the
    index's hash.

    Raises:
        UserError: it is in no index, no index can be reached, there are several, or the hash differs.
    """
    config = read_pip_config()
    with _client(config) as client:
        link = _choose(wanted, _find(wanted, config, client))
        target = folder / Path(link.filename).name
        for attempt in range(max(config.retries, 0) + 1):
            try:
                _transfer(client, link, target)
                return
            except _network_errors() as error:
                if attempt >= config.retries:
                    raise _unreachable(wanted, [f"{_host(link.url)}: {_reason(error)}"]) from error
                time.sleep(min(0.25 * 2**attempt, 4.0))


def _find(wanted: PackageFile, config: PipConfig, client: Any) -> list[Any]:
    """Every file of this package, version and kind, from all the places; the same name counts once."""
    from unearth import PackageFinder

    found: dict[str, Any] = {}
    unreachable, looked = [], []
    for place, is_index in _places(wanted.name, config):
        finder = PackageFinder(
            session=client,
            index_urls=[place] if is_index else [],
            find_links=[] if is_index else [place],
            ignore_compatibility=True,  # a file for another platform is a file all the same
        )
        looked.append(_host(place))
        try:
            with _quiet():
                packages = list(finder.find_matches(f"{wanted.name}=={wanted.version}", allow_yanked=True))
        except _network_errors() as error:
            unreachable.append(f"{_host(place)}: {_reason(error)}")
            continue
        for package in packages:
            if package.link.is_wheel == (wanted.kind == "wheel"):
                found.setdefault(package.link.filename, package.link)
    if not found and unreachable:
        raise _unreachable(wanted, unreachable)
    if not found:
        raise UserError(
            f"no {wanted.kind} of {wanted.name} {wanted.version} was found",
            where=f"looked in: {', '.join(dict.fromkeys(looked)) or 'nowhere (no-index is set)'}",
            do="correct name, version or kind, or let pip's configuration name the index that has it",
        )
    return list(found.values())


def _places(name: str, config: PipConfig) -> Iterator[tuple[str, bool]]:
    """Where to look; local places that do not exist are passed over, as pip does."""
    for place in config.find_links:
        path = _local(place)
        if path is None or path.exists():
            yield (place if path is None else str(path)), False
    for place in config.indexes:
        path = _local(place)
        if path is None or (path / name).is_dir():
            yield (place if path is None else path.absolute().as_uri()), True


def _local(place: str) -> Path | None:
    if place.startswith("file:"):
        from urllib.request import url2pathname

        return Path(url2pathname(urlsplit(place).path))
    return None if "://" in place else Path(place).expanduser()


def _choose(wanted: PackageFile, links: list[Any]) -> Any:
    """The one file; of several wheels the one that fits every machine."""
    if len(links) > 1:
        pure = [link for link in links if re.search(r"-none-any\.whl$", link.filename)]
        links = pure if len(pure) == 1 else links
    if len(links) > 1:
        raise UserError(
            f"{wanted.name} {wanted.version} has {len(links)} files of this kind",
            where=", ".join(sorted(link.filename for link in links)[:5]),
            do="use its [sdist], or a package with one wheel for all platforms",
        )
    return links[0]


def _transfer(client: Any, link: Any, target: Path) -> None:
    hashes = link.hash_option or {}
    name = next((name for name in ("sha512", "sha384", "sha256") if name in hashes), None)
    hasher = hashlib.new(name or "sha256")
    with client.stream("GET", link.url_without_fragment) as response, target.open("wb") as file:
        if response.status_code >= 400:
            raise UserError(
                f"{target.name} cannot be downloaded: status {response.status_code}",
                where=_host(link.url),
                do="try again later, or let pip's configuration name another index",
            )
        for chunk in response.iter_bytes(_CHUNK):
            hasher.update(chunk)
            file.write(chunk)
    if name and hasher.hexdigest() not in hashes[name]:
        raise UserError(
            f"{target.name} is not what the index says: {name} {hasher.hexdigest()}, not {hashes[name][0]}",
            where=_host(link.url),
            do="try again; if it stays so, do not trust that index",
        )


@contextmanager
def _client(config: PipConfig) -> Iterator[Any]:
    from unearth.auth import MultiDomainBasicAuth
    from unearth.fetchers.sync import PyPIClient

    options: dict[str, Any] = {"proxy": config.proxy} if config.proxy else {}
    if config.client_cert:
        options["cert"] = config.client_cert
    with PyPIClient(
        trusted_hosts=config.trusted_hosts,
        verify=_certificates(config),
        timeout=config.timeout,
        follow_redirects=True,
        **options,
    ) as client:
        client.auth = MultiDomainBasicAuth(prompting=False, index_urls=config.indexes)
        yield client


def _certificates(config: PipConfig) -> Any:
    """The certificates that pip would trust: those of its option, else the system's."""
    if config.cert:
        path = Path(config.cert).expanduser()
        if not path.exists():
            raise UserError("pip's 'cert' names a file that does not exist", where=str(path), do="correct it")
        if path.is_dir():
            return ssl.create_default_context(capath=path)
        return ssl.create_default_context(cafile=path)
    try:
        import truststore
    except ImportError:
        return True
    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@contextmanager
def _quiet() -> Iterator[None]:
    """An index that does not have a package answers 404; that is no news while others are asked."""
    logger = logging.getLogger("unearth.collector")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _network_errors() -> tuple[type[Exception], ...]:
    import httpx2

    return (httpx2.TransportError,)


def _unreachable(wanted: PackageFile, reasons: list[str]) -> UserError:
    return UserError(
        f"{wanted.name} {wanted.version} cannot be fetched: no package index can be reached",
        where="; ".join(dict.fromkeys(reasons)),
        do="check the network and pip's configuration (index-url, proxy, cert), or run `make fetch` while "
        "there is a network: afterwards the cached copy is used",
    )


def _host(place: str) -> str:
    """A place without its credentials."""
    parts = urlsplit(place)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}" if host else place


def _reason(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
