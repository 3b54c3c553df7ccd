"""The simulated provider on a real socket: what clients see, and what the provider notices of them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from contextlib import suppress
from dataclasses import replace

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import CallError
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.dialects import openai_chat
from deepswarm.simulator.faultlaw import FORMS, BodyKind, Ending, Fault, FaultKind
from deepswarm.simulator.law import Latency, Law, StreamLaw, Tokens
from deepswarm.simulator.limitlaw import BalanceLaw
from deepswarm.simulator.play import End, moments
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.simulator.server import serve
from deepswarm.transports.http import HttpTransport
from deepswarm.transports.simulated import SimulatedTransport

BOUND_S = 20.0
"""No test waits longer; none is expected to wait at all."""


def body_for(marker="1"):
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": f"[[id:{marker}]] hello"}]}).encode()


def raw(marker="1", *, path="/v1/chat/completions", method="POST", headers=(), body=None):
    body = body_for(marker) if body is None else body
    lines = [f"{method} {path} HTTP/1.1", "host: here", f"content-length: {len(body)}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


class Client:
    """A connection that sends bytes and reads replies, as they are on the wire."""

    def __init__(self, port):
        self._port = port

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_):
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def read(self):
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, body

    async def ask(self, request):
        self.writer.write(request)
        return await self.read()


def serving(law, talk, run=asyncio.run):
    """The provider, after `talk(port)` has run against its server."""
    provider = SimulatedProvider(law)

    async def main():
        async with asyncio.timeout(BOUND_S):
            server = await serve(provider, 0)
            try:
                await talk(server.port)
            finally:
                await server.close()

    run(main())
    return provider


async def counts_where(port, is_so):
    """The counts, as soon as they are so. Each look is a request; the bound is that of the test."""
    async with Client(port) as client:
        while True:
            _, _, body = await client.ask(raw(path="/_counts", method="GET", body=b""))
            counts = json.loads(body)
            if is_so(counts):
                return counts


def test_an_answer_comes_over_the_wire_and_into_the_ledger():
    async def talk(port):
        async with Client(port) as client:
            status, headers, body = await client.ask(raw("7"))
        assert (status, headers["content-type"], headers["connection"]) == (200, "application/json", "keep-alive")
        value = json.loads(body)
        assert value["choices"][0]["message"]["content"].startswith("[simulated] [[id:7]] ")
        usage.append(value["usage"]["total_tokens"])

    usage = []
    provider = serving(Law(tokens=Tokens(30)), talk)
    assert (provider.served("7"), provider.billed_tokens) == (1, usage[0])


def test_one_connection_serves_many_requests():
    async def talk(port):
        async with Client(port) as client:
            for number in range(50):
                status, _, body = await client.ask(raw(str(number)))
                assert status == 200
                assert f"[[id:{number}]]" in body.decode()

    assert serving(Law(), talk).counts().served == 50


def test_requests_sent_ahead_are_answered_in_their_order():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(b"".join(raw(str(number)) for number in range(200)))
            for number in range(200):
                assert f"[[id:{number}]]" in (await client.read())[2].decode()

    assert serving(Law(latency=Latency(0.0001)), talk).most_in_flight == 1


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions", "/v1/chat/completions?x=1"])
def test_both_addresses_are_served(path):
    async def talk(port):
        async with Client(port) as client:
            assert (await client.ask(raw(path=path)))[0] == 200

    serving(Law(), talk)


def test_models_counts_and_ledger_can_be_read():
    async def talk(port):
        async with Client(port) as client:
            await client.ask(raw("a"))
            _, _, models = await client.ask(raw(path="/v1/models", method="GET", body=b""))
            _, _, counts = await client.ask(raw(path="/_counts", method="GET", body=b""))
            _, headers, ledger = await client.ask(raw(path="/_ledger", method="GET", body=b""))
        assert json.loads(models)["data"][0]["object"] == "model"
        assert (json.loads(counts)["received"], json.loads(counts)["served"]) == (1, 1)
        (row,) = [json.loads(line) for line in ledger.splitlines()]
        assert (row["name"], row["served"], headers["content-type"]) == ("a", True, "application/x-ndjson")

    serving(Law(), talk)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (raw(path="/elsewhere"), 404),
        (raw(method="GET"), 405),
        (raw(path="/_counts"), 405),
        (raw(body=b"{"), 400),
        (b"NONSENSE\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 100_000, 431),
    ],
)
def test_what_cannot_be_served_gets_an_error_that_says_why(request_bytes, status):
    async def talk(port):
        async with Client(port) as client:
            got, _, body = await client.ask(request_bytes)
            assert got == status
            assert json.loads(body)["error"]["message"]

    assert serving(Law(), talk).billed_tokens == 0


def test_a_body_over_the_bound_is_refused(monkeypatch):
    monkeypatch.setattr("deepswarm.simulator.request_reader.REQUEST_BYTES", 1000)

    async def talk(port):
        async with Client(port) as client:
            assert (await client.ask(raw(body=b"x" * 2000)))[0] == 413
            assert await client.reader.read() == b""

    serving(Law(), talk)


def test_what_cannot_be_read_is_answered_after_the_requests_before_it():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw("1") + raw("2") + b"NONSENSE\r\n\r\n")
            assert [(await client.read())[0] for _ in range(3)] == [200, 200, 400]
            assert await client.reader.read() == b""

    assert serving(Law(latency=Latency(0.0001)), talk).counts().served == 2


@pytest.mark.parametrize("size", [1, 7, 50])
def test_a_request_may_come_in_any_pieces(size):
    async def talk(port):
        async with Client(port) as client:
            whole = raw("1") + raw("2")
            for start in range(0, len(whole), size):
                client.writer.write(whole[start : start + size])
                await client.writer.drain()
                await asyncio.sleep(0)
            assert [(await client.read())[0] for _ in range(2)] == [200, 200]

    assert serving(Law(), talk).counts().served == 2


def test_a_client_that_asks_before_it_sends_is_told_to_go_on():
    async def talk(port):
        head, body = raw(headers=["expect: 100-continue"]).split(b"\r\n\r\n", 1)
        async with Client(port) as client:
            client.writer.write(head + b"\r\n\r\n")
            assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert (await client.ask(body))[0] == 200

    serving(Law(), talk)


def test_a_client_may_ask_for_the_connection_to_be_closed():
    async def talk(port):
        async with Client(port) as client:
            status, headers, _ = await client.ask(raw(headers=["connection: close"]))
            assert (status, headers["connection"]) == (200, "close")
            assert await client.reader.read() == b""

    serving(Law(), talk)


def test_the_cap_counts_connections_that_wait():
    async def talk(port):
        async with Client(port) as first, Client(port) as second, Client(port) as third:
            for client in (first, second):
                client.writer.write(raw())
            await counts_where(port, lambda counts: counts["in_flight"] == 2)
            status, headers, body = await third.ask(raw())
        assert (status, headers["retry-after"]) == (429, "2")
        assert "current concurrency is 3" in json.loads(body)["error"]["message"]

    provider = serving(Law(concurrency=2, retry_after_s=2.0, faults=(Fault(FaultKind.HANG),)), talk)
    assert provider.most_in_flight == 2


@pytest.mark.parametrize("fault", [(Fault(FaultKind.HANG),), ()])
def test_a_client_that_leaves_while_it_waits_is_noticed(fault):
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            await counts_where(port, lambda counts: counts["in_flight"] == 1)
        await counts_where(port, lambda counts: counts["client_gone"] == 1 and counts["in_flight"] == 0)

    assert serving(Law(latency=Latency(3600.0), faults=fault), talk).served("1") == 0


def test_a_client_that_leaves_in_the_middle_of_a_reply_is_noticed():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            await client.reader.readuntil(b"\r\n\r\n")
            client.writer.transport.abort()
            await counts_where(port, lambda counts: counts["client_gone"] == 1)

    provider = serving(Law(faults=(Fault(FaultKind.HUGE, size_bytes=30_000_000),)), talk)
    assert provider.served("1") == 1, "the completion was made, although nobody read it to the end"


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_large_reply_is_delivered_whole_and_the_connection_goes_on(run):
    async def talk(port):
        async with Client(port) as client:
            _, headers, body = await client.ask(raw())
            assert len(body) == int(headers["content-length"]) > 10_000_000
            assert (await client.ask(raw("2")))[0] == 200

    fault = Fault(FaultKind.HUGE, size_bytes=10_000_000, seeds=frozenset({"1"}))
    counts = serving(Law(faults=(fault,)), talk, run).counts()
    assert (counts.served, counts.client_gone) == (2, 0)


def test_a_disconnect_is_a_closed_connection_without_a_byte():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            assert await client.reader.read() == b""

    counts = serving(Law(faults=(Fault(FaultKind.DISCONNECT),)), talk).counts()
    assert (counts.unserved, counts.client_gone) == (1, 0)


def test_a_cut_announces_more_than_it_sends():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            head, _, body = (await client.reader.read()).partition(b"\r\n\r\n")
            announced = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert 0 < len(body) < announced

    assert serving(Law(faults=(Fault(FaultKind.CUT),)), talk).counts().client_gone == 0


def test_closing_the_server_breaks_off_what_is_under_way():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            await counts_where(port, lambda counts: counts["in_flight"] == 1)

    counts = serving(Law(faults=(Fault(FaultKind.HANG),)), talk).counts()
    assert (counts.in_flight, counts.client_gone) == (0, 1)


def test_only_this_machine_can_reach_it():
    async def main():
        server = await serve(SimulatedProvider(Law()), 0)
        hosts = {each.getsockname()[0] for each in server._listener.sockets}
        await server.close()
        await server.close()
        return hosts, server.address

    hosts, address = asyncio.run(main())
    assert hosts == {"127.0.0.1"}
    assert address.startswith("http://127.0.0.1:")


# --- plays over the wire ---------------------------------------------------------------------------------------------


def dechunked(data):
    """A chunked body's pieces, and whether its last chunk was there."""
    pieces = []
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return pieces, True
        pieces.append(data[:length])
        data = data[length + 2 :]
    return pieces, False


