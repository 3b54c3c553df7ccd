"""The journal in one SQLite file with a write-ahead log.

Rules of this file:

* One table per frequent kind of event, each row under the event's number, so that all tables together are one ordered
  list; rare events share a table and are JSON. `seeds` holds the folded state.
* A commit writes the log without waiting for the disk (an intent must survive the death of the process, not of the
  machine). `append` returns after one fdatasync of the log, made in a thread, for all that came in meanwhile.
* SQLite's own checkpoints are off; the log is moved into the file in that same thread when it has grown.
* A ballast file is given back to a full disk, so that what is in flight, and paid for, can still be written.

Source of the durability rules: sqlite.org/wal.html and sqlite.org/pragma.html#pragma_synchronous (NORMAL: the log is
synced before a checkpoint, not at a commit; we sync it ourselves).
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar
from urllib.parse import quote

from deepswarm.core.errors import DiskFull, JournalDamaged, JournalError
from deepswarm.core.events import (
    FORMAT,
    CallEnded,
    CallStarted,
    CommandTaken,
    Event,
    PaceChosen,
    RunEnded,
    RunStarted,
    SeedEnded,
    SeedReopened,
    SeedsChanged,
)
from deepswarm.core.identity import content_key
from deepswarm.core.ledger import Story, counted
from deepswarm.core.records import (
    STATE_OF,
    Incoming,
    Outcome,
    SeedRow,
    SeedState,
    Totals,
    Usage,
)
from deepswarm.journals import Enrolment

FILE: Final = "journal.sqlite"
GATHER_S: Final = 0.015
"""Most seconds that a commit waits for company; with the commit itself, results are durable well within 50 ms."""
LOG_BYTES: Final = 16 * 1024 * 1024
"""Size of the log at which it is moved into the file."""
CHUNK: Final = 64
"""Most rows of one statement."""
BALLAST_BYTES: Final = 16 * 1024 * 1024
NAMED: Final = 100
"""Most keys that a report names."""

_SEEDS_KEY: Final = "CREATE UNIQUE INDEX seeds_key ON seeds (key, sample)"
_SEEDS_LEFT: Final = f'CREATE INDEX seeds_left ON seeds ("order") WHERE state = {int(SeedState.LEFT)}'
_SCHEMA = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
-- One row per seed and sample; "order" is its place in the file, NULL when it is no longer there.
CREATE TABLE seeds (
    number INTEGER PRIMARY KEY, key TEXT NOT NULL, sample INTEGER NOT NULL DEFAULT 0, content BLOB NOT NULL,
    place INTEGER NOT NULL, size INTEGER NOT NULL, "order" INTEGER, state INTEGER NOT NULL DEFAULT 0);
{_SEEDS_KEY};
{_SEEDS_LEFT};
CREATE TABLE calls_started (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, call INTEGER, seed INTEGER, attempt INTEGER, turn INTEGER,
    tier INTEGER, endpoint INTEGER);
CREATE TABLE calls_ended (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, call INTEGER, seed INTEGER, label TEXT, detail TEXT, status INTEGER,
    finish_reason TEXT, model TEXT, tokens_in INTEGER, tokens_out INTEGER, cached INTEGER, reasoning INTEGER,
    maybe_billed INTEGER, request_id TEXT, body BLOB);
CREATE INDEX calls_ended_call ON calls_ended (call);
-- `session` is that of the process that wrote it.
CREATE TABLE seeds_ended (
    event INTEGER PRIMARY KEY, utc REAL, at REAL, seed INTEGER, call INTEGER, outcome TEXT, label TEXT, reason TEXT,
    attempts INTEGER, started REAL, payload BLOB, session INTEGER);
CREATE TABLE events (event INTEGER PRIMARY KEY, kind TEXT NOT NULL, data TEXT NOT NULL);
CREATE TABLE seeds_reopened (event INTEGER PRIMARY KEY, seed INTEGER);
CREATE INDEX seeds_reopened_seed ON seeds_reopened (seed);
CREATE TABLE sessions (session INTEGER PRIMARY KEY, fingerprint TEXT, task TEXT, model TEXT, simulated INTEGER,
    utc REAL, at REAL);
CREATE TABLE totals (one INTEGER PRIMARY KEY CHECK (one = 1), data TEXT NOT NULL, oldest_open INTEGER NOT NULL);
-- Room for what steers and bounds a run: commands of other processes, money set aside, the task's endpoints.
CREATE TABLE inbox (id INTEGER PRIMARY KEY, utc REAL, by TEXT, command TEXT, taken INTEGER);
CREATE TABLE reservations (call INTEGER PRIMARY KEY, account TEXT, tokens INTEGER, cost TEXT, until REAL);
CREATE TABLE endpoints (endpoint INTEGER PRIMARY KEY, base TEXT, model TEXT, account TEXT, tier INTEGER);
"""
_FIRST_ROWS = f"""
INSERT INTO meta VALUES ('format', '{FORMAT}');
INSERT INTO totals VALUES (1, '{json.dumps(asdict(Totals()))}', 1);
"""

