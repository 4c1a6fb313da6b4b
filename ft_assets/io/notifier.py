"""Telling people, as a Dagster resource."""

import dagster as dg
from pydantic import Field

from ft_assets.notifications import Channel, NotificationSettings
from ft_assets.notifications.settings import VARIABLES

__all__ = ["NotifierResource"]


class NotifierResource(dg.ConfigurableResource):
    """The channels by which people are told; by default those of the environment, read when a sensor looks.

    Give secrets as `dg.EnvVar("NAME")`: what stands in the code itself is shown in the UI.
    """

    webhook: str | None = Field(default=None, repr=False, description="else FT_NOTIFY_WEBHOOK")
    slack: str | None = Field(default=None, repr=False, description="else FT_NOTIFY_SLACK")
    email_to: str | None = Field(default=None, repr=False, description="else FT_NOTIFY_EMAIL_TO")
    email_from: str | None = Field(default=None, repr=False, description="else FT_NOTIFY_EMAIL_FROM")
    smtp: str | None = Field(default=None, repr=False, description="else FT_NOTIFY_SMTP")
    smtp_password: str | None = Field(default=None, repr=False, description="else FT_NOTIFY_SMTP_PASSWORD")
    ui_url: str | None = Field(default=None, repr=False, description="else FT_UI_URL")

    def settings(self) -> NotificationSettings:
        return NotificationSettings.from_environment({name: getattr(self, name) for name in VARIABLES})

    def channels(self) -> list[Channel]:
        """The channels that are switched on; none by default."""
        return self.settings().channels()

    def link(self, *path: str) -> str:
        """A page of the UI, such as `link("runs", run_id)`."""
        return self.settings().link(*path)