async def read_until_closed(client):
    """Head and body of the last reply of a connection."""
    head, _, body = (await client.reader.read()).partition(b"\r\n\r\n")
    return head.decode().lower(), body


def streamed(marker="1", **more):
    body = {"model": "m", "messages": [{"role": "user", "content": f"[[id:{marker}]] hello"}], "stream": True, **more}
    return json.dumps(body).encode()


def test_a_stream_comes_in_chunks_and_the_connection_goes_on():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(body=streamed()))
            head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
            body = await client.reader.readuntil(b"\r\n0\r\n\r\n")
            assert "transfer-encoding: chunked" in head
            assert "content-type: text/event-stream" in head
            pieces, whole = dechunked(body)
            assert (len(pieces), whole) == (12, True)
            assert pieces[-1].endswith(b"data: [DONE]\n\n")
            assert (await client.ask(raw("2")))[0] == 200

    provider = serving(Law(latency=Latency(first_token_s=0.01, tokens_per_s=1000.0), tokens=Tokens(11)), talk)
    row = provider.rows()[0]
    assert row.received + 0.01 <= row.first_byte < row.finished
    assert (row.served, row.client_gone, row.tokens_out) == (True, False, 11)


def test_an_old_client_gets_a_stream_that_ends_with_its_connection():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(body=streamed()).replace(b"HTTP/1.1", b"HTTP/1.0"))
            head, body = await read_until_closed(client)
        assert "transfer-encoding" not in head
        assert body.endswith(b"data: [DONE]\n\n")

    serving(Law(), talk)


