"""As many calls at once as the user wrote, as soon as he wrote; fewer only after refusals.

    contact ── heard, or 5 s ──▶ N at once, `stagger_s` apart ── refused at level n ──▶ at most n - 1, and one more
    with every answer, until N again (after rounds of them where that is in vain); and a cool-down with one probe after
    it, when the provider names a time, or when nothing is taken between two refusals

A refusal says that the level at which it was sent is too high, whatever the limit counts: fewer calls at once also are
fewer calls a minute. It is refuted when a later call, sent at a higher level, was taken: then it was not the level.
"""

from __future__ import annotations

import math
from typing import Final

from deepswarm.core.pace import (
    Begun,
    Cost,
    Fact,
    Failed,
    Go,
    Memory,
    Reason,
    Refused,
    Sent,
    Served,
    Taken,
    Unsent,
    WaitUntil,
)

CONTACT_S: Final = 5.0
"""Most seconds that all others wait for the first call's first answer: a wrong key should cost one call."""
COOL_S: Final = 0.5
"""Seconds of the first cool-down; each refused probe doubles it, up to COOLEST_S."""
COOLEST_S: Final = 30.0
MOST_ROUNDS: Final = 16
"""Most rounds of answers until one more call is tried again; each refusal at the same level doubles them. Before it is
refused at one level twice, every answer opens the way to one more."""
SAME: Final = 0.05
"""Two refusals are at the same level when they differ by less than this share of it."""
SILENCE_S: Final = 2.0
"""A probe that is neither refused nor answered for so long was taken: refusals are fast."""
_NEVER: Final = WaitUntil(math.inf)
_ANSWERED: Final = (Served, Failed)
_TAKEN: Final = (Taken, Begun)


class Fixed:
    """A pace of `workers` calls at once, 1 or more.

    Args:
        workers: Most calls at once.
        stagger_s: Least seconds between two starts at the beginning and after a cool-down.
        contact_s: Most seconds that the first call is alone.
        words: Why it is this number, for people.
    """

    def __init__(
        self, workers: int, stagger_s: float = 0.0, contact_s: float = 0.0, words: str = "as many as were asked for"
    ) -> None:
        self._workers, self._stagger_s, self._contact_s, self._words = workers, stagger_s, contact_s, words
        self._allowed = workers
        self._levels: dict[int, tuple[int, float]] = {}
        self._spaced = workers
        self._spaced_at = -math.inf
        self._contact_until = -math.inf if contact_s <= 0 else math.inf
        self._cool_until = -math.inf
        self._cool_s = COOL_S
        self._probe: int | None = None
        self._probing = False
        self._probe_at = -math.inf
        self._refused = (0, -math.inf)
        self._refused_sent = math.inf
        self._burst = 0
        self._streak = 0
        self._served = 0
        self._rounds = 0

    def __repr__(self) -> str:
        return f"Fixed({len(self._levels)}/{self._allowed} of {self._workers}, probing={self._probing})"

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        if isinstance(fact, Sent):
            self._sent(fact.call, now)
        elif isinstance(fact, Refused):
            self._was_refused(fact, now)
        elif isinstance(fact, _ANSWERED):
            if fact.call in self._levels:
                self._heard(fact.call)
                if isinstance(fact, Served):
                    self._was_taken(fact.call)
                    self._was_served()
                del self._levels[fact.call]
        elif isinstance(fact, Unsent):
            self._levels.pop(fact.call, None)
            self._probe = None if fact.call == self._probe else self._probe
        elif isinstance(fact, _TAKEN) and fact.call in self._levels:
            self._heard(fact.call)
            self._was_taken(fact.call)

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        del cost
        if now < self._cool_until:
            return WaitUntil(self._cool_until)
        if len(self._levels) >= self._allowed:
            return _NEVER
        if self._levels and now < self._contact_until:
            return WaitUntil(self._contact_until)
        if self._probing:
            silent_at = self._probe_at + SILENCE_S
            return Go(probe=True) if self._probe is None else WaitUntil(silent_at) if now < silent_at else Go()
        due = self._spaced_at + self._stagger_s
        return WaitUntil(due) if self._spaced and now < due else Go()

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return self._allowed

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        level, _ = self._refused
        if self._probing:
            return Reason("cool-down", f"refused at {level} calls at once: one call looks whether more may follow")
        if self._allowed < self._workers:
            words = f"{self._allowed} of {self._workers} calls at once: refused at {level}; one more with every round"
            return Reason("concurrency", words)
        return Reason("user", f"{self._workers} calls at once: {self._words}")

    def memory(self) -> Memory:
        """See `Pace.memory`."""
        return Memory(float(self._allowed))

    def _sent(self, call: int, now: float) -> None:
        self._levels[call] = (len(self._levels) + 1, now)
        if self._contact_until == math.inf:
            self._contact_until = now + self._contact_s
        if self._probing:
            if self._probe is None:
                self._probe, self._probe_at = call, now
            elif now >= self._probe_at + SILENCE_S:
                self._reopened()
        if self._spaced:
            self._spaced -= 1
            self._spaced_at = now

    def _heard(self, call: int) -> None:
        """The provider has taken a call on, or answered it."""
        self._contact_until = -math.inf
        self._streak = 0
        if self._probing and call == self._probe:
            self._reopened()

    def _reopened(self) -> None:
        self._probing, self._probe, self._cool_s = False, None, COOL_S
        self._spaced = self._allowed

    def _was_refused(self, fact: Refused, now: float) -> None:
        level, sent_at = self._levels.pop(fact.call, (0, now))
        if not level:
            return
        self._contact_until = -math.inf
        if sent_at >= self._refused[1]:  # otherwise it was sent before this episode, which is known already
            again = abs(level - self._refused[0]) <= SAME * level
            self._rounds = min(MOST_ROUNDS, max(1, 2 * self._rounds)) if again else 0
            self._refused, self._refused_sent, self._burst = (level, now), sent_at, 0
            self._streak += 1
        elif level < self._refused[0]:
            self._refused, self._refused_sent = (level, self._refused[1]), sent_at
        self._burst += 1
        cap = self._workers if fact.cap is None else max(1, fact.cap)
        self._allowed = max(1, min(self._allowed, level - 1, cap))
        self._served = 0
        self._cool_down(fact, now)

    def _cool_down(self, fact: Refused, now: float) -> None:
        """Wait when the provider says so, or when nothing was taken between two refusals; then one probe goes."""
        asked_s = fact.retry_after_s
        named = asked_s is not None and asked_s > 0.0
        if not named and self._streak < 2 and not self._probing:
            return
        if self._probing and fact.call == self._probe:
            self._cool_s = min(COOLEST_S, 2.0 * self._cool_s)
        cool_s = max(asked_s, self._cool_s) if named and asked_s is not None else self._cool_s
        self._cool_until = max(self._cool_until, now + cool_s)
        self._probing, self._probe = True, None

    def _was_taken(self, call: int) -> None:
        """Whether a call that was taken refutes the last refusal; those refused beside it took up no room there."""
        level, sent_at = self._levels[call]
        if self._burst and sent_at > self._refused_sent and level >= self._refused[0] + self._burst:
            self._allowed, self._burst, self._rounds = self._workers, 0, 0

    def _was_served(self) -> None:
        self._served += 1
        if self._allowed < self._workers and self._served > self._rounds * self._allowed and not self._probing:
            self._allowed += 1
            self._served = 0
