"""Telling people: what a notification says, and the channels that carry it. Off until a channel is configured."""

from ft_assets.notifications.channel import Channel
from ft_assets.notifications.mail import MailChannel
from ft_assets.notifications.notification import Notification
from ft_assets.notifications.settings import NotificationSettings
from ft_assets.notifications.web import WebChannel

__all__ = ["Channel", "MailChannel", "Notification", "NotificationSettings", "WebChannel"]
