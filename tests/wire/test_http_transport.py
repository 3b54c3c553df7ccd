"""The HTTP transport against a server of raw sockets: how a connection can go wrong, and what that may cost.

The server speaks bytes, not HTTP: each test writes down what comes over the wire. Nothing sleeps; where a test has to
see something happen on the other side, it waits for an event there.
"""

import asyncio
import contextlib
import gzip
import itertools
import os
import socket
import sys
import zlib
from base64 import b64encode
from contextlib import asynccontextmanager
from urllib.parse import quote

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core import jsontext
from deepswarm.core.errors import (
    CallError,
    Cut,
    DeepSwarmError,
    Disconnected,
    Garbled,
    TaskFileError,
    TimedOut,
    TooLarge,
    Unreachable,
)
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.testing.sockets import Peer, Server, served
from deepswarm.transports import REPLY_BYTES, http
from deepswarm.transports.http import HttpTransport
from deepswarm.transports.http.incoming import HEAD_BYTES, Incoming
from deepswarm.transports.http.scrubbing import Scrubber

KEY = "sk-CANARY"
PATIENT_S = 30.0
"""A deadline that no test reaches."""
DEADLINE_S = 20.0
"""Most seconds of one test; something hangs if it takes as long."""
FIFTY_MB = 50 * 1024 * 1024


@pytest.fixture(autouse=True)
def _without_proxies(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def in_a_loop(test):
    """Run an asynchronous test in a loop of its own, with a deadline."""

    async def limited():
        async with asyncio.timeout(DEADLINE_S):
            await test()

    def run():
        asyncio.run(limited())

    run.__name__ = test.__name__
    return run


@asynccontextmanager
async def connected(secret=KEY):
    transport = HttpTransport({"authorization": f"Bearer {secret}"} if secret else {}, [secret] if secret else [])
    try:
        yield transport
    finally:
        await transport.close()


def asked(server, body=b'{"model": "m"}'):
    return HttpRequest(server.url, {"content-type": "application/json", "accept": "application/json"}, body)


async def failing(transport, server, deadlines=Deadlines(PATIENT_S)):  # noqa: B008 - a named tuple of numbers
    """The error of a call, of which nothing may hold the key."""
    with pytest.raises(CallError) as caught:
        await transport.send(asked(server), deadlines)
    error = caught.value
    told = [error]
    while told[-1].__cause__ is not None:
        told.append(told[-1].__cause__)
    assert not any(KEY in repr(one) + str(one) for one in told)
    assert str(error)
    return error


def answering(reply):
    """Answer every request of every connection with the same bytes."""

    async def handle(connection, server):
        while await connection.request():
            server.requests += 1
            await connection.send(reply)

    return handle


def ok(body=b'{"a": 1}', headers=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), headers, body)


# --- whole replies ---------------------------------------------------------------------------------------------------


@in_a_loop
async def test_a_request_arrives_whole_and_its_reply_comes_back_whole():
    seen = []

    async def handle(connection, _server):
        seen.append(await connection.request())
        await connection.send(ok(b'{"text": "\xc3\xa9"}', b"X-Request-ID: r-7\r\nRetry-After: 3\r\n"))

    async with served(handle) as server, connected() as transport:
        reply = await transport.send(asked(server, b'{"question": 1}'), Deadlines(PATIENT_S))
    assert reply.status == 200
    assert reply.body == b'{"text": "\xc3\xa9"}'
    assert reply.headers["x-request-id"] == "r-7"
    assert reply.headers["retry-after"] == "3"
    head, body = seen[0]
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /v1/chat/completions HTTP/1.1"
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:] if line)}
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["content-type"] == "application/json"
    assert headers["user-agent"] == "deepswarm"
    assert body == b'{"question": 1}'


@in_a_loop
async def test_a_server_without_keys_is_sent_none():
    seen = []

    async def handle(connection, _server):
        seen.append(await connection.request())
        await connection.send(ok())

    async with served(handle) as server, connected(None) as transport:
        await transport.send(asked(server), Deadlines(PATIENT_S))
    assert b"authorization" not in seen[0][0].lower()


