"""Streamed replies against a server of raw sockets: pieces, deadlines that keep-alives do not move, and ends."""

import asyncio
import gzip
import itertools

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import Cut, Disconnected, Garbled, Looping, TimedOut, TooLarge
from deepswarm.core.records import Deadlines, HttpRequest
from deepswarm.testing.sockets import Peer, served
from deepswarm.testing.suites.transport import Pieces
from deepswarm.transports import REPLY_BYTES
from deepswarm.transports.http import HttpTransport, connection, incoming
from deepswarm.transports.http.incoming import Incoming
from deepswarm.transports.http.scrubbing import Scrubber

KEY = "sk-CANARY"
DEADLINE_S = 20.0
PATIENT = Deadlines(30.0, 30.0, 30.0)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nX-Request-ID: r-7\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CLOSING = HEAD + b"\r\n"
DONE = b"data: [DONE]\n\n"
LAST = b"0\r\n\r\n"
LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


def piece(text):
    return b"data: " + text + b"\n\n"


def playing(*steps, head=CHUNKED, left=None):
    """Answer every request with these bytes; a step may also be something to wait for, or what ends the connection."""

    async def handle(peer, server):
        try:
            while await peer.request():
                server.requests += 1
                await peer.send(head)
                for step in steps:
                    if isinstance(step, bytes):
                        await peer.send(step)
                    elif isinstance(step, asyncio.Event):
                        await step.wait()
                    else:
                        step(peer)
                        return
                if head == CLOSING:
                    return
        finally:
            if left is not None:
                left.set()

    return handle


def trial(handle, check, run=asyncio.run, deadlines=PATIENT, assembler=None, turns=1):
    """Send to this server and hand the reply, or the error, to `check`, with the assembler and the server."""

    async def main():
        async with asyncio.timeout(DEADLINE_S), served(handle) as server:
            transport = HttpTransport({"authorization": KEY}, [KEY])
            try:
                for _ in range(turns):
                    pieces = assembler or Pieces()
                    try:
                        result = await transport.send(HttpRequest(server.url, {}, b"{}"), deadlines, pieces)
                    except (Cut, Disconnected, Garbled, Looping, TimedOut, TooLarge) as error:
                        result = error
                    got = check(result, pieces, server)
                    if got is not None:
                        await got
            finally:
                await transport.close()

    run(main())


# --- pieces ----------------------------------------------------------------------------------------------------------


@LOOPS
def test_pieces_go_to_the_assembler_and_its_body_comes_back(run):
    def check(reply, pieces, _server):
        assert (reply.status, reply.body) == (200, b"onetwo")
        assert reply.headers["x-request-id"] == "r-7"
        assert 0 <= reply.first_s < DEADLINE_S
        assert pieces.done

    steps = [chunk(piece(b"one")), chunk(b": keep-alive\n\n"), chunk(piece(b"two")), chunk(DONE), LAST]
    trial(playing(*steps), check, run)


def test_pieces_that_come_together_are_fed_together():
    def check(reply, pieces, _server):
        assert reply.body == b"x" * 400
        assert pieces.feeds < 10

    trial(playing(chunk(piece(b"x")) * 400 + chunk(DONE) + LAST), check)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_stream_is_the_same_however_it_is_split(data):
    packed = gzip.compress(piece(b"one") + DONE)
    whole = data.draw(
        st.sampled_from(
            [
                CHUNKED + chunk(b":\n\n") + chunk(piece(b"one")) + chunk(DONE) + LAST,
                CLOSING + b":\n\n" + piece(b"one") + DONE,
                HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(packed), packed),
            ]
        )
    )
    cuts = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1), max_size=12)))
    coming, pieces = Incoming(), Pieces()
    coming.begin(pieces)
    content = [coming.feed(whole[begin:end]) for begin, end in itertools.pairwise([0, *cuts, len(whole)])]
    assert any(content)
    assert coming.ended
    assert coming.reply(Scrubber([]), None).body == b"one"


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", HEAD.replace(b"200 OK", b"429 Slow Down")]
)
def test_what_is_no_stream_is_read_whole(head):
    def check(reply, pieces, _server):
        assert reply.body == b'\n\n{"a": 1}'
        assert reply.first_s is None
        assert pieces.feeds == 0

    trial(playing(b"\n", b"\n", b'{"a": 1}', head=head + b"Content-Length: 10\r\n\r\n"), check)


def test_a_key_that_comes_in_pieces_comes_back_as_stars():
    def check(reply, _pieces, _server):
        assert reply.body == b"your ***!"

    trial(playing(chunk(piece(b"your sk-")), chunk(piece(b"CANARY!")), chunk(DONE), LAST), check)


# --- ends ------------------------------------------------------------------------------------------------------------


