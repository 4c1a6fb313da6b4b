"""What all channels share: their interface, how often they try, and errors that give no secret away."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from ft_assets.errors import UserError
from ft_assets.notifications.notification import Notification

__all__ = ["TIMEOUT_SECONDS", "Channel", "NotDelivered", "network_reason", "parse_url", "with_retries"]

TIMEOUT_SECONDS = 10.0
"""How long one answer is waited for."""
_TRIES = 3
PAUSE_SECONDS = 1.0


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """Its name, also in the memory of what it has told."""

    def check(self) -> None:
        """Look at the settings, without a connection.

        Raises:
            UserError: a setting is missing or wrong.
        """

    def send(self, notification: Notification) -> None:
        """Tell it.

        Raises:
            UserError: a setting is wrong, or nobody took it after some tries. Names the host at most: neither path
                nor query of a URL, no user, no password.
        """


class NotDelivered(Exception):
    """One try that failed: why, in words without secrets, and whether another one may help."""

    def __init__(self, reason: str, do: str, *, again: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.do = do
        self.again = again


def with_retries(attempt: Callable[[], None], *, channel: str, host: str) -> None:
    """Try it up to three times, for as long as another try may help.

    Raises:
        UserError: it was not delivered.
    """
    for number in range(1, _TRIES + 1):
        try:
            return attempt()
        except NotDelivered as error:
            failed = error
        if not failed.again or number == _TRIES:
            break
        time.sleep(PAUSE_SECONDS * number)
    # Out of the `except`: no exception of a library, whose text may quote the URL, hangs on to this one.
    raise UserError(f"{channel}: {failed.reason}", where=host, do=failed.do)


def network_reason(error: BaseException) -> str:
    """What a failed connection comes to. The library's own text may quote what was sent: it is not passed on."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({error.verify_message})"
    if isinstance(error, TimeoutError):
        return f"no answer within {TIMEOUT_SECONDS:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, socket.gaierror):
        return "the host is not known"
    return f"the connection failed ({type(error).__name__})"


def parse_url(url: str, variable: str, schemes: tuple[str, ...]) -> SplitResult:
    """The parts of a URL from the settings.

    Raises:
        UserError: it is none, or of another scheme; names the variable, not the value.
    """
    do = f"set {variable} to a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)}"
    parts = None
    if url.isascii() and url.isprintable() and " " not in url:
        try:
            parts = urlsplit(url)
            _ = parts.port  # looked at here, since a wrong one shows only then
        except ValueError:
            parts = None
    if parts is None or not parts.hostname:
        raise UserError(f"{variable} holds no URL", where=f"environment variable {variable}", do=do)
    if parts.scheme not in schemes:
        raise UserError(
            f"{variable} has the scheme '{parts.scheme}'", where=f"environment variable {variable}", do=do
        )
    return parts
