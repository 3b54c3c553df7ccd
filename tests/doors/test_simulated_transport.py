"""The simulated transport: behaves as a real one would, in virtual time."""

import asyncio
import json
from collections import Counter

import pytest

from deepswarm.core.errors import CallError, Disconnected, TimedOut, TooLarge
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.dialects import openai_chat
from deepswarm.simulator import virtual_time
from deepswarm.simulator.faultlaw import Fault, FaultKind
from deepswarm.simulator.law import Latency, Law, Tokens
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.transports.simulated import SimulatedTransport


def request(marker="1"):
    body = {"model": "m", "messages": [{"role": "user", "content": f"[[id:{marker}]] Tell me something."}]}
    return HttpRequest("http://127.0.0.1/v1/chat/completions", {}, json.dumps(body).encode())


def now():
    return asyncio.get_running_loop().time()


def send_one(law, Deadlines(600.0)):
    """The provider, the seconds that it took, and the reply or the error."""
    provider = SimulatedProvider(law)

    async def main():
        try:
            return await SimulatedTransport(provider).send(request(), Deadlines(timeout_s)), now()
        except CallError as error:
            return error, now()

    outcome, seconds = virtual_time.run(main())
    return provider, seconds, outcome


def test_an_answer_arrives_after_its_latency():
    provider, seconds, reply = send_one(Law(latency=Latency(45.0)))
    assert (seconds, reply.status) == (45.0, 200)
    assert (provider.served("1"), provider.counts().in_flight) == (1, 0)


def test_an_answer_in_the_last_moment_counts():
    _, seconds, reply = send_one(Law(latency=Latency(600.0)), Deadlines(600.0))
    assert (seconds, reply.status) == (600.0, 200)


def test_a_late_answer_is_a_timeout_that_may_have_been_billed():
    provider, seconds, error = send_one(Law(latency=Latency(700.0)))
    assert (type(error), error.phase, error.maybe_billed, seconds) == (TimedOut, "total", True, 600.0)
    (row,) = provider.rows()
    assert (row.client_gone, row.served, row.finished) == (True, False, 600.0)
    assert row.tokens_out > 0


def test_a_hanging_request_ends_at_the_deadline():
    provider, seconds, error = send_one(Law(faults=(Fault(FaultKind.HANG),)), Deadlines(30.0))
    assert (type(error), seconds) == (TimedOut, 30.0)
    assert (provider.counts().in_flight, provider.billed_tokens) == (0, 0)


@pytest.mark.parametrize("kind", [FaultKind.DISCONNECT, FaultKind.CUT])
def test_a_broken_connection_is_an_error_that_may_have_been_billed(kind):
    provider, seconds, error = send_one(Law(latency=Latency(5.0), faults=(Fault(kind),)))
    assert (type(error), error.maybe_billed, seconds) == (Disconnected, True, 5.0)
    assert (provider.counts().in_flight, provider.counts().client_gone) == (0, 0)


def test_a_reply_over_the_cap_is_not_read(monkeypatch):
    monkeypatch.setattr("deepswarm.transports.simulated.REPLY_BYTES", 5000)
    _, _, error = send_one(Law(faults=(Fault(FaultKind.HUGE, size_bytes=6000),)))
    assert (type(error), error.maybe_billed) == (TooLarge, True)


def test_a_refusal_is_a_reply_like_any_other():
    _, seconds, reply = send_one(Law(faults=(Fault(FaultKind.STATUS, status=429),)))
    assert (seconds, reply.status) == (0.0, 429)


def test_a_cancelled_call_frees_its_slot_as_a_client_that_has_left():
    provider = SimulatedProvider(Law(concurrency=1, latency=Latency(100.0)))

    async def main():
        call = asyncio.create_task(SimulatedTransport(provider).send(request(), Deadlines(600.0)))
        await asyncio.sleep(10.0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    virtual_time.run(main())
    (row,) = provider.rows()
    assert (row.client_gone, row.finished, provider.counts().in_flight) == (True, 10.0, 0)


def test_a_call_without_latency_lets_others_run():
    provider = SimulatedProvider(Law())

    async def main():
        transport = SimulatedTransport(provider)
        await asyncio.gather(*(transport.send(request(str(number)), Deadlines(1.0)) for number in range(10)))
        await transport.close()

    virtual_time.run(main())
    assert provider.most_in_flight == 10


def test_the_ledger_equals_what_the_clients_saw():
    law = Law(
        concurrency=20,
        latency=Latency(120.0, 1.0),
        tokens=Tokens(50, 0.5),
        faults=(
            Fault(FaultKind.STATUS, 0.05, status=503),
            Fault(FaultKind.HANG, 0.02),
            Fault(FaultKind.DISCONNECT, 0.03),
            Fault(FaultKind.CUT, 0.03),
            Fault(FaultKind.EMPTY, 0.03),
        ),
    )
    provider = SimulatedProvider(law)
    seen: Counter[str] = Counter()

    async def worker(numbers):
        transport = SimulatedTransport(provider)
        for number in numbers:
            try:
                reply = openai_chat.decode(await transport.send(request(str(number)), Deadlines(480.0)))
            except CallError as error:
                seen[error.label] += 1
                seen["tokens"] += (error.usage.tokens_in or 0) + (error.usage.tokens_out or 0)
                await asyncio.sleep(1.0)
            else:
                seen["ok"] += 1
                seen["tokens"] += reply.usage.tokens_in + reply.usage.tokens_out

    async def main():
        left = iter(range(2000))
        async with asyncio.TaskGroup() as group:
            for _ in range(25):
                group.create_task(worker(left))
        return now()

    hours = virtual_time.run(main()) / 3600
    sums, rows = provider.counts(), provider.rows()
    assert hours > 0.15
    assert (sums.received, sums.in_flight, sums.most_in_flight) == (2000, 0, 20)
    assert seen["throttled"] == sums.refused > 0
    assert seen["timed_out"] == sums.client_gone > 0
    assert seen["overloaded"] == sum(row.status == 503 for row in rows) > 0
    assert seen["disconnected"] == sum(row.fault in {"cut", "disconnect"} for row in rows) > 0
    assert seen["ok"] == sums.served - sum(row.served and row.fault != "" for row in rows)
    unseen = sum(row.tokens_in + row.tokens_out for row in rows if row.client_gone or row.fault == "cut")
    assert seen["tokens"] + unseen == provider.billed_tokens


def test_repr_tells_whom_it_speaks_to():
    assert "SimulatedProvider(law='unlimited'" in repr(SimulatedTransport(SimulatedProvider(Law())))
