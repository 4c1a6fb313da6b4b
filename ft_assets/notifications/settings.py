"""Which channels there are: configured by the environment, none by default."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlunsplit

from ft_assets.notifications.channel import Channel, parse_url
from ft_assets.notifications.mail import MailChannel
from ft_assets.notifications.notification import Notification
from ft_assets.notifications.web import WebChannel

__all__ = ["VARIABLES", "NotificationSettings"]

VARIABLES = {
    "webhook": "FT_NOTIFY_WEBHOOK",
    "slack": "FT_NOTIFY_SLACK",
    "email_to": "FT_NOTIFY_EMAIL_TO",
    "email_from": "FT_NOTIFY_EMAIL_FROM",
    "smtp": "FT_NOTIFY_SMTP",
    "smtp_password": "FT_NOTIFY_SMTP_PASSWORD",
    "ui_url": "FT_UI_URL",
}
"""The environment variable of each setting."""


@dataclass(frozen=True)
class NotificationSettings:
    """Where notifications go; all of it may be secret."""

    webhook: str = field(default="", repr=False)
    """URL that takes JSON."""
    slack: str = field(default="", repr=False)
    """URL of an incoming webhook of Slack."""
    email_to: str = field(default="", repr=False)
    email_from: str = field(default="", repr=False)
    smtp: str = field(default="", repr=False)
    """`smtp://user@host:port`, or `smtps://…`."""
    smtp_password: str = field(default="", repr=False)
    ui_url: str = field(default="", repr=False)
    """Where people open the UI; else http://127.0.0.1:3000."""

    @classmethod
    def from_environment(cls, given: Mapping[str, str | None] | None = None) -> NotificationSettings:
        """What the environment says, but for settings that are given."""
        given = given or {}
        return cls(
            **{
                name: (
                    value if (value := given.get(name)) is not None else os.environ.get(variable, "")
                ).strip()
                for name, variable in VARIABLES.items()
            }
        )

    def channels(self) -> list[Channel]:
        """The channels that are switched on, those with a wrong setting included: `check` tells."""
        found: list[Channel] = []
        if self.webhook:
            found.append(WebChannel("webhook", VARIABLES["webhook"], self.webhook, Notification.as_json))
        if self.slack:
            found.append(WebChannel("slack", VARIABLES["slack"], self.slack, Notification.as_slack))
        if self.email_to or self.email_from or self.smtp:
            found.append(MailChannel(self.email_to, self.email_from, self.smtp, self.smtp_password))
        return found

    def link(self, *path: str) -> str:
        """A page of the UI.

        Raises:
            UserError: `FT_UI_URL` is no URL.
        """
        ui = parse_url(self.ui_url or "http://127.0.0.1:3000", VARIABLES["ui_url"], ("http", "https"))
        # A user or a query in it is for the one who set it, not for all who get the message.
        place = ui.netloc.rpartition("@")[2]
        end = "/".join(quote(part, safe="") for part in path)
        return urlunsplit((ui.scheme, place, f"{ui.path.rstrip('/')}/{end}", "", ""))
