"""What to do after a call that gave no usable reply.

Each kind of failure has an account of its own, so that none eats another's:

    CAPACITY   waits for limits; time, not tries; a limit that lasts too long pauses the run. How long to wait for a
               limit of the account is the pace's business (`core/pace`), which knows all its refusals
    NETWORK    nothing was asked, so nothing was tried; tried again, at once the first time
    BACK_OFF   tries on the way to a reply, `retries` of them; the same failure over and over, while other seeds are
               served, is this seed's own
    SEMANTIC   tries after a reply that is no use, `answers` of them, each asked otherwise where that can help
    FAIL_ROW   the seed has failed; PAUSE the run has to wait

and all calls and back-offs of a seed together have `seed_s`. Whether an outage is going on is not known here: that is
`health.py`, which undoes what an outage was charged to the seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from deepswarm.core.asking import Change
from deepswarm.core.errors import (
    CallError,
    Disposition,
    Empty,
    Looping,
    Refused,
    Starved,
    TimedOut,
    Truncated,
)

Chance: TypeAlias = Callable[[], float]
"""Gives a float in [0, 1), evenly."""

LONG_S: Final = 120.0
"""A wait that the provider asks for and that is longer pauses the run, so that everybody can see it."""
UNREACHED: Final = 10
"""Connections that a seed may fail to get, while others are served, before it counts as failing."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a task is.

    Attributes:
        retries: Tries after the first one that failed on the way to a reply, per seed.
        answers: Tries after a reply that was no use, per seed.
        first_s: Upper end of the first back-off, seconds.
        longest_s: Most seconds of one back-off.
        patience_s: Most seconds that a seed waits for limits, all waits together; rather than to wait longer, the run
            pauses.
        seed_s: Most seconds that the calls and back-offs of a seed take together.
    """

    retries: int = 6
    answers: int = 3
    first_s: float = 1.0
    longest_s: float = 60.0
    patience_s: float = 1800.0
    seed_s: float = 7200.0


@dataclass(frozen=True, slots=True)
class Tried:
    """What a seed has been through so far.

    Attributes:
        failures: Tries that failed on the way to a reply.
        answers: Replies that were no use.
        waits: Waits for limits.
        waited_s: Seconds waited for limits.
        unreached: Connections that it did not get.
        spent_s: Seconds of calls and back-offs.
        alike: Failures in a row, to this one, that were the same.
        last: What that failure was.
        changes: In what ways it can still be asked otherwise.
    """

    failures: int = 0
    answers: int = 0
    waits: int = 0
    waited_s: float = 0.0
    unreached: int = 0
    spent_s: float = 0.0
    alike: int = 0
    last: str = ""
    changes: frozenset[Change] = frozenset(Change)

    @property
    def attempts(self) -> int:
        """Tries so far that count."""
        return self.failures + self.answers

    def after(self, decision: Decision, error: CallError, call_s: float) -> Tried:
        """What the seed has been through once it does as was decided.

        Args:
            decision: What follows from the error.
            error: What went wrong with its last call.
            call_s: Seconds that this call took.
        """
        if not isinstance(decision, Wait | Retry):
            return replace(self, waits=0, waited_s=0.0)  # after a pause of the run all waiting begins anew
        if isinstance(decision, Wait):
            if decision.unreached:
                return replace(self, unreached=self.unreached + 1)
            return replace(self, waits=self.waits + 1, waited_s=self.waited_s + decision.seconds)
        spent_s = self.spent_s + call_s + decision.seconds
        if error.disposition is Disposition.SEMANTIC:
            return replace(self, answers=self.answers + 1, spent_s=spent_s, changes=self.changes - {decision.change})
        kind = kind_of(error)
        alike = self.alike + 1 if kind == self.last else 1
        return replace(self, failures=self.failures + 1, spent_s=spent_s, alike=alike, last=kind)

    def waited(self, seconds: float) -> Tried:
        """What the seed has been through after it waited so long for the pace to let its next call go."""
        return replace(self, waited_s=self.waited_s + seconds)


@dataclass(frozen=True, slots=True)
class Wait:
    """Repeat the same call after so many seconds.

    `shared` says that the provider named the time: then every worker of the endpoint holds back as long. `unreached`
    says that there was no connection.
    """

    seconds: float
    shared: bool = False
    unreached: bool = False


@dataclass(frozen=True, slots=True)
class Retry:
    """Open another attempt after so many seconds, asked otherwise where `change` says so."""

    seconds: float
    change: Change = Change.NONE


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The seed has failed; `label` is its class where that is not the error's own."""

    label: str = ""


@dataclass(frozen=True, slots=True)
class Pause:
    """The run cannot go on; the seed is not to blame and stays pending."""


Decision: TypeAlias = Wait | Retry | GiveUp | Pause


