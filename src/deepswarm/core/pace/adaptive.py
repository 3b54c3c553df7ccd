"""The pace that finds by itself what a provider allows, and keeps to it.

    alone ── first sign of life ──▶ SEARCH ── refused ──▶ HELD ── a look above is admitted ──▶ SEARCH
                                      ├── first tokens are late ──▶ QUEUED ── they are not ──┘
                                      └── more calls, no more tokens ──▶ LEVEL

Three things are kept apart, and each is moved by its own evidence only:
    the window   calls under way             a refusal at a level that was not admitted lately; late first tokens; no
                                             more tokens a second from more calls
    rates        calls and tokens a second   a refusal at a level that was admitted; headers; words of the provider
    cool-down    nobody, then one            any refusal; a storm of failures

The search goes at the speed of admission: a refusal comes within some tenths of a second, so that silence for longer
than that means "taken". A refusal is a measurement: refused with n calls under way, the cap is n - 1; admitted between
two moments at which a bucket was empty, divided by the time, is its rate. When a call is done never moves a limit: it
says how long the answer was.

Source: the study of controllers in docs/explanation/pace.md.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import Any, Final, NamedTuple

from deepswarm.core.pace import (
    Begun,
    Cost,
    Fact,
    Failed,
    Flowed,
    Go,
    Limited,
    Memory,
    Quota,
    Reason,
    Refused,
    Sent,
    Served,
    Taken,
    Unsent,
    WaitUntil,
)
from deepswarm.core.pace.constants import MOVING_S, Constants
from deepswarm.core.pace.flights import Flight, Flights
from deepswarm.core.pace.rates import Meter, Pacer

GRAIN_S: Final = 0.02
LONGEST_S: Final = 600.0
_ASLEEP_S: Final = 900.0
_DIMENSIONS: Final = (Limited.REQUESTS, Limited.TOKENS)


class _Phase(Enum):
    ALONE = "alone"
    SEARCH = "search"
    HELD = "held"
    QUEUED = "queued"
    LEVEL = "level"


class Adaptive:
    """One endpoint, account and model.

    Args:
        ceiling: Most calls under way, 1 or more.
        start: What an earlier run has learnt, already scaled to how far it is to be trusted; None is nothing.
        seed: Chooses the jitter: processes that start together must not stay in step.
        constants: The numbers it stands on.
        streamed: Whether first tokens are seen.
        spacing_s: Least seconds between two calls until the window has been filled once, and after a cool-down.
        courtesy: Share of what is allowed that is used, above 0 to 1.
    """

    def __init__(
        self,
        ceiling: int,
        start: Memory | None = None,
        seed: int = 0,
        constants: Constants | None = None,
        *,
        streamed: bool,
        spacing_s: float = 0.0,
        courtesy: float = 1.0,
    ) -> None:
        self._c = constants or Constants()
        self._ceiling, self._courtesy, self._spacing_s, self._streamed = max(1, ceiling), courtesy, spacing_s, streamed
        self._draws = (seed * 2654435761 + 97) & 0xFFFFFFFF
        self._phase = _Phase.ALONE
        self._window = 1.0
        self._begin = max(self._c.begin_calls, 0.0 if start is None else start.calls)
        self._flights = Flights(None if start is None else start.first_token_s)
        self._refusal_s = 0.0 if start is None or start.refusal_s is None else start.refusal_s
        self._now = -math.inf
        self._served = self._refusals = 0
        # the search
        self._grown_at = -math.inf
        self._slow_until = -math.inf
        self._credit, self._credited = 2.0, -math.inf
        self._spaced_at = -math.inf
        self._round = 0
        self._silent_room = 128.0
        # admissions
        self._admitted_level = 0
        self._levels: deque[tuple[float, int]] = deque()
        # refusals
        self._episode = -math.inf
        self._kind = Limited.UNKNOWN
        self._in_row = 0
        self._score = 0
        self._row: _Row | None = None
        self._bracket: tuple[int, int, tuple[float, float]] | None = None
        self._like: list[int] = []
        self._refused_at = (0, -math.inf)
        # cool-down
        self._cool_until = -math.inf
        self._probing = False
        self._probe: int | None = None
        self._storms = 0
        self._ends: deque[float] = deque(maxlen=20)
        # a known cap
        self._cap: float | None = None
        self._looking_from = 0.0
        self._look_at = math.inf
        self._look_every = self._c.probe_first
        self._look_began = 0.0
        self._moved = -math.inf if start is None or not start.moving else 0.0
        self._breath_at = self._breath_until = -math.inf
        # rates
        self._meters = {dimension: Meter() for dimension in _DIMENSIONS}
        self._pacers: dict[Limited, Pacer] = {}
        self._rate_kind = Limited.REQUESTS
        self._liars: set[Limited] = set()
        # waiting and throughput
        self._looked_at = -math.inf
        self._share = 0.0
        self._flow = self._flow_calls = 0.0
        self._flow_at = -math.inf
        self._flow_looks = 0
        self._flow_low, self._flow_high = math.inf, 0.0
        self._mark: tuple[float, float] | None = None
        self._poor = 0
        self._trial: float | None = None
        self._trial_at = math.inf
        self._flow_mean = 0.0
        self._hear: dict[type[Any], Callable[[Any, float], None]] = {
            Sent: self._was_sent,
            Taken: self._was_taken_on,
            Begun: self._has_begun,
            Flowed: self._has_flowed,
            Served: self._was_served,
            Refused: self._was_refused,
            Failed: self._has_failed,
            Unsent: self._was_not_sent,
        }

    def __repr__(self) -> str:
        rates = ", ".join(f"{kind.value} {pacer.rate:.3g}/s" for kind, pacer in self._pacers.items())
        return f"Adaptive({self._phase.value}, {self._flights.count}/{self._window:.1f}{', ' if rates else ''}{rates})"

    # --- the door ----------------------------------------------------------------------------------------------------

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        self._pass(now)
        if now < self._cool_until:
            return WaitUntil(self._cool_until)
        if self._probing and self._probe is not None:
            return WaitUntil(self._silence_ends(now))
        if self._flights.count and self._flights.count + 1 > self._room(now) + 1e-9:
            return WaitUntil(self._room_at(now))
        wait = max(
            (pacer.wait(now, self._taken_of(kind, cost), self._courtesy) for kind, pacer in self._pacers.items()),
            default=0.0,
        )
        wait = max(wait, self._spacing(now), self._launch(now))
        if wait > 0.0:
            return WaitUntil(now + max(wait, 1e-4))
        return Go(self._probing)

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        self._pass(now)
        self._hear[type(fact)](fact, now)

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return max(1, min(self._ceiling, int(self._window * self._share_of_window() + 1e-9)))

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        now, calls = self._now, self.limit
        level, at = self._refused_at
        ago = f"{now - at:.0f} s ago"
        if now < self._cool_until or self._probing:
            return Reason(
                "cool-down", f"refused at {level} calls at once {ago}: one call looks whether more may follow"
            )
        for kind, pacer in self._pacers.items():
            if now - pacer.binding < 2.0:
                per_min = pacer.rate * 60.0 * self._courtesy
                source = "as the provider's headers say" if pacer.told else f"measured at refusals, the last {ago}"
                return Reason(kind.value, f"held at {per_min:,.0f} {kind.value} a minute: {source}")
        if self._phase is _Phase.HELD:
            return Reason("concurrency", f"held at {calls} calls at once: refused at {level}, {ago}")
        if self._phase is _Phase.QUEUED:
            return Reason("queue", f"held at {calls} calls at once: with more of them first tokens come late")
        if self._phase is _Phase.LEVEL:
            return Reason(
                "plateau", f"held at {calls} calls at once: with more of them there are no more tokens a second"
            )
        if self._window >= self._ceiling:
            return Reason("machine", f"{calls} calls at once: the most that this run may have")
        if self._phase is _Phase.ALONE:
            return Reason("start", "the first call is alone until it is heard")
        return Reason("search", f"{calls} calls at once, none refused yet: looking for more")

    def memory(self) -> Memory:
        """See `Pace.memory`."""
        requests, tokens = (self._pacers.get(kind) for kind in _DIMENSIONS)
        return Memory(
            self._window,
            None if requests is None else requests.measured,
            None if tokens is None else tokens.measured,
            self._flights.base_s,
            self._refusal_s or None,
            self._is_moving(self._now),
        )

    # --- time --------------------------------------------------------------------------------------------------------

    def _pass(self, now: float) -> None:
        """What time alone changes; looked at no more often than every GRAIN_S."""
        if now < self._now + GRAIN_S:
            return
        if self._flights.count and now - self._now > _ASLEEP_S and self._now > -math.inf:
            for meter in self._meters.values():  # the process was asleep: what was counted is of another time
                meter.forget()
        if self._now == -math.inf:
            self._breath_at = now + self._c.breath_every
            self._credited = self._flow_at = now
        grows = self._grows(now)
        passed = now - max(self._now, self._grown_at)
        self._now = now
        for flight in self._flights.silent(now - self._silence_s):
            self._was_taken(flight, now)
        if grows and passed > 0:
            self._grow(min(passed, 1.0))
        self._grown_at = now
        if self._phase is _Phase.ALONE:
            oldest = self._flights.first_silence()
            if oldest is not None and now - oldest > self._c.begin_silent_s:
                self._begun_at_all()
        elif self._phase is _Phase.HELD:
            self._look_above(now)
        if self._streamed and now - self._looked_at >= 0.5:
            self._look_at_waiting(now)
        if self._streamed and now - self._flow_at >= 5.0:
            self._look_at_flow(now)
        for pacer in self._pacers.values():
            if now >= self._cool_until and not self._probing and pacer.pulse(now):
                for meter in self._meters.values():
                    meter.forget()

    @property
    def _silence_s(self) -> float:
        """Silence after a send that means that it was taken on."""
        if not self._refusal_s:
            return self._c.silent_blind
        return min(self._c.silent_blind, max(self._c.silent_least, 2.0 * self._refusal_s))

    def _silence_ends(self, now: float) -> float:
        oldest = self._flights.first_silence()
        return math.inf if oldest is None else max(now + GRAIN_S, oldest + self._silence_s)

    def _jitter(self) -> float:
        """From 0.75 to 1.25."""
        self._draws = (self._draws * 1664525 + 1013904223) & 0xFFFFFFFF
        return 0.75 + 0.5 * self._draws / 0xFFFFFFFF

    def _is_moving(self, now: float) -> bool:
        return now - self._moved < MOVING_S

    # --- room --------------------------------------------------------------------------------------------------------

    def _share_of_window(self) -> float:
        return self._courtesy if self._phase is _Phase.HELD else 1.0

    def _room(self, now: float) -> float:
        """Calls that may be under way now."""
        window = min(self._window, self._ceiling) * self._share_of_window()
        if self._phase is _Phase.HELD and now < self._breath_until:
            return window - max(1.0, self._c.breath_share * window)
        return window

    def _room_at(self, now: float) -> float:
        """When there may be room for one more, if nothing happens until then."""
        if self._grows(now):
            return now + max(GRAIN_S, (self._flights.count + 1 - self._window) / self._growth())
        if self._phase is _Phase.HELD and not self._looking_from:
            if now < self._breath_until:
                return self._breath_until
            return max(self._look_at, now + GRAIN_S) if self._is_full() else math.inf
        return now + 0.5 if self._phase is not _Phase.HELD else math.inf

    def _is_full(self) -> bool:
        return self._flights.count >= self._c.full * self._window - 1

    def _grows(self, now: float) -> bool:
        """Whether the window grows: it is searched, it is in use, and nothing speaks against it."""
        if self._phase is not _Phase.SEARCH or now < self._cool_until or self._probing or not self._is_full():
            return False
        if any(now - pacer.binding < 1.0 for pacer in self._pacers.values()):
            return False
        return self._share < 0.3 if self._streamed else self._window < self._silent_room

    def _growth(self) -> float:
        """Calls a second by which it grows."""
        growth = max(self._c.grow_per_s, self._c.grow_share * self._window)
        return growth * (self._c.grow_slowly if self._now < self._slow_until else 1.0)

    def _grow(self, seconds: float) -> None:
        self._window = min(self._window + self._growth() * seconds, float(self._ceiling))

    def _launch(self, now: float) -> float:
        """Seconds until the next start is due: each end brings one, and beside that they come at an even rate."""
        rate = max(self._c.grow_per_s, 0.25 * self._flights.count)
        most = max(2.0, 0.05 * self._window)
        self._credit = min(most, self._credit + rate * max(0.0, now - self._credited))
        self._credited = now
        return (1.0 - self._credit) / rate if self._credit < 1.0 - 1e-9 else 0.0

    def _spacing(self, now: float) -> float:
        if not self._spacing_s or self._phase not in {_Phase.SEARCH, _Phase.ALONE}:
            return 0.0
        return max(0.0, self._spaced_at + self._spacing_s - now)

    # --- calls -------------------------------------------------------------------------------------------------------

    @staticmethod
    def _taken_of(kind: Limited, cost: Cost) -> float:
        return 1.0 if kind is Limited.REQUESTS else max(1.0, cost.tokens_in + cost.tokens_out)

    def _was_sent(self, fact: Sent, now: float) -> None:
        tokens = self._taken_of(Limited.TOKENS, fact.cost)
        self._flights.sent(fact.call, tokens, now)
        self._credit -= 1.0
        self._spaced_at = now
        for kind, meter in self._meters.items():
            meter.admitted += 1.0 if kind is Limited.REQUESTS else tokens
        for kind, pacer in self._pacers.items():
            pacer.sent(1.0 if kind is Limited.REQUESTS else tokens)
        if self._probing and self._probe is None:
            self._probe = fact.call

    def _was_not_sent(self, fact: Unsent, _now: float) -> None:
        flight = self._flights.ended(fact.call)
        if flight is not None:
            self._give_back(flight)
            self._probe = None if self._probe == fact.call else self._probe

    def _was_taken_on(self, fact: Taken, now: float) -> None:
        flight = self._flights.get(fact.call)
        if flight is not None:
            self._was_taken(flight, now)
            if fact.quotas:
                self._read(fact.quotas, now)

    def _has_begun(self, fact: Begun, now: float) -> None:
        flight = self._flights.get(fact.call)
        if flight is not None:
            self._was_taken(flight, now)
            if self._streamed:
                self._flights.began(flight, now)

    def _has_flowed(self, fact: Flowed, _now: float) -> None:
        self._flow += fact.tokens

    def _give_back(self, flight: Flight) -> None:
        """What did not take anything of the limits."""
        self._credit += 1.0
        self._meters[Limited.REQUESTS].admitted -= 1.0
        self._meters[Limited.TOKENS].admitted -= flight.tokens

    def _was_taken(self, flight: Flight, now: float) -> None:
        """The provider has taken a call on."""
        if flight.taken:
            return
        flight.taken = True
        if self._phase is _Phase.ALONE:
            self._begun_at_all()
        if flight.sent < self._episode:
            return
        self._admitted_level = max(self._admitted_level, flight.level)
        self._levels.append((now, flight.level))
        while self._levels[0][0] < now - 600.0:
            self._levels.popleft()
        if self._probing:
            self._reopened(now)
        self._weigh_bracket(flight, now)
        if self._phase is _Phase.HELD and flight.level > self._looking_from > 0:
            self._phase, self._looking_from, self._cap = _Phase.SEARCH, 0.0, None
            self._look_began = self._window

    def _begun_at_all(self) -> None:
        self._phase = _Phase.SEARCH
        self._window = min(self._begin, float(self._ceiling))

    def _reopened(self, now: float) -> None:
        """The single call after a cool-down was taken on."""
        self._probing, self._probe, self._in_row, self._storms = False, None, 0, 0
        row, self._row = self._row, None
        if row is not None and row.last < 0.9 * row.first:
            # refused all the way down: a smaller cap, or an empty bucket? Where it refuses next tells
            self._bracket = (row.last, row.first, row.rates)
            self._window, self._cap, self._phase = max(self._window, row.window), None, _Phase.SEARCH
            self._slow_until = now + 60.0

    def _weigh_bracket(self, flight: Flight, now: float) -> None:
        """Admitted well above the level at which it was refused last: it was an empty bucket."""
        if self._bracket is None or flight.level <= self._bracket[0] * 1.05 + 1:
            return
        _, _, rates = self._bracket
        self._bracket = None
        self._score = max(self._score, 2)
        if self._rate_kind not in self._pacers:
            rate = rates[0 if self._rate_kind is Limited.REQUESTS else 1]
            if rate > 0:
                self._pacers[self._rate_kind] = Pacer(
                    rate, now, self._c, counts_calls=self._rate_kind is Limited.REQUESTS
                )

    def _was_served(self, fact: Served, now: float) -> None:
        call, tokens_in, tokens_out, quotas = fact
        flight = self._flights.get(call)
        if flight is None:
            return
        self._was_taken(flight, now)
        self._flights.ended(call)
        self._served += 1
        self._credit += 1.0
        self._ends.append(math.inf)
        if tokens_in is not None and tokens_out is not None:
            less = flight.tokens - (tokens_in + tokens_out)
            self._meters[Limited.TOKENS].admitted -= less
            if Limited.TOKENS in self._pacers:
                self._pacers[Limited.TOKENS].corrected(less)
        if quotas and not flight.begun:  # a stream's head was read when it came, and is old by now
            self._read(quotas, now)
        if not self._streamed:
            self._end_of_round()

    def _has_failed(self, fact: Failed, now: float) -> None:
        call, storm = fact
        if self._flights.ended(call) is None:
            return
        self._credit += 1.0
        if self._probe == call:
            self._probe = None
        if not storm:
            self._ends.append(math.inf)
            return
        self._ends.append(now)
        bad = sum(now - at < 60.0 for at in self._ends if at < math.inf)
        stormy = len(self._ends) >= 10 and 2 * bad >= len(self._ends)
        if (stormy and now >= self._cool_until) or (self._storms and self._probing):
            self._storms += 1
            self._cool_until = now + min(15.0, 2.0 * 1.5 ** min(8, self._storms)) * self._jitter()
            self._probing, self._probe, self._episode = True, None, now
            self._ends.clear()

    # --- refusals ----------------------------------------------------------------------------------------------------

    def _was_refused(self, fact: Refused, now: float) -> None:
        flight = self._flights.ended(fact.call)
        if flight is None:
            return
        self._refusals += 1
        self._give_back(flight)
        took = now - flight.sent
        self._refusal_s = max(took, 0.9 * self._refusal_s)
        if self._phase is _Phase.ALONE:
            self._phase = _Phase.HELD
            self._window, self._look_at = 1.0, now + self._look_every
        asked_s = fact.retry_after_s if fact.retry_after_s is not None and fact.retry_after_s > 0 else 0.0
        asked_s = min(asked_s, LONGEST_S)
        if self._probe == fact.call:
            self._probe = None
        if flight.sent < self._episode or now < self._cool_until:
            self._same_burst(flight, asked_s, now)
            return
        kind = self._classified(fact, flight, now)
        if self._probing and self._row is not None:
            self._row = self._row._replace(last=flight.level)
        else:
            self._row = _Row(flight.level, flight.level, self._window, self._flights.lately(now))
        first = not self._probing
        self._in_row += 1
        self._episode, self._kind = now, kind
        self._refused_at = (flight.level, now)
        if kind is Limited.CONCURRENCY:
            self._capped(flight, now)
            most = 3.0 if not self._served else self._c.cool_most * (2.5 if self._in_row > 8 else 1.0)
            cool = min(most, self._c.cool * 2.0 ** min(self._in_row - 1, 10))
        else:
            if first or kind not in self._pacers:
                self._rate_refused(kind, now)
            each_s = 1.0 / self._pacers[kind].rate if kind is Limited.REQUESTS else 0.0  # what one call takes to refill
            cool = min(
                self._c.cool_most * (2.5 if self._in_row > 8 else 1.0),
                max(each_s, 2.0 * self._c.cool) * 2.0 ** min(self._in_row - 1, 10),
            )
        for meter in self._meters.values():
            meter.empty(now)
        self._admitted_level = 0
        pause_s = max(cool * self._jitter(), asked_s * (1.0 + 0.1 * (self._jitter() - 0.75)))
        for meter in self._meters.values():
            meter.paused_s += pause_s
        self._cool_until = now + pause_s
        self._probing, self._probe = True, None

    def _same_burst(self, flight: Flight, asked_s: float, now: float) -> None:
        """A refusal of what was sent before its kind was known: the lowest of them measures the cap."""
        if self._kind is Limited.CONCURRENCY:
            self._window = max(1.0, min(self._window, float(flight.level - 1)))
            self._cap = self._window
        if asked_s:
            self._cool_until = max(self._cool_until, now + asked_s)

    def _classified(self, fact: Refused, flight: Flight, now: float) -> Limited:
        """Which limit it was: what the provider says, else what the levels say."""
        if fact.cap is not None or fact.of is Limited.CONCURRENCY:
            return Limited.CONCURRENCY
        if fact.of in _DIMENSIONS:
            self._rate_kind = fact.of
            return fact.of
        said = self._said(fact.quotas)
        if said is not None:
            return said
        if self._probing:  # nothing was taken on since the last refusal: nothing new is known
            return self._rate_kind if self._pacers or self._kind in _DIMENSIONS else Limited.CONCURRENCY
        if self._bracket is not None:
            (low, high, _), self._bracket = self._bracket, None
            if flight.level <= low + 1 and self._admitted_level <= low and low >= 0.2 * high:
                self._score, self._like, self._moved = 0, [], now
                self._levels.clear()
                return Limited.CONCURRENCY  # refused again at that level: the cap is there now
        if self._pacers:
            above = flight.level > self._admitted_level
            self._like = [*self._like, flight.level][-4:] if above else []
            if len(self._like) == 4 and max(self._like) <= 1.02 * min(self._like) + 2:
                self._score, self._like = 0, []
                return Limited.CONCURRENCY  # four times at one level, and never taken on above it
            return self._rate_kind
        most = max((level for _, level in self._levels), default=0)
        if self._admitted_level and flight.level <= max(self._cap or 0.0, 0.97 * most):
            self._score += 1  # taken on at this level not long ago, refused now: a rate
        elif flight.level > most:
            self._score = max(0, self._score - 1)
        return self._rate_kind if self._score >= 2 else Limited.CONCURRENCY

    def _said(self, quotas: tuple[Quota, ...]) -> Limited | None:
        """The limit that the headers of a refusal show to be used up; the cap if none is."""
        known = [
            (quota, kind) for quota in quotas if (kind := _kind_of(quota)) is not None and quota.remaining is not None
        ]
        for quota, kind in known:
            least = 1.0 if kind is Limited.REQUESTS else max(1.0, 0.02 * (quota.limit or 0.0))
            if quota.remaining is not None and quota.remaining < least and kind not in self._liars:
                self._rate_kind = kind
                return kind
        if known and all(
            quota.limit and quota.remaining is not None and quota.remaining > 0.1 * quota.limit for quota, _ in known
        ):
            for _, kind in known:  # they say that there is plenty: if a rate refused, they do not tell the truth
                if self._admitted_level and self._cap is not None:
                    self._liars.add(kind)
                    self._pacers.pop(kind, None)
            return None
        return None

    def _capped(self, flight: Flight, now: float) -> None:
        """Refused at this level because of a cap."""
        if (
            self._pacers
            and not any(pacer.told for pacer in self._pacers.values())
            and self._kind is Limited.CONCURRENCY
        ):
            self._pacers.clear()
        before = self._looking_from or self._cap or self._window
        shared = bool(self._admitted_level) and self._cap is not None and flight.level <= self._cap
        shared = shared and not self._probing and not self._looking_from
        self._plan_look(before, now)
        self._window = max(1.0, float(int((flight.level - 1) * (self._c.give_way if shared else 1.0))))
        if shared:
            self._moved, self._look_every = now, 15.0
        self._cap, self._phase, self._looking_from = self._window, _Phase.HELD, 0.0

    def _plan_look(self, before: float, now: float) -> None:
        """When to look above a cap next."""
        constants = self._c
        if self._flights.count < 0.9 * before:
            self._moved, self._look_every = now, 15.0
        elif self._looking_from or (self._look_began and before < 1.02 * self._look_began + 1):
            most = constants.probe_moving if self._is_moving(now) else constants.probe_most
            self._look_every = min(self._look_every * (2.0 if self._is_moving(now) else 3.0), most)
        else:
            self._look_every = 15.0 if self._is_moving(now) else constants.probe_first
        self._look_began = 0.0
        wait = min(self._look_every, 60.0 + 15.0 * self._window)
        if not self._is_moving(now) and self._look_every > constants.probe_first:
            lately = max(self._flights.lately(now)[0], 1e-3)
            wait = max(
                wait, min(constants.probe_most, 1.0 / (3.0 * constants.probe_loss * lately), 4.0 * self._look_every)
            )
        self._look_at = now + wait

    def _look_above(self, now: float) -> None:
        """In a window that is held: leave some room for others now and then, and look above it."""
        if now >= self._breath_at and not self._looking_from:
            self._breath_until = now + self._c.breath_for
            self._breath_at = now + self._c.breath_every * self._jitter()
        if self._looking_from or self._probing or now < self._cool_until or now < self._look_at:
            return
        paced = any(now - pacer.binding < 2.0 for pacer in self._pacers.values())
        if (
            now > self._breath_until + 2.0
            and self._flights.count >= self._window - 1
            and not paced
            and self._window < self._ceiling
        ):
            self._looking_from = self._window
            self._window += 1.0
            self._look_at = now + max(self._look_every, 10.0)

    def _rate_refused(self, kind: Limited, now: float) -> None:
        """Refused because of a rate."""
        meter = self._meters[kind]
        each = 1.0
        if kind is Limited.TOKENS:
            calls, tokens = self._flights.lately(now)
            each = tokens / calls if calls else 1.0
        lately = self._flights.lately(now)[0 if kind is Limited.REQUESTS else 1]
        measured, unpaused = (rate and min(rate, lately) for rate in meter.rate(now, each))
        pacer = self._pacers.get(kind)
        if pacer is not None:
            if pacer.told and now - pacer.binding < 5.0:
                pacer.rate *= 0.95
                return
            if (
                pacer.told
            ):  # refused far below what the headers say: they speak of something else, or do not tell the truth
                self._liars.add(kind)
                del self._pacers[kind]
                pacer = None
        if pacer is not None:
            if pacer.refused(now, measured, unpaused, moving=self._is_moving(now)):
                self._moved = now
            return
        found = measured or lately or 1.0
        self._pacers[kind] = Pacer(found, now, self._c, counts_calls=kind is Limited.REQUESTS)
        if self._cap is not None:  # undo what was cut before the limit was understood
            self._window = max([self._window, *(float(level) for _, level in self._levels)])
            self._cap, self._phase = None, _Phase.SEARCH
        elif self._phase is _Phase.HELD:
            self._phase = _Phase.SEARCH

    # --- headers -----------------------------------------------------------------------------------------------------

    def _read(self, quotas: tuple[Quota, ...], now: float) -> None:
        for quota in quotas:
            kind, limit = _kind_of(quota), _limit_of(quota)
            if kind is None or limit is None or kind in self._liars:
                continue
            pacer = self._pacers.get(kind)
            if pacer is None:
                pacer = self._pacers[kind] = Pacer(limit, now, self._c, counts_calls=kind is Limited.REQUESTS)
            pacer.tell(quota, now, most=1.03 if kind is Limited.REQUESTS else math.inf)

    # --- queues and plateaus -----------------------------------------------------------------------------------------

    def _look_at_waiting(self, now: float) -> None:
        """Whether first tokens come late: calls wait at the provider."""
        self._looked_at = now
        self._share = self._flights.look(now)
        if self._probing:
            return
        count, late = self._flights.count, self._flights.late
        if late > max(2.0, 0.03 * count) and self._share >= self._c.queue_share and count > 4:
            self._window = max(2.0, min(self._window, self._flights.begun * 1.02 + 1))
            self._phase, self._cap = _Phase.QUEUED, None
        elif self._phase is _Phase.QUEUED and self._share < 0.1 and count >= self._window - 1:
            self._window = min(self._window + max(0.1, 0.002 * self._window), float(self._ceiling))

    def _look_at_flow(self, now: float) -> None:
        """Whether more calls still bring more tokens a second."""
        self._flow_looks += 1
        begun = float(self._flights.begun)
        rate = self._flow / (now - self._flow_at)
        steady = (
            max(begun, self._flow_high) < 2.2 * min(begun, self._flow_low if self._flow_low < math.inf else begun) + 1
        )
        mean = 0.5 * (begun + (self._flow_high or begun))
        self._flow, self._flow_at = 0.0, now
        self._flow_low = self._flow_high = begun
        if self._phase is _Phase.LEVEL:
            self._try_more(rate, mean, now)
            return
        if mean < 12 or rate <= 0 or self._phase is not _Phase.SEARCH or not steady:
            self._poor = 0
            return
        if self._mark is None or mean < self._mark[0]:
            self._mark = (mean, rate)
        elif mean >= 1.4 * self._mark[0]:
            gain = math.log(rate / self._mark[1]) / math.log(mean / self._mark[0])
            if gain >= self._c.plateau_gain:
                self._mark, self._poor = (mean, rate), 0
                return
            self._poor += 1
            if self._poor >= 2:
                self._window, self._phase, self._cap = 1.1 * self._mark[0], _Phase.LEVEL, None
                self._trial, self._trial_at, self._poor, self._flow_mean = None, now + 120.0, 0, 0.0

    def _try_more(self, rate: float, mean: float, now: float) -> None:
        """On a plateau: a tenth more for a while, kept if it brings more."""
        self._flow_mean = rate if not self._flow_mean else 0.7 * self._flow_mean + 0.3 * rate
        if now < self._trial_at:
            return
        if self._trial is None and mean <= self._window + 1:
            self._trial, self._trial_at = self._flow_mean, now + 45.0
            self._window = min(self._window * 1.1, float(self._ceiling))
        elif self._trial is not None:
            gained = self._flow_mean > 1.04 * self._trial
            self._window = self._window if gained else self._window / 1.1
            self._trial, self._trial_at = None, now + (20.0 if gained else 300.0)

    def _end_of_round(self) -> None:
        """Without first tokens: only after a round of answers may the window grow to three times its size."""
        self._round += 1
        if self._round >= max(12.0, 0.3 * self._window):
            self._round = 0
            self._silent_room = max(self._silent_room, 3.0 * self._window)


class _Row(NamedTuple):
    """Refusals in a row, with none taken on between: levels of the first and the last, and what held before them."""

    first: int
    last: int
    window: float
    rates: tuple[float, float]


def _limit_of(quota: Quota) -> float | None:
    """Units a second; None where it says nothing of the next minute, as a quota of a day."""
    limit, period_s = quota.limit, quota.period_s
    if limit is None or period_s is None or not 0.0 < limit < math.inf or not 0.0 < period_s <= LONGEST_S:
        return None
    return limit / period_s


def _kind_of(quota: Quota) -> Limited | None:
    if quota.of == "requests":
        return Limited.REQUESTS
    return Limited.TOKENS if "tokens" in quota.of else None
