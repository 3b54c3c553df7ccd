"""Events as rows of the SQLite journal's tables, and rows as events.

Rows go in many to a statement: Python's lock is let go once a statement instead of once a row, and every change of
hands costs more than the row. What is no int, float, str or bytearray costs Python's binding four times as much as what
is (it looks for an adapter first; CPython 3.11, Modules/_sqlite/cursor.c, need_adapt): bytes are handed over as
bytearrays, texts and truth values as what they are.
"""

from __future__ import annotations

import heapq
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final

from deepswarm.core.events import (
    Advised,
    CallEnded,
    CallStarted,
    CommandTaken,
    Consulted,
    Event,
    PaceChanged,
    PaceChosen,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    SeedEnded,
    SeedReopened,
    SeedsChanged,
    TurnNoted,
)
from deepswarm.core.ledger import Story
from deepswarm.core.records import STATE_OF, Outcome, SeedState, Usage
from deepswarm.core.transcript import latest
from deepswarm.journals.sqlite_file import has_turns

CHUNK: Final = 64
"""Most rows of one statement."""

_RARE: Final[dict[str, type[Any]]] = {
    kind.__name__: kind
    for kind in (
        RunStarted,
        RunEnded,
        RunPaused,
        RunResumed,
        Advised,
        PaceChosen,
        PaceChanged,
        SeedsChanged,
        SeedReopened,
        CommandTaken,
        Consulted,
    )
}


# --- writing ---------------------------------------------------------------------------------------------------------


class Rows:
    """The rows of one commit, and what they change beside it.

    The values of a table stand one after another, row by row.

    Attributes:
        number: Of the last event.
        open: Calls without an end, each with the number of its start, in the order of their starts.
        session: Of the process that writes.
    """

    def __init__(self, last_event: int, opened: dict[int, int], session: int) -> None:
        """Begin after this event; `opened` is changed."""
        self.number, self.open, self.session = last_event, opened, session
        self._started: list[Any] = []
        self._ended: list[Any] = []
        self._outcomes: list[Any] = []
        self._turns: list[Any] = []
        self._rare: list[Any] = []
        self._reopened: list[Any] = []
        self._sessions: list[Any] = []
        self._taken: list[tuple[int, int]] = []
        self._states: dict[int, SeedState] = {}

    def add(self, events: Iterable[Event]) -> None:
        """Add events, which get the next numbers."""
        for event in events:
            self.number = number = self.number + 1
            if isinstance(event, CallStarted):
                self._started.append(number)
                self._started += event
                self.open[event.call] = number
            elif isinstance(event, CallEnded):
                *known, usage, maybe_billed, request_id, body = event
                self._ended += (number, *known, *usage, int(maybe_billed), request_id, bytearray(body))
                self.open.pop(event.call, None)
            elif isinstance(event, SeedEnded):
                utc, at, seed, call, outcome, label, reason, attempts, started, payload = event
                self._outcomes += (number, utc, at, seed, call, str(outcome), label, reason, attempts, started)
                self._outcomes += (bytearray(payload), self.session)
                self._states[seed] = STATE_OF[outcome]
            elif isinstance(event, TurnNoted):
                *known, data = event
                self._turns += (number, *known, bytearray(data))
            else:
                self._add_rare(number, event, json.dumps(asdict(event)))

    def _add_rare(self, number: int, event: Event, data: str) -> None:
        self._rare += (number, type(event).__name__, data)
        if isinstance(event, SeedReopened):
            self._states[event.seed] = SeedState.LEFT
            self._reopened += (number, event.seed)
        elif isinstance(event, CommandTaken):
            self._taken.append((number, event.number))
        elif isinstance(event, RunStarted):
            self.session = event.session
            model = json.loads(event.task).get("worker_model", "")
            self._sessions += (event.session, event.fingerprint, event.task, model, int(event.simulated))
            self._sessions += (event.utc, event.at)

    def insert(self, db: sqlite3.Connection) -> None:
        """Write them, and the states of the seeds that they speak of."""
        insert(db, "calls_started", 9, self._started)
        insert(db, "calls_ended", 17, self._ended)
        insert(db, "seeds_ended", 12, self._outcomes)
        insert(db, "turns_noted", 8, self._turns)
        insert(db, "events", 3, self._rare)
        insert(db, "seeds_reopened", 2, self._reopened)
        insert(db, "sessions", 7, self._sessions)
        if self._taken:
            db.executemany("UPDATE inbox SET taken = ? WHERE id = ?", self._taken)
        for state in set(self._states.values()):
            seeds = [seed for seed, newest in self._states.items() if newest is state]
            for at in range(0, len(seeds), CHUNK):
                some = seeds[at : at + CHUNK]
                marks = ",".join("?" * len(some))
                db.execute(f"UPDATE seeds SET state = {int(state)} WHERE number IN ({marks})", some)


def insert(db: sqlite3.Connection, table: str, width: int, values: Sequence[Any], otherwise: str = "") -> None:
    """Insert whole rows of so many values, which stand one after another; at most CHUNK of them to a statement."""
    for at in range(0, len(values), width * CHUNK):
        some = values[at : at + width * CHUNK]
        marks = "(" + ",".join("?" * width) + ")"
        statement = f"INSERT {otherwise}INTO {table} VALUES {','.join([marks] * (len(some) // width))}"
        try:
            db.execute(statement, some)
        except UnicodeEncodeError:
            db.execute(statement, [_sound(value) for value in some])