@LOOPS
def test_after_the_end_was_said_nothing_is_waited_for(run):
    never = asyncio.Event()

    def check(reply, _pieces, _server):
        assert reply.body == b"one"

    trial(playing(chunk(piece(b"one")), chunk(DONE), never), check, run)


@LOOPS
def test_a_connection_is_used_again_when_the_frame_ended_too(run):
    def check(reply, _pieces, server):
        assert reply.body == b"one"
        assert server.connections == 1

    trial(playing(chunk(piece(b"one")) + chunk(DONE) + LAST), check, run, turns=5)


@LOOPS
def test_a_connection_whose_frame_ends_a_little_later_is_used_again(run, monkeypatch):
    told, freed = asyncio.Event(), asyncio.Event()
    free = connection.Connection._free

    def freeing(one):
        free(one)
        freed.set()

    monkeypatch.setattr(connection.Connection, "_free", freeing)

    async def handle(peer, _server):
        while await peer.request():
            await peer.send(CHUNKED + chunk(piece(b"one")) + chunk(DONE))
            await told.wait()
            told.clear()
            await peer.send(LAST)

    async def later():
        told.set()
        await freed.wait()
        freed.clear()

    def check(reply, _pieces, server):
        assert reply.body == b"one"
        assert server.connections == 1
        return later()

    trial(handle, check, run, turns=3)


@LOOPS
def test_a_connection_whose_frame_does_not_end_is_closed(run, monkeypatch):
    monkeypatch.setattr(connection, "DRAIN_S", 0.05)
    left = asyncio.Event()

    async def handle(peer, _server):
        await peer.request()
        await peer.send(CHUNKED + chunk(DONE))
        await peer.gone()
        left.set()

    trial(handle, lambda *_: left.wait(), run)


@LOOPS
@pytest.mark.parametrize("steps", [[chunk(piece(b"one")), LAST], [chunk(piece(b"one")) + LAST]])
def test_a_proper_end_without_the_word_is_for_the_assembler_to_judge(run, steps):
    def check(reply, pieces, _server):
        assert (reply.status, reply.body) == (200, b"one")
        assert not pieces.done

    trial(playing(*steps), check, run)


@LOOPS
def test_a_stream_that_ends_with_its_connection_is_for_the_assembler_to_judge(run):
    def check(reply, pieces, _server):
        assert (reply.status, reply.body) == (200, b"one")
        assert not pieces.done

    trial(playing(piece(b"one"), head=CLOSING), check, run)


@LOOPS
@pytest.mark.parametrize("end", [Peer.close, Peer.reset])
@pytest.mark.parametrize("head", [CHUNKED, HEAD + b"Content-Length: 999\r\n\r\n", CLOSING])
def test_a_stream_that_breaks_off_is_cut_and_what_came_is_kept(run, end, head):
    if head is CLOSING and end is Peer.close:
        pytest.skip("that is its proper end")
    heard = asyncio.Event()

    class Hearing(Pieces):
        def feed(self, data):
            content = super().feed(data)
            heard.set()
            return content

    def check(error, _pieces, _server):
        assert type(error) is Cut
        assert error.maybe_billed
        assert error.body == b"one"

    first = chunk(piece(b"one")) if head is CHUNKED else piece(b"one")
    trial(playing(first, heard, end, head=head), check, run, assembler=Hearing())


def test_a_stream_whose_frame_is_garbage_is_garbled():
    def check(error, _pieces, _server):
        assert type(error) is Garbled
        assert error.maybe_billed
        assert error.body == b"one"

    trial(playing(chunk(piece(b"one")) + b"xyz\r\n"), check)


def test_what_stands_behind_the_end_does_not_spoil_it():
    def check(reply, _pieces, _server):
        assert reply.body == b"one"

    trial(playing(chunk(piece(b"one")) + chunk(DONE) + b"xyz\r\n"), check, turns=2)


@LOOPS
def test_an_assembler_that_has_had_enough_ends_the_call_and_closes(run):
    left = asyncio.Event()

    class Tired(Pieces):
        def feed(self, data):
            raise Looping(f"{len(data)} bytes that repeat themselves")

    async def handle(peer, _server):
        await peer.request()
        await peer.send(CHUNKED + chunk(piece(b"one")))
        await peer.gone()
        left.set()

    def check(error, _pieces, _server):
        assert type(error) is Looping
        return left.wait()

    trial(handle, check, run, assembler=Tired())


@LOOPS
def test_a_fault_of_the_assembler_reaches_who_called(run):
    class Faulty(Pieces):
        def feed(self, data):
            return data["one"]

    with pytest.raises(TypeError, match="byte indices"):
        trial(playing(chunk(piece(b"one"))), lambda *_: None, run, assembler=Faulty())


# --- deadlines -------------------------------------------------------------------------------------------------------


