"""What people are told: one message, and how it reads as JSON, for Slack and as an e-mail."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

__all__ = ["Kind", "Notification"]

Kind = Literal["run_failed", "check_failed", "too_old", "recovered"]

_TITLE_CHARS = 150
_REASON_CHARS = 600
_SIGNS: dict[Kind, str] = {
    "run_failed": ":x:",
    "check_failed": ":warning:",
    "too_old": ":hourglass:",
    "recovered": ":white_check_mark:",
}


@dataclass(frozen=True)
class Notification:
    """One message. Never carries the text of a row or a secret; whoever makes one sees to that.

    Title and reason are made safe to print: without control characters, the title on one line, both cut.
    """

    kind: Kind
    title: str
    reason: str
    task: str
    asset: str
    """Name of the asset within its task, several with commas; empty where it is about none."""
    link: str
    """Page of the UI that tells more: the run, or the asset."""
    when: datetime
    """When it happened, not when it is told: with `kind` and `link` it names the event, however often it comes."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", _cut(" ".join(_printable(self.title).split()), _TITLE_CHARS))
        object.__setattr__(self, "reason", _cut(_printable(self.reason).strip(), _REASON_CHARS))

    def as_json(self) -> dict[str, Any]:
        """The body of a webhook's request."""
        return {
            "kind": self.kind,
            "title": self.title,
            "reason": self.reason,
            "task": self.task,
            "asset": self.asset,
            "link": self.link,
            "when": self.when.astimezone(UTC).isoformat(timespec="seconds"),
        }

    def as_slack(self) -> dict[str, Any]:
        """The body for an incoming webhook of Slack, and of what understands the same (Mattermost, Rocket.Chat).

        The reason stands in a code block, where neither `*` nor `@channel` means anything.
        """
        reason = _for_slack(self.reason).replace("```", "'''")
        text = (
            f"{_SIGNS[self.kind]} *{_for_slack(self.title)}*\n```{reason}```\n<{self.link}|Open in Dagster>"
        )
        return {"text": text, "mrkdwn": True}

    def as_text(self) -> str:
        """The body of an e-mail."""
        when = self.when.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        about = f"task: {self.task}\n" + (f"asset: {self.asset}\n" if self.asset else "")
        return f"{self.reason}\n\n{about}when: {when}\n{self.link}\n"


def _for_slack(text: str) -> str:
    """The three characters that Slack reads as its own: links, mentions and entities begin with them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _printable(text: str) -> str:
    """Without control and format characters (those that turn the direction of text, too); line breaks stay."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    return "".join(
        each for each in text if each == "\n" or unicodedata.category(each) not in ("Cc", "Cf", "Cs")
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 2]} …"
