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
from typing import Any, Final

from deepswarm.core.pace import (
    Begun,
    Cost,
    Fact,
    Failed,
    Flowed,
    Go,
    Limited,
    Memory,
    Reason,
    Refused,
    Sent,
    Served,
    Taken,
    Unsent,
    WaitUntil,
)
from deepswarm.core.pace.buckets import Buckets, tokens_of
from deepswarm.core.pace.constants import MOVING_S, Constants
from deepswarm.core.pace.evidence import Evidence
from deepswarm.core.pace.flights import Flight, Flights
from deepswarm.core.pace.flow import LOOK_S, Flow
from deepswarm.core.pace.looks import Looks

GRAIN_S: Final = 0.02
LONGEST_S: Final = 600.0
_ASLEEP_S: Final = 900.0
_RATES: Final = (Limited.REQUESTS, Limited.TOKENS)


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
        self._flights = Flights(None if start is None else start.first_token_s, streamed=streamed)
        self._refusal_s = 0.0 if start is None or start.refusal_s is None else start.refusal_s
        self._now = self._next_look = -math.inf
        self._served = False
        # the search
        self._grown_at = -math.inf
        self._slow_until = -math.inf
        self._credit, self._credited = 2.0, -math.inf
        self._spaced_at = -math.inf
        self._round = 0
        self._silent_room = 128.0
        # refusals
        self._evidence = Evidence()
        self._episode = -math.inf
        self._kind = Limited.UNKNOWN
        self._in_row = 0
        self._refused_at = (0, -math.inf)
        # cool-down
        self._cool_until = -math.inf
        self._probing = False
        self._probe: int | None = None
        self._storms = 0
        self._ends: deque[float] = deque(maxlen=20)
        # what was found
        self._cap: float | None = None
        self._looks = Looks(self._c)
        self._moved = -math.inf if start is None or not start.moving else 0.0
        self._buckets = Buckets(self._c)
        self._flow = Flow(self._c.plateau_gain)
        self._waited_at = -math.inf
        self._share = 0.0
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
        rates = ", ".join(f"{kind.value} {pacer.rate:.3g}/s" for kind, pacer in self._buckets.known.items())
        return f"Adaptive({self._phase.value}, {self._flights.count}/{self._window:.1f}{', ' if rates else ''}{rates})"

    # --- the door ----------------------------------------------------------------------------------------------------

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        if now >= self._next_look:
            self._look(now)
        if now < self._cool_until:
            return WaitUntil(self._cool_until)
        if self._probing and self._probe is not None:
            return WaitUntil(self._silence_ends(now))
        flying = self._flights.count
        if flying and flying + 1 > self._room(now) + 1e-9:
            return WaitUntil(self._room_at(now))
        wait = self._launch(now, flying)
        if self._buckets.known:
            wait = max(wait, self._buckets.wait(now, cost, self._courtesy))
        if self._spacing_s and self._phase in {_Phase.SEARCH, _Phase.ALONE}:
            wait = max(wait, self._spaced_at + self._spacing_s - now)
        if wait > 0.0:
            return WaitUntil(now + max(wait, 1e-4))
        return _PROBE if self._probing else _GO

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        if now >= self._next_look:
            self._look(now)
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
        for kind, pacer in self._buckets.binding(now):
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
        requests, tokens = (self._buckets.known.get(kind) for kind in _RATES)
        return Memory(
            self._window,
            None if requests is None else requests.measured,
            None if tokens is None else tokens.measured,
            self._flights.base_s,
            self._refusal_s or None,
            self._is_moving(self._now),
        )

    # --- time --------------------------------------------------------------------------------------------------------

    def _look(self, now: float) -> None:
        """What time alone changes; looked at no more often than every GRAIN_S."""
        if self._flights.count and now - self._now > _ASLEEP_S and self._now > -math.inf:
            self._buckets.forget()  # the process was asleep
        if self._now == -math.inf:
            self._looks.start(now)
            self._credited = self._flow.looked_at = now
        grows = self._grows(now)
        passed = now - max(self._now, self._grown_at)
        self._now, self._next_look = now, now + GRAIN_S
        for flight in self._flights.silent(now - self._silence_s):
            self._was_taken(flight, now)
        if grows and passed > 0:
            self._window = min(self._window + self._growth() * min(passed, 1.0), float(self._ceiling))
        self._grown_at = now
        if self._phase is _Phase.ALONE:
            oldest = self._flights.first_silence()
            if oldest is not None and now - oldest > self._c.begin_silent_s:
                self._begun_at_all()
        elif self._phase is _Phase.HELD:
            self._look_above(now)
        if self._streamed:
            if now - self._waited_at >= 0.5:
                self._look_at_waiting(now)
            if now - self._flow.looked_at >= LOOK_S:
                self._look_at_flow(now)
        if self._buckets.known and now >= self._cool_until and not self._probing:
            self._buckets.pulse(now)

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
        window = min(self._window, self._ceiling)
        if self._phase is _Phase.HELD:
            window *= self._courtesy
            if now < self._looks.breath_until:
                return window - max(1.0, self._c.breath_share * window)
        return window

    def _room_at(self, now: float) -> float:
        """When there may be room for one more, if nothing happens until then."""
        if self._grows(now):
            return now + max(GRAIN_S, (self._flights.count + 1 - self._window) / self._growth())
        if self._phase is not _Phase.HELD:
            return now + 0.5
        if self._looks.above:
            return math.inf
        if now < self._looks.breath_until:
            return self._looks.breath_until
        return max(self._looks.at, now + GRAIN_S) if self._is_full() else math.inf

    def _is_full(self) -> bool:
        return self._flights.count >= self._c.full * self._window - 1

    def _grows(self, now: float) -> bool:
        """Whether the window grows: it is searched, it is in use, and nothing speaks against it."""
        if self._phase is not _Phase.SEARCH or now < self._cool_until or self._probing or not self._is_full():
            return False
        if self._buckets.known and self._buckets.bind(now, 1.0):
            return False
        return self._share < 0.3 if self._streamed else self._window < self._silent_room

    def _growth(self) -> float:
        """Calls a second by which it grows."""
        growth = max(self._c.grow_per_s, self._c.grow_share * self._window)
        return growth * (self._c.grow_slowly if self._now < self._slow_until else 1.0)

    def _launch(self, now: float, flying: int) -> float:
        """Seconds until the next start is due: each end brings one, and beside that they come at an even rate."""
        rate = max(self._c.grow_per_s, 0.25 * flying)
        credit = min(max(2.0, 0.05 * self._window), self._credit + rate * max(0.0, now - self._credited))
        self._credit, self._credited = credit, now
        return (1.0 - credit) / rate if credit < 1.0 - 1e-9 else 0.0

    # --- calls -------------------------------------------------------------------------------------------------------

    def _was_sent(self, fact: Sent, now: float) -> None:
        call, cost = fact
        tokens = tokens_of(cost)
        self._flights.sent(call, tokens, now)
        self._buckets.sent(tokens)
        self._credit -= 1.0
        self._spaced_at = now
        if self._probing and self._probe is None:
            self._probe = call

    def _was_not_sent(self, fact: Unsent, _now: float) -> None:
        flight = self._flights.ended(fact.call)
        if flight is not None:
            self._give_back(flight)
            self._probe = None if self._probe == fact.call else self._probe

    def _was_taken_on(self, fact: Taken, now: float) -> None:
        call, quotas = fact
        flight = self._flights.get(call)
        if flight is not None:
            if not flight.taken:
                self._was_taken(flight, now)
            if quotas:
                self._buckets.read(quotas, now)

    def _has_begun(self, fact: Begun, now: float) -> None:
        flight = self._flights.get(fact.call)
        if flight is not None:
            if not flight.taken:
                self._was_taken(flight, now)
            if self._streamed:
                self._flights.began(flight, now)

    def _has_flowed(self, fact: Flowed, _now: float) -> None:
        self._flow.tokens += fact.tokens

    def _give_back(self, flight: Flight) -> None:
        """What did not take anything of the limits."""
        self._credit += 1.0
        self._buckets.gave_back(flight.tokens)

    def _was_taken(self, flight: Flight, now: float) -> None:
        """The provider has taken a call on; told once of each."""
        flight.taken = True
        if self._phase is _Phase.ALONE:
            self._begun_at_all()
        if flight.sent < self._episode:
            return
        self._evidence.taken(flight.level, now)
        if self._probing:
            self._reopened(now)
        rates = self._evidence.empty_bucket(flight.level)
        if rates is not None and self._buckets.kind not in self._buckets.known:
            rate = rates[_RATES.index(self._buckets.kind)]
            if rate > 0:
                self._buckets.begin(self._buckets.kind, rate, now)
        if self._phase is _Phase.HELD and flight.level > self._looks.above > 0:
            self._phase, self._cap = _Phase.SEARCH, None
            self._looks.admitted(self._window)

    def _begun_at_all(self) -> None:
        self._phase = _Phase.SEARCH
        self._window = min(self._begin, float(self._ceiling))

    def _reopened(self, now: float) -> None:
        """The single call after a cool-down was taken on."""
        self._probing, self._probe, self._in_row, self._storms = False, None, 0, 0
        window = self._evidence.reopened()
        if window is not None:
            self._window, self._cap, self._phase = max(self._window, window), None, _Phase.SEARCH
            self._slow_until = now + 60.0

    def _was_served(self, fact: Served, now: float) -> None:
        call, tokens_in, tokens_out, quotas = fact
        flight = self._flights.get(call)
        if flight is None:
            return
        if not flight.taken:
            self._was_taken(flight, now)
        self._flights.ended(call)
        self._served = True
        self._credit += 1.0
        self._ends.append(math.inf)
        if tokens_in is not None and tokens_out is not None:
            self._buckets.corrected(flight.tokens - (tokens_in + tokens_out))
        if quotas and not flight.begun:  # a stream's head was read when it came, and is old by now
            self._buckets.read(quotas, now)
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
        self._give_back(flight)
        self._refusal_s = max(now - flight.sent, 0.9 * self._refusal_s)
        if self._phase is _Phase.ALONE:
            self._phase, self._window = _Phase.HELD, 1.0
            self._looks.wait(now)
        asked_s = fact.retry_after_s if fact.retry_after_s is not None and fact.retry_after_s > 0 else 0.0
        asked_s = min(asked_s, LONGEST_S)
        if self._probe == fact.call:
            self._probe = None
        if flight.sent < self._episode or now < self._cool_until:
            self._same_burst(flight, asked_s, now)
            return
        kind = self._classified(fact, flight, now)
        lately = self._flights.lately(now)
        self._evidence.refused(flight.level, self._window, lately, probe=self._probing)
        self._in_row += 1
        self._episode, self._kind = now, kind
        self._refused_at = (flight.level, now)
        if kind is Limited.CONCURRENCY:
            self._capped(flight, now)
        elif not self._probing or kind not in self._buckets.known:
            self._rate_refused(kind, lately, now)
        cool_s = self._cool_s(kind) * self._jitter()
        self._cool_down(max(cool_s, asked_s * (1.0 + 0.1 * (self._jitter() - 0.75))), now)

    def _cool_s(self, kind: Limited) -> float:
        """Seconds of the cool-down after so many refusals in a row."""
        most = self._c.cool_most * (2.5 if self._in_row > 8 else 1.0)
        longer = 2.0 ** min(self._in_row - 1, 10)
        if kind is Limited.CONCURRENCY:
            return min(most if self._served else 3.0, self._c.cool * longer)
        refills_s = 1.0 / self._buckets.known[kind].rate if kind is Limited.REQUESTS else 0.0
        return min(most, max(refills_s, 2.0 * self._c.cool) * longer)

    def _cool_down(self, pause_s: float, now: float) -> None:
        """Nobody for so long, then one."""
        self._buckets.empty(now, pause_s)
        self._evidence.level = 0
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
        evidence, buckets = self._evidence, self._buckets
        if fact.cap is not None or fact.of is Limited.CONCURRENCY:
            return Limited.CONCURRENCY
        if fact.of in _RATES:
            buckets.kind = fact.of
            return fact.of
        said = buckets.used_up(fact.quotas, capped=bool(evidence.level) and self._cap is not None)
        if said is not None:
            return said
        if self._probing:  # nothing was taken on since the last refusal: nothing new is known
            return buckets.kind if buckets.known or self._kind in _RATES else Limited.CONCURRENCY
        if evidence.lower_cap(flight.level):
            self._moved = now
            return Limited.CONCURRENCY
        if buckets.known:
            return Limited.CONCURRENCY if evidence.is_cap_after_all(flight.level) else buckets.kind
        return buckets.kind if evidence.is_rate(flight.level, self._cap) else Limited.CONCURRENCY

    def _capped(self, flight: Flight, now: float) -> None:
        """Refused at this level because of a cap."""
        self._buckets.drop_measured()
        looks = self._looks
        before = looks.above or self._cap or self._window
        shared = bool(self._evidence.level) and self._cap is not None and flight.level <= self._cap
        shared = shared and not self._probing and not looks.above
        if self._flights.count < 0.9 * before:
            self._moved, before = now, 0.0
        looks.plan(before, self._window, self._flights.lately(now)[0], now, moving=self._is_moving(now))
        self._window = max(1.0, float(int((flight.level - 1) * (self._c.give_way if shared else 1.0))))
        if shared:
            self._moved = now
            looks.often()
        self._cap, self._phase, looks.above = self._window, _Phase.HELD, 0.0

    def _look_above(self, now: float) -> None:
        """In a window that is held: leave some room for others now and then, and look above it."""
        looks = self._looks
        if looks.breath_is_due(now):
            looks.breathe(now, self._jitter())
        if looks.above or self._probing or now < self._cool_until or now < looks.at:
            return
        if (
            now > looks.breath_until + 2.0
            and self._flights.count >= self._window - 1
            and not self._buckets.bind(now)
            and self._window < self._ceiling
        ):
            looks.look(self._window, now)
            self._window += 1.0

    def _rate_refused(self, kind: Limited, lately: tuple[float, float], now: float) -> None:
        """Refused because of a rate."""
        moved = self._buckets.refused(kind, now, lately, moving=self._is_moving(now))
        if moved:
            self._moved = now
        if moved is not None:
            return
        if self._cap is not None:  # undo what was cut before the limit was understood
            self._window = max(self._window, float(self._evidence.highest))
            self._cap = None
        elif self._phase is not _Phase.HELD:
            return
        self._phase = _Phase.SEARCH

    # --- queues and plateaus -----------------------------------------------------------------------------------------

    def _look_at_waiting(self, now: float) -> None:
        """Whether first tokens come late: calls wait at the provider."""
        self._waited_at = now
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
        rate, calls, steady = self._flow.look(self._flights.begun, now)
        if self._phase is _Phase.LEVEL:
            self._window = min(self._flow.tried(rate, calls, self._window, now), float(self._ceiling))
        elif self._phase is not _Phase.SEARCH:
            self._flow.unsteady()
        elif (window := self._flow.plateau(rate, calls, steady=steady, now=now)) is not None:
            self._window, self._phase, self._cap = window, _Phase.LEVEL, None

    def _end_of_round(self) -> None:
        """Without first tokens: only after a round of answers may the window grow to three times its size."""
        self._round += 1
        if self._round >= max(12.0, 0.3 * self._window):
            self._round = 0
            self._silent_room = max(self._silent_room, 3.0 * self._window)


_GO: Final = Go()
_PROBE: Final = Go(probe=True)