@pytest.mark.parametrize(
    "status", [b"400 Bad Request", b"402 Payment Required", b"429 Slow Down", b"503 Busy", b"599 X"]
)
def test_every_status_is_a_reply_and_no_error(status):
    body = b'{"error": {"message": "no"}}'

    @in_a_loop
    async def test():
        reply = b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)
        async with served(answering(reply)) as server, connected() as transport:
            answer = await transport.send(asked(server), Deadlines(PATIENT_S))
        assert (answer.status, answer.body) == (int(status[:3]), body)
        assert server.requests == 1

    test()


@in_a_loop
async def test_a_redirect_is_not_followed():
    reply = b"HTTP/1.1 307 Elsewhere\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"
    async with served(answering(reply)) as server, connected() as transport:
        answer = await transport.send(asked(server), Deadlines(PATIENT_S))
    assert (answer.status, answer.headers["location"]) == (307, "/other")
    assert server.requests == 1


@in_a_loop
async def test_a_body_in_chunks_and_packets_of_any_size_is_put_together():
    async def handle(connection, _server):
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for letter in b"\n\n\n" + '{"é": 1}'.encode():
            for piece in (b"1\r\n", bytes([letter]), b"\r\n"):
                await connection.send(piece)
        await connection.send(b"0\r\n\r\n")

    async with served(handle) as server, connected() as transport:
        answer = await transport.send(asked(server), Deadlines(PATIENT_S))
    assert answer.body == b"\n\n\n" + '{"é": 1}'.encode()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_compressed_reply_is_unpacked(encoding):
    text = b'{"answer": "' + b"tides " * 1000 + b'"}'
    packed = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](text)

    @in_a_loop
    async def test():
        reply = ok(packed, b"Content-Encoding: %s\r\n" % encoding.encode())
        async with served(answering(reply)) as server, connected() as transport:
            assert (await transport.send(asked(server), Deadlines(PATIENT_S))).body == text

    test()


@in_a_loop
async def test_a_reply_of_several_megabytes_comes_back_byte_by_byte():
    text = os.urandom(1 << 20) * 12
    async with served(answering(ok(text))) as server, connected() as transport:
        assert (await transport.send(asked(server), Deadlines(PATIENT_S))).body == text


@in_a_loop
async def test_odd_headers_do_not_spoil_a_reply():
    headers = b"X-Note: caf\xe9\r\nRetry-After: 1\r\nRetry-After: 2\r\nX-Empty:\r\n"
    async with served(answering(ok(headers=headers))) as server, connected() as transport:
        answer = await transport.send(asked(server), Deadlines(PATIENT_S))
    assert answer.body == b'{"a": 1}'
    assert answer.headers["retry-after"] == "1"
    assert all(isinstance(value, str) for value in answer.headers.values())


# --- broken connections ----------------------------------------------------------------------------------------------


@in_a_loop
async def test_a_refused_connection_cost_nothing_and_says_where():
    async with served(answering(b"")) as server:
        pass
    async with connected() as transport:
        error = await failing(transport, server)
    assert type(error) is Unreachable
    assert "refuses connections" in str(error)
    assert server.url.split("/")[2] in str(error)
    assert not error.maybe_billed


@in_a_loop
async def test_a_name_without_an_address_cost_nothing_and_is_named():
    nowhere = Server("http://nothing.invalid/v1")
    async with connected() as transport:
        error = await failing(transport, nowhere)
    assert type(error) is Unreachable
    assert "nothing.invalid has no address" in str(error)
    assert not error.maybe_billed


async def close_at_once(connection, _server):
    await connection.request()


async def reset_at_once(connection, _server):
    await connection.request()
    connection.reset()


def sending_then(data, end):
    async def handle(connection, _server):
        await connection.request()
        await connection.send(data)
        end(connection)

    return handle


def chunked(data):
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data


def announced(size, data=b""):
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, data)


