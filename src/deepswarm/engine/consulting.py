"""Calls beside the workers' own: another model, or the same one, is asked on behalf of a seed or of the run.

    consult(lease, call, tier, purpose) ─▶ place ─▶ budget ─▶ intent, durable ─▶ the tier's gate ─▶ call ─▶ end, durable

Each tier has a road of its own: gate, health, pace and connections, so that the troubles of one never hold up the
other. Two tiers that are the same model at the same address share one. A tier that stays down is given up for this
session; the run goes on without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepswarm.core.errors import CallError, Disposition, NotAsked
from deepswarm.core.events import CallEnded, CallStarted, Consulted
from deepswarm.core.health import Health, Paused, Sent
from deepswarm.core.pace.costs import Costs
from deepswarm.core.records import Call, SeedRow
from deepswarm.core.retry import Chance, GiveUp, Retry, RetryPolicy, Tried, Wait, decide
from deepswarm.core.scheduler import How, Scheduler, Stop
from deepswarm.core.tiers import name_of
from deepswarm.engine.caller import Called, Caller
from deepswarm.engine.clock import Clock
from deepswarm.engine.dispatcher import Dispatcher, Lease, Listener, fact_of
from deepswarm.engine.gate import Gate

if TYPE_CHECKING:
    from deepswarm.core.pace import Pace

GIVEN_UP_S: Final = 300.0
"""Most seconds that a tier beside the workers' may be down before the run goes on without it."""
NO_SEED: Final = SeedRow(0, "", b"", -1, 0, -1)
"""What a call on behalf of the whole run belongs to."""


@dataclass(slots=True)
class Road:
    """The way to one tier's model.

    Attributes:
        call: What all calls of the tier have in common.
        caller: Calls its endpoint.
        gate: What they wait at.
        health: Of the endpoint.
        scheduler: Says whether it is still asked.
        costs: What they will cost in tokens.
        given_up: Why the tier is asked no more; empty while it is.
    """

    call: Call
    caller: Caller
    gate: Gate
    health: Health
    scheduler: Scheduler
    costs: Costs
    given_up: str = ""


def road_of(
    call: Call, caller: Caller, pace: Pace, clock: Clock, pause_limit_s: float, say: Callable[[str], None]
) -> Road:
    """A road of its own, for a tier whose calls all come from `consult`."""
    health, scheduler = Health(min(pause_limit_s, GIVEN_UP_S)), Scheduler()
    scheduler.feed(())  # there are no seeds: only those are served who come by themselves

    def told(paused: Paused | None) -> None:
        if paused is not None:
            say(f"the orchestrator is not asked for the moment ({paused.label}): {paused.why}. The run goes on")

    def stop(paused: Paused) -> None:
        _give_up(road, f"{paused.label}: {paused.why}", say)

    gate = Gate(health, pace, scheduler, clock.monotonic, told, stop)
    road = Road(call, caller, gate, health, scheduler, Costs(0, call.max_tokens))
    return road


def _give_up(road: Road, why: str, say: Callable[[str], None]) -> None:
    road.given_up = why
    road.scheduler.stop(Stop(How.PAUSED, why))
    road.gate.wake()
    say(f"the orchestrator was given up, the run goes on without it: {why}. The same command asks it again")


