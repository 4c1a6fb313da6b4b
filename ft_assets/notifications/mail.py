"""The channel by e-mail, through an SMTP server."""

from __future__ import annotations

import logging
import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parseaddr
from urllib.parse import SplitResult, unquote

from ft_assets.errors import UserError
from ft_assets.notifications.channel import (
    TIMEOUT_SECONDS,
    NotDelivered,
    network_reason,
    parse_url,
    with_retries,
)
from ft_assets.notifications.notification import Notification

__all__ = ["MailChannel"]

_PORTS = {"smtp": 587, "smtps": 465}  # RFC 6409, RFC 8314
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MailChannel:
    """One plain-text e-mail for each notification.

    `smtps://` is encrypted from the start. `smtp://` turns encryption on (STARTTLS) where the server offers it; a
    user's name and password are never sent without.
    """

    to: str
    """Addresses, with commas between them."""
    sender: str
    server: str = field(repr=False)
    """`smtp://user@host:port` or `smtps://…`."""
    password: str = field(default="", repr=False)
    name: str = "email"

    def check(self) -> None:
        for variable, value in (
            ("FT_NOTIFY_EMAIL_TO", self.to),
            ("FT_NOTIFY_EMAIL_FROM", self.sender),
            ("FT_NOTIFY_SMTP", self.server),
        ):
            if not value:
                raise UserError(
                    f"{variable} is not set, and e-mail needs it",
                    where="environment variables FT_NOTIFY_EMAIL_…",
                    do=f"set {variable}, or unset the others to send no e-mail",
                )
        _addresses(self.to, "FT_NOTIFY_EMAIL_TO")
        _addresses(self.sender, "FT_NOTIFY_EMAIL_FROM")
        server = self._server()
        if server.password is not None:
            raise UserError(
                "FT_NOTIFY_SMTP holds a password",
                where="environment variable FT_NOTIFY_SMTP",
                do="put it into FT_NOTIFY_SMTP_PASSWORD, and leave smtp://user@host:port here",
            )
        if bool(server.username) != bool(self.password):
            raise UserError(
                "a user's name and a password belong together, and one of them is missing",
                where="environment variables FT_NOTIFY_SMTP, FT_NOTIFY_SMTP_PASSWORD",
                do="set FT_NOTIFY_SMTP to smtp://user@host:port and FT_NOTIFY_SMTP_PASSWORD, or leave both out",
            )
        if not (unquote(server.username or "") + self.password).isascii():
            raise UserError(
                "user or password hold a letter outside ASCII, which cannot be sent by SMTP",
                where="environment variables FT_NOTIFY_SMTP, FT_NOTIFY_SMTP_PASSWORD",
                do="choose others for this account",
            )

    def send(self, notification: Notification) -> None:
        self.check()
        server, message = self._server(), self._message(notification)
        with_retries(lambda: self._transmit(server, message), channel=self.name, host=server.hostname or "")

    def _server(self) -> SplitResult:
        return parse_url(self.server, "FT_NOTIFY_SMTP", ("smtp", "smtps"))

    def _message(self, notification: Notification) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = ", ".join(_addresses(self.to, "FT_NOTIFY_EMAIL_TO"))
        message["Subject"] = notification.title
        message["Date"] = format_datetime(notification.when)
        # Not this machine's name, which make_msgid would take by itself.
        message["Message-ID"] = make_msgid(domain=parseaddr(self.sender)[1].rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice answers
        message.set_content(
            notification.as_text(), cte="quoted-printable"
        )  # for servers without 8BITMIME, too
        return message

    def _transmit(self, server: SplitResult, message: EmailMessage) -> None:
        """Raises NotDelivered. What a server answers may quote user and addresses: only its code is passed on."""
        host, port = server.hostname or "", server.port or _PORTS[server.scheme]
        look = "look at FT_NOTIFY_SMTP and at the server"
        try:
            connection = _connect(server.scheme, host, port)
            try:
                if server.username:
                    if not isinstance(connection.sock, ssl.SSLSocket):
                        raise NotDelivered(
                            "the server offers no encryption, so user and password were not sent",
                            "use a server with STARTTLS, or smtps://, or one that needs no password",
                            again=False,
                        )
                    connection.login(unquote(server.username), self.password)
                refused = connection.send_message(message)
                with suppress(
                    smtplib.SMTPException, OSError
                ):  # it has been taken, however the server says goodbye
                    connection.quit()
            finally:
                connection.close()
        except smtplib.SMTPAuthenticationError as error:
            raise NotDelivered(
                f"the server does not take user and password ({error.smtp_code})",
                "correct FT_NOTIFY_SMTP and FT_NOTIFY_SMTP_PASSWORD",
                again=_is_transient(error.smtp_code),
            ) from None
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise NotDelivered(
                f"the server takes none of the {len(codes)} address(es) ({codes[0]})",
                "correct FT_NOTIFY_EMAIL_TO, or let the server send for this machine",
                again=any(map(_is_transient, codes)),
            ) from None
        except smtplib.SMTPResponseException as error:
            raise NotDelivered(
                f"the server answers {error.smtp_code}", look, again=_is_transient(error.smtp_code)
            ) from None
        except smtplib.SMTPNotSupportedError:
            raise NotDelivered(
                "the server cannot do what is needed to send this", look, again=False
            ) from None
        except smtplib.SMTPServerDisconnected:
            raise NotDelivered(
                "the server hung up, said nothing, or does not speak SMTP", look, again=True
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            raise NotDelivered(network_reason(error), look, again=True) from None
        if refused:
            _log.warning("e-mail: the server refused %d address(es); the others were told", len(refused))


def _connect(scheme: str, host: str, port: int) -> smtplib.SMTP:
    context = ssl.create_default_context()
    if scheme == "smtps":
        return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
    connection = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.ehlo()
        if connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo()
    except BaseException:
        connection.close()
        raise
    return connection


def _is_transient(code: int) -> bool:
    return 400 <= code < 500  # RFC 5321, 4.2.1


def _addresses(text: str, variable: str) -> list[str]:
    found = [part.strip() for part in text.split(",")]
    for each in found:
        name, address = parseaddr(each)
        user, _, host = address.rpartition("@")
        plain = each.isprintable() and address.isascii() and " " not in address
        if not (plain and user and host) or (name and "<" not in each):
            raise UserError(
                f"{variable} does not hold e-mail addresses",
                where=f"environment variable {variable}",
                do=f"set {variable} to an address such as team@example.org; several with commas between them",
            )
    return found
