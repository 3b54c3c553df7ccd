"""A pace that finds by itself how many calls the provider allows: it doubles until it is refused, then holds."""

from __future__ import annotations

from deepswarm.core.pace import Cost, Fact, Failed, Go, Memory, Pace, Reason, Refused, Sent, Served, Unsent, WaitUntil
from deepswarm.core.pace.ceilings import Ceilings
from deepswarm.core.pace.fixed import Fixed

DOUBLING_S = 8.0
FIRST = 4


class Adaptive:
    """From FIRST calls at once, twice as many every DOUBLING_S while all are in use, until refused or at `ceiling`."""

    def __init__(
        self,
        ceiling: int,
        start: Memory | None,
        seed: int,
        *,
        streamed: bool,
        floor_spacing_s: float = 0.0,
        rpm: float | None = None,
        tpm: float | None = None,
        courtesy: float = 1.0,
    ) -> None:
        del seed, streamed
        self._ceiling = max(1, int(ceiling * courtesy))
        self._width = min(float(self._ceiling), FIRST if start is None else max(1.0, start.calls))
        self._held = Fixed(self._ceiling, floor_spacing_s)
        self._pace: Pace = self._held if rpm is None and tpm is None else Ceilings(self._held, rpm, tpm)
        self._flying: set[int] = set()
        self._grown_at: float | None = None
        self._refused = False

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        self._grow(now)
        self._pace.observe(fact, now)
        if isinstance(fact, Sent):
            self._flying.add(fact.call)
        elif isinstance(fact, Refused | Served | Failed | Unsent):
            self._flying.discard(fact.call)
        self._refused = self._refused or isinstance(fact, Refused)

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        self._grow(now)
        if not self._refused and len(self._flying) >= int(self._width):
            return WaitUntil(now + DOUBLING_S / self._width) if self._width < self._ceiling else WaitUntil(float("inf"))
        return self._pace.admit(now, cost)

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return self._pace.limit if self._refused else int(self._width)

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        if self._refused:
            return self._pace.reason
        if self._width >= self._ceiling:
            return Reason("user", f"{self._ceiling} calls at once: as many as were allowed")
        return Reason("search", f"{int(self._width)} calls at once and none refused: twice as many every 8 s")

    def memory(self) -> Memory:
        """See `Pace.memory`."""
        return Memory(float(self.limit))

    def _grow(self, now: float) -> None:
        passed = 0.0 if self._grown_at is None else now - self._grown_at
        self._grown_at = now
        if not self._refused and len(self._flying) >= 0.85 * int(self._width):
            self._width = min(float(self._ceiling), self._width * 2.0 ** (min(passed, DOUBLING_S) / DOUBLING_S))
