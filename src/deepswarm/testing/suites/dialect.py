"""The suite of the dialects' door: what must hold for every way to write calls and to read replies.

A dialect is asked through its own functions; what its provider would send is written by a `Speaker`, which each test
brings along: the same answer whole, and as the events of a stream.
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

import pytest

from deepswarm.core import jsontext
from deepswarm.core.errors import CallError, Cut, Disposition, Looping
from deepswarm.core.records import Call, HttpReply, Message, Reply
from deepswarm.dialects import Dialect

EVENTS: Final = {"content-type": "text/event-stream"}
CANARY: Final = "sk-CANARY-0123456789"
STATUSES: Final = {
    400: Disposition.FAIL_ROW,
    401: Disposition.PAUSE,
    402: Disposition.PAUSE,
    403: Disposition.PAUSE,
    404: Disposition.PAUSE,
    410: Disposition.PAUSE,
    413: Disposition.FAIL_ROW,
    422: Disposition.FAIL_ROW,
    429: Disposition.CAPACITY,
    498: Disposition.CAPACITY,
    500: Disposition.BACK_OFF,
    502: Disposition.BACK_OFF,
    503: Disposition.CAPACITY,
    504: Disposition.BACK_OFF,
    524: Disposition.BACK_OFF,
    529: Disposition.CAPACITY,
}
"""What each status asks for where the body says nothing."""


class Said(NamedTuple):
    """An answer: what the model said and thought, and the tokens of it."""

    text: str
    reasoning: str = ""
    tokens_in: int = 7
    tokens_out: int = 11


class Speaker(Protocol):
    """Writes an answer as the provider would."""

    def whole(self, said: Said) -> bytes:
        """The body of a reply that comes whole."""

    def events(self, said: Said, pieces: int) -> list[bytes]:
        """The events of a stream, each whole: with the text in about so many of them, and the end."""


def check_request(dialect: Dialect, url: str) -> None:
    """A request is JSON without surrogates and without a key; the task's own parameters win over everything."""
    call = Call("m", [Message("system", "be brief"), Message("user", "half \ud800")], 2048)
    for thinking in ("default", "off", "low", "high", "max"):
        for stream in (False, True):
            request = dialect.encode(call._replace(thinking=thinking, stream=stream), url)
            body = jsontext.loads(request.body)
            assert isinstance(body, dict)
            assert request.url == url
            assert request.method == "POST"
            assert body["model"] == "m"
            assert bool(body.get("stream")) is stream
            assert not set(dialect.authorization(CANARY)) & set(request.headers)
            request.body.decode("utf-8").encode("utf-8")
            assert b"half \xef\xbf\xbd" in request.body
            mine = dict.fromkeys(body, "mine")
            other = dialect.encode(call._replace(thinking=thinking, stream=stream, params=mine), url)
            assert jsontext.loads(other.body) == mine


def check_address(dialect: Dialect, base: str, url: str) -> None:
    """The base is completed once, however it is written."""
    assert dialect.address(base) == url
    assert dialect.address(f"{base}/") == url
    assert dialect.address(url) == url


def check_whole(dialect: Dialect, speaker: Speaker, said: Said) -> None:
    """An answer that comes whole is read whole, also after blank lines."""
    for drip in (b"", b"\n\n\n"):
        reply = dialect.decode(HttpReply(200, {}, drip + speaker.whole(said)))
        _same(reply, said)


def check_stream(dialect: Dialect, speaker: Speaker, said: Said, pieces: int) -> None:
    """A streamed answer is the same reply as the one that comes whole; content is told from all else."""
    assembler = dialect.assembler()
    came = [assembler.feed(event) for event in speaker.events(said, pieces)]
    assert sum(came) >= 1
    assert not assembler.feed(b": keep-alive\n\n")
    assert assembler.done
    streamed = dialect.decode(HttpReply(200, EVENTS, assembler.body()))
    assert streamed == dialect.decode(HttpReply(200, {}, speaker.whole(said)))
    _same(streamed, said)


