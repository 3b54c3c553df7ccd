"""A run, followed by another process: its events folded on as they come, and what stands now as JSON text.

A thread reads the journal in windows, so that the first look at a run of a million seeds shows something within a
second and grows from there; then it looks once a second for what is new. Whoever asks gets the newest text at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from deepswarm.core.errors import DeepSwarmError
from deepswarm.core.jsontext import dumps
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.reporting import facts_now, place_of
from deepswarm.journals.sqlite import FILE, SqliteJournal
from deepswarm.prices import book_of
from deepswarm.report.bill import Billing
from deepswarm.report.facts import Place
from deepswarm.report.figures import Figures

BEAT_S: Final = 1.0
"""Seconds between two looks for new events, and between two texts while much is read."""


class Told(NamedTuple):
    """What stands now: a text, and its number, which grows with every new one."""

    number: int = 0
    text: bytes = b"{}"


@dataclass(slots=True)
class Following:
    """One for a run and a page.

    Attributes:
        folder: The run's output folder.
        utc: The wall clock, seconds since 1970.
        clock: Seconds on a clock that only goes forward.
    """

    folder: Path
    utc: Callable[[], float]
    clock: Callable[[], float]
    _told: Told = field(default_factory=Told)
    _over: threading.Event = field(default_factory=threading.Event)
    _figures: Figures = field(default_factory=Figures)
    _last: int = 0
    _file: int = 0
    _place: Place | None = None

    @property
    def told(self) -> Told:
        """The newest text."""
        return self._told

    def follow(self) -> None:
        """Read and tell until `end`; for a thread of its own."""
        while not self._over.is_set():
            self.look()
            self._over.wait(BEAT_S)

    def end(self) -> None:
        """Let the thread go."""
        self._over.set()

    def look(self) -> None:
        """Read what is new, and tell it; a journal that cannot be read is told as well."""
        try:
            journal = SqliteJournal(RunFolder(self.folder).journal, readonly=True)
        except DeepSwarmError as error:
            self._tell_trouble(error)
            return
        try:
            self._read(journal)
        except DeepSwarmError as error:
            self._tell_trouble(error)
        finally:
            journal.close()

    def _read(self, journal: SqliteJournal) -> None:
        file, last = journal.path.stat().st_ino, journal.totals().last_event
        if file != self._file or last < self._last:  # a run that was begun anew
            self._figures, self._last, self._file = Figures(Billing(journal.task())), 0, file
        told_at, bodies = self.clock(), book_of(journal.task(), "").reports_cost
        for number, events in journal.skim(self._last, bodies=bodies):
            self._figures.watch(events)
            self._last = number
            if self._over.is_set():
                return
            if self.clock() - told_at >= BEAT_S:
                self._tell(journal, last)
                told_at = self.clock()
        self._tell(journal, last)

    def _tell(self, journal: SqliteJournal, last: int) -> None:
        utc = self.utc()
        place = replace(place_of(self.folder, utc, before=self._place), totals=journal.totals())
        self._place = place
        facts = facts_now(self._figures, place, RunFolder(self.folder).journal / FILE)
        # What only the clock changes is no news.
        same = dumps({**facts, "made_utc": 0, "reading": {"read": self._last, "of": last}})
        if same != self._told.text:
            self._publish(same)

    def _tell_trouble(self, error: DeepSwarmError) -> None:
        text = dumps({"trouble": f"{error}; `deepswarm report {self.folder}` says what of it is sound"})
        if text != self._told.text:
            self._publish(text)

    def _publish(self, text: bytes) -> None:
        self._told = Told(self._told.number + 1, text)
