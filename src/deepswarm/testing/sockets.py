"""A server of raw sockets for tests of transports: it speaks bytes, not HTTP, and sees when its client leaves."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from ssl import SSLContext
from typing import Final, TypeAlias

_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Server:
    """What happened on the other side.

    Attributes:
        url: Where it listens.
        connections: How many were made.
        requests: Counted by whoever handles them.
        faults: What went wrong in a handler; there must be none.
    """

    def __init__(self, url: str = "") -> None:
        """Nothing happened yet."""
        self.url = url
        self.connections = 0
        self.requests = 0
        self.faults: list[Exception] = []


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Of these two."""
        self.reader, self.writer = reader, writer

    async def request(self) -> tuple[bytes, bytes] | None:
        """(head, body) of the next request; None when the client has left."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head, await self.reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)

    async def send(self, data: bytes) -> None:
        """Hand bytes to the system."""
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client has left."""
        with suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    def close(self) -> None:
        """End the connection with FIN."""
        self.writer.close()

    def reset(self) -> None:
        """End it with RST."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        self.writer.transport.abort()


Handler: TypeAlias = Callable[[Peer, Server], Awaitable[None]]


@asynccontextmanager
async def served(handle: Handler, context: SSLContext | None = None) -> AsyncIterator[Server]:
    """A server on loopback; `handle` is called for each connection, which is closed when it returns."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()
    peers: list[Peer] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - the server makes one for each connection
        tasks.add(task)
        server.connections += 1
        peer = Peer(reader, writer)
        peers.append(peer)
        try:
            await handle(peer, server)
        except ConnectionError:
            pass
        except Exception as fault:
            server.faults.append(fault)
            raise
        finally:
            peer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, backlog=4096, ssl=context)
    scheme = "https://localhost" if context else "http://127.0.0.1"
    server.url = f"{scheme}:{listening.sockets[0].getsockname()[1]}/v1/chat/completions"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for peer in peers:
            peer.writer.transport.abort()
        await asyncio.gather(*(peer.writer.wait_closed() for peer in peers), return_exceptions=True)
        await listening.wait_closed()
    assert not server.faults  # noqa: S101 - a helper of tests
