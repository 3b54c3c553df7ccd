"""Whether both tiers understand how the task speaks: system role, JSON mode, parameters. One small call to each.

What a tier refuses as malformed it would refuse for every seed; anything else that it says, or does not say in so
little room, shows that it was understood.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepswarm.core.errors import BadRequest, CallError
from deepswarm.core.records import Call, Message, Reply

PROBE_TOKENS: Final = 64
"""Room for the answer: enough to say yes, and for most models to think of it."""


def probe(call: Call, first: Sequence[Message]) -> Call:
    """A small call in the form of the task's own.

    Args:
        call: What all calls of a tier have in common.
        first: The messages of a seed: their roles are taken, not their texts.
    """
    asked = 'Answer with this JSON and nothing else: {"ok": true}'
    messages = [Message(message.role, "You are being tested.") for message in first[:-1]]
    most = PROBE_TOKENS if call.max_tokens is None else min(PROBE_TOKENS, call.max_tokens)
    return call._replace(messages=(*messages, Message("user", asked)), max_tokens=most)


def misunderstood(result: Reply | CallError) -> str:
    """Why a tier does not understand the task's form; empty when it does, or when nobody can tell."""
    return str(result) if isinstance(result, BadRequest) else ""