GZIP = b"Content-Encoding: gzip\r\n"
JSON = b'{"a": 1}'
BROKEN = {
    "closed before the headers": (Disconnected, close_at_once, b""),
    "reset before the headers": (Disconnected, reset_at_once, b""),
    "closed within the headers": (Disconnected, sending_then(b"HTTP/1.1 200 OK\r\nContent-Le", Peer.close), b""),
    "headers without end": (Disconnected, sending_then(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 999, Peer.close), b""),
    "closed after news": (Disconnected, sending_then(b"HTTP/1.1 102 Processing\r\n\r\n", Peer.close), b""),
    "closed after the headers": (Cut, sending_then(announced(9), Peer.close), b""),
    "fewer bytes than announced": (Cut, sending_then(announced(99, JSON), Peer.close), JSON),
    "reset within a body": (Cut, sending_then(announced(99, JSON), Peer.reset), None),
    "no last chunk": (Cut, sending_then(chunked(b"8\r\n" + JSON + b"\r\n"), Peer.close), JSON),
    "within a chunk": (Cut, sending_then(chunked(b"ff\r\n" + JSON), Peer.close), JSON),
    "reset before a body's own end": (Cut, sending_then(b"HTTP/1.1 200 OK\r\n\r\n" + JSON, Peer.reset), None),
    "gzip cut short": (Cut, sending_then(ok(gzip.compress(os.urandom(999))[:500], GZIP), Peer.close), None),
    "an odd chunk size": (Garbled, sending_then(chunked(b"8\r\n" + JSON + b"\r\nxyz\r\n"), Peer.close), JSON),
    "no HTTP at all": (
        Garbled,
        sending_then(b"220 mail.example ESMTP\r\n\r\n", Peer.close),
        b"220 mail.example ESMTP\r\n\r\n",
    ),
    "another protocol": (
        Garbled,
        sending_then(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", Peer.close),
        None,
    ),
    "broken gzip": (Garbled, sending_then(ok(b"not gzip", GZIP), Peer.close), b""),
    "unknown packing": (Garbled, sending_then(ok(b"x", b"Content-Encoding: br\r\n"), Peer.close), b""),
    "endless headers": (Garbled, sending_then(b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * HEAD_BYTES, Peer.close), None),
}


@pytest.mark.parametrize(("kind", "handle", "body"), BROKEN.values(), ids=BROKEN)
def test_what_breaks_after_the_request_was_sent_may_have_been_billed(kind, handle, body):
    @in_a_loop
    async def test():
        async with served(handle) as server, connected() as transport:
            error = await failing(transport, server)
        assert type(error) is kind
        assert error.maybe_billed
        assert error.status == (200 if kind is Cut else error.status)
        assert body is None or error.body == body
        assert server.connections == 1  # it was not tried again behind our back

    test()


@in_a_loop
async def test_what_was_no_http_is_shown():
    async with served(sending_then(b"220 mail.example ESMTP\r\n\r\n", Peer.close)) as server, connected() as transport:
        assert "'220 mail.example ESMTP" in str(await failing(transport, server))


# --- deadlines -------------------------------------------------------------------------------------------------------


async def silent(connection, _server):
    await connection.request()
    await connection.gone()


async def silent_after_headers(connection, _server):
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    await connection.gone()


async def dripping(connection, _server):
    """Blank lines for ever, as DeepSeek sends them while a request waits."""
    await connection.request()
    await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not connection.reader.at_eof():
        await connection.send(b"1\r\n\n\r\n")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                await connection.reader.read(1)


@pytest.mark.parametrize("handle", [silent, silent_after_headers, dripping])
def test_silence_and_drip_end_at_the_deadline_and_may_have_been_billed(handle):
    @in_a_loop
    async def test():
        loop = asyncio.get_running_loop()
        async with served(handle) as server, connected() as transport:
            began = loop.time()
            error = await failing(transport, server, Deadlines(0.25))
            passed_s = loop.time() - began
        assert type(error) is TimedOut
        assert error.phase == "total"
        assert error.maybe_billed
        assert 0.2 < passed_s < 5

    test()


@in_a_loop
async def test_a_drip_before_the_reply_is_no_reason_to_give_up():
    async def handle(connection, _server):
        await connection.request()
        await connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            await connection.send(b"1\r\n\n\r\n")
        await connection.send(b'8\r\n{"a": 1}\r\n0\r\n\r\n')

    async with served(handle) as server, connected() as transport:
        answer = await transport.send(asked(server), Deadlines(PATIENT_S))
    assert answer.body.strip() == b'{"a": 1}'


@in_a_loop
async def test_a_connection_that_nobody_accepts_ends_at_the_connect_deadline_and_cost_nothing():
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.socket())
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(8):  # its queue is full, so the system drops whoever else knocks
            knocking = stack.enter_context(socket.socket())
            knocking.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                knocking.connect(deaf.getsockname())
        nobody = Server(f"http://127.0.0.1:{deaf.getsockname()[1]}/v1")
        async with connected() as transport:
            error = await failing(transport, nobody, Deadlines(PATIENT_S, connect_s=0.2))
    assert type(error) is TimedOut
    assert error.phase == "connect"
    assert not error.maybe_billed


