"""The recorded control plane's HTTP side: the dashboard's files and its resources."""

import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import parse_qs, urlsplit

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from typing_extensions import Self

from dashboard_fixture.stories import STORIES, Story

STATIC = Path(__file__).resolve().parents[2] / "control" / "dashboard"
# As the control plane sends it, and with Trusted Types, so that markup from text is an error.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


class Playback:
    """Serves the dashboard with a story; the story can be changed and the link cut meanwhile."""

    def __init__(self, story: str, *, every_s: float = 0.1, port: int = 0, token: str = "") -> None:
        """Plays `story` (a name in `STORIES`), one tick every `every_s` seconds."""
        self.token = token
        self._every_s = every_s
        self._begun = time.monotonic()
        self._cut = threading.Event()
        self._closed = threading.Event()
        self.play(story)
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.playback = self
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where the dashboard is."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def play(self, story: str) -> None:
        """Changes the story; open pages see it with the next tick."""
        self._story = STORIES[story](int(time.time() * 1000))

    def cut(self) -> None:
        """Ends all streams and refuses every request for a resource, until `mend`."""
        self._cut.set()

    def mend(self) -> None:
        """Answers again."""
        self._cut.clear()

    @property
    def is_cut(self) -> bool:
        """Whether the link is cut."""
        return self._cut.is_set()

    @property
    def story(self) -> Story:
        """What is played."""
        return self._story

    @property
    def tick(self) -> int:
        """The tick of this moment."""
        return int((time.monotonic() - self._begun) / self._every_s)

    def wait_for_tick(self) -> bool:
        """Waits for the next tick; false when the stream is to end."""
        ended = self._closed.wait(self._every_s)
        return not ended and not self.is_cut

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    playback: Playback

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that goes away in the middle of an answer is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers a file or a resource."""
        url = urlsplit(self.path)
        if not url.path.startswith("/api/"):
            self._file(url.path)
        elif self.server.playback.is_cut:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", b"cut")
        elif self.server.playback.token not in ("", self._token()):
            self._answer(HTTPStatus.UNAUTHORIZED, "text/plain", b"no token")
        elif url.path == "/api/events":
            self._events()
        else:
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
            self._resource(url.path, query)

    def _token(self) -> str:
        return self.headers.get("Authorization", "").removeprefix("Bearer ")

    def _file(self, path: str) -> None:
        file = (STATIC / path.lstrip("/")).resolve()
        if path == "/":
            file = STATIC / "index.html"
        if not file.is_relative_to(STATIC) or file.suffix not in _TYPES or not file.is_file():
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"no such file")
            return
        self._answer(HTTPStatus.OK, f"{_TYPES[file.suffix]}; charset=utf-8", file.read_bytes())

    def _resource(self, path: str, query: dict[str, str]) -> None:
        playback = self.server.playback
        limit = int(query.get("limit", "0"))
        method = query.get("method", "")
        answers: dict[str, Message] = {}
        if path == "/api/status":
            answers[path] = playback.story.status(playback.tick)
        elif path == "/api/differences":
            answers[path] = playback.story.differences(method, query.get("path", ""), limit)
        elif path == "/api/traces":
            only = query.get("only_mismatched") == "true"
            answers[path] = playback.story.traces(method, limit, only_mismatched=only)
        elif path == "/api/decisions":
            answers[path] = playback.story.decisions(limit)
        elif path == "/api/report":
            answers[path] = playback.story.report(playback.tick)
        if path not in answers:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"no such resource")
            return
        body = MessageToJson(answers[path], indent=None).encode()
        self._answer(HTTPStatus.OK, "application/json", body)

    def _events(self) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Connection", "close")
        self.end_headers()
        playback = self.server.playback
        go = True
        while go:
            status = MessageToJson(playback.story.status(playback.tick), indent=None)
            self.wfile.write(f"event: status\ndata: {status}\n\n".encode())
            self.wfile.flush()
            go = playback.wait_for_tick()
        self.close_connection = True

    def _answer(self, code: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keeps the tests' output quiet."""
