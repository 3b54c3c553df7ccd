"""The conformance suite for transports: what comes of a play, whatever carries it.

A test module subclasses `TransportSuite` and gives it a pytest fixture `stage`, which knows how to reach an actor:

    class TestMyTransport(TransportSuite):
        @pytest.fixture
        def stage(self): return Stage(asyncio.run, my_entered)

where `my_entered(actor)` is an asynchronous context manager that gives a transport and the address to send to, behind
which every request gets the actor's play.
"""

# ruff: noqa: S101, D102 - a suite asserts, and a test's name is its sentence

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final

import pytest

from deepswarm.core.errors import CallError, Cut, Disconnected, Looping, TimedOut, TooLarge
from deepswarm.core.records import Assembler, Deadlines, HttpReply, HttpRequest
from deepswarm.simulator.play import SILENCE, Drip, End, Play, Scene, whole
from deepswarm.simulator.provider import Ticket
from deepswarm.transports import REPLY_BYTES, Transport

PATIENT: Final = Deadlines(30.0, 30.0, 30.0)
"""Deadlines that no test reaches."""
SOON_S: Final = 0.2
"""A deadline that is to be reached."""
LATER_S: Final = 0.05
"""When a second thing happens."""
_EVENTS: Final = {"content-type": "text/event-stream"}
_JSON: Final = {"content-type": "application/json"}
_DONE: Final = b"data: [DONE]\n\n"


