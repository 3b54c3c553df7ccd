"""Replies that were cut off for length: gone on with instead of being paid for again, and joined exactly. Pure.

Where the dialect goes on with a prefix, the next reply is the rest, to the letter. Elsewhere the model is asked to go
on, and to begin by repeating the last characters of what there is (the anchor): only a reply that does so is joined, at
that very place; any other is no continuation, and the whole is asked for again.
"""

from __future__ import annotations

from typing import Final

from deepswarm.core.records import Message

MOST_PARTS: Final = 16
"""Pieces of one reply: more is no answer but an endless one."""
ANCHOR: Final = 40
"""Characters that the model repeats, so that the two pieces can be joined."""
_ASK: Final = (
    "Your last message was cut off because it was long. Go on exactly where it stopped. Begin by repeating these last "
    "characters of it, word for word, then continue without any remark:\n{anchor}"
)


def anchor_of(text: str) -> str:
    """The end of a text that a continuation has to repeat."""
    return text[-ANCHOR:].lstrip()


def going_on(messages: tuple[Message, ...], part: Message, *, by_prefix: bool) -> tuple[Message, ...]:
    """What is sent to get the rest of a reply."""
    if by_prefix:
        return (*messages, part)
    return (*messages, part, Message("user", _ASK.format(anchor=anchor_of(part.content))))


def joined(text: str, rest: str, *, by_prefix: bool) -> str | None:
    """Both pieces as one text; None when the second does not go on with the first."""
    if by_prefix:
        return text + rest
    anchor = anchor_of(text)
    begun = rest.lstrip()
    return text + begun.removeprefix(anchor) if anchor and begun.startswith(anchor) else None