# --- too much --------------------------------------------------------------------------------------------------------


class Flood:
    """Sends without end and counts what the client took."""

    def __init__(self, head, piece, pieces):
        self.head, self.piece, self.pieces = head, piece, pieces
        self.taken = 0
        self.left = asyncio.Event()

    async def __call__(self, connection, _server):
        await connection.request()
        try:
            await connection.send(self.head)
            for _ in range(self.pieces):
                await connection.send(self.piece)
                self.taken += len(self.piece)
            await connection.gone()
        finally:
            self.left.set()


ANNOUNCED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % FIFTY_MB
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    ("head", "piece", "most"),
    [
        (ANNOUNCED, b" " * MEGABYTE, 16 * MEGABYTE),
        (CHUNKED, b"100000\r\n" + b" " * MEGABYTE + b"\r\n", REPLY_BYTES + 16 * MEGABYTE),
    ],
    ids=["announced", "chunked"],
)
def test_a_reply_that_is_too_large_is_not_read_to_its_end(head, piece, most):
    @in_a_loop
    async def test():
        flood = Flood(head, piece, 50)
        async with served(flood) as server, connected() as transport:
            error = await failing(transport, server)
            await flood.left.wait()
        assert type(error) is TooLarge
        assert error.maybe_billed
        assert flood.taken < most

    test()


@in_a_loop
async def test_a_small_reply_that_unpacks_to_too_much_is_too_large():
    bomb = gzip.compress(b" " * FIFTY_MB, 1)
    assert len(bomb) < MEGABYTE
    async with served(answering(ok(bomb, b"Content-Encoding: gzip\r\n"))) as server, connected() as transport:
        error = await failing(transport, server)
    assert type(error) is TooLarge
    assert error.maybe_billed


@in_a_loop
async def test_a_reply_as_large_as_is_allowed_is_read():
    body = b" " * REPLY_BYTES
    async with served(answering(ok(body))) as server, connected() as transport:
        answer = await transport.send(asked(server), Deadlines(PATIENT_S))
    assert len(answer.body) == REPLY_BYTES


@in_a_loop
async def test_after_a_reply_that_was_too_large_the_next_call_is_served():
    async def handle(connection, server):
        server.requests += 1
        await connection.request()
        await connection.send(ANNOUNCED if server.requests == 1 else ok())

    async with served(handle) as server, connected() as transport:
        await failing(transport, server)
        assert (await transport.send(asked(server), Deadlines(PATIENT_S))).status == 200
    assert server.connections == 2


# --- connections -----------------------------------------------------------------------------------------------------


@in_a_loop
async def test_each_of_many_calls_has_its_connection_and_all_are_used_again():
    many = 200
    all_here = asyncio.Barrier(many)

    async def handle(connection, server):
        while await connection.request():
            server.requests += 1
            await all_here.wait()  # nobody is answered before all have asked: none may queue behind another
            await connection.send(ok())

    async with served(handle) as server, connected() as transport:
        for _ in range(3):
            calls = (transport.send(asked(server), Deadlines(PATIENT_S)) for _ in range(many))
            assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
        assert server.connections == many
        assert server.requests == 3 * many


