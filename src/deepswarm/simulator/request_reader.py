"""Requests as they come in: bytes of a connection in, whole requests out. No clock, no socket.

The only file of the room that knows the parser (`httptools`, which wraps llhttp). A client may send any number of
requests ahead; they stand in `ready` until somebody takes them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from deepswarm.core.records import HttpRequest

REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Largest body of a request that is read."""
HEAD_BYTES: Final = 64 * 1024
"""Most bytes of a request before its body."""
_KEYS: Final = frozenset({b"authorization", b"x-api-key"})
"""The headers that the provider looks at."""


class Arrived(NamedTuple):
    """A whole request.

    Attributes:
        request: Its address is what stands in its first line; of its headers it has those that carry a key.
        lasting: Whether the connection is to be kept after the reply.
        old: Whether it is HTTP/1.0, which knows no chunks.
    """

    request: HttpRequest
    lasting: bool
    old: bool


class NotRead(ValueError):
    """What came cannot be read, nor can anything after it. `status` is that of the reply."""

    def __init__(self, status: int, what: str) -> None:
        super().__init__(what)
        self.status = status


class RequestReader:
    """The requests of one connection.

    Attributes:
        ready: Those that are whole, in order; whoever takes one removes it.
        waiting: Whether the client sends its body only when it is told to go on (100).
    """

    def __init__(self) -> None:
        self.ready: deque[Arrived] = deque()
        self.waiting = False
        self._parser = HttpRequestParser(self)
        self._head_size = 0
        self._too_long = False
        self.on_message_begin()

    def feed(self, data: bytes) -> None:
        """Take the next bytes, split anywhere.

        Raises:
            NotRead: They are no HTTP, or too many. What was whole before is in `ready`.
        """
        if not self._headed:
            self._head_size += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            raise NotRead(400, "Another protocol is not spoken here") from None
        except HttpParserError as error:
            raise NotRead(400, f"This is no HTTP request: {error}") from error
        if self._too_long:
            raise NotRead(413, f"Request bodies end at {REQUEST_BYTES:,} bytes here")
        if not self._headed and self._head_size > HEAD_BYTES:
            raise NotRead(431, f"Heads of requests end at {HEAD_BYTES:,} bytes here")

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self._path = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._headed = self._asks = False

    def on_url(self, url: bytes) -> None:
        """Called by the parser, with the next part of the address."""
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        name = name.lower()
        if name in _KEYS:
            self._headers[name.decode("latin-1")] = value.decode("latin-1")
        elif name == b"expect":
            self._asks = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._headed = True
        self.waiting = self._asks

    def on_body(self, data: bytes) -> None:
        """Called by the parser, with the next part of the body."""
        self.waiting = False
        self._body.append(data)
        self._size += len(data)
        self._too_long = self._too_long or self._size > REQUEST_BYTES

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.waiting = False
        if self._too_long:
            return
        parser = self._parser
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = HttpRequest(self._path.decode("latin-1"), self._headers, body, parser.get_method().decode("latin-1"))
        self.ready.append(Arrived(request, parser.should_keep_alive(), parser.get_http_version() == "1.0"))
        self._headed, self._head_size = False, 0
