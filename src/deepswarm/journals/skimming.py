"""Events of a SQLite journal window by window: cheap enough for a fold over millions, and able to go round damage.

A window is a range of event numbers. Each is read whole and let go before the next one, so that a reader that takes
its time never keeps a run from moving its log. What a fold has no use for is left out: payloads, and bodies of replies
unless they are asked for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from operator import itemgetter
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
_Numbered = list[tuple[int, Event]]


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
        numbered: _Numbered = []
        for table in TABLES:
            numbered += _rows(db, table, after, until, bodies=bodies, damage=damage)
        numbered.sort(key=itemgetter(0))
        yield until, [event for _, event in numbered]
        after = until


def _rows(
    db: sqlite3.Connection, table: str, after: int, until: int, *, bodies: bool, damage: Damage | None
) -> _Numbered:
    """One table's events of a range; what is damaged is narrowed down by halves, then given up."""
    try:
        return _READERS[table](db, after, until, bodies)
    except sqlite3.DatabaseError as error:
        if damage is None:
            raise
        if until - after <= FINEST:
            damage.add(Lost(table, after + 1, until), error)
            return []
    middle = (after + until) // 2
    return [
        *_rows(db, table, after, middle, bodies=bodies, damage=damage),
        *_rows(db, table, middle, until, bodies=bodies, damage=damage),
    ]


def _started(db: sqlite3.Connection, after: int, until: int, bodies: bool) -> _Numbered:  # noqa: ARG001, FBT001 - one shape for all tables
    query = """SELECT event, utc, at, call, seed, attempt, turn, tier, endpoint FROM calls_started
        WHERE event > ? AND event <= ? ORDER BY event"""
    return [(row[0], CallStarted._make(row[1:])) for row in db.execute(query, (after, until))]


def _ended(db: sqlite3.Connection, after: int, until: int, bodies: bool) -> _Numbered:  # noqa: FBT001 - see above
    query = f"""SELECT event, utc, at, call, seed, label, detail, status, finish_reason, model, maybe_billed,
        tokens_in, tokens_out, cached, reasoning, {"body" if bodies else "x''"}
        FROM calls_ended WHERE event > ? AND event <= ? ORDER BY event"""
    usage, call = Usage._make, CallEnded._make
    return [
        (row[0], call((*row[1:10], usage(row[11:15]), row[10] == 1, "", row[15])))
        for row in db.execute(query, (after, until))
    ]


def _outcomes(db: sqlite3.Connection, after: int, until: int, bodies: bool) -> _Numbered:  # noqa: ARG001, FBT001 - see above
    query = """SELECT event, utc, at, seed, call, outcome, label, reason, attempts, started FROM seeds_ended
        WHERE event > ? AND event <= ? ORDER BY event"""
    outcomes, ended = _OUTCOMES, SeedEnded._make
    return [
        (row[0], ended((*row[1:5], outcomes[row[5]], *row[6:], b""))) for row in db.execute(query, (after, until))
    ]


def _rare(db: sqlite3.Connection, after: int, until: int, bodies: bool) -> _Numbered:  # noqa: ARG001, FBT001 - see above
    query = "SELECT event, kind, data FROM events WHERE event > ? AND event <= ? ORDER BY event"
    return [(event, rare_event(kind, data)) for event, kind, data in db.execute(query, (after, until))]


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
