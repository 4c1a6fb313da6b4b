"""A web server on 127.0.0.1 for tests: real clients talk to it, and it notes what they ask for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["Web", "serve"]


class Web:
    """Pages by path: the bytes, and the headers and status where they matter."""

    def __init__(self) -> None:
        self.url = ""
        self.pages: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.status: dict[str, int] = {}
        self.asked: list[str] = []
        self.cut: set[str] = set()
        """Paths of which only half is sent before the server goes silent."""
        self.half_sent = threading.Event()
        self.stopping = threading.Event()


@contextmanager
def serve() -> Iterator[Web]:
    """Serves until the block ends."""
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(False)

        def do_GET(self) -> None:
            self._answer(True)

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            web.asked.append(f"{self.command} {path}")
            body = web.pages.get(path, b"")
            self.send_response(web.status.get(path, 200 if path in web.pages else 404))
            self.send_header("Content-Length", str(len(body)))
            for name, value in web.headers.get(path, {}).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body and path in web.cut:
                self.wfile.write(body[: len(body) // 2])
                web.half_sent.set()
                web.stopping.wait(60)
            elif with_body:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on the console."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    web.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        web.stopping.set()
        server.shutdown()
        server.server_close()
