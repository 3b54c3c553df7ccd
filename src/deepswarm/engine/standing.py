"""How the run of this process stands: taken up where the last one left it, and kept in the journal once a second.

    events ─ Folds.watch ─┬─ at once ──────▶ State       what people look at while it runs
                          └─ in groups ────▶ Figures     the report, with the bill in it

Both are of what this process writes; what earlier ones have written stands in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from deepswarm.core.events import Event, RunStarted
from deepswarm.journals import Journal
from deepswarm.report.bill import Billing
from deepswarm.report.figures import Figures
from deepswarm.report.saved import NAME, restored, saved
from deepswarm.report.state import State

KEEP_S: Final = 1.0
"""Seconds between two keepings: who looks from outside folds what has happened since."""
GROUP: Final = 512
"""Events that the figures take at once: one by one they cost three times as much."""


@dataclass(slots=True)
class Folds:
    """What this process adds up of the events that it writes.

    Attributes:
        state: How the run stands; has every event at once.
        figures: Of this process alone; lag behind until `settle`.
    """

    state: State
    figures: Figures
    _waiting: list[Event] = field(default_factory=list)

    def watch(self, events: Sequence[Event]) -> None:
        """Add events, in their order."""
        self.state.watch(events)
        self._waiting += events
        if len(self._waiting) >= GROUP:
            self.settle()

    def settle(self) -> None:
        """Bring the figures up to the last event."""
        waiting, self._waiting = self._waiting, []
        self.figures.watch(waiting)

    def catch_up(self, journal: Journal) -> None:
        """Add what was written and not heard of."""
        self.watch(list(journal.replay(self.state.number)))
        self.settle()


@dataclass(frozen=True, slots=True)
class Spent:
    """The bill's fold within the figures; see `Till`."""

    folds: Folds

    def watch(self, events: Iterable[Event]) -> None:
        """See `Till.watch`."""
        self.folds.figures.watch(list(events))

    def so_far(self) -> tuple[Decimal, int]:
        """See `Till.so_far`."""
        self.folds.settle()
        return self.folds.figures.billing.so_far()


def taken_up(journal: Journal, figures: Figures) -> Folds:
    """The summary as this process begins: what earlier ones kept, what came after it, and the seeds of this run.

    Args:
        journal: Of the run.
        figures: The fold of what this process does; empty.
    """
    state = stood(journal)
    totals, failures = journal.totals(), state.failures()
    if failures.total() != totals.rejected + totals.failed:
        failures = journal.failed_by_class()
    state.begin(totals, failures)
    folds = Folds(state, figures)
    state.till = Spent(folds)
    return folds


def stood(journal: Journal) -> State:
    """The summary of all that the journal holds, from what was kept of it where that can be used."""
    state = restored(journal.noted(NAME)) or State()
    billing = Billing()
    if state.began is not None:
        number, utc, at, simulated, task = state.began
        billing.watch([RunStarted(utc, at, number, "", task, "", simulated)])
    state.till = billing
    for event in journal.replay(state.number):
        billing.watch([event])
        state.watch([event])
    state.spent, state.unpriced = state.money()
    state.till = None
    return state


async def keep(state: State, journal: Journal) -> None:
    """Keep it in the journal, with the commits that come anyway, until cancelled."""
    while True:
        await asyncio.sleep(KEEP_S)
        journal.note(NAME, saved(state))
