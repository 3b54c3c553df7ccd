"""The sole owner of a run's state: hands seeds to workers, writes what they bring back, and knows when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from deepswarm.core.errors import CallError, DeepSwarmError, DiskFull, Disposition, Overloaded
from deepswarm.core.events import CallEnded, CallStarted, Event, RunPaused, RunResumed, SeedReopened, TurnNoted
from deepswarm.core.health import Health, Paused, Sent
from deepswarm.core.pace import Begun, Fact, Failed, Pace, Refused, Served, Taken, Unsent
from deepswarm.core.pace.costs import Costs
from deepswarm.core.records import Call, Json, Record, Reply, SeedRow
from deepswarm.core.scheduler import CHUNK, How, Scheduler, Stop
from deepswarm.core.tiers import WORKER
from deepswarm.core.transcript import Transcript, transcript_of
from deepswarm.dialects.quotas import quotas
from deepswarm.engine.caller import Called
from deepswarm.engine.clock import Clock
from deepswarm.engine.gate import Gate
from deepswarm.engine.purse import Purse
from deepswarm.engine.timeline import Timeline
from deepswarm.journals import Journal
from deepswarm.report.words import duration


class Lease(NamedTuple):
    """A worker's claim on a seed, and the number of the call that is already written down for it.

    `probe` says that this call is let through a pause, to see whether it is over; `started` is when it left.
    `turn` and `tier` are those of its call; `told` is what its conversation has noted before, and the call that brought
    its last reply; `extra` is the bytes of its prompt that the seed is not to blame for.
    """

    row: SeedRow
    payload: bytes
    fields: Mapping[str, Json]
    call: int
    started: float
    attempt: int
    probe: bool = False
    turn: int = 1
    tier: int = 0
    told: tuple[tuple[TurnNoted, ...], CallEnded | None] = ((), None)
    extra: int = 0


class Finding(NamedTuple):
    """What a worker brings back.

    Events for the journal and, when its seed has ended (which the last event says), the record for the output.
    """

    events: tuple[Event, ...]
    record: Record | None = None
    payload: bytes = b""


class Consulting(Protocol):
    """Makes the calls beside the workers' own; see `engine/consulting.py`."""

    def has(self, tier: int) -> bool:
        """Whether there is such a tier, and it was not given up."""

    def call(self, tier: int) -> Call:
        """What all calls of a tier have in common."""

    async def consult(self, lease: Lease | None, call: Call, tier: int, purpose: str) -> Called:
        """See `Dispatcher.consult`."""

    def wake(self) -> None:
        """The run has stopped."""


class SeedReader(Protocol):
    """Where payloads come from."""

    def read(self, row: SeedRow) -> tuple[bytes, dict[str, Json]]:
        """The seed's payload as JSON text, and its fields."""


class Output(Protocol):
    """Where records go once they are durable."""

    def add(self, record: Record, payload: bytes, event: int) -> None:
        """Take a record whose last event has this number; records come in the order of their numbers."""


NOTHING = Finding(())
_NOTHING_TOLD: Final[tuple[tuple[TurnNoted, ...], CallEnded | None]] = ((), None)
_BEFORE: Final = Transcript()