class Consulting:
    """Makes the calls beside the workers' own.

    Args:
        dispatcher: Owns the run's state.
        roads: The tiers by number; a tier that is missing cannot be asked.
        policy: How patient they are.
        chance: For back-off.
    """

    def __init__(self, dispatcher: Dispatcher, roads: Mapping[int, Road], policy: RetryPolicy, chance: Chance) -> None:
        self._dispatcher, self._roads, self._policy, self._chance = dispatcher, roads, policy, chance

    def has(self, tier: int) -> bool:
        """Whether there is such a tier, and it was not given up."""
        return tier in self._roads and not self._roads[tier].given_up

    def call(self, tier: int) -> Call:
        """What all calls of a tier have in common.

        Raises:
            KeyError: If there is no such tier.
        """
        return self._roads[tier].call

    def wake(self) -> None:
        """The run has stopped: let everybody see it who waits at a gate beside the workers'."""
        for road in self._roads.values():
            if road.gate is not self._dispatcher.gate:
                road.scheduler.stop(Stop(How.PAUSED, "the run has stopped"))
                road.gate.wake()

    async def close(self) -> None:
        """Let go of the connections that are not the workers' own."""
        for road in self._roads.values():
            if road.gate is not self._dispatcher.gate:
                road.gate.shut()
                await road.caller.transport.close()

    async def consult(self, lease: Lease | None, call: Call, tier: int, purpose: str) -> Called:
        """See `Dispatcher.consult`."""
        road = self._roads.get(tier)
        if road is None:
            return self._not_asked(f"there is no {name_of(tier)}")
        road.health.lanes += 1
        try:
            return await self._tried(road, NO_SEED if lease is None else lease.row, call, tier, purpose)
        finally:
            road.health.lanes -= 1

    async def _tried(self, road: Road, row: SeedRow, call: Call, tier: int, purpose: str) -> Called:
        """One call after the other until one is answered, or there is no use in another."""
        tried, probe = Tried(), await road.gate.returned(often=False)
        while True:
            called = await self._once(road, row, call, tier, purpose, tried.attempts + 1, probe=probe)
            if called is None:
                probe = await road.gate.returned(often=False)
                continue
            error = called.result
            if not isinstance(error, CallError) or isinstance(error, NotAsked):
                return called
            if error.disposition in {Disposition.SEMANTIC, Disposition.FAIL_ROW}:
                return called
            decision = decide(error, tried, self._policy, self._chance, call_s=called.seconds)
            if isinstance(decision, GiveUp):
                return called
            tried = tried.after(decision, error, called.seconds)
            if isinstance(decision, Wait | Retry):
                if isinstance(decision, Wait) and decision.shared:
                    road.gate.hold(decision.seconds)
                await road.gate.rest(decision.seconds)
            else:
                road.health.pause(error, self._dispatcher.clock.monotonic())
                road.gate.look()
            probe = await road.gate.returned(often=False)

    async def _once(
        self, road: Road, row: SeedRow, call: Call, tier: int, purpose: str, attempt: int, *, probe: bool
    ) -> Called | None:
        """One call, from the place that was got for it; None when it was called back before it left."""
        dispatcher = self._dispatcher
        stopped = dispatcher.scheduler.stopped
        if stopped is not None or road.given_up or not await dispatcher.afforded(call, tier):
            road.gate.give_up(probe=probe)
            return self._not_asked(road.given_up or ("the run has stopped" if stopped else "its budget has no room"))
        number = dispatcher.number()
        utc, at = dispatcher.clock.now()
        consulted = Consulted(utc, at, number, row.number, tier, purpose)
        await dispatcher.write([consulted, CallStarted(utc, at, number, row.number, attempt, 1, tier)])
        size = sum(len(message.content) for message in call.messages)
        if not await road.gate.passed(number, road.costs.cost(size), probe=probe):
            await dispatcher.write([dispatcher.called_back(number, row.number)])
            return None
        now = dispatcher.clock.monotonic()
        road.health.sending(row.number, now)
        dispatcher.departed(number, now)
        called = await road.caller.call(call, number, row.number, Listener(number, road.gate))
        self._heard(road, Sent(row.number, now, attempt, probe), called, size)
        await dispatcher.write([called.ended])
        return called

    def _heard(self, road: Road, sent: Sent, called: Called, size: int) -> None:
        """What the end of a call says about the road."""
        dispatcher, result, health = self._dispatcher, called.result, road.health
        if dispatcher.purse is not None:
            dispatcher.purse.settle(called.ended)
        now = dispatcher.clock.monotonic()
        if isinstance(result, CallError):
            health.failed(result, sent, now)
            if health.refused is not None:
                self._refused(road, health.refused)
        else:
            health.served(sent, now)
            road.costs.saw(size, result.usage.tokens_in, result.usage.tokens_out)
        road.gate.observe(fact_of(called.ended.call, result))
        road.gate.look()

    def _refused(self, road: Road, why: str) -> None:
        """The endpoint refuses key, model or address."""
        dispatcher = self._dispatcher
        if road.gate is dispatcher.gate:
            dispatcher.stop(How.REFUSED, why)
        elif not road.given_up:
            _give_up(road, why, dispatcher.say)

    def _not_asked(self, why: str) -> Called:
        error = NotAsked(why)
        return Called(CallEnded(*self._dispatcher.clock.now(), 0, 0, error.label, why), error, 0.0)
