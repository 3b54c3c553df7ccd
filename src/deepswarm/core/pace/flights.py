"""The calls under way: at what level each was sent, whether it was taken on, and how long it waits for its first token.

Everything is kept as sums and queues, so that a fact costs the same however many calls are under way.
"""

from __future__ import annotations

from collections import deque
from typing import Final

LATEST: Final = 20
"""Sends over which waiting is judged."""
FIRSTS: Final = 20
"""First tokens of which a quartile is taken."""
BASE_S: Final = 1800.0
"""How far back the usual time to the first token is looked for."""
RECENT_S: Final = 60.0


class Flight:
    """One call under way.

    Attributes:
        sent: When it left.
        level: Calls under way when it left, itself included.
        tokens: What it is expected to cost, in and out.
        taken: Whether it is known that the provider has taken it on.
        begun: Whether content has come.
        judged: Whether it is old enough to tell whether its first token is late.
        open: Whether it is still under way.
    """

    __slots__ = ("begun", "judged", "level", "open", "sent", "taken", "tokens")

    def __init__(self, sent: float, level: int, tokens: float) -> None:
        self.sent, self.level, self.tokens = sent, level, tokens
        self.taken = self.begun = self.judged = False
        self.open = True


class Flights:
    """All of them.

    Attributes:
        begun: Those of them that have content.
        base_s: The usual time to the first token when nobody queues; None before it is known.
        late: Calls that wait longer than usual for their first token.
    """

    def __init__(self, base_s: float | None, *, streamed: bool = True) -> None:
        """`base_s` as an earlier run has found it; without streams there are no first tokens to wait for."""
        self._streamed = streamed
        self._open: dict[int, Flight] = {}
        self._unsure: deque[Flight] = deque()
        self._aging: deque[Flight] = deque()
        self._judged: deque[Flight] = deque(maxlen=LATEST)
        self._sends: deque[tuple[float, float]] = deque()
        self._sent_tokens = 0.0
        self._firsts: deque[float] = deque(maxlen=FIRSTS)
        self._since_base = 0
        self._bases: deque[tuple[float, float]] = deque()
        self.begun = self.late = 0
        self.base_s = base_s

    @property
    def count(self) -> int:
        """Calls under way."""
        return len(self._open)

    def get(self, call: int) -> Flight | None:
        """The call of that number; None when it is not under way."""
        return self._open.get(call)

    def sent(self, call: int, tokens: float, now: float) -> Flight:
        """A call leaves."""
        flight = Flight(now, len(self._open) + 1, tokens)
        self._open[call] = flight
        self._unsure.append(flight)
        if self._streamed:
            self._aging.append(flight)
        self._sends.append((now, tokens))
        self._sent_tokens += tokens
        return flight

    def began(self, flight: Flight, now: float) -> None:
        """Its first content has come."""
        if flight.begun:
            return
        flight.begun = True
        self.begun += 1
        if flight.judged:
            self.late -= 1
        self._firsts.append(now - flight.sent)
        self._since_base += 1
        if self._since_base == FIRSTS:
            self._since_base = 0
            # a lower quartile: a median drifts up with the queue that it is to show
            quartile = sorted(self._firsts)[FIRSTS // 4]
            while self._bases and self._bases[-1][1] >= quartile:  # only what may yet be the least is kept
                self._bases.pop()
            self._bases.append((now, quartile))
            while self._bases[0][0] < now - BASE_S:
                self._bases.popleft()
            self.base_s = self._bases[0][1]

    def ended(self, call: int) -> Flight | None:
        """A call ends; None when it was not under way."""
        flight = self._open.pop(call, None)
        if flight is not None:
            flight.open = False
            if flight.begun:
                self.begun -= 1
            elif flight.judged:
                self.late -= 1
        return flight

    def silent(self, since: float) -> list[Flight]:
        """Calls that were sent before this moment and are neither known to be taken on nor refused; told once."""
        self._forget_sends(since - RECENT_S)
        found = []
        while self._unsure and self._unsure[0].sent <= since:
            flight = self._unsure.popleft()
            if flight.open and not flight.taken:
                found.append(flight)
        return found

    def first_silence(self) -> float | None:
        """When the oldest call was sent of which that is not known."""
        while self._unsure and (self._unsure[0].taken or not self._unsure[0].open):
            self._unsure.popleft()
        return self._unsure[0].sent if self._unsure else None

    @property
    def patience_s(self) -> float:
        """A first token that takes longer than this is late."""
        base = self.base_s if self.base_s is not None else min(self._firsts, default=2.0)
        return max(3.0, 3.0 * base + 1.0)

    def look(self, now: float) -> float:
        """Share of the latest sends, old enough to tell, that wait for their first token; 0 before five can tell."""
        before = now - self.patience_s
        while self._aging and self._aging[0].sent < before:
            flight = self._aging.popleft()
            if flight.open and not flight.begun:
                self.late += 1
            self._judged.append(flight)
            flight.judged = True
        if len(self._judged) < 5:
            return 0.0
        return sum(each.open and not each.begun for each in self._judged) / len(self._judged)

    def lately(self, now: float) -> tuple[float, float]:
        """Calls and tokens per second that were sent in the last minute."""
        self._forget_sends(now - RECENT_S)
        if not self._sends:
            return 0.0, 0.0
        span = max(5.0, min(RECENT_S, now - self._sends[0][0]))
        return len(self._sends) / span, self._sent_tokens / span

    def _forget_sends(self, before: float) -> None:
        while self._sends and self._sends[0][0] < before:
            self._sent_tokens -= self._sends.popleft()[1]
