"""The HTTP transport against a server of raw sockets: how a connection can go wrong, and what that may cost.

The server speaks bytes, not HTTP: each test writes down what comes over the wire. Nothing sleeps; where a test has to
see something happen on the other side, it waits for an event there.
"""

import asyncio
import contextlib
import gzip
import os
import socket
import zlib
from contextlib import asynccontextmanager

import pytest

from deepswarm.core.errors import CallError, DeepSwarmError, Disconnected, TaskFileError, TimedOut, TooLarge
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.transports import REPLY_BYTES, http
from deepswarm.transports.http import HttpTransport

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


class Connection:
    """The server's end of one connection."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def request(self):
        """(head, body) of the next request; None when the client has left."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        return head, await self.reader.readexactly(int(lengths[0].split(b":")[1]))

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self):
        """Wait until the client has left."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(1 << 16):
                pass

    def close(self):
        self.writer.close()

    def reset(self):
        """Send RST instead of FIN."""
        option = b"\x01\x00\x00\x00\x00\x00\x00\x00"
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.writer.transport.abort()


class Server:
    """What happened on the other side."""

    def __init__(self):
        self.url = ""
        self.connections = 0
        self.requests = 0
        self.faults = []


@asynccontextmanager
async def served(handle):
    """A server on loopback; `handle(connection)` is called for each connection."""
    server = Server()
    tasks = set()

    async def serve(reader, writer):
        tasks.add(asyncio.current_task())
        server.connections += 1
        connection = Connection(reader, writer)
        try:
            await handle(connection, server)
        except ConnectionError:
            pass
        except Exception as fault:
            server.faults.append(fault)
            raise
        finally:
            connection.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/v1/chat/completions"
    try:
        yield server
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await listening.wait_closed()
    assert not server.faults


@asynccontextmanager
async def connected(secret=KEY):
    transport = HttpTransport(secret)
    try:
        yield transport
    finally:
        await transport.close()


def asked(server, body=b'{"model": "m"}'):
    return HttpRequest(server.url, {"content-type": "application/json", "accept": "application/json"}, body)


async def failing(transport, server, Deadlines(PATIENT_S)):
    """The error of a call, of which nothing may hold the key."""
    with pytest.raises(CallError) as caught:
        await transport.send(asked(server), Deadlines(timeout_s))
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
async def test_a_refused_connection_is_a_disconnection_that_cost_nothing():
    async with served(answering(b"")) as server:
        pass
    async with connected() as transport:
        error = await failing(transport, server)
    assert type(error) is Disconnected
    assert not error.maybe_billed


@in_a_loop
async def test_a_name_without_an_address_is_a_disconnection_that_cost_nothing():
    nowhere = Server()
    nowhere.url = "http://nothing.invalid/v1"
    async with connected() as transport:
        error = await failing(transport, nowhere)
    assert type(error) is Disconnected
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


BROKEN = {
    "closed before the headers": close_at_once,
    "reset before the headers": reset_at_once,
    "closed within the headers": sending_then(b"HTTP/1.1 200 OK\r\nContent-Le", Connection.close),
    "closed after the headers": sending_then(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", Connection.close),
    "fewer bytes than announced": sending_then(
        b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"a": 1}', Connection.close
    ),
    "reset within the body": sending_then(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"a": 1}', Connection.reset),
    "chunks without an end": sending_then(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n" + b'{"a": 1}\r\n', Connection.close
    ),
    "a chunk cut short": sending_then(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + b'{"a": 1}', Connection.close
    ),
    "an odd chunk size": sending_then(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", Connection.close
    ),
    "no HTTP at all": sending_then(b"220 mail.example ESMTP\r\n\r\n", Connection.close),
    "headers without end": sending_then(b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 1000, Connection.close),
    "broken gzip": sending_then(ok(b"not gzip", b"Content-Encoding: gzip\r\n"), Connection.close),
    "gzip cut short": sending_then(
        ok(gzip.compress(os.urandom(999))[:500], b"Content-Encoding: gzip\r\n"), Connection.close
    ),
}


@pytest.mark.parametrize("handle", BROKEN.values(), ids=BROKEN)
def test_what_breaks_after_the_request_was_sent_may_have_been_billed(handle):
    @in_a_loop
    async def test():
        async with served(handle) as server, connected() as transport:
            error = await failing(transport, server)
        assert type(error) is Disconnected
        assert error.maybe_billed
        assert error.status == 0
        assert server.connections == 1  # it was not tried again behind our back

    test()


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
        nobody = Server()
        nobody.url = f"http://127.0.0.1:{deaf.getsockname()[1]}/v1"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http, "CONNECT_S", 0.2)
            async with connected() as transport:
                error = await failing(transport, nobody)
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


# --- the key ---------------------------------------------------------------------------------------------------------


def test_the_key_is_in_no_repr():
    transport = HttpTransport(KEY)
    assert KEY not in repr(transport)
    assert KEY not in repr(vars(transport))
    asyncio.run(transport.close())


@pytest.mark.parametrize("key", [f"{KEY}\n", f"a\r\n{KEY}", f"{KEY}\0"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key):
    with pytest.raises(TaskFileError, match="API key") as caught:
        HttpTransport(key)
    error = caught.value
    assert isinstance(error, DeepSwarmError)
    assert KEY not in str(error) + repr(error)
    assert error.__cause__ is None
    assert error.__suppress_context__
