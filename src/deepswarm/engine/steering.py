"""Carries out what other processes want of a run at work: looks into its inbox, does it, and writes down that it did.

A command that was meant for a process that has ended (pause, resume, stop) does nothing to the next one; all others
wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from deepswarm.core.commands import Again, Cancel, Halt, Pause, Resume, Set, Wanted, wanted_of, workers_of
from deepswarm.core.events import CommandTaken, Event, RunPaused, RunResumed, SeedEnded, SeedReopened
from deepswarm.core.ledger import Story, record_of
from deepswarm.core.pace import Cost, Pace, Sent
from deepswarm.core.records import Outcome, SeedRow, SeedState
from deepswarm.core.scheduler import How
from deepswarm.engine.caller import Caller
from deepswarm.engine.dispatcher import Dispatcher, Finding
from deepswarm.journals import Command, Journal
from deepswarm.report.state import State
from deepswarm.report.words import duration

LOOK_S: Final = 0.5
"""Seconds between two looks into the inbox."""
BY_USER: Final = "user"
"""The label of a pause that somebody wanted."""
CANCELLED: Final = "cancelled"


def asked_again(journal: Journal, now: tuple[float, float]) -> list[CommandTaken]:
    """Carry out, before a run begins, what was said of failed seeds while no process was at work; for its journal.

    Args:
        journal: Of the run.
        now: (utc, at).
    """
    taken = []
    for command in journal.commands():
        name, _, labels = command.words.partition(" ")
        if name == "retry":
            bad = frozenset({Outcome.FAILED, Outcome.REJECTED})
            count = journal.reopen(bad, frozenset(labels.split()) or None, now)
            result = f"{count:,} seeds are asked again"
            taken.append(CommandTaken(*now, command.words, command.by, command.number, result))
    return taken


class Refusal(Exception):
    """A command that cannot be carried out; why, in words."""


class Asked(NamedTuple):
    """What the records of this run say: the model that is asked, the task's fingerprint, whether it is simulated."""

    model: str
    fingerprint: str
    simulated: bool