def test_a_client_that_leaves_in_the_middle_of_a_stream_has_had_its_first_byte():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(body=streamed()))
            await client.reader.readuntil(b'"content":"[')
        await counts_where(port, lambda counts: counts["client_gone"] == 1)

    provider = serving(Law(faults=(Fault(FaultKind.HANG, after_chunks=2),)), talk)
    (row,) = provider.rows()
    assert row.first_byte is not None
    assert (row.served, row.client_gone) == (False, True)


def test_a_client_that_leaves_before_the_first_byte_has_not_had_it():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(body=streamed()))
            await client.reader.readuntil(b": keep-alive")
        await counts_where(port, lambda counts: counts["client_gone"] == 1)

    (row,) = serving(Law(faults=(Fault(FaultKind.DRIP, every_s=0.001),)), talk).rows()
    assert row.first_byte is None


def test_blank_lines_come_before_a_whole_reply():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(headers=["connection: close"]))
            _, body = await read_until_closed(client)
        pieces, whole = dechunked(body)
        assert (pieces[:-1], whole) == ([b"\n"] * (len(pieces) - 1), True)
        assert len(pieces) == 5
        assert json.loads(b"".join(pieces))["choices"]

    serving(Law(latency=Latency(0.05), stream=StreamLaw(keep_alive_s=0.0101)), talk)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault(FaultKind.DISCONNECT, end=Ending.RESET),
        Fault(FaultKind.CUT, end=Ending.RESET, after_chunks=2),
        Fault(FaultKind.DRIP, end=Ending.RESET, every_s=0.001, for_s=0.01),
        Fault(FaultKind.UNREACHABLE),
    ],
    ids=lambda fault: fault.kind,
)
def test_a_reset_is_a_reset(fault, run):
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(body=streamed()))
            with pytest.raises(ConnectionResetError):
                await client.reader.read()

    assert serving(Law(faults=(fault,)), talk, run).counts().client_gone == 0