def check_nothing_is_no_content(dialect: Dialect) -> None:
    """Comments, blank lines and fields without data are no progress, and make no answer: an overloaded provider."""
    assembler = dialect.assembler()
    for data in (b": keep-alive\n\n", b"\n", b"\r\n", b"", b"id: 7\n\n", b"retry: 10\n\n", b"event: ping\n\n"):
        assert not assembler.feed(data)
    assert not assembler.done
    error = failure(dialect, HttpReply(200, EVENTS, assembler.body()))
    assert error.disposition is Disposition.CAPACITY
    assert error.maybe_billed


def check_cuts(dialect: Dialect, speaker: Speaker, said: Said, pieces: int) -> None:
    """A stream that ends too early is never a whole answer, wherever it ends, and may have been billed."""
    events = speaker.events(said, pieces)
    whole = dialect.decode(HttpReply(200, {}, speaker.whole(said)))
    cut = 0
    for count in range(1, len(events)):
        for part in (b"", events[count][: len(events[count]) // 2]):
            got = result(dialect, assembled(dialect, [*events[:count], part]))
            assert isinstance(got, CallError) or got.text == whole.text
            if isinstance(got, Cut):
                assert got.maybe_billed
                cut += 1
    assert cut >= pieces


def check_splits(dialect: Dialect, data: bytes, cuts: Sequence[int]) -> None:
    """Bytes amount to the same however they are split; single bytes included."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    parts = [data[at:to] for at, to in pairwise(places)]
    expected = assembled(dialect, [data])
    assert assembled(dialect, parts) == expected
    assert assembled(dialect, [data[at : at + 1] for at in range(len(data))]) == expected


def check_statuses(dialect: Dialect) -> None:
    """Every status asks for what the catalogue says, whatever the body looks like; refusals are not billed."""
    for status, disposition in STATUSES.items():
        for body in (b"", b"\n", b"null", b"[]", b'{"error": {"message": "no"}}', b'{"detail": "no"}', b"\xff\x00"):
            error = failure(dialect, HttpReply(status, {}, body))
            assert error.disposition is disposition, f"{status} {body!r} became {error!r}"
            assert error.status == status
            assert error.body == body
            assert error.maybe_billed is (status in {502, 504, 524})


def check_foreign_bytes(dialect: Dialect, reply: HttpReply) -> None:
    """Any bytes at all are a reply or a call error of some class, whole and as a stream."""
    for got in (result(dialect, reply), result(dialect, assembled(dialect, [reply.body]))):
        if isinstance(got, CallError):
            assert type(got) is not CallError
            assert str(got).strip()
        else:
            assert all(isinstance(part, str) for part in (got.text, got.reasoning, got.finish_reason, got.model))


def assembled(dialect: Dialect, parts: Sequence[bytes]) -> HttpReply | Looping:
    """What the parts of a stream amount to; the error, if the assembler has had enough."""
    assembler = dialect.assembler()
    try:
        for part in parts:
            assembler.feed(part)
    except Looping as error:
        return Same(error)
    return HttpReply(200, EVENTS, assembler.body())


class Same(Looping):
    """A Looping that equals another one of the same body."""

    def __init__(self, error: Looping) -> None:
        """Take over what the error says."""
        super().__init__(str(error), status=error.status, maybe_billed=error.maybe_billed, body=error.body)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and (str(self), self.body) == (str(other), other.body)

    def __hash__(self) -> int:
        return hash(self.body)


def result(dialect: Dialect, reply: HttpReply | Looping) -> Reply | CallError:
    """The reply, or the call error; anything else is a fault."""
    if isinstance(reply, Looping):
        return reply
    try:
        return dialect.decode(reply)
    except CallError as error:
        return error


def failure(dialect: Dialect, reply: HttpReply) -> CallError:
    """The call error that a reply amounts to."""
    with pytest.raises(CallError) as caught:
        dialect.decode(reply)
    return caught.value


def _same(reply: Reply, said: Said) -> None:
    assert (reply.text, reply.reasoning) == (said.text, said.reasoning)
    assert (reply.usage.tokens_in, reply.usage.tokens_out) == (said.tokens_in, said.tokens_out)
    assert reply.finish_reason
    assert reply.model
