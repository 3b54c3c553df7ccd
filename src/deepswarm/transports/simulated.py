"""The simulated provider inside the process: no bytes travel, time is the running loop's, real or virtual.

A play and the deadlines say beforehand how a call ends and when, so that it is decided at once (`_course`, which is
pure) and then waited for: a reply of 400 pieces costs the loop two timers.
"""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from deepswarm.core.errors import CallError, Cut, Disconnected, Looping, TimedOut, TooLarge, Unreachable
from deepswarm.core.records import Assembler, Deadlines, HttpReply, HttpRequest, Watch
from deepswarm.simulator.endpoints import answered
from deepswarm.simulator.play import End, Play, Scene, moments, together
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.transports import REPLY_BYTES, STREAM_BYTES

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

_SAME_MOMENT_S: Final = 1e-3
"""An answer that is whole so shortly before its play ends is left by nobody: only the last writes are missing."""


class SimulatedTransport:
    """Delivers what one provider decides; several transports may share a provider."""

    def __init__(self, provider: SimulatedProvider, authorization: Mapping[str, str] = _NO_HEADERS) -> None:
        """A transport to this provider.

        Args:
            provider: Decides.
            authorization: Headers that are sent with every request, with names in lower case: the API key.
        """
        self.provider = provider
        self._authorization = authorization
        self._flow = _Flow()

    def __repr__(self) -> str:
        return f"SimulatedTransport({self.provider!r})"

    async def send(
        self,
        request: HttpRequest,
        deadlines: Deadlines,
        assembler: Assembler | None = None,
        watch: Watch | None = None,
    ) -> HttpReply:
        """See `Transport.send`. Being cancelled counts as a client that has left."""
        if self._authorization:
            request = request._replace(headers={**request.headers, **self._authorization})
        clock = asyncio.get_running_loop().time
        started = clock()
        if request.method != "POST":
            await asyncio.sleep(0)
            return answered(self.provider, request, started)
        ticket = self.provider.receive(request, started)
        client_gone = True
        rate = 0.0
        try:
            course = _course(ticket.play, deadlines, assembler)
            first_s = ticket.play.first_s
            if watch is not None:
                taken_s = _taken_s(ticket.play)
                if taken_s <= 0.0:
                    watch.taken(_first_values(ticket.play.headers))
                elif taken_s < min(course.at_s, math.inf if first_s is None else first_s):
                    await asyncio.sleep(taken_s)
                    watch.taken(_first_values(ticket.play.headers))
            if first_s is not None and first_s <= course.at_s:
                await asyncio.sleep(started + first_s - clock())
                self.provider.first_byte(ticket, clock())
                if course.size:
                    if watch is not None:
                        watch.begun()
                    if course.at_s > first_s:
                        rate = course.size / (course.at_s - first_s)
                        self._flow.change(rate, clock())
            if course.at_s == math.inf:
                await asyncio.get_running_loop().create_future()
            elif first_s != course.at_s:
                await asyncio.sleep(started + course.at_s - clock())
            client_gone = course.client_gone
        finally:
            if rate:
                self._flow.change(-rate, clock())
            self.provider.release(ticket, clock(), client_gone=client_gone)
        if isinstance(course.outcome, CallError):
            raise course.outcome
        return course.outcome

    def streamed(self) -> int:
        """See `Transport.streamed`: as if each stream came at an even rate from its first content to its end."""
        return self._flow.amount(asyncio.get_running_loop().time())

    async def close(self) -> None:
        """See `Transport.close`: there is nothing to let go of."""


class _Flow:
    """An amount that grows at a rate that changes: the sum of all streams, at two steps for each."""

    __slots__ = ("_amount", "_at", "_rate")

    def __init__(self) -> None:
        self._amount = self._rate = self._at = 0.0

    def change(self, by: float, now: float) -> None:
        """From now on it grows by so much more a second."""
        self._amount += self._rate * (now - self._at)
        self._at = now
        self._rate = max(0.0, self._rate + by)

    def amount(self, now: float) -> int:
        """How much it is now."""
        return int(self._amount + self._rate * (now - self._at))


class _Course(NamedTuple):
    """How a call goes.

    Attributes:
        at_s: Seconds from its start to its end.
        outcome: What the client gets then.
        client_gone: Whether it is the client who ends it, before the play is over.
        size: Bytes of a stream until then; 0 for what is no stream.
    """

    at_s: float
    outcome: HttpReply | CallError
    client_gone: bool
    size: int = 0


def _taken_s(play: Play) -> float:
    """Seconds until the head of a good reply goes out, with its first bytes, keep-alives among them; or never."""
    if play.status != 200:
        return math.inf
    first_s = play.scenes[0].at_s if play.scenes else play.end_s
    if play.drip is not None and (drop_s := play.drip.from_s + play.drip.every_s) < play.drip.until_s:
        return min(first_s, drop_s)
    return first_s


def _course(play: Play, deadlines: Deadlines, assembler: Assembler | None) -> _Course:
    """What becomes of a call for which this is played."""
    if play.status == 0:
        return _headless(play, deadlines, streamed=assembler is not None)
    kind = play.headers.get("content-type", "")
    streamed = assembler is not None and play.status == 200 and kind.startswith("text/event-stream")
    if "content-encoding" in play.headers:
        most = STREAM_BYTES if streamed else REPLY_BYTES
        unpacked = _unpacked(play, most)
        if unpacked is None:
            return _Course(play.scenes[0].at_s, _too_large(most), True)
        play = unpacked
    if assembler is not None and streamed:
        return _streamed(play, deadlines, assembler)
    first_s = math.inf if assembler is None else deadlines.first_s
    return _read_whole(play, deadlines, min(first_s, deadlines.total_s))


