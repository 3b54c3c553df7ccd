"""The sole owner of a run's state: hands seeds to workers, writes what they bring back, and knows when to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from deepswarm.core.errors import DeepSwarmError, DiskFull
from deepswarm.core.events import CallEnded, CallStarted, Event
from deepswarm.core.records import Json, Record, SeedRow
from deepswarm.core.scheduler import CHUNK, How, Scheduler, Stop
from deepswarm.engine.clock import Clock
from deepswarm.journals import Journal


class Lease(NamedTuple):
    """A worker's claim on a seed, and the number of the call that is already written down for it."""

    row: SeedRow
    payload: bytes
    fields: Mapping[str, Json]
    call: int
    started: float
    attempt: int


class Finding(NamedTuple):
    """What a worker brings back.

    Events for the journal and, when its seed has ended (which the last event says), the record for the output.
    """

    events: tuple[Event, ...]
    record: Record | None = None
    payload: bytes = b""


class SeedReader(Protocol):
    """Where payloads come from."""

    def read(self, row: SeedRow) -> tuple[bytes, dict[str, Json]]:
        """The seed's payload as JSON text, and its fields."""


class Output(Protocol):
    """Where records go once they are durable."""

    def add(self, record: Record, payload: bytes, event: int) -> None:
        """Take a record whose last event has this number; records come in the order of their numbers."""


NOTHING = Finding(())


@dataclass(slots=True)
class Dispatcher:
    """Owns the scheduler, the journal's pen and the output.

    Attributes:
        watch: Is told every event after it became durable; it cannot steer.
    """

    journal: Journal
    seeds: SeedReader
    output: Output
    scheduler: Scheduler
    clock: Clock
    watch: Callable[[Sequence[Event]], None]
    calls: int
    not_before: float = 0.0
    _stopping: asyncio.Event | None = None

    async def exchange(self, worker: int, finding: Finding) -> Lease | None:
        """Bring back what was found and take the next seed, in one durable step.

        The intent of the next call is written with the end of the last one, so that a slot waits for the disk once per
        seed, and never starts a call before its last result is safe.

        Returns:
            The next seed with its call already written down; None when there is nothing more to do.
        """
        if self.not_before > self.clock.monotonic():
            await self.close(finding)
            finding = NOTHING
            await self._held()
        opened = self._next(worker)
        if opened is None:
            await self.close(finding)
            return None
        row, payload, fields = opened
        self.calls += 1
        call = self.calls
        await self._write([*finding.events, self._intent(call, row, 1)], finding)
        return Lease(row, payload, fields, call, self.clock.monotonic(), 1)

    async def close(self, finding: Finding) -> None:
        """Bring back what was found, without taking more."""
        if finding.events:
            await self._write(finding.events, finding)

    async def again(self, lease: Lease, ended: CallEnded, seconds: float, attempt: int) -> Lease | None:
        """Write the end of a call, wait, and write the intent of the next one for the same seed.

        Returns:
            The lease for that call; None when the run stopped meanwhile, which leaves the seed as it was.
        """
        await self._write([ended], NOTHING)
        await self.rest(seconds)
        await self._held()
        if self.scheduler.stopped is not None:
            return None
        self.calls += 1
        call = self.calls
        await self._write([self._intent(call, lease.row, attempt)], NOTHING)
        return lease._replace(call=call, attempt=attempt, started=self.clock.monotonic())

    def hold(self, seconds: float) -> None:
        """Let no call start for so many seconds: the provider said so."""
        self.not_before = max(self.not_before, self.clock.monotonic() + seconds)

    async def rest(self, seconds: float) -> None:
        """Wait, but not longer than until the run stops."""
        if seconds <= 0 or self.scheduler.stopped is not None:
            return
        if self._stopping is None:
            self._stopping = asyncio.Event()
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def stop(self, how: How, why: str) -> None:
        """Start nothing new; what is in flight ends by itself."""
        self.scheduler.stop(Stop(how, why))
        if self._stopping is not None:
            self._stopping.set()

    def _next(self, worker: int) -> tuple[SeedRow, bytes, dict[str, Json]] | None:
        after = self.scheduler.wants
        if after is not None:
            self.scheduler.feed(self.journal.left(after, CHUNK))
        row = self.scheduler.take(worker)
        if row is None:
            return None
        try:
            payload, fields = self.seeds.read(row)
        except DeepSwarmError as error:
            self.stop(How.PAUSED, str(error))
            return None
        return row, payload, fields

    def _intent(self, call: int, row: SeedRow, attempt: int) -> CallStarted:
        utc, at = self.clock.now()
        return CallStarted(utc, at, call, row.number, attempt)

    async def _held(self) -> None:
        while (wait := self.not_before - self.clock.monotonic()) > 0 and self.scheduler.stopped is None:
            await self.rest(wait)

    async def _write(self, events: Sequence[Event], finding: Finding) -> None:
        """Make events durable, then let output and watchers have them; those of the finding stand first."""
        try:
            number = await self.journal.append(events)
        except DiskFull as full:
            self.stop(How.PAUSED, str(full))
            raise
        if self.journal.trouble is not None:
            self.stop(How.PAUSED, str(self.journal.trouble))
        if finding.record is not None:
            self._deliver(finding.record, finding.payload, number - len(events) + len(finding.events))
        self.watch(events)

    def _deliver(self, record: Record, payload: bytes, event: int) -> None:
        try:
            self.output.add(record, payload, event)
        except OSError as error:
            # The output is derived: what could not be written now is written from the journal later.
            self.stop(How.PAUSED, f"the output cannot be written: {error}; free some space")
