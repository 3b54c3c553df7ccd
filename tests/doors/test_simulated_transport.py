"""The simulated transport: behaves as a real one would, in virtual time."""

import asyncio
import json
import re
from collections import Counter
from dataclasses import replace

import pytest

from deepswarm.core.errors import CallError, Cut, Disconnected, Looping, TimedOut, TooLarge, Unreachable
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.dialects import openai_chat
from deepswarm.simulator import virtual_time
from deepswarm.simulator.faultlaw import Ending, Fault, FaultKind
from deepswarm.simulator.law import Latency, Law, StreamLaw, Tokens
from deepswarm.simulator.limitlaw import BalanceLaw
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.transports.simulated import SimulatedTransport


def request(marker="1", **more):
    body = {"model": "m", "messages": [{"role": "user", "content": f"[[id:{marker}]] Tell me something."}], **more}
    return HttpRequest("http://127.0.0.1/v1/chat/completions", {}, json.dumps(body).encode())


class Pieces:
    """An assembler that keeps the events' texts; gives up when one of them holds `enough`."""

    def __init__(self, enough="no such text"):
        self._data = b""
        self._enough = enough
        self.feeds = 0

    def feed(self, data):
        self.feeds += 1
        self._data += data
        if self._enough.encode() in data:
            raise Looping("enough")
        return re.search(rb'content":"[^"]', data) is not None

    @property
    def done(self):
        return b"[DONE]" in self._data

    def body(self):
        return self._data


STREAMED = Law(latency=Latency(first_token_s=8.0, tokens_per_s=10.0), tokens=Tokens(40), stream=StreamLaw(8))
"""A stream whose pieces come at 8.0, 8.8, 9.6, 10.4 and 11.2 seconds, and its end at 12.0."""


def stream_one(law=STREAMED, deadlines=Deadlines(600.0), enough="no such text"):  # noqa: B008 - a record without state
    """The provider's only row, the seconds that it took, and the reply or the error."""
    provider = SimulatedProvider(law)

    async def main():
        pieces = Pieces(enough)
        try:
            return await SimulatedTransport(provider).send(request(stream=True), deadlines, pieces), now()
        except CallError as error:
            return error, now()

    outcome, seconds = virtual_time.run(main())
    (row,) = provider.rows()
    return row, seconds, outcome


def now():
    return asyncio.get_running_loop().time()


def send_one(law, deadlines=Deadlines(600.0)):  # noqa: B008 - a record without state
    """The provider, the seconds that it took, and the reply or the error."""
    provider = SimulatedProvider(law)

    async def main():
        try:
            return await SimulatedTransport(provider).send(request(), deadlines), now()
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


@pytest.mark.parametrize(("kind", "told"), [(FaultKind.DISCONNECT, Disconnected), (FaultKind.CUT, Cut)])
def test_a_broken_connection_is_an_error_that_may_have_been_billed(kind, told):
    provider, seconds, error = send_one(Law(latency=Latency(5.0), faults=(Fault(kind),)))
    assert (type(error), error.maybe_billed, seconds) == (told, True, 5.0)
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


# --- streams ---------------------------------------------------------------------------------------------------------


def test_a_stream_is_read_to_its_end():
    row, seconds, reply = stream_one()
    assert (seconds, reply.first_s, reply.status) == (12.0, 8.0, 200)
    assert b"[[id:1]]" in reply.body
    assert reply.body.endswith(b"data: [DONE]\n\n")
    assert (row.first_byte, row.finished, row.served, row.client_gone) == (8.0, 12.0, True, False)


def test_the_first_piece_of_content_has_a_deadline_of_its_own():
    row, seconds, error = stream_one(deadlines=Deadlines(600.0, first_s=7.5))
    assert (type(error), error.phase, seconds, error.maybe_billed) == (TimedOut, "first", 7.5, True)
    assert (row.first_byte, row.client_gone) == (None, True)


