"""What a run may still spend: the worst case of every call is held back before it is written down, and settled after.

The decisions are `core/budget.py`'s. The purse keeps the budgets of the run and of its tiers, knows what calls cost,
and is remembered by the journal with everything that is written: what is held back counts as spent there, so that a
crash can never make a later session spend more than the cap.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, NamedTuple

from deepswarm.core.budget import Amount, Budget, Full, worst_case
from deepswarm.core.events import CallEnded
from deepswarm.core.money import NOTHING, cost, total
from deepswarm.core.records import Call, Json
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tierkeys import caps_of, has_caps
from deepswarm.core.tiers import NAMES, WORKER
from deepswarm.core.turns import Conversation
from deepswarm.engine.clock import Clock
from deepswarm.engine.opening import as_dict
from deepswarm.journals import Journal
from deepswarm.prices import PriceBook, book_of
from deepswarm.report.bill import Bill, bill_of, reported_cost

NOTE: Final = "budget"
"""The name under which the journal remembers what was spent."""
FREE: Final = frozenset({"throttled", "overloaded", "unreachable"})
"""Ends of calls that the provider did not take: they count for nothing."""


class Shortage(NamedTuple):
    """No room for a call, and whether that is the whole run's budget or only its tier's."""

    full: Full
    of_run: bool


class Purse:
    """The budgets of a run. `amend` is what the run has put over the first calls of its seeds, if anything.

    Args:
        budgets: Of the run, then of the tiers by number; spent as far as is known.
        books: The prices of each tier.
        first: The conversation that a seed's first call opens; may raise TemplateProblem.
        call: What all calls of the worker tier have in common.
        clock: Of the run.
        session: The one that spends now.
        spent_s: Seconds that earlier sessions took.
    """

    def __init__(
        self,
        budgets: Sequence[Budget],
        books: Sequence[PriceBook],
        first: Callable[[Mapping[str, Json]], Conversation],
        call: Call,
        clock: Clock,
        session: int,
        spent_s: float,
    ) -> None:
        self._session = session
        self._run, *self._tiers = budgets
        self._books, self._first, self._call, self._clock = books, first, call, clock
        self._spent_s, self._began = spent_s, clock.monotonic()
        self._asked: dict[int, tuple[int, str]] = {}
        self._changed = asyncio.Event()
        self.amend: Callable[[Call], Call] | None = None

    def __repr__(self) -> str:
        return f"Purse({self._run!r})"

    @property
    def elapsed_s(self) -> float:
        """Seconds that the run has taken, all sessions together."""
        return self._spent_s + self._clock.monotonic() - self._began

    @property
    def left_s(self) -> float | None:
        """Seconds until no call may be started any more; None without such a cap."""
        most = self._run.caps.max_time_s
        return None if most is None else max(0.0, most - self.elapsed_s)

    @property
    def out_of_time(self) -> str:
        """What to say when no time is left."""
        full = self._run.room(Amount(), self.elapsed_s)
        return "" if full is None else full.why

    def of_seed(self, fields: Mapping[str, Json]) -> Call:
        """The first call for a seed; one whose prompt cannot be made asks nothing."""
        try:
            call = self._call._replace(messages=self._first(fields).messages)
            return call if self.amend is None else self.amend(call)
        except ValueError:
            return self._call._replace(max_tokens=0)

    def reserve(self, number: int, call: Call, tier: int) -> Shortage | None:
        """Hold the worst case of a call back in the run's budget and in its tier's; None when that was possible."""
        amount = self._worst(call, tier)
        mine = self._tiers[tier]
        elapsed_s = self.elapsed_s
        fulls = [
            Shortage(full, of_run)
            for budget, of_run in ((self._run, True), (mine, tier == WORKER))
            if (full := budget.room(amount, elapsed_s)) is not None
        ]
        if fulls:
            return min(fulls, key=lambda shortage: (shortage.full.waits, not shortage.of_run))
        self._run.hold(number, amount)
        mine.hold(number, amount)
        self._asked[number] = (tier, call.model)
        return None

    def _worst(self, call: Call, tier: int) -> Amount:
        return worst_case(call.messages, call.max_tokens, self._books[tier].of(call.model, self._clock.utc()))

    def settle(self, ended: CallEnded) -> None:
        """Book what a call has cost; one that never left, or that was refused for a limit, gives everything back."""
        tier, model = self._asked.pop(ended.call)
        budgets = (self._run, self._tiers[tier])
        unused = ended.label == "unsent" or (ended.label in FREE and not ended.maybe_billed)
        money, tokens = (NOTHING, 0) if unused else spent_by(ended, model, self._books[tier])
        for budget in budgets:
            if unused:
                budget.release(ended.call)
            else:
                budget.settle(ended.call, money, tokens)
        self.wake()

    def wake(self) -> None:
        """Let those look again who wait for room."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def changed(self) -> None:
        """Wait until a call was settled, or the run has stopped."""
        await self._changed.wait()

    def remember(self, journal: Journal) -> None:
        """Let the journal know, with what is written next, what is spent or held back."""
        amounts = [_sum_of(budget) for budget in (self._run, *self._tiers)]
        journal.note(NOTE, json.dumps({"session": self._session, "seconds": self.elapsed_s, "amounts": amounts}))