def decide(
    error: CallError,
    tried: Tried,
    policy: RetryPolicy,
    chance: Chance,
    *,
    call_s: float = 0.0,
    alike: int | None = None,
) -> Decision:
    """What follows from an error.

    Args:
        error: What went wrong with the call.
        tried: What the seed went through before this error.
        policy: The task's patience.
        chance: Seeded in tests.
        call_s: Seconds that the call took.
        alike: Failures in a row, all the same, after which they are the seed's own; None while nobody else is served.

    Returns:
        `Wait` for limits and connections, `Retry` while tries are left, `GiveUp` for the seed, or `Pause` for the run.
    """
    match error.disposition:
        case Disposition.PAUSE:
            return Pause()
        case Disposition.FAIL_ROW:
            return GiveUp()
        case Disposition.CAPACITY:
            return _after_capacity(error, tried, policy, chance)
        case Disposition.SEMANTIC:
            return _within(_asked_otherwise(error, tried, policy), tried, policy, call_s)
    unreached = error.disposition is Disposition.NETWORK or (isinstance(error, TimedOut) and error.phase == "connect")
    if unreached and (tried.unreached < UNREACHED or alike is None):
        return Wait(backoff(tried.unreached, policy, chance) if tried.unreached else 0.0, unreached=True)
    return _within(_after_failure(error, tried, policy, chance, alike), tried, policy, call_s)


def kind_of(error: CallError) -> str:
    """What makes two failures the same: class, status and, for a deadline, its phase; texts carry numbers and ids."""
    return f"{error.label} {error.status} {error.phase if isinstance(error, TimedOut) else ''}"


def _after_capacity(error: CallError, tried: Tried, policy: RetryPolicy, chance: Chance) -> Decision:
    asked_s = error.retry_after_s
    if error.limited is not None:
        asked_s = asked_s or 0.0
        return Pause() if asked_s > LONG_S or tried.waited_s + asked_s > policy.patience_s else Wait(0.0)
    wait_s = floor(asked_s, backoff(tried.waits + 1, policy, chance), chance)
    if (asked_s or 0.0) > LONG_S or tried.waited_s + wait_s > policy.patience_s:
        return Pause()
    return Wait(wait_s, shared=asked_s is not None)


def _after_failure(error: CallError, tried: Tried, policy: RetryPolicy, chance: Chance, alike: int | None) -> Decision:
    if tried.failures >= policy.retries:
        return GiveUp()
    if alike is not None and kind_of(error) == tried.last and tried.alike + 1 >= alike:
        return GiveUp("deterministic")
    if error.retry_after_s is not None and error.retry_after_s > LONG_S:
        return Pause()
    return Retry(floor(error.retry_after_s, backoff(tried.failures + 1, policy, chance), chance))


_OTHERWISE: Final[dict[type[CallError], tuple[Change, ...]]] = {
    Truncated: (Change.MORE_ROOM,),
    Starved: (Change.MORE_ROOM, Change.NO_THINKING),
    Empty: (Change.NONE, Change.NO_JSON_MODE, Change.NO_THINKING),
    Looping: (Change.OTHER_SAMPLING,),
    Refused: (Change.NONE,),
}
"""How to ask again after a reply that is no use, in this order; each way once. What cannot help is not in it: the same
call again would be cut, starved or repeated at the same place, and paid for again."""


def _asked_otherwise(error: CallError, tried: Tried, policy: RetryPolicy) -> Decision:
    if tried.answers < policy.answers:
        for change in _OTHERWISE.get(type(error), ()):
            if change in tried.changes:
                return Retry(0.0, change)
    return GiveUp()


def _within(decision: Decision, tried: Tried, policy: RetryPolicy, call_s: float) -> Decision:
    """The decision, or the end of a seed whose time is used up."""
    if isinstance(decision, Retry) and tried.spent_s + call_s + decision.seconds > policy.seed_s:
        return GiveUp("out_of_time")
    return decision


def backoff(attempt: int, policy: RetryPolicy, chance: Chance) -> float:
    """Seconds to wait before the next try.

    Drawn evenly from 0 to min(longest_s, first_s * 2 ** (attempt - 1)): full jitter, so that workers that failed
    together do not come back together.

    Args:
        attempt: How many tries have failed so far, from 1.
        policy: `first_s` and `longest_s`.
        chance: Gives a float in [0, 1).

    Returns:
        Seconds, 0 <= wait <= longest_s.

    Source: Exponential Backoff And Jitter, AWS Architecture Blog, 2015 ("full jitter").
    """
    return chance() * min(policy.longest_s, policy.first_s * 2.0 ** min(attempt - 1, 30))


def floor(asked_s: float | None, own_s: float, chance: Chance) -> float:
    """The longer of what the provider asks for and our own back-off.

    What the provider asks for is a floor, with up to a tenth (at most half a second) on top, so that the workers that
    were told the same second do not come back in the same one.
    """
    if asked_s is None:
        return own_s
    return max(own_s, asked_s + chance() * min(0.5, 0.1 * asked_s + 0.05))