@in_a_loop
async def test_one_call_after_the_other_needs_one_connection():
    async with served(answering(ok())) as server, connected() as transport:
        for _ in range(20):
            await transport.send(asked(server), Deadlines(PATIENT_S))
    assert (server.connections, server.requests) == (1, 20)


@in_a_loop
async def test_connections_that_the_server_closed_while_idle_are_not_used_again():
    rounds = 20
    closed = asyncio.Event()

    async def handle(connection, _server):
        await connection.request()
        await connection.send(ok())
        connection.writer.write_eof()
        await connection.gone()  # the client has seen our end and closed its own
        closed.set()

    async with served(handle) as server, connected() as transport:
        for _ in range(rounds):
            assert (await transport.send(asked(server), Deadlines(PATIENT_S))).status == 200
            await closed.wait()
            closed.clear()
    assert server.connections == rounds


@in_a_loop
async def test_a_server_that_says_close_is_taken_at_its_word():
    async def handle(connection, _server):
        await connection.request()
        await connection.send(ok(headers=b"Connection: close\r\n"))

    async with served(handle) as server, connected() as transport:
        for _ in range(10):
            assert (await transport.send(asked(server), Deadlines(PATIENT_S))).status == 200
    assert server.connections == 10


@in_a_loop
async def test_a_kept_connection_that_breaks_under_a_second_request_may_have_been_billed():
    async def handle(connection, server):
        await connection.request()
        await connection.send(ok())
        if await connection.request():
            server.requests += 1
            connection.reset()

    async with served(handle) as server, connected() as transport:
        assert (await transport.send(asked(server), Deadlines(PATIENT_S))).status == 200
        error = await failing(transport, server)
    assert type(error) is Disconnected
    assert error.maybe_billed
    assert server.requests == 1


@in_a_loop
async def test_a_kept_connection_that_ends_after_it_was_asked_may_have_been_billed():
    async def handle(peer, server):
        await peer.request()
        await peer.send(ok())
        if await peer.request():
            server.requests += 1

    async with served(handle) as server, connected() as transport:
        assert (await transport.send(asked(server), Deadlines(PATIENT_S))).status == 200
        error = await failing(transport, server)
    assert type(error) is Disconnected
    assert error.maybe_billed
    assert server.requests == 1