@pytest.mark.parametrize("end", [Ending.CLOSE, Ending.CLEAN, Ending.DONE])
def test_a_cut_stream_lacks_its_last_chunk_unless_it_ends_cleanly(end):
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(body=streamed(), headers=["connection: close"]))
            _, body = await read_until_closed(client)
        pieces, whole = dechunked(body)
        text = b"".join(pieces)
        assert whole is (end is not Ending.CLOSE)
        assert (b"[DONE]" in text) is (end is Ending.DONE)
        assert text.count(b'"content":"') == 4
        assert b'"finish_reason":"' not in text

    assert serving(Law(faults=(Fault(FaultKind.CUT, after_chunks=3, end=end),)), talk).counts().client_gone == 0


def test_a_drip_may_end_without_a_body():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            head, body = await read_until_closed(client)
        assert head.startswith("http/1.1 200 ok")
        assert set(body.split(b"\r\n")[1::2]) <= {b"\n", b""}

    serving(Law(faults=(Fault(FaultKind.DRIP, every_s=0.002, for_s=0.02),)), talk)


def test_a_hang_after_the_head_sends_the_head():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw())
            head = (await client.reader.readuntil(b"\r\n\r\n")).decode()
            assert "content-length: 0" not in head
            assert head.startswith("HTTP/1.1 200 OK")

    assert serving(Law(faults=(Fault(FaultKind.HANG, form="head"),)), talk).counts().client_gone == 1


@pytest.mark.parametrize("idle_s", [0.0, 0.01])
def test_a_kept_connection_may_be_closed_all_the_same(idle_s):
    async def talk(port):
        async with Client(port) as client:
            status, headers, _ = await client.ask(raw())
            assert (status, headers["connection"]) == (200, "keep-alive")
            assert await client.reader.read() == b""

    assert serving(Law(faults=(Fault(FaultKind.STALE, idle_s=idle_s),)), talk).counts().served == 1


def test_a_connection_that_is_used_again_in_time_is_not_closed():
    async def talk(port):
        async with Client(port) as client:
            for number in range(3):
                assert (await client.ask(raw(str(number))))[0] == 200

    assert serving(Law(faults=(Fault(FaultKind.STALE, idle_s=BOUND_S),)), talk).counts().served == 3


def test_a_header_may_come_twice():
    async def talk(port):
        async with Client(port) as client:
            client.writer.write(raw(headers=["connection: close"]))
            head, _ = await read_until_closed(client)
        assert [line for line in head.split("\r\n") if line.startswith("retry")] == ["retry-after: 5", "retry-after: 7"]

    fault = Fault(FaultKind.STATUS, status=429, headers="Retry-After: 5\nRetry-After: 7")
    serving(Law(faults=(fault,)), talk)


def test_the_key_in_the_headers_counts():
    async def talk(port):
        async with Client(port) as client:
            for key, status in (("sk-old", 401), ("sk-new", 200)):
                got, _, body = await client.ask(raw(headers=[f"Authorization: Bearer {key}"]))
                assert got == status
                assert (b"sk-old" in body) is (status == 401)

    fault = Fault(FaultKind.STATUS, status=401, message="Wrong key: {key}", keys=frozenset({"sk-old"}))
    serving(Law(faults=(fault,)), talk)


# --- other addresses -------------------------------------------------------------------------------------------------


