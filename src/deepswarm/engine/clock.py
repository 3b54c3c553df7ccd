"""The one place where the shell reads clocks: UTC for people and prices, the loop's own for every duration."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """Both times of a moment. In virtual time UTC follows the loop, so that a simulated day is a day."""

    utc: Callable[[], float]
    monotonic: Callable[[], float]

    def now(self) -> tuple[float, float]:
        """(seconds since 1970, seconds on the loop's clock)."""
        return self.utc(), self.monotonic()


def running_clock() -> Clock:
    """The clock of the running loop and the machine."""
    import time

    return Clock(time.time, asyncio.get_running_loop().time)


def virtual_clock(start_utc: float) -> Clock:
    """A clock whose UTC starts at a given moment and follows the running loop's time."""
    monotonic = asyncio.get_running_loop().time
    origin = monotonic()
    return Clock(lambda: start_utc + monotonic() - origin, monotonic)
