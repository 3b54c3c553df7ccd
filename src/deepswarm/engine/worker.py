"""One worker: takes a seed, asks, judges, and brings back how it ended, until there is nothing more to take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepswarm.core.asking import Change, changed, difference, possible
from deepswarm.core.errors import CallError, DiskFull, Disposition
from deepswarm.core.events import CallEnded, SeedEnded
from deepswarm.core.jsontext import dumps
from deepswarm.core.ledger import Story, record_of
from deepswarm.core.lessons import Lessons
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Call, Outcome, Reply
from deepswarm.core.retry import Decision, GiveUp, Retry, RetryPolicy, Tried, Wait, decide, decide_rejected
from deepswarm.core.turns import Answer, Conversation, Reject, asked_again
from deepswarm.engine.caller import Caller
from deepswarm.engine.dispatcher import NOTHING, Dispatcher, Finding, Lease
from deepswarm.tasks import TaskType

if TYPE_CHECKING:
    from deepswarm.engine.counsel import Counsel
    from deepswarm.engine.judging import Judge

RECENTLY_S: Final = 60.0
"""An endpoint that served somebody so many seconds before a seed began to fail counts as one that serves."""
SECOND_OPINION_S: Final = 1.0
"""Before a seed asks again after an answer that would pause the run, had another seed got it too."""

OFTEN: Final = 3
"""Refusals for limits after which a seed lets new ones have their turns: it may be larger than any limit."""


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker of a run needs to know: the task, reduced to what a call takes."""

    task: TaskType
    call: Call
    policy: RetryPolicy
    lessons: Lessons
    fingerprint: str
    simulated: bool
    chance: Callable[[], float]
    say: Callable[[str], None]
    counsel: Counsel | None = None
    judge: Judge | None = None


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
        conversation = job.task.open(lease.fields)
    except TemplateProblem as problem:
        dispatcher.unsent(lease)
        return _ended(lease, job, dispatcher, None, problem.label, str(problem))
    call = job.lessons.first(job.call, conversation.messages)
    if job.counsel is not None:
        call = job.counsel.over(call)
    health = dispatcher.health
    tried: Tried | None = None
    failing_since = math.inf
    current: Lease | None = lease
    while current is not None:
        lease = current
        called = await caller.call(call, lease.call, lease.row.number, dispatcher.listen(lease))
        ended, result, call_s = called.ended, called.result, called.seconds
        outages = health.outages
        dispatcher.heard(lease, called)
        if isinstance(result, Reply):
            step = job.task.step(conversation, result)
            if isinstance(step, Answer) and job.judge is not None:
                step = await job.judge.rejects(lease, ended, conversation.messages, step.text) or step
            if isinstance(step, Answer):
                return _answered(lease, job, dispatcher, ended, result, step, call)
            tried = Tried(changes=possible(call)) if tried is None else tried
            ended = ended._replace(label=step.label, detail=step.reason)
            if isinstance(decide_rejected(tried, job.policy, call_s=call_s), GiveUp):
                return _ended(lease, job, dispatcher, ended, step.label, step.reason, Outcome.REJECTED)
            told = step if job.counsel is None else job.counsel.hinted(step)
            call = _told(call, conversation, result, told)
            tried = tried.after_rejection(call_s)
            probe = await dispatcher.wait(ended, 0.0)
            current = await dispatcher.again(lease, tried.attempts + 1, probe=probe, call=call)
            continue
        failing_since = min(failing_since, ended.at)
        tried = Tried(changes=possible(call)) if tried is None else tried
        alike = health.alike if health.served_at >= failing_since - RECENTLY_S else None
        decision = decide(result, tried, job.policy, job.chance, call_s=call_s, alike=alike)
        charged = health.charged(result)
        if isinstance(decision, GiveUp) and charged:
            return _ended(
                lease, job, dispatcher, ended, decision.label or result.label, _reason(decision, result, tried)
            )
        call = _asked(call, decision, result, job)
        often = tried.waits >= OFTEN
        probe = await dispatcher.wait(ended, _seconds(decision, result, dispatcher), often=often)
        if charged and health.outages == outages:  # a failure before an outage was part of it
            tried = tried.after(decision, result, call_s)
        current = await dispatcher.again(lease, tried.attempts + 1, probe=probe, call=call)
        if current is not None and result.limited is not None and isinstance(decision, Wait):
            tried = tried.waited(current.started - ended.at)
    return NOTHING


def _asked(call: Call, decision: Decision, error: CallError, job: Job) -> Call:
    """The next call: the same one, or asked otherwise."""
    if not isinstance(decision, Retry) or decision.change is Change.NONE:
        return call
    if job.lessons.learn(error, decision.change):
        job.say(f"several seeds were {error.label}: from now on all are asked {decision.change.value}")
    return changed(call, decision.change)


def _seconds(decision: Decision, error: CallError, dispatcher: Dispatcher) -> float:
    """How long to wait; what holds for all workers is passed on to them."""
    if isinstance(decision, Wait | Retry):
        if isinstance(decision, Wait) and decision.shared:
            dispatcher.gate.hold(decision.seconds)
        return decision.seconds
    if error.disposition is not Disposition.PAUSE:
        dispatcher.pause(error)
    return SECOND_OPINION_S


def _reason(decision: GiveUp, error: CallError, tried: Tried) -> str:
    """Why a seed failed, in words."""
    if decision.label == "deterministic":
        return f"{tried.alike + 1} times the same while other seeds were served: {error}"
    if decision.label == "out_of_time":
        return f"its time (seed_timeout) is used up; at last: {error}"
    return str(error)


def _told(call: Call, conversation: Conversation, reply: Reply, reject: Reject) -> Call:
    """The same call, in a conversation that goes on with what was wrong."""
    return call._replace(messages=asked_again(conversation, reply.text, reject))


def _answered(
    lease: Lease, job: Job, dispatcher: Dispatcher, ended: CallEnded, reply: Reply, answer: Answer, call: Call
) -> Finding:
    """A seed that has its answer; how it was asked otherwise than the others stands as its reason."""
    kept = reply if answer.text is reply.text else reply._replace(text=answer.text)
    otherwise = difference(job.call, call)
    if job.counsel is not None:
        otherwise |= job.counsel.added(call)
    reason = dumps(otherwise).decode() if otherwise else ""
    return _finding(lease, job, dispatcher, ended, kept, Outcome.DONE, "ok", reason)


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