def test_so_has_each_further_piece():
    law = replace(STREAMED, faults=(Fault(FaultKind.HANG, after_chunks=2, for_s=100.0),))
    _, seconds, reply = stream_one(law, Deadlines(600.0, 10.0, stall_s=101.0))
    assert (seconds, reply.status) == (112.0, 200)
    row, seconds, error = stream_one(law, Deadlines(600.0, 10.0, stall_s=30.0))
    assert (type(error), error.phase, seconds) == (TimedOut, "stall", 38.8)
    assert error.body.count(b'"content":') == 3, "the role's and two pieces"
    assert (row.first_byte, row.client_gone, row.served) == (8.0, True, False)


def test_the_whole_stream_has_a_deadline():
    _, seconds, error = stream_one(deadlines=Deadlines(11.0, first_s=9.0, stall_s=5.0))
    assert (error.phase, seconds) == ("total", 11.0)


@pytest.mark.parametrize("phase", ["first", "stall"])
def test_keep_alives_put_no_deadline_off(phase):
    after = 0 if phase == "first" else 2
    law = replace(STREAMED, faults=(Fault(FaultKind.HANG, after_chunks=after, every_s=1.0),))
    _, seconds, error = stream_one(law, Deadlines(600.0, 30.0, 30.0))
    assert (error.phase, seconds) == (phase, 30.0 if phase == "first" else 38.8)
    assert error.body.count(b": keep-alive") in {22, 30}


def test_blank_lines_put_the_deadline_of_a_whole_reply_off_no_more():
    _, seconds, error = send_one(Law(faults=(Fault(FaultKind.DRIP),)), Deadlines(30.0))
    assert (error.phase, seconds, error.body) == ("total", 30.0, b"\n" * 30)


def test_a_reply_that_is_no_stream_is_read_whole():
    _, seconds, reply = stream_one(Law(faults=(Fault(FaultKind.STATUS, status=503),)))
    assert (seconds, reply.status, reply.first_s) == (0.0, 503, None)
    assert json.loads(reply.body)["error"]


def test_nothing_is_read_after_the_end_of_a_stream():
    law = replace(STREAMED, faults=(Fault(FaultKind.GARBLED, raw='data: {"content":"[x"}\n\ndata: [DONE]\n\n'),))
    row, seconds, reply = stream_one(law)
    assert (seconds, reply.status, row.client_gone) == (12.0, 200, False)


def test_whoever_has_enough_of_a_stream_ends_it():
    row, seconds, error = stream_one(enough='"finish_reason":"stop"')
    assert (type(error), seconds, row.client_gone) == (Looping, 12.0, True)


@pytest.mark.parametrize(("end", "told"), [("close", Cut), ("reset", Cut)])
def test_a_stream_that_breaks_off_is_a_cut_with_what_had_come(end, told):
    law = replace(STREAMED, faults=(Fault(FaultKind.CUT, after_chunks=2, end=Ending(end)),))
    row, seconds, error = stream_one(law)
    assert (type(error), seconds, error.maybe_billed) == (told, 9.6, True)
    assert error.body.count(b'"content":') == 3, "the role's and two pieces"
    assert row.client_gone is False


@pytest.mark.parametrize("end", [Ending.CLEAN, Ending.DONE])
def test_a_stream_that_ends_too_early_is_for_the_dialect_to_judge(end):
    _, seconds, reply = stream_one(replace(STREAMED, faults=(Fault(FaultKind.CUT, after_chunks=2, end=end),)))
    assert (seconds, reply.status, b"[DONE]" in reply.body) == (9.6, 200, end is Ending.DONE)
    assert b'"finish_reason":"' not in reply.body


def test_a_stream_of_400_pieces_costs_no_more_than_a_few_steps_of_the_loop():
    law = Law(latency=Latency(first_token_s=1.0, tokens_per_s=40.0), tokens=Tokens(400))
    provider = SimulatedProvider(law)

    async def main():
        loop = asyncio.get_running_loop()
        timers, call_at = [], loop.call_at
        loop.call_at = lambda *arguments, **named: (timers.append(arguments), call_at(*arguments, **named))[1]
        pieces = Pieces()
        await SimulatedTransport(provider).send(request(stream=True), Deadlines(60.0), pieces)
        return len(timers), pieces.feeds

    timers, feeds = virtual_time.run(main())
    assert timers <= 2
    assert feeds > 400


