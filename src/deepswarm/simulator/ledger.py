"""The provider's own account of what it was asked, what it served and what it bills: the oracle of tests.

    received ─┬─ refused at the door (over a limit, or not readable)
              └─ admitted ─ in flight ─ finished: served (a completion was made to its end, and billed), or not

`served` looks at the provider's side alone: a completion that was cut on its way, or had no content, was made and is
billed. When a client leaves early, the provider stops there and bills the prompt and the tokens made until then, but
the completion does not count as served.

Money is counted in whole millionths of a millionth of a dollar, so that sums are exact.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

from deepswarm.simulator.limitlaw import Prices

PICO: Final = 1e12
"""What a dollar is counted in."""
_MICRO: Final = 1e6


class Bill(NamedTuple):
    """What one request costs. `cached` is part of `tokens_in`, `reasoning` of `tokens_out`."""

    tokens_in: int = 0
    cached: int = 0
    tokens_out: int = 0
    reasoning: int = 0
    cost_pico: int = 0

    @property
    def cost_usd(self) -> float:
        """US dollars."""
        return self.cost_pico / PICO


FREE: Final = Bill()


class Tariff(NamedTuple):
    """What a token costs, in millionths of a millionth of a dollar: of the prompt, from the cache, of the answer."""

    input: int
    cached: int
    output: int

    def cost_pico(self, tokens_in: int, cached: int, tokens_out: int) -> int:
        """What so many tokens cost. `cached` are part of `tokens_in`."""
        return (tokens_in - cached) * self.input + cached * self.cached + tokens_out * self.output

    def bill(self, tokens_in: int, cached: int, tokens_out: int, reasoning: int) -> Bill:
        """The bill for so many tokens. `cached` are part of `tokens_in`, `reasoning` of `tokens_out`."""
        return Bill(tokens_in, cached, tokens_out, reasoning, self.cost_pico(tokens_in, cached, tokens_out))


def tariff_of(prices: Prices) -> Tariff:
    """The prices of a law, in whole numbers."""
    cached = prices.input if prices.cached is None else prices.cached
    return Tariff(round(prices.input * _MICRO), round(cached * _MICRO), round(prices.output * _MICRO))


class Row(NamedTuple):
    """One request. Times are seconds on the clock of whoever delivers.

    Attributes:
        number: In the order of arrival, from 1.
        name: The marker in [[id:...]] or, when there is none, a hash of model and messages; empty if unreadable.
        attempt: How many requests for the same model and messages were admitted so far, with this one; 0 if refused.
        received: When it arrived.
        admitted: Whether it was let in.
        started: When work on it starts, after the provider's queue; None if refused.
        first_byte: When the first byte of content went out; None when none did.
        finished: When it ended; None while it is in flight.
        status: HTTP status of the answer; 0 when there is none.
        refused: The limit that refused it, or "unreadable"; empty when it was let in.
        fault: What went wrong; empty for a plain answer and for a refusal.
        served: Whether a completion was made to its end.
        tokens_in: Tokens billed for the prompt,
        cached: those of them that came from the prefix cache.
        tokens_out: Tokens billed for the answer,
        reasoning: those of them that were spent on thinking.
        cost_usd: The bill, in US dollars.
        client_gone: Whether the client had left before its answer was delivered.
    """

    number: int
    name: str
    attempt: int
    received: float
    admitted: bool
    started: float | None
    first_byte: float | None
    finished: float | None
    status: int
    refused: str
    fault: str
    served: bool
    tokens_in: int
    cached: int
    tokens_out: int
    reasoning: int
    cost_usd: float
    client_gone: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over the ledger, also over rows that are no longer kept.

    received = refused + served + unserved + in_flight. `unserved` were admitted and ended without a completion that
    was made to its end; `client_gone` are those, of any kind, whose client left before the answer was delivered.
    Tokens and dollars are those billed; `cached` is part of tokens_in, `reasoning` of tokens_out.
    """

    received: int = 0
    refused: int = 0
    served: int = 0
    unserved: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    client_gone: int = 0
    tokens_in: int = 0
    cached: int = 0
    tokens_out: int = 0
    reasoning: int = 0
    cost_usd: float = 0.0


class ProviderLedger:
    """All rows, or the latest of them, and the sums of all. Only `SimulatedProvider` writes in it.

    Args:
        keep_rows: How many rows of finished requests are kept, the latest; None keeps all.
    """

    def __init__(self, keep_rows: int | None = None) -> None:
        self.in_flight = 0
        self.most_in_flight = 0
        self._open: dict[int, Row] = {}
        self._finished: deque[Row] = deque(maxlen=keep_rows)
        self._served: dict[str, int] = {}
        self._received = self._refused = self._unserved = self._client_gone = 0
        self._tokens_in = self._cached = self._tokens_out = self._reasoning = self._cost_pico = 0

    def __repr__(self) -> str:
        return f"ProviderLedger({self.counts()})"

    def refuse(self, name: str, status: int, limit: str, now: float) -> int:
        """Note a request that was not let in, and which limit did not let it; gives its number."""
        self._refused += 1
        return self._add(name, 0, now, None, status, limit, "")

    def admit(self, name: str, attempt: int, status: int, fault: str, now: float, started: float) -> int:
        """Note a request that was let in, when work on it starts and what will become of it; gives its number."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self._add(name, attempt, now, started, status, "", fault)

    def _add(
        self, name: str, attempt: int, now: float, started: float | None, status: int, limit: str, fault: str
    ) -> int:
        self._received += 1
        self._open[self._received] = Row(
            self._received, name, attempt, now, attempt > 0, started, None, None, status, limit, fault,
            False, 0, 0, 0, 0, 0.0, False,
        )  # fmt: skip
        return self._received

    def first_byte(self, number: int, now: float) -> None:
        """Note that the first byte of content went out; only the first note of a request counts."""
        row = self._open.get(number)
        if row is not None and row.first_byte is None:
            self._open[number] = row._replace(first_byte=now)

    def finish(self, number: int, now: float, *, served: bool, billed: Bill, client_gone: bool) -> None:
        """Note the end of a request and what it costs.

        Raises:
            ValueError: If it has ended before.
        """
        row = self._open.pop(number, None)
        if row is None:
            raise ValueError(f"request {number} was released before")
        self._client_gone += client_gone
        if row.admitted:
            self.in_flight -= 1
            self._unserved += not served
            self._tokens_in += billed.tokens_in
            self._cached += billed.cached
            self._tokens_out += billed.tokens_out
            self._reasoning += billed.reasoning
            self._cost_pico += billed.cost_pico
        if served:
            self._served[row.name] = self._served.get(row.name, 0) + 1
        if self._finished.maxlen != 0:
            head, middle = row[:7], row[8:11]
            self._finished.append(Row(*head, now, *middle, served, *billed[:4], billed.cost_usd, client_gone))

    def rows(self) -> list[Row]:
        """The rows that are kept and those in flight, in the order of arrival."""
        return sorted([*self._finished, *self._open.values()], key=lambda row: row.number)

    def served(self, name: str) -> int:
        """How many completions were made to their end for a marker (or, without one, a hash of the request)."""
        return self._served.get(name, 0)

    def counts(self) -> Counts:
        """The sums as they are now."""
        return Counts(
            received=self._received,
            refused=self._refused,
            served=self._received - self._refused - self._unserved - self.in_flight,
            unserved=self._unserved,
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            client_gone=self._client_gone,
            tokens_in=self._tokens_in,
            cached=self._cached,
            tokens_out=self._tokens_out,
            reasoning=self._reasoning,
            cost_usd=self._cost_pico / PICO,
        )
