"""The transports against their suite."""

import asyncio
from contextlib import asynccontextmanager

import pytest
import uvloop

from deepswarm.simulator import virtual_time
from deepswarm.simulator.connection import Connection
from deepswarm.testing.suites.transport import Stage, TransportSuite
from deepswarm.transports.http import HttpTransport
from deepswarm.transports.simulated import SimulatedTransport


@asynccontextmanager
async def over_sockets(actor):
    connections, empty = set(), asyncio.Event()
    listening = await asyncio.get_running_loop().create_server(
        lambda: Connection(actor, connections, empty), "127.0.0.1", 0
    )
    transport = HttpTransport({})
    try:
        yield transport, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/chat/completions"
    finally:
        await transport.close()
        listening.close()
        for connection in tuple(connections):
            connection.abort()
        if connections:
            await empty.wait()
        await listening.wait_closed()


@asynccontextmanager
async def in_process(actor):
    yield SimulatedTransport(actor), "http://simulated/v1/chat/completions"


class TestHttpTransport(TransportSuite):
    @pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
    def stage(self, request, monkeypatch):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.delenv(name, raising=False)
        return Stage(request.param, over_sockets)


class TestSimulatedTransport(TransportSuite):
    @pytest.fixture
    def stage(self):
        return Stage(virtual_time.run, in_process)