_RARE: Final[dict[str, type[Any]]] = {
    kind.__name__: kind for kind in (RunStarted, RunEnded, PaceChosen, SeedsChanged, SeedReopened, CommandTaken)
}


class SqliteJournal:
    """A journal in `folder`/journal.sqlite, made when it is not there."""

    def __init__(self, folder: Path, *, readonly: bool = False) -> None:
        """Open the file.

        Raises:
            JournalError: If there is none and it was to be read only, or if a newer version wrote it.
            JournalDamaged: If it is not a sound SQLite file.
            DiskFull: If it cannot be made.
        """
        self.path = folder / FILE
        self.trouble: DiskFull | None = None
        self.writers = 1
        self._readonly = readonly
        self._pending: list[Event] = []
        self._notes: dict[str, str] = {}
        self._wanted = asyncio.Event()
        self._all_here = asyncio.Event()
        self._waiting = 0
        self._durable: asyncio.Future[None] | None = None
        self._log_fd = -1
        self._reopened = False
        self._session = 0
        self._selected: int | None = None
        with _explained(self.path):
            self._db = self._connect()
            self._read()
            # The journal's thread may be moving the log while the next seeds are read.
            self._reader = sqlite3.connect(f"file:{quote(str(self.path))}?mode=ro", uri=True, isolation_level=None)
        self._ballast = folder / "ballast"
        if not readonly:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="journal")
            _inflate(self._ballast)

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self.path)!r}, {self._totals!r}, pending={len(self._pending)})"

    def _connect(self) -> sqlite3.Connection:
        if self._readonly and not self.path.exists():
            message = f"{self.path}: there is no journal; nothing was run with this output folder"
            raise JournalError(message)
        db = sqlite3.connect(
            self.path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=5 * CHUNK
        )
        if self._readonly:
            db.execute("PRAGMA query_only = 1")
            return db
        if db.execute("PRAGMA schema_version").fetchone()[0] == 0:
            db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA journal_mode = WAL")
        for pragma in (
            "synchronous = NORMAL",
            "wal_autocheckpoint = 0",
            f"journal_size_limit = {LOG_BYTES // 4}",
            "cache_size = -1000",
            "temp_store = FILE",
            "temp.cache_size = -500",
        ):
            db.execute(f"PRAGMA {pragma}")
        db.create_function("content_key", 2, content_key, deterministic=True)
        if not _tables(db):
            db.executescript(f"BEGIN; {_SCHEMA} {_FIRST_ROWS} COMMIT;")
        return db

    def _read(self) -> None:
        tables = _tables(self._db)
        if not tables:
            raise JournalError(f"{self.path}: the journal is empty; nothing was run with this output folder")
        if "meta" not in tables:
            raise JournalDamaged(f"{self.path}: this is no journal but another program's file; move it away")
        written = int(self.noted("format") or 0)
        if written > FORMAT:
            message = (
                f"{self.path}: written by a newer DeepSwarm (format {written}, this one reads {FORMAT}); update it"
            )
            raise JournalError(message)
        data, self._oldest_open = self._db.execute("SELECT data, oldest_open FROM totals").fetchone()
        self._totals = Totals(**json.loads(data))
        self._session = self._db.execute("SELECT coalesce(max(session), 0) FROM sessions").fetchone()[0]
        self._numbered = self._totals.last_event
        self._open = {call: event for event, call in self._unended("event, call")}

    # --- seeds ---------------------------------------------------------------------------------------------------

    def enrol(
        self, seeds: Iterable[Incoming], total: int | None, accepted: tuple[float, float] | None = None
    ) -> Enrolment:
        """See `Journal.enrol`. A million seeds take some seconds and a constant amount of memory."""
        db = self._db
        with _explained(self.path):
            db.execute(
                "CREATE TEMP TABLE incoming "
                '("order" INTEGER PRIMARY KEY, key TEXT, content BLOB, place INTEGER, size INTEGER, line INTEGER)'
            )
            db.execute("BEGIN IMMEDIATE")
            try:
                rows = ((order, *seed) for order, seed in enumerate(seeds))
                db.executemany("INSERT INTO incoming VALUES (?,?,?,?,?,?)", rows)
                _name_the_nameless(db)
                duplicates = _duplicates(db)
                changed = [] if duplicates else _changed(db)
                enrolment = Enrolment(duplicates=duplicates) if duplicates else self._merge(total, changed)
                db.execute("ROLLBACK" if duplicates else "COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
            finally:
                db.execute("DROP TABLE IF EXISTS incoming")
        if accepted is not None and changed:
            self._accept(changed, accepted)
        with _explained(self.path):
            self._recount()
        self._checkpoint()
        return enrolment

    def _accept(self, changed: Sequence[_Changed], now: tuple[float, float]) -> None:
        """Reopen ended seeds, then take their new content; after a crash in between, the next reading takes it."""
        self._write([SeedReopened(*now, number, _OUTCOME[state], "changed") for number, _, state, _ in changed])
        self._numbered = self._totals.last_event
        self._reopened = True
        with _explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            contents = [(content, number) for number, _, _, content in changed]
            self._db.executemany("UPDATE seeds SET content = ? WHERE number = ?", contents)
            self._db.execute("COMMIT")

    def _merge(self, total: int | None, changed: Sequence[_Changed]) -> Enrolment:
        db = self._db
        missing = '"order" IS NOT NULL AND key NOT IN (SELECT key FROM incoming)'
        gone = _some(db, f"SELECT key FROM seeds WHERE {missing} ORDER BY number")
        db.execute(
            f"""UPDATE seeds SET "order" = NULL,
                state = CASE state WHEN {int(SeedState.LEFT)} THEN {int(SeedState.GONE)} ELSE state END
                WHERE {missing}"""
        )
        db.execute(
            f"""UPDATE seeds SET "order" = i."order", place = i.place, size = i.size,
                content = CASE WHEN {_ENDED} THEN seeds.content ELSE i.content END,
                state = CASE state WHEN {int(SeedState.GONE)} THEN {int(SeedState.LEFT)} ELSE state END
                FROM incoming AS i WHERE i.key = seeds.key"""
        )
        added = self._add(total)
        return Enrolment(added, *gone, tuple(key for _, key, _, _ in changed[:NAMED]), len(changed))

    def _add(self, total: int | None) -> int:
        """Take in the seeds that are new; how many.

        The first time the indices are made afterwards: sorting, instead of a million insertions at random places.
        """
        db = self._db
        first = db.execute("SELECT 1 FROM seeds LIMIT 1").fetchone() is None
        if first:
            db.execute("DROP INDEX seeds_key")
            db.execute("DROP INDEX seeds_left")
        within = "" if total is None else f'WHERE "order" < {int(total)}'
        added = db.execute(
            f"""INSERT {"" if first else "OR IGNORE"} INTO seeds (key, content, place, size, "order")
                SELECT key, content, place, size, "order" FROM incoming {within} ORDER BY "order" """
        ).rowcount
        if first:
            db.execute(_SEEDS_KEY)
            db.execute(_SEEDS_LEFT)
        return added

    def select(self, total: int | None) -> None:
        """See `Journal.select`."""
        self._selected = total
        with _explained(self.path):
            self._recount()

    def _recount(self) -> None:
        within = "1" if self._selected is None else f'("order" < {int(self._selected)} OR "order" IS NULL)'
        counts = dict(self._db.execute(f"SELECT state, count(*) FROM seeds WHERE {within} GROUP BY state"))
        left, done, rejected, failed, gone = (counts.get(int(state), 0) for state in SeedState)
        self._totals = replace(
            self._totals,
            seeds=left + done + rejected + failed,
            left=left,
            done=done,
            rejected=rejected,
            failed=failed,
            gone=gone,
        )

    def left(self, after: int, most: int) -> list[SeedRow]:
        """See `Journal.left`."""
        below = 1 << 62 if self._selected is None else self._selected
        with _explained(self.path):
            rows = self._reader.execute(
                f"""SELECT number, key, content, place, size, "order", sample FROM seeds
                    WHERE state = {int(SeedState.LEFT)} AND "order" > ? AND "order" < ? ORDER BY "order" LIMIT ?""",
                (after, below, most),
            )
            return [SeedRow(*row) for row in rows]

    def reopen(self, outcomes: frozenset[Outcome], labels: frozenset[str] | None, now: tuple[float, float]) -> int:
        """See `Journal.reopen`."""
        states = ",".join(str(int(STATE_OF[outcome])) for outcome in outcomes)
        rows = self._rows(
            f"""SELECT seed, outcome, label FROM seeds
                JOIN (SELECT seed, outcome, label, max(event) FROM seeds_ended GROUP BY seed) ON seed = number
                WHERE state IN ({states}) AND "order" IS NOT NULL ORDER BY seed"""
        )
        events = [
            SeedReopened(*now, seed, Outcome(outcome), "retry")
            for seed, outcome, label in rows
            if labels is None or label in labels
        ]
        self._write(events)
        self._numbered = self._totals.last_event
        self._reopened = self._reopened or bool(events)
        self._recount()
        return len(events)

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with _explained(self.path):
            return self._db.execute(query, parameters).fetchall()

    def totals(self) -> Totals:
        """See `Journal.totals`."""
        return self._totals

    def sessions(self) -> int:
        """See `Journal.sessions`."""
        return self._session

    def open_calls(self) -> list[CallStarted]:
        """See `Journal.open_calls`."""
        return [CallStarted(*row) for row in self._unended("utc, at, call, seed, attempt, turn, tier, endpoint")]

    def _unended(self, columns: str) -> list[Any]:
        """Calls without an end. None is older than the watermark, so that a million finished ones are not looked at."""
        return self._rows(
            f"""SELECT {columns} FROM calls_started AS s WHERE event >= ?
                AND NOT EXISTS (SELECT 1 FROM calls_ended AS e WHERE e.call = s.call) ORDER BY event""",
            (self._oldest_open,),
        )

    # --- events --------------------------------------------------------------------------------------------------

    async def append(self, events: Sequence[Event]) -> int:
        """See `Journal.append`."""
        self._pending.extend(events)
        self._numbered += len(events)
        number = self._numbered
        if self._durable is None:
            self._durable = asyncio.get_running_loop().create_future()
            self._wanted.set()
        self._waiting += 1
        if self._waiting >= self.writers:
            self._all_here.set()
        await asyncio.shield(self._durable)  # who is cancelled while waiting leaves the others alone
        return number

    async def keep(self) -> None:
        """See `Journal.keep`. The one place where a commit waits for the disk."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._all_here.wait()
            batch, durable = self._take()
            try:
                self._write(batch)
                await loop.run_in_executor(self._threads, self._sync)
            except JournalError as error:
                self._failed(durable, error)
            else:
                if durable is not None and not durable.done():
                    durable.set_result(None)

    def _take(self) -> tuple[list[Event], asyncio.Future[None] | None]:
        """What is pending, and who waits for it; those who come later wait for the next commit."""
        batch, durable = self._pending, self._durable
        self._pending, self._durable, self._waiting = [], None, 0
        self._wanted.clear()
        self._all_here.clear()
        return batch, durable

    def flush(self) -> None:
        """Write what is pending at once, waiting for the disk: for the moment of leaving."""
        batch, durable = self._take()
        try:
            if batch or self._notes:
                self._write(batch)
                self._sync()
        except JournalError as error:
            self._failed(durable, error)
            raise
        if durable is not None and not durable.done():
            durable.set_result(None)

    def _failed(self, durable: asyncio.Future[None] | None, error: JournalError) -> None:
        """Tell those who wait; the numbers of events that were not written are given again."""
        self._numbered = self._totals.last_event + len(self._pending)
        if durable is not None and not durable.done():
            durable.set_exception(error)

    def _write(self, events: Sequence[Event]) -> None:
        """One transaction for all of them; a full disk gets the ballast and one more chance."""
        try:
            with _explained(self.path):
                self._commit(events)
        except DiskFull as full:
            self.trouble = full
            if not self._ballast.exists():
                raise
            self._ballast.unlink()
            with _explained(self.path):
                self._commit(events)

    def _commit(self, events: Sequence[Event]) -> None:
        rows = _Rows(self._totals.last_event, self._open.copy(), self._session)
        for event in events:
            rows.add(event)
        totals = counted(self._totals, events)
        oldest = next(iter(rows.open.values()), totals.last_event + 1)
        db = self._db
        db.execute("BEGIN IMMEDIATE")
        try:
            rows.insert(db)
            _insert(db, "meta", list(self._notes.items()), "OR REPLACE ")
            db.execute("UPDATE totals SET data = ?, oldest_open = ?", (json.dumps(asdict(totals)), oldest))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
        self._notes = {}
        self._totals, self._open, self._session, self._oldest_open = totals, rows.open, rows.session, oldest

    def _sync(self) -> None:
        """Wait until the disk holds the log; runs in the journal's thread, but for the last time."""
        try:
            if self._log_fd < 0:
                self._log_fd = os.open(f"{self.path}-wal", os.O_RDONLY)
            _datasync(self._log_fd)
        except OSError as error:
            self.trouble = DiskFull(f"{self.path}: the disk does not take what is written ({error})")
            raise self.trouble from error
        if os.fstat(self._log_fd).st_size > LOG_BYTES:
            self._checkpoint()

    def _checkpoint(self) -> None:
        """Move the log into the file; the next commit then starts it anew. A reader, here or elsewhere, delays that."""
        with _explained(self.path):
            try:
                self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                    raise

    def replay(self, after: int = 0) -> Iterator[Event]:
        """See `Journal.replay`."""
        import heapq

        with _explained(self.path):
            streams: list[Iterator[tuple[int, Event]]] = [
                ((row[0], CallStarted(*row[1:])) for row in self._after("calls_started", after)),
                ((row[0], _call_ended(row)) for row in self._after("calls_ended", after)),
                ((row[0], _seed_ended(row[1:])) for row in self._after("seeds_ended", after)),
                ((row[0], _rare(row[1], row[2])) for row in self._after("events", after)),
            ]
            yield from (event for _, event in heapq.merge(*streams, key=lambda pair: pair[0]))

    def _after(self, table: str, event: int) -> sqlite3.Cursor:
        return self._db.execute(f"SELECT * FROM {table} WHERE event > ? ORDER BY event", (event,))

    def stories(self, outcomes: frozenset[Outcome], after: int = 0) -> Iterator[tuple[int, Story]]:
        """See `Journal.stories`."""
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
        with _explained(self.path):
            for event, key, model, fingerprint, simulated, *rest in self._db.execute(query, (after,)):
                ended = _seed_ended(rest[:width])
                call = _call_ended(rest[width:]) if rest[width] is not None else None
                started_utc = ended.utc - (ended.at - ended.started)
                yield event, Story(key, ended, call, started_utc, model, fingerprint, bool(simulated))

    # --- small things --------------------------------------------------------------------------------------------

    def note(self, name: str, value: str) -> None:
        """See `Journal.note`."""
        self._notes[name] = value

    def noted(self, name: str) -> str | None:
        """See `Journal.noted`."""
        if name in self._notes:
            return self._notes[name]
        rows = self._rows("SELECT value FROM meta WHERE name = ?", (name,))
        return rows[0][0] if rows else None

    def task(self) -> dict[str, Any]:
        """The task of the newest session, as its task file had it; empty before the first one."""
        rows = self._rows("SELECT task FROM sessions ORDER BY session DESC LIMIT 1")
        return json.loads(rows[0][0]) if rows else {}

    @property
    def simulated(self) -> bool:
        """Whether any session's replies came from the simulated provider."""
        return bool(self._rows("SELECT max(simulated) FROM sessions")[0][0])

    @property
    def replaced(self) -> bool:
        """Whether seeds were reopened since this process opened the journal: then the output is written anew."""
        return self._reopened

    def close(self) -> None:
        """See `Journal.close`."""
        if not self._readonly:
            self._threads.shutdown()
            with suppress(JournalError):
                self._checkpoint()
            self._ballast.unlink(missing_ok=True)
        if self._log_fd >= 0:
            os.close(self._log_fd)
        self._reader.close()
        self._db.close()


class _Rows:
    """The rows of one commit, by table, and what they change beside it."""

    def __init__(self, last_event: int, opened: dict[int, int], session: int) -> None:
        self.number, self.open, self.session = last_event, opened, session
        self._started: list[tuple[Any, ...]] = []
        self._ended: list[tuple[Any, ...]] = []
        self._outcomes: list[tuple[Any, ...]] = []
        self._states: dict[int, SeedState] = {}
        self._rare: list[tuple[int, str, str]] = []
        self._reopened: list[tuple[int, int]] = []
        self._sessions: list[RunStarted] = []

    def add(self, event: Event) -> None:
        self.number = number = self.number + 1
        if isinstance(event, CallStarted):
            self._started.append((number, *event))
            self.open[event.call] = number
        elif isinstance(event, CallEnded):
            self._ended.append(_ended_row(number, event))
            self.open.pop(event.call, None)
        elif isinstance(event, SeedEnded):
            self._outcomes.append((number, *event, self.session))
            self._states[event.seed] = STATE_OF[event.outcome]
        else:
            self._rare.append((number, type(event).__name__, json.dumps(asdict(event))))
            if isinstance(event, SeedReopened):
                self._states[event.seed] = SeedState.LEFT
                self._reopened.append((number, event.seed))
            elif isinstance(event, RunStarted):
                self.session = event.session
                self._sessions.append(event)

    def insert(self, db: sqlite3.Connection) -> None:
        _insert(db, "calls_started", self._started)
        _insert(db, "calls_ended", self._ended)
        _insert(db, "seeds_ended", self._outcomes)
        for state in set(self._states.values()):
            for some in _chunks([seed for seed, newest in self._states.items() if newest is state]):
                marks = ",".join("?" * len(some))
                db.execute(f"UPDATE seeds SET state = {int(state)} WHERE number IN ({marks})", some)
        if self._rare:
            db.executemany("INSERT INTO events VALUES (?,?,?)", self._rare)
            db.executemany("INSERT INTO seeds_reopened VALUES (?,?)", self._reopened)
            db.executemany(
                "INSERT INTO sessions VALUES (?,?,?,?,?,?,?)",
                [
                    (
                        e.session,
                        e.fingerprint,
                        e.task,
                        json.loads(e.task).get("worker_model", ""),
                        e.simulated,
                        e.utc,
                        e.at,
                    )
                    for e in self._sessions
                ],
            )


_Row = TypeVar("_Row")


def _chunks(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """The rows in chunks of at most CHUNK: as few statements as can be kept prepared."""
    for at in range(0, len(rows), CHUNK):
        yield rows[at : at + CHUNK]


def _insert(db: sqlite3.Connection, table: str, rows: Sequence[tuple[Any, ...]], otherwise: str = "") -> None:
    """Insert whole rows, many to a statement.

    Python's lock is let go once a statement instead of once a row: the HTTP client's thread waits for it, and every
    change of hands costs more than the row.
    """
    for some in _chunks(rows):
        marks = "(" + ",".join("?" * len(some[0])) + ")"
        statement = f"INSERT {otherwise}INTO {table} VALUES {','.join([marks] * len(some))}"
        values = list(chain.from_iterable(some))
        try:
            db.execute(statement, values)
        except UnicodeEncodeError:
            db.execute(statement, [_sound(value) for value in values])


def _sound(value: Any) -> Any:
    """Lone surrogates, which UTF-8 cannot hold, become escapes; a provider's text may have them."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value


def _ended_row(number: int, event: CallEnded) -> tuple[Any, ...]:
    """In the order of the table's columns: those of the event, the usage spread out."""
    return (number, *event[:9], *event.usage, *event[10:])


def _call_ended(row: Sequence[Any]) -> CallEnded:
    _, utc, at, call, seed, label, detail, status, finish, model, tin, tout, cached, reasoning, maybe, request, body = (
        row
    )
    usage = Usage(tin, tout, cached, reasoning)
    return CallEnded(utc, at, call, seed, label, detail, status, finish, model, usage, bool(maybe), request, body)


def _seed_ended(row: Sequence[Any]) -> SeedEnded:
    utc, at, seed, call, outcome, label, reason, attempts, started, payload, _ = row
    return SeedEnded(utc, at, seed, call, Outcome(outcome), label, reason, attempts, started, payload)


def _rare(kind: str, data: str) -> Event:
    values = json.loads(data)
    if kind == SeedReopened.__name__:
        values["was"] = Outcome(values["was"])
    event: Event = _RARE[kind](**values)
    return event


def _tables(db: sqlite3.Connection) -> set[str]:
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _name_the_nameless(db: sqlite3.Connection) -> None:
    """Give seeds without an id their content's hash and occurrence number, in file order."""
    db.execute(
        """UPDATE incoming SET key = content_key(content, n.occurrence) FROM (
               SELECT "order" AS o, row_number() OVER (PARTITION BY content ORDER BY "order") AS occurrence
               FROM incoming WHERE key IS NULL) AS n WHERE incoming."order" = n.o"""
    )


def _duplicates(db: sqlite3.Connection) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Keys that stand more than once, and on which lines. The unique index finds them without holding them all."""
    try:
        db.execute("CREATE UNIQUE INDEX temp.incoming_key ON incoming (key)")
    except sqlite3.IntegrityError:
        found = db.execute(
            f"""SELECT key, group_concat(line) FROM (SELECT key, line FROM incoming ORDER BY "order")
                GROUP BY key HAVING count(*) > 1 ORDER BY min(line) LIMIT {NAMED}"""
        )
        return tuple((key, tuple(int(line) for line in lines.split(","))) for key, lines in found)
    return ()


_Changed: TypeAlias = tuple[int, str, int, bytes]
_ENDED: Final = f"state IN ({int(SeedState.DONE)},{int(SeedState.REJECTED)},{int(SeedState.FAILED)})"
_OUTCOME: Final = {int(state): outcome for outcome, state in STATE_OF.items()}


def _changed(db: sqlite3.Connection) -> list[_Changed]:
    """Ended seeds whose content is another one in the file: (number, key, state, new content)."""
    return db.execute(
        f"""SELECT number, key, state, i.content FROM seeds JOIN incoming AS i USING (key)
            WHERE {_ENDED} AND seeds.content <> i.content ORDER BY number"""
    ).fetchall()


def _some(db: sqlite3.Connection, query: str) -> tuple[tuple[str, ...], int]:
    """The first keys of a query, and how many there are in all."""
    count = db.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
    return tuple(key for (key,) in db.execute(f"{query} LIMIT {NAMED}")) if count else (), count


def _inflate(ballast: Path) -> None:
    """Set disk space aside; on a disk that is nearly full already, a tenth of what is free."""
    free = os.statvfs(ballast.parent)
    size = min(BALLAST_BYTES, free.f_bavail * free.f_frsize // 10)
    with suppress(OSError), ballast.open("wb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)


_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; its error codes are read, never its texts."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _FULL:
            message = f"{path}: the disk is full or cannot be written ({error}); free some space"
            raise DiskFull(message) from error
        if code in _DAMAGED:
            message = f"{path}: the journal is damaged ({error}); what results.jsonl holds is not touched by this"
            raise JournalDamaged(message) from error
        raise