@dataclass(slots=True)
class Steering:
    """One for a run.

    Attributes:
        repaced: The pace for so many workers (None: auto), or why there is none; None where the one that there is does.
        leave: Ends the run at once.
    """

    journal: Journal
    dispatcher: Dispatcher
    caller: Caller
    state: State
    asked: Asked
    repaced: Callable[[int | None], Pace | None]
    leave: Callable[[], object]
    _paused_at: float = 0.0
    _leaving: bool = field(default=False)

    async def begin(self) -> None:
        """Before the first call: carry out what waits for this process, and drop what the last one should have done."""
        for command in self.journal.commands():
            await self._take(command, early=True)

    async def follow(self) -> None:
        """Carry commands out as they come, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            for command in self.journal.commands():
                if not self.dispatcher.gate.stay():
                    break
                try:
                    await self._take(command, early=False)
                finally:
                    self.dispatcher.gate.left()
                if self._leaving:
                    self.leave()
                    return
            if self.dispatcher.gate.held and self.state.paused is None:  # another pause ended meanwhile
                await self._write([self._pause("it goes on being paused")])

    async def _take(self, command: Command, *, early: bool) -> None:
        """Carry a command out and write down what became of it."""
        done = True
        try:
            wanted = wanted_of(command.words)
            if early and isinstance(wanted, Pause | Resume | Halt):
                raise Refusal("the process that it was meant for has ended")
            result = await self._obey(wanted, command.by)
        except (Refusal, ValueError) as refused:
            result, done = str(refused), False
        taken = CommandTaken(*self.dispatcher.clock.now(), command.words, command.by, command.number, result, done)
        await self._write([taken])
        self.dispatcher.say(f"{command.words} ({command.by}): {result}")

    async def _obey(self, wanted: Wanted, by: str) -> str:
        """Do it; what was done, in words."""
        match wanted:
            case Pause():
                return await self._hold(by)
            case Resume():
                return await self._go_on()
            case Halt(now):
                return self._stop(by, now=now)
            case Set(values):
                return "; ".join([self._set_workers(workers_of(value)) for value in values.values()])
            case Cancel(key):
                return await self._cancel(key, by)
            case Again(labels):
                return await self._again(labels)

    async def _write(self, events: list[Event]) -> None:
        await self.dispatcher.close(Finding(tuple(events)))

    # --- the whole run -----------------------------------------------------------------------------------------------

    async def _hold(self, by: str) -> str:
        gate = self.dispatcher.gate
        if gate.held:
            raise Refusal("it is paused already")
        gate.held = True
        self._paused_at = self.dispatcher.clock.monotonic()
        await self._write([self._pause(f"paused by {by}")])
        return f"nothing new is asked; {gate.flying:,} calls in flight end by themselves"

    def _pause(self, why: str) -> RunPaused:
        return RunPaused(*self.dispatcher.clock.now(), BY_USER, f"{why}; `deepswarm resume` goes on", None)

    async def _go_on(self) -> str:
        gate, now = self.dispatcher.gate, self.dispatcher.clock.monotonic()
        if gate.held:
            gate.held = False
            gate.step()
            await self._write([RunResumed(*self.dispatcher.clock.now(), now - self._paused_at)])
            return f"going on after {duration(now - self._paused_at)}"
        if self.dispatcher.health.probe_now(now):
            gate.step()
            return "one call tries now whether the pause is over"
        raise Refusal("it is not paused")

    def _stop(self, by: str, *, now: bool) -> str:
        self.dispatcher.stop(How.INTERRUPTED, f"stopped by {by}")
        self._leaving = now
        if now:
            return f"leaving at once; {self.dispatcher.gate.flying:,} calls in flight are noted as possibly billed"
        return f"starting nothing new; {self.dispatcher.gate.flying:,} calls in flight end by themselves"

    # --- its bounds --------------------------------------------------------------------------------------------------

    def _set_workers(self, workers: int | None) -> str:
        gate, now = self.dispatcher.gate, self.dispatcher.clock.monotonic()
        pace = self.repaced(workers)
        if pace is not None:
            for call in self.state.open:
                pace.observe(Sent(call, Cost()), now)
            gate.pace = self.dispatcher.pace = pace
        gate.most = 1 << 30 if workers is None else workers
        gate.step()
        most = "as many calls as the pace finds" if workers is None else f"{workers:,} calls at most"
        return f"{most} at once, until this run ends"

    # --- its seeds ---------------------------------------------------------------------------------------------------

    async def _cancel(self, key: str, by: str) -> str:
        named = self.journal.rows_named(key)
        if not named:
            raise Refusal(f"the run knows no seed '{key}'")
        open_ones = [row for row, state in named if state is SeedState.LEFT]
        if not open_ones:
            raise Refusal(f"it has ended: {named[0][1].name.lower()}")
        told = [await self._cancel_seed(row, by) for row in open_ones]
        return ", ".join(dict.fromkeys(told))

    async def _cancel_seed(self, row: SeedRow, by: str) -> str:
        if not self.dispatcher.scheduler.skip(row):
            broken_off = self.caller.cancel(row.number)
            return "its call was broken off, and may be billed" if broken_off else "its next call will not leave"
        payload, _ = self.dispatcher.seeds.read(row)
        utc, at = self.dispatcher.clock.now()
        reason = f"cancelled by {by}"
        ended = SeedEnded(utc, at, row.number, 0, Outcome.FAILED, CANCELLED, reason, 0, at, payload)
        record = record_of(Story(row.key, ended, None, utc, *self.asked), None, None)
        await self.dispatcher.close(Finding((ended,), record, payload))
        return "it will not be asked"

    async def _again(self, labels: frozenset[str]) -> str:
        found = await asyncio.to_thread(self.journal.in_vain, labels)
        utc, at = self.dispatcher.clock.now()
        events: list[Event] = [SeedReopened(utc, at, row.number, was, "retry", label) for row, was, label in found]
        if events:
            await self._write(events)
        rows = [row for row, _, _ in found]
        self.caller.unwanted.difference_update(row.number for row in rows)
        self.dispatcher.scheduler.again(rows)
        return f"{len(rows):,} seeds are asked again"
