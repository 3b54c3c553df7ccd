"""The mission page's own two ways to choose workers, with its numbers exactly; both begin with one timed call.

    formula   workers min(8, floor(rate_limit / call_duration)), stagger call_duration / workers * 2
    table     call duration   < 10 s   10-30 s   30-60 s   60-90 s   > 90 s
              workers           16       12         8         6         4
              stagger          1 s       2 s       5 s      10 s      15 s
    both      batch_size total / workers

The formula divides where Little's law multiplies (calls at once = rate * duration), so that longer calls get fewer
workers where they need more; it is kept because the page promises it. Without a rate limit its ceiling, 8, is what it
gives. After a refusal both do as `Fixed` does: the page says nothing about that.

Source: the DeepSwarm page, "Auto-Optimization".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from deepswarm.core.pace import Cost, Fact, Failed, Go, Memory, Reason, Refused, Sent, Served, Unsent, WaitUntil
from deepswarm.core.pace.choice import Choice
from deepswarm.core.pace.fixed import Fixed

CEILING: Final = 8
"""Most workers of the formula."""
TABLE: Final = ((10.0, 16, 1.0), (30.0, 12, 2.0), (60.0, 8, 5.0), (90.0, 6, 10.0), (math.inf, 4, 15.0))
"""Rows of the table: calls shorter than so many seconds get so many workers, so many seconds apart."""


def formula(call_s: float, total: int, rate_limit: float | None = None) -> Choice:
    """The formula's choice.

    Args:
        call_s: Seconds of the timed call, above 0.
        total: Seeds of the run.
        rate_limit: Calls a minute that the provider allows; None when that is not known.
    """
    known = CEILING if rate_limit is None else math.floor(rate_limit / call_s)
    workers = max(1, min(CEILING, known))
    limit = "no rate_limit is given" if rate_limit is None else f"rate_limit {rate_limit:g}"
    why = f"page-formula: min({CEILING}, floor(rate_limit / {call_s:.3g} s)) = {workers} workers ({limit})"
    return _advice(workers, call_s / workers * 2.0, total, why, "call duration / workers x 2")


def table(call_s: float, total: int) -> Choice:
    """The table's advice; arguments as in `formula`."""
    _, workers, stagger_s = next(row for row in TABLE if call_s < row[0])
    why = f"page-table: {workers} workers for calls of {call_s:.3g} s"
    return _advice(workers, stagger_s, total, why, "the page's table")


def _advice(workers: int, stagger_s: float, total: int, why: str, source: str) -> Choice:
    batch_size = max(1, total // workers)
    words = f"{why}; {stagger_s:.3g} s apart ({source}); {batch_size:,} seeds leased at once (total / workers)"
    return Choice(workers, stagger_s, batch_size, words)


class Page:
    """A pace that makes one call, times it, and then does as the page advises.

    Args:
        advise: Seconds of the timed call -> what to do.
        ceiling: Most calls at once that are allowed, whatever the page advises.
        stagger_s: What the user wrote instead of the page's; None for the page's. So for `batch_size`.

    Attributes:
        choice: What it came to; None until the first call was answered.
    """

    def __init__(
        self,
        advise: Callable[[float], Choice],
        ceiling: int = 1 << 30,
        stagger_s: float | None = None,
        batch_size: int | None = None,
    ) -> None:
        self._advise, self._ceiling, self._stagger_s, self._batch_size = advise, ceiling, stagger_s, batch_size
        self._timing = Fixed(1)
        self._sent: dict[int, float] = {}
        self._fixed: Fixed | None = None
        self.choice: Choice | None = None

    def __repr__(self) -> str:
        return f"Page({self._fixed!r}, {self.choice})"

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        if self._fixed is not None:
            self._fixed.observe(fact, now)
            return
        self._timing.observe(fact, now)
        if isinstance(fact, Sent):
            self._sent[fact.call] = now
        elif isinstance(fact, Served) and fact.call in self._sent:
            self._choose(max(1e-3, now - self._sent.pop(fact.call)))
        elif isinstance(fact, Refused | Failed | Unsent):
            self._sent.pop(fact.call, None)

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        return (self._fixed or self._timing).admit(now, cost)

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return (self._fixed or self._timing).limit

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        if self._fixed is None:
            return Reason("start", "one call is made alone and timed, as the page does")
        return self._fixed.reason

    def memory(self) -> Memory:
        """See `Pace.memory`."""
        return (self._fixed or self._timing).memory()

    def _choose(self, call_s: float) -> None:
        choice = self._advise(call_s)
        if choice.workers > self._ceiling:
            why = f"{choice.why}; at most {self._ceiling} workers are allowed"
            choice = choice._replace(workers=self._ceiling, why=why)
        if self._stagger_s is not None:
            why = f"{choice.why}; {self._stagger_s:g} s apart as written"
            choice = choice._replace(stagger_s=self._stagger_s, why=why)
        if self._batch_size is not None:
            why = f"{choice.why}; {self._batch_size:,} leased at once as written"
            choice = choice._replace(batch_size=self._batch_size, why=why)
        self.choice = choice
        self._fixed = Fixed(choice.workers, choice.stagger_s, words=choice.why)
