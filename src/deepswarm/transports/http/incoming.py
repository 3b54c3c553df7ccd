"""A reply as it comes in: bytes of a connection in, what they mean out. No clock, no socket.

The only file that knows the parser (`httptools`, which wraps llhttp). What the parser calls for every header and every
piece of a body are methods of built-in containers: nothing in Python runs per chunk.

The rules:
    - 1xx replies are passed over; a redirect is a reply like any other;
    - of a header that comes twice the first counts;
    - a body ends with its length, its last chunk, or, when it has neither, with the connection;
    - a reply is streamed when whoever asked can take pieces, its status is 200 and its type text/event-stream;
    - packed bodies are unpacked in bounded steps, although nobody asks for them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from deepswarm.core.errors import CallError, Cut, Disconnected, Garbled, TooLarge
from deepswarm.core.records import Assembler, HttpReply
from deepswarm.transports import REPLY_BYTES, STREAM_BYTES
from deepswarm.transports.http.scrubbing import Scrubber

HEAD_BYTES: Final = 64 * 1024
"""Most bytes of a reply before its body."""
SHOWN_BYTES: Final = 200
"""Most bytes that a message repeats of what was no HTTP."""
_FRAMED: Final = zlib.MAX_WBITS | 32
"""Lets zlib see by itself whether the frame is its own or gzip's."""


