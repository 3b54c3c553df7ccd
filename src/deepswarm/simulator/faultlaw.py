"""What can go wrong with an admitted request, and the keys that say so in a law file. Data only.

A law may hold any number of faults; the first that hits a request decides what becomes of it. Whom it hits:

    [[faults]]
    kind = "status"             one of the kinds below
    rate = 0.01                 share of the requests that it may hit; 1 when left out
    seeds = [7, "x"]            only requests that carry [[id:7]] or [[id:x]]; all when left out
    attempts = [1]              only the first attempt at a request; all when left out
    keys = ["sk-old"]           only requests that came with this API key; all when left out
    from_s = 60                 only from this time on, in seconds since the provider's first request,
    until_s = 120               and before this one
    after_s = 5.0               when it shows: for status and reject at once, else when the answer would have come

Refusals, for which nothing is made and nothing is billed:

    kind = "status"             an error, or any other reply without an answer
    status = 503                300 to 599; also 302, with a location in `headers`
    body = "json"               OpenAI's form; detail list gemini openrouter messages: those of others; html empty
    raw = "..."                 the body itself, whatever it is, instead of `body`
    message = "Sorry"           what the error says, instead of the usual words of that status; {key} is the API key
    code = "insufficient_quota" the error's code, likewise; for gemini the quota, for openrouter the source of the limit
    retry_after_s = 1.0         Retry-After, in seconds; for gemini also the delay in the body
    retry_after_form = "date"   seconds (the usual), ms (retry-after-ms), date (which also sends a Date)
    headers = "retry-after: 5"  more headers, one on each line of the text; {key} is the API key

    kind = "reject"             a 400 for requests that break a rule, and for no others
    form = "reasoning_owed"     earlier answers came without their reasoning; reasoning_forbidden: with it;
                                parameter: the request has this parameter:
    parameter = "temperature"

Connections. Where a streamed answer is meant to break after some pieces, one that comes whole breaks in its middle:

    kind = "hang"               silence
    after_chunks = 3            after so many pieces of the answer; 0, the usual, is before anything is sent
    form = "head"               after the head and before the body; "start" is the usual
    for_s = 300                 and after so many seconds it goes on; for ever when left out
    every_s = 1                 with keep-alives all the while; none when left out

    kind = "drip"               nothing but keep-alives (blank lines; comments, if streamed), and then the end
    every_s = 1                 one each so many seconds; each second when left out
    for_s = 60                  for so long; for ever when left out
    end = "close"               how it ends then: close, reset, clean (properly, with nothing), answer (with the answer)

    kind = "disconnect"         the connection ends without a byte
    end = "close"               close (FIN), reset (RST)

    kind = "unreachable"        no connection; over the wire, where the request has been read by then, a reset

    kind = "cut"                the reply breaks off
    after_chunks = 3            after so many pieces; in its middle when left out
    end = "close"               close (shorter than announced, or no last chunk), reset, clean (a proper end without a
                                finish reason), done (a proper end with [DONE] and without a finish reason)

    kind = "stale"              the answer, and then the connection, which was to be kept, is closed
    idle_s = 5                  when it has been idle for so long; at once when left out

    kind = "slow"               an answer that takes its time
    factor = 20                 so many times as long
    token_s = 20                so many seconds for each token instead

    kind = "split"              the answer, in writes
    size_bytes = 1              of so many bytes; one when left out

Replies that are none, or that no reader expects:

    kind = "garbled"            a 200 whose bytes are no answer
    body = "json"               half of one; html: a gateway's page; empty: nothing; or raw = "..."
    kind = "error"              a 200, and then an error
    form = "data"               streamed: an event {"error": ...}; event: one with that name; finish: a chunk with a
                                finish reason "error". Whole: choices are absent, with null or empty null or []
    after_chunks = 3            streamed: after so many pieces
    status = 429                the error's code, as a number; or
    code = "429"                as text
    message = "Sorry"           what it says
    kind = "stream"             a streamed answer of an odd form; others come as usual
    form = "duplicate"          role, finish and usage twice; terminal: the last chunk holds the whole message;
                                two_finishes; crlf; cr; no_space: none after the colons; long_line: an event of
                                size_bytes (1 MB when left out); order: content before the role, comments and empty
                                events between, finish before the last piece; whole: a reply that is no stream
    kind = "deep"               a 200 whose JSON is nested
    depth = 100_000             so deep
    kind = "huge"               an answer of
    size_bytes = 50_000_000     so many bytes
    kind = "bomb"               a gzipped reply that inflates to
    size_bytes = 100_000_000    so many bytes, 64 MB when left out

Answers that are of no use, billed like any other:

    kind = "empty"              no content
    form = "text"               an empty text; null; absent: no such field
    kind = "think"              reasoning and no content
    finish = "length"           how it ends
    kind = "whitespace"         nothing but blank lines until the room for tokens is used up
    kind = "loop"               a text that repeats itself until the room for tokens is used up
    form = "content"            in the answer; reasoning: before it; near: in variants
    period = 20                 characters that are repeated
    size_bytes = 20_000         length, when the request does not bound its tokens
    kind = "length"             the first half of an answer, which has used up its room for tokens
    kind = "content_filter"     the first half of an answer, which a filter cut
    kind = "finish"             the first half of an answer, which ends by
    finish = "eos"              this reason, which may be ""; "null", and "missing": there is no such field
    kind = "refusal"            the model refuses,
    form = "field"              in a field of its own; text: in its answer
    kind = "spoiled"            JSON that is not quite
    form = "fenced"             in a Markdown fence; prose trailing_comma truncated single_quotes nan double_encoded
                                missing_quote
    kind = "usage"              tokens are reported
    form = "absent"             not; null zero; late: in a stream's last chunk, unasked; deepseek openai messages: with
                                the names that these have for cached tokens
    kind = "model"              another model says that it answered
    model = "other"             this one
    kind = "mixed"              the answer to another request
    marker = "8"                to the one that carries [[id:8]]; when left out, to one that nobody sent
"""

