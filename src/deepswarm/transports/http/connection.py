"""One connection: a request out, a reply in, and the deadlines of both.

A connection carries one call at a time. Its end is always at once (`abort`): whoever waits on the other side sees it,
and a provider's slot that the call held is free again.

Deadlines are one timer that looks, when it fires, whether the call's deadline has moved on meanwhile; content moves it
by a plain assignment. It outlives the call: with calls of milliseconds and deadlines of minutes it is set once.

A request on a kept connection may cross the server's goodbye. Typical servers close what is idle without reading. It
counts as never asked (`Unreachable`) only when that is certain: the server ended the connection (FIN) before its TCP
acknowledged one byte of the request, or the system refused to write it. A connection that was reset, or closed after
the request was received, may have been read: `Disconnected`, and possibly billed.
Source: TCP_INFO of Linux, `include/uapi/linux/tcp.h` (tcpi_bytes_acked, tcpi_bytes_sent, tcpi_bytes_retrans).
"""

from __future__ import annotations

import asyncio
import math
import select
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Final, cast

from deepswarm.core.errors import CallError, Disconnected, TimedOut, Unreachable
from deepswarm.core.records import Assembler, Deadlines, HttpReply, Watch
from deepswarm.transports.http.incoming import Incoming
from deepswarm.transports.http.scrubbing import Scrubber

DRAIN_S: Final = 1.0
"""Seconds that the rest of a stream's frame may take after its end was said; the connection is closed otherwise."""
_TICK_S: Final = 0.001
"""The event loop's timers are as fine as this."""


_NO_HEADERS: Final[Mapping[str, str]] = {}


