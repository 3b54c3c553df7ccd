"""Whether more calls still bring more tokens a second; where they do not, there is no use in more of them.

SEARCH ── 1.4 times the calls, twice no more tokens ──▶ LEVEL ── a tenth more, kept if it brings more ──▶ LEVEL
"""

from __future__ import annotations

import math
from typing import Final

LOOK_S: Final = 5.0
"""Seconds over which tokens are counted."""
_LEAST: Final = 12
"""Fewer calls than this say too little."""


class Flow:
    """Tokens a second against calls under way.

    Args:
        plateau_gain: Growth of tokens for each growth of calls (both as logarithms) that is no gain.
    """

    def __init__(self, plateau_gain: float) -> None:
        self._plateau_gain = plateau_gain
        self.tokens = 0.0
        self.looked_at = -math.inf
        self._calls: float | None = None
        self._mark: tuple[float, float] | None = None
        self._poor = 0
        self._trial: float | None = None
        self._trial_at = math.inf
        self._mean = 0.0

    def look(self, begun: int, now: float) -> tuple[float, float, bool]:
        """Tokens a second since the last look, the mean of the calls that flowed, and whether those were steady."""
        calls, before = float(begun), self._calls
        rate = self.tokens / (now - self.looked_at)
        self.tokens, self.looked_at, self._calls = 0.0, now, calls
        low, high = sorted((calls if before is None else before, calls))
        return rate, 0.5 * (calls + (before or calls)), high < 2.2 * low + 1

    def plateau(self, rate: float, calls: float, *, steady: bool, now: float) -> float | None:
        """The window beyond which more calls bring no more tokens; None as long as none is seen."""
        if calls < _LEAST or rate <= 0 or not steady:
            self._poor = 0
            return None
        if self._mark is None or calls < self._mark[0]:
            self._mark = (calls, rate)
        elif calls >= 1.4 * self._mark[0]:
            gain = math.log(rate / self._mark[1]) / math.log(calls / self._mark[0])
            if gain >= self._plateau_gain:
                self._mark, self._poor = (calls, rate), 0
                return None
            self._poor += 1
            if self._poor >= 2:
                self._trial, self._trial_at, self._poor, self._mean = None, now + 120.0, 0, 0.0
                return 1.1 * self._mark[0]
        return None

    def unsteady(self) -> None:
        """The window is not being searched: what was poor until now says nothing."""
        self._poor = 0

    def tried(self, rate: float, calls: float, window: float, now: float) -> float:
        """The window from now on: on a plateau a tenth more is tried for a while, and kept if it brings more."""
        self._mean = rate if not self._mean else 0.7 * self._mean + 0.3 * rate
        if now < self._trial_at:
            return window
        if self._trial is None:
            if calls > window + 1:
                return window
            self._trial, self._trial_at = self._mean, now + 45.0
            return window * 1.1
        gained = self._mean > 1.04 * self._trial
        self._trial, self._trial_at = None, now + (20.0 if gained else 300.0)
        return window if gained else window / 1.1