def test_messages_are_answered_in_their_own_form():
    async def talk(port):
        body = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "[[id:m]]"}]}
        async with Client(port) as client:
            asking = raw(path="/v1/messages", body=json.dumps(body).encode(), headers=["x-api-key: sk"])
            status, _, reply = await client.ask(asking)
        value = json.loads(reply)
        assert (status, value["type"], value["stop_reason"]) == (200, "message", "end_turn")
        assert value["content"][0]["text"].startswith("[simulated] [[id:m]]")

    serving(Law(), talk)


def test_the_law_may_be_switched_while_the_server_runs():
    async def talk(port):
        async with Client(port) as client:

            async def put(text):
                return await client.ask(raw(path="/_law", body=text.encode()))

            assert (await client.ask(raw()))[0] == 200
            assert (await put('[[faults]]\nkind = "status"\nstatus = 402'))[0] == 200
            assert (await client.ask(raw()))[0] == 402
            status, _, body = await put("no_such_key = 1")
            assert status == 400
            assert "no_such_key" in json.loads(body)["error"]["message"]
            assert (await client.ask(raw()))[0] == 402
            assert (await put(""))[0] == 200
            assert (await client.ask(raw()))[0] == 200

    serving(Law(), talk)


def test_the_balance_can_be_read_where_there_is_one():
    async def talk(port):
        async with Client(port) as client:
            status, _, body = await client.ask(raw(path="/user/balance", method="GET", body=b""))
            assert status == 200
            assert json.loads(body)["balance_infos"][0] == {
                "currency": "USD",
                "total_balance": "3.50",
                "granted_balance": "0.00",
                "topped_up_balance": "3.50",
            }
            await client.ask(raw(path="/_law", body=b"concurrency = 3"))
            assert (await client.ask(raw(path="/user/balance", method="GET", body=b"")))[0] == 404

    serving(Law(balance=BalanceLaw(usd=3.5)), talk)


# --- the two deliveries ----------------------------------------------------------------------------------------------

FAULTS = [
    *(Fault(FaultKind.STATUS, status=503, body=body, retry_after_s=1.0) for body in BodyKind),
    Fault(FaultKind.STATUS, status=302, headers="location: /elsewhere"),
    Fault(FaultKind.HANG),
    Fault(FaultKind.HANG, form="head"),
    Fault(FaultKind.HANG, after_chunks=2),
    Fault(FaultKind.HANG, after_chunks=2, for_s=0.001),
    Fault(FaultKind.DISCONNECT),
    Fault(FaultKind.DISCONNECT, end=Ending.RESET),
    *(Fault(FaultKind.CUT, after_chunks=2, end=end) for end in Ending if end is not Ending.ANSWER),
    Fault(FaultKind.DRIP, every_s=0.002, for_s=0.01, end=Ending.ANSWER),
    Fault(FaultKind.STALE),
    Fault(FaultKind.SPLIT, size_bytes=7),
    Fault(FaultKind.DEEP, depth=1000),
    Fault(FaultKind.BOMB, size_bytes=5000),
    Fault(FaultKind.HUGE, size_bytes=40_000_000),
    Fault(FaultKind.GARBLED, body=BodyKind.HTML),
    Fault(FaultKind.GARBLED, body=BodyKind.EMPTY),
    Fault(FaultKind.GARBLED, raw="data: {\n\n"),
    Fault(FaultKind.LOOP, size_bytes=50_000),
    Fault(FaultKind.LOOP, form="reasoning", period=3, size_bytes=50_000),
    Fault(FaultKind.WHITESPACE),
    *(
        Fault(kind, form=form)
        for kind in FaultKind
        for form in FORMS.get(kind, ("",))
        if kind
        not in {FaultKind.STATUS, FaultKind.HANG, FaultKind.HUGE, FaultKind.BOMB, FaultKind.DRIP, FaultKind.UNREACHABLE}
    ),
]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_real_and_simulated_transport_make_the_same_of_every_fault(stream):
    """One server, whose law is switched for each fault: a run for each would be thrice as long."""

    async def outcome(transport, url, assembler, hangs):
        short_s = 0.5 if hangs else BOUND_S  # only of what never comes, so that a slow machine changes nothing
        deadlines = Deadlines(BOUND_S, short_s, short_s) if stream else Deadlines(short_s)
        body = streamed() if stream else body_for()
        try:
            reply = await transport.send(HttpRequest(url, {}, body), deadlines, assembler)
        except CallError as error:
            return type(error), error.maybe_billed, getattr(error, "phase", ""), error.body
        return reply.status, reply.body, reply.headers.get("retry-after"), reply.first_s is None

    async def main():
        law = Law(tokens=Tokens(40))
        provider = SimulatedProvider(law)
        server = await serve(provider, 0)
        transport = HttpTransport({})
        url = f"{server.address}/chat/completions"
        different = []
        for fault in [None, *FAULTS, *([] if stream else [Fault(FaultKind.BOMB)])]:
            one = replace(law, faults=() if fault is None else (fault,))
            hangs = fault is not None and fault.kind is FaultKind.HANG and fault.for_s is None
            provider.switch(one)
            assemblers = [openai_chat.assembler() if stream else None for _ in range(2)]
            real = await outcome(transport, url, assemblers[0], hangs)
            attempt = SimulatedProvider(one)
            attempt._attempts = {key: count - 1 for key, count in provider._attempts.items()}
            simulated = await outcome(SimulatedTransport(attempt), url, assemblers[1], hangs)
            if real != simulated:
                different.append((fault and (fault.kind, fault.form, fault.end), real, simulated))
        await transport.close()
        await server.close()
        return different

    assert asyncio.run(main()) == []


