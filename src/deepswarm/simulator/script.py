"""The pieces of a streamed reply, in order, without times: what faults of streams change before they are played."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from deepswarm.core import jsontext


class Line(NamedTuple):
    """One event that carries content: its bytes, and how many tokens of the answer were made before it."""

    made: int
    data: bytes


class Script(NamedTuple):
    """The events of a streamed reply, as bytes.

    Attributes:
        opening: What comes before any content; empty when there is nothing.
        lines: The pieces of reasoning and content.
        finish: What says why the answer ends.
        usage: What reports the usage apart; empty when nothing does.
        done: What says that the stream ends.
    """

    opening: bytes
    lines: list[Line]
    finish: bytes
    usage: bytes
    done: bytes


def lines_of(text: str, made: tuple[int, int], step: int, around: tuple[bytes, bytes]) -> list[Line]:
    """A text as the content of events.

    Args:
        text: An even share of its characters goes into each event; there are never more events than characters.
        made: Tokens of the answer that are made before the text and after it.
        step: Tokens in one event.
        around: What stands in an event before the text, with an opening quote, and after it.
    """
    if not text:
        return []
    before, after = made
    length = len(text)
    count = min(max(1, -(-(after - before) // step)), length)
    ends = [length * number // count for number in range(count + 1)]
    encoded = jsontext.dumps(text)
    if len(encoded) == length + 2:  # each character is one byte, so the encoded text can be cut anywhere
        encoded = encoded[1:]
        pieces = [encoded[start:end] for start, end in pairwise(ends)]
    else:
        pieces = [jsontext.dumps(text[start:end])[1:-1] for start, end in pairwise(ends)]
    opening, closing = around
    return [
        Line(at, opening + piece + closing)
        for at, piece in zip(range(before, before + count * step, step), pieces, strict=True)
    ]
