"""What calls have cost so far, as they end: the same rules as the bill's (`report/bill.py`), for one number. Pure.

Tokens are added as whole numbers by the price that holds for them, and priced when somebody asks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from deepswarm.core.events import CallEnded, RunStarted
from deepswarm.core.money import NOTHING, Rates, cost, total
from deepswarm.core.records import Usage
from deepswarm.core.spec import TaskSpec
from deepswarm.prices import PriceBook, book_of
from deepswarm.report.bill import cost_reported

_ADDRESS: Final[str] = TaskSpec.model_fields["worker_api_base"].default


@dataclass(slots=True)
class Spending:
    """A till for `State`. Calls that were refused, or never left, cost nothing; possibly billed ones are not counted.

    Attributes:
        unpriced: Calls that cost something nobody knows.
    """

    unpriced: int = 0
    _task: Mapping[str, Any] = field(default_factory=dict)
    _books: dict[int, PriceBook] = field(default_factory=dict)
    _tokens: dict[Rates, list[int]] = field(default_factory=dict)
    _reported: Decimal = NOTHING

    def began(self, event: RunStarted) -> None:
        """See `Till.began`."""
        self.take(json.loads(event.task))

    def take(self, task: Mapping[str, Any]) -> None:
        """The task whose prices hold from now on, by the task file's keys."""
        self._task = task
        self._books.clear()

    def charge(self, event: CallEnded, tier: int) -> None:
        """See `Till.charge`."""
        tokens_in, tokens_out, cached, _ = event.usage
        if event.maybe_billed or (event.label != "ok" and tokens_in is None and tokens_out is None):
            return
        book = self._book(tier)
        if book.reports_cost and (taken := cost_reported(event.body)) is not None:
            self._reported = total((self._reported, taken))
            return
        price = book.of(self._asked(tier), event.utc, event.model)
        if price is None or tokens_in is None or tokens_out is None:
            self.unpriced += 1
            return
        rates = price.at(event.utc, tokens_in)
        sums = self._tokens.get(rates)
        if sums is None:
            sums = self._tokens[rates] = [0, 0, 0]
        sums[0] += tokens_in
        sums[1] += min(cached or 0, tokens_in)
        sums[2] += tokens_out

    @property
    def spent(self) -> Decimal:
        """See `Till.spent`."""
        amounts = [cost(Usage(came_in, out, cached), rates) for rates, (came_in, cached, out) in self._tokens.items()]
        return total([self._reported, *(amount for amount in amounts if amount is not None)])

    def _asked(self, tier: int) -> str:
        return str(self._task.get("orchestrator_model" if tier else "worker_model", ""))

    def _book(self, tier: int) -> PriceBook:
        book = self._books.get(tier)
        if book is None:
            address = self._task.get("orchestrator_api_base") if tier else None
            own = {**self._task, "worker_api_base": address} if address else self._task
            book = self._books[tier] = book_of(own, _ADDRESS)
        return book
