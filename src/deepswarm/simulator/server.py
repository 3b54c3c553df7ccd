"""The simulated provider as a real HTTP/1.1 server on the loopback interface.

    POST /v1/chat/completions   also /chat/completions: what the provider decides, faults included
    GET  /v1/models             also /models
    GET  /_ledger               the provider's ledger, one row as JSON per line
    GET  /_counts               its sums, as one JSON object

A connection goes through

    READING ─ request ─▶ WAITING ─ its time has come ─▶ SENDING ─ last byte handed over ─▶ READING or closed

and tells the provider when the client leaves in between. It is a Protocol with callbacks, not a coroutine with
streams, because that serves twice as many requests; this file is the only place in the house that does so. Requests are
parsed by h11; answers are written as raw bytes, so that a reply that is cut or missing is really so on the wire.
A client that closes its sending side while it waits counts as one that has left.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from http import HTTPStatus
from typing import Final, cast

import h11

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply, HttpRequest
from deepswarm.simulator import bodies
from deepswarm.simulator.behaviour import Answer, Cut, Deed
from deepswarm.simulator.provider import SimulatedProvider, Ticket

HOST: Final = "127.0.0.1"
REQUEST_BYTES: Final = 64 * 1024 * 1024
"""Largest body of a request that is read."""
_BACKLOG: Final = 4096
"""Connections that may wait to be accepted: a run may open all of its own at once."""
_CHAT: Final = {b"/v1/chat/completions", b"/chat/completions"}
_LISTS: Final = {b"/v1/models", b"/models", b"/_ledger", b"/_counts"}
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}


class SimulatorServer:
    """A server that is listening; `close` ends it. Made by `serve`."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self.provider = provider
        self.port = 0
        self._connections: set[_Connection] = set()
        self._empty = asyncio.Event()
        self._listener: asyncio.Server | None = None

    def __repr__(self) -> str:
        return f"SimulatorServer({self.address}, connections={len(self._connections)})"

    @property
    def address(self) -> str:
        """What a task file takes as `worker_api_base`."""
        return f"http://{HOST}:{self.port}/v1"

    async def listen(self, port: int) -> None:
        """Open the port, 0 for any free one."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            lambda: _Connection(self.provider, self._connections, self._empty), HOST, port, backlog=_BACKLOG
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Stop listening and break off what is under way; the ledger notes it as clients that have left."""
        if self._listener is None:
            return
        self._listener.close()
        if self._connections:
            self._empty.clear()
            for connection in self._connections:
                connection.abort()
            await self._empty.wait()
        await self._listener.wait_closed()
        self._listener = None


async def serve(provider: SimulatedProvider, port: int) -> SimulatorServer:
    """A server for this provider, listening on 127.0.0.1.

    Args:
        provider: Shared with whoever else uses it in this loop; times in its ledger are those of the loop.
        port: 0 for any free one; `SimulatorServer.port` tells which.

    Raises:
        OSError: If the port cannot be had.
    """
    server = SimulatorServer(provider)
    await server.listen(port)
    return server


