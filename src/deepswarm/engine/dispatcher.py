"""The sole owner of a run's state: hands seeds to workers, writes what they bring back, and knows when to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from deepswarm.core.errors import CallError, DeepSwarmError, DiskFull
from deepswarm.core.events import CallEnded, CallStarted, Event, RunPaused, RunResumed
from deepswarm.core.health import Health, Paused, Sent
from deepswarm.core.records import Json, Record, Reply, SeedRow
from deepswarm.core.scheduler import CHUNK, How, Scheduler, Stop
from deepswarm.engine.clock import Clock
from deepswarm.engine.gate import Gate
from deepswarm.journals import Journal
from deepswarm.report.progress import duration


class Lease(NamedTuple):
    """A worker's claim on a seed, and the number of the call that is already written down for it.

    `probe` says that this call is let through a pause, to see whether it is over.
    """

    row: SeedRow
    payload: bytes
    fields: Mapping[str, Json]
    call: int
    started: float
    attempt: int
    probe: bool = False


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
        say: Shows a line to whoever is looking.
    """

    journal: Journal
    seeds: SeedReader
    output: Output
    scheduler: Scheduler
    health: Health
    clock: Clock
    watch: Callable[[Sequence[Event]], None]
    say: Callable[[str], None]
    calls: int
    gate: Gate = field(init=False)
    _heard: asyncio.Event = field(default_factory=asyncio.Event)
    _notes: list[Event] = field(default_factory=list)
    _paused_at: float = 0.0
    _models: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make the gate that all workers pass."""
        self.gate = Gate(self.health, self.scheduler, self.clock.monotonic, self._told, self._given_up)

    async def exchange(self, worker: int, finding: Finding) -> Lease | None:
        """Bring back what was found and take the next seed, in one durable step.

        The intent of the next call is written with the end of the last one, so that a slot waits for the disk once per
        seed, and never starts a call before its last result is safe.

        Returns:
            The next seed with its call already written down; None when there is nothing more to do.
        """
        probe = False
        if self.gate.closed:
            await self.close(finding)
            finding = NOTHING
            probe = await self.gate.passed()
        opened = self._next(worker)
        if opened is None:
            if probe:
                self.gate.unused()
            await self.close(finding)
            return None
        row, payload, fields = opened
        self.calls += 1
        call = self.calls
        await self._write([*finding.events, self._intent(call, row, 1)], finding)
        return await self._sendable(Lease(row, payload, fields, call, self.clock.monotonic(), 1, probe))

    async def close(self, finding: Finding) -> None:
        """Bring back what was found, without taking more."""
        if finding.events:
            await self._write(finding.events, finding)

    async def wait(self, ended: CallEnded, seconds: float) -> bool:
        """Write the end of a call and wait: so many seconds, and until a call may start.

        Returns:
            Whether the next call is a probe.
        """
        await self._write([ended], NOTHING)
        await self.gate.rest(seconds)
        return await self.gate.passed()

    async def again(self, lease: Lease, attempt: int, *, probe: bool) -> Lease | None:
        """Write the intent of one more call for the same seed.

        Returns:
            The lease for that call; None when the run has stopped, which leaves the seed as it was.
        """
        if self.scheduler.stopped is not None:
            return None
        self.calls += 1
        call = self.calls
        await self._write([self._intent(call, lease.row, attempt)], NOTHING)
        started = self.clock.monotonic()
        return await self._sendable(lease._replace(call=call, attempt=attempt, started=started, probe=probe))

    def heard(self, lease: Lease, result: Reply | CallError) -> None:
        """Take note of what became of a call: it says how the endpoint is."""
        now = self.clock.monotonic()
        call = Sent(lease.row.number, lease.started, lease.attempt, lease.probe)
        if isinstance(result, CallError):
            self.health.failed(result, call, now)
            if self.health.refused is not None:
                self.stop(How.REFUSED, self.health.refused)
        else:
            self.health.served(call, now)
            if result.model not in self._models:
                self._another_model(result.model)
        self.gate.look()
        self._heard.set()

    def _another_model(self, model: str) -> None:
        """A model's name that has not answered before: the first one is expected, every other one is worth a word."""
        if self._models and model:
            self.say(f"replies now also come from {model}; until now from {', '.join(sorted(self._models))}")
        self._models.add(model)

    async def contact(self, most_s: float) -> None:
        """Wait until the first call has ended, but not longer than so many seconds."""
        try:
            async with asyncio.timeout(most_s):
                await self._heard.wait()
        except TimeoutError:
            return

    def noted(self) -> list[Event]:
        """What happened to the run as a whole and is not written down yet."""
        notes, self._notes = self._notes, []
        return notes

    def pause(self, error: CallError) -> None:
        """Let nothing through but probes, for this reason."""
        self.health.pause(error, self.clock.monotonic())
        self.gate.look()

    def stop(self, how: How, why: str) -> None:
        """Start nothing new; what is in flight ends by itself."""
        self.scheduler.stop(Stop(how, why))
        self.gate.wake()

    def _told(self, paused: Paused | None) -> None:
        """A pause begins, or ends: for the journal, with the next thing that is written, and for people."""
        utc, now = self.clock.now()
        if paused is None:
            self._notes.append(RunResumed(utc, now, now - self._paused_at))
            self.say(f"going on after {duration(now - self._paused_at)}")
            return
        self._paused_at = paused.since
        wakes_utc = None if paused.wakes_at is None else utc + paused.wakes_at - now
        self._notes.append(RunPaused(utc, now, paused.label, paused.why, wakes_utc))
        again = f"one call tries again in {duration(paused.probe_at - now)}, then less and less often"
        self.say(f"paused ({paused.label}): {paused.why}; {again}. No seed is lost")

    def _given_up(self, paused: Paused) -> None:
        """A pause lasts too long: end the run, so that it can go on later."""
        wakes_at = paused.wakes_at
        later = f"; try again in {duration(wakes_at - self.clock.monotonic())}" if wakes_at is not None else ""
        self.stop(How.PAUSED, f"{paused.label}: {paused.why}{later}")

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

    async def _sendable(self, lease: Lease) -> Lease | None:
        """The lease, unless the run stopped or paused while its intent was being written: then that is taken back."""
        if self.scheduler.stopped is None and (lease.probe or self.health.paused is None):
            self.health.sending(lease.row.number, lease.started)
            return lease
        if lease.probe:
            self.gate.unused()
        why = "the run stopped, or paused, before it was sent"
        unsent = CallEnded(*self.clock.now(), lease.call, lease.row.number, "unsent", why)
        return await self.again(lease, lease.attempt, probe=await self.wait(unsent, 0.0))

    async def _write(self, events: Sequence[Event], finding: Finding) -> None:
        """Make events durable, then let output and watchers have them; those of the finding stand first."""
        if self._notes:
            events = [*events, *self.noted()]
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