def _sum_of(budget: Budget) -> list[Any]:
    held = budget.reserved
    return [
        str(total((budget.cost, held.cost or NOTHING))),
        budget.tokens + (held.tokens or 0),
        budget.calls + held.calls,
    ]


def spent_by(ended: CallEnded, model: str, book: PriceBook) -> tuple[Decimal | None, int | None]:
    """What a call has cost in US dollars, and its tokens; None for what nobody knows.

    Args:
        ended: Its end.
        model: The model that was asked.
        book: The prices that hold.
    """
    usage = ended.usage
    if ended.maybe_billed:
        return None, None
    if ended.label != "ok" and usage.tokens_in is None and usage.tokens_out is None:
        return NOTHING, 0
    known = usage.tokens_in is not None and usage.tokens_out is not None
    tokens = (usage.tokens_in or 0) + (usage.tokens_out or 0) if known else None
    reported = reported_cost(ended.body) if book.reports_cost else None
    if reported is not None:
        return reported, tokens
    price = book.of(model, ended.utc, ended.model)
    return None if price is None else cost(usage, price.at(ended.utc, usage.tokens_in or 0)), tokens


def purse_of(
    spec: TaskSpec,
    call: Call,
    first: Callable[[Mapping[str, Json]], Conversation],
    journal: Journal,
    clock: Clock,
) -> Purse | None:
    """The purse of a run, with what earlier sessions have spent; None when the task names no cap.

    Args:
        spec: The task.
        call: What all calls of the worker tier have in common.
        first: See `Purse`.
        journal: Of the run.
        clock: Of the run.
    """
    if not has_caps(spec):
        return None
    caps = [caps_of(spec), caps_of(spec.worker_budget), caps_of(spec.orchestrator_budget)]
    names = ["the run", *(f"the {name} tier" for name in NAMES)]
    empty = [Budget(named, name) for named, name in zip(caps, names, strict=False)]
    task = as_dict(spec)
    budgets, spent_s = _opened(empty, journal, task)
    address = spec.orchestrator_api_base or spec.worker_api_base
    books = [book_of(task, spec.worker_api_base), book_of({**task, "worker_api_base": address}, address)]
    return Purse(budgets, books, first, call, clock, journal.sessions() + 1, spent_s)


def _opened(empty: Sequence[Budget], journal: Journal, task: Mapping[str, Any]) -> tuple[list[Budget], float]:
    """The budgets with what was spent: as the last session has noted it, or else as the bill has it."""
    known = json.loads(journal.noted(NOTE) or "{}")
    if known.get("session") == journal.sessions():
        amounts = [*known["amounts"], *[["0", 0, 0]] * len(empty)]
        opened = [
            replace(budget, cost=Decimal(money), tokens=tokens, calls=calls)
            for budget, (money, tokens, calls) in zip(empty, amounts, strict=False)
        ]
        return opened, float(known["seconds"])
    if not journal.totals().calls:
        return list(empty), 0.0
    bill = bill_of(journal.replay(), task)
    return [_billed(budget, bill, tier) for tier, budget in enumerate(empty, -1)], 0.0


def _billed(budget: Budget, bill: Bill, tier: int) -> Budget:
    """A budget with what the bill has for its tier; -1 is the run, which also bears what is in doubt."""
    lines = [line for line in bill.lines if tier in {-1, line.tier}]
    doubt = (bill.doubt.most or NOTHING, bill.unmetered.about or NOTHING) if tier in {-1, WORKER} else ()
    tokens = sum(line.tokens.tokens_in + line.tokens.tokens_out for line in lines)
    calls = sum(line.calls for line in lines) + (bill.doubt.calls if doubt else 0)
    return replace(budget, cost=total((*(line.cost for line in lines), *doubt)), tokens=tokens, calls=calls)