class Pieces:
    """The least assembler: what stands behind `data: ` in a line is content, and [DONE] the end."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self.feeds = 0
        self._rest = b""
        self._text: list[bytes] = []
        self._done = False

    def feed(self, data: bytes) -> bool:
        """See `Assembler.feed`."""
        self.feeds += 1
        *lines, self._rest = (self._rest + data).split(b"\n")
        texts = [line.removeprefix(b"data: ") for line in lines if line.startswith(b"data: ")]
        self._done = self._done or b"[DONE]" in texts
        pieces = [text for text in texts if text and text != b"[DONE]"]
        self._text += pieces
        return bool(pieces)

    @property
    def done(self) -> bool:
        """See `Assembler.done`."""
        return self._done

    def body(self) -> bytes:
        """See `Assembler.body`."""
        return b"".join(self._text)


class Tired(Pieces):
    """Has had enough at once."""

    def feed(self, data: bytes) -> bool:
        """See `Assembler.feed`."""
        raise Looping(f"enough after {len(data)} bytes")


class Actor:
    """Stands in for a provider: gives the same play to every request, and notes who left before its end.

    Attributes:
        requests: What came, in order.
        gone: Of each request that is over, whether its client had left.
        came: Set when a request has come.
        over: Set when a request is over.
    """

    def __init__(self, play: Play) -> None:
        """With this play."""
        self.play = play
        self.requests: list[HttpRequest] = []
        self.gone: list[bool] = []
        self.came, self.over = asyncio.Event(), asyncio.Event()

    def receive(self, request: HttpRequest, now: float) -> Ticket:
        """See `SimulatedProvider.receive`."""
        self.requests.append(request)
        self.came.set()
        return Ticket(len(self.requests), self.play, now, 0, 0, None)

    def first_byte(self, ticket: Ticket, now: float) -> None:
        """See `SimulatedProvider.first_byte`."""

    def release(self, ticket: Ticket, now: float, *, client_gone: bool) -> None:
        """See `SimulatedProvider.release`."""
        del ticket, now
        self.gone.append(client_gone)
        self.over.set()


@dataclass(frozen=True, slots=True)
class Stage:
    """Where plays are given.

    Attributes:
        run: Runs a coroutine to its end, in real or in virtual time.
        entered: Puts a transport in front of an actor; gives it and the address.
    """

    run: Callable[[Coroutine[Any, Any, Any]], Any]
    entered: Callable[[Actor], AbstractAsyncContextManager[tuple[Transport, str]]]

    def outcome(
        self, play: Play, deadlines: Deadlines = PATIENT, assembler: Assembler | None = None
    ) -> HttpReply | CallError:
        """What comes of one call."""

        async def call() -> HttpReply | CallError:
            async with self.entered(Actor(play)) as (transport, url):
                try:
                    return await transport.send(_asking(url), deadlines, assembler)
                except CallError as error:
                    return error

        outcome: HttpReply | CallError = self.run(call())
        return outcome


class TransportSuite:
    """The tests. A subclass gives the fixture `stage`."""

    @pytest.mark.parametrize("status", [200, 307, 400, 429, 503])
    def test_a_whole_reply_comes_back_whatever_its_status(self, stage: Stage, status: int) -> None:
        sent = HttpReply(status, {**_JSON, "retry-after": "3\n4"}, b'{"a": 1}')
        reply = stage.outcome(whole(sent))
        assert isinstance(reply, HttpReply)
        assert (reply.status, reply.body, reply.first_s) == (status, b'{"a": 1}', None)
        assert reply.headers["retry-after"] == "3"
        assert reply.headers.get("nothing") is None

    def test_a_reply_without_a_length_comes_back_whole(self, stage: Stage) -> None:
        scenes = (Scene(0.0, b"\n"), Scene(LATER_S, b'{"a":'), Scene(LATER_S, b" 1}"))
        reply = stage.outcome(Play(200, _JSON, scenes, End.WHOLE, LATER_S, None))
        assert isinstance(reply, HttpReply)
        assert reply.body == b'\n{"a": 1}'

    def test_a_stream_goes_through_the_assembler(self, stage: Stage) -> None:
        reply = stage.outcome(_stream((0.0, b"data: one\n\n"), (LATER_S, b"data: two\n\n" + _DONE)), assembler=Pieces())
        assert isinstance(reply, HttpReply)
        assert reply.body == b"onetwo"
        assert reply.first_s is not None
        assert 0 <= reply.first_s < PATIENT.first_s

    def test_what_is_no_stream_does_not_go_through_the_assembler(self, stage: Stage) -> None:
        for reply in (HttpReply(200, _JSON, b"{}"), HttpReply(429, _EVENTS, b"{}")):
            pieces = Pieces()
            got = stage.outcome(whole(reply), assembler=pieces)
            assert isinstance(got, HttpReply)
            assert (got.body, got.first_s, pieces.feeds) == (b"{}", None, 0)

    def test_a_stream_ends_when_the_assembler_is_done(self, stage: Stage) -> None:
        play = _stream((0.0, b"data: one\n\n" + _DONE), end=End.HANG, end_s=math.inf)
        reply = stage.outcome(play, assembler=Pieces())
        assert isinstance(reply, HttpReply)
        assert reply.body == b"one"

    def test_a_stream_that_ends_without_the_word_is_for_the_assembler_to_judge(self, stage: Stage) -> None:
        reply = stage.outcome(_stream((0.0, b"data: one\n\n")), assembler=Pieces())
        assert isinstance(reply, HttpReply)
        assert (reply.status, reply.body) == (200, b"one")

    @pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
    def test_a_reply_that_breaks_off_is_cut(self, stage: Stage, end: End) -> None:
        play = Play(200, _JSON, (Scene(0.0, b'{"a"'),), end, LATER_S, 99)
        _is(stage.outcome(play), Cut, b'{"a"')
        _is(stage.outcome(_stream((0.0, b"data: one\n\n"), end=end, end_s=LATER_S), assembler=Pieces()), Cut, b"one")

    @pytest.mark.parametrize("end", [End.CLOSE, End.RESET])
    def test_no_reply_at_all_is_a_disconnection(self, stage: Stage, end: End) -> None:
        _is(stage.outcome(Play(0, {}, (), end, 0.0, None)), Disconnected, b"")

    def test_silence_ends_at_the_total_deadline(self, stage: Stage) -> None:
        _late(stage.outcome(SILENCE, Deadlines(SOON_S)), "total", b"")

    def test_blank_lines_move_no_deadline(self, stage: Stage) -> None:
        play = Play(200, _JSON, (Scene(0.0, b"\n"),), End.HANG, math.inf, None, drip=Drip(b"\n", LATER_S))
        outcome = stage.outcome(play, Deadlines(SOON_S))
        assert isinstance(outcome, TimedOut)
        assert outcome.phase == "total"
        assert outcome.maybe_billed

    def test_silence_of_a_stream_ends_at_the_first_deadline(self, stage: Stage) -> None:
        _late(stage.outcome(SILENCE, PATIENT._replace(first_s=SOON_S), Pieces()), "first", b"")

    def test_keep_alives_move_no_deadline_of_a_stream(self, stage: Stage) -> None:
        hanging = _stream((0.0, b": hold\n\n"), end=End.HANG, end_s=math.inf)._replace(
            drip=Drip(b": hold\n\n", LATER_S)
        )
        flowing = hanging._replace(scenes=(Scene(0.0, b"data: one\n\n"),))
        _late(stage.outcome(hanging, PATIENT._replace(first_s=SOON_S), Pieces()), "first", b"")
        _late(stage.outcome(flowing, PATIENT._replace(stall_s=SOON_S), Pieces()), "stall", b"one")
        _late(stage.outcome(flowing, PATIENT._replace(total_s=SOON_S), Pieces()), "total", b"one")

    def test_content_keeps_a_stream_alive(self, stage: Stage) -> None:
        pieces = [(LATER_S * count, b"data: x\n\n") for count in range(10)]
        reply = stage.outcome(_stream(*pieces), Deadlines(30.0, SOON_S * 2, SOON_S * 2), Pieces())
        assert isinstance(reply, HttpReply)
        assert reply.body == b"x" * 10

    def test_an_assembler_that_has_had_enough_ends_the_call(self, stage: Stage) -> None:
        outcome = stage.outcome(_stream((0.0, b"data: one\n\n"), end=End.HANG, end_s=math.inf), assembler=Tired())
        assert isinstance(outcome, Looping)

    def test_a_reply_that_is_announced_as_too_long_is_not_read(self, stage: Stage) -> None:
        play = Play(200, _JSON, (Scene(0.0, b"{"),), End.HANG, math.inf, REPLY_BYTES + 1)
        outcome = stage.outcome(play)
        assert isinstance(outcome, TooLarge)
        assert outcome.maybe_billed

    def test_who_is_cancelled_has_left(self, stage: Stage) -> None:
        async def leaving() -> list[bool]:
            actor = Actor(SILENCE)
            async with stage.entered(actor) as (transport, url):
                call = asyncio.ensure_future(transport.send(_asking(url), PATIENT))
                await actor.came.wait()
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                await actor.over.wait()
            return actor.gone

        assert stage.run(leaving()) == [True]

    def test_who_comes_too_late_has_left(self, stage: Stage) -> None:
        async def late() -> list[bool]:
            actor = Actor(SILENCE)
            async with stage.entered(actor) as (transport, url):
                with pytest.raises(TimedOut):
                    await transport.send(_asking(url), Deadlines(SOON_S))
                await actor.over.wait()
            return actor.gone

        assert stage.run(late()) == [True]

    def test_many_calls_at_once_all_get_their_reply(self, stage: Stage) -> None:
        async def many() -> list[HttpReply]:
            async with stage.entered(Actor(whole(HttpReply(200, _JSON, b"{}"), LATER_S))) as (transport, url):
                return await asyncio.gather(*(transport.send(_asking(url), PATIENT) for _ in range(50)))

        assert [reply.status for reply in stage.run(many())] == [200] * 50


def _asking(url: str) -> HttpRequest:
    return HttpRequest(url, {"content-type": "application/json"}, b'{"model": "m"}')


def _stream(*scenes: tuple[float, bytes], end: End = End.WHOLE, end_s: float | None = None) -> Play:
    """A streamed reply; without `end_s` it ends with its last piece."""
    last_s = scenes[-1][0] if end_s is None else end_s
    return Play(200, _EVENTS, tuple(Scene(at_s, data) for at_s, data in scenes), end, last_s, None)


def _is(outcome: HttpReply | CallError, kind: type[CallError], body: bytes) -> None:
    assert type(outcome) is kind
    assert outcome.maybe_billed
    assert outcome.body == body


def _late(outcome: HttpReply | CallError, phase: str, body: bytes) -> None:
    assert isinstance(outcome, TimedOut)
    assert (outcome.phase, outcome.maybe_billed, outcome.body) == (phase, True, body)