@dataclass(slots=True)
class Dispatcher:
    """Owns the scheduler, the journal's pen and the output.

    Attributes:
        pace: Says when calls may leave.
        costs: What calls will cost in tokens.
        watch: Is told every event after it became durable; it cannot steer.
        departed: Is told the number of every call when it leaves, and when that is; it cannot steer either.
        say: Shows a line to whoever is looking.
        reopened: Seeds that had ended were asked again: records of their first ends stand in the output.
        most_calls: The run stops, resumable, before a call of a higher number.
        several: Whether seeds are conversations, which go on where an earlier session left them.
        purse: What may still be spent; None without a budget.
        consulting: Makes the calls beside the workers' own.
    """

    journal: Journal
    seeds: SeedReader
    output: Output
    scheduler: Scheduler
    health: Health
    pace: Pace
    costs: Costs
    clock: Clock
    watch: Callable[[Sequence[Event]], None]
    departed: Callable[[int, float], None]
    say: Callable[[str], None]
    calls: int
    reopened: bool = False
    gate: Gate = field(init=False)
    timeline: Timeline | None = None
    most_calls: float = math.inf
    several: bool = False
    purse: Purse | None = None
    consulting: Consulting | None = None
    _given: dict[int, bool] = field(default_factory=dict)
    _notes: list[Event] = field(default_factory=list)
    _early: set[int] = field(default_factory=set)
    _paused_at: float = 0.0
    _models: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Make the gate that all calls pass."""
        self.gate = Gate(self.health, self.pace, self.scheduler, self.clock.monotonic, self._told, self._given_up)

    def enter(self, worker: int, *, probe: bool) -> None:
        """A worker begins; it has been given a place for its first seed."""
        self._given[worker] = probe

    async def exchange(self, worker: int, finding: Finding) -> Lease | None:
        """Bring back what was found and take the next seed, in one durable step.

        The intent of the next call is written with the end of the last one, so that a slot waits for the disk once per
        seed, and never starts a call before its last result is safe.

        Returns:
            The next seed, whose call is written down and leaves now; None when there is nothing more to do, or no room
            for one more call.
        """
        probe = self._given.pop(worker, None)
        if probe is None and not self.gate.place():
            await self.close(finding)
            return None
        self._check_calls()
        opened = None if self.scheduler.stopped is not None else self._next(worker)
        if opened is None:
            self.gate.give_up(probe=probe or False)
            await self.close(finding)
            return None
        row, payload, fields = opened
        told = self.journal.turns(row.number) if self.several else _NOTHING_TOLD
        so_far = transcript_of(told[0]) if told[0] else _BEFORE
        if self.purse is not None:
            asked = self.purse.of_seed(fields)
            if told[0]:
                asked = asked._replace(messages=so_far.messages)
            if self.purse.reserve(self.calls + 1, asked, WORKER) is not None:
                await self.close(finding)
                finding = NOTHING
                if not await self.afforded(asked, WORKER):
                    self.gate.give_up(probe=probe or False)
                    return None
        self.calls += 1
        call = self.calls
        lease = Lease(row, payload, fields, call, self.clock.monotonic(), 1, probe or False)
        if told[0]:
            lease = lease._replace(told=told, turn=max(1, so_far.turns + (not so_far.owed)))
        await self._write([*finding.events, self._intent(call, row, 1, lease.turn)], finding)
        return await self._sendable(lease)

    async def close(self, finding: Finding) -> None:
        """Bring back what was found, without taking more."""
        if finding.events:
            await self._write(finding.events, finding)

    async def wait(self, ended: CallEnded | Sequence[Event], seconds: float, *, often: bool = False) -> bool:
        """Write the end of a call and wait: so many seconds, and until there is room for the next one.

        Args:
            ended: How the call ended; or all that is written.
            seconds: How long this seed waits in any case.
            often: Whether it has come back often: then new seeds get their turns.

        Returns:
            Whether the next call is a probe.
        """
        await self._write([ended] if isinstance(ended, CallEnded) else ended, NOTHING)
        await self.gate.rest(seconds)
        return await self.gate.returned(often=often)

    async def again(self, lease: Lease, attempt: int, *, probe: bool, call: Call | None = None) -> Lease | None:
        """Write the intent of one more call for the same seed, from the place that `wait` has got for it.

        Args:
            lease: Of the seed.
            attempt: Which try at it.
            probe: Whether the place is a probe's.
            call: What is asked; None for what its first call asks.

        Returns:
            The lease for that call; None when the run has stopped, which leaves the seed as it was.
        """
        self._check_calls()
        afforded = self.purse is None or await self.afforded(call or self.purse.of_seed(lease.fields), WORKER)
        if self.scheduler.stopped is not None or not afforded:
            self.gate.give_up(probe=probe)
            return None
        self.calls += 1
        number = self.calls
        await self._write([self._intent(number, lease.row, attempt, lease.turn, lease.tier)], NOTHING)
        lease = lease._replace(call=number, attempt=attempt, started=self.clock.monotonic(), probe=probe)
        return await self._sendable(lease, call)

    async def consult(self, lease: Lease | None, call: Call, tier: int, purpose: str) -> Called:
        """Ask a model of some tier on behalf of a seed or of the run, beside the workers' own calls.

        Waits for the tier's limits and pauses, tries again after failures on the way, and is journalled and charged to
        the run's budget and to its tier's.

        Args:
            lease: Of the seed on whose behalf it is asked; None for the run.
            call: What is asked, whole; `tier_call` has what all calls of the tier have in common.
            tier: See `core/tiers.py`.
            purpose: What for, in one lower-case word, for the journal and the bill.

        Returns:
            How it ended; its end is in the journal already. The result is `NotAsked` when no call was made.
        """
        assert self.consulting is not None  # noqa: S101 - whoever makes a run sets it before the first worker begins
        return await self.consulting.consult(lease, call, tier, purpose)

    def has_tier(self, tier: int) -> bool:
        """Whether a tier can be asked: the task names it, and it was not given up."""
        return self.consulting is not None and self.consulting.has(tier)

    def tier_call(self, tier: int) -> Call:
        """What all calls of a tier have in common.

        Raises:
            KeyError: If there is no such tier.
        """
        assert self.consulting is not None  # noqa: S101 - as above
        return self.consulting.call(tier)

    def number(self) -> int:
        """The number of a call that is written down at once."""
        self.calls += 1
        return self.calls

    async def write(self, events: Sequence[Event]) -> None:
        """Make events durable that belong to no finding."""
        await self._write(events, NOTHING)

    async def afforded(self, call: Call, tier: int) -> bool:
        """Hold the worst case of the next call back; wait for calls in flight while they may leave room for it.

        The call's number is the next one: whoever was given room takes it before anything else is awaited.

        Returns:
            Whether there was room. When there is none in the run's budget the run stops, resumable.
        """
        purse = self.purse
        while purse is not None and self.scheduler.stopped is None:
            short = purse.reserve(self.calls + 1, call, tier)
            if short is None:
                return True
            if not short.full.waits:
                if short.of_run:
                    self.stop(How.PAUSED, short.full.why)
                return False
            await purse.changed()
        return purse is None

    async def onward(self, lease: Lease, events: Sequence[Event], call: Call) -> Lease | None:
        """Write what a turn brought, and the intent of the next call of the same conversation: in one step if it can.

        Args:
            lease: Of that next call: its turn and tier.
            events: What the turn brought.
            call: That next call.

        Returns:
            The lease for that call; None when the run has stopped, which leaves the conversation where it is.
        """
        self._check_calls()
        if not self.gate.place():
            probe = await self.wait(events, 0.0)
            return await self.again(lease, 1, probe=probe, call=call)
        if self.purse is not None and self.purse.reserve(self.calls + 1, call, WORKER) is not None:
            await self._write(events, NOTHING)
            events = ()
            if not await self.afforded(call, WORKER):
                self.gate.give_up(probe=False)
                return None
        self.calls += 1
        number = self.calls
        await self._write([*events, self._intent(number, lease.row, 1, lease.turn, lease.tier)], NOTHING)
        lease = lease._replace(call=number, attempt=1, started=self.clock.monotonic(), probe=False)
        return await self._sendable(lease, call)

    async def keep(self, events: Sequence[Event]) -> None:
        """Make events durable."""
        await self._write(events, NOTHING)

    def heard(self, lease: Lease, called: Called) -> None:
        """Take note of what became of a call: it says how the endpoint is, and what it allows."""
        if self.purse is not None:
            self.purse.settle(called.ended)
        result, now = called.result, self.clock.monotonic()
        call = Sent(lease.row.number, lease.started, lease.attempt, lease.probe)
        if isinstance(result, CallError):
            self.health.failed(result, call, now)
            if self.health.refused is not None:
                self.stop(How.REFUSED, self.health.refused)
        else:
            self.health.served(call, now)
            self.costs.saw(len(lease.payload) + lease.extra, result.usage.tokens_in, result.usage.tokens_out)
            if result.model not in self._models:
                self._another_model(result.model)
        self.gate.ended(fact_of(lease.call, result))
        if not isinstance(result, CallError) and self.timeline is not None:
            self.timeline.ended(called, result.usage.tokens_out)

    def unsent(self, lease: Lease) -> None:
        """A call that might have left did not: its seed cannot be asked about."""
        self.health.unsent(lease.row.number)
        self.gate.observe(Unsent(lease.call))
        self.called_back(lease.call, lease.row.number)

    def listen(self, lease: Lease) -> Listener:
        """What hears of the signs of life of a call."""
        return Listener(lease.call, self.gate)

    def _another_model(self, model: str) -> None:
        """A model's name that has not answered before: the first one is expected, every other one is worth a word."""
        if self._models and model:
            self.say(f"replies now also come from {model}; until now from {', '.join(sorted(self._models))}")
        self._models.add(model)

    async def reopen(self, ended: Sequence[SeedReopened]) -> None:
        """Let seeds that have ended be asked again in this session."""
        wanted = {event.seed for event in ended}
        self.reopened = self.reopened or bool(wanted)
        await self._write(ended, NOTHING)
        after = -1
        while wanted and (rows := self.journal.left(after, CHUNK)):
            self.scheduler.again(row for row in rows if row.number in wanted)
            wanted -= {row.number for row in rows}
            after = rows[-1].order
        self.gate.step()

    async def write_early(self, ended: CallEnded) -> None:
        """Write the end of a call at once; what brings it back later is written without it."""
        await self._write([ended], NOTHING)
        self._early.add(ended.call)

    def note(self, event: Event) -> None:
        """Write this down with the next thing that is written."""
        self._notes.append(event)

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
        if self.purse is not None:
            self.purse.wake()
        if self.consulting is not None:
            self.consulting.wake()

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

    def _check_calls(self) -> None:
        if self.calls >= self.most_calls and self.scheduler.stopped is None:
            self.stop(How.PAUSED, "the calls that were allowed are spent; `deepswarm run` goes on from here")

    def _intent(self, call: int, row: SeedRow, attempt: int, turn: int = 1, tier: int = 0) -> CallStarted:
        utc, at = self.clock.now()
        return CallStarted(utc, at, call, row.number, attempt, turn, tier)

    def called_back(self, call: int, seed: int) -> CallEnded:
        """The end of a call that was written down and never left: nothing is held back for it any more."""
        why = "the run stopped, or paused, before it was sent"
        unsent = CallEnded(*self.clock.now(), call, seed, "unsent", why)
        if self.purse is not None:
            self.purse.settle(unsent)
        return unsent

    async def _sendable(self, lease: Lease, call: Call | None = None) -> Lease | None:
        """The lease, once its call may leave; its intent is taken back when the run stops or pauses before that."""
        if await self.gate.passed(lease.call, self.costs.cost(len(lease.payload) + lease.extra), probe=lease.probe):
            now = self.clock.monotonic()
            self.health.sending(lease.row.number, now)
            self.departed(lease.call, now)
            return lease._replace(started=now)
        probe = await self.wait(self.called_back(lease.call, lease.row.number), 0.0)
        return await self.again(lease, lease.attempt, probe=probe, call=call)

    async def _write(self, events: Sequence[Event], finding: Finding) -> None:
        """Make events durable, then let output and watchers have them; those of the finding stand first."""
        if self._early:
            events = self._without_early(events)
            finding = finding._replace(events=tuple(event for event in finding.events if event in events))
        if self._notes:
            events = [*events, *self.noted()]
        if self.purse is not None:
            self.purse.remember(self.journal)
        began = self.clock.monotonic()
        try:
            number = await self.journal.append(events)
        except DiskFull as full:
            self.stop(How.PAUSED, str(full))
            raise
        if self.timeline is not None:
            self.timeline.wrote(self.clock.monotonic() - began)
        if self.journal.trouble is not None:
            self.stop(How.PAUSED, str(self.journal.trouble))
        if finding.record is not None:
            self._deliver(finding.record, finding.payload, number - len(events) + len(finding.events))
        self.watch(events)

    def _without_early(self, events: Sequence[Event]) -> list[Event]:
        """The events, less those ends of calls that are written already."""
        early = {event.call for event in events if isinstance(event, CallEnded)} & self._early
        self._early -= early
        return [event for event in events if not (isinstance(event, CallEnded) and event.call in early)]

    def _deliver(self, record: Record, payload: bytes, event: int) -> None:
        try:
            self.output.add(record, payload, event)
        except OSError as error:
            # The output is derived: what could not be written now is written from the journal later.
            self.stop(How.PAUSED, f"the output cannot be written: {error}; free some space")


class Listener:
    """Passes a call's signs of life on to the pace. See `Watch`."""

    __slots__ = ("_call", "_gate")

    def __init__(self, call: int, gate: Gate) -> None:
        """Of the call of this number."""
        self._call, self._gate = call, gate

    def taken(self, headers: Mapping[str, str]) -> None:
        """See `Watch.taken`."""
        self._gate.observe(Taken(self._call, quotas(headers)))

    def begun(self) -> None:
        """See `Watch.begun`."""
        self._gate.observe(Begun(self._call))


def fact_of(call: int, result: Reply | CallError) -> Fact:
    """What the end of a call says about the provider's limits. A reply that is no use was served all the same."""
    if not isinstance(result, CallError):
        return Served(call, result.usage.tokens_in, result.usage.tokens_out, result.quotas)
    if result.limited is not None:
        return Refused(call, result.limited, result.retry_after_s, result.cap, result.quotas)
    if result.disposition is Disposition.SEMANTIC:
        return Served(call, result.usage.tokens_in, result.usage.tokens_out, result.quotas)
    storm = result.disposition in {Disposition.NETWORK, Disposition.BACK_OFF} or isinstance(result, Overloaded)
    return Failed(call, storm)
