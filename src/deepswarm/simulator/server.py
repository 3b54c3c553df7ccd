"""The simulated provider as a real HTTP/1.1 server on the loopback interface.

    POST /v1/chat/completions   also /chat/completions: what the provider decides, faults included
    POST /v1/messages           also /messages: the same in the form of Anthropic's API
    others                      see endpoints.py: models, balance, ledger, counts, and another law

What goes over each connection is `connection.py`'s. Nothing but this machine can reach it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from deepswarm.simulator.connection import Connection
from deepswarm.simulator.provider import SimulatedProvider

HOST: Final = "127.0.0.1"
_BACKLOG: Final = 4096
"""Connections that may wait to be accepted: a run may open all of its own at once."""


class SimulatorServer:
    """A server that is listening; `close` ends it. Made by `serve`."""

    def __init__(self, provider: SimulatedProvider) -> None:
        self.provider = provider
        self.port = 0
        self._connections: set[Connection] = set()
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
            lambda: Connection(self.provider, self._connections, self._empty), HOST, port, backlog=_BACKLOG
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
