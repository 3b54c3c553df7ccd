"""Conversations that outgrow the model's window: told before the call, and what is left out then. Pure.

What is sent is always the seed's own first messages and a tail of the conversation that begins with a user's message
or a model's, never with a tool's answer whose call is left out. Four bytes of text count as one token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Message

BYTES_PER_TOKEN: Final = 4
_MESSAGE_TOKENS: Final = 4
"""What a message costs beside its text."""
_SUMMARY: Final = (
    "Summarise the conversation below in at most {words} words. Keep every fact, name, number, decision and open "
    "question that later turns may need. Write only the summary.\n\n{text}"
)
_SUMMED: Final = "What was said before, in short:\n{summary}"


def tokens_of(messages: Sequence[Message]) -> int:
    """About how many tokens messages have."""
    return sum(_MESSAGE_TOKENS + _size(message) // BYTES_PER_TOKEN for message in messages)


def _size(message: Message) -> int:
    size = len(message.content.encode("utf-8", "replace"))
    return size + len(dumps(message.more["tool_calls"])) if "tool_calls" in message.more else size


class Cut(NamedTuple):
    """What is sent of a conversation: its first messages, and those from `start` on."""

    first: int
    start: int


def cut(messages: Sequence[Message], window: int, room: int, after: int = 0, extra: int = 0) -> Cut | None:
    """The least that has to be left out so that the rest fits; None when not even the last messages do.

    Args:
        messages: The conversation, whose first messages (those before the model's first) always stay.
        window: Tokens that the model reads at most.
        room: Tokens that its reply needs of them.
        after: Nothing before this message is sent in any case: a summary stands for it.
        extra: Tokens of that summary.
    """
    first = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
    sizes = [tokens_of([message]) for message in messages]
    left = window - room - extra - sum(sizes[:first])
    start = max(first, after)
    total = sum(sizes[start:])
    while total > left and start < len(messages):
        total -= sizes[start]
        start += 1
        while start < len(messages) and messages[start].role == "tool":
            total -= sizes[start]
            start += 1
    if total > left or (start == len(messages) and first < len(messages)):
        return None
    return Cut(first, start)


def shortened(messages: Sequence[Message], found: Cut, summary: str = "") -> tuple[Message, ...]:
    """The messages that are sent."""
    told = (Message("user", _SUMMED.format(summary=summary)),) if summary else ()
    return (*messages[: found.first], *told, *messages[found.start :])


def to_summarise(messages: Sequence[Message], window: int, summary: str = "") -> tuple[Message, ...]:
    """What a model is asked to sum up messages, and what was summed up before them."""
    text = "\n\n".join(f"{message.role}: {message.content}" for message in messages)
    before = f"What was said before: {summary}\n\n" if summary else ""
    return (Message("user", _SUMMARY.format(words=max(50, window // 8), text=before + text)),)
