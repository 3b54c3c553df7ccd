"""One worker: takes a seed, asks, judges, and brings back how it ended, until there is nothing more to take."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from deepswarm.core.asking import Change, changed, difference, possible
from deepswarm.core.errors import CallError, DiskFull, Disposition, ReasoningOwed, Truncated
from deepswarm.core.events import CallEnded, SeedEnded
from deepswarm.core.jsontext import dumps
from deepswarm.core.ledger import Story, record_of
from deepswarm.core.lessons import Lessons
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Call, Outcome, Reply
from deepswarm.core.retry import Decision, GiveUp, Retry, RetryPolicy, Tried, Wait, decide, decide_rejected
from deepswarm.core.turns import Answer, Conversation, Fail, Reject, Step, asked_again
from deepswarm.engine.caller import Caller
from deepswarm.engine.dispatcher import NOTHING, Dispatcher, Finding, Lease
from deepswarm.engine.inline import Asked, Inline
from deepswarm.engine.talk import Going, Talk, Terms, Verdict, plain
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
    terms: Terms
    inline: Inline | None = None
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
            job.terms.contract.ended(lease.row.number)
            served += 1
            if served == most:
                await dispatcher.close(finding)
                return
    except DiskFull:
        return


async def serve(lease: Lease, job: Job, dispatcher: Dispatcher, caller: Caller) -> Finding:
    """Bring one seed to its end: as many calls as it takes, one path for the first and the tenth, of every turn."""
    try:
        conversation = job.task.open(lease.fields)
    except TemplateProblem as problem:
        dispatcher.unsent(lease)
        return _ended(lease, job, dispatcher, None, problem.label, str(problem))
    talk: Talk | None = None
    if job.terms.several:
        talk = Talk(job.task, job.terms, dispatcher, lease, conversation)
        first = await talk.begin(lease)
        if not isinstance(first, Going):
            dispatcher.unsent(lease)
            talk.unsent(lease)
            return _concluded(lease, job, dispatcher, talk, first, job.call)
        call, lease = _next_call(first, job, lease)
    else:
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
        step: Step | Verdict | None = None
        if isinstance(result, Reply):
            if talk is None:
                step = job.task.step(conversation, result)
                if job.inline is not None and isinstance(step, Answer):
                    step = _judged(job, lease, result, step)
                if isinstance(step, Answer) and job.judge is not None:
                    step = await job.judge.rejects(lease, ended, conversation.messages, step.text) or step
                if isinstance(step, Answer):
                    return _answered(lease, job, dispatcher, ended, result, step, call)
                if not isinstance(step, Reject):
                    talk = Talk(job.task, job.terms, dispatcher, lease, conversation)
            if talk is not None:
                step = await talk.heard(result, ended, call_s)
                if isinstance(step, Answer):
                    step = _judged(job, lease, talk.answer(step), step)
        elif isinstance(result, Truncated) and (talk is not None or job.terms.continues):
            talk = talk or Talk(job.task, job.terms, dispatcher, lease, conversation)
            step = await talk.cut(result, ended, call_s)
        elif isinstance(result, ReasoningOwed) and talk is not None:
            step = talk.owed(ended)
        if isinstance(step, Going) and talk is not None:
            call, lease = _next_call(step, job, lease)
            tried, failing_since = None, math.inf
            current = await dispatcher.onward(lease, talk.taken(), call)
            continue
        if isinstance(step, Answer | Fail) and talk is not None:
            return _concluded(lease, job, dispatcher, talk, step, call)
        if isinstance(result, Reply) and isinstance(step, Reject):
            tried = Tried(changes=possible(call)) if tried is None else tried
            ended = ended._replace(label=step.label, detail=step.reason)
            if isinstance(decide_rejected(tried, job.policy, call_s=call_s), GiveUp):
                if step.answer is not None and talk is None:
                    return _answered(lease, job, dispatcher, called.ended, result, Answer(step.answer), call)
                if step.answer is not None and talk is not None:
                    return _concluded(lease, job, dispatcher, talk, Answer(step.answer), call)
                return _ended(lease, job, dispatcher, ended, step.label, step.reason, Outcome.REJECTED, talk)
            told = step if job.counsel is None else job.counsel.hinted(step)
            call = _told(call, conversation, result, told, talk)
            tried = tried.after_rejection(call_s)
            probe = await dispatcher.wait(ended if talk is None else talk.rejected(ended), 0.0)
            current = await dispatcher.again(lease, tried.attempts + 1, probe=probe, call=call)
            continue
        if isinstance(result, Reply):
            raise TypeError(f"the task type gave {step!r}, which is no step")
        failing_since = min(failing_since, ended.at)
        tried = Tried(changes=possible(call)) if tried is None else tried
        alike = health.alike if health.served_at >= failing_since - RECENTLY_S else None
        decision = decide(result, tried, job.policy, job.chance, call_s=call_s, alike=alike)
        charged = health.charged(result)
        if isinstance(decision, GiveUp) and charged:
            label, reason = decision.label or result.label, _reason(decision, result, tried)
            return _ended(lease, job, dispatcher, ended, label, reason, Outcome.FAILED, talk)
        call = _asked(call, decision, result, job)
        often = tried.waits >= OFTEN
        probe = await dispatcher.wait(ended, _seconds(decision, result, dispatcher), often=often)
        if charged and health.outages == outages:  # a failure before an outage was part of it
            tried = tried.after(decision, result, call_s)
        current = await dispatcher.again(lease, tried.attempts + 1, probe=probe, call=call)
        if current is not None and result.limited is not None and isinstance(decision, Wait):
            tried = tried.waited(current.started - ended.at)
    return NOTHING


def _judged(job: Job, lease: Lease, reply: Reply, step: Answer) -> Step:
    """The answer, or what the inline filters of the task have against it."""
    if job.inline is None:
        return step
    asked = Asked(lease.row.key, lease.fields, job.call.model, lease.attempt, job.simulated)
    return job.inline.judge(asked, reply, step)


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


def _told(call: Call, conversation: Conversation, reply: Reply, reject: Reject, talk: Talk | None) -> Call:
    """The same call, in a conversation that goes on with what was wrong."""
    if talk is not None:
        return call._replace(messages=talk.again(reject))
    return call._replace(messages=asked_again(conversation, reply.text, reject))


def _next_call(going: Going, job: Job, lease: Lease) -> tuple[Call, Lease]:
    """The next call of a conversation, and the lease for it: its turn, its tier and the size of its prompt."""
    call = job.lessons.first(job.call, going.messages)
    if going.plain:
        call = plain(call)
    extra = sum(len(message.content) for message in going.messages)
    return call, lease._replace(turn=going.turn, tier=going.tier, extra=extra)


def _concluded(
    lease: Lease, job: Job, dispatcher: Dispatcher, talk: Talk, step: Answer | Reject | Fail, call: Call
) -> Finding:
    """A conversation that has ended: with its answer, or without one."""
    if isinstance(step, Answer):
        otherwise = difference(job.call._replace(tools=()), call._replace(tools=()))
        reason = dumps(otherwise).decode() if otherwise else ""
        return _finding(lease, job, dispatcher, talk.ended, talk.answer(step), Outcome.DONE, "ok", reason, talk)
    outcome = Outcome.FAILED if isinstance(step, Fail) else Outcome.REJECTED
    return _finding(lease, job, dispatcher, talk.ended, None, outcome, step.label, step.reason, talk)


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
    talk: Talk | None = None,
) -> Finding:
    if talk is not None and ended is not None:
        talk.given_up(ended, rejected=outcome is Outcome.REJECTED)
    return _finding(lease, job, dispatcher, ended, None, outcome, label, reason, talk)


def _finding(
    lease: Lease,
    job: Job,
    dispatcher: Dispatcher,
    ended: CallEnded | None,
    reply: Reply | None,
    outcome: Outcome,
    label: str,
    reason: str,
    talk: Talk | None = None,
) -> Finding:
    """The seed's end, as events and as a record; it ends with its call, in the same moment."""
    utc, at = dispatcher.clock.now() if ended is None else (ended.utc, ended.at)
    row = lease.row
    seed_ended = SeedEnded(
        utc,
        at,
        row.number,
        ended.call if ended is not None else 0,
        outcome,
        label,
        reason,
        lease.attempt,
        lease.started,
        lease.payload,
    )
    started_utc = utc - (at - lease.started)
    notes = () if talk is None else tuple(talk.notes)
    story = Story(row.key, seed_ended, ended, started_utc, job.call.model, job.fingerprint, job.simulated, notes)
    if talk is not None:
        return Finding((*talk.taken(), seed_ended), record_of(story, reply, None), lease.payload)
    if ended is None:
        # The intent that was written for this seed never left.
        unsent = CallEnded(utc, at, lease.call, row.number, "unsent", reason)
        return Finding((unsent, seed_ended), record_of(story, reply, None), lease.payload)
    return Finding((ended, seed_ended), record_of(story, reply, None), lease.payload)
