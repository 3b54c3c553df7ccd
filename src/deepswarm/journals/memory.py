"""The journal in memory: the plain definition of what a store does. For rehearsals and tests; a crash loses it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from deepswarm.core.errors import DiskFull
from deepswarm.core.events import (
    CallEnded,
    CallStarted,
    CommandTaken,
    Event,
    RunStarted,
    SeedEnded,
    SeedReopened,
    TurnNoted,
)
from deepswarm.core.identity import content_key
from deepswarm.core.ledger import Ledger, Story, fold
from deepswarm.core.records import STATE_OF, Incoming, Outcome, SeedRow, SeedState, Totals
from deepswarm.core.transcript import OPENED, latest, transcript_of
from deepswarm.journals import Command, Enrolment

NAMED = 100


@dataclass(slots=True)
class _Known:
    """A seed as it stands: its row, and whether the file still holds it."""

    row: SeedRow
    here: bool = True


class MemoryJournal:
    """A journal that is a list."""

    def __init__(self) -> None:
        """Start empty."""
        self.trouble: DiskFull | None = None
        self.writers = 1
        self.events: list[Event] = []
        self.inbox: dict[int, Command] = {}
        self._ledger = Ledger()
        self._seeds: dict[str, _Known] = {}
        self._notes: dict[str, str] = {}
        self._turns: dict[int, list[TurnNoted]] = {}
        self._selected: int | None = None

    def __repr__(self) -> str:
        return f"MemoryJournal({len(self.events)} events, {self.totals()!r})"

    def enrol(
        self, seeds: Iterable[Incoming], total: int | None, accepted: tuple[float, float] | None = None
    ) -> Enrolment:
        """See `Journal.enrol`."""
        incoming, lines = _by_key(seeds)
        duplicates = tuple((key, tuple(at)) for key, at in lines.items() if len(at) > 1)
        if duplicates:
            return Enrolment(duplicates=duplicates[:NAMED])
        gone = [key for key, known in self._seeds.items() if known.here and key not in incoming]
        for key in gone:
            self._seeds[key].here = False
        changed: list[_Known] = []
        added = 0
        for key, (order, seed) in incoming.items():
            known = self._seeds.get(key)
            if known is None:
                if total is None or order < total:
                    row = SeedRow(len(self._seeds) + 1, key, seed.content, seed.place, seed.size, order)
                    self._seeds[key] = _Known(row)
                    added += 1
                continue
            content = seed.content
            if self._ended(known.row.number) and content != known.row.content:
                changed.append(known)
                if accepted is None:
                    content = known.row.content
            known.here = True
            known.row = known.row._replace(content=content, place=seed.place, size=seed.size, order=order)
        changed.sort(key=lambda known: known.row.number)
        if accepted is not None:
            last = self._last_ends()
            self._add([_reopened(accepted, last[known.row.number], "changed") for known in changed])
        named = tuple(known.row.key for known in changed[:NAMED])
        return Enrolment(added, tuple(gone[:NAMED]), len(gone), named, len(changed))

    def _ended(self, number: int) -> bool:
        return self._ledger.states.get(number, SeedState.LEFT) is not SeedState.LEFT

    def select(self, total: int | None) -> None:
        """See `Journal.select`."""
        self._selected = total

    def _is_selected(self, known: _Known) -> bool:
        return not known.here or self._selected is None or known.row.order < self._selected

    def _state(self, known: _Known) -> SeedState:
        state = self._ledger.states.get(known.row.number, SeedState.LEFT)
        return SeedState.GONE if state is SeedState.LEFT and not known.here else state

    def left(self, after: int, most: int) -> list[SeedRow]:
        """See `Journal.left`."""
        rows = sorted(
            (
                known.row
                for known in self._seeds.values()
                if known.row.order > after and self._is_selected(known) and self._state(known) is SeedState.LEFT
            ),
            key=lambda row: row.order,
        )
        return rows[:most]

    def totals(self) -> Totals:
        """See `Journal.totals`."""
        counts = Counter(self._state(known) for known in self._seeds.values() if self._is_selected(known))
        left, done, rejected, failed, gone = (counts[state] for state in SeedState)
        return replace(
            self._ledger.totals,
            seeds=left + done + rejected + failed,
            left=left,
            done=done,
            rejected=rejected,
            failed=failed,
            gone=gone,
        )

    def sessions(self) -> int:
        """See `Journal.sessions`."""
        return self._ledger.sessions

    def open_calls(self) -> list[CallStarted]:
        """See `Journal.open_calls`."""
        return list(self._ledger.open_calls.values())

    def reopen(self, outcomes: frozenset[Outcome], labels: frozenset[str] | None, now: tuple[float, float]) -> int:
        """See `Journal.reopen`."""
        states = {STATE_OF[outcome] for outcome in outcomes}
        last = self._last_ends()
        events = [
            _reopened(now, last[known.row.number], "retry")
            for known in self._seeds.values()
            if known.here
            and self._state(known) in states
            and (labels is None or last[known.row.number].label in labels)
        ]
        self._add(events)
        return len(events)

    def _last_ends(self) -> dict[int, SeedEnded]:
        return {event.seed: event for event in self.events if isinstance(event, SeedEnded)}

    def failed_by_class(self) -> Counter[str]:
        """See `Journal.failed_by_class`."""
        last, bad = self._last_ends(), {SeedState.REJECTED, SeedState.FAILED}
        failed = [k.row.number for k in self._seeds.values() if self._is_selected(k) and self._state(k) in bad]
        return Counter(last[number].label for number in failed)

    def rows_named(self, key: str) -> list[tuple[SeedRow, SeedState]]:
        """See `Journal.rows_named`."""
        known = self._seeds.get(key)
        return [(known.row, self._state(known))] if known is not None and known.here else []

    def in_vain(self, labels: frozenset[str]) -> list[tuple[SeedRow, Outcome, str]]:
        """See `Journal.in_vain`."""
        last, bad = self._last_ends(), {SeedState.REJECTED, SeedState.FAILED}
        rows = [k.row for k in self._seeds.values() if k.here and self._is_selected(k) and self._state(k) in bad]
        found = [(row, last[row.number].outcome, last[row.number].label) for row in rows]
        return sorted((each for each in found if not labels or each[2] in labels), key=lambda each: each[0].order)

    def commands(self) -> list[Command]:
        """See `Journal.commands`."""
        return list(self.inbox.values())

    async def append(self, events: Sequence[Event]) -> int:
        """See `Journal.append`. There is no disk to wait for; the loop gets its turn, as with a real one."""
        self._add(events)
        number = len(self.events)
        await asyncio.sleep(0)
        return number

    def _add(self, events: Sequence[Event]) -> None:
        self.events.extend(events)
        fold(events, self._ledger)
        for event in events:
            if isinstance(event, TurnNoted):
                if event.kind == OPENED:
                    self._turns[event.seed] = []
                self._turns.setdefault(event.seed, []).append(event)
            elif isinstance(event, SeedReopened) and not (event.was is Outcome.FAILED and event.why == "retry"):
                self._turns.pop(event.seed, None)
            elif isinstance(event, CommandTaken):
                self.inbox.pop(event.number, None)

    async def keep(self) -> None:
        """See `Journal.keep`."""
        await asyncio.Event().wait()

    def flush(self) -> None:
        """Nothing is ever pending."""

    def replay(self, after: int = 0) -> Iterator[Event]:
        """See `Journal.replay`."""
        return iter(self.events[after:])

    def stories(self, outcomes: frozenset[Outcome], after: int = 0) -> Iterator[tuple[int, Story]]:
        """See `Journal.stories`."""
        keys = {known.row.number: known for known in self._seeds.values()}
        ends = {e.call: e for e in self.events if isinstance(e, CallEnded)}
        newest: dict[int, int] = {}
        for number, event in enumerate(self.events, 1):
            if isinstance(event, SeedEnded):
                newest[event.seed] = number
            elif isinstance(event, SeedReopened):
                newest.pop(event.seed, None)
        notes: dict[int, list[TurnNoted]] = {}
        session: RunStarted | None = None
        for number, event in enumerate(self.events, 1):
            if isinstance(event, TurnNoted):
                notes.setdefault(event.seed, []).append(event)
            if isinstance(event, RunStarted):
                session = event
            if not isinstance(event, SeedEnded) or newest.get(event.seed) != number or session is None:
                continue
            if number > after and event.outcome in outcomes:
                started = event.utc - (event.at - event.started)
                model = _model(session)
                story = Story(
                    keys[event.seed].row.key,
                    event,
                    ends.get(event.call),
                    started,
                    model,
                    session.fingerprint,
                    session.simulated,
                    tuple(latest(notes.get(event.seed, ()))),
                )
                yield number, story

    def turns(self, seed: int) -> tuple[tuple[TurnNoted, ...], CallEnded | None]:
        """See `Journal.turns`."""
        notes = tuple(self._turns.get(seed, ()))
        call = transcript_of(notes).call
        ended = next((e for e in self.events if isinstance(e, CallEnded) and e.call == call), None) if call else None
        return notes, ended

    def note(self, name: str, value: str) -> None:
        """See `Journal.note`."""
        self._notes[name] = value

    def noted(self, name: str) -> str | None:
        """See `Journal.noted`."""
        return self._notes.get(name)

    def close(self) -> None:
        """Nothing to let go of."""


def _reopened(now: tuple[float, float], end: SeedEnded, why: str) -> SeedReopened:
    label = "" if end.outcome is Outcome.DONE else end.label
    return SeedReopened(*now, end.seed, end.outcome, why, label)


def _by_key(seeds: Iterable[Incoming]) -> tuple[dict[str, tuple[int, Incoming]], dict[str, list[int]]]:
    """The file's seeds by key, with their order; and the lines of each key."""
    incoming: dict[str, tuple[int, Incoming]] = {}
    lines: dict[str, list[int]] = {}
    seen: Counter[bytes] = Counter()
    for order, seed in enumerate(seeds):
        key = seed.key
        if key is None:
            seen[seed.content] += 1
            key = content_key(seed.content, seen[seed.content])
        incoming.setdefault(key, (order, seed))
        lines.setdefault(key, []).append(seed.line)
    return incoming, lines


def _model(session: RunStarted) -> str:
    import json

    model = json.loads(session.task).get("worker_model", "")
    return str(model)
