"""Servers on 127.0.0.1 that take notifications: one for HTTP, one for SMTP. They keep what they were sent."""

from __future__ import annotations

import base64
import email.policy
import json
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

__all__ = ["Inbox", "Post", "certificate", "http_inbox", "smtp_post"]


@dataclass
class Inbox:
    """What a webhook has received."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers; then 200."""
    location: str = ""
    silent: threading.Event | None = None
    """While it is set to an event, no request is answered before that."""
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)


@contextmanager
def http_inbox() -> Iterator[Inbox]:
    """Takes posts until the block ends."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            inbox.paths.append(self.path)
            inbox.headers.append(dict(self.headers))
            inbox.bodies.append(json.loads(body))
            if inbox.silent is not None:
                inbox.silent.wait(60)
            self._answer(inbox.answers.pop(0) if inbox.answers else 200)

        def do_GET(self) -> None:
            inbox.paths.append(f"GET {self.path}")
            self._answer(200)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", inbox.location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    inbox.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield inbox
    finally:
        if inbox.silent is not None:
            inbox.silent.set()
        server.shutdown()
        server.server_close()


@dataclass
class Post:
    """An SMTP server: how it behaves, and what it has received."""

    port: int = 0
    starttls: bool = False
    user: str = ""
    password: str = ""
    refused: set[str] = field(default_factory=set)
    """Addresses that it does not take."""
    answers: list[int] = field(default_factory=list)
    """Codes of the next answers to a sender's address; then 250."""
    mails: list[EmailMessage] = field(default_factory=list)
    to: list[list[str]] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    """Every line that clients have sent, but for the mails."""


@contextmanager
def smtp_post(
    *, context: ssl.SSLContext | None = None, encrypted: bool = False, **behaviour: Any
) -> Iterator[Post]:
    """Takes e-mails until the block ends (RFC 5321, as much as a client needs).

    Args:
        context: certificate, for STARTTLS or from the start.
        encrypted: whether it is encrypted from the start.
        behaviour: fields of `Post`.
    """
    post = Post(starttls=context is not None and not encrypted, **behaviour)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.encrypted = encrypted
            try:
                if encrypted:
                    assert context is not None
                    self.request = context.wrap_socket(self.request, server_side=True)
                self.stream = self.request.makefile("rb")
                self._converse()
            except (OSError, ssl.SSLError):
                return  # the client hung up, or did not trust the certificate

        def _say(self, text: str) -> None:
            self.request.sendall(f"{text}\r\n".encode())

        def _converse(self) -> None:
            recipients: list[str] = []
            self._say("220 ready")
            while line := self.stream.readline():
                text = line.decode().strip()
                post.lines.append(text)
                word = text.split(":")[0].upper()
                if word.startswith(("EHLO", "HELO")):
                    offers = (
                        ["127.0.0.1"] + ["STARTTLS"] * (post.starttls and not self.encrypted) + ["AUTH PLAIN"]
                    )
                    for place, offer in enumerate(offers):
                        self._say(f"250{'-' if place < len(offers) - 1 else ' '}{offer}")
                elif word == "STARTTLS":
                    assert context is not None
                    self._say("220 go on")
                    self.request = context.wrap_socket(self.request, server_side=True)
                    self.stream, self.encrypted = self.request.makefile("rb"), True
                elif word.startswith("AUTH PLAIN"):
                    given = base64.b64decode(text.split()[2]).decode().split("\0")[1:]
                    good = given == [post.user, post.password]
                    self._say("235 welcome" if good else f"535 {post.user} is not let in with {given[1]}")
                elif word == "MAIL FROM":
                    self._say(f"{post.answers.pop(0) if post.answers else 250} it is")
                elif word == "RCPT TO":
                    address = text.partition("<")[2].partition(">")[0]
                    recipients += [address] if address not in post.refused else []
                    self._say(f"550 no {address} here" if address in post.refused else "250 fine")
                elif word == "DATA":
                    self._say("354 go on")
                    self._receive(recipients)
                elif word == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 fine")

        def _receive(self, recipients: list[str]) -> None:
            content = b""
            while (line := self.stream.readline()) != b".\r\n":
                content += line[1:] if line.startswith(b"..") else line
            parsed = BytesParser(policy=email.policy.default).parsebytes(content)
            assert isinstance(parsed, EmailMessage)
            post.mails.append(parsed)
            post.to.append(recipients)
            post.encrypted.append(self.encrypted)
            self._say("250 taken")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    post.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield post
    finally:
        server.shutdown()
        server.server_close()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that signs itself, and a server's context with it."""
    key, made = folder / "key.pem", folder / "certificate.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", made],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return made, context