class _Connection(asyncio.Protocol):
    """One client. A request that is being served is `_ticket`; it is released exactly once, in `_release`."""

    def __init__(self, provider: SimulatedProvider, connections: set[_Connection], empty: asyncio.Event) -> None:
        self._provider = provider
        self._connections = connections
        self._empty = empty
        self._loop = asyncio.get_running_loop()
        self._parser = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body: list[bytes] = []
        self._size = 0
        self._busy = False
        self._flushing = False
        self._last = False
        self._ticket: Ticket | None = None
        self._timer: asyncio.TimerHandle | None = None

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
        """Parse, unless a request is being served: then what follows has to wait."""
        self._parser.receive_data(data)
        if self._busy:
            self._transport.pause_reading()
        else:
            self._advance()

    def pause_writing(self) -> None:
        """Bytes are left in the buffer: the reply is not yet handed over."""
        self._flushing = True

    def resume_writing(self) -> None:
        """The buffer is empty."""
        self._flushing = False
        if self._busy:
            self._handed_over()

    # --- reading -----------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Take events from the parser until a request is whole or more bytes are needed."""
        try:
            while not self._busy:
                event = self._parser.next_event()
                if event is h11.NEED_DATA:
                    if self._parser.they_are_waiting_for_100_continue:
                        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    return
                self._take(event)
        except h11.RemoteProtocolError as error:
            self._refuse(error.error_status_hint, str(error))

    def _take(self, event: h11.Event | type[h11.NEED_DATA | h11.PAUSED]) -> None:
        if isinstance(event, h11.Request):
            self._head, self._body, self._size = event, [], 0
            self._last = event.http_version < b"1.1" or (b"connection", b"close") in event.headers
        elif isinstance(event, h11.Data):
            self._body.append(bytes(event.data))
            self._size += len(event.data)
            if self._size > REQUEST_BYTES:
                self._refuse(413, f"Request bodies end at {REQUEST_BYTES:,} bytes here")
        elif isinstance(event, h11.EndOfMessage):
            self._busy = True
            self._serve()
        else:
            self._busy = True
            self._transport.close()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read on; nothing after it can be read either."""
        self._busy = self._last = True
        self._send(bodies.error(status, message=message))

    # --- serving -----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        assert self._head is not None  # noqa: S101 - the parser gives no end of a message without its start
        method, path = self._head.method, self._head.target.partition(b"?")[0]
        if path in _CHAT and method == b"POST":
            self._ask()
        elif path in _LISTS and method == b"GET":
            self._send(self._listed(path))
        elif path in _CHAT | _LISTS:
            self._send(bodies.error(405, message=f"{method.decode()} is not for this address"))
        else:
            self._send(bodies.error(404, message="There is nothing at this address", code="not_found"))

    def _ask(self) -> None:
        """Show the request to the provider, and do as its ticket says when the time has come."""
        request = HttpRequest("", {}, b"".join(self._body))
        self._body = []
        self._ticket = self._provider.receive(request, self._loop.time())
        after_s = self._ticket.after_s
        if after_s <= 0.0:
            self._do(self._ticket.deed)
        elif after_s < float("inf"):
            self._timer = self._loop.call_later(after_s, self._do, self._ticket.deed)

    def _do(self, deed: Deed) -> None:
        self._timer = None
        if isinstance(deed, Answer):
            self._send(deed.reply)
        elif isinstance(deed, Cut):
            self._last = True
            self._send(deed.reply, deed.sent)
        else:
            self._last = True
            self._handed_over()

    def _listed(self, path: bytes) -> HttpReply:
        if path == b"/_counts":
            return bodies.ok(asdict(self._provider.counts()), "counts")
        if path == b"/_ledger":
            lines = [jsontext.dumps(row._asdict()) + b"\n" for row in self._provider.rows()]
            return HttpReply(200, {"content-type": "application/x-ndjson"}, b"".join(lines))
        model = {"id": "simulated", "object": "model", "created": bodies.CREATED, "owned_by": "deepswarm-simulator"}
        return bodies.ok({"object": "list", "data": [model]}, "models")

    # --- sending -----------------------------------------------------------------------------------------------------

    def _send(self, reply: HttpReply, most: int | None = None) -> None:
        """Write the head, which announces the whole body, and the body up to `most` bytes."""
        self._transport.write(_head_of(reply, last=self._last) + reply.body[:most])
        if not self._flushing:
            self._handed_over()

    def _handed_over(self) -> None:
        """All that will be sent is with the operating system: close the account, and the connection if it must be."""
        self._release(client_gone=False)
        if self._last:
            self._transport.close()
            return
        rest, _ = self._parser.trailing_data
        self._parser = h11.Connection(h11.SERVER)
        self._busy = False
        if rest:
            # By way of the loop, because a client may send ahead more requests than the stack has room for.
            self._parser.receive_data(rest)
            self._busy = True
            self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Read on with what came while the last request was being served."""
        if not self._transport.is_closing():
            self._busy = False
            self._transport.resume_reading()
            self._advance()

    def _release(self, *, client_gone: bool) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._ticket is not None:
            ticket, self._ticket = self._ticket, None
            self._provider.release(ticket, self._loop.time(), client_gone=client_gone)

    def abort(self) -> None:
        """Break the connection off."""
        self._transport.abort()


def _head_of(reply: HttpReply, *, last: bool) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    lines.append(f"content-length: {len(reply.body)}")
    lines.append("connection: close\r\n\r\n" if last else "connection: keep-alive\r\n\r\n")
    return "\r\n".join(lines).encode("latin-1")
