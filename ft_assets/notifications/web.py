"""Channels by HTTP: a webhook that takes JSON, and one that takes what Slack takes."""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlunsplit

from ft_assets.notifications.channel import (
    TIMEOUT_SECONDS,
    NotDelivered,
    network_reason,
    parse_url,
    with_retries,
)
from ft_assets.notifications.notification import Notification

__all__ = ["WebChannel"]


@dataclass(frozen=True)
class WebChannel:
    """Posts each notification as JSON to one URL, which is a secret: it says who may post.

    Follows no redirect: a post that is sent elsewhere would take the secret and the message along.
    """

    name: str
    variable: str
    """Where the URL was configured, for messages."""
    url: str = field(repr=False)
    body: Callable[[Notification], dict[str, Any]] = field(repr=False)

    def check(self) -> None:
        self._target()

    def send(self, notification: Notification) -> None:
        target = self._target()
        body = json.dumps(self.body(notification), ensure_ascii=False).encode()
        with_retries(lambda: self._post(target, body), channel=self.name, host=target.hostname or "")

    def _target(self) -> SplitResult:
        return parse_url(self.url, self.variable, ("https", "http"))

    def _post(self, target: SplitResult, body: bytes) -> None:
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "ft_assets"}
        user, _, place = target.netloc.rpartition("@")
        if user:
            headers["Authorization"] = f"Basic {base64.b64encode(unquote(user).encode()).decode()}"
        url = urlunsplit((target.scheme, place, target.path or "/", target.query, ""))
        request = urllib.request.Request(url, data=body, headers=headers, method="POST")  # noqa: S310 - see `parse_url`
        try:
            with _opener().open(request, timeout=TIMEOUT_SECONDS) as response:
                status = response.status
        except (OSError, http.client.HTTPException) as error:
            cause = error.reason if isinstance(error, urllib.error.URLError) else error
            reason = network_reason(cause) if isinstance(cause, BaseException) else "the connection failed"
            # Where the connection stood and the answer is late, the message may have been taken: not twice at once.
            late = isinstance(error, TimeoutError)
            do = f"check the network and the host in {self.variable}"
            raise NotDelivered(reason, do, again=not late) from None
        if status >= 500 or status == http.client.TOO_MANY_REQUESTS:
            raise NotDelivered(
                f"it answers {status}", "it is tried again; look at the service if it goes on", again=True
            )
        if 300 <= status < 400:
            raise NotDelivered(
                f"it answers {status}, a redirect, which is not followed",
                f"set {self.variable} to the URL that it leads to",
                again=False,
            )
        if status >= 400:
            raise NotDelivered(
                f"it answers {status}",
                f"set {self.variable} to a URL that is still valid and takes this sort of message",
                again=False,
            )


def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https, by the proxy of the environment if there is one. Knows neither redirects nor errors:
    an answer is an answer."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
    ):
        opener.add_handler(handler)
    return opener
