"""How processes on one machine share the limit of one account: one measures it, all others keep to their shares.

    Member of each process ── every BEAT_S ──▶ store ──▶ the others ── Shared.met ──▶ role and share
    the oldest is the owner    its pace counts the others' calls as under way, and says what the account allows
    every other one follows    it may have its share of that, and sends what the owner does not need

Shares are fair by max-min: nobody gets less than an equal part unless it wants less, and nothing that is wanted is left
over. What dies falls out when its lease ends; the oldest that is left then measures on, from where the owner stood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from deepswarm.core.pace import (
    Begun,
    Cost,
    Fact,
    Failed,
    Flowed,
    Go,
    Memory,
    Pace,
    Reason,
    Refused,
    Sent,
    Served,
    Taken,
    Unsent,
    WaitUntil,
)

BEAT_S: Final = 0.5
"""Seconds between two meetings."""
LEASE_S: Final = 2.0
"""Seconds after its last meeting at which a process counts as gone."""
COOL_S: Final = 0.5
"""First cool-down of a follower whose call was refused; each one more in a row doubles it, up to COOLEST_S."""
COOLEST_S: Final = 12.0
MORE: Final = 1.25
"""A member that does not need its share is granted this much more than it uses, and MORE_CALLS: room to grow into."""
MORE_CALLS: Final = 2.0
HOUR_S: Final = 3600.0


class Member(NamedTuple):
    """What a process says of itself at a meeting.

    Attributes:
        name: Process number and start: never the same again.
        since: When its run began, seconds since 1970; the oldest is the owner.
        wants: Calls at once that it could use; infinite when it is held by its share.
        flying: Calls under way.
        sent: Calls that left so far, refused: of them refused, flowed: output tokens that came so far.
        limit: Calls at once that the account allows, as the owner says; 0 from all others.
        rate: Calls a second that it allows; infinite when that is not known to be bounded.
        tokens: Tokens of a usual call.
    """

    name: str
    since: float
    wants: float = math.inf
    flying: int = 0
    sent: int = 0
    refused: int = 0
    flowed: float = 0.0
    limit: float = 0.0
    rate: float = math.inf
    tokens: float = 0.0

    def age(self) -> tuple[float, str]:
        """What members are ordered by, the oldest first."""
        return self.since, self.name


def share(demands: Sequence[float], limit: float) -> list[float]:
    """Max-min fair shares of a limit, in the order of the demands.

    Args:
        demands: What each could use, 0 or more, may be infinite.
        limit: What there is for all, 0 or more.

    Returns:
        What each may use: never more than it demands, in sum the limit unless the demands are less.

    Source: Bertsekas, Gallager: Data Networks, 2nd edition, 6.5.2 (max-min flow control).
    """
    shares = [0.0] * len(demands)
    left = limit
    for rank, index in enumerate(sorted(range(len(demands)), key=demands.__getitem__)):
        shares[index] = min(demands[index], left / (len(demands) - rank))
        left -= shares[index]
    return shares


def cautious(memory: Memory, age_s: float) -> Memory:
    """Where a run begins that remembers: half of what was allowed, a quarter when that is more than an hour ago."""
    trust = 0.5 if 0.0 <= age_s <= HOUR_S else 0.25
    requests, tokens = memory.requests_per_s, memory.tokens_per_s
    return memory._replace(
        calls=max(1.0, trust * memory.calls),
        requests_per_s=None if requests is None else trust * requests,
        tokens_per_s=None if tokens is None else trust * tokens,
    )


class Shared:
    """A pace that shares its account with others.

    Args:
        build: Makes the pace that measures, from what is known of the account.
        start: What is known of it; None is nothing.
        name: Of this process, see `Member`.
        since: When its run began, seconds since 1970.
    """

    def __init__(self, build: Callable[[Memory | None], Pace], start: Memory | None, name: str, since: float) -> None:
        self._build, self._inner = build, build(start)
        self._owner = True
        self._me = self._last = Member(name, since)
        self._others: tuple[Member, ...] = ()
        self._flights: dict[int, Cost] = {}
        self._phantoms: dict[str, list[int]] = {}
        self._phantom = -1
        # what the account allows, and our share of it
        self._limit, self._rate = 1.0, math.inf
        self._mine, self._fair = math.inf, math.inf
        # our starts
        self._next_at = -math.inf
        self._credit, self._credited = 2.0, math.inf
        # what we want, since the last meeting
        self._most, self._hungry_at = 0, -math.inf
        self._now = self._met_at = self._unsettled = -math.inf
        self._met_many = 1
        # after our refusals, while we follow
        self._cool_until, self._in_row = -math.inf, 0
        self._probing, self._probe = False, 0

    def __repr__(self) -> str:
        role = "owner" if self._owner else "follower"
        return f"Shared({role} of {len(self._others) + 1}, {len(self._flights)}/{self._mine:g}, {self._inner!r})"

    # --- the door ----------------------------------------------------------------------------------------------------

    def observe(self, fact: Fact, now: float) -> None:
        """See `Pace.observe`."""
        self._now = now
        if isinstance(fact, Flowed):
            self._me = self._me._replace(flowed=self._me.flowed + fact.tokens)
        elif isinstance(fact, Sent):
            self._was_sent(fact, now)
        elif fact.call in self._flights:
            self._was_heard(fact, now)
        else:
            return
        if self._owner:
            self._inner.observe(fact, now)

    def admit(self, now: float, cost: Cost) -> Go | WaitUntil:
        """See `Pace.admit`."""
        if not self._others:
            return self._inner.admit(now, cost)
        if len(self._flights) + 1 > self._mine:
            self._hungry_at = now
            return WaitUntil(now + BEAT_S)
        answer = self._inner.admit(now, cost) if self._owner else self._follow(now)
        if isinstance(answer, WaitUntil):
            self._hungry_at = now
        return answer

    @property
    def limit(self) -> int:
        """See `Pace.limit`."""
        return max(1, int(self._mine)) if self._mine < math.inf else self._inner.limit

    @property
    def reason(self) -> Reason:
        """See `Pace.reason`."""
        if not self._others:
            return self._inner.reason
        runs = f"{len(self._others) + 1} runs share this account"
        if self._owner:
            inner = self._inner.reason
            return Reason(inner.what, f"{inner.words}; {runs}")
        if self._now < self._cool_until or self._probing:
            return Reason("cool-down", f"refused: one call looks whether more may follow; {runs}")
        return Reason(
            "concurrency", f"{self.limit} of {self._limit:.0f} calls at once: {runs}, another one measures it"
        )

    def memory(self) -> Memory:
        """See `Pace.memory`; of the whole account."""
        return self._inner.memory() if self._owner else self._known()

    # --- the meetings ------------------------------------------------------------------------------------------------

    def member(self, now: float) -> Member:
        """What this process says at a meeting; begins a new count of what it wants."""
        hungry = now - self._hungry_at <= 2.0 * BEAT_S
        wants = math.inf if hungry else MORE * self._most + MORE_CALLS
        self._most = len(self._flights)
        if self._owner:
            self._limit, self._rate = float(self._inner.limit), self._calls_per_s(self._inner.memory())
        said = (self._limit, self._rate) if self._owner else (0.0, math.inf)
        self._me = self._me._replace(wants=wants, flying=len(self._flights), limit=said[0], rate=said[1])
        return self._me

    def met(self, others: Sequence[Member], now: float) -> None:
        """Take note of who else uses the account, after `member`.

        Args:
            others: All other processes whose leases hold, at their last meetings.
            now: Seconds on this process's clock.
        """
        before = {member.name: member for member in (self._last, *self._others)}
        self._last, self._others = self._me, tuple(others)
        oldest = min((self._me, *others), key=Member.age)
        if (oldest is self._me) is not self._owner:
            self._change_role(now)
        if self._owner:
            self._mirror(before, now)
        elif oldest.limit:
            self._limit, self._rate = oldest.limit, oldest.rate
        passed_s, self._met_at = max(BEAT_S, now - self._met_at), now
        self._divide(before, passed_s)

    def _divide(self, before: dict[str, Member], passed_s: float) -> None:
        """What is ours of the account. Calls that cannot be divided, and what a look above allows, are the owner's."""
        self._mine = self._fair = math.inf
        if not self._others:
            return
        everybody = sorted((self._me, *self._others), key=Member.age)
        place = everybody.index(self._me)
        parts = [max(1, int(part)) for part in share([member.wants for member in everybody], self._limit)]
        others = [
            (m.flying, part) for rank, (m, part) in enumerate(zip(everybody, parts, strict=True)) if rank != place
        ]
        if any(flying > part for flying, part in others) or len(everybody) != self._met_many:
            self._unsettled = self._met_at  # who has more than its share gives way as its calls end, not at once
        self._met_many = len(everybody)
        room = self._limit - sum(max(flying, part) for flying, part in others)
        self._mine = max(1.0, room if self._owner else min(parts[place], room))
        if self._rate < math.inf and not self._owner:  # the owner's pace holds the rate of all together
            calls = [member.sent - before.get(member.name, member).sent for member in everybody]
            wanted = [
                math.inf if member.wants == math.inf else MORE * sent / passed_s + 1.0 / LEASE_S
                for member, sent in zip(everybody, calls, strict=True)
            ]
            self._fair = max(1e-3, share(wanted, self._rate)[place])

    def _change_role(self, now: float) -> None:
        """From follower to owner: measure on from what was known; or the other way round."""
        self._owner = not self._owner
        self._phantoms.clear()
        if not self._owner:
            memory = self._inner.memory()
            self._limit, self._rate = max(1.0, memory.calls), self._calls_per_s(memory)
            return
        self._inner = self._build(self._known())
        for call, cost in self._flights.items():
            self._inner.observe(Sent(call, cost), now)
            self._inner.observe(Taken(call), now)

    def _known(self) -> Memory:
        rate = None if self._rate == math.inf else self._rate
        return self._inner.memory()._replace(calls=max(1.0, self._limit), requests_per_s=rate)

    def _calls_per_s(self, memory: Memory) -> float:
        """The rate that binds, in calls of the usual size; infinite when none is known."""
        requests = math.inf if memory.requests_per_s is None else memory.requests_per_s
        tokens = math.inf if memory.tokens_per_s is None else memory.tokens_per_s / max(1.0, self._me.tokens)
        return max(1e-3, min(requests, tokens))

    # --- the others' calls -------------------------------------------------------------------------------------------

    def _mirror(self, before: dict[str, Member], now: float) -> None:
        """Let the pace see the others' calls as if they were ours: it measures the account, not this process."""
        here = {member.name for member in self._others}
        for name in [name for name in self._phantoms if name not in here]:
            for call in self._phantoms.pop(name):
                self._inner.observe(Failed(call, storm=False), now)
        for member in self._others:
            calls = self._phantoms.setdefault(member.name, [])
            last = before.get(member.name, member)
            refused = max(0, member.refused - last.refused)
            sent = max(0, member.sent - last.sent - refused)
            for _ in range(min(len(calls), max(0, len(calls) + sent - member.flying))):
                self._inner.observe(Served(calls.pop(0)), now)
            for _ in range(max(sent, member.flying - len(calls))):
                self._mirror_one(calls, member, now)
            if refused and now - self._unsettled > LEASE_S:
                call, self._phantom = self._phantom, self._phantom - 1
                self._inner.observe(Sent(call, Cost(member.tokens)), now)
                self._inner.observe(Refused(call), now)
            if member.flowed > last.flowed:
                self._inner.observe(Flowed(member.flowed - last.flowed), now)

    def _mirror_one(self, calls: list[int], member: Member, now: float) -> None:
        """A call of another process was sent; it is over already if no more are under way there."""
        call, self._phantom = self._phantom, self._phantom - 1
        self._inner.observe(Sent(call, Cost(member.tokens)), now)
        if len(calls) < member.flying:
            calls.append(call)
        else:
            self._inner.observe(Served(call), now)

    # --- our calls ---------------------------------------------------------------------------------------------------

    def _follow(self, now: float) -> Go | WaitUntil:
        """Whether a call within our share may leave."""
        if now < self._cool_until:
            return WaitUntil(self._cool_until)
        if self._probing and self._probe in self._flights:
            return WaitUntil(now + BEAT_S)
        credit = self._credit_at(now)
        due = self._next_at if credit >= 1.0 else max(self._next_at, now + (1.0 - credit) / self._starts_per_s())
        return WaitUntil(due) if due > now else Go(probe=self._probing)

    def _was_sent(self, fact: Sent, now: float) -> None:
        self._flights[fact.call] = fact.cost
        self._probe = fact.call if self._probing else self._probe
        self._most = max(self._most, len(self._flights))
        tokens = fact.cost.tokens_in + fact.cost.tokens_out
        usual = 0.9 * self._me.tokens + 0.1 * tokens if self._me.tokens else tokens
        self._me = self._me._replace(sent=self._me.sent + 1, tokens=usual)
        self._credit, self._credited = self._credit_at(now) - 1.0, now
        if self._fair < math.inf:
            self._next_at = max(self._next_at, now - BEAT_S) + 1.0 / self._fair

    def _credit_at(self, now: float) -> float:
        """Starts that may be made: each end brings one; beside that they come evenly, so that no share is a burst."""
        most = max(2.0, 0.1 * self._mine) if self._mine < math.inf else 2.0
        return min(most, self._credit + self._starts_per_s() * max(0.0, now - self._credited) + 1e-9)

    def _starts_per_s(self) -> float:
        return max(2.0, 0.25 * self._mine) if self._mine < math.inf else 2.0

    def _was_heard(self, fact: Fact, now: float) -> None:
        """A call of ours shows what became of it."""
        if isinstance(fact, Refused):
            self._was_refused(fact, now)
        elif isinstance(fact, Taken | Begun | Served) and now >= self._cool_until:
            self._in_row, self._probing = 0, False
        if isinstance(fact, Served | Refused | Failed | Unsent):
            del self._flights[fact.call]
            self._credit += 1.0

    def _was_refused(self, fact: Refused, now: float) -> None:
        self._me = self._me._replace(refused=self._me.refused + 1)
        if now < self._cool_until:
            return
        asked_s = fact.retry_after_s or 0.0
        cool_s = min(COOLEST_S, COOL_S * 2.0 ** min(self._in_row, 10))
        self._cool_until = now + (min(max(cool_s, asked_s), HOUR_S) if asked_s > 0.0 else cool_s)
        self._in_row, self._probing = self._in_row + 1, True
