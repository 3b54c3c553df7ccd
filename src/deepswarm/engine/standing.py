"""How the run of this process stands: taken up where the last one left it, and kept in the journal once a second."""

from __future__ import annotations

import asyncio
from typing import Final

from deepswarm.core.events import RunStarted
from deepswarm.journals import Journal
from deepswarm.report.bill import Billing
from deepswarm.report.saved import NAME, restored, saved
from deepswarm.report.state import State

KEEP_S: Final = 1.0
"""Seconds between two keepings: who looks from outside folds what has happened since."""


def taken_up(journal: Journal, billing: Billing) -> State:
    """The summary as this process begins: what earlier ones kept, what came after it, and the seeds of this run.

    Args:
        journal: Of the run.
        billing: The fold of what this process spends.
    """
    state = stood(journal)
    totals, failures = journal.totals(), state.failures()
    if failures.total() != totals.rejected + totals.failed:
        failures = journal.failed_by_class()
    state.begin(totals, failures)
    state.till = billing
    return state


def stood(journal: Journal) -> State:
    """The summary of all that the journal holds, from what was kept of it where that can be used."""
    state = restored(journal.noted(NAME)) or State()
    billing = Billing()
    if state.began is not None:
        number, utc, at, simulated, task = state.began
        billing.watch([RunStarted(utc, at, number, "", task, "", simulated)])
    state.till = billing
    caught_up(state, journal, billing)
    state.spent, state.unpriced = state.money()
    state.till = None
    return state


def caught_up(state: State, journal: Journal, billing: Billing) -> None:
    """Let the folds have the events that the summary has not seen."""
    for event in journal.replay(state.number):
        billing.watch([event])
        state.watch([event])


async def keep(state: State, journal: Journal) -> None:
    """Keep it in the journal, with the commits that come anyway, until cancelled."""
    while True:
        await asyncio.sleep(KEEP_S)
        journal.note(NAME, saved(state))