def dripping(*first, drip=b": keep-alive\n\n", left=None):
    """These pieces, and then keep-alives for ever."""

    async def handle(peer, _server):
        await peer.request()
        await peer.send(CHUNKED)
        for data in first:
            await peer.send(chunk(data))
        try:
            while not peer.reader.at_eof():
                await peer.send(chunk(drip))
                try:
                    async with asyncio.timeout(0.02):
                        await peer.reader.read(1)
                except TimeoutError:
                    continue
        finally:
            if left is not None:
                left.set()

    return handle


LATE = {
    "first": (Deadlines(20.0, 0.2, 20.0), (), b""),
    "stall": (Deadlines(20.0, 20.0, 0.2), (piece(b"one"),), b"one"),
    "total": (Deadlines(0.2, 20.0, 20.0), (piece(b"one"),), b"one"),
}


@LOOPS
@pytest.mark.parametrize("phase", LATE)
@pytest.mark.parametrize("drip", [b": keep-alive\n\n", b"\n", b"data: \n\n"])
def test_keep_alives_move_no_deadline_and_the_connection_is_closed_at_once(run, phase, drip):
    deadlines, first, body = LATE[phase]
    left = asyncio.Event()

    async def closed():
        async with asyncio.timeout(0.5):
            await left.wait()

    def check(error, _pieces, _server):
        assert (type(error), error.phase, error.body) == (TimedOut, phase, body)
        assert error.maybe_billed
        return closed()

    trial(dripping(*first, drip=drip, left=left), check, run, deadlines)


def test_content_moves_the_stall_deadline_for_as_long_as_it_comes():
    async def handle(peer, _server):
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(12):
            await peer.send(chunk(piece(b"x")))
            try:
                async with asyncio.timeout(0.05):
                    await peer.reader.read(1)
            except TimeoutError:
                continue
        await peer.send(chunk(DONE) + LAST)

    def check(reply, _pieces, _server):
        assert reply.body == b"x" * 12

    trial(handle, check, deadlines=Deadlines(20.0, 0.3, 0.3))


@LOOPS
def test_silence_before_the_head_ends_at_the_first_deadline(run):
    left = asyncio.Event()

    async def handle(peer, _server):
        await peer.request()
        await peer.gone()
        left.set()

    def check(error, _pieces, _server):
        assert (type(error), error.phase, error.body) == (TimedOut, "first", b"")
        return left.wait()

    trial(handle, check, run, Deadlines(20.0, 0.2, 20.0))


def test_whitespace_of_a_whole_reply_to_who_asked_for_a_stream_is_no_content():
    async def handle(peer, _server):
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not peer.reader.at_eof():
            await peer.send(chunk(b"\n"))
            try:
                async with asyncio.timeout(0.02):
                    await peer.reader.read(1)
            except TimeoutError:
                continue

    def check(error, _pieces, _server):
        assert (type(error), error.phase) == (TimedOut, "first")
        assert not error.body.strip()

    trial(handle, check, deadlines=Deadlines(20.0, 0.2, 20.0))


@LOOPS
def test_a_stream_that_is_left_closes_its_connection_at_once(run):
    heard, left = asyncio.Event(), asyncio.Event()

    class Hearing(Pieces):
        def feed(self, data):
            heard.set()
            return super().feed(data)

    async def main():
        async with served(dripping(piece(b"one"), left=left)) as server:
            transport = HttpTransport({})
            call = asyncio.ensure_future(transport.send(HttpRequest(server.url, {}, b"{}"), PATIENT, Hearing()))
            await heard.wait()
            call.cancel()
            async with asyncio.timeout(0.5):
                await left.wait()
            with pytest.raises(asyncio.CancelledError):
                await call
            await transport.close()

    run(main())


# --- too much --------------------------------------------------------------------------------------------------------


def test_a_stream_that_amounts_to_too_much_is_too_large():
    def check(error, _pieces, _server):
        assert type(error) is TooLarge
        assert error.maybe_billed

    some = chunk(piece(b"x" * (1 << 20)))
    trial(playing(*[some] * (REPLY_BYTES // (1 << 20) + 1), chunk(DONE), LAST), check)


def test_a_stream_of_frames_without_content_is_not_read_for_ever(monkeypatch):
    monkeypatch.setattr(incoming, "STREAM_BYTES", 1 << 20)

    def check(error, pieces, _server):
        assert type(error) is TooLarge
        assert pieces.body() == b""

    trial(playing(*[chunk(b":" + b"x" * 65_536 + b"\n\n")] * 20), check)


def test_a_packed_stream_that_unpacks_to_too_much_is_too_large(monkeypatch):
    monkeypatch.setattr(incoming, "STREAM_BYTES", 1 << 20)

    def check(error, _pieces, _server):
        assert type(error) is TooLarge

    bomb = gzip.compress(b":" * (1 << 24))
    trial(playing(chunk(bomb), head=HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"), check)