class Racing(asyncio.Protocol):
    """A server that closes each connection at the moment after its answer at which the next request may be coming."""

    def __init__(self, seen, turns):
        self.seen, self.turns = seen, turns

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.seen.extend(line for line in data.split(b"\r\n") if line.startswith(b"{"))
        self.transport.write(ok())
        self.later(next(self.turns))

    def later(self, turns):
        if turns:
            asyncio.get_running_loop().call_soon(self.later, turns - 1)
        else:
            self.transport.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_request_that_crosses_the_goodbye_of_a_kept_connection_is_free_only_if_nobody_read_it(run):
    async def test():
        seen, turns = [], itertools.cycle(range(8))
        listening = await asyncio.get_running_loop().create_server(lambda: Racing(seen, turns), "127.0.0.1", 0)
        place = Server(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1")
        asked_for, free = [], []
        async with asyncio.timeout(DEADLINE_S), connected() as transport:
            for number in range(200):
                body = b'{"call": %d}' % number
                asked_for.append(body)
                try:
                    await transport.send(asked(place, body), Deadlines(PATIENT_S))
                except Unreachable:
                    free.append(body)
                except Disconnected as error:
                    assert error.maybe_billed  # noqa: PT017 - one of the ways it may end
                for _ in range(number % 5):
                    await asyncio.sleep(0)
        listening.close()
        await listening.wait_closed()
        assert len(seen) == len(set(seen))
        assert not set(free) & set(seen)

    run(test())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("answers", [1, 7])
@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="what was read of a request is known on Linux alone")
def test_what_reaches_a_kept_connection_after_its_end_was_never_asked(monkeypatch, run, answers):
    """The server's goodbye has not been noticed when the request goes out, as over a long line."""
    monkeypatch.setattr(http.Connection, "fresh", True)

    async def test():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            place = Server(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
            async with asyncio.timeout(DEADLINE_S), connected() as transport:
                for _ in range(100):
                    call = asyncio.ensure_future(transport.send(asked(place), Deadlines(PATIENT_S)))
                    accepted, _ = await asyncio.to_thread(listening.accept)
                    for turn in range(answers):
                        call = (
                            call
                            if turn == 0
                            else asyncio.ensure_future(transport.send(asked(place), Deadlines(PATIENT_S)))
                        )
                        await asyncio.to_thread(accepted.recv, 1 << 16)
                        accepted.sendall(ok())
                        assert (await call).status == 200
                    accepted.close()
                    error = await failing(transport, place)
                    assert type(error) is Unreachable
                    assert not error.maybe_billed

    run(test())


@in_a_loop
async def test_a_connection_that_is_known_to_have_ended_is_not_used():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        place = Server(f"http://127.0.0.1:{listening.getsockname()[1]}/v1")
        async with connected() as transport:
            for _ in range(20):
                call = asyncio.ensure_future(transport.send(asked(place), Deadlines(PATIENT_S)))
                accepted, _ = await asyncio.to_thread(listening.accept)
                await asyncio.to_thread(accepted.recv, 1 << 16)
                accepted.sendall(ok())
                assert (await call).status == 200
                accepted.close()  # and the next request leaves before the loop can notice


@in_a_loop
async def test_bytes_that_nobody_asked_for_end_a_connection():
    timeout = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"

    async def handle(peer, server):
        if await peer.request():
            server.requests += 1
            await peer.send(ok() + timeout if server.requests == 1 else ok())
            await peer.gone()

    async with served(handle) as server, connected() as transport:
        for _ in range(2):
            assert (await transport.send(asked(server), Deadlines(PATIENT_S))).status == 200
    assert server.connections == 2


@in_a_loop
async def test_idle_connections_are_closed_after_a_while():
    left = asyncio.Event()

    async def handle(peer, _server):
        await peer.request()
        await peer.send(ok())
        await peer.gone()
        left.set()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http, "IDLE_S", 0.05)
        async with served(handle) as server, connected() as transport:
            await transport.send(asked(server), Deadlines(PATIENT_S))
            await left.wait()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_thousands_of_connections_open_at_once_and_close_at_once(run):
    many = 2_500

    async def test():
        all_here, all_gone = asyncio.Barrier(many), asyncio.Semaphore(0)

        async def handle(peer, _server):
            await peer.request()
            await all_here.wait()
            await peer.send(ok())
            await peer.gone()
            all_gone.release()

        async with asyncio.timeout(60), served(handle) as server:
            async with connected() as transport:
                calls = (transport.send(asked(server), Deadlines(60.0, connect_s=60.0)) for _ in range(many))
                assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
                assert repr(transport) == f"HttpTransport(connections={many}, idle={many})"
            for _ in range(many):
                await all_gone.acquire()
            assert server.connections == many
        assert repr(transport) == "HttpTransport(connections=0, idle=0)"

    run(test())


# --- leaving ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("handle", [silent, silent_after_headers, dripping])
def test_a_call_that_is_left_closes_its_connection_at_once(run, handle):
    async def test():
        arrived, left = asyncio.Event(), asyncio.Event()

        async def watching(peer, server):
            loop_reads = peer.request

            async def request():
                got = await loop_reads()
                arrived.set()
                return got

            peer.request = request
            await handle(peer, server)
            left.set()

        async with served(watching) as server, connected() as transport:
            call = asyncio.ensure_future(transport.send(asked(server), Deadlines(PATIENT_S)))
            await arrived.wait()
            call.cancel()
            async with asyncio.timeout(0.5):
                await left.wait()
            with pytest.raises(asyncio.CancelledError):
                await call

    run(test())


