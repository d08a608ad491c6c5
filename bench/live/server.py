"""The HTTP server of the live page: this machine only, read-only, standard library only."""

import errno
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, cast

from ..suggest import RequestError
from .watcher import Watcher

HOST = "127.0.0.1"
PORT = 8765
EVENT_S = 15.0  # after which a client without news gets a comment
FILES = {  # path -> package, file, type
    "/": ("sarbench.bench.live", "live.html", "text/html"),
    "/page.css": ("sarbench.results.page", "page.css", "text/css"),
    "/live.css": ("sarbench.bench.live", "live.css", "text/css"),
    "/live.js": ("sarbench.bench.live", "live.js", "text/javascript"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:"
)


class LiveServer(ThreadingHTTPServer):
    """The server of one watcher."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, watcher: Watcher, port: int = PORT) -> None:
        """Bind the port of this machine; 0 takes any free one.

        Raises:
            RequestError: The port is in use or not allowed.
        """
        self.watcher = watcher
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            used = getattr(error, "errno", None) == errno.EADDRINUSE
            why = "is in use by another program" if used else f"cannot be used: {error}"
            raise RequestError(
                f"port {port} {why}; allowed is a free port from 1024 to 65535, or 0 for any free "
                "one. Give another one with --port, or end the other program"
            ) from None

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_address[1]}/"

    def run(self) -> None:
        """Answer until Ctrl-C."""
        self.watcher.start()
        try:
            self.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            pass
        finally:
            self.watcher.end()
            self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about a browser that closed its connection."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET of the page, its files, the state, and the stream of states."""

    protocol_version = "HTTP/1.1"
    server_version = "sarbench"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a request."""
        path = self.path.partition("?")[0]
        if not self._is_ours():
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "only this machine may ask\n")
        elif path in FILES:
            package, name, kind = FILES[path]
            self._answer(HTTPStatus.OK, kind, (files(package) / name).read_text("utf-8"))
        elif path == "/state":
            text = self._served().watcher.wait(None, EVENT_S)[1]
            self._answer(HTTPStatus.OK, "application/json", text)
        elif path == "/events":
            self._stream()
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "no such page\n")

    def _served(self) -> LiveServer:
        return cast(LiveServer, self.server)

    def _is_ours(self) -> bool:
        """Return whether the request names this machine, not a foreign name that leads to it."""
        port = self._served().server_address[1]
        return self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self._head(status, kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _head(self, status: HTTPStatus, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")

    def _stream(self) -> None:
        """Send every new state as a server-sent event until the client leaves."""
        self.close_connection = True
        self._head(HTTPStatus.OK, "text/event-stream")
        self.end_headers()
        version, watcher = 0, self._served().watcher
        while not watcher.ended:
            newest, text = watcher.wait(version, EVENT_S)
            event = f"data: {text}\n\n" if newest > version and text else ": no news\n\n"
            try:
                self.wfile.write(event.encode())
                self.wfile.flush()
            except OSError:  # the client has left
                return
            version = newest

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing for a request."""
