"""A run's account: where its pace begins, whom it shares limits with, and what it leaves for the next run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from deepswarm.accounts import Scope, Store
from deepswarm.core.calibrate import Chosen, Wish
from deepswarm.core.pace import Memory, Pace
from deepswarm.core.pace.sharing import BEAT_S, LEASE_S, Shared, cautious
from deepswarm.engine.clock import Clock

KEEP_S: Final = 30.0
"""Seconds between two writings of what was learnt."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose limits a run uses.

    Attributes:
        store: Shared with all runs on this machine.
        scope: What has one limit.
        process: Number and start of this process: never the same again.
    """

    store: Store
    scope: Scope
    process: str


class Sharing:
    """One for a run whose pace is found, on one account.

    Attributes:
        pace: To be used by the run's gate.
        chosen: The pace as it was chosen, with what it begins with.
    """

    def __init__(
        self,
        account: Account,
        choose: Callable[[Memory | None], Chosen],
        clock: Clock,
    ) -> None:
        """`choose` makes a pace from what is known. What an earlier run has learnt is believed in part."""
        self._account, self._clock = account, clock
        utc = clock.utc()
        past = account.store.recall(account.scope)
        start = None if past is None else cautious(past.memory, utc - past.utc)
        self.chosen = choose(start)
        first: list[Pace] = [self.chosen.pace]
        self.pace = Shared(lambda known: first.pop() if first else choose(known).pace, start, account.process, utc)
        self._kept_at = clock.monotonic()
        self._learnt = False
        self._meet()

    async def follow(self) -> None:
        """Meet the others at every beat, and keep what was learnt now and then, until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            self._meet()
            if self._clock.monotonic() - self._kept_at >= KEEP_S:
                self._keep()

    def end(self) -> None:
        """Keep what was learnt, and give the lease back."""
        self._keep()
        self._account.store.leave(self._account.scope, self._account.process)

    def _meet(self) -> None:
        now, utc = self._clock.monotonic(), self._clock.utc()
        me = self.pace.member(now)
        self._learnt = self._learnt or me.sent > 0
        self.pace.met(self._account.store.meet(self._account.scope, me, utc, LEASE_S), now)

    def _keep(self) -> None:
        """What was learnt; a run that called nobody has learnt nothing."""
        self._kept_at = self._clock.monotonic()
        if self._learnt or self.pace.member(self._kept_at).sent:
            self._account.store.keep(self._account.scope, self.pace.memory(), self._clock.utc())


def shares(wish: Wish) -> bool:
    """Whether the pace is one that is found, which is worth being remembered and shared; the user's own is his."""
    return wish.kind == "adaptive"
