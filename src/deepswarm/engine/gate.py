"""Where calls wait before they leave: for the pace, and for the end of a pause of the run.

    a seed ─ place ─▶ its intent is written ─ passed ─▶ the call leaves
               │                                 └── first come, first served: when the pace says Go
               └── only as many as can soon leave: seeds that come back first, then new ones

A place is the right to write down a call that is about to leave. There are as many as the pace has room for and a few
more, so that a freed slot finds a call whose intent the disk already has, and so that next to nothing is written down
that then has to wait. Who finds no place does not wait: a lane ends, and another one is started when there is room.
`Health` stands before all this: while it has paused the run, one place at a time is given, to a probe.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from deepswarm.core.health import Health, Paused
from deepswarm.core.pace import Cost, Fact, Failed, Go, Pace, Reason, Refused, Sent, Served, Unsent
from deepswarm.core.scheduler import Scheduler

COMMIT_S: Final = 0.03
"""Seconds that writing an intent takes, generously: as many calls as end in this time may wait with theirs written."""
MOST_SPARE: Final = 64
AT_ONCE: Final = 16
"""Most places beside those as long as calls have to wait for the pace: intents are not written long before their calls
can leave. It doubles with every group that leaves whole."""
MOST_AT_ONCE: Final = 1024
_ENDS: Final = (Served, Refused, Failed, Unsent)
_TICK_S: Final = 0.001
"""The event loop's timers are as fine as this."""


class _Ready(NamedTuple):
    """A call whose intent is written. `go` becomes True when it leaves, False when its intent is to be taken back."""

    call: int
    cost: Cost
    probe: bool
    go: asyncio.Future[bool]


class _Back(NamedTuple):
    """A seed that is to be asked again. `place` becomes whether its place is a probe's."""

    often: bool
    place: asyncio.Future[bool]


@dataclass(slots=True)
class Tally:
    """What the gate has counted: calls that left, seconds that they waited for it, and how they ended."""

    sent: int = 0
    waited_s: float = 0.0
    served: int = 0
    refused: int = 0


