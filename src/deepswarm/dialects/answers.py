"""Whether an answer that came is one: the last look at it before it is delivered, the same for all dialects.

A success by status is no answer when it is cut short, filtered, empty, spent on thinking, or nothing but repetition.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, NamedTuple

from deepswarm.core.errors import (
    CallError,
    Cut,
    Declined,
    Empty,
    Garbled,
    Looping,
    Overloaded,
    Refused,
    Starved,
    Truncated,
)
from deepswarm.core.records import HttpReply, Reply, Usage
from deepswarm.dialects.fields import request_id
from deepswarm.dialects.hints import retry_after
from deepswarm.dialects.loops import repetition
from deepswarm.dialects.quotas import quotas


class Ending(Enum):
    """What a finish reason means; each dialect has its own words for them."""

    WHOLE = "whole"
    LENGTH = "length"
    FILTERED = "filtered"
    OVERLOADED = "overloaded"
    REFUSED = "refused"


class Answer(NamedTuple):
    """What a success holds.

    Attributes:
        text: The answer; empty when there is none.
        reasoning: The thinking that came with it.
        finish: The provider's word for how it ended; empty when it has none.
        ending: What that word means; None when it means nothing that is known.
        calls: Whether tools are called, which is an answer without text.
        refusal: What the model says in refusing, where that has a field of its own.
        model: The model that answered.
        usage: Tokens.
    """

    text: str
    reasoning: str
    finish: str
    ending: Ending | None
    calls: bool
    refusal: str
    model: str
    usage: Usage


def delivered(answer: Answer, reply: HttpReply, value: Any) -> Reply:
    """The reply, when the answer is whole and there is something in it.

    Args:
        answer: What the reply holds.
        reply: The reply.
        value: The JSON value of its body.

    Raises:
        CallError: What is the matter with it.
    """
    found = _flaw(answer)
    if found is None:
        asked_as, told = request_id(reply, value), quotas(reply.headers)
        return Reply(answer.text, answer.finish, answer.model, answer.usage, answer.reasoning, asked_as, told)
    from deepswarm.dialects.refusals import maybe_billed

    kind, what = found
    raise kind(
        what,
        status=reply.status,
        retry_after_s=retry_after(reply.headers),
        request_id=request_id(reply, value),
        maybe_billed=maybe_billed(reply.status, kind, answer.usage),
        usage=answer.usage,
        body=reply.body,
        quotas=quotas(reply.headers),
    )


def _flaw(answer: Answer) -> tuple[type[CallError], str] | None:
    """The class of what is the matter, and a sentence about it; None when nothing is."""
    ending, blank = answer.ending, not answer.text.strip()
    if ending is Ending.FILTERED:
        return Declined, "the provider's content filter cut the answer"
    if ending is Ending.OVERLOADED:
        return Overloaded, "the provider broke the answer off: it was short of resources"
    if looping := repetition(answer.text) or repetition(answer.reasoning):
        return Looping, looping
    if ending is Ending.LENGTH:
        if blank and _thought(answer):
            return Starved, "thinking used up the room for tokens before the answer began"
        return Truncated, "cut off: the model used up its tokens; raise worker_max_tokens"
    if ending is Ending.REFUSED or (answer.refusal.strip() and blank):
        return Refused, answer.refusal.strip()[:500] or "the model refuses to answer"
    if not answer.finish:
        return Cut, "no finish reason: the answer broke off"
    if ending is None:
        return Garbled, f"a reply that ended by '{answer.finish[:100]}'"
    if blank and not answer.calls:
        return (Starved, "there is thinking, and no answer") if _thought(answer) else (Empty, "an empty answer")
    return None


def _thought(answer: Answer) -> bool:
    return bool(answer.reasoning.strip()) or bool(answer.usage.reasoning)
