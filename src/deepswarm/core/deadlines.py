"""How long the phases of a call may take: as the task says, or as the calls so far have shown.

A deadline is there for calls that hang, never for calls that are slow: what is learnt is a multiple of nearly the
slowest, and a stream is not cut as long as its content flows. Until enough calls have been seen, the deadlines are
those under which providers themselves give up.

Source: api-docs.deepseek.com closes a request that was not begun within 10 minutes (November 2026).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final, NamedTuple

from deepswarm.core.records import Deadlines

UNKNOWN_S: Final = 600.0
"""A deadline before anything is known."""
LEAST_S: Final = 60.0
"""The shortest deadline that is learnt: a provider under load is silent for as long."""
TIMES: Final = 5.0
"""How many times nearly the slowest call of late a deadline is."""
STALL_S: Final = 120.0
"""Seconds between two pieces of content after which a stream has stalled."""
CONNECT_S: Final = 15.0
ENOUGH: Final = 50
"""Calls that have to be seen before anything is learnt, and between two looks at them."""
KEPT: Final = 1000
SHARE: Final = 0.995


class Wanted(NamedTuple):
    """What the task says, in seconds; None is auto."""

    total_s: float | None = None
    first_s: float | None = None
    stall_s: float | None = None
    connect_s: float | None = None


class Patience:
    """Deadlines for the next call, from what the task wants and the calls that were good.

    Attributes:
        whole: Deadlines of a call whose reply comes whole.
        streamed: Those of a call whose reply comes in pieces.
    """

    def __init__(self, wanted: Wanted, seed_s: float) -> None:
        """Nothing was seen yet; `seed_s` is the most that all calls of a seed may take."""
        self._wanted = wanted
        self._seed_s = seed_s
        self._totals: deque[float] = deque(maxlen=KEPT)
        self._firsts: deque[float] = deque(maxlen=KEPT)
        self._unseen = 0
        self.whole = self.streamed = Deadlines()
        self._look()

    def __repr__(self) -> str:
        return f"Patience(whole={self.whole}, streamed={self.streamed}, seen={len(self._totals)}+{len(self._firsts)})"

    def of(self, *, stream: bool) -> Deadlines:
        """The deadlines of the next call, by how its reply is to come."""
        return self.streamed if stream else self.whole

    def saw(self, total_s: float, first_s: float | None) -> None:
        """Learn from a good call: how long it took and, when it was streamed, when its first content came."""
        if first_s is None:
            self._totals.append(total_s)
        else:
            self._firsts.append(first_s)
        self._unseen += 1
        if self._unseen >= ENOUGH:
            self._unseen = 0
            self._look()

    def _look(self) -> None:
        wanted, seed_s = self._wanted, self._seed_s
        connect_s = CONNECT_S if wanted.connect_s is None else wanted.connect_s
        total_s = _learnt(self._totals) if wanted.total_s is None else wanted.total_s
        first_s = _learnt(self._firsts) if wanted.first_s is None else wanted.first_s
        stall_s = STALL_S if wanted.stall_s is None else wanted.stall_s
        self.whole = Deadlines(min(total_s, seed_s), math.inf, math.inf, connect_s)
        most_s = seed_s if wanted.total_s is None else min(wanted.total_s, seed_s)
        self.streamed = Deadlines(most_s, min(first_s, most_s), min(stall_s, most_s), connect_s)


def _learnt(seen: deque[float]) -> float:
    """A multiple of nearly the slowest; what nobody has seen enough of keeps the deadline of the unknown."""
    if len(seen) < ENOUGH:
        return UNKNOWN_S
    slow_s = sorted(seen)[min(len(seen) - 1, math.ceil(SHARE * len(seen)))]
    return max(LEAST_S, TIMES * slow_s)
