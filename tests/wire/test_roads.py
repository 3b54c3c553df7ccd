"""The roads that a call can take: through a proxy, and to a server whose authority is private."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from deepswarm.core.errors import Disconnected, TaskFileError
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.transports.http import HttpTransport

AUTHORITY = Path(__file__).parent / "authority"


class Answering:
    """A server that says ok to everything and keeps the first lines of what it was asked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.context = context
        self.asked: list[bytes] = []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader, writer):
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()


async def send(transport, url):
    try:
        return await transport.send(HttpRequest(url, {}, b"{}"), Deadlines(10))
    finally:
        await transport.close()


def test_a_proxy_that_is_named_carries_the_call():
    async def main():
        async with Answering() as proxy:
            transport = HttpTransport(None, proxy=f"http://127.0.0.1:{proxy.port}")
            assert (await send(transport, "http://provider.test/v1/chat")).body == b"ok"
            return proxy.asked

    assert asyncio.run(main()) == [b"POST http://provider.test/v1/chat HTTP/1.1"]


def test_a_proxy_of_the_environment_carries_the_call(monkeypatch):
    async def main():
        async with Answering() as proxy:
            for name in ("HTTP_PROXY", "http_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            for name in ("NO_PROXY", "no_proxy"):
                monkeypatch.delenv(name, raising=False)
            assert (await send(HttpTransport(None), "http://provider.test/v1/chat")).body == b"ok"
            return proxy.asked

    assert asyncio.run(main()) == [b"POST http://provider.test/v1/chat HTTP/1.1"]


def test_an_address_that_is_none_is_refused_as_a_proxy():
    with pytest.raises(TaskFileError, match="no address of a proxy"):
        HttpTransport(None, proxy="::nonsense::")


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(AUTHORITY / "server.pem")
    return made


def test_a_private_authority_is_trusted_when_its_file_is_named():
    async def main():
        async with Answering(context()) as server:
            transport = HttpTransport(None, AUTHORITY / "authority.pem")
            return (await send(transport, f"https://localhost:{server.port}/v1/chat")).body

    assert asyncio.run(main()) == b"ok"


def test_an_unknown_authority_is_not_trusted():
    async def main():
        async with Answering(context()) as server:
            asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of the refusal
            await send(HttpTransport(None), f"https://localhost:{server.port}/v1/chat")

    with pytest.raises(Disconnected, match="certificate"):
        asyncio.run(main())
