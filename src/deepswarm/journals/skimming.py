"""Events of a SQLite journal window by window: cheap enough for a fold over millions, and able to go round damage.

A window is a range of event numbers. Each is read whole and let go before the next one, so that a reader that takes
its time never keeps a run from moving its log. What a fold has no use for is left out: payloads, and bodies of replies
unless they are asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from deepswarm.core.events import CallEnded, CallStarted, Event, SeedEnded
from deepswarm.core.records import Outcome, Usage
from deepswarm.journals.sqlite_file import connect_reader
from deepswarm.journals.sqlite_rows import rare_event

WINDOW: Final = 4096
"""Events of one window."""
FINEST: Final = 64
"""A damaged range of so many events or fewer is given up as a whole: a page holds some dozens of them."""
TABLES: Final = ("calls_started", "calls_ended", "seeds_ended", "events")
_OUTCOMES: Final = {str(outcome): outcome for outcome in Outcome}
NO_BODY: Final = "x''"


class Lost(NamedTuple):
    """A range of events of one table that cannot be read; both ends belong to it."""

    table: str
    first: int
    last: int


@dataclass(slots=True)
class Damage:
    """What of a journal cannot be read.

    Attributes:
        lost: Ranges of events, by table; neighbouring ones are joined.
        why: What SQLite said first.
    """

    lost: list[Lost] = field(default_factory=list)
    why: str = ""

    def add(self, lost: Lost, why: object) -> None:
        """Note a range."""
        self.why = self.why or str(why)
        before = next((old for old in reversed(self.lost) if old.table == lost.table), None)
        if before is not None and before.last + 1 >= lost.first:
            self.lost[self.lost.index(before)] = Lost(lost.table, before.first, lost.last)
        else:
            self.lost.append(lost)

    @property
    def events(self) -> int:
        """Event numbers that may be lost, at most: a number belongs to one table only."""
        return sum(last - first + 1 for _, first, last in self.lost)


def skim(
    db: sqlite3.Connection, after: int, last: int, *, bodies: bool = False, damage: Damage | None = None
) -> Iterator[tuple[int, list[Event]]]:
    """The events with numbers above `after` and up to `last`, in order.

    Args:
        db: The journal's file, open for reading.
        after: Number of the last event that is not wanted.
        last: Number of the last one that is.
        bodies: Whether replies come with their bodies; payloads of seeds never come.
        damage: Takes what cannot be read; without it damage is an error.

    Returns:
        For each window the number of its last event, and its events.

    Raises:
        sqlite3.DatabaseError: If the file is damaged and `damage` is None.
    """
    while after < last:
        until = min(last, after + WINDOW)
        places: list[Event | None] = [None] * (until - after)
        for table in TABLES:
            _read(db, table, Range(after, until, after + 1, bodies), places, damage)
        yield until, [event for event in places if event is not None]
        after = until


class Range(NamedTuple):
    """Events above `after` and up to `until`, of the window that begins with event `first`; replies with `bodies`?"""

    after: int
    until: int
    first: int
    bodies: bool


def _read(db: sqlite3.Connection, table: str, wanted: Range, places: list[Event | None], damage: Damage | None) -> None:
    """Put one table's events of a range into their places; what is damaged is narrowed down by halves."""
    after, until, first, bodies = wanted
    try:
        _READERS[table](db, wanted, places)
    except sqlite3.DatabaseError as error:
        if damage is None:
            raise
        if until - after <= FINEST:
            damage.add(Lost(table, after + 1, until), error)
            return
        middle = (after + until) // 2
        _read(db, table, Range(after, middle, first, bodies), places, damage)
        _read(db, table, Range(middle, until, first, bodies), places, damage)


def _query(columns: str, table: str) -> str:
    return f"SELECT event, {columns} FROM {table} WHERE event > ? AND event <= ? ORDER BY event"


_STARTED: Final = _query("utc, at, call, seed, attempt, turn, tier, endpoint", "calls_started")
_ENDED: Final = {
    bodies: _query(
        "utc, at, call, seed, label, detail, status, finish_reason, model, maybe_billed, "
        f"tokens_in, tokens_out, cached, reasoning, {'body' if bodies else NO_BODY}",
        "calls_ended",
    )
    for bodies in (False, True)
}
_OUTCOME: Final = _query("utc, at, seed, call, outcome, label, reason, attempts, started", "seeds_ended")
_RARE: Final = _query("kind, data", "events")


# A tuple's own maker is three times as fast as that of the class, which counts what it is given.


def _started(db: sqlite3.Connection, wanted: Range, places: list[Event | None]) -> None:
    first, made = wanted.first, tuple.__new__
    for row in db.execute(_STARTED, wanted[:2]):
        places[row[0] - first] = made(CallStarted, row[1:])


def _ended(db: sqlite3.Connection, wanted: Range, places: list[Event | None]) -> None:
    first, made = wanted.first, tuple.__new__
    for row in db.execute(_ENDED[wanted.bodies], wanted[:2]):
        usage = made(Usage, row[11:15])
        places[row[0] - first] = made(CallEnded, (*row[1:10], usage, row[10] == 1, "", row[15]))


def _outcomes(db: sqlite3.Connection, wanted: Range, places: list[Event | None]) -> None:
    first, made, outcomes = wanted.first, tuple.__new__, _OUTCOMES
    for row in db.execute(_OUTCOME, wanted[:2]):
        places[row[0] - first] = made(SeedEnded, (*row[1:5], outcomes[row[5]], *row[6:], b""))


def _rare(db: sqlite3.Connection, wanted: Range, places: list[Event | None]) -> None:
    for number, kind, data in db.execute(_RARE, wanted[:2]):
        places[number - wanted.first] = rare_event(kind, data)


_READERS: Final = {"calls_started": _started, "calls_ended": _ended, "seeds_ended": _outcomes, "events": _rare}


@dataclass(slots=True)
class Salvage:
    """What can still be read of a journal that is damaged.

    Attributes:
        path: Of the journal's file.
        damage: Grows while it is read.
    """

    path: Path
    damage: Damage = field(default_factory=Damage)

    def events(self, *, bodies: bool = False) -> Iterator[list[Event]]:
        """All events that can be read, in order, window by window; nothing when not even the tables can be."""
        db = connect_reader(self.path)
        try:
            for _, events in skim(db, 0, self._last(db), bodies=bodies, damage=self.damage):
                yield events
        finally:
            db.close()

    def _last(self, db: sqlite3.Connection) -> int:
        """The number of the last event that any table knows."""
        found = [0]
        for table in TABLES:
            try:
                found.append(db.execute(f"SELECT coalesce(max(event), 0) FROM {table}").fetchone()[0])
            except sqlite3.DatabaseError as error:
                self.damage.why = self.damage.why or str(error)
        return max(found)