# ruff: noqa: RUF009 - the functions of lawfile.py that stand as defaults make dataclass fields
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from deepswarm.simulator.lawfile import choice, names, number, rate, text, whole, wholes


class FaultKind(StrEnum):
    """What can go wrong with an admitted request; the module's docstring explains each."""

    STATUS = "status"
    REJECT = "reject"
    HANG = "hang"
    DRIP = "drip"
    DISCONNECT = "disconnect"
    UNREACHABLE = "unreachable"
    CUT = "cut"
    STALE = "stale"
    SLOW = "slow"
    SPLIT = "split"
    GARBLED = "garbled"
    ERROR = "error"
    STREAM = "stream"
    DEEP = "deep"
    HUGE = "huge"
    BOMB = "bomb"
    EMPTY = "empty"
    THINK = "think"
    WHITESPACE = "whitespace"
    LOOP = "loop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    FINISH = "finish"
    REFUSAL = "refusal"
    SPOILED = "spoiled"
    USAGE = "usage"
    MODEL = "model"
    MIXED = "mixed"


class BodyKind(StrEnum):
    """What a faulty reply's body looks like."""

    JSON = "json"
    HTML = "html"
    EMPTY = "empty"
    DETAIL = "detail"
    LIST = "list"
    GEMINI = "gemini"
    OPENROUTER = "openrouter"
    MESSAGES = "messages"


class RetryAfterForm(StrEnum):
    """How a reply says when to come again."""

    SECONDS = "seconds"
    MS = "ms"
    DATE = "date"


class Ending(StrEnum):
    """How a connection, or a reply, ends."""

    CLOSE = "close"
    RESET = "reset"
    CLEAN = "clean"
    DONE = "done"
    ANSWER = "answer"


FORMS: Final[dict[FaultKind, tuple[str, ...]]] = {
    FaultKind.REJECT: ("reasoning_owed", "reasoning_forbidden", "parameter"),
    FaultKind.HANG: ("start", "head"),
    FaultKind.ERROR: ("data", "event", "finish", "null", "empty"),
    FaultKind.STREAM: (
        "duplicate",
        "terminal",
        "two_finishes",
        "crlf",
        "cr",
        "no_space",
        "long_line",
        "order",
        "whole",
    ),
    FaultKind.EMPTY: ("text", "null", "absent"),
    FaultKind.LOOP: ("content", "reasoning", "near"),
    FaultKind.REFUSAL: ("field", "text"),
    FaultKind.SPOILED: (
        "fenced",
        "prose",
        "trailing_comma",
        "truncated",
        "single_quotes",
        "nan",
        "double_encoded",
        "missing_quote",
    ),
    FaultKind.USAGE: ("absent", "null", "zero", "late", "deepseek", "openai", "messages"),
}
"""The forms of each kind that has some; the first one is the usual one."""

_ENDS: Final = {
    FaultKind.DRIP: {Ending.CLOSE, Ending.RESET, Ending.CLEAN, Ending.ANSWER},
    FaultKind.DISCONNECT: {Ending.CLOSE, Ending.RESET},
    FaultKind.CUT: {Ending.CLOSE, Ending.RESET, Ending.CLEAN, Ending.DONE},
}

