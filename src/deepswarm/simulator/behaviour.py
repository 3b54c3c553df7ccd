"""What an admitted request gets: an answer, or one of the law's faults. Pure: law and draws in, a behaviour out.

To add a fault: a word in `law.FaultKind`, a function here, a line in `_FAULTS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from deepswarm.core.records import HttpReply
from deepswarm.simulator import bodies
from deepswarm.simulator.asked import Asked
from deepswarm.simulator.draws import Draws
from deepswarm.simulator.faultlaw import BodyKind, Fault, FaultKind
from deepswarm.simulator.law import Law, ReplyKind
from deepswarm.simulator.replies import json_reply, text_reply


@dataclass(frozen=True, slots=True)
class Answer:
    """Deliver this reply whole."""

    reply: HttpReply


@dataclass(frozen=True, slots=True)
class Cut:
    """Deliver the head of this reply and the first `sent` bytes of its body, then close the connection."""

    reply: HttpReply
    sent: int


@dataclass(frozen=True, slots=True)
class Hang:
    """Never answer; the connection stays open until the client leaves."""


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the connection without a byte."""


Deed: TypeAlias = Answer | Cut | Hang | Disconnect


class Behaviour(NamedTuple):
    """What is done about a request.

    Attributes:
        deed: What happens.
        after_s: Seconds from the request's arrival until it happens; infinite for `Hang`.
        tokens_out: Tokens of a completion that is made, and billed, on the way; None when none is made.
        fault: What went wrong; None for a plain answer.
    """

    deed: Deed
    after_s: float
    tokens_out: int | None
    fault: FaultKind | None = None


class Written(NamedTuple):
    """An answer as the model wrote it. A text's tokens were drawn, JSON counts four characters for one."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a behaviour depends on. `attempt` counts from 1."""

    law: Law
    asked: Asked
    attempt: int
    draws: Draws

    @property
    def request_id(self) -> str:
        """The same for the same attempt at the same request."""
        return f"sim-{self.asked.key.hex()}-{self.attempt}"

    def write(self) -> Written:
        """What the model writes when nothing goes wrong."""
        law, asked = self.law, self.asked
        if law.reply.kind is ReplyKind.JSON:
            text = json_reply(law.schema, law.reply, asked.mark, self.draws)
            return Written(text, max(1, len(text) // 4))
        drawn = max(1, round(self.draws.lognormal(law.tokens.median, law.tokens.sigma, b"tokens")))
        tokens = drawn if asked.max_tokens is None else min(drawn, asked.max_tokens)
        return Written(text_reply(tokens, asked.mark, self.draws), tokens)

    def latency_s(self, tokens: int) -> float:
        """Seconds that an answer of so many tokens takes."""
        latency = self.law.latency
        return self.draws.lognormal(latency.median_s, latency.sigma, b"latency") + latency.per_token_s * tokens

    def reply(self, text: str, tokens: int, finish_reason: str = "stop") -> HttpReply:
        """A completion as it goes over the wire."""
        return bodies.completion(self.asked, self.request_id, text, finish_reason, tokens)


def behave(case: Case) -> Behaviour:
    """What becomes of an admitted request."""
    fault = fault_of(case)
    if fault is None:
        text, tokens = case.write()
        return Behaviour(Answer(case.reply(text, tokens)), case.latency_s(tokens), tokens)
    done = _FAULTS[fault.kind](case, fault)
    return done._replace(fault=fault.kind, after_s=done.after_s if fault.after_s is None else fault.after_s)


def fault_of(case: Case) -> Fault | None:
    """The fault that hits this attempt: one draw, and each fault in turn takes its rate of it.

    So a fault hits exactly the share that it says, as long as the rates of faults that can meet add up to 1 at most,
    and a fault appended to the list changes nobody's fate who was hit before.
    """
    if not case.law.faults:
        return None
    reached = 0.0
    chance = case.draws.uniform(b"fault")
    for fault in case.law.faults:
        if _may_hit(fault, case):
            reached += fault.rate
            if chance < reached:
                return fault
    return None


def _may_hit(fault: Fault, case: Case) -> bool:
    return (not fault.seeds or case.asked.marker in fault.seeds) and (
        not fault.attempts or case.attempt in fault.attempts
    )


def _status(case: Case, fault: Fault) -> Behaviour:
    del case
    if fault.body is BodyKind.HTML:
        reply = bodies.page(fault.status, fault.retry_after_s)
    elif fault.body is BodyKind.EMPTY:
        reply = bodies.nothing(fault.status, fault.retry_after_s)
    else:
        reply = bodies.error(fault.status, message=fault.message, code=fault.code, retry_after_s=fault.retry_after_s)
    return Behaviour(Answer(reply), 0.0, None)


def _hang(case: Case, fault: Fault) -> Behaviour:
    del case, fault
    return Behaviour(Hang(), math.inf, None)


def _disconnect(case: Case, fault: Fault) -> Behaviour:
    del fault
    return Behaviour(Disconnect(), case.latency_s(case.write().tokens), None)


def _cut(case: Case, fault: Fault) -> Behaviour:
    del fault
    text, tokens = case.write()
    reply = case.reply(text, tokens)
    return Behaviour(Cut(reply, len(reply.body) // 2), case.latency_s(tokens), tokens)


def _empty(case: Case, fault: Fault) -> Behaviour:
    del fault
    tokens = case.write().tokens
    return Behaviour(Answer(case.reply("", tokens)), case.latency_s(tokens), tokens)


def _garbled(case: Case, fault: Fault) -> Behaviour:
    """A gateway's page, for which no completion is made, or the first half of an answer's JSON."""
    text, tokens = case.write()
    if fault.body is BodyKind.HTML:
        return Behaviour(Answer(bodies.page(200)), case.latency_s(tokens), None)
    whole = case.reply(text, tokens)
    half = b"" if fault.body is BodyKind.EMPTY else whole.body[: len(whole.body) // 2]
    return Behaviour(Answer(whole._replace(body=half)), case.latency_s(tokens), tokens)


def _length(case: Case, fault: Fault) -> Behaviour:
    """The first half of an answer, which used up all the tokens that it was allowed."""
    del fault
    text, tokens = case.write()
    used = case.asked.max_tokens or tokens
    return Behaviour(Answer(case.reply(_half(text, case), used, "length")), case.latency_s(used), used)


def _content_filter(case: Case, fault: Fault) -> Behaviour:
    del fault
    text, tokens = case.write()
    cut = case.reply(_half(text, case), tokens, "content_filter")
    return Behaviour(Answer(cut), case.latency_s(tokens), tokens)


def _half(text: str, case: Case) -> str:
    """The first half of a text, but never less than the mark that says what it is."""
    return text[: max(len(case.asked.mark), len(text) // 2)]


def _huge(case: Case, fault: Fault) -> Behaviour:
    line = f"{case.asked.mark} far too much\n"
    text = (line * (fault.size_bytes // len(line) + 1))[: fault.size_bytes]
    tokens = max(1, fault.size_bytes // 4)
    return Behaviour(Answer(case.reply(text, tokens)), case.latency_s(tokens), tokens)


_FAULTS: Final[dict[FaultKind, Callable[[Case, Fault], Behaviour]]] = {
    FaultKind.STATUS: _status,
    FaultKind.HANG: _hang,
    FaultKind.DISCONNECT: _disconnect,
    FaultKind.CUT: _cut,
    FaultKind.EMPTY: _empty,
    FaultKind.GARBLED: _garbled,
    FaultKind.LENGTH: _length,
    FaultKind.CONTENT_FILTER: _content_filter,
    FaultKind.HUGE: _huge,
}
