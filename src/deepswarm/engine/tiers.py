"""The tiers of a run: the workers' road is the run's own; the orchestrator gets one like it, or shares it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deepswarm.core.deadlines import Patience
from deepswarm.core.retry import RetryPolicy
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tierkeys import is_the_same
from deepswarm.engine.account import Account, Sharing
from deepswarm.engine.caller import Caller
from deepswarm.engine.clock import Clock
from deepswarm.engine.consulting import Road, road_of
from deepswarm.engine.opening import call_of, dialect_of, wanted_of

if TYPE_CHECKING:
    from deepswarm.core.calibrate import Chosen
    from deepswarm.core.pace import Memory
    from deepswarm.core.records import Json
    from deepswarm.transports import Transport


@dataclass(frozen=True, slots=True)
class Orchestrator:
    """The orchestrator's tier while a run lasts.

    Attributes:
        road: The way to it.
        sharing: Of its account's limits with other runs; None where none is shared.
    """

    road: Road
    sharing: Sharing | None = None

    async def follow(self) -> None:
        """Share its limits, until cancelled."""
        if self.sharing is not None:
            await self.sharing.follow()

    def end(self) -> None:
        """Keep what was learnt of its limits."""
        if self.sharing is not None:
            self.sharing.end()


def orchestrator_beside(
    worker: TaskSpec,
    spec: TaskSpec,
    road: Road,
    schema: Mapping[str, Json] | None,
    connect: Callable[[], Transport],
    account: Account | None,
    choose: Callable[[Memory | None, bool], Chosen],
    clock: Clock,
    say: Callable[[str], None],
) -> Orchestrator:
    """The orchestrator's tier.

    Args:
        worker: The task.
        spec: The task as its orchestrator is asked.
        road: The workers'; shared when the orchestrator is the same model at the same address.
        schema: What the answers' JSON fits; None when they are text.
        connect: Makes its transport.
        account: What is remembered and shared of its limits; None for nothing.
        choose: Makes its pace, from what is known and from whether its replies are streamed.
        clock: Of the run.
        say: Shows a line.
    """
    call = call_of(spec, schema)
    if is_the_same(worker, spec):
        return Orchestrator(Road(call, road.caller, road.gate, road.health, road.scheduler, road.costs))
    sharing = None if account is None else Sharing(account, lambda start: choose(start, call.stream), clock)
    pace = choose(None, call.stream).pace if sharing is None else sharing.pace
    dialect = dialect_of(spec)
    patience = Patience(wanted_of(spec), spec.seed_timeout)
    caller = Caller(dialect, connect(), dialect.address(spec.worker_api_base), patience, clock)
    return Orchestrator(road_of(call, caller, pace, clock, spec.pause_limit, say), sharing)


def policy_of(spec: TaskSpec) -> RetryPolicy:
    """How patient a task is."""
    return RetryPolicy(spec.call_retries, spec.worker_retries, seed_s=spec.seed_timeout)
