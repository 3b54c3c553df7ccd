"""What to do after a call that gave no usable reply. The only reader of dispositions.

Being throttled is not failing: waiting repeats the call and costs the seed nothing. Everything else counts against
`worker_retries`, but for a connection that could not be opened at all: nothing was sent, so nothing was tried.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from deepswarm.core.errors import CallError, Disconnected, Disposition, TimedOut, Truncated

Chance: TypeAlias = Callable[[], float]
"""Gives a float in [0, 1), evenly."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How patient a task is.

    Attributes:
        retries: Tries after the first one, per seed.
        first_s: Upper end of the first back-off, seconds.
        longest_s: Most seconds of one back-off.
        patience_s: Most seconds that a seed waits for limits, all waits together; rather than to wait longer, the run
            pauses.
        reach_s: Most seconds that it waits for a connection, likewise: long enough for a server to start again, and
            short enough for whoever mistyped an address.
    """

    retries: int = 3
    first_s: float = 1.0
    longest_s: float = 60.0
    patience_s: float = 1800.0
    reach_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Tried:
    """What a seed has been through so far.

    Attributes:
        failures: Tries that failed.
        waits: Waits for limits and for a connection.
        waited_s: Seconds waited for limits.
        unreached_s: Seconds waited for a connection.
        widened: More room for tokens was asked for already, or cannot be.
    """

    failures: int = 0
    waits: int = 0
    waited_s: float = 0.0
    unreached_s: float = 0.0
    widened: bool = False

    def after(self, wait: Wait) -> Tried:
        """What the seed has been through once it has waited."""
        if wait.unreached:
            return replace(self, waits=self.waits + 1, unreached_s=self.unreached_s + wait.seconds)
        return replace(self, waits=self.waits + 1, waited_s=self.waited_s + wait.seconds)


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
    """Open another attempt after so many seconds, with `room` times as many tokens as before."""

    seconds: float
    room: int = 1


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The seed has failed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """The run cannot go on; the seed is not to blame and stays pending."""


Decision: TypeAlias = Wait | Retry | GiveUp | Pause


def decide(error: CallError, tried: Tried, policy: RetryPolicy, chance: Chance) -> Decision:
    """What follows from an error.

    Args:
        error: What went wrong with the call.
        tried: What the seed went through before this error.
        policy: The task's patience.
        chance: Seeded in tests.

    Returns:
        `Wait` for limits, `Retry` while tries are left, `GiveUp` for the seed, or `Pause` for the run.
    """
    if error.disposition is Disposition.PAUSE:
        return Pause()
    if error.disposition is Disposition.FAIL_ROW:
        return GiveUp()
    unreached = _never_sent(error)
    if error.disposition is Disposition.CAPACITY or unreached:
        wait_s = floor(error.retry_after_s, backoff(tried.waits + 1, policy, chance), chance)
        waited_s, most_s = (tried.unreached_s, policy.reach_s) if unreached else (tried.waited_s, policy.patience_s)
        if waited_s + wait_s > most_s:
            return Pause()
        return Wait(wait_s, shared=error.retry_after_s is not None, unreached=unreached)
    if tried.failures >= policy.retries:
        return GiveUp()
    if isinstance(error, Truncated):
        # Asking for the same again would be cut at the same place and paid for again.
        return GiveUp() if tried.widened else Retry(0.0, room=2)
    if error.retry_after_s is not None and error.retry_after_s > policy.patience_s:
        return Pause()
    return Retry(floor(error.retry_after_s, backoff(tried.failures + 1, policy, chance), chance))


def _never_sent(error: CallError) -> bool:
    """Whether there was no connection to send anything through: that says nothing about the seed."""
    return isinstance(error, Disconnected | TimedOut) and not error.maybe_billed


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