class Connection(asyncio.Protocol):
    """An open connection, waiting for a request or for a reply.

    Attributes:
        released: When it last became free, in the loop's seconds.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        scrub: Scrubber,
        freed: Callable[[Connection], None],
        lost: Callable[[Connection], None],
    ) -> None:
        """Make a connection that is not open yet.

        Args:
            loop: The running loop.
            scrub: Takes secrets out of what comes back.
            freed: Called when the connection can carry another call.
            lost: Called when it is closed; once for each that was opened.
        """
        self._loop = loop
        self._scrub = scrub
        self._freed = freed
        self._lost = lost
        self._incoming = Incoming()
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[HttpReply] | None = None
        self._draining = False
        self._reused = False
        self._poll: select.poll | None = None
        self._sent = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = self._due = math.inf
        self._deadlines = Deadlines()
        self._began = 0.0
        self._first_s: float | None = None
        self._watch: Watch | None = None
        self._taken = False
        self.released = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "asked" if self._waiting else "idle"
        return f"Connection({state}, {self._incoming!r})"

    # --- asking ------------------------------------------------------------------------------------------------------

    def ask(
        self, message: bytes, deadlines: Deadlines, assembler: Assembler | None, watch: Watch | None = None
    ) -> asyncio.Future[HttpReply]:
        """Send a request; its reply, or a CallError, comes as the future's result.

        Args:
            message: Head and body.
            deadlines: `connect_s` is of no interest any more.
            assembler: Takes the pieces of a streamed reply.
            watch: Is told of signs of life.
        """
        transport = cast("asyncio.Transport", self._transport)
        waiting: asyncio.Future[HttpReply] = self._loop.create_future()
        self._waiting = waiting
        self._incoming.begin(assembler)
        self._deadlines = deadlines
        self._first_s = None
        self._watch, self._taken = watch, False
        self._sent = len(message)
        self._began = began = self._loop.time()
        transport.write(message)
        total_s = deadlines.total_s
        self._wait_until(began + (total_s if assembler is None else min(total_s, deadlines.first_s)))
        return waiting

    def leave(self, waiting: asyncio.Future[HttpReply]) -> None:
        """Close the connection if it still carries this call: nobody waits for it any more."""
        if self._waiting is waiting:
            self.abort()
        if waiting.done() and not waiting.cancelled():
            waiting.exception()  # it was told, to nobody

    def stop(self) -> None:
        """Close at once; whoever waits is told so."""
        self._fail(Disconnected("the connection was closed from here before the reply", maybe_billed=True))

    def abort(self) -> None:
        """Close at once, and tell nobody."""
        self._waiting = None
        self._draining = False
        if self._transport is not None:
            self._transport.abort()

    @property
    def closed(self) -> bool:
        """Whether it is of no more use."""
        return self._transport is None or self._transport.is_closing()

    @property
    def fresh(self) -> bool:
        """Whether an idle connection is still open on the other side, as far as this one's system has heard."""
        if self._transport is None or self.closed:
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    # --- what the loop calls -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop. Bytes that nobody asked for end the connection."""
        incoming = self._incoming
        if self._waiting is None:
            self._drain(data)
            return
        try:
            content = incoming.feed(data)
        except Exception as error:  # noqa: BLE001 - also a fault of the assembler must reach the caller, not the loop's log
            self._fail(error)
            return
        if self._watch is not None:
            self._tell(content)
        if incoming.ended:
            if content and incoming.streamed and self._first_s is None:
                self._first_s = self._loop.time() - self._began
            self._hand_over()
            if incoming.complete:
                self._free()
            elif not self.closed:
                self._draining = True
                self._wait_until(self._loop.time() + DRAIN_S)
        elif content:
            self._progressed()

    def eof_received(self) -> None:
        """Called by the loop: the other side has ended. The transport then closes by itself."""
        if self._waiting is not None:
            self._broke("", unread=self._reused and not self._incoming.begun and self._unacknowledged())
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._poll = None
        if self._waiting is not None:
            unread = self._reused and not self._incoming.begun and isinstance(exc, BrokenPipeError)
            self._broke(_reason(exc), unread=unread)
        self._transport = None
        self._incoming.close()
        self._lost(self)

    def _tell(self, content: bool) -> None:  # noqa: FBT001 - called for every piece of a stream
        """Tell whoever watches of the head of a good reply, and of its first content; then of nothing more."""
        watch, incoming = self._watch, self._incoming
        if watch is None or not incoming.status:
            return
        if incoming.status != 200:
            self._watch = None
            return
        if not self._taken:
            self._taken = True
            watch.taken(incoming.head(self._scrub) if incoming.streamed else _NO_HEADERS)
        if content:
            self._watch = None
            if incoming.streamed:
                watch.begun()

    @property
    def received(self) -> int:
        """Bytes of all streamed replies that it has carried until now."""
        return self._incoming.received

    # --- ends of a call ----------------------------------------------------------------------------------------------

    def _hand_over(self) -> None:
        """The reply is there."""
        try:
            reply = self._incoming.reply(self._scrub, self._first_s)
        except CallError as error:
            self._fail(error)
            return
        waiting, self._waiting = self._waiting, None
        if waiting is not None and not waiting.done():
            waiting.set_result(reply)

    def _fail(self, error: Exception) -> None:
        waiting = self._waiting
        self.abort()
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)

    def _broke(self, reason: str, *, unread: bool) -> None:
        """The connection ended while a call waited."""
        if unread:
            self._fail(Unreachable("the server had closed the kept connection before the request reached it"))
            return
        error = self._incoming.lost(reason)
        if error is not None:
            self._fail(error)
        else:
            self._hand_over()
            self.abort()

    def _free(self) -> None:
        self._draining = False
        if self._transport is None or self.closed:
            return
        if not self._incoming.reusable or self._transport.get_write_buffer_size():
            self.abort()
            return
        self._reused = True
        self.released = self._loop.time()
        self._freed(self)

    def _drain(self, data: bytes) -> None:
        """What comes when nobody waits: the end of a stream's frame, or nothing good."""
        if self._draining:
            try:
                self._incoming.feed(data)
            except CallError:
                self._draining = False
            if self._draining and not self._incoming.complete:
                return
        if self._draining:
            self._free()
        else:
            self.abort()

    # --- deadlines ---------------------------------------------------------------------------------------------------

    def _progressed(self) -> None:
        """Content came, and there is more to wait for."""
        now, deadlines = self._loop.time(), self._deadlines
        due = self._began + deadlines.total_s
        if self._incoming.streamed:
            if self._first_s is None:
                self._first_s = now - self._began
            due = min(due, now + deadlines.stall_s)
        if due < self._timer_at:
            self._wait_until(due)
        else:
            self._due = due

    def _wait_until(self, due: float) -> None:
        """Let the timer fire at this time, or earlier and look again."""
        self._due = due
        if due < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_at = self._loop.call_at(due, self._tick), due

    def _tick(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._waiting is None and not self._draining:
            return
        now = self._loop.time()
        if now + _TICK_S < self._due:
            self._wait_until(self._due)
        elif self._waiting is None:
            self.abort()
        else:
            self._fail(self._late(now))

    def _late(self, now: float) -> TimedOut:
        deadlines, came = self._deadlines, self._incoming.body()
        if now + _TICK_S >= self._began + deadlines.total_s:
            what, phase = f"no whole reply within {deadlines.total_s:g} s", "total"
        elif self._first_s is None:
            what, phase = f"no content within {deadlines.first_s:g} s", "first"
        else:
            what, phase = f"no more content for {deadlines.stall_s:g} s", "stall"
        return TimedOut(what, phase=phase, maybe_billed=True, body=came)

    def _unacknowledged(self) -> bool:
        """Whether the other side's system has acknowledged not one byte of the last request; False when unknown."""
        if self._transport is None or sys.platform != "linux":
            return False
        info = self._transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
        if len(info) < _TCP_INFO:
            return False
        acked, sent, again = (int.from_bytes(info[at : at + 8], sys.byteorder) for at in (120, 200, 208))
        return sent - again - max(acked - 1, 0) >= self._sent


_TCP_INFO: Final = 216
"""Bytes of TCP_INFO up to tcpi_bytes_retrans; acknowledged bytes count the first handshake as one."""


def _reason(error: Exception | None) -> str:
    if error is None:
        return "closed early"
    if isinstance(error, ConnectionResetError):
        return "reset"
    return f"broken ({error.__class__.__name__}: {error})"