def _sound(value: Any) -> Any:
    """Lone surrogates, which UTF-8 cannot hold, become escapes; a provider's text may have them."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


# --- reading ---------------------------------------------------------------------------------------------------------


def replay(db: sqlite3.Connection, after: int) -> Iterator[Event]:
    """All events after the event of that number, in order."""

    def rows(table: str) -> sqlite3.Cursor:
        return db.execute(f"SELECT * FROM {table} WHERE event > ? ORDER BY event", (after,))

    streams: list[Iterator[tuple[int, Event]]] = [
        ((row[0], CallStarted(*row[1:])) for row in rows("calls_started")),
        ((row[0], _call_ended(row)) for row in rows("calls_ended")),
        ((row[0], _seed_ended(row[1:])) for row in rows("seeds_ended")),
        ((row[0], rare_event(row[1], row[2])) for row in rows("events")),
    ]
    if has_turns(db):
        streams.append((row[0], TurnNoted(*row[1:])) for row in rows("turns_noted"))
    yield from (event for _, event in heapq.merge(*streams, key=lambda pair: pair[0]))


def history(db: sqlite3.Connection, seed: int) -> list[Event]:
    """All events of one seed, in order."""

    def rows(table: str) -> sqlite3.Cursor:
        return db.execute(f"SELECT * FROM {table} WHERE seed = ? ORDER BY event", (seed,))

    found: list[tuple[int, Event]] = [(row[0], CallStarted(*row[1:])) for row in rows("calls_started")]
    found += [(row[0], _call_ended(row)) for row in rows("calls_ended")]
    found += [(row[0], _seed_ended(row[1:])) for row in rows("seeds_ended")]
    if has_turns(db):
        found += [(row[0], TurnNoted(*row[1:])) for row in rows("turns_noted")]
    reopened = "SELECT e.event, e.kind, e.data FROM seeds_reopened AS r JOIN events AS e USING (event) WHERE r.seed = ?"
    found += [(event, rare_event(kind, data)) for event, kind, data in db.execute(reopened, (seed,))]
    return [event for _, event in sorted(found, key=lambda pair: pair[0])]


def stories(db: sqlite3.Connection, outcomes: frozenset[Outcome], after: int) -> Iterator[tuple[int, Story]]:
    """Ended seeds in the order of their ends, each with its event number: the newest end of each, unless reopened."""
    states = ",".join(str(int(STATE_OF[outcome])) for outcome in outcomes)
    width = 11
    query = f"""SELECT e.event, s.key, n.model, n.fingerprint, n.simulated,
            e.utc, e.at, e.seed, e.call, e.outcome, e.label, e.reason, e.attempts, e.started, e.payload, e.session,
            c.* FROM seeds_ended AS e JOIN seeds AS s ON s.number = e.seed
            JOIN sessions AS n ON n.session = e.session
            LEFT JOIN calls_ended AS c ON c.call = e.call AND e.call > 0
            WHERE e.event > ? AND s.state IN ({states}) AND NOT EXISTS (
                SELECT 1 FROM seeds_reopened AS r WHERE r.seed = e.seed AND r.event > e.event)
            ORDER BY e.event"""
    noted = has_turns(db) and db.execute("SELECT 1 FROM turns_noted LIMIT 1").fetchone() is not None
    for event, key, model, fingerprint, simulated, *rest in db.execute(query, (after,)):
        ended = _seed_ended(rest[:width])
        call = _call_ended(rest[width:]) if rest[width] is not None else None
        started_utc = ended.utc - (ended.at - ended.started)
        notes = turns(db, ended.seed, event) if noted else ()
        yield event, Story(key, ended, call, started_utc, model, fingerprint, bool(simulated), notes)


def turns(db: sqlite3.Connection, seed: int, before: int) -> tuple[TurnNoted, ...]:
    """The notes of a seed's newest conversation, as far as they were written before that event."""
    rows = db.execute("SELECT * FROM turns_noted WHERE seed = ? AND event < ? ORDER BY event", (seed, before))
    return tuple(latest([TurnNoted(*row[1:]) for row in rows]))


def call_ended(db: sqlite3.Connection, call: int) -> CallEnded | None:
    """The end of a call; None when it has none."""
    row = db.execute("SELECT * FROM calls_ended WHERE call = ?", (call,)).fetchone()
    return None if row is None else _call_ended(row)


def _call_ended(row: Sequence[Any]) -> CallEnded:
    _, utc, at, call, seed, label, detail, status, finish, model, tin, tout, cached, reasoning, maybe, request, body = (
        row
    )
    usage = Usage(tin, tout, cached, reasoning)
    return CallEnded(utc, at, call, seed, label, detail, status, finish, model, usage, bool(maybe), request, body)


def _seed_ended(row: Sequence[Any]) -> SeedEnded:
    utc, at, seed, call, outcome, label, reason, attempts, started, payload, _ = row
    return SeedEnded(utc, at, seed, call, Outcome(outcome), label, reason, attempts, started, payload)


def rare_event(kind: str, data: str) -> Event:
    """A rare event of that name, from its JSON text."""
    values = json.loads(data)
    if kind == SeedReopened.__name__:
        values["was"] = Outcome(values["was"])
    event: Event = _RARE[kind](**values)
    return event
