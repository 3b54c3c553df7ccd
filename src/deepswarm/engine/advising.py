"""The orchestrator's part before the first seed: both tiers are probed, and it is asked for a plan.

    task, seeds, earlier answers ─▶ question ─▶ plan ─▶ a difference, shown ─▶ applied, if the task says so

What is decided is decided in `deepswarm.orchestrator`; here is only what waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from deepswarm.core.lessons import Lessons
from deepswarm.core.records import Call, Message, Outcome
from deepswarm.core.scheduler import How
from deepswarm.core.section import chosen
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tiers import NAMES, ORCHESTRATOR, WORKER
from deepswarm.engine.answers import Decoder
from deepswarm.engine.counsel import Counsel
from deepswarm.engine.dispatcher import Dispatcher
from deepswarm.engine.opening import as_dict, fingerprint_of
from deepswarm.engine.output import records
from deepswarm.orchestrator import planning, probing
from deepswarm.orchestrator.advice import Ignored
from deepswarm.prices import book_of
from deepswarm.tasks import TaskType, made

_DONE: Final = frozenset({Outcome.DONE})


async def counsel_of(
    spec: TaskSpec,
    kind: TaskType,
    call: Call,
    lessons: Lessons,
    dispatcher: Dispatcher,
    decoder: Decoder,
    say: Callable[[str], None],
) -> Counsel:
    """The orchestrator's counsel for a session, asked for its plan already.

    Args:
        spec: The task.
        kind: Its type.
        call: What all calls of the worker tier have in common.
        lessons: What the workers learn.
        dispatcher: Of the run.
        decoder: Reads the answers that there are already.
        say: Shows a line.
    """
    task = as_dict(spec)
    address = spec.orchestrator_api_base or spec.worker_api_base
    books = (book_of(task, spec.worker_api_base), book_of({**task, "worker_api_base": address}, address))
    counsel = Counsel(spec, kind, call, lessons, dispatcher, dispatcher.journal, books, fingerprint_of(spec), say)
    if not counsel.probed and (spec.plan, spec.monitor) != ("off", "off"):
        await probe(counsel)
    if dispatcher.scheduler.stopped is None and spec.plan != "off" and not counsel.planned:
        await plan(counsel, _sample(dispatcher), _earlier(dispatcher, decoder))
    changed = planning.with_thresholds(spec, counsel.thresholds) if counsel.thresholds else None
    if changed is not None:
        counsel.kind = made(changed)
    if dispatcher.purse is not None:
        dispatcher.purse.amend = counsel.over
    return counsel


async def probe(counsel: Counsel) -> None:
    """Ask each tier one small thing in the task's own form; stop, or go on without the orchestrator, if it cannot."""
    dispatcher, spec = counsel.dispatcher, counsel.spec
    first = _first_messages(counsel)
    for tier, model in ((WORKER, spec.worker_model), (ORCHESTRATOR, spec.orchestrator_model)):
        called = await dispatcher.consult(None, probing.probe(dispatcher.tier_call(tier), first), tier, "probe")
        why = probing.misunderstood(called.result)
        if not why:
            continue
        what = f"{model} ({NAMES[tier]}) does not understand how this task speaks: {why}"
        if tier == WORKER:
            dispatcher.stop(How.REFUSED, f"{what}; try other worker_params, or another model")
            return
        counsel.say(f"{what}; try other orchestrator_params, or another orchestrator_model")
    counsel.probed = True
    counsel.remember()


def _first_messages(counsel: Counsel) -> tuple[Message, ...]:
    """The messages of the first seed that is left and can be asked about."""
    for row in counsel.journal.left(-1, planning.SAMPLE):
        try:
            return counsel.kind.open(counsel.dispatcher.seeds.read(row)[1]).messages
        except ValueError:
            continue
    return (Message("user", ""),)


def _sample(dispatcher: Dispatcher) -> list[str]:
    rows = dispatcher.journal.left(-1, planning.SAMPLE)
    return [dispatcher.seeds.read(row)[0].decode("utf-8", "replace") for row in rows]


def _earlier(dispatcher: Dispatcher, decoder: Decoder) -> list[str]:
    """Answers of a pilot, or of earlier sessions."""
    if not dispatcher.journal.totals().done:
        return []
    first = islice(records(dispatcher.journal, decoder, _DONE), planning.REPLIES)
    return [str(record.get("answer", "")) for record in first]


async def plan(counsel: Counsel, seeds: Sequence[str], replies: Sequence[str]) -> None:
    """Ask for a plan, and do with it what the task says.

    Args:
        counsel: Of the session.
        seeds: A sample, as JSON texts.
        replies: Answers that there are already.
    """
    spec = counsel.spec
    task = chosen(spec)
    reply = await counsel.ask(planning.question(task, seeds, replies, counsel.call), "plan")
    found = reply if isinstance(reply, Ignored) else planning.plan_of(reply, spec, counsel.call)
    if isinstance(found, Ignored):
        counsel.planned = found.label not in {"no_reply", "no_budget"}
        counsel.ignored("plan", found)
        return
    counsel.planned = True
    applied = spec.plan == "apply" and bool(found.rows)
    if applied:
        counsel.changes, counsel.thresholds = found.changes, found.thresholds
    for line in planning.plan_text(found, spec.orchestrator_model or "", applied=applied):
        counsel.say(line)
    counsel.write("plan", "applied" if applied else "proposed", "", "", planning.plan_json(found))
