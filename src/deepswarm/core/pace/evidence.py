"""Which limit refused a call, by the levels at which calls were taken on and refused before.

refused above all levels that were taken on lately             a cap
taken on at this level not long ago, refused now               a rate, once that was seen twice
refused all the way down with nobody else under way            a smaller cap, or an empty bucket: where it refuses
                                                               next tells
"""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

LATELY_S: Final = 600.0
"""How long a level at which a call was taken on counts."""
_SURE: Final = 2


class Row(NamedTuple):
    """Refusals in a row, with none taken on between: levels of the first and the last, and what held before them."""

    first: int
    last: int
    window: float
    rates: tuple[float, float]


class Evidence:
    """What is known of levels.

    Attributes:
        level: The highest at which a call was taken on since the last refusal; 0 for none.
    """

    def __init__(self) -> None:
        self.level = 0
        self._levels: deque[tuple[float, int]] = deque()
        self._score = 0
        self._row: Row | None = None
        self._bracket: Row | None = None
        self._like: list[int] = []

    @property
    def highest(self) -> int:
        """The highest level at which a call was taken on lately; 0 for none."""
        return self._levels[0][1] if self._levels else 0

    def taken(self, level: int, now: float) -> None:
        """A call that left at this level was taken on."""
        self.level = max(self.level, level)
        levels = self._levels
        while levels and levels[-1][1] <= level:  # only what may yet be the highest is kept
            levels.pop()
        levels.append((now, level))
        while levels[0][0] < now - LATELY_S:
            levels.popleft()

    def refused(self, level: int, window: float, rates: tuple[float, float], *, probe: bool) -> None:
        """A call that left at this level was refused; `window` and `rates` are what held before."""
        if probe and self._row is not None:
            self._row = self._row._replace(last=level)
        else:
            self._row = Row(level, level, window, rates)

    def reopened(self) -> float | None:
        """The single call after a cool-down was taken on.

        Returns:
            The window to go back to where it is not clear what refused; None where it is.
        """
        row, self._row = self._row, None
        if row is None or row.last >= 0.9 * row.first:
            return None
        self._bracket = row
        return row.window

    def empty_bucket(self, level: int) -> tuple[float, float] | None:
        """Taken on well above the level at which it was refused last: it was a rate. What was sent then, if so."""
        bracket = self._bracket
        if bracket is None or level <= bracket.last * 1.05 + 1:
            return None
        self._bracket = None
        self._score = max(self._score, _SURE)
        return bracket.rates

    def lower_cap(self, level: int) -> bool:
        """Whether it is refused again where it was refused last: the cap is there now."""
        bracket, self._bracket = self._bracket, None
        if bracket is None:
            return False
        low = bracket.last
        if level > low + 1 or self.level > low or low < 0.2 * bracket.first:
            return False
        self._score, self._like = 0, []
        self._levels.clear()
        return True

    def is_cap_after_all(self, level: int) -> bool:
        """Whether, beside a known rate, a cap refuses: four times at one level, and never taken on above it."""
        self._like = [*self._like, level][-4:] if level > self.level else []
        if len(self._like) < 4 or max(self._like) > 1.02 * min(self._like) + 2:
            return False
        self._score, self._like = 0, []
        return True

    def is_rate(self, level: int, cap: float | None) -> bool:
        """Whether it is a rate that refuses, as far as levels tell; `cap` is the one that was found, if any."""
        highest = self.highest
        if self.level and level <= max(cap or 0.0, 0.97 * highest):
            self._score += 1
        elif level > highest:
            self._score = max(0, self._score - 1)
        return self._score >= _SURE
