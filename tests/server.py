"""A server on this machine in place of those that dogsim downloads from."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """An HTTP server for files, with Range; scripted answers come first, one per request.

    Attributes
    ----------
    files : dict of str to bytes
        Contents by path.
    script : list of Answer
        Answers to the next requests.
    always : Answer, optional
        Answer to all later requests, instead of `files`.
    ranges : list
        Header Range of each request, or None.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.script: list[Answer] = []
        self.always: Answer | None = None
        self.ranges: list[str | None] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                server.ranges.append(self.headers["Range"])
                answer = server.script.pop(0) if server.script else server.always
                (answer or server.serve())(self)

            do_POST = do_GET  # noqa: N815 - named by http.server

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def serve(
        self, limit: int | None = None, ranges: bool = True, shift: int = 0, **headers: str | None
    ) -> Answer:
        """Return an answer that sends the requested bytes, at most `limit`, then disconnects."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            if request.path not in self.files:
                return request.send_error(404)
            requested = request.headers["Range"] if ranges else None
            start = 0
            if requested:
                start = int(requested.removeprefix("bytes=").removesuffix("-")) + shift
            content = self.files[request.path][start:]
            request.send_response(206 if requested else 200)
            sent: dict[str, str | None] = {"Content-Length": str(len(content))}
            if requested:
                total = len(self.files[request.path])
                sent["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in sent.items():
                if value is not None:
                    request.send_header(name, value)
            request.end_headers()
            request.wfile.write(content[:limit])
            return None

        return answer


@contextmanager
def serving() -> Iterator[Server]:
    """Yield a server that is stopped at the end."""
    server = Server()
    try:
        yield server
    finally:
        server.http.shutdown()
        server.http.server_close()


def refuse(code: int) -> Answer:
    """Return an answer with an error status."""
    return lambda request: request.send_error(code)


def redirect(request: BaseHTTPRequestHandler) -> None:
    """Redirect a request to its own path."""
    request.send_response(302)
    request.send_header("Location", request.path)
    request.end_headers()


def stall(after: Answer | None = None, seconds: float = 3) -> Answer:
    """Return an answer that sends nothing for some seconds, optionally after another one."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        if after:
            after(request)
            request.wfile.flush()
        time.sleep(seconds)

    return answer
