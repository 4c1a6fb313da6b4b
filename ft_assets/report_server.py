"""Serves the evaluation reports, the data cards and the lineage of tasks, and nothing else of the store, to browsers on
this machine.

The UI cannot open a `file://` link, so the metadata of assets link here. Of the store's files only the page and the
JSON of published reports and cards are served: it also holds rows of text, which have no business in a browser.
"""

import html
import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ft_assets.errors import UserError
from ft_assets.lineage.graph import Build, builds
from ft_assets.paths import reports_port, store_root

__all__ = ["card_url", "handler", "lineage_url", "report_url", "serve"]

PAGE = re.compile(r"^/([A-Za-z][A-Za-z0-9_]*)/([0-9a-f]{8,64})/(report|data_card)\.(html|json)$")
ASSETS = {"report": "evaluation_report", "data_card": "data_card"}
"""The asset that publishes each page."""
LINEAGE = re.compile(r"^/([A-Za-z][A-Za-z0-9_]*)/lineage$")
HOSTS = ("127.0.0.1", "localhost", "[::1]")
# No script, no request to anywhere: a report is text, tables and inline pictures.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

Current = Callable[[Collection[Build]], Mapping[str, Mapping[str, str]] | None]
"""Takes builds; gives the data version that each of their assets has now, by task, or None where that is not known."""


def report_url(task: str, data_version: str) -> str:
    """Where the server shows a report."""
    return f"http://127.0.0.1:{reports_port()}/{task}/{data_version}/report.html"


def card_url(task: str, data_version: str) -> str:
    """Where the server shows a data card."""
    return f"http://127.0.0.1:{reports_port()}/{task}/{data_version}/data_card.html"


def lineage_url(task: str, checkpoint: str = "") -> str:
    """Where the server shows the lineage of a task; `checkpoint`: at the one with this build key."""
    place = f"#checkpoint-{checkpoint}" if checkpoint else ""
    return f"http://127.0.0.1:{reports_port()}/{task}/lineage{place}"


def handler(root: Path, current: Current) -> Callable[..., BaseHTTPRequestHandler]:
    """What answers the requests, for the reports and the lineage of one store."""
    return partial(_Handler, root, current)


def serve(port: int, current: Current = lambda _: None) -> None:
    """Serve until interrupted.

    Raises:
        OSError: the port is taken.
    """
    with ThreadingHTTPServer(("127.0.0.1", port), handler(Path(store_root()), current)) as server:
        print(f"reports: http://127.0.0.1:{port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, root: Path, current: Current, *arguments: object) -> None:
        self.root = root
        self.current = current
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        # A page of another site may point its own name at 127.0.0.1 (DNS rebinding): its Host header tells.
        host = re.sub(r":\d+$", "", self.headers.get("Host", ""))
        if host not in HOSTS:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"reports are served to 127.0.0.1 only\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/html", self._index().encode())
        elif match := LINEAGE.match(self.path):
            self._send_lineage(match[1])
        else:
            self._send_page()

    def _send_lineage(self, task: str) -> None:
        from ft_assets.lineage.page import render_lineage

        known = builds(self.root, task)
        if not known:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"nothing was built yet of such a task\n")
            return
        current = self.current(known)
        try:
            page = render_lineage(task, known, None if current is None else current.get(task, {}))
        except UserError as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n".encode())
            return
        self._send(HTTPStatus.OK, "text/html", page.encode())

    def _send_page(self) -> None:
        match = PAGE.match(self.path)
        file = None
        if match:
            task, version, page, ending = match.groups()
            file = self.root / task / ASSETS[page] / version / f"{page}.{ending}"
        if file is None or not file.is_file():
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"no such report or data card\n")
            return
        kind = "text/html" if file.suffix == ".html" else "application/json"
        self._send(HTTPStatus.OK, kind, file.read_bytes())

    def _index(self) -> str:
        sections = (
            self._listing("Evaluation reports", "report", "none yet: materialise a task"),
            self._listing("Data cards", "data_card", "none yet: materialise the data of a task"),
        )
        return (
            "<!doctype html><meta charset=utf-8><title>Evaluation reports and data cards</title>"
            "<style>body{font:16px/1.6 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>"
            f"{''.join(sections)}"
        )

    def _listing(self, title: str, page: str, none: str) -> str:
        """Links to the pages of one kind, newest first."""
        manifests = sorted(
            self.root.glob(f"*/{ASSETS[page]}/*/manifest.json"),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        rows = []
        for path in manifests:
            made = json.loads(path.read_text(encoding="utf-8"))["created"][:16].replace("T", " ")
            task, version = html.escape(path.parts[-4]), html.escape(path.parts[-2])
            rows.append(
                f"<li><a href='/{task}/{version}/{page}.html'>{task}</a> <small>{html.escape(made)}</small> "
                f"<a href='/{task}/lineage'>lineage</a></li>"
            )
        return f"<h1>{title}</h1><p>Newest first.</p><ul>{''.join(rows) or f'<li>{none}</li>'}</ul>"

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent: the terminal belongs to Dagster's own messages."""