@in_a_loop
async def test_a_call_that_is_left_while_it_connects_leaves_nothing_open():
    async with connected() as transport:
        call = asyncio.ensure_future(
            transport.send(HttpRequest("http://127.0.0.1:9/v1", {}, b"{}"), Deadlines(PATIENT_S))
        )
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert repr(transport) == "HttpTransport(connections=0, idle=0)"


@in_a_loop
async def test_closing_ends_calls_under_way():
    all_here = asyncio.Barrier(4)

    async def handle(peer, _server):
        await peer.request()
        await all_here.wait()
        await peer.gone()

    async with served(handle) as server, connected() as transport:
        calls = [asyncio.ensure_future(transport.send(asked(server), Deadlines(PATIENT_S))) for _ in range(3)]
        await all_here.wait()
        await transport.close()
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [Disconnected] * 3
    assert all(result.maybe_billed for result in results)


# --- the ways to end a body ------------------------------------------------------------------------------------------

ODD_BUT_SOUND = {
    "ended by the connection": b"HTTP/1.1 200 OK\r\n\r\n" + JSON,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + JSON,
    "HTTP/1.0 with a length": b"HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\n" + JSON,
    "chunk extensions and trailers": chunked(b"8;x=1\r\n" + JSON + b"\r\n0\r\nX-Took: 1\r\n\r\n"),
    "news before it": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nX-A: no\r\n\r\n" + ok(),
    "several packed members": ok(gzip.compress(JSON[:4]) + gzip.compress(JSON[4:]), GZIP),
    "packed without a frame": ok(zlib.compress(JSON)[2:-4], b"Content-Encoding: deflate\r\n"),
    "an offer of another protocol": ok(headers=b"Upgrade: h2,h2c\r\nConnection: Upgrade, Keep-Alive\r\n"),
    "packed in no way": ok(headers=b"Content-Encoding: identity\r\n"),
}


@pytest.mark.parametrize("data", ODD_BUT_SOUND.values(), ids=ODD_BUT_SOUND)
def test_an_odd_but_sound_reply_is_read(data):
    @in_a_loop
    async def test():
        async with served(sending_then(data, Peer.close)) as server, connected() as transport:
            answer = await transport.send(asked(server), Deadlines(PATIENT_S))
        assert (answer.status, answer.body) == (200, JSON)
        assert "x-a" not in answer.headers

    test()


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_reply_is_the_same_however_it_is_split(data):
    whole = data.draw(st.sampled_from([value for value in ODD_BUT_SOUND.values() if b"1.0" not in value]))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    incoming = Incoming()
    incoming.begin(None)
    for begin, end in itertools.pairwise([0, *cuts, len(whole)]):
        incoming.feed(whole[begin:end])
    assert incoming.complete or incoming.lost("") is None
    assert incoming.reply(Scrubber([]), None).body == JSON


@given(garbage=st.binary(max_size=300))
@settings(max_examples=100, deadline=None)
def test_garbage_is_an_error_of_ours_or_not_yet_a_reply(garbage):
    incoming = Incoming()
    incoming.begin(None)
    with contextlib.suppress(CallError):
        incoming.feed(garbage)
        assert not incoming.complete or incoming.status


@in_a_loop
async def test_an_idle_connection_holds_on_to_nothing():
    large = b"x" * MEGABYTE

    async with served(answering(ok(large))) as server, connected() as transport:
        for _ in range(2):
            answer = await transport.send(asked(server), Deadlines(PATIENT_S))
        assert answer.body == large
        assert sys.getrefcount(answer.body) <= 3


@in_a_loop
async def test_a_request_may_be_a_get():
    seen = []

    async def handle(peer, _server):
        seen.append(await peer.request())
        await peer.send(ok())

    async with served(handle) as server, connected() as transport:
        await transport.send(HttpRequest(f"{server.url}?a=ü b", {}, b"", "GET"), Deadlines(PATIENT_S))
    head, body = seen[0]
    assert head.startswith(b"GET /v1/chat/completions?a=%C3%BC%20b HTTP/1.1\r\n")
    assert body == b""