def test_a_call_that_is_cancelled_in_the_middle_of_a_stream_has_had_its_first_byte():
    provider = SimulatedProvider(STREAMED)

    async def main():
        call = asyncio.create_task(SimulatedTransport(provider).send(request(stream=True), Deadlines(600.0), Pieces()))
        await asyncio.sleep(10.0)
        call.cancel()
        await asyncio.wait([call])

    virtual_time.run(main())
    (row,) = provider.rows()
    assert (row.first_byte, row.finished, row.client_gone, row.served) == (8.0, 10.0, True, False)


# --- other ends ------------------------------------------------------------------------------------------------------


def test_a_server_that_cannot_be_had_has_billed_nothing():
    provider, seconds, error = send_one(Law(faults=(Fault(FaultKind.UNREACHABLE, after_s=2.0),)))
    assert (type(error), error.maybe_billed, seconds) == (Unreachable, False, 2.0)
    assert provider.billed_tokens == 0


def test_a_reply_that_inflates_to_more_than_is_read_is_too_large():
    _, _, error = send_one(Law(faults=(Fault(FaultKind.BOMB, size_bytes=100_000_000),)))
    assert (type(error), error.maybe_billed) == (TooLarge, True)


def test_a_packed_reply_arrives_unpacked():
    _, _, reply = send_one(Law(faults=(Fault(FaultKind.BOMB, size_bytes=1_000_001),)))
    assert reply.body == b"\n" * 1_000_001


def test_of_a_header_that_comes_twice_the_first_counts():
    fault = Fault(FaultKind.STATUS, status=429, headers="Retry-After: 5\nretry-after: 7")
    assert send_one(Law(faults=(fault,)))[2].headers["retry-after"] == "5"


def test_a_hanging_call_without_a_deadline_is_a_deadlock_in_virtual_time():
    provider = SimulatedProvider(Law(faults=(Fault(FaultKind.DRIP),)))
    with pytest.raises(virtual_time.Deadlock):
        virtual_time.run(SimulatedTransport(provider).send(request(), Deadlines()))
    assert provider.counts().client_gone == 1


def test_the_key_reaches_the_provider():
    law = Law(faults=(Fault(FaultKind.STATUS, status=401, keys=frozenset({"sk-old"})),))

    async def status(key):
        transport = SimulatedTransport(SimulatedProvider(law), {"authorization": f"Bearer {key}"})
        return (await transport.send(request(), Deadlines(1.0))).status

    assert [virtual_time.run(status(key)) for key in ("sk-old", "sk-new")] == [401, 200]


def test_the_balance_can_be_asked_for():
    async def ask(law):
        asking = HttpRequest("http://127.0.0.1/user/balance", {}, b"", "GET")
        return await SimulatedTransport(SimulatedProvider(law)).send(asking, Deadlines(1.0))

    reply = virtual_time.run(ask(Law(balance=BalanceLaw(usd=12.5))))
    assert json.loads(reply.body)["balance_infos"][0]["total_balance"] == "12.50"
    assert json.loads(reply.body)["is_available"] is True
    assert virtual_time.run(ask(Law())).status == 404


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
    assert seen["disconnected"] == sum(row.fault == "disconnect" for row in rows) > 0
    assert seen["cut"] == sum(row.fault == "cut" for row in rows) > 0
    assert seen["ok"] == sums.served - sum(row.served and row.fault != "" for row in rows)
    unseen = sum(row.tokens_in + row.tokens_out for row in rows if row.client_gone or row.fault == "cut")
    assert seen["tokens"] + unseen == provider.billed_tokens


def test_repr_tells_whom_it_speaks_to():
    assert "SimulatedProvider(law='unlimited'" in repr(SimulatedTransport(SimulatedProvider(Law())))
