"""Other people's ways to choose how many calls are under way, as paces. Re-implementations of their rules, not they.

What they have in common: a call that was refused or failed keeps its slot while it waits, as it does inside a semaphore
around a retry loop; it waits evenly between 0 and min(60, 2 ** failures) seconds ("full jitter"), and at least as long
as the provider asks.

Sources: AWS Architecture Blog, "Exponential Backoff And Jitter", 2015; Netflix/concurrency-limits, commit 78a74b9:
AIMDLimit, Gradient2Limit, VegasLimit, WindowedLimit.
"""

from __future__ import annotations

import heapq
import math
import random
from typing import Final

from deepswarm.core.pace import Cost, Fact, Failed, Go, Memory, Reason, Refused, Sent, Served, Unsent, WaitUntil

CALLERS: Final = 1000
"""How many callers "unlimited" means."""
LONGEST_BACK_OFF_S: Final = 60.0


class Slots:
    """So many slots; one whose call failed is held until its back-off is over. Unlimited when nothing changes them."""

    def __init__(self, slots: float = CALLERS, most: int = 4096, seed: int = 1) -> None:
        self._slots, self._most = slots, most
        self._chance = random.Random(seed)
        self._flights: dict[int, tuple[float, int]] = {}
        self._held: list[tuple[float, int]] = []

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        if isinstance(fact, Sent):
            failures = heapq.heappop(self._held)[1] if self._held and self._held[0][0] <= now else 0
            self._flights[fact.call] = (now, failures)
            return
        if not isinstance(fact, Served | Refused | Failed | Unsent) or fact.call not in self._flights:
            return
        under_way = len(self._flights)
        sent_at, failures = self._flights.pop(fact.call)
        if isinstance(fact, Unsent):
            return
        if not isinstance(fact, Served):
            wait_s = self._chance.uniform(0.0, min(LONGEST_BACK_OFF_S, 2.0**failures))
            if isinstance(fact, Refused) and fact.retry_after_s is not None:
                wait_s = max(wait_s, fact.retry_after_s)
            heapq.heappush(self._held, (now + wait_s, min(failures + 1, 10)))
        self.ended(now, max(1e-3, now - sent_at), under_way, good=isinstance(fact, Served))

    def ended(self, now: float, seconds: float, under_way: int, *, good: bool) -> None:
        """A call took so many seconds while so many were under way."""

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        del cost
        if len(self._flights) >= self._most:
            return WaitUntil(math.inf)
        if self._held and self._held[0][0] <= now:
            return Go()
        if len(self._flights) + len(self._held) < int(self._slots):
            return Go()
        return WaitUntil(self._held[0][0] if self._held else math.inf)

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return max(1, min(int(self._slots), self._most))

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        return Reason("concurrency", f"{self.limit} slots, {len(self._held)} of them in back-off")

    def memory(self) -> Memory:
        """See `Pace.memory`."""
        return Memory(float(self._slots))


class Aimd(Slots):
    """AIMDLimit: one more with every good call while half of them are in use, a tenth fewer with every bad one.

    Its range of 20 to 200 is widened to 1 to 4,096, and its time-out, which would fire on every such call, is off.
    """

    def __init__(self, most: int = 4096, seed: int = 1) -> None:
        super().__init__(20, most, seed)

    def ended(self, now: float, seconds: float, under_way: int, *, good: bool) -> None:
        """See `Slots.ended`."""
        del now, seconds
        if not good:
            self._slots = max(1, int(self._slots * 0.9))
        elif 2 * under_way >= self._slots:
            self._slots = min(self._most, self._slots + 1)


class _Windowed(Slots):
    """WindowedLimit: windows of a second or more with ten samples or more; their mean time is one sample."""

    def __init__(self, most: int, seed: int) -> None:
        super().__init__(20.0, most, seed)
        self._closes_at = 0.0
        self._samples: list[tuple[float, int]] = []
        self._dropped = False

    def ended(self, now: float, seconds: float, under_way: int, *, good: bool) -> None:
        """See `Slots.ended`."""
        self._samples.append((seconds, under_way))
        self._dropped |= not good
        if now > self._closes_at and len(self._samples) >= 10:
            mean = sum(each for each, _ in self._samples) / len(self._samples)
            self.sampled(mean, max(each for _, each in self._samples), dropped=self._dropped)
            self._samples, self._dropped, self._closes_at = [], False, now + 1.0

    def sampled(self, seconds: float, under_way: int, *, dropped: bool) -> None:
        """A window has closed."""


class Gradient2(_Windowed):
    """Gradient2Limit: the ratio of a long mean of times to the latest one; up to its own default of 200."""

    def __init__(self, most: int = 4096, seed: int = 1) -> None:
        super().__init__(min(200, most), seed)
        self._long, self._count = 0.0, 0

    def sampled(self, seconds: float, under_way: int, *, dropped: bool) -> None:
        """See `_Windowed.sampled`; it does not look at drops."""
        del dropped
        self._count += 1
        self._long += (seconds - self._long) * (1.0 / self._count if self._count <= 10 else 2.0 / 601.0)
        if self._long / seconds > 2.0:
            self._long *= 0.95
        if under_way < self._slots / 2.0:
            return
        gradient = max(0.5, min(1.0, 1.5 * self._long / seconds))
        wanted = self._slots * gradient + 4.0
        self._slots = max(1.0, min(self._most, self._slots * 0.8 + wanted * 0.2))


class Vegas(_Windowed):
    """VegasLimit: a queue is what times above the shortest one seen amount to; up to its own default of 1,000."""

    def __init__(self, most: int = 4096, seed: int = 1) -> None:
        super().__init__(min(1000, most), seed)
        self._shortest, self._count, self._jitter = 0.0, 0, 0.75

    def sampled(self, seconds: float, under_way: int, *, dropped: bool) -> None:
        """See `_Windowed.sampled`."""
        self._count += 1
        if self._jitter * 30.0 * self._slots <= self._count:
            self._jitter, self._count, self._shortest = self._chance.uniform(0.5, 1.0), 0, seconds
            return
        if not self._shortest or seconds < self._shortest:
            self._shortest = seconds
            return
        self._slots = max(1.0, min(self._most, self._slots + self._step(seconds, under_way, dropped=dropped)))

    def _step(self, seconds: float, under_way: int, *, dropped: bool) -> float:
        queue = math.ceil(self._slots * (1.0 - self._shortest / seconds))
        log = max(1, int(math.log10(max(1.0, self._slots))))
        if dropped:
            return -log
        if 2 * under_way < self._slots:
            return 0.0
        if queue <= log:
            return 6.0 * log
        if queue < 3 * log:
            return log
        return -log if queue > 6 * log else 0.0
