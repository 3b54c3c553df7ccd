"""What is delivered of a reply, and when: bytes on a time line. Whoever delivers it has no opinion.

A play starts when its request arrives. The head is sent with the first bytes (or at the end, when there are none; an
empty scene sends the head alone); each scene's bytes go out at its time, those of one moment together; then `end`
happens at `end_s`. Times never fall. Keep-alive bytes stand beside the scenes, because there may be any number of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from deepswarm.core.records import HttpReply


class End(Enum):
    """How a play ends.

    `WHOLE` is a proper end; `CLOSE` closes the connection without one (a body shorter than announced, no last chunk);
    `RESET` breaks the connection off with an RST; `HANG` does nothing: the connection stays open until the client goes;
    `REFUSED` is a connection that cannot be had (a server, which has read the request by then, can only reset it).
    """

    WHOLE = "whole"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"
    REFUSED = "refused"


class Scene(NamedTuple):
    """Bytes of the body, and when they go out: seconds after the request's arrival."""

    at_s: float
    data: bytes


class Drip(NamedTuple):
    """Keep-alive bytes: they go out each `every_s` seconds, above 0, counted from `from_s`, and before `until_s`."""

    data: bytes
    every_s: float
    from_s: float = 0.0
    until_s: float = math.inf


class Play(NamedTuple):
    """One reply on its time line.

    Attributes:
        status: HTTP status; 0 when not even a head is sent.
        headers: Without content-length and transfer-encoding, which follow from `length`. A name that is sent more
            than once has its values divided by line breaks.
        scenes: The body's pieces in order; may be empty.
        end: How it ends.
        end_s: When; not before the last scene. Infinite for `HANG`.
        length: Bytes that content-length announces; None sends the body in chunks.
        first_s: When the first token of content goes out; None when there is none.
        drip: Keep-alive bytes; None when there are none.
        idle_s: Seconds after which the connection, when it stays idle, is closed without a word; None keeps it open.
    """

    status: int
    headers: Mapping[str, str]
    scenes: tuple[Scene, ...]
    end: End
    end_s: float
    length: int | None
    first_s: float | None = None
    drip: Drip | None = None
    idle_s: float | None = None


SILENCE = Play(0, {}, (), End.HANG, math.inf, None)
"""Nothing at all, for ever."""


def whole(reply: HttpReply, at_s: float = 0.0, first_s: float | None = None) -> Play:
    """A reply that goes out in one piece, head and body, after so many seconds."""
    return Play(reply.status, reply.headers, (Scene(at_s, reply.body),), End.WHOLE, at_s, len(reply.body), first_s)


def moments(play: Play) -> Iterator[Scene]:
    """All bytes of a play in order, those of one moment together and keep-alives among them; may never end."""
    drips = _drips(play)
    drop = next(drips, None)
    for scene in together(play.scenes):
        while drop is not None and drop.at_s < scene.at_s:
            yield drop
            drop = next(drips, None)
        yield scene
    while drop is not None and drop.at_s < play.end_s:
        yield drop
        drop = next(drips, None)


def together(scenes: tuple[Scene, ...]) -> Iterator[Scene]:
    """The scenes, those of one moment joined into one."""
    at = 0
    while at < len(scenes):
        after = at + 1
        while after < len(scenes) and scenes[after].at_s == scenes[at].at_s:
            after += 1
        yield scenes[at] if after == at + 1 else Scene(scenes[at].at_s, b"".join([s.data for s in scenes[at:after]]))
        at = after


def _drips(play: Play) -> Iterator[Scene]:
    if play.drip is None:
        return
    data, every_s, from_s, until_s = play.drip
    count = 1
    while (at_s := from_s + count * every_s) < until_s:
        yield Scene(at_s, data)
        count += 1
