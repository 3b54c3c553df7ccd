"""What the pace does, watched: its choice and its changes for the journal and for people, its share of streams.

Looked at once a second, and when a call has ended; never per piece of a stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from deepswarm.core.calibrate import FIRST_CALLS, Sample, estimate
from deepswarm.core.events import Event, PaceChanged, PaceChosen
from deepswarm.core.pace import Flowed
from deepswarm.core.pace.choice import Choice
from deepswarm.engine.caller import Called
from deepswarm.engine.clock import Clock
from deepswarm.engine.gate import Gate

BEAT_S: Final = 1.0
"""Seconds between two looks, and least seconds between two changes that are told."""
SMALL: Final = 0.05
"""A change of the limit by less than this share is told only every SMALL_S."""
SMALL_S: Final = 15.0
QUIET_S: Final = 60.0
"""While calls are answered and nothing changes, how things stand is told this often."""


class Timeline:
    """One for a run.

    Args:
        gate: Whose pace is watched.
        clock: What time it is.
        choice: What the pace began with; None as long as that is not known.
        chosen: Is told of that.
        note: Takes events for the journal.
        say: Shows a line to people.
        streamed: Bytes of streamed replies that have come so far.
    """

    def __init__(
        self,
        gate: Gate,
        clock: Clock,
        choice: Callable[[], Choice | None],
        chosen: Callable[[Choice], None],
        note: Callable[[Event], None],
        say: Callable[[str], None],
        streamed: Callable[[], int],
    ) -> None:
        self._gate, self._clock, self._note, self._say = gate, clock, note, say
        self._choice, self._chosen, self._streamed = choice, chosen, streamed
        self._told = False
        self._samples: list[Sample] = []
        self._tokens = self._bytes = 0
        self._flowed = 0
        self._calls = 0
        self._call_s = self._first_s = self._disk_s = 0.0
        self._firsts = self._writes = 0
        self._since = (0, 0, 0, 0.0)
        self._last: tuple[int, str, float] | None = None

    async def follow(self) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.look()

    def ended(self, called: Called, tokens_out: int | None) -> None:
        """A call was answered."""
        self._calls += 1
        self._call_s += called.seconds
        if called.first_s is not None:
            self._firsts += 1
            self._first_s += called.first_s
        if called.size and tokens_out:
            self._tokens += tokens_out
            self._bytes += called.size
        if not self._told:
            self._announce()
        if len(self._samples) < FIRST_CALLS:
            self._samples.append(Sample(called.seconds, tokens_out))
            if len(self._samples) == FIRST_CALLS:
                self._say(estimate(self._samples))

    def wrote(self, seconds: float) -> None:
        """A worker waited so long for the disk."""
        self._writes += 1
        self._disk_s += seconds

    def look(self) -> None:
        """Tell the pace what has flowed, and the journal what has changed."""
        if not self._told:
            self._announce()
        came = self._streamed()
        if came > self._flowed and self._bytes:
            self._gate.observe(Flowed((came - self._flowed) * self._tokens / self._bytes))
        self._flowed = came
        if self._is_news():
            self.tell()

    def tell(self) -> None:
        """Note how things stand."""
        gate, tally = self._gate, self._gate.tally
        served, refused, sent, waited_s = self._since
        reason, limit = gate.reason, gate.limit
        utc, now = self._clock.now()
        self._note(
            PaceChanged(
                utc,
                now,
                limit,
                gate.flying,
                reason.what,
                reason.words,
                tally.served - served,
                tally.refused - refused,
                (tally.waited_s - waited_s) / max(1, tally.sent - sent),
                self._first_s / self._firsts if self._firsts else None,
                self._call_s / max(1, self._calls),
                self._disk_s / max(1, self._writes),
            )
        )
        self._since = (tally.served, tally.refused, tally.sent, tally.waited_s)
        self._last = (limit, reason.what, now)
        self._calls = self._firsts = self._writes = 0
        self._call_s = self._first_s = self._disk_s = 0.0

    def _announce(self) -> None:
        choice = self._choice()
        if choice is not None:
            self._told = True
            self._note(PaceChosen(*self._clock.now(), choice.workers, choice.stagger_s, choice.batch_size, choice.why))
            self._say(f"pace: {choice.why}")
            self._chosen(choice)

    def _is_news(self) -> bool:
        if self._last is None:
            return self._told
        limit, what, at = self._last
        passed = self._clock.monotonic() - at
        pace, tally = self._gate, self._gate.tally
        if pace.reason.what != what or tally.refused > self._since[1] or abs(pace.limit - limit) > SMALL * limit:
            return passed >= BEAT_S
        if pace.limit != limit:
            return passed >= SMALL_S
        return passed >= QUIET_S and tally.served > self._since[0]