# --- the key ---------------------------------------------------------------------------------------------------------

ODD_KEY = 'sk-CA"NARY/+=1\\2'
ECHOES = {
    "as it is": KEY,
    "in base64": b64encode(KEY.encode()).decode(),
    "in base64 behind a name": b64encode(f"u:{KEY}".encode()).decode(),
    "in base64 behind a longer name": b64encode(f"us:{KEY}:x".encode()).decode(),
    "odd, as it is": ODD_KEY,
    "odd, in JSON": jsontext.dumps(ODD_KEY).decode()[1:-1],
    "odd, in a URL": quote(ODD_KEY, safe=""),
    "odd, in base64 for URLs": b64encode(ODD_KEY.encode()).decode().replace("+", "-").replace("/", "_"),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
@pytest.mark.parametrize("broken", [False, True])
def test_a_key_that_a_server_repeats_comes_back_as_stars(echo, broken):
    @in_a_loop
    async def test():
        said = f"your key {echo} is no good".encode()
        reply = ok(said, f"X-Echo: {echo}\r\n".encode())
        reply = announced(999, said) if broken else reply
        async with served(sending_then(reply, Peer.close)) as server:
            transport = HttpTransport({"authorization": f"Bearer {KEY}"}, [KEY, ODD_KEY])
            if broken:
                answer = await failing(transport, server)
            else:
                answer = await transport.send(asked(server), Deadlines(PATIENT_S))
                assert echo not in repr(answer.headers)
                assert "***" in answer.headers["x-echo"]
            await transport.close()
        inner = echo.strip("=")[3:-2].encode()  # the ends of base64 also depend on what stands beside
        assert inner not in answer.body
        assert answer.body.startswith(b"your key ")
        assert b"***" in answer.body

    test()


@in_a_loop
async def test_a_key_in_what_is_no_http_is_not_shown():
    async with served(sending_then(f"500 {KEY}\r\n\r\n".encode(), Peer.close)) as server, connected() as transport:
        error = await failing(transport, server)
    assert "***" in str(error)
    assert KEY.encode() not in error.body


@in_a_loop
async def test_a_word_that_is_a_key_of_a_local_server_stays_in_its_answers():
    async with served(answering(ok(b'"none of these"'))) as server, connected("none") as transport:
        assert (await transport.send(asked(server), Deadlines(PATIENT_S))).body == b'"none of these"'


def test_the_key_is_in_no_repr():
    transport = HttpTransport({"authorization": f"Bearer {KEY}"}, [KEY])
    assert KEY not in repr(transport)
    assert KEY not in repr(vars(transport))
    asyncio.run(transport.close())


@in_a_loop
async def test_the_key_is_in_no_repr_after_a_call_either():
    async with served(answering(ok())) as server, connected() as transport:
        await transport.send(asked(server), Deadlines(PATIENT_S))
        assert KEY not in repr(vars(transport))


@pytest.mark.parametrize("key", [f"{KEY}\n", f"a\r\n{KEY}", f"{KEY}\0", f"{KEY}ü"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(TaskFileError, match="API key") as caught:
        HttpTransport({"authorization": f"Bearer {key}"}, [key])
    error = caught.value
    assert isinstance(error, DeepSwarmError)
    assert KEY not in str(error) + repr(error)
    assert error.__cause__ is None


@in_a_loop
async def test_a_header_that_cannot_be_sent_is_refused_without_its_value():
    async with connected() as transport:
        with pytest.raises(TaskFileError, match="'x-note'") as caught:
            await transport.send(HttpRequest("http://127.0.0.1:9/", {"X-Note": "a\r\nb-CANARY"}, b""), Deadlines())
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("url", ["", "nonsense", "ftp://host/x", "http://host:99999/", "http:///v1", "http://[::1/"])
def test_what_is_no_address_is_refused(url):
    async def test():
        await HttpTransport({}).send(HttpRequest(url, {}, b""), Deadlines())

    with pytest.raises(TaskFileError, match="no address"):
        asyncio.run(test())
