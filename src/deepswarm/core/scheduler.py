"""Which seed is served next, and when the run is over: facts in, commands out.

    RUNNING ── stop(…) ──▶ STOPPING ── last call in flight ends ──▶ (the workers find nothing more to take)

The scheduler holds only a short queue. `wants` says when to feed it from the journal; memory follows the calls in
flight, not the seeds in the file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from deepswarm.core.records import SeedRow

CHUNK = 512
"""Seeds that are fetched from the journal at once."""


class How(Enum):
    """How a run can end. `REFUSED`: the provider refused key, model or address before it served anything."""

    FINISHED = "finished"
    REFUSED = "refused"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why nothing new is started. `how` decides the exit code, `why` is for people."""

    how: How
    why: str


class Scheduler:
    """The queue of a run and its one reason to stop."""

    def __init__(self, batch_size: int = 1) -> None:
        """`batch_size`: seeds that a worker leases at once, 1 or more."""
        self.batch_size = batch_size
        self._queue: deque[SeedRow] = deque()
        self._leased: dict[int, deque[SeedRow]] = {}
        self._after = -1
        self._exhausted = False
        self.stopped: Stop | None = None

    def __repr__(self) -> str:
        state = "RUNNING" if self.stopped is None else f"STOPPING({self.stopped.how.value})"
        return f"Scheduler({state}, queued={len(self._queue)}, after={self._after}, exhausted={self._exhausted})"

    @property
    def wants(self) -> int | None:
        """Feed me the seeds after this place in the file; None when there is enough, or no more."""
        if self._exhausted or self.stopped is not None or len(self._queue) >= self.batch_size:
            return None
        return self._after

    def feed(self, rows: Iterable[SeedRow]) -> None:
        """The next seeds that are left; none at all means that the file is exhausted."""
        size = len(self._queue)
        self._queue.extend(rows)
        if len(self._queue) == size:
            self._exhausted = True
        else:
            self._after = self._queue[-1].order

    def take(self, worker: int) -> SeedRow | None:
        """The worker's next seed; None when there is none for it, or the run is stopping."""
        if self.stopped is not None:
            return None
        lease = self._leased.get(worker)
        if not lease:
            if not self._queue:
                return None
            if self.batch_size == 1:
                return self._queue.popleft()
            count = min(self.batch_size, len(self._queue))
            lease = self._leased[worker] = deque(self._queue.popleft() for _ in range(count))
        return lease.popleft()

    def stop(self, stop: Stop) -> None:
        """Start nothing new. The first reason stays, but an interruption by the user overrides a pause."""
        if self.stopped is None or stop.how is How.INTERRUPTED:
            self.stopped = stop