class Incoming:
    """The replies of one connection, one after another.

    Attributes:
        begun: Whether any byte of the reply has come.
        status: 0 until the head is whole.
        streamed: Whether the assembler takes the body.
        complete: Whether the whole reply has come.
    """

    def __init__(self) -> None:
        self._fields: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._before = self._size = 0
        self.streamed = False
        self.on_header = self._fields.setdefault
        self.on_body = self._pieces.append
        self._parser = HttpResponseParser(self)
        self.begin(None)

    def __repr__(self) -> str:
        return f"Incoming(status={self.status}, size={self._size}, complete={self.complete})"

    def begin(self, assembler: Assembler | None) -> None:
        """Be ready for the next reply."""
        self._before = self.received
        self._fields.clear()
        self._assembler = assembler
        self._headers: dict[bytes, bytes] = {}
        self._opening = b""
        self._body: list[bytes] = []
        self._size = 0
        self._head_size = 0
        self._most = REPLY_BYTES
        self._unpacker: _Unpacker | None = None
        self._known = False
        self._excess = self._lasting = False
        self.begun = self.streamed = self.complete = False
        self.status = 0

    def feed(self, data: bytes) -> bool:
        """Take the next bytes, split anywhere.

        Returns:
            Whether content came: what the assembler calls so, or anything but whitespace of a whole reply.

        Raises:
            Garbled: They are not HTTP, or packed in a way that cannot be unpacked.
            TooLarge: There are more of them than is read.
            Looping: The assembler has had enough.
        """
        rest = b""
        if not self._known:
            if not self.begun:
                self.begun, self._opening = True, data
            room = HEAD_BYTES - self._head_size
            self._head_size += len(data)
            data, rest = (data, b"") if len(data) <= room else (data[:room], data[room:])
        broken = self._parse(data)
        if not self._known:
            if self.status:
                self._look_at_head()
            elif rest and not broken:
                raise self._garbled(f"a head of more than {HEAD_BYTES:,} bytes")
        if rest and not broken:
            broken = self._parse(rest)
        content = self._take() if self._pieces else False
        if broken and not self.ended:
            raise self._garbled(broken)
        if self._known:
            self._fields.clear()  # trailers, which nobody reads
        return content

    @property
    def ended(self) -> bool:
        """Whether nothing more need be waited for."""
        return self.complete or (self.streamed and self._assembler is not None and self._assembler.done)

    @property
    def received(self) -> int:
        """Bytes of all streamed replies until now."""
        return self._before + self._size if self.streamed else self._before

    @property
    def reusable(self) -> bool:
        """Whether the connection can carry another request."""
        return self.complete and self._lasting and not self._excess

    def body(self) -> bytes:
        """What came until now, unpacked; of a stream, what its pieces amount to."""
        if self.streamed:
            return self._assembler.body() if self._assembler is not None and self._size else b""
        return b"".join(self._body)

    def head(self, scrub: Scrubber) -> Mapping[str, str]:
        """The headers, as far as they have come."""
        return _Headers(self._headers, scrub)

    def reply(self, scrub: Scrubber, first_s: float | None) -> HttpReply:
        """The reply that has come, or that ended with its connection.

        Raises:
            Cut: What was packed broke off.
            TooLarge: The pieces of a stream amount to too much.
        """
        if self._unpacker is not None and not self._unpacker.finished and not self.streamed:
            raise self._cut("a packed reply broke off")
        body = self._body[0] if len(self._body) == 1 else self.body()
        if len(body) > REPLY_BYTES:
            raise _too_large(len(body))
        size = self._size if self.streamed else 0
        reply = HttpReply(self.status, _Headers(self._headers, scrub), scrub(body), first_s, size)
        self._body, self._assembler = [], None  # an idle connection holds on to no reply
        return reply

    def close(self) -> None:
        """There will be no more bytes: let go of everything, and of the parser, which holds on to this."""
        self.begin(None)
        del self._parser

    def lost(self, reason: str) -> CallError | None:
        """What it means that the connection ended now; None when the reply ended with it, as it may.

        Args:
            reason: Why, for people; empty when the server closed it in the usual way.
        """
        if not self.begun:
            return Disconnected(f"the connection was {reason or 'closed'} before the reply", maybe_billed=True)
        if not self.status:
            said = f"the connection was {reason or 'closed'} within the reply's head, which began {self._opened()}"
            return Disconnected(said, maybe_billed=True)
        if not reason and not self._framed():
            return None
        return self._cut(f"the connection was {reason or 'closed'} within the reply")

    # --- what the parser calls ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Called by the parser: after a whole reply, that is one too many."""
        self._excess = self.complete

    def on_headers_complete(self) -> None:
        """Called by the parser: of a reply, or of the news (1xx) that go before one."""
        status = self._parser.get_status_code()
        if status >= 200 and not self._excess:
            self.status = status

    def on_message_complete(self) -> None:
        """Called by the parser."""
        if self.status:
            self.complete = True
            self._lasting = self._parser.should_keep_alive()  # the parser forgets it with the message
        else:
            self._fields.clear()

    # --- the steps of feed --------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> str:
        """Parse; what is wrong with the bytes, for people, or nothing."""
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:
            return "a switch to another protocol"
        except HttpParserError as error:
            self._excess = True
            return f"{error}"
        return ""

    def _look_at_head(self) -> None:
        self._known, self._opening = True, b""
        self._headers = headers = {name.lower(): value for name, value in reversed(self._fields.items())}
        packed = headers.get(b"content-encoding")
        if packed is not None:
            self._unpacker = _unpacker(packed)
        if self._assembler is not None and self.status == 200:
            kind = headers.get(b"content-type", b"").partition(b";")[0]
            self.streamed = kind.strip().lower() == b"text/event-stream"
            self._most = STREAM_BYTES if self.streamed else REPLY_BYTES
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._most:
            raise _too_large(int(announced))

    def _take(self) -> bool:
        """Take the pieces of a body that one reading brought, as one."""
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._size += len(data)
        if self._size > self._most:
            raise _too_large(self._size)
        if self._unpacker is not None:
            try:
                data = self._unpacker.unpack(data, self._most)
            except zlib.error as error:
                raise self._garbled(f"a body that cannot be unpacked ({error})") from None
        if self.streamed:
            return self._assembler is not None and self._assembler.feed(data)
        self._body.append(data)
        return not (data.isspace() or not data)

    # --- what went wrong ----------------------------------------------------------------------------------------------

    def _framed(self) -> bool:
        """Whether the body says itself where it ends."""
        return b"content-length" in self._headers or b"chunked" in self._headers.get(b"transfer-encoding", b"").lower()

    def _opened(self) -> str:
        return repr(self._opening[:SHOWN_BYTES])[1:]

    def _cut(self, what: str) -> Cut:
        return Cut(what, status=self.status, maybe_billed=True, body=self.body())

    def _garbled(self, what: str) -> Garbled:
        began = "" if self.status else f"; it began {self._opened()}"
        body = self.body() or (b"" if self.status else self._opening[:HEAD_BYTES])
        return Garbled(f"the reply is no HTTP: {what}{began}", status=self.status, maybe_billed=True, body=body)


