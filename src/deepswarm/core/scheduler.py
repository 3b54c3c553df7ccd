"""Which seed is served next, and when the run is over: facts in, commands out.

    RUNNING ── stop(…) ──▶ STOPPING ── last call in flight ends ──▶ (the workers find nothing more to take)

The scheduler holds only a short queue. `wants` says when to feed it from the journal; memory follows the calls in
flight, not the seeds in the file. At the end of the run the longest seeds go first: of 500 calls in 40 slots that
saves a tenth of the time (a call that is slow is slow because its answer is long).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from deepswarm.core.records import SeedRow

CHUNK = 512
"""Seeds that are fetched from the journal at once."""
TAIL = 3
"""The end of a run begins when fewer seeds are left than so many for each call at once."""
MOST_AHEAD = 12_288
"""Most seeds that the queue looks ahead: TAIL times 4,096 calls at once."""


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
    """The queue of a run and its one reason to stop.

    Attributes:
        batch_size: Seeds that a worker leases at once, 1 or more.
        at_once: Calls at once; whoever admits calls keeps it. The queue looks so far ahead that it sees the end coming
            when fewer than TAIL times as many seeds are left.
        held: Somebody may still bring seeds that have ended before: the run is not over as long as that is so.
    """

    def __init__(self, batch_size: int = 1) -> None:
        """`batch_size`: seeds that a worker leases at once, 1 or more."""
        self.batch_size = batch_size
        self.at_once = 1
        self.held = False
        self._queue: deque[SeedRow] = deque()
        self._leased: dict[int, deque[SeedRow]] = {}
        self._after = -1
        self._exhausted = False
        self._sorted = False
        self._skipped: set[int] = set()
        self.stopped: Stop | None = None

    def __repr__(self) -> str:
        state = "RUNNING" if self.stopped is None else f"STOPPING({self.stopped.how.value})"
        return f"Scheduler({state}, queued={len(self._queue)}, after={self._after}, exhausted={self._exhausted})"

    @property
    def wants(self) -> int | None:
        """Feed me the seeds after this place in the file; None when there is enough, or no more."""
        if self._exhausted or self.stopped is not None:
            return None
        enough = max(self.batch_size, min(TAIL * self.at_once, MOST_AHEAD)) if self.at_once > 1 else self.batch_size
        return None if len(self._queue) >= enough else self._after

    @property
    def more(self) -> bool:
        """Whether a worker may find a seed, as far as is known."""
        return self.stopped is None and (not self._exhausted or bool(self._queue) or bool(self._leased))

    def feed(self, rows: Iterable[SeedRow]) -> None:
        """The next seeds that are left; none at all means that the file is exhausted."""
        after = self._after
        for row in rows:
            self._after = row.order
            if row.number not in self._skipped:
                self._queue.append(row)
        self._exhausted = self._after == after

    def take(self, worker: int) -> SeedRow | None:
        """The worker's next seed; None when there is none for it, or the run is stopping.

        When few are left the longest go first, so that none of them is alone at the end; and nobody holds seeds back
        that others could serve.
        """
        if self.stopped is not None:
            return None
        lease = self._leased.get(worker)
        if lease:
            return self._of(worker, lease)
        queue = self._queue
        if not queue:
            return self._other_s() if self._exhausted else None
        if self._exhausted and not self._sorted and self.at_once > 1:
            self._sorted = True
            self._queue = queue = deque(sorted(queue, key=_longest_first))
        if self.batch_size == 1:
            return queue.popleft()
        count = min(self.batch_size, len(queue))
        lease = self._leased[worker] = deque(queue.popleft() for _ in range(count))
        return self._of(worker, lease)

    def _of(self, worker: int, lease: deque[SeedRow]) -> SeedRow:
        row = lease.popleft()
        if not lease:
            del self._leased[worker]
        return row

    def _other_s(self) -> SeedRow | None:
        """A seed that another worker has leased and not begun; None when there is none."""
        if not self._leased:
            return None
        worker, lease = max(self._leased.items(), key=lambda item: len(item[1]))
        row = lease.pop()
        if not lease:
            del self._leased[worker]
        return row

    def skip(self, row: SeedRow) -> bool:
        """Never hand this seed out.

        Returns:
            Whether nobody has been given it yet; when not, it is at a worker, or has ended.
        """
        if row.order > self._after:
            self._skipped.add(row.number)
            return True
        for queue in (self._queue, *self._leased.values()):
            if row in queue:
                queue.remove(row)
                self._leased = {worker: lease for worker, lease in self._leased.items() if lease}
                return True
        return False

    def again(self, rows: Iterable[SeedRow]) -> None:
        """Hand these seeds out once more, after all that wait: they had ended. Those to be fed come by themselves."""
        for row in rows:
            self._skipped.discard(row.number)
            if row.order <= self._after:
                self._queue.append(row)

    def stop(self, stop: Stop) -> None:
        """Start nothing new. The first reason stays, but an interruption by the user overrides a pause."""
        if self.stopped is None or stop.how is How.INTERRUPTED:
            self.stopped = stop


def _longest_first(row: SeedRow) -> int:
    """Prompts are as long as their seeds, and answers tend to be the longer the longer their prompts are."""
    return -row.size
