"""Whether an endpoint can be called at all: the circuit breaker of one endpoint, model and key.

    RUNNING ── reason enough ──▶ PAUSED ── a probe is served ──▶ RUNNING
                                   └── it takes too long ──▶ the run stops; the same command goes on later

    reason              enough is                                                     probes, seconds apart
    outage              as many seeds in a row as OUTAGE says, none served between    1 2 4 5 5 … 5, then slower
    money, quota        one answer                                                    5 10 20 … 300
    key, model          the answers to two seeds; before any answer the first one     5 10 20 … 300
    limits              a seed that has waited as long as it may                      30 60 … 300

While it is paused one call at a time is let through, when its time has come: with the next seed in turn, so that a seed
that fails by itself cannot keep everybody waiting. Seeds are not charged for an outage.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from deepswarm.core.errors import BadRequest, CallError, Disposition, Garbled, Overloaded, ServerFault

OUTAGE: Final[Mapping[Disposition, int]] = {Disposition.NETWORK: 4, Disposition.BACK_OFF: 10}
"""Seeds that fail in a row, with nobody served between, before it is an outage; fewer where fewer workers run."""
LEAST_FAILURES: Final = 3
"""Failures in a row that it takes at least, however few workers there are."""
FEW: Final = 5
"""Seeds that it takes at least where a failure may be the seed's own: a few bad ones at the end are no outage."""
ALL_REFUSED: Final = 5
"""Seeds that are refused as bad requests, all alike and from the first one on, after which it is not the seeds."""
LEAST_ALIKE: Final = 4
BY_CHANCE: Final = 1e-4
LATELY: Final = 0.02
"""Weight of the newest call in the share of calls that fail lately."""
FIRST_CONTACT_S: Final = 120.0
"""Most seconds of a pause before the endpoint was ever reached: long enough for a server to start, short enough for
whoever mistyped an address."""
SLOWER_AFTER_S: Final = 120.0


class Probing(NamedTuple):
    """Seconds until the first probe, and most seconds between two."""

    first_s: float
    most_s: float


_PROBES: Final[Mapping[str, Probing]] = {"outage": Probing(1.0, 5.0), "throttled": Probing(30.0, 300.0)}
_PROBES_OTHERWISE: Final = Probing(5.0, 300.0)
_AT_ONCE: Final = frozenset({"out_of_funds", "quota_spent"})
_ADVICE: Final[Mapping[str, str]] = {
    "unauthorized": "check the API key",
    "out_of_funds": "top up the account",
    "quota_spent": "wait for the quota, or raise it",
    "no_such_model": "check worker_model and worker_api_base",
    "throttled": "the provider has refused for too long; fewer workers, or later",
    "outage": "wait for the provider, or check worker_api_base and the network",
}


class Sent(NamedTuple):
    """A call that has ended: whose it was, when it was sent, which try it was, and whether it was a probe."""

    seed: int
    at: float
    attempt: int = 1
    probe: bool = False


@dataclass(slots=True)
class Paused:
    """A pause.

    Attributes:
        label: Its reason: outage, or the class of the error.
        why: For people: what the provider said, and what to do.
        since: When it began; all times are seconds on the loop's clock.
        probe_at: When the next call may try.
        wakes_at: When the provider said that it would be over; None when it did not.
        every_s: Seconds between two probes.
        probes: How many have failed.
    """

    label: str
    why: str
    since: float
    probe_at: float
    wakes_at: float | None
    every_s: float
    probes: int = 0

    @property
    def sure(self) -> bool:
        """Whether it is worth telling: a server that closed its idle connections looks like an outage for a moment."""
        return self.label != "outage" or self.probes > 0