def _headless(play: Play, deadlines: Deadlines, *, streamed: bool) -> _Course:
    """A call that gets no reply."""
    limit_s = min(deadlines.first_s, deadlines.total_s) if streamed else deadlines.total_s
    if play.end is End.HANG or play.end_s > limit_s:
        return _late(deadlines, limit_s, b"")
    if play.end is End.REFUSED:
        return _Course(play.end_s, Unreachable("no connection: the simulated server refuses it"), False)
    return _Course(play.end_s, Disconnected("the connection broke before the reply", maybe_billed=True), False)


def _read_whole(play: Play, deadlines: Deadlines, limit_s: float) -> _Course:
    """A call whose reply counts when all of it is there; `limit_s` is its deadline until the first bytes that count."""
    if play.length is not None and play.length > REPLY_BYTES:
        return _Course(play.scenes[0].at_s, _too_large(play.length), True)
    received: list[bytes] = []
    size = 0
    for at_s, data in _moments(play, deadlines.total_s):
        if at_s > limit_s:
            break
        received.append(data)
        size += len(data)
        if size > REPLY_BYTES:
            return _Course(at_s, _too_large(size), True)
        if limit_s < deadlines.total_s and data and not data.isspace():
            limit_s = deadlines.total_s
    body = received[0] if len(received) == 1 else b"".join(received)
    if play.end is End.HANG or play.end_s > limit_s:
        return _late(deadlines, limit_s, body)
    if play.end is not End.WHOLE:
        return _Course(play.end_s, _cut(play, body), False)
    return _Course(play.end_s, HttpReply(play.status, _first_values(play.headers), body), False)


def _streamed(play: Play, deadlines: Deadlines, assembler: Assembler) -> _Course:
    """A call whose reply is read as it comes. What carries no content puts no deadline off."""
    total_s = deadlines.total_s
    limit_s = min(deadlines.first_s, total_s)
    first_s: float | None = None
    size = 0
    for at_s, data in _moments(play, total_s):
        if at_s > limit_s:
            return _late(deadlines, limit_s, _so_far(assembler, size), first_s)
        size += len(data)
        if size > STREAM_BYTES:
            return _Course(at_s, _too_large(size), True)
        try:
            content = assembler.feed(data)
        except Looping as error:
            return _Course(at_s, error, True)
        if content:
            first_s = at_s if first_s is None else first_s
            limit_s = min(at_s + deadlines.stall_s, total_s)
        if assembler.done:
            over = play.end is End.WHOLE and play.end_s - at_s < _SAME_MOMENT_S
            return _assembled(play, assembler, at_s, first_s, size, client_gone=not over)
    if play.end is End.HANG or play.end_s > limit_s:
        return _late(deadlines, limit_s, _so_far(assembler, size), first_s)
    if play.end is not End.WHOLE:
        return _Course(play.end_s, _cut(play, _so_far(assembler, size)), False)
    return _assembled(play, assembler, play.end_s, first_s, size, client_gone=False)


def _assembled(
    play: Play, assembler: Assembler, at_s: float, first_s: float | None, size: int, *, client_gone: bool
) -> _Course:
    """A stream that has come to its end."""
    body = assembler.body()
    if len(body) > REPLY_BYTES:
        return _Course(at_s, _too_large(len(body)), True)
    return _Course(at_s, HttpReply(200, _first_values(play.headers), body, first_s, size), client_gone, size)


def _late(deadlines: Deadlines, limit_s: float, body: bytes, first_s: float | None = None) -> _Course:
    """A call that a deadline ends; which one is told by the time and by whether content has come."""
    if limit_s >= deadlines.total_s:
        what, phase = f"no whole reply within {deadlines.total_s:g} s", "total"
    elif first_s is None:
        what, phase = f"no content within {deadlines.first_s:g} s", "first"
    else:
        what, phase = f"no more content for {deadlines.stall_s:g} s", "stall"
    return _Course(limit_s, TimedOut(what, phase=phase, maybe_billed=True, body=body), True)


def _moments(play: Play, limit_s: float) -> Iterator[Scene]:
    """What goes out; without keep-alives where nothing else could end them, as they change nothing."""
    endless = play.end_s == math.inf and limit_s == math.inf
    return together(play.scenes) if play.drip is None or endless else moments(play)


def _unpacked(play: Play, most: int) -> Play | None:
    """A packed play as its bytes are when they are unpacked; None when they are more than so many."""
    unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    scenes = []
    room = most
    for at_s, data in play.scenes:
        scenes.append(Scene(at_s, unpacker.decompress(data, room + 1)))
        room -= len(scenes[-1].data)
        if room < 0:
            return None
    return play._replace(scenes=tuple(scenes), length=None)


def _first_values(headers: Mapping[str, str]) -> dict[str, str]:
    """Of a header that comes more than once the first one counts."""
    return {name: value.partition("\n")[0] for name, value in headers.items()}


def _so_far(assembler: Assembler, size: int) -> bytes:
    """What a stream amounts to that broke off after so many bytes."""
    return assembler.body() if size else b""


def _cut(play: Play, body: bytes) -> Cut:
    return Cut("the connection broke within the reply", status=play.status, maybe_billed=True, body=body)


def _too_large(size: int) -> TooLarge:
    return TooLarge(f"a reply of {size:,} bytes or more; reading stops at {REPLY_BYTES:,}", maybe_billed=True)
