"""Whether a model's earlier thinking is sent back to it. Pure.

Messages are kept as received, with their thinking; what is sent is another question, and providers disagree on it:
some want it back (DeepSeek V4 with tools: 400 without), some refuse it (DeepSeek R1: 400 with), most do not look.

    echo     with its thinking; an answer without any has an empty one
    strip    without it
    auto     as the dialect's providers mostly want it, until one says by its 400 that it wants the other: once a run

Source: provider facts, DeepSeek's thinking mode (November 2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from deepswarm.core.records import Message

REASONING: Final = ("reasoning_content", "reasoning", "reasoning_details")
"""The fields in which providers send thinking."""
_ECHOING: Final = frozenset({"deepseek", "openrouter", "anthropic"})
"""Dialects whose providers want thinking back, or at least take it."""
ECHO, STRIP, AUTO = "echo", "strip", "auto"


def first_policy(wish: str, dialect: str) -> str:
    """The policy that a run begins with: echo or strip."""
    if wish != AUTO:
        return wish
    return ECHO if dialect in _ECHOING else STRIP


def other(policy: str) -> str:
    """The other policy."""
    return STRIP if policy == ECHO else ECHO


def holds_thinking(messages: Sequence[Message]) -> bool:
    """Whether any message has thinking, so that the policy makes a difference."""
    return any(name in message.more for message in messages if message.more for name in REASONING)


def sent(messages: Sequence[Message], policy: str) -> Sequence[Message]:
    """The messages as they are sent under a policy."""
    if not holds_thinking(messages):
        return messages
    if policy == ECHO:
        return [_owing(message) if message.role == "assistant" else message for message in messages]
    return [_stripped(message) if message.more else message for message in messages]


def _owing(message: Message) -> Message:
    """An answer without thinking among others that have some still owes the field."""
    if any(name in message.more for name in REASONING):
        return message
    return message._replace(more={**message.more, "reasoning_content": ""})


def _stripped(message: Message) -> Message:
    return message._replace(more={name: value for name, value in message.more.items() if name not in REASONING})
