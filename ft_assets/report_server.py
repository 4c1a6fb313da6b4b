"""Serves the evaluation reports, and nothing else of the store, to browsers on this machine.

The UI cannot open a `file://` link, so the report's metadata links here. Only `report.html` and `report.json`
of published reports are served: the store also holds rows of text, which have no business in a browser.
"""

import html
import json
import re
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from ft_assets.paths import reports_port, store_root

__all__ = ["report_url", "serve"]

REPORT = re.compile(r"^/([A-Za-z][A-Za-z0-9_]*)/([0-9a-f]{8,64})/(report\.html|report\.json)$")
HOSTS = ("127.0.0.1", "localhost", "[::1]")
# No script, no request to anywhere: a report is text, tables and inline pictures.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def report_url(task: str, data_version: str) -> str:
    """Where the server shows a report."""
    return f"http://127.0.0.1:{reports_port()}/{task}/{data_version}/report.html"


def serve(port: int) -> None:
    """Serve until interrupted.

    Raises:
        OSError: the port is taken.
    """
    handler = partial(_Handler, Path(store_root()))
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"reports: http://127.0.0.1:{port}/", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, root: Path, *arguments: object) -> None:
        self.root = root
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        # A page of another site may point its own name at 127.0.0.1 (DNS rebinding): its Host header tells.
        host = re.sub(r":\d+$", "", self.headers.get("Host", ""))
        if host not in HOSTS:
            self._send(HTTPStatus.FORBIDDEN, "text/plain", b"reports are served to 127.0.0.1 only\n")
        elif self.path == "/":
            self._send(HTTPStatus.OK, "text/html", self._index().encode())
        else:
            self._send_report()

    def _send_report(self) -> None:
        match = REPORT.match(self.path)
        file = self.root / match[1] / "evaluation_report" / match[2] / match[3] if match else None
        if file is None or not file.is_file():
            self._send(HTTPStatus.NOT_FOUND, "text/plain", b"no such report\n")
            return
        kind = "text/html" if file.suffix == ".html" else "application/json"
        self._send(HTTPStatus.OK, kind, file.read_bytes())

    def _index(self) -> str:
        manifests = sorted(
            self.root.glob("*/evaluation_report/*/manifest.json"),
            key=lambda path: path.stat().st_mtime,
            reverse=True,
        )
        rows = []
        for path in manifests:
            made = json.loads(path.read_text(encoding="utf-8"))["created"]
            task, version = path.parts[-4], path.parts[-2]
            link = f"/{html.escape(task)}/{html.escape(version)}/report.html"
            rows.append(
                f"<li><a href='{link}'>{html.escape(task)}</a> <small>{html.escape(made)}</small></li>"
            )
        listing = "".join(rows) or "<li>none yet: materialise a task</li>"
        return (
            "<!doctype html><meta charset=utf-8><title>Evaluation reports</title>"
            "<style>body{font:16px/1.6 system-ui;max-width:40rem;margin:3rem auto;padding:0 1rem}</style>"
            f"<h1>Evaluation reports</h1><p>Newest first.</p><ul>{listing}</ul>"
        )

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
