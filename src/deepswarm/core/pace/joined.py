"""Several endpoints as one: which of them takes the next call, and which of them turn out to have one limit.

endpoints ── choose ──▶ the one that is least loaded for its limit and weight, and may send now
refusals of several, close together, at one summed level ── Coincidence ──▶ these are one account
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from deepswarm.core.pace import Cost, Go, Pace, WaitUntil

TOGETHER_S: Final = 2.0
"""Two endpoints refuse together when no more seconds lie between."""
ALIKE: Final = 0.05
"""Summed levels are one when they differ by no more than this share."""
TIMES: Final = 3
"""So many refusals together at one summed level mean one limit."""


class Endpoint(NamedTuple):
    """One of several endpoints, as it stands.

    Attributes:
        pace: Its own, or that of its account.
        flying: Calls under way there.
        weight: Its part of the calls as the user wishes, above 0.
        paused: Whether it is not to be asked: refused key, balance, outage.
    """

    pace: Pace
    flying: int
    weight: float = 1.0
    paused: bool = False


class Chosen(NamedTuple):
    """The endpoint that takes the next call: its place in the list, and whether the call is a probe."""

    endpoint: int
    probe: bool = False


def choose(endpoints: Sequence[Endpoint], now: float, cost: Cost) -> Chosen | WaitUntil | None:
    """Who takes the next call.

    That is the endpoint with the least calls under way for its limit and weight, of those whose pace says Go; the first
    of equals.

    Returns:
        The endpoint; when to ask again if none may send now; None when all are paused: then the run pauses.
    """
    awake = [(place, endpoint) for place, endpoint in enumerate(endpoints) if not endpoint.paused]
    if not awake:
        return None
    soonest = math.inf
    for place, endpoint in sorted(awake, key=lambda item: _load(item[1])):
        answer = endpoint.pace.admit(now, cost)
        if isinstance(answer, Go):
            return Chosen(place, answer.probe)
        soonest = min(soonest, answer.at)
    return WaitUntil(soonest)


def _load(endpoint: Endpoint) -> float:
    return (endpoint.flying + 1) / (endpoint.weight * endpoint.pace.limit)


class Coincidence:
    """Whether two endpoints are refused because of one common limit."""

    def __init__(self) -> None:
        """Nothing was refused yet."""
        self._last: tuple[int, float] = (-1, -math.inf)
        self._sums: deque[int] = deque(maxlen=TIMES)
        self.joined = False

    def refused(self, endpoint: int, levels: tuple[int, int], now: float) -> bool:
        """Take note of a refusal.

        Args:
            endpoint: Which of the two, 0 or 1.
            levels: Calls under way at each when the refused call was sent, that call included.
            now: Seconds.

        Returns:
            Whether the two are known to have one limit; once True it stays so.
        """
        other, at = self._last
        self._last = (endpoint, now)
        if other not in {-1, endpoint} and now - at <= TOGETHER_S and min(levels) > 0:
            self._sums.append(sum(levels))
            most, least = max(self._sums), min(self._sums)
            self.joined = self.joined or (len(self._sums) == TIMES and most - least <= max(1.0, ALIKE * most))
        return self.joined
