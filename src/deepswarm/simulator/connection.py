"""One client's connection to the simulated provider: requests in, plays out, byte by byte as they say.

A connection goes through

    READING ─ request ─▶ PLAYING ─ last byte handed over ─▶ READING or closed

and tells the provider when the first byte of content has gone out and when the client leaves in between. It is a
Protocol with callbacks, not a coroutine with streams, because that serves twice as many requests; this file is the only
place in the room that does so. Replies are written as raw bytes, so that one that is cut or missing is really so on the
wire. A client that closes its sending side while it waits counts as one that has left.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from http import HTTPStatus
from typing import Final, cast

from deepswarm.simulator import bodies
from deepswarm.simulator.endpoints import COMPLETIONS, answered
from deepswarm.simulator.play import End, Play, Scene, moments, whole
from deepswarm.simulator.provider import SimulatedProvider, Ticket
from deepswarm.simulator.request_reader import Arrived, NotRead, RequestReader

_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}
_LINGER_NOT: Final = struct.pack("ii", 1, 0)
_LAST_CHUNK: Final = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """One client. A request that is being served is `_ticket`; it is released exactly once, in `_release`."""

    def __init__(self, provider: SimulatedProvider, connections: set[Connection], empty: asyncio.Event) -> None:
        """A connection that is not made yet.

        Args:
            provider: Decides about the requests.
            connections: All that are open; it adds and removes itself.
            empty: Set when none is left.
        """
        self._provider = provider
        self._connections = connections
        self._empty = empty
        self._loop = asyncio.get_running_loop()
        self._reader = RequestReader()
        self._unread: NotRead | None = None
        self._busy = False
        self._last = False
        self._old = False
        self._flushing = False
        self._ticket: Ticket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._play: Play | None = None
        self._moments: Iterator[Scene] = iter(())
        self._coming: Scene | None = None
        self._headed = False
        self._told = False
        self._ended = False

    # --- called by the loop ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start reading. The write buffer's limit of 0 makes the loop tell when all bytes are handed over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or we have closed."""
        del exc
        self._release(client_gone=True)
        self._connections.discard(self)
        if not self._connections:
            self._empty.set()

    def data_received(self, data: bytes) -> None:
        """Read; while a request is being served, what comes after these bytes has to wait."""
        if self._unread is None:
            try:
                self._reader.feed(data)
            except NotRead as error:
                self._unread = error
        if self._busy:
            self._transport.pause_reading()
        else:
            self._take_next()

    def pause_writing(self) -> None:
        """Bytes are left in the buffer: they are not yet handed over."""
        self._flushing = True

    def resume_writing(self) -> None:
        """The buffer is empty."""
        self._flushing = False
        if self._ended:
            self._handed_over()
        elif self._busy and self._headed and self._timer is None:
            self._go_on()

    # --- reading -----------------------------------------------------------------------------------------------------

    def _take_next(self) -> None:
        """Serve the next request that is whole; answer what cannot be read when no other is left before it."""
        if self._reader.ready:
            self._stop_timer()
            self._busy = True
            self._serve(self._reader.ready.popleft())
        elif self._unread is not None:
            self._busy = self._last = True
            self._begin(whole(bodies.error(self._unread.status, message=str(self._unread))), self._loop.time())
        elif self._reader.waiting:
            self._reader.waiting = False
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _serve(self, arrived: Arrived) -> None:
        """Show the request to the provider, and play what it decides."""
        request, lasting, self._old = arrived
        self._last = not lasting
        now = self._loop.time()
        if request.method == "POST" and request.url.partition("?")[0] in COMPLETIONS:
            self._ticket = self._provider.receive(request, now)
            self._begin(self._ticket.play, now)
        else:
            self._begin(whole(answered(self._provider, request, now)), now)

    # --- playing -----------------------------------------------------------------------------------------------------

    def _begin(self, play: Play, now: float) -> None:
        self._play = play
        self._started = now
        self._headed = self._told = self._ended = False
        simple = play.drip is None and len(play.scenes) == 1
        self._moments = iter(play.scenes) if simple else moments(play)
        self._go_on()

    def _go_on(self) -> None:
        """Wait for the next moment of the play, or for its end."""
        play = self._play
        assert play is not None  # noqa: S101 - it has begun
        self._coming = next(self._moments, None)
        at_s = play.end_s if self._coming is None else self._coming.at_s
        # What is due at once is done at once, but only at the start: writes of two moments are to be two.
        if at_s <= 0.0 and not self._headed:
            self._act()
        elif at_s < float("inf"):
            self._timer = self._loop.call_at(self._started + at_s, self._act)

    def _act(self) -> None:
        """Send what is due; the end goes out with the last bytes when it is due with them."""
        self._timer = None
        play, scene = self._play, self._coming
        assert play is not None  # noqa: S101 - it has begun
        if scene is None:
            self._end(play, b"")
            return
        data = self._framed(scene.data)
        if play.first_s is not None and scene.at_s >= play.first_s:
            self._first_byte()
        if play.end is End.WHOLE and play.end_s <= scene.at_s:
            self._end(play, data)
            return
        self._write(data)
        if not self._flushing:
            self._go_on()

    def _end(self, play: Play, data: bytes) -> None:
        """What happens when everything is sent but these bytes."""
        if play.end is End.WHOLE:
            self._ended = True
            self._write(data + _LAST_CHUNK if self._chunked else data)
            if not self._flushing:
                self._handed_over()
        elif play.end is End.CLOSE:
            self._last = self._ended = True
            if play.status:
                self._write(b"")
            if not self._flushing:
                self._handed_over()
        else:
            self._reset()

    def _write(self, data: bytes) -> None:
        """Hand bytes to the operating system, the head before the first ones."""
        if not self._headed:
            self._headed = True
            assert self._play is not None  # noqa: S101 - it has begun
            data = _head_of(self._play, chunked=self._chunked, last=self._last) + data
        if data:
            self._transport.write(data)

    @property
    def _chunked(self) -> bool:
        return self._play is not None and self._play.length is None and not self._old

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data) if data and self._chunked else data

    def _first_byte(self) -> None:
        if self._ticket is not None and not self._told:
            self._told = True
            self._provider.first_byte(self._ticket, self._loop.time())

    def _reset(self) -> None:
        """Break the connection off with an RST."""
        self._release(client_gone=False)
        connected = self._transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self._transport.abort()

    def _handed_over(self) -> None:
        """All that will be sent is with the operating system: close the account, and the connection if it must be."""
        self._release(client_gone=False)
        idle_s = self._play.idle_s if self._play is not None else None
        if self._last or idle_s == 0.0:
            self._transport.close()
            return
        self._busy = self._ended = False
        if self._reader.ready or self._unread is not None:
            # By way of the loop, because a client may send ahead more requests than the stack has room for.
            self._busy = True
            self._loop.call_soon(self._resume)
            return
        if idle_s is not None:
            self._timer = self._loop.call_later(idle_s, self._transport.close)
        if not self._transport.is_reading():
            self._transport.resume_reading()

    def _resume(self) -> None:
        """Go on with what came while the last request was being served."""
        if not self._transport.is_closing():
            self._busy = False
            self._take_next()

    def _release(self, *, client_gone: bool) -> None:
        self._stop_timer()
        if self._ticket is not None:
            ticket, self._ticket = self._ticket, None
            self._provider.release(ticket, self._loop.time(), client_gone=client_gone)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def abort(self) -> None:
        """Break the connection off."""
        self._transport.abort()


def _head_of(play: Play, *, chunked: bool, last: bool) -> bytes:
    lines = [f"HTTP/1.1 {play.status} {_REASONS.get(play.status, 'Unknown')}"]
    for name, value in play.headers.items():
        lines += [f"{name}: {each}" for each in value.split("\n")]
    if chunked:
        lines.append("transfer-encoding: chunked")
    elif play.length is not None:
        lines.append(f"content-length: {play.length}")
    lines.append("connection: close\r\n\r\n" if last else "connection: keep-alive\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1")
