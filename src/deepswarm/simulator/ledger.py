"""The provider's own account of what it was asked and what it served: the oracle of tests.

    received ─┬─ refused at the door (over the cap, or not readable)
              └─ admitted ─ in flight ─ finished: served (a completion was made to its end, and billed), or not

`served` looks at the provider's side alone: a completion that was cut on its way, or had no content, was made and is
billed. When a client leaves early, the provider stops there and bills the prompt and the tokens made until then, but
the completion does not count as served.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """One request. Times are seconds on the clock of whoever delivers.

    Attributes:
        number: In the order of arrival, from 1.
        name: The marker in [[id:...]] or, when there is none, a hash of model and messages; empty if unreadable.
        attempt: How many requests for the same model and messages were admitted so far, with this one; 0 if refused.
        received: When it arrived.
        admitted: Whether it was let in.
        finished: When it ended; None while it is in flight.
        status: HTTP status of the answer; 0 when there is none.
        fault: What went wrong; empty for a plain answer and for a refusal.
        served: Whether a completion was made to its end.
        tokens_in: Tokens billed for the prompt.
        tokens_out: Tokens billed for the answer.
        client_gone: Whether the client had left before its answer was delivered.
    """

    number: int
    name: str
    attempt: int
    received: float
    admitted: bool
    finished: float | None
    status: int
    fault: str
    served: bool
    tokens_in: int
    tokens_out: int
    client_gone: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """Sums over the ledger.

    received = refused + served + unserved + in_flight. `unserved` were admitted and ended without a completion that
    was made to its end; `client_gone` are those, of any kind, whose client left before the answer was delivered.
    Tokens are those billed.
    """

    received: int = 0
    refused: int = 0
    served: int = 0
    unserved: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    client_gone: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


class ProviderLedger:
    """All rows, and their sums. Only `SimulatedProvider` writes in it."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._served: dict[str, int] = {}
        self._refused = self._unserved = self._client_gone = self._tokens_in = self._tokens_out = 0

    def __repr__(self) -> str:
        return f"ProviderLedger({self.counts()})"

    def refuse(self, name: str, status: int, now: float) -> int:
        """Note a request that was not let in; gives its number."""
        return self._add(name, 0, now, status, "")

    def admit(self, name: str, attempt: int, status: int, fault: str, now: float) -> int:
        """Note a request that was let in, and what will become of it; gives its number."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        return self._add(name, attempt, now, status, fault)

    def _add(self, name: str, attempt: int, now: float, status: int, fault: str) -> int:
        number = len(self.rows) + 1
        self._refused += not attempt
        self.rows.append(Row(number, name, attempt, now, attempt > 0, None, status, fault, False, 0, 0, False))
        return number

    def finish(self, number: int, now: float, *, served: bool, tokens: tuple[int, int], client_gone: bool) -> None:
        """Note the end of a request and what is billed for it (tokens in, tokens out)."""
        row = self.rows[number - 1]
        if row.finished is not None:
            raise ValueError(f"request {number} was released before")
        tokens_in, tokens_out = tokens
        self.rows[number - 1] = Row(*row[:5], now, row.status, row.fault, served, tokens_in, tokens_out, client_gone)
        self._client_gone += client_gone
        if row.admitted:
            self.in_flight -= 1
            self._tokens_in += tokens_in
            self._tokens_out += tokens_out
            self._unserved += not served
        if served:
            self._served[row.name] = self._served.get(row.name, 0) + 1

    def served(self, name: str) -> int:
        """How many completions were made to their end for a marker (or, without one, a hash of the request)."""
        return self._served.get(name, 0)

    def counts(self) -> Counts:
        """The sums as they are now."""
        received = len(self.rows)
        return Counts(
            received=received,
            refused=self._refused,
            served=received - self._refused - self._unserved - self.in_flight,
            unserved=self._unserved,
            in_flight=self.in_flight,
            most_in_flight=self.most_in_flight,
            client_gone=self._client_gone,
            tokens_in=self._tokens_in,
            tokens_out=self._tokens_out,
        )
