"""The simulated provider on a real socket: what clients see, and what the provider notices of them."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request

import pytest
import uvloop

from deepswarm.core.errors import CallError
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.simulator.faultlaw import BodyKind, Fault, FaultKind
from deepswarm.simulator.law import Latency, Law, Tokens
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
    monkeypatch.setattr("deepswarm.simulator.server.REQUEST_BYTES", 1000)

    async def talk(port):
        async with Client(port) as client:
            assert (await client.ask(raw(body=b"x" * 2000)))[0] == 413
            assert await client.reader.read() == b""

    serving(Law(), talk)


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


@pytest.mark.parametrize(
    "law",
    [
        Law(),
        Law(faults=(Fault(FaultKind.STATUS, status=503, retry_after_s=1.0),)),
        Law(faults=(Fault(FaultKind.STATUS, status=502, body=BodyKind.HTML),)),
        Law(faults=(Fault(FaultKind.STATUS, status=529, body=BodyKind.EMPTY),)),
        Law(faults=(Fault(FaultKind.HANG),)),
        Law(faults=(Fault(FaultKind.DISCONNECT),)),
        Law(faults=(Fault(FaultKind.CUT),)),
        Law(faults=(Fault(FaultKind.EMPTY),)),
        Law(faults=(Fault(FaultKind.GARBLED),)),
        Law(faults=(Fault(FaultKind.HUGE, size_bytes=40_000_000),)),
    ],
    ids=lambda law: law.faults[0].kind if law.faults else "none",
)
def test_real_and_simulated_transport_make_the_same_of_a_law(law):
    async def outcome(transport, url):
        timeout_s = 0.3 if law.faults and law.faults[0].kind is FaultKind.HANG else BOUND_S
        try:
            reply = await transport.send(HttpRequest(url, {}, body_for()), Deadlines(timeout_s))
        except CallError as error:
            return type(error), error.maybe_billed, getattr(error, "phase", "")
        else:
            return reply.status, reply.body, reply.headers.get("retry-after")
        finally:
            await transport.close()

    async def talk(port):
        url = f"http://127.0.0.1:{port}/v1/chat/completions"
        real = await outcome(HttpTransport(None), url)
        simulated = await outcome(SimulatedTransport(SimulatedProvider(law)), url)
        assert real == simulated

    serving(law, talk)


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
