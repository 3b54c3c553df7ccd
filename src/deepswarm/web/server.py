"""The live page's server: on 127.0.0.1 alone, one thread for each connection, nothing that can be changed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_urlsafe
from typing import Final

from deepswarm.version import VERSION
from deepswarm.web.access import HEADERS, Access, Refusal
from deepswarm.web.answers import Answer, Answers
from deepswarm.web.following import Following

IDLE_S: Final = 60.0
"""Seconds after which a connection without a request is closed."""


class Server(ThreadingHTTPServer):
    """The socket, with what its connections need."""

    daemon_threads = True

    def __init__(self, port: int, answers: Answers) -> None:
        """Listen; `port` 0 takes any that is free.

        Raises:
            OSError: If the port is taken.
        """
        super().__init__(("127.0.0.1", port), _Connection)
        self.answers = answers
        self.access = Access(token_urlsafe(24), self.server_port)

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that went away in the middle of an answer is no news."""


class _Connection(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = f"DeepSwarm/{VERSION}"
    sys_version = ""
    timeout = IDLE_S

    def _respond(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        wanted = self.server.access.check(self.command, self.path, headers)
        if isinstance(wanted, Refusal):
            self.close_connection = True  # whatever body came is not read
            self._send(Answer(wanted.status, "text/plain; charset=utf-8", f"{wanted.why}\n".encode()))
        else:
            self._send(self.server.answers.answer(wanted))

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _respond  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Addresses hold the secret: they are written nowhere."""


@contextmanager
def viewing(folder: Path, port: int = 0) -> Iterator[Access]:
    """The live page of a run, served as long as this is entered.

    Args:
        folder: The run's output folder.
        port: To listen on; 0 takes any that is free.

    Raises:
        OSError: If the port is taken.
    """
    following = Following(folder, time.time, time.monotonic)
    with Server(port, Answers(folder, following)) as server:
        threads = [
            threading.Thread(target=following.follow, name="following", daemon=True),
            threading.Thread(target=server.serve_forever, name="serving", daemon=True),
        ]
        for thread in threads:
            thread.start()
        try:
            yield server.access
        finally:
            following.end()
            server.shutdown()
            for thread in threads:
                thread.join()
