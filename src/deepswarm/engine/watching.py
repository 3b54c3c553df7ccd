"""A run seen from outside: by whoever wants to know how it stands, while a process is at work on it or afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.events import CallEnded, RunStarted
from deepswarm.journals import Command
from deepswarm.journals.lock import Holder, holder
from deepswarm.journals.watching import JournalWatch
from deepswarm.report.saved import NAME, restored
from deepswarm.report.snapshot import Snapshot
from deepswarm.report.state import State


class Standing(NamedTuple):
    """How a run stands, who is at work on it, what waits in its inbox, and the keys of its oldest calls' seeds."""

    seen: Snapshot
    holder: Holder | None
    waiting: list[Command]
    keys: dict[int, str]


class Watcher:
    """Looks at one run, again and again."""

    def __init__(self, folder: Path) -> None:
        """Begin.

        Args:
            folder: The output folder.

        Raises:
            TaskFileError: If there is no run in it.
            JournalError: If its journal cannot be read.
        """
        self.folder = folder / "journal"
        path = self.folder / "journal.sqlite"
        if not path.is_file():
            hint = "name a run's output folder or its task file; `deepswarm run` begins one"
            raise TaskFileError([Problem("there is no run in it", str(folder), hint=hint)])
        self.journal = JournalWatch(path)
        self._folded: State | None = None

    def close(self) -> None:
        """Let go of the journal."""
        self.journal.close()

    def look(self, utc: float) -> Standing:
        """How the run stands at this moment, seconds since 1970."""
        held = holder(self.folder)
        with self.journal.moment():
            state = self._state(alive=held is not None)
            at = state.at_of(utc) if held is not None else state.last[1]
            seen = state.look(at, alive=held is not None)
            numbers = [call.seed for call in seen.oldest]
            keys = self.journal.keys(numbers) if numbers else {}
            return Standing(seen, held, self.journal.commands(), keys)

    def _state(self, *, alive: bool) -> State:
        """The fold of everything that the journal holds."""
        totals = self.journal.totals()
        state = restored(self.journal.noted(NAME))
        if state is None:
            state = self._folded = self._folded or self._anew()
        later = list(self.journal.replay(state.number))
        if not alive and any(isinstance(event, CallEnded) for event in later):
            _price(state)
        if state.till is not None:
            state.till.watch(later)
        state.watch(later)
        ended = totals.rejected + totals.failed
        if state is self._folded and (state.seeds, state.failures().total()) != (totals.seeds, ended):
            state.begin(totals, self.journal.failed_by_class())
        state.seeds = totals.seeds
        return state

    def _anew(self) -> State:
        """A fold that begins with the first event, for a journal in which none was kept."""
        state = State()
        _price(state)
        return state


@contextmanager
def watched(folder: Path) -> Iterator[Watcher]:
    """A watcher on a run's output folder; see there."""
    watcher = Watcher(folder)
    try:
        yield watcher
    finally:
        watcher.close()


def _price(state: State) -> None:
    """Let the fold know what the calls cost that are not in what was kept."""
    from deepswarm.report.bill import Billing

    billing = Billing()
    if state.began is not None:
        number, utc, at, simulated, task = state.began
        billing.watch([RunStarted(utc, at, number, "", task, "", simulated)])
    state.till = billing
