"""The journal in one SQLite file with a write-ahead log.

    here                 when is written: commits, their company, the disk
    sqlite_file.py       the file: tables, opening, errors
    sqlite_rows.py       what is written: events as rows, and back
    sqlite_enrolment.py  the seeds file against the seeds that are known

Rules of this file:

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
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from deepswarm.core.errors import DiskFull, JournalError
from deepswarm.core.events import FORMAT, CallEnded, CallStarted, Event, SeedReopened, TurnNoted
from deepswarm.core.ledger import Story, counted
from deepswarm.core.records import STATE_OF, Incoming, Outcome, SeedRow, SeedState, Totals
from deepswarm.core.transcript import transcript_of
from deepswarm.journals import Command, Enrolment
from deepswarm.journals.inbox import pending
from deepswarm.journals.skimming import skim
from deepswarm.journals.sqlite_enrolment import OUTCOME, Changed, accept, enrol
from deepswarm.journals.sqlite_file import (
    LOG_BYTES,
    checkpoint,
    connect,
    connect_reader,
    explained,
    inflate,
    transaction,
)
from deepswarm.journals.sqlite_rows import Rows, call_ended, history, insert, replay, stories, turns

FILE: Final = "journal.sqlite"
GATHER_S: Final = 0.015
"""Most seconds that a commit waits for company; with the commit itself, results are durable well within 50 ms."""

_OPENED: Final = "SELECT max(event) FROM turns_noted WHERE seed = ? AND kind = 'opened'"
_BEGUN_ANEW: Final = """
    SELECT max(r.event) FROM seeds_reopened AS r JOIN events AS e USING (event)
    WHERE r.seed = ? AND (json_extract(e.data, '$.was') <> 'failed' OR json_extract(e.data, '$.why') <> 'retry')"""
"""When a seed was last reopened so that its conversation begins anew: all but those that failed go on."""
_ROW: Final = 'number, key, content, place, size, "order", sample'
_BAD: Final = f"{int(SeedState.REJECTED)}, {int(SeedState.FAILED)}"

_datasync: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


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
        self._waiting: list[asyncio.Future[None]] = []
        self._notes: dict[str, str] = {}
        self._wanted = asyncio.Event()
        self._all_here = asyncio.Event()
        self._log_fd = -1
        self._reopened = False
        self._session = 0
        self._selected: int | None = None
        with explained(self.path):
            self._db = connect(self.path, readonly=readonly)
            self._read()
            # The journal's thread may be moving the log while the next seeds are read.
            self._reader = connect_reader(self.path)
        self._ballast = folder / "ballast"
        if not readonly:
            self._threads = ThreadPoolExecutor(1, thread_name_prefix="journal")
            inflate(self._ballast)

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self.path)!r}, {self._totals!r}, pending={len(self._pending)})"

    def _read(self) -> None:
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
        """See `Journal.enrol`."""
        with explained(self.path):
            enrolment, changed = enrol(self._db, seeds, total)
        if accepted is not None and changed:
            self._accept(changed, accepted)
        with explained(self.path):
            self._recount()
            checkpoint(self._db)
        return enrolment

    def _accept(self, changed: Sequence[Changed], now: tuple[float, float]) -> None:
        """Reopen ended seeds, then take their new content; after a crash in between, the next reading takes it."""
        labels = self._labels() if any(OUTCOME[state] is not Outcome.DONE for _, _, state, _ in changed) else {}
        self._write_at_once(
            [
                SeedReopened(*now, number, OUTCOME[state], "changed", labels.get(number, ""))
                for number, _, state, _ in changed
            ]
        )
        with explained(self.path):
            accept(self._db, changed)

    def select(self, total: int | None) -> None:
        """See `Journal.select`."""
        self._selected = total
        with explained(self.path):
            self._recount()

    def _recount(self) -> None:
        query = f"SELECT state, count(*) FROM seeds WHERE {self._within()} GROUP BY state"
        counts = dict(self._db.execute(query))
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

    def _within(self) -> str:
        """The condition that selects seeds."""
        return "1" if self._selected is None else f'("order" < {int(self._selected)} OR "order" IS NULL)'

    def left(self, after: int, most: int) -> list[SeedRow]:
        """See `Journal.left`."""
        below = 1 << 62 if self._selected is None else self._selected
        with explained(self.path):
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
            SeedReopened(*now, seed, Outcome(outcome), "retry", "" if outcome == Outcome.DONE else label)
            for seed, outcome, label in rows
            if labels is None or label in labels
        ]
        self._write_at_once(events)
        with explained(self.path):
            self._recount()
        return len(events)

    def _labels(self, within: str = "1") -> dict[int, str]:
        """The classes of the last ends of all seeds that are rejected or failed, by their numbers."""
        return dict(
            self._rows(
                f"""SELECT seed, label FROM seeds JOIN
                    (SELECT seed, label, max(event) FROM seeds_ended WHERE outcome <> 'done' GROUP BY seed)
                    ON seed = number WHERE state IN ({_BAD}) AND {within}"""
            )
        )

    def failed_by_class(self) -> Counter[str]:
        """See `Journal.failed_by_class`."""
        return Counter(self._labels(self._within()).values())

    def rows_named(self, key: str) -> list[tuple[SeedRow, SeedState]]:
        """See `Journal.rows_named`."""
        query = f'SELECT {_ROW}, state FROM seeds WHERE key = ? AND "order" IS NOT NULL ORDER BY sample'
        with explained(self.path):
            return [(SeedRow(*row), SeedState(state)) for *row, state in self._reader.execute(query, (key,))]

    def in_vain(self, labels: frozenset[str]) -> list[tuple[SeedRow, Outcome, str]]:
        """See `Journal.in_vain`. Reads all ends of such seeds, on a way of its own: it may be called in a thread."""
        query = f"""SELECT {_ROW}, outcome, label FROM seeds JOIN
            (SELECT seed, outcome, label, max(event) FROM seeds_ended WHERE outcome <> 'done' GROUP BY seed)
            ON seed = number WHERE state IN ({_BAD}) AND {self._within()} AND "order" IS NOT NULL ORDER BY "order" """
        with explained(self.path), closing(connect_reader(self.path)) as db:
            found = [(SeedRow(*row), Outcome(outcome), label) for *row, outcome, label in db.execute(query)]
        return [each for each in found if not labels or each[2] in labels]

    def commands(self) -> list[Command]:
        """See `Journal.commands`; read from beside, as the journal's thread may be moving the log."""
        with explained(self.path):
            return pending(self._reader)

    def _write_at_once(self, reopened: Sequence[SeedReopened]) -> None:
        self._write(reopened)
        self._numbered = self._totals.last_event
        self._reopened = self._reopened or bool(reopened)

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> list[Any]:
        with explained(self.path):
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
        self._pending += events
        self._numbered += len(events)
        number = self._numbered
        # Everyone waits for a future of their own: who is cancelled while waiting leaves the others alone.
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(durable)
        self._wanted.set()
        if len(self._waiting) >= self.writers:
            self._all_here.set()
        await durable
        return number

    async def keep(self) -> None:
        """See `Journal.keep`. The one place where a commit waits for the disk."""
        loop = asyncio.get_running_loop()
        while True:
            await self._wanted.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._all_here.wait()
            batch, waiting = self._take()
            try:
                self._write(batch)
                await loop.run_in_executor(self._threads, self._sync)
            except JournalError as error:
                self._failed(waiting, error)
            else:
                _wake(waiting)

    def _take(self) -> tuple[list[Event], list[asyncio.Future[None]]]:
        """What is pending, and who waits for it; those who come later wait for the next commit."""
        batch, waiting = self._pending, self._waiting
        self._pending, self._waiting = [], []
        self._wanted.clear()
        self._all_here.clear()
        return batch, waiting

    def flush(self) -> None:
        """Write what is pending at once, waiting for the disk: for the moment of leaving."""
        batch, waiting = self._take()
        try:
            if batch or self._notes:
                self._write(batch)
                self._sync()
        except JournalError as error:
            self._failed(waiting, error)
            raise
        _wake(waiting)

    def _failed(self, waiting: Sequence[asyncio.Future[None]], error: JournalError) -> None:
        """Tell those who wait; the numbers of events that were not written are given again."""
        self._numbered = self._totals.last_event + len(self._pending)
        for durable in waiting:
            if not durable.done():
                durable.set_exception(error)

    def _write(self, events: Sequence[Event]) -> None:
        """One transaction for all of them; a full disk gets the ballast and one more chance."""
        try:
            with explained(self.path):
                self._commit(events)
        except DiskFull as full:
            self.trouble = full
            if not self._ballast.exists():
                raise
            self._ballast.unlink()
            with explained(self.path):
                self._commit(events)

    def _commit(self, events: Sequence[Event]) -> None:
        rows = Rows(self._totals.last_event, self._open.copy(), self._session)
        rows.add(events)
        totals = counted(self._totals, events)
        oldest = next(iter(rows.open.values()), totals.last_event + 1)
        db = self._db
        with transaction(db):
            rows.insert(db)
            insert(db, "meta", 2, list(chain.from_iterable(self._notes.items())), "OR REPLACE ")
            db.execute("UPDATE totals SET data = ?, oldest_open = ?", (json.dumps(asdict(totals)), oldest))
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
            with explained(self.path):
                checkpoint(self._db)

    def replay(self, after: int = 0) -> Iterator[Event]:
        """See `Journal.replay`."""
        with explained(self.path):
            yield from replay(self._db, after)

    def skim(self, after: int = 0, *, bodies: bool = False) -> Iterator[tuple[int, list[Event]]]:
        """See `skimming.skim`: all events after that number, in windows, without payloads."""
        with explained(self.path):
            yield from skim(self._db, after, self._totals.last_event, bodies=bodies)

    def stories(self, outcomes: frozenset[Outcome], after: int = 0) -> Iterator[tuple[int, Story]]:
        """See `Journal.stories`."""
        with explained(self.path):
            yield from stories(self._db, outcomes, after)

    def turns(self, seed: int) -> tuple[tuple[TurnNoted, ...], CallEnded | None]:
        """See `Journal.turns`."""
        with explained(self.path):
            notes = turns(self._reader, seed, 1 << 62)
            if not notes:
                return (), None
            begun = self._reader.execute(_BEGUN_ANEW, (seed,)).fetchone()[0]
            first = self._reader.execute(_OPENED, (seed,)).fetchone()[0]
            if begun is not None and begun > first:
                return (), None
            call = transcript_of(notes).call
            return notes, call_ended(self._reader, call) if call else None

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

    def tasks(self) -> dict[str, dict[str, Any]]:
        """The task of each fingerprint under which seeds were asked, in the order of the sessions."""
        rows = self._rows("SELECT fingerprint, task FROM sessions ORDER BY session")
        return {fingerprint: json.loads(task) for fingerprint, task in rows}

    def seeds_named(self, key: str) -> list[tuple[int, SeedState]]:
        """Number and state of the seeds with this key: one for each sample, none when it is not known."""
        rows = self._rows("SELECT number, state FROM seeds WHERE key = ? ORDER BY sample", (key,))
        return [(number, SeedState(state)) for number, state in rows]

    def keys(self) -> Iterator[str]:
        """The keys of all seeds, in the order in which the journal came to know them."""
        with explained(self.path):
            yield from (row[0] for row in self._db.execute("SELECT key FROM seeds ORDER BY number"))

    def story_of(self, seed: int) -> Story:
        """The story of an ended seed.

        Raises:
            LookupError: If it has not ended, or was reopened.
        """
        last = self._rows("SELECT max(event) FROM seeds_ended WHERE seed = ?", (seed,))[0][0]
        for event, story in self.stories(frozenset(Outcome), (last or 1) - 1):
            if event == last:
                return story
            break
        raise LookupError(seed)

    def history(self, seed: int) -> list[Event]:
        """All events of one seed, in order. No index knows calls by their seeds: a second for a million calls."""
        with explained(self.path):
            return history(self._db, seed)

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
            with suppress(JournalError), explained(self.path):
                checkpoint(self._db)
            self._ballast.unlink(missing_ok=True)
        if self._log_fd >= 0:
            os.close(self._log_fd)
        self._reader.close()
        self._db.close()


def _wake(waiting: Iterable[asyncio.Future[None]]) -> None:
    """Let those who wait go on, in the order in which they came."""
    for durable in waiting:
        if not durable.done():
            durable.set_result(None)
