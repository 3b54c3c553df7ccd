"""One worker: takes a seed, asks, judges, and brings back how it ended, until there is nothing more to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from deepswarm.core.errors import AnswerError, CallError, DiskFull
from deepswarm.core.events import CallEnded, SeedEnded
from deepswarm.core.ledger import Story, record_of
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Call, Outcome, Reply
from deepswarm.core.retry import GiveUp, Pause, Retry, RetryPolicy, Tried, Wait, decide
from deepswarm.core.scheduler import How
from deepswarm.engine.caller import Caller
from deepswarm.engine.dispatcher import NOTHING, Dispatcher, Finding, Lease
from deepswarm.tasks import TaskType


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of a run needs to know: the task, reduced to what a call takes."""

    task: TaskType
    call: Call
    policy: RetryPolicy
    fingerprint: str
    simulated: bool
    chance: Callable[[], float]


async def work(number: int, job: Job, dispatcher: Dispatcher, caller: Caller, most: int | None = None) -> None:
    """Serve seeds until none is left, or the run stops, or `most` were served.

    A full disk ends the worker quietly: the dispatcher has already written down why the run stops.
    """
    finding = NOTHING
    served = 0
    try:
        while (lease := await dispatcher.exchange(number, finding)) is not None:
            finding = await serve(lease, job, dispatcher, caller)
            served += 1
            if served == most:
                await dispatcher.close(finding)
                return
    except DiskFull:
        return


async def serve(lease: Lease, job: Job, dispatcher: Dispatcher, caller: Caller) -> Finding:
    """Bring one seed to its end: as many calls as it takes, one path for the first and the tenth."""
    try:
        call = Call(job.call.model, job.task.open(lease.fields), job.call.max_tokens, job.call.params)
    except TemplateProblem as problem:
        return _ended(lease, job, dispatcher, None, "template", str(problem))
    tried = Tried(widened=call.max_tokens is None)
    current: Lease | None = lease
    while current is not None:
        lease = current
        ended, result = await caller.call(call, lease.call, lease.row.number)
        if isinstance(result, Reply):
            return _answered(lease, job, dispatcher, ended, result)
        decision = decide(result, tried, job.policy, job.chance)
        if isinstance(decision, GiveUp):
            return _ended(lease, job, dispatcher, ended, result.label, str(result))
        if isinstance(decision, Pause):
            dispatcher.stop(How.PAUSED, _why(result))
            return Finding((ended,))
        if isinstance(decision, Wait):
            tried = tried.after(decision)
            if decision.shared:
                dispatcher.hold(decision.seconds)
        elif isinstance(decision, Retry):
            tried = replace(tried, failures=tried.failures + 1)
            if decision.room > 1 and call.max_tokens is not None:
                call = call._replace(max_tokens=call.max_tokens * decision.room)
                tried = replace(tried, widened=True)
        current = await dispatcher.again(lease, ended, decision.seconds, tried.failures + 1)
    return NOTHING


def _answered(lease: Lease, job: Job, dispatcher: Dispatcher, ended: CallEnded, reply: Reply) -> Finding:
    try:
        text = job.task.step(reply)
    except AnswerError as error:
        return _ended(lease, job, dispatcher, ended, error.label, str(error), Outcome.REJECTED)
    answer = reply if text is reply.text else reply._replace(text=text)
    return _finding(lease, job, dispatcher, ended, answer, Outcome.DONE, "ok", "")


def _ended(
    lease: Lease,
    job: Job,
    dispatcher: Dispatcher,
    ended: CallEnded | None,
    label: str,
    reason: str,
    outcome: Outcome = Outcome.FAILED,
) -> Finding:
    return _finding(lease, job, dispatcher, ended, None, outcome, label, reason)


def _finding(
    lease: Lease,
    job: Job,
    dispatcher: Dispatcher,
    ended: CallEnded | None,
    reply: Reply | None,
    outcome: Outcome,
    label: str,
    reason: str,
) -> Finding:
    """The seed's end, as events and as a record; it ends with its call, in the same moment."""
    utc, at = dispatcher.clock.now() if ended is None else (ended.utc, ended.at)
    row = lease.row
    seed_ended = SeedEnded(
        utc,
        at,
        row.number,
        lease.call if ended is not None else 0,
        outcome,
        label,
        reason,
        lease.attempt,
        lease.started,
        lease.payload,
    )
    started_utc = utc - (at - lease.started)
    story = Story(row.key, seed_ended, ended, started_utc, job.call.model, job.fingerprint, job.simulated)
    if ended is None:
        # The intent that was written for this seed never left.
        unsent = CallEnded(utc, at, lease.call, row.number, "unsent", reason)
        return Finding((unsent, seed_ended), record_of(story, reply, None), lease.payload)
    return Finding((ended, seed_ended), record_of(story, reply, None), lease.payload)


def _why(error: CallError) -> str:
    """What stopped the run, and what the user can do about it."""
    advice = {
        "unauthorized": "check the API key",
        "out_of_funds": "top up the account",
        "no_such_model": "check worker_model and worker_api_base",
        "disconnected": "check worker_api_base and the network",
        "timed_out": "check worker_api_base and the network",
        "throttled": "the provider refused for too long; fewer workers, or later",
    }
    return f"{error}: {advice.get(error.label, 'see the provider')}"
