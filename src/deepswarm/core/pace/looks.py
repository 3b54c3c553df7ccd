"""A cap that was found: when to look above it, and when to leave room for others below it.

A fruitless look costs a refusal, so that they grow rarer, and where a refusal would weigh much they are rare from the
beginning; a limit that was seen to move is looked at more often.
"""

from __future__ import annotations

import math
from typing import Final

from deepswarm.core.pace.constants import Constants

AGAIN_S: Final = 15.0
"""Time to the next look where a limit has just moved."""


class Looks:
    """Of one cap.

    Attributes:
        at: When to look above it next.
        above: The cap above which a look is under way; 0 for none.
        breath_until: Until when some of the window is left free.
    """

    def __init__(self, constants: Constants) -> None:
        self._c = constants
        self.at = math.inf
        self.above = 0.0
        self.breath_until = -math.inf
        self._every = constants.probe_first
        self._began = 0.0
        self._breath_at = -math.inf

    def start(self, now: float) -> None:
        """The run begins."""
        self._breath_at = now + self._c.breath_every

    def wait(self, now: float) -> None:
        """Look after the usual time."""
        self.at = now + self._every

    def often(self) -> None:
        """The limit has moved: look again soon."""
        self._every = AGAIN_S

    def admitted(self, window: float) -> None:
        """A look was admitted: the window is searched from here."""
        self.above, self._began = 0.0, window

    def plan(self, before: float, window: float, lately: float, now: float, *, moving: bool) -> None:
        """A cap was found, or found again: when to look above it next.

        Args:
            before: The cap, or the window, that held until now; 0 when the limit is lower than that all of a sudden.
            window: Calls that may be under way.
            lately: Calls a second in the last minute.
            now: The time.
            moving: Whether the limit was seen to move lately.
        """
        c = self._c
        if not before:
            self._every = AGAIN_S
        elif self.above or (self._began and before < 1.02 * self._began + 1):
            self._every = min(self._every * (2.0 if moving else 3.0), c.probe_moving if moving else c.probe_most)
        else:
            self._every = AGAIN_S if moving else c.probe_first
        self._began = 0.0
        wait = min(self._every, 60.0 + 15.0 * window)
        if not moving and self._every > c.probe_first:
            seldom = 1.0 / (3.0 * c.probe_loss * max(lately, 1e-3))
            wait = max(wait, min(c.probe_most, seldom, 4.0 * self._every))
        self.at = now + wait

    def breath_is_due(self, now: float) -> bool:
        """Whether it is time to leave some room for others."""
        return now >= self._breath_at and not self.above

    def breathe(self, now: float, jitter: float) -> None:
        """Leave it for a while; the next time comes after the usual time, times `jitter`."""
        self.breath_until = now + self._c.breath_for
        self._breath_at = now + self._c.breath_every * jitter

    def look(self, window: float, now: float) -> None:
        """A look above this window begins."""
        self.above = window
        self.at = now + max(self._every, 10.0)