_OWN_KEYS: Final[dict[str, set[FaultKind]]] = {
    "status": {FaultKind.STATUS, FaultKind.ERROR},
    "message": {FaultKind.STATUS, FaultKind.REJECT, FaultKind.ERROR},
    "code": {FaultKind.STATUS, FaultKind.REJECT, FaultKind.ERROR},
    "retry_after_s": {FaultKind.STATUS},
    "retry_after_form": {FaultKind.STATUS},
    "headers": {FaultKind.STATUS},
    "body": {FaultKind.STATUS, FaultKind.GARBLED},
    "raw": {FaultKind.STATUS, FaultKind.GARBLED},
    "form": set(FORMS),
    "parameter": {FaultKind.REJECT},
    "after_chunks": {FaultKind.HANG, FaultKind.CUT, FaultKind.ERROR},
    "for_s": {FaultKind.HANG, FaultKind.DRIP},
    "every_s": {FaultKind.HANG, FaultKind.DRIP},
    "end": set(_ENDS),
    "idle_s": {FaultKind.STALE},
    "factor": {FaultKind.SLOW},
    "token_s": {FaultKind.SLOW},
    "size_bytes": {FaultKind.SPLIT, FaultKind.STREAM, FaultKind.HUGE, FaultKind.BOMB, FaultKind.LOOP},
    "depth": {FaultKind.DEEP},
    "finish": {FaultKind.THINK, FaultKind.FINISH},
    "period": {FaultKind.LOOP},
    "model": {FaultKind.MODEL},
    "marker": {FaultKind.MIXED},
}
"""Keys of a fault that only some kinds have."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong, how often, and for whom. The module's docstring explains each key."""

    kind: FaultKind = choice(FaultKind)
    rate: float = rate(1.0)
    seeds: frozenset[str] = names()
    attempts: frozenset[int] = wholes()
    keys: frozenset[str] = names()
    from_s: float = number(0.0)
    until_s: float | None = number(None)
    after_s: float | None = number(None)
    status: int = whole(0, low=300, high=599)
    body: BodyKind = choice(BodyKind, BodyKind.JSON)
    raw: str = text("")
    message: str = text("")
    code: str = text("")
    retry_after_s: float | None = number(None)
    retry_after_form: RetryAfterForm = choice(RetryAfterForm, RetryAfterForm.SECONDS)
    headers: str = text("")
    form: str = text("")
    parameter: str = text("temperature")
    after_chunks: int = whole(0)
    for_s: float | None = number(None)
    every_s: float | None = number(None, low=0.001)
    end: Ending = choice(Ending, Ending.CLOSE)
    idle_s: float = number(0.0)
    factor: float = number(1.0)
    token_s: float | None = number(None)
    size_bytes: int = whole(0, low=1)
    depth: int = whole(100_000, low=1, high=50_000_000)
    finish: str = text("length")
    period: int = whole(20, low=1, high=10_000)
    model: str = text("other")
    marker: str = text("")

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        for name, kinds in _OWN_KEYS.items():
            if self.kind not in kinds and getattr(self, name) != _FAULT_DEFAULTS[name]:
                yield name, f"means nothing for the kind '{self.kind}'"
        if self.kind is FaultKind.STATUS and not self.status:
            yield "", "the kind 'status' needs the key 'status'"
        if self.kind is FaultKind.HUGE and not self.size_bytes:
            yield "", "the kind 'huge' needs the key 'size_bytes'"
        forms = FORMS.get(self.kind, ())
        if forms and self.form and self.form not in forms:
            yield "form", f"for the kind '{self.kind}' must be one of {', '.join(forms)}"
        if self.kind in _ENDS and self.end not in _ENDS[self.kind]:
            yield "end", f"for the kind '{self.kind}' must be one of {', '.join(sorted(_ENDS[self.kind]))}"
        if self.until_s is not None and self.until_s <= self.from_s:
            yield "until_s", "must be later than from_s"
        if self.kind is FaultKind.GARBLED and self.body not in {BodyKind.JSON, BodyKind.HTML, BodyKind.EMPTY}:
            yield "body", "for the kind 'garbled' must be one of json, html, empty"

    @property
    def chosen_form(self) -> str:
        """Its form, or the usual one of its kind where none was given; empty for kinds without forms."""
        return self.form or FORMS.get(self.kind, ("",))[0]

    @property
    def lasts_s(self) -> float:
        """How long a silence or a drip lasts, in seconds; infinite when no end was given."""
        return math.inf if self.for_s is None else self.for_s


_FAULT_DEFAULTS: Final = {name: getattr(Fault(FaultKind.HANG), name) for name in _OWN_KEYS}
