"""Where workers wait before a call: for a time that the provider named, or for the end of a pause.

`Health` decides whether a call may be made; the gate makes workers wait until it says so, in the order in which they
came, and lets one through as a probe when its time has come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from deepswarm.core.health import Health, Paused
from deepswarm.core.scheduler import Scheduler


class Gate:
    """One for all workers of an endpoint.

    `told` hears of every pause when it begins, and with None when it ends; `stop` is called when one lasts too long.
    """

    def __init__(
        self,
        health: Health,
        scheduler: Scheduler,
        now: Callable[[], float],
        told: Callable[[Paused | None], None],
        stop: Callable[[Paused], None],
    ) -> None:
        self._health, self._scheduler, self._now, self._told, self._stop = health, scheduler, now, told, stop
        self._not_before = 0.0
        self._news = asyncio.Event()
        self._turn = asyncio.Lock()
        self._known: Paused | None = None
        self._shown: Paused | None = None

    def __repr__(self) -> str:
        return f"Gate({self._health!r}, not_before={self._not_before:g})"

    @property
    def closed(self) -> bool:
        """Whether a call has to wait now."""
        return self._health.paused is not None or self._not_before > self._now()

    def hold(self, seconds: float) -> None:
        """Let no call start for so many seconds: the provider said so."""
        self._not_before = max(self._not_before, self._now() + seconds)

    def look(self) -> None:
        """Health has heard something: tell of a pause that began or ended, and let those who wait see it."""
        paused = self._health.paused
        sure = paused if paused is not None and paused.sure else None
        if sure is not self._shown:
            self._shown = sure
            self._told(sure)
        if paused is not None or self._known is not None:
            self._known = paused
            self.wake()

    def wake(self) -> None:
        """Let everybody who waits look again."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def unused(self) -> None:
        """The probe that was let through has nothing to ask: another may try."""
        self._health.probing = False
        self.wake()

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until the run stops."""
        until = self._now() + seconds
        while self._scheduler.stopped is None and (left := until - self._now()) > 0:
            await self._wait(left)

    async def passed(self) -> bool:
        """Wait until a call may start, or the run stops.

        Returns:
            Whether the call is a probe.
        """
        while self._scheduler.stopped is None:
            left = self._not_before - self._now()
            if left > 0:
                await self._wait(left)
            elif self._health.paused is None:
                return False
            else:
                async with self._turn:
                    if await self._probes():
                        return True
        return False

    async def _probes(self) -> bool:
        """Wait for the end of the pause, or of the run, or for the time of the next probe; True for that."""
        while self._scheduler.stopped is None and (paused := self._health.paused) is not None:
            now = self._now()
            if self._health.may_probe(now):
                self._health.probing = True
                return True
            if self._health.lasts_too_long(now):
                self._stop(paused)
            else:
                await self._wait(None if self._health.probing else paused.probe_at - now)
        return False

    async def _wait(self, seconds: float | None) -> None:
        """Until there is news, at most so many seconds."""
        news = self._news
        try:
            async with asyncio.timeout(seconds):
                await news.wait()
        except TimeoutError:
            return