@settings(max_examples=25, deadline=None)
@given(
    tokens=st.integers(1, 60),
    chunk=st.integers(1, 9),
    stream=st.booleans(),
    seed=st.integers(0, 1000),
    faults=st.lists(st.sampled_from([fault for fault in FAULTS if not fault.size_bytes]), max_size=1),
)
def test_the_bytes_on_the_wire_are_those_of_the_play(tokens, chunk, stream, seed, faults):
    law = Law(tokens=Tokens(tokens, 0.3), stream=StreamLaw(chunk), faults=tuple(faults))
    body = streamed("9") if stream else body_for("9")
    play = SimulatedProvider(law, seed).receive(HttpRequest("/v1/chat/completions", {}, body), 0.0).play

    async def main():
        server = await serve(SimulatedProvider(law, seed), 0)
        async with asyncio.timeout(BOUND_S), Client(server.port) as client:
            client.writer.write(raw(body=body, headers=["connection: close"]))
            if play.end is End.HANG and play.status:
                await client.reader.readuntil(b"\r\n\r\n")
                received = await client.reader.readexactly(_size_of(play)) if play.scenes else b""
            elif play.end in {End.HANG, End.RESET, End.REFUSED}:
                received = None
            else:
                _, received = await read_until_closed(client)
        await server.close()
        return received

    received = asyncio.run(main())
    if received is not None:
        expected = [moment.data for moment in moments(play) if moment.data]
        if play.length is None:
            pieces, whole = dechunked(received)
            assert whole is (play.end is End.WHOLE)
            assert b"".join(pieces) == b"".join(expected)
        else:
            assert received == b"".join(expected)


def _size_of(play):
    """Bytes of a play on the wire, without its head."""
    sizes = [len(moment.data) for moment in moments(play) if moment.data]
    return sum(sizes) if play.length is not None else sum(size + len(f"{size:x}") + 4 for size in sizes)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_until_it_is_told_to_stop_and_prints_the_counts(number):
    program = "from deepswarm.cli.simulate import command; command()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "--port", "0", "--law", "unlimited"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    ) as process:
        address = process.stdout.readline().strip()
        asking = urllib.request.Request(f"{address}/chat/completions", data=body_for())  # noqa: S310 - our own server
        with urllib.request.urlopen(asking, timeout=BOUND_S) as reply:  # noqa: S310 - our own server
            assert reply.status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=BOUND_S)
    assert process.returncode == 0
    assert "SIMULATED PROVIDER" in err
    assert [line.split() for line in out.splitlines()][:3] == [["received", "1"], ["refused", "0"], ["served", "1"]]


@pytest.mark.slow
def test_the_command_says_which_port_is_taken():
    async def talk(port):
        program = "from deepswarm.cli.simulate import command; command()"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, "--port", str(port), stderr=subprocess.PIPE
        )
        _, err = await process.communicate()
        assert process.returncode == 2
        assert f"cannot listen on 127.0.0.1:{port}" in err.decode()

    serving(Law(), talk)