class Gate:
    """One for all calls of an endpoint.

    Attributes:
        pace: Admits calls.
        held: The user wants nothing new to leave.
        most: Most calls under way, as the user wants it, whatever the pace allows.
        flying: Calls under way.
        tally: Counts.
    """

    def __init__(
        self,
        health: Health,
        pace: Pace,
        scheduler: Scheduler,
        now: Callable[[], float],
        told: Callable[[Paused | None], None],
        stop: Callable[[Paused], None],
    ) -> None:
        """`told` hears of every pause when it begins, and with None when it ends; `stop` when one lasts too long."""
        self._health, self._scheduler, self._now, self._told, self._stop = health, scheduler, now, told, stop
        self._loop = asyncio.get_running_loop()
        self.pace = pace
        self.held = False
        self.most = 1 << 30
        self.flying = 0
        self.tally = Tally()
        self._start: Callable[[bool], None] | None = None
        self._lanes = self._places = 0
        self._ready: deque[_Ready] = deque()
        self._back: deque[_Back] = deque()
        self._new_is_next = False
        self._usual = Cost()
        self._at_once = AT_ONCE
        self._ends: deque[float] = deque(maxlen=32)
        self._not_before = -math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._filling = False
        self._stopped, self._over = asyncio.Event(), asyncio.Event()
        self._shown: Paused | None = None

    def __repr__(self) -> str:
        waiting = f"ready={len(self._ready)}, back={len(self._back)}, places={self._places}, lanes={self._lanes}"
        return f"Gate({self._health!r}, {self.pace!r}, flying={self.flying}, {waiting})"

    # --- lanes -------------------------------------------------------------------------------------------------------

    async def serve(self, start: Callable[[bool], None]) -> None:
        """Start lanes as there is room, until no seed is left, or the run has stopped, and all lanes have ended.

        Args:
            start: Starts a lane that has a place already; its argument says whether that is a probe's.
        """
        self._start = start
        self._fill()
        try:
            await self._over.wait()
        finally:
            self._start = None
            if self._timer is not None:
                self._timer.cancel()

    def shut(self) -> None:
        """Serve nobody any more."""
        self._start = None
        if self._timer is not None:
            self._timer.cancel()

    def left(self) -> None:
        """A lane has ended; the last one may have been the run's."""
        self._lanes -= 1
        self._fill_soon()

    def stay(self) -> bool:
        """Somebody may bring seeds: the run is not over before he has `left`. Whether it is not over already."""
        if self._over.is_set():
            return False
        self._lanes += 1
        return True

    # --- places ------------------------------------------------------------------------------------------------------

    def place(self) -> bool:
        """Take a place for a new seed, if there is one and nobody waits for it."""
        if self._back or self._scheduler.stopped is not None or self._room(self._now()) <= 0:
            return False
        self._places += 1
        return True

    def give_up(self, *, probe: bool) -> None:
        """Nothing is to be asked from a place that was taken."""
        self._places -= 1
        if probe:
            self._health.probing = False
        self._fill_soon()

    async def returned(self, *, often: bool) -> bool:
        """Wait for a place for a seed that is asked again, before all new ones.

        Args:
            often: Whether it comes back often: then it takes turns with new seeds, as the fault may be its own.

        Returns:
            Whether it is a probe's place. When the run has stopped it is a place of which nothing can be made.
        """
        if self._scheduler.stopped is not None:
            self._places += 1
            return False
        if self._start is None:  # no lanes are served yet, or any more: somebody beside them has come
            self._start = _nobody
        back = _Back(often, self._loop.create_future())
        self._back.append(back)
        self._fill_soon()
        return await back.place

    async def passed(self, call: int, cost: Cost, *, probe: bool) -> bool:
        """Wait until a call whose intent is written may leave. Its place is given back either way.

        Returns:
            Whether it leaves now, which the pace has been told. When not, the run has stopped or paused.
        """
        if self._barred(probe=probe):
            self.give_up(probe=probe)
            return False
        came = self._now()
        self._usual = cost
        if not self._ready and self._asked(came, cost) <= came:
            self._sent(call, cost, came)
            self._places -= 1
            self._opened()
            self._fill_soon()
            return True
        ready = _Ready(call, cost, probe, self._loop.create_future())
        self._ready.append(ready)
        self.step()
        go = await ready.go
        if go and self._barred(probe=probe):
            self.tally.sent -= 1
            self.observe(Unsent(call))
            go = False
        if go:
            self.tally.waited_s += self._now() - came
        elif probe:
            self._health.probing = False
        return go

    @property
    def limit(self) -> int:
        """Calls under way that are allowed now, by the pace and by the user."""
        return min(self.most, self.pace.limit)

    @property
    def reason(self) -> Reason:
        """What binds now."""
        if self.most < self.pace.limit:
            return Reason("user", f"{self.most:,} calls at once: set while the run was at work")
        return self.pace.reason

    # --- what happens ------------------------------------------------------------------------------------------------

    def observe(self, fact: Fact) -> None:
        """Tell the pace of a fact, and let those go whom it now admits."""
        self._observe(fact)
        self.step()

    def ended(self, fact: Fact) -> None:
        """Tell the pace how a call has ended, of which health has heard already; see `look`."""
        self._observe(fact)
        self.look()

    def _observe(self, fact: Fact) -> None:
        now = self._now()
        self.pace.observe(fact, now)
        if isinstance(fact, _ENDS):
            self.flying -= 1
            self._ends.append(now)
            if isinstance(fact, Served):
                self.tally.served += 1
            elif isinstance(fact, Refused):
                self.tally.refused += 1

    def hold(self, seconds: float) -> None:
        """Let no call leave for so many seconds: the provider said so."""
        self._not_before = max(self._not_before, self._now() + seconds)

    def look(self) -> None:
        """Health has heard something: tell of a pause that began or ended, and let those who wait see it."""
        paused = self._health.paused
        sure = paused if paused is not None and paused.sure else None
        if sure is not self._shown:
            self._shown = sure
            self._told(sure)
        self.step()

    def wake(self) -> None:
        """The run has stopped: let everybody who waits see it."""
        self._stopped.set()
        while self._back:
            self._give(probe=False)
        self.step()

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until the run stops."""
        if seconds <= 0.0 or self._stopped.is_set():
            return
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return

    def step(self) -> None:
        """Let those go, in order, whom the pace admits; call those back who must not leave any more."""
        now, left = self._now(), False
        while self._ready:
            head = self._ready[0]
            if head.go.done():  # cancelled while it waited
                self._places -= 1
                self._ready.popleft()
                continue
            go = not self._barred(probe=head.probe)
            if go:
                answer = self._asked(now, head.cost)
                if answer > now:
                    self._wake_at(answer)
                    self._at_once = AT_ONCE
                    break
                self._sent(head.call, head.cost, now)
                left = True
            self._places -= 1
            self._ready.popleft()
            head.go.set_result(go)
        if left and not self._ready:
            self._opened()
        self._fill_soon()

    def _sent(self, call: int, cost: Cost, now: float) -> None:
        """A call leaves at this moment."""
        self.pace.observe(Sent(call, cost), now)
        self.flying += 1
        self.tally.sent += 1

    def _opened(self) -> None:
        """Nobody waits for the pace: more may be written down at once."""
        self._at_once = min(2 * self._at_once, MOST_AT_ONCE)

    # --- room --------------------------------------------------------------------------------------------------------

    def _barred(self, *, probe: bool) -> bool:
        """Whether a call must not leave, whatever the pace says."""
        return self._scheduler.stopped is not None or (self._health.paused is not None and not probe)

    def _asked(self, now: float, cost: Cost) -> float:
        """When a call may leave; not after `now` when it may at once."""
        if self.held or self.flying >= self.most:
            return math.inf
        if now < self._not_before:
            return self._not_before
        answer = self.pace.admit(now, cost)
        return now if isinstance(answer, Go) else max(answer.at, now + _TICK_S)

    def _room(self, now: float) -> int:
        """Places that can be taken now, beside those that are taken; never above 0 while the run pauses."""
        if self._health.paused is not None or self.held:
            return 0
        spare = self._spare(now)
        if self._ready:
            return max(1, spare) - self._places
        at = self._asked(now, self._usual)
        if at <= now:
            return max(1, min(self._at_once, self.pace.limit - self.flying)) + spare - self._places
        self._wake_at(at)
        return (spare if at == math.inf else max(1, spare)) - self._places

    def _spare(self, now: float) -> int:
        """Calls that end, and so have to be replaced, while an intent is written."""
        if len(self._ends) < 32:
            return 0
        passed = now - self._ends[0]
        return MOST_SPARE if passed <= 0.0 else min(MOST_SPARE, int(COMMIT_S * len(self._ends) / passed))

    @property
    def _more(self) -> bool:
        """Whether a lane that is started may find a seed."""
        return self._scheduler.more and self._start is not _nobody

    def _fill_soon(self) -> None:
        """Give places, once whoever has just ended a call has had the first choice."""
        if not self._filling and self._start is not None:
            self._filling = True
            self._loop.call_soon(self._fill)

    def _fill(self) -> None:
        """Give the places that there are: to seeds that come back, then to new ones."""
        self._filling = False
        if self._start is None:
            return
        now, scheduler = self._now(), self._scheduler
        if scheduler.stopped is None and self._health.paused is not None:
            self._probe(now)
        elif scheduler.stopped is None and (self._back or self._more):
            scheduler.at_once = self.pace.limit
            room = self._room(now)
            while room > 0 and (self._back or self._more):
                self._give(probe=False)
                room -= 1
        if not self._lanes and (scheduler.stopped is not None or not (scheduler.more or scheduler.held)):
            self._over.set()

    def _probe(self, now: float) -> None:
        """While the run pauses: give a place to a probe when its time has come, or end the run."""
        paused, health = self._health.paused, self._health
        if paused is None or health.probing or self.held or not (self._back or self._more):
            return
        if health.may_probe(now):
            health.probing = True
            self._give(probe=True)
        elif health.lasts_too_long(now):
            self._stop(paused)
        else:
            self._wake_at(max(paused.probe_at, now + _TICK_S))

    def _give(self, *, probe: bool) -> None:
        """Give one place; there must be somebody who can take it."""
        turns = probe or (bool(self._back) and self._back[0].often)
        new = not self._back or (turns and self._new_is_next and self._more)
        self._new_is_next = not new
        self._places += 1
        if new and self._start is not None:
            self._lanes += 1
            self._start(probe)
            return
        back = self._back.popleft()
        if back.place.done():  # cancelled while it waited
            self.give_up(probe=probe)
        else:
            back.place.set_result(probe)

    def _wake_at(self, when: float) -> None:
        """Look again at this moment, or earlier."""
        if when < self._timer_at and self._start is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self._loop.call_at(when, self._woken)

    def _woken(self) -> None:
        self._timer, self._timer_at = None, math.inf
        self.step()


def _nobody(_probe: bool) -> None:  # noqa: FBT001 - the gate's own word
    """Starts no lane."""