def _too_large(size: int) -> TooLarge:
    return TooLarge(f"a reply of {size:,} bytes or more; reading stops at {REPLY_BYTES:,}", maybe_billed=True)


class _Unpacker:
    """Unpacks gzip and deflate, whole or in pieces. Source: RFC 9110, section 8.4.1; of gzip also several members."""

    def __init__(self, *, may_be_bare: bool) -> None:
        """Be ready; `may_be_bare`: deflate may come without its frame (zlib), as some servers send it."""
        self._engine = None if may_be_bare else zlib.decompressobj(_FRAMED)
        self._start = b""
        self._made = 0
        self._fed = False

    @property
    def finished(self) -> bool:
        """Whether what came is whole; nothing at all is."""
        return not self._fed or (self._engine is not None and self._engine.eof)

    def unpack(self, data: bytes, most: int) -> bytes:
        """The next bytes, unpacked.

        Raises:
            TooLarge: They, and those before them, are more than `most`.
            zlib.error: They are not what they say.
        """
        self._fed = True
        if self._engine is None:
            self._start = data = self._start + data
            if len(data) < 2:
                return b""
            framed = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0  # RFC 1950, section 2.2
            self._engine = zlib.decompressobj(_FRAMED if framed else -zlib.MAX_WBITS)
        made = []
        while data:
            if self._engine.eof:
                self._engine = zlib.decompressobj(_FRAMED)
            made.append(self._engine.decompress(data, most + 1 - self._made))
            self._made += len(made[-1])
            if self._made > most:
                raise _too_large(self._made)
            data = self._engine.unconsumed_tail or self._engine.unused_data
        return b"".join(made)


def _unpacker(packed: bytes) -> _Unpacker | None:
    """What unpacks a body; None when it is not packed.

    Raises:
        Garbled: It is packed in a way that nobody asked for.
    """
    kind = packed.strip().lower()
    if kind in {b"", b"identity"}:
        return None
    if kind in {b"gzip", b"x-gzip", b"deflate"}:
        return _Unpacker(may_be_bare=kind == b"deflate")
    said = kind[:SHOWN_BYTES].decode("ascii", "backslashreplace")
    raise Garbled(f"the reply is packed as {said}, which nobody asked for", maybe_billed=True)


@lru_cache(maxsize=256)
def _named(name: bytes, scrub: Scrubber) -> str:
    """A header's name; a server's are the same in every reply."""
    return scrub(name).decode("latin-1")


class _Headers(Mapping[str, str]):
    """A reply's headers by name in lower case, decoded when asked for: of most replies hardly one ever is."""

    __slots__ = ("_fields", "_scrub")

    def __init__(self, fields: dict[bytes, bytes], scrub: Scrubber) -> None:
        self._fields = fields
        self._scrub = scrub

    def __repr__(self) -> str:
        return repr(dict(self))

    def __getitem__(self, name: str) -> str:
        try:
            return self._scrub(self._fields[name.encode("latin-1")]).decode("latin-1")
        except UnicodeEncodeError:
            raise KeyError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        """As every mapping's; without an exception for what is not there, which is most of what is looked for."""
        found = self._fields.get(name.encode("latin-1", "replace"))
        return default if found is None else self._scrub(found).decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter([_named(name, self._scrub) for name in self._fields])

    def __len__(self) -> int:
        return len(self._fields)
