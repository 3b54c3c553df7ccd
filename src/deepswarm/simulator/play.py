"""What is delivered of a reply, and when: bytes on a time line. Whoever delivers it has no opinion.

A play starts when its request arrives. The head is sent with the first scene (or at the end, when there is none); each
scene's bytes go out at its time; then `end` happens at `end_s`. Times never fall.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class End(Enum):
    """How a play ends.

    `WHOLE` is a proper end; `CLOSE` closes the connection without one (a body shorter than announced, no last chunk);
    `RESET` breaks the connection off with an RST; `HANG` does nothing: the connection stays open until the client goes.
    """

    WHOLE = "whole"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


class Scene(NamedTuple):
    """Bytes of the body, and when they go out: seconds after the request's arrival."""

    at_s: float
    data: bytes


class Play(NamedTuple):
    """One reply on its time line.

    Attributes:
        status: HTTP status; 0 when not even a head is sent.
        headers: Without content-length and transfer-encoding, which follow from `length`.
        scenes: The body's pieces in order; may be empty.
        end: How it ends.
        end_s: When; not before the last scene. Infinite for `HANG`.
        length: Bytes that content-length announces; None sends the body in chunks.
        first_s: When the first token of content goes out; None when there is none.
    """

    status: int
    headers: Mapping[str, str]
    scenes: tuple[Scene, ...]
    end: End
    end_s: float
    length: int | None
    first_s: float | None = None
