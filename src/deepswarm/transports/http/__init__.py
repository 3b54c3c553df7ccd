"""HTTP/1.1 on asyncio protocols and llhttp: the only transport that opens sockets.

Why not a client library: on this house's own benchmark (`bench/`) it takes the least CPU per call; a call that is left
closes its socket at once; and it is known exactly whether a request was never read, possibly billed, or cut.

    roads       where a request goes, and its head
    dialing     names, TCP, proxies, TLS
    connection  one call at a time, and its deadlines
    incoming    bytes of a connection as a reply (the parser)
    scrubbing   no secret comes back

Retrying has one owner, `core/retry.py`. There is no ceiling on connections: the pace decides how many calls are in
flight, and each has its connection. The one used last is used next, so that those beyond the need grow old and go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from deepswarm.core.errors import CallError, Unreachable
from deepswarm.core.records import Assembler, Deadlines, HttpReply, HttpRequest, Watch
from deepswarm.transports.http.connection import Connection
from deepswarm.transports.http.dialing import Dialer
from deepswarm.transports.http.roads import Proxies, Road, checked, head_of, road_to
from deepswarm.transports.http.scrubbing import Scrubber

IDLE_S: Final = 4.0
"""Seconds that an idle connection is kept: less than the 5 s after which uvicorn-like servers close theirs."""
CLOSE_S: Final = 1.0
"""Most seconds that closing waits for the system."""

_End = tuple[str, int, bool]


class HttpTransport:
    """One client for the whole run."""

    def __init__(
        self,
        authorization: Mapping[str, str],
        secrets: Sequence[str] = (),
        certificates: Path | None = None,
        proxy: str | None = None,
    ) -> None:
        """Make the client.

        Args:
            authorization: Headers of every request, those that carry the key; empty for servers without one.
            secrets: What must not come back: replaced by stars in bodies, headers and messages.
            certificates: PEM file of a certificate authority that is trusted beside the usual ones.
            proxy: Address that all calls go through; None leaves it to the environment.

        Raises:
            TaskFileError: If no header can carry the key (does not show it), the proxy's address is none, or the file
                holds no certificates.
        """
        self._authorization = _Hidden(checked(authorization))
        self._proxies = Proxies(proxy)
        self._scrub = Scrubber([*secrets, *self._proxies.secrets()])
        self._dialer = Dialer(certificates)
        self._heads: dict[tuple[str, str], _Head] = {}
        self._idle: dict[_End, dict[Connection, None]] = {}
        self._open: set[Connection] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Event | None = None
        self._streamed = 0

    def __repr__(self) -> str:
        idle = sum(map(len, self._idle.values()))
        return f"HttpTransport(connections={len(self._open)}, idle={idle})"

    async def send(
        self,
        request: HttpRequest,
        deadlines: Deadlines,
        assembler: Assembler | None = None,
        watch: Watch | None = None,
    ) -> HttpReply:
        """See `Transport.send`. Unreachable is also a kept connection that was closed before the request reached it."""
        head = self._head(request)
        try:
            connection = self._kept(head.end) or await self._opened(head, deadlines.connect_s)
            message = b"%b%d\r\n\r\n%b" % (head.lines, len(request.body), request.body)
            waiting = connection.ask(message, deadlines, assembler, watch)
            try:
                return await waiting
            except asyncio.CancelledError:
                connection.leave(waiting)
                raise
        except CallError as error:
            self._scrub.error(error)
            raise

    def streamed(self) -> int:
        """See `Transport.streamed`. One look at each open connection."""
        return self._streamed + sum(connection.received for connection in self._open)

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._idle.clear()
        self._dialer.close()
        if self._open:
            self._emptied = asyncio.Event()
            for connection in tuple(self._open):
                connection.stop()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._emptied.wait()

    def _head(self, request: HttpRequest) -> _Head:
        """The road of a request and its head, made once for all requests that have them in common."""
        key = request.method, request.url
        known = self._heads.get(key)
        if known is None or known.headers != request.headers:
            road = road_to(request.url, self._proxies)
            lines = head_of(road, request, self._authorization)
            known = self._heads[key] = _Head(road, road.end, dict(request.headers), lines)
        return known

    async def _opened(self, head: _Head, connect_s: float) -> Connection:
        loop, road = asyncio.get_running_loop(), head.road
        freed = partial(self._freed, head.end)
        connection = await self._dialer.open(road, connect_s, lambda: Connection(loop, self._scrub, freed, self._lost))
        if connection.closed:
            raise Unreachable(f"{road.place} closed the connection as soon as it was open")
        self._open.add(connection)
        return connection

    def _kept(self, end: _End) -> Connection | None:
        """The idle connection that was used last, if one can still be used."""
        idle = self._idle.get(end)
        while idle:
            connection, _ = idle.popitem()
            if connection.fresh:
                return connection
            connection.abort()
        return None

    def _freed(self, end: _End, connection: Connection) -> None:
        self._idle.setdefault(end, {})[connection] = None
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(IDLE_S, self._sweep)

    def _sweep(self) -> None:
        """Close what was idle for too long, and look again as long as there is something to look at."""
        loop = asyncio.get_running_loop()
        oldest = loop.time() - IDLE_S
        for idle in self._idle.values():
            while idle and (connection := next(iter(idle))).released <= oldest:
                del idle[connection]
                connection.abort()
        first = min((next(iter(idle)).released for idle in self._idle.values() if idle), default=None)
        self._sweeper = None if first is None else loop.call_at(first + IDLE_S, self._sweep)

    def _lost(self, connection: Connection) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._streamed += connection.received
        for idle in self._idle.values():
            idle.pop(connection, None)
        if self._emptied is not None and not self._open:
            self._emptied.set()


@dataclass(frozen=True, slots=True)
class _Head:
    """What requests have in common; `lines` hold the key."""

    road: Road
    end: _End
    headers: Mapping[str, str]
    lines: bytes = field(repr=False)


class _Hidden(dict[str, str]):
    """Headers that no repr shows."""

    def __repr__(self) -> str:
        return f"<headers {', '.join(self)}>"
