"""The roads that a call can take: names and addresses, through a proxy, and to a server whose authority is private."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from base64 import b64encode
from pathlib import Path

import pytest
import uvloop

from deepswarm.core.errors import CallError, Disconnected, TaskFileError, TimedOut, Unreachable
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.testing.sockets import served
from deepswarm.transports.http import HttpTransport

AUTHORITY = Path(__file__).parent / "authority"
DEADLINE_S = 20.0
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _without_authorities(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)


class Answering:
    """Says ok to everything and keeps the heads of what it was asked."""

    def __init__(self):
        self.heads = []

    async def __call__(self, peer, server):
        while got := await peer.request():
            server.requests += 1
            self.heads.append(got[0])
            await peer.send(OK)

    @property
    def asked(self):
        return [head.split(b"\r\n")[0] for head in self.heads]


class Tunnelling:
    """A proxy that opens ways to one server, whatever name it is asked for; it keeps the heads that it was sent."""

    def __init__(self, port, says=b"HTTP/1.1 200 Connection established\r\n\r\n"):
        self.port, self.says = port, says
        self.heads = []

    async def __call__(self, peer, _server):
        self.heads.append(await peer.reader.readuntil(b"\r\n\r\n"))
        await peer.send(self.says)
        if b" 200 " not in self.says:
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(pump(reader, peer.writer), pump(peer.reader, writer))
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def pump(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
    writer.transport.abort()


def context():
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(AUTHORITY / "server.pem")
    return made


def port_of(server):
    return int(server.url.rsplit(":", 1)[1].split("/")[0])


async def send(transport, url, deadlines=Deadlines(10)):  # noqa: B008 - a named tuple of numbers
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await transport.send(HttpRequest(url, {}, b"{}"), deadlines)
    finally:
        await transport.close()


async def refused(transport, url, deadlines=Deadlines(10)):  # noqa: B008 - a named tuple of numbers
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # the server's side of a refusal
    with pytest.raises(CallError) as caught:
        await send(transport, url, deadlines)
    return caught.value


# --- names and addresses ---------------------------------------------------------------------------------------------


def knowing(monkeypatch, *addresses):
    """Let every name have these addresses; the list of look-ups."""
    asked = []

    def look_up(host, port, *_, **__):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def test_a_name_is_looked_up_once_for_many_connections(monkeypatch):
    async def main():
        answering = Answering()
        async with served(answering) as server:
            asked = knowing(monkeypatch, "127.0.0.1")
            transport = HttpTransport({})
            request = HttpRequest(f"http://provider.test:{port_of(server)}/v1", {}, b"{}")
            await asyncio.gather(*(transport.send(request, Deadlines(10)) for _ in range(20)))
            await transport.close()
            assert server.connections == 20
            return asked

    assert asyncio.run(main()) == ["provider.test"]


def test_an_address_that_refuses_leaves_the_others(monkeypatch):
    async def main():
        async with served(Answering()) as server:
            knowing(monkeypatch, "127.0.0.2", "127.0.0.1")
            return (await send(HttpTransport({}), f"http://provider.test:{port_of(server)}/v1")).body

    assert asyncio.run(main()) == b"ok"


def test_an_address_that_swallows_everything_leaves_the_others_their_time(monkeypatch):
    async def main():
        async with served(Answering()) as server:
            with socket.socket() as deaf:
                deaf.bind(("127.0.0.2", port_of(server)))
                deaf.listen(0)
                knocking = [socket.socket() for _ in range(8)]
                for one in knocking:
                    one.setblocking(False)
                    one.connect_ex(deaf.getsockname())
                knowing(monkeypatch, "127.0.0.2", "127.0.0.1")
                url = f"http://provider.test:{port_of(server)}/v1"
                try:
                    return (await send(HttpTransport({}), url, Deadlines(10, connect_s=0.4))).body
                finally:
                    for one in knocking:
                        one.close()

    assert asyncio.run(main()) == b"ok"


# --- proxies ---------------------------------------------------------------------------------------------------------


def test_a_proxy_that_is_named_carries_the_call():
    async def main():
        proxy = Answering()
        async with served(proxy) as server:
            transport = HttpTransport({}, proxy=f"http://127.0.0.1:{port_of(server)}")
            assert (await send(transport, "http://provider.test/v1/chat")).body == b"ok"
        return proxy.heads[0].split(b"\r\n")[:2]

    assert asyncio.run(main()) == [b"POST http://provider.test/v1/chat HTTP/1.1", b"host: provider.test"]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_carries_the_call(monkeypatch, variable):
    async def main():
        proxy = Answering()
        async with served(proxy) as server:
            monkeypatch.setenv(variable, f"127.0.0.1:{port_of(server)}")
            assert (await send(HttpTransport({}), "http://provider.test/v1/chat")).body == b"ok"
        return proxy.asked

    assert asyncio.run(main()) == [b"POST http://provider.test/v1/chat HTTP/1.1"]


def test_what_needs_no_proxy_takes_the_straight_way(monkeypatch):
    async def main():
        direct = Answering()
        async with served(direct) as server:
            monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert (await send(HttpTransport({}), server.url)).body == b"ok"
        return direct.asked

    assert asyncio.run(main()) == [b"POST /v1/chat/completions HTTP/1.1"]


@LOOPS
def test_what_is_sealed_goes_through_a_proxy_sealed(run):
    key, user = "sk-CANARY-0123", "user:pass-CANARY"

    async def main():
        answering = Answering()
        async with served(answering, context()) as server:
            tunnelling = Tunnelling(port_of(server))
            async with served(tunnelling) as proxy:
                address = f"http://{user}@127.0.0.1:{port_of(proxy)}"
                transport = HttpTransport({"authorization": key}, [key], AUTHORITY / "authority.pem", address)
                assert (await send(transport, server.url)).body == b"ok"
        head = tunnelling.heads[0].decode()
        assert head.startswith(f"CONNECT localhost:{port_of(server)} HTTP/1.1\r\n")
        assert f"proxy-authorization: Basic {b64encode(user.encode()).decode()}" in head
        assert key not in head
        assert "CANARY" not in repr(vars(transport))
        assert b"proxy-authorization" not in answering.heads[0]

    run(main())


@LOOPS
@pytest.mark.parametrize(
    "says",
    [b"HTTP/1.1 407 Proxy Authentication Required\r\nX: pass-CANARY\r\n\r\n", b"nonsense\r\n\r\n", b"", b"x" * 99_999],
)
def test_a_proxy_that_opens_no_way_is_named_and_cost_nothing(run, says):
    async def main():
        async with served(Tunnelling(0, says)) as proxy:
            transport = HttpTransport({}, proxy=f"http://user:pass-CANARY@127.0.0.1:{port_of(proxy)}")
            error = await refused(transport, "https://provider.test/v1")
            assert type(error) is Unreachable
            assert f"the proxy 127.0.0.1:{port_of(proxy)} opens no way to provider.test:443" in str(error)
            assert "CANARY" not in str(error)

    run(main())


@LOOPS
def test_a_proxy_that_says_nothing_ends_at_the_connect_deadline(run):
    left = asyncio.Event()

    async def handle(peer, _server):
        await peer.gone()
        left.set()

    async def main():
        async with served(handle) as proxy:
            transport = HttpTransport({}, proxy=f"http://127.0.0.1:{port_of(proxy)}")
            error = await refused(transport, "https://provider.test/v1", Deadlines(10, connect_s=0.2))
            assert (type(error), error.phase, error.maybe_billed) == (TimedOut, "connect", False)
            async with asyncio.timeout(0.5):
                await left.wait()

    run(main())


@pytest.mark.parametrize(
    "address", ["::nonsense::", "socks5://user:CANARY@host:1", "https://host:1", "http://host:x", ""]
)
def test_an_address_that_is_none_is_refused_as_a_proxy(address):
    with pytest.raises(TaskFileError, match="no address of a proxy") as caught:
        HttpTransport({}, proxy=address)
    assert "CANARY" not in str(caught.value)


# --- TLS -------------------------------------------------------------------------------------------------------------


@LOOPS
def test_a_private_authority_is_trusted_when_its_file_is_named(run):
    async def main():
        async with served(Answering(), context()) as server:
            transport = HttpTransport({}, certificates=AUTHORITY / "authority.pem")
            for _ in range(3):
                assert (await transport.send(HttpRequest(server.url, {}, b"{}"), Deadlines(10))).body == b"ok"
            await transport.close()
            assert (server.connections, server.requests) == (1, 3)

    run(main())


@LOOPS
def test_an_unknown_authority_is_not_trusted(run):
    async def main():
        async with served(Answering(), context()) as server:
            return await refused(HttpTransport({}), server.url)

    error = run(main())
    assert type(error) is Unreachable
    assert "the certificate of localhost:" in str(error)
    assert "--ca-file" in str(error)


def test_a_certificate_for_another_name_is_not_trusted(monkeypatch):
    async def main():
        async with served(Answering(), context()) as server:
            knowing(monkeypatch, "127.0.0.1")
            transport = HttpTransport({}, certificates=AUTHORITY / "authority.pem")
            return await refused(transport, server.url.replace("localhost", "provider.test"))

    error = asyncio.run(main())
    assert type(error) is Unreachable
    assert "provider.test" in str(error)


@LOOPS
def test_a_server_that_speaks_no_tls_is_unreachable(run):
    async def handle(peer, _server):
        await peer.reader.read(1)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def main():
        async with served(handle) as server:
            return await refused(HttpTransport({}), server.url.replace("http:", "https:"))

    error = run(main())
    assert type(error) is Unreachable
    assert "no TLS with 127.0.0.1:" in str(error)


@LOOPS
def test_a_handshake_that_breaks_is_unreachable(run):
    async def handle(peer, _server):
        await peer.reader.read(1)

    async def main():
        async with served(handle) as server:
            return await refused(HttpTransport({}), server.url.replace("http:", "https:"))

    error = run(main())
    assert type(error) is Unreachable
    assert "handshake" in str(error)


@LOOPS
def test_a_handshake_that_hangs_ends_at_the_connect_deadline_and_closes(run):
    left = asyncio.Event()

    async def handle(peer, _server):
        await peer.gone()
        left.set()

    async def main():
        async with served(handle) as server:
            url = server.url.replace("http:", "https:")
            error = await refused(HttpTransport({}), url, Deadlines(10, connect_s=0.2))
            assert (type(error), error.phase, error.maybe_billed) == (TimedOut, "connect", False)
            async with asyncio.timeout(0.5):
                await left.wait()

    run(main())


@LOOPS
def test_a_sealed_call_that_hangs_is_closed_at_its_deadline(run):
    left = asyncio.Event()

    async def handle(peer, _server):
        await peer.request()
        await peer.gone()
        left.set()

    async def main():
        async with served(handle, context()) as server:
            transport = HttpTransport({}, certificates=AUTHORITY / "authority.pem")
            error = await refused(transport, server.url, Deadlines(0.2))
            assert (type(error), error.phase, error.maybe_billed) == (TimedOut, "total", True)
            async with asyncio.timeout(0.5):
                await left.wait()

    run(main())


@LOOPS
def test_a_sealed_connection_that_ends_after_it_was_asked_may_have_been_billed(run):
    async def handle(peer, _server):
        await peer.request()
        await peer.send(OK)
        await peer.request()

    async def main():
        async with served(handle, context()) as server:
            transport = HttpTransport({}, certificates=AUTHORITY / "authority.pem")
            assert (await transport.send(HttpRequest(server.url, {}, b"{}"), Deadlines(10))).body == b"ok"
            return await refused(transport, server.url)

    error = run(main())
    assert type(error) is Disconnected
    assert error.maybe_billed


def test_a_file_without_certificates_is_refused(tmp_path):
    path = tmp_path / "empty.pem"
    path.write_text("nothing")
    with pytest.raises(TaskFileError, match="no certificates"):
        HttpTransport({}, certificates=path)