class Health:
    """The state of one endpoint, from what became of its calls.

    Attributes:
        lanes: How many workers are at it now; whoever lets them work keeps it.
        paused: The pause under way; None while calls may be made.
        refused: Why the run cannot even begin; None when that is not known.
        probing: A probe is on its way.
        outages: How many there were: a seed whose failure lies before one is not charged for it.
        served_at: When somebody was last served; minus infinity before that.
    """

    def __init__(self, limit_s: float) -> None:
        """`limit_s`: most seconds of a pause."""
        self.lanes = 0
        self._limit_s = limit_s
        self.paused: Paused | None = None
        self.refused: str | None = None
        self.probing = False
        self.outages = 0
        self.served_at = -math.inf
        self._reached = self._accepted = self._answered = False
        self._open: dict[int, float] = {}
        self._failing_share = 0.0
        self._failing_since = self._failed_first = self._refused_first = -math.inf
        self._refusing: dict[int, set[int]] = {}
        self._failing: set[int] = set()
        self._failures = 0
        self._striking: dict[str, set[int]] = {}

    def __repr__(self) -> str:
        state = f"PAUSED({self.paused.label})" if self.paused else "RUNNING"
        return f"Health({state}, failures={self._failures}, seeds={len(self._failing)}, outages={self.outages})"

    def sending(self, seed: int, now: float) -> None:
        """A call for this seed is about to be sent."""
        self._open[seed] = now

    def unsent(self, seed: int) -> None:
        """The call for this seed was not sent after all."""
        self._open.pop(seed, None)

    def served(self, call: Sent, now: float) -> None:
        """A call was answered with something that can be used."""
        self._ended(call, failed=False)
        self._answered = True
        self._heard(call, now)

    def failed(self, error: CallError, call: Sent, now: float) -> None:
        """A call was not answered. What only says something about its seed counts as an answer."""
        if error.disposition in {Disposition.SEMANTIC, Disposition.FAIL_ROW}:
            self._ended(call, failed=False)
            self._refuse(error, call)
            self._heard(call, now)
            return
        self._ended(call, failed=True)
        self._reached = self._reached or error.status > 0
        if self.paused is not None:
            if call.probe:
                self._postpone(error, now)
        elif error.disposition is Disposition.PAUSE:
            self._strike(error, call.seed, now)
        elif error.disposition in OUTAGE or isinstance(error, Overloaded):
            self._count(error, call, now)

    def pause(self, error: CallError, now: float) -> None:
        """Pause for this error; it is known already that it is reason enough."""
        if self.paused is not None:
            return
        label = "outage" if error.disposition in OUTAGE or isinstance(error, Overloaded) else error.label
        probing = _PROBES.get(label, _PROBES_OTHERWISE)
        wakes_at = None if error.retry_after_s is None else now + error.retry_after_s
        probe_at = now + probing.first_s if wakes_at is None else wakes_at
        why = _why(error, label)
        self.paused = Paused(label, why, now, probe_at, wakes_at, probing.first_s)
        self.outages += label == "outage"

    def probe_now(self, now: float) -> bool:
        """Let the next probe go at once: somebody says that it is over. Whether there is a pause."""
        if self.paused is None:
            return False
        self.paused.probe_at = min(self.paused.probe_at, now)
        return True

    def may_probe(self, now: float) -> bool:
        """Whether the next call may try, while it is paused."""
        return self.paused is not None and not self.probing and now >= self.paused.probe_at

    def lasts_too_long(self, now: float) -> bool:
        """Whether the run should stop rather than wait any longer."""
        if self.paused is None or self.probing:
            return False
        limit_s = self._limit_s if self._reached else min(self._limit_s, FIRST_CONTACT_S)
        return max(now, self.paused.wakes_at or now) - self.paused.since > limit_s

    def charged(self, error: CallError) -> bool:
        """Whether a seed is charged for a failure now: during an outage only for what may be its own fault."""
        return self.paused is None or error.disposition in {Disposition.SEMANTIC, Disposition.FAIL_ROW} or _own(error)

    @property
    def alike(self) -> int:
        """How many failures of one seed, all the same, are its own: chance alone must hardly bring as many in a row."""
        share = self._failing_share
        return LEAST_ALIKE if share <= 0.0 else max(LEAST_ALIKE, math.ceil(math.log(BY_CHANCE) / math.log(share)))

    def _ended(self, call: Sent, *, failed: bool) -> None:
        """Keep the counts of calls on their way, and of those that fail at the first try."""
        self._open.pop(call.seed, None)
        if call.attempt == 1:
            self._failing_share += LATELY * (failed - self._failing_share)
        if call.probe:
            self.probing = False

    def _heard(self, call: Sent, now: float) -> None:
        """The endpoint has answered. What was sent before a pause, or before failures began, says nothing of them."""
        self.served_at = now
        self._reached = self._accepted = True
        if call.probe or call.at > self._failing_since:
            self._failures = 0
            self._failing.clear()
        outage_over = self.paused is not None and self.paused.label == "outage" and call.at > self.paused.since
        if call.probe or outage_over:
            self.paused = None
            self._striking.clear()

    def _refuse(self, error: CallError, call: Sent) -> None:
        """Whether all seeds are refused in the same way, from the first one on: then it is not the seeds."""
        if self._answered or not isinstance(error, BadRequest):
            return
        if not self._refusing:
            self._refused_first = call.at
        alike = self._refusing.setdefault(error.status, set())
        alike.add(call.seed)
        if len(alike) >= ALL_REFUSED and all(at > self._refused_first for at in self._open.values()):
            what = f"the first {len(alike)} seeds were all refused alike, the last one so: {error}"
            self.refused = f"{what}; mend the task, and ask them again with --retry-failed"

    def _strike(self, error: CallError, seed: int, now: float) -> None:
        if not self._accepted and error.label not in _AT_ONCE:
            self.refused = _why(error, error.label)
            return
        seeds = self._striking.setdefault(error.label, set())
        seeds.add(seed)
        if error.label in _AT_ONCE or len(seeds) >= min(2, self.lanes):
            self.pause(error, now)

    def _count(self, error: CallError, call: Sent, now: float) -> None:
        if not self._failures:
            self._failing_since, self._failed_first = now, call.at
        self._failures += 1
        self._failing.add(call.seed)
        lanes = max(self.lanes, FEW) if _own(error) else self.lanes
        enough = min(OUTAGE.get(error.disposition, OUTAGE[Disposition.BACK_OFF]), lanes)
        if len(self._failing) < enough or self._failures < max(LEAST_FAILURES, enough):
            return
        # where failures are fast and answers slow, those that will be served are still on their way
        younger = sum(at >= self._failed_first for at in self._open.values())
        if 2 * younger < self._failures:
            self.pause(error, now)

    def _postpone(self, error: CallError, now: float) -> None:
        """The next probe, later than the last one; what the provider now says counts."""
        assert self.paused is not None  # noqa: S101 - its only caller has looked
        paused = self.paused
        paused.probes += 1
        probing = _PROBES.get(paused.label, _PROBES_OTHERWISE)
        long = paused.label == "outage" and now - paused.since > SLOWER_AFTER_S
        most_s = (now - paused.since) / 24.0 if long else probing.most_s
        paused.every_s = min(most_s, paused.every_s * 2.0)
        paused.probe_at = now + max(paused.every_s, error.retry_after_s or 0.0)
        if error.retry_after_s is not None:
            paused.wakes_at = now + error.retry_after_s


def _own(error: CallError) -> bool:
    """Whether a failure may be its seed's own fault: the provider was at work on it, or something broke meanwhile."""
    return error.maybe_billed or isinstance(error, Garbled) or (isinstance(error, ServerFault) and error.status == 500)


def _why(error: CallError, label: str) -> str:
    """What happened, and what to do about it."""
    return f"{error}; {_ADVICE.get(label, 'see the provider')}"
