"""The whole flow, as the drawing in ARCHITECTURE.md has it.

    task ── task_type_of ─▶ TaskType ┐
    seeds ── read_seeds ──▶ journal  ├─▶ dispatch ─▶ worker ─▶ caller ─▶ reply ─▶ answer ─▶ outcome
    journal ── totals ────▶ left     ┘                                                        │
                               summary ◀─ report ◀─ filter ◀─ export ◀─ output ◀─ journal ◀──┘

`run` is that line; everything it calls is one arrow. Each part can be repeated at any time: the journal is the truth.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from deepswarm.core import calibrate
from deepswarm.core.deadlines import Patience
from deepswarm.core.errors import DeepSwarmError, DiskFull
from deepswarm.core.events import CallEnded, Event, RunEnded, RunStarted, SeedsChanged
from deepswarm.core.health import Health
from deepswarm.core.lessons import Lessons
from deepswarm.core.pace import Memory, Pace
from deepswarm.core.pace.choice import Choice
from deepswarm.core.pace.costs import Costs
from deepswarm.core.records import Call, HttpReply, Outcome, Totals
from deepswarm.core.retry import Chance
from deepswarm.core.scheduler import How, Scheduler, Stop
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tierkeys import has_caps, orchestrator_of
from deepswarm.core.tiers import ORCHESTRATOR, WORKER
from deepswarm.dialects import Dialect
from deepswarm.engine.account import Account, Sharing, shares
from deepswarm.engine.answers import Answers, Decoder, other_dialect
from deepswarm.engine.billing import bill_run
from deepswarm.engine.caller import Caller
from deepswarm.engine.clock import Clock
from deepswarm.engine.closing import check_filters, export_run, filter_run, filters_of, report_run
from deepswarm.engine.code import Code
from deepswarm.engine.consulting import Consulting, Road
from deepswarm.engine.dispatcher import Dispatcher, SeedReader
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.inline import inline_of
from deepswarm.engine.opening import (
    as_dict,
    call_of,
    check_same_task,
    dialect_name_of,
    dialect_of,
    fingerprint_of,
    read_seeds,
    task_type_of,
    wanted_of,
)
from deepswarm.engine.output import ResultFiles
from deepswarm.engine.preflight import Verdict, balance_of, clock_of, disk_of, warnings
from deepswarm.engine.purse import purse_of
from deepswarm.engine.seeds import SeedFile, lines_of
from deepswarm.engine.shutdown import Interrupts
from deepswarm.engine.standing import Folds, keep, taken_up
from deepswarm.engine.steering import Asked, Refusal, Steering, asked_again
from deepswarm.engine.terms import terms_of, user_code
from deepswarm.engine.tiers import Orchestrator, orchestrator_beside, policy_of
from deepswarm.engine.timeline import Timeline
from deepswarm.engine.worker import Job, work
from deepswarm.journals import Enrolment, Journal
from deepswarm.journals.lock import held
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.report.figures import Figures
from deepswarm.report.saved import NAME, saved
from deepswarm.report.state import State
from deepswarm.report.summary import Summary
from deepswarm.report.whyslow import binding
from deepswarm.taskfile import TaskFile, resolve
from deepswarm.tasks import TaskType
from deepswarm.transports import Transport
from deepswarm.version import VERSION

if TYPE_CHECKING:
    from deepswarm.engine.counsel import Counsel
    from deepswarm.engine.judging import Judge
    from deepswarm.engine.monitor import Monitor

SEEDS_OF_CHANCE: Final = 1 << 32
"""How many different runs the pace's own jitter knows."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line asks of a run, beside the task file. `calls`: at most so many, then it stops, resumable."""

    total: int | None = None
    fresh: bool = False
    accept_changes: bool = False
    retry_failed: bool = False
    calls: int | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """Who answers. `connect` makes the transport inside the running loop; `account` is None where none is shared.

    `orchestrator` answers for that tier; None when it is this one, too.
    """

    connect: Callable[[], Transport]
    simulated: bool
    account: Account | None = None
    orchestrator: Provider | None = None


class Screen(Protocol):
    """Where a run says what it does. It is told; it steers nothing."""

    def say(self, text: str) -> None:
        """Show a line that stays."""

    async def follow(self, state: State, now: Callable[[], float]) -> None:
        """Show how the run stands until cancelled."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Time, chance, the loop and the machine, as the shell hands them in.

    Attributes:
        connections: Most connections that this process can hold open.
        command: What resumes the run.
    """

    clock: Callable[[], Clock]
    utc: Callable[[], float]
    chance: Chance
    loop: Callable[[Coroutine[Any, Any, Summary]], Summary]
    command: str
    connections: int = 1 << 30


def run(
    task: TaskFile, folder: RunFolder, wishes: Wishes, provider: Provider, screen: Screen, around: Surroundings
) -> Summary:
    """A whole run: from the task file and the seeds to results, failures and what the filters kept.

    The same call again resumes: nothing is asked that has an outcome.

    Raises:
        TaskFileError: For everything that is wrong with task or seeds; before the first call.
        JournalError: If the run's folder is held, damaged, or holds another task's answers.
    """
    kind = task_type_of(task)
    check_filters(task)
    spec = task.spec.but(filters=filters_of(task))  # so that the journal alone can filter again
    folder.make()
    with ExitStack() as stack:
        stack.enter_context(held(folder.journal, around.command, around.utc()))
        if wishes.fresh and (aside := folder.put_aside()):
            screen.say(f"the earlier run was put aside, not deleted: {aside}")
        folder.refuse_orphans()
        journal = SqliteJournal(folder.journal)
        stack.callback(journal.close)
        accepted = (around.utc(), 0.0) if wishes.accept_changes else None
        check_same_task(
            journal, spec, simulated=provider.simulated, accept_changes=wishes.accept_changes, folder=folder
        )
        enrolment = read_seeds(journal, task, folder, kind.names, wishes.total, accepted, screen.say)
        if (disk := disk_of(folder.path)).verdict is not Verdict.OK:
            screen.say(str(disk))
        dialect = dialect_of(spec)
        answers = Answers(dialect, kind, other_dialect(spec))
        output = ResultFiles(folder.path, journal, answers, spec.checkpoint_every)
        stack.callback(output.close)
        if wishes.retry_failed:
            reopened = journal.reopen(frozenset({Outcome.FAILED, Outcome.REJECTED}), None, (around.utc(), 0.0))
            screen.say(f"{reopened:,} failed seeds are asked again")
        taken = asked_again(journal, (around.utc(), 0.0))
        for each in taken:
            screen.say(f"{each.command} ({each.by}): {each.result}")
        if journal.replaced:
            output.catch_up(anew=True)
        seeds = SeedFile(lines_of(resolve(task, spec.seeds_file), folder.spool))
        stack.callback(seeds.close)
        if has_caps(spec):
            from deepswarm.engine.affording import check_budget

            check_budget(task, kind, journal, seeds, around.utc())
        figures, fresh = Figures(), not journal.totals().calls
        code = user_code(task, screen.say)
        stack.callback(code.close)
        dispatch = Dispatch(
            spec,
            kind,
            journal,
            seeds,
            output,
            dialect,
            provider,
            screen,
            around,
            wishes.calls,
            figures=figures,
            code=code,
            taken=taken,
        )
        summary = around.loop(dispatch.run(enrolment))
        lines = reconcile(journal, output, wishes.total, screen)
        try:
            notes = (*export_run(journal, answers, spec, folder), *filter_run(journal, answers, task, folder))
        except OSError as error:  # both are derived; the run itself has ended as its summary says
            notes = (f"not written: {error}; the same command again writes it, without a call",)
        # who leaves at once does not see everything end
        seen = figures if fresh and summary.how is How.FINISHED else None
        bill = bill_run(journal, folder, None if seen is None else seen.billing)
        report = report_run(folder, around.utc(), summary, seen)
        return replace(summary, folder=f"{folder.path}/", lines=lines, notes=(*bill, *notes, *report))


@dataclass(frozen=True, slots=True)
class Dispatch:
    """The part of a run that waits: workers, calls, the journal's pen. Knows no file names and no command line.

    `choose` makes the pace, as `calibrate.chosen` does: a benchmark has others to compare.
    `figures` hear of all events of this process; `code` calls the Python functions that the task names; `taken` are
    commands that were carried out before it began.
    """

    spec: TaskSpec
    kind: TaskType
    journal: Journal
    seeds: SeedReader
    output: ResultFiles
    dialect: Dialect
    provider: Provider
    screen: Screen
    around: Surroundings
    calls: int | None = None
    choose: Callable[..., calibrate.Chosen] = calibrate.chosen
    figures: Figures = field(default_factory=Figures)
    code: Code = field(default_factory=lambda: Code({}, 0.0))
    taken: Sequence[Event] = ()

    async def run(self, enrolment: Enrolment | None) -> Summary:
        """Serve all seeds that are left; ends by itself, or by a stop."""
        clock = self.around.clock()
        before = self.journal.totals()
        folds = taken_up(self.journal, self.figures)
        state = folds.state
        call = call_of(self.spec)
        wish, seed = wish_of(self.spec), int(self.around.chance() * SEEDS_OF_CHANCE)

        def choose(start: Memory | None) -> calibrate.Chosen:
            left, most = before.left, self.around.connections
            return self.choose(wish, left, most, streamed=call.stream, start=start, seed=seed)

        account = self.provider.account
        sharing = Sharing(account, choose, clock) if account is not None and before.left and shares(wish) else None
        pace = choose(None) if sharing is None else sharing.chosen
        dispatcher = Dispatcher(
            self.journal,
            self.seeds,
            self.output,
            Scheduler(),
            Health(self.spec.pause_limit),
            pace.pace if sharing is None else sharing.pace,
            Costs(len(self.spec.prompt_template) + len(self.spec.system_prompt or ""), call.max_tokens),
            clock,
            folds.watch,
            state.departed,
            self.screen.say,
            calls=before.calls,
            purse=purse_of(self.spec, call_of(self.spec, self.kind.schema), self.kind.open, self.journal, clock),
        )
        if self.calls is not None:
            dispatcher.most_calls = before.calls + self.calls
        transport = self.provider.connect()
        dispatcher.several = self.spec.multi_turn
        dispatcher.timeline = Timeline(
            dispatcher.gate,
            clock,
            pace.choice,
            partial(_batches, dispatcher.scheduler),
            dispatcher.note,
            self.screen.say,
            transport.streamed,
        )
        patience = Patience(wanted_of(self.spec), self.spec.seed_timeout)
        caller = Caller(self.dialect, transport, self.dialect.address(self.spec.worker_api_base), patience, clock)
        asked = call_of(self.spec, self.kind.schema)
        own = Road(asked, caller, dispatcher.gate, dispatcher.health, dispatcher.scheduler, dispatcher.costs)
        above = self._orchestrator(own, seed, clock)
        roads = {WORKER: own} if above is None else {WORKER: own, ORCHESTRATOR: above.road}
        consulting = Consulting(dispatcher, roads, policy_of(self.spec), self.around.chance)
        dispatcher.consulting = consulting
        longest_s = patience.of(stream=call.stream).total_s
        async with asyncio.TaskGroup() as group:
            keeper = group.create_task(self.journal.keep())
            watching = group.create_task(keep(state, self.journal))
            follower = group.create_task(self.screen.follow(state, clock.monotonic))
            steering = Steering(
                self.journal,
                dispatcher,
                caller,
                state,
                Asked(self.spec.worker_model, fingerprint_of(self.spec), self.provider.simulated),
                partial(self._repaced, wish, dispatcher, seed),
                lambda: serving.cancel(),  # noqa: PLW0108 - the task is made below
            )
            serving = group.create_task(self._serve(dispatcher, caller, enrolment, state, steering))
            steerer = group.create_task(steering.follow())
            sharer = None if sharing is None else group.create_task(sharing.follow())
            beside = None if above is None else group.create_task(above.follow())
            with Interrupts(dispatcher, serving, self.screen.say, longest_s):
                await asyncio.wait({serving})
            stopped = dispatcher.scheduler.stopped or Stop(How.FINISHED, "")
            self.journal.writers = 1
            watching.cancel()
            steerer.cancel()
            await self._end(dispatcher, stopped, folds, left_at_once=serving.cancelled())
            keeper.cancel()
            follower.cancel()
            if sharer is not None and sharing is not None:
                sharer.cancel()
                sharing.end()
            if beside is not None and above is not None:
                beside.cancel()
                above.end()
        await consulting.close()
        await transport.close()
        return self._summary(state, stopped)

    def _orchestrator(self, own: Road, seed: int, clock: Clock) -> Orchestrator | None:
        """The orchestrator's tier beside the workers' own road; None without one."""
        spec = orchestrator_of(self.spec)
        if spec is None:
            return None
        provider, most, wish = self.provider.orchestrator or self.provider, self.around.connections, wish_of(spec)

        def choose(start: Memory | None, streamed: bool) -> calibrate.Chosen:  # noqa: FBT001 - what it is is said there
            return calibrate.chosen(wish, 0, most, streamed=streamed, start=start, seed=seed)

        account, schema = provider.account if provider is self.provider.orchestrator else None, self.kind.schema
        return orchestrator_beside(
            self.spec, spec, own, schema, provider.connect, account, choose, clock, self.screen.say
        )

    async def _serve(
        self,
        dispatcher: Dispatcher,
        caller: Caller,
        enrolment: Enrolment | None,
        state: State,
        steering: Steering,
    ) -> None:
        """Say that the run begins, and let the workers work."""
        spec, clock = self.spec, dispatcher.clock
        if dispatcher.purse is not None:
            dispatcher.purse.remember(self.journal)
        opening = self._opening(clock, enrolment)
        self.journal.note(NAME, saved(state))  # of the seeds that this run counts, before its first event
        await self.journal.append(opening)
        dispatcher.watch(opening)
        await steering.begin()
        left = self.journal.totals().left
        if not left:
            return
        for check in warnings(spec, dialect_name_of(spec)):
            self.screen.say(str(check))
        balance = await balance_of(caller.dialect, caller.url, caller.transport)
        if balance is not None:
            self.screen.say(f"balance: {balance.amount:,.2f} {balance.currency}")
        if not self.provider.simulated:
            caller.greeted = partial(self._look_at_clock, clock)
        call, lessons = call_of(spec, self.kind.schema), Lessons()
        decoder = Answers(self.dialect, self.kind, other_dialect(spec))
        counsel, judge, monitor = await self._advice(call, lessons, dispatcher, decoder)
        if monitor is not None:
            dispatcher.watch = partial(_both, dispatcher.watch, monitor.watch)
        job = Job(
            self.kind if counsel is None else counsel.kind,
            call,
            policy_of(spec),
            lessons,
            fingerprint_of(spec),
            self.provider.simulated,
            self.around.chance,
            self.screen.say,
            terms_of(spec, self.dialect, self.code, self.around.utc, self.screen.say),
            inline_of(spec.filters),
            counsel=counsel,
            judge=judge,
        )
        self.journal.writers = 0
        timeline = dispatcher.timeline
        async with asyncio.TaskGroup() as lanes:
            ending = None if dispatcher.purse is None else lanes.create_task(_until_its_time_is_up(dispatcher))
            beat = None if timeline is None else lanes.create_task(timeline.follow())
            numbers = Numbers()

            def start(probe: bool) -> None:  # noqa: FBT001 - the gate's own word
                number = numbers.take()
                dispatcher.enter(number, probe=probe)
                lanes.create_task(_lane(number, numbers, job, dispatcher, caller))

            if monitor is not None:
                lanes.create_task(monitor.follow())
            await dispatcher.gate.serve(start)
            if monitor is not None:
                monitor.end()
            for told in (line for part in (counsel, judge) if part is not None and (line := part.line())):
                self.screen.say(told)
            if ending is not None:
                ending.cancel()
            if beat is not None and timeline is not None:
                beat.cancel()
                timeline.look()
                timeline.tell()

    async def _advice(
        self, call: Call, lessons: Lessons, dispatcher: Dispatcher, decoder: Decoder
    ) -> tuple[Counsel | None, Judge | None, Monitor | None]:
        """The orchestrator's counsel, asked for its plan; its judge; and what watches the run on its behalf."""
        if not dispatcher.has_tier(ORCHESTRATOR):
            return None, None, None
        from deepswarm.engine.advising import counsel_of
        from deepswarm.engine.judging import Judge
        from deepswarm.engine.monitor import Monitor

        spec = self.spec
        counsel = await counsel_of(spec, self.kind, call, lessons, dispatcher, decoder, self.screen.say)
        judge = None if spec.judge is None else Judge(spec.judge, counsel)
        return counsel, judge, None if spec.monitor == "off" else Monitor(counsel, decoder, judge)

    def _look_at_clock(self, clock: Clock, reply: HttpReply) -> None:
        check = clock_of(reply, clock.utc())
        if check.verdict is not Verdict.OK:
            self.screen.say(str(check))

    def _opening(self, clock: Clock, enrolment: Enrolment | None) -> list[Event]:
        """What is known when the run begins; calls that a crash left open may have been billed."""
        utc, at = clock.now()
        text = json.dumps(as_dict(self.spec))
        session = self.journal.sessions() + 1
        events: list[Event] = [
            RunStarted(utc, at, session, fingerprint_of(self.spec), text, VERSION, self.provider.simulated)
        ]
        if enrolment is not None:
            events.append(SeedsChanged(utc, at, enrolment.added, enrolment.gone_count, enrolment.changed_count))
        return [*events, *self.taken, *self._lost(clock, "the process ended while it was under way")]

    def _repaced(self, wish: calibrate.Wish, dispatcher: Dispatcher, seed: int, workers: int | None) -> Pace | None:
        """Another pace for so many workers; None where the one that there is only has to be bounded."""
        if wish.kind == "adaptive":
            if wish.workers is not None and (workers is None or workers > wish.workers):
                raise Refusal(f"the task allows {wish.workers:,} workers at most; raise that and run it again")
            return None
        kind = "fixed" if workers is not None else "adaptive"
        other = replace(wish, pace=kind, workers=workers)
        left, most = self.journal.totals().left, self.around.connections
        start = dispatcher.gate.pace.memory() if workers is None else None
        return self.choose(other, left, most, streamed=call_of(self.spec).stream, start=start, seed=seed).pace

    def _lost(self, clock: Clock, why: str) -> list[Event]:
        """The ends of calls whose replies nobody waits for any more."""
        return [
            CallEnded(*clock.now(), call.call, call.seed, "lost", why, maybe_billed=True)
            for call in self.journal.open_calls()
        ]

    async def _end(self, dispatcher: Dispatcher, stopped: Stop, folds: Folds, *, left_at_once: bool) -> None:
        """Write down how it ended; on a full disk the journal simply ends before that."""
        clock = dispatcher.clock
        try:
            if left_at_once:
                await self.journal.append([])  # what came in before is written first: those calls have an end
                await self.journal.append(self._lost(clock, "the user left while it was under way"))
            ended = RunEnded(*clock.now(), self.journal.sessions(), stopped.how.value, stopped.why)
            if dispatcher.purse is not None:
                dispatcher.purse.remember(self.journal)
            await self.journal.append([*dispatcher.noted(), ended])
            folds.catch_up(self.journal)  # who left at once did not hear of everything that was written
            self.journal.note(NAME, saved(folds.state))
            if dispatcher.reopened:
                self.output.catch_up(anew=True)
            self.output.finish()
            self.journal.flush()
        except (DiskFull, OSError) as error:
            self.screen.say(str(error))

    def _summary(self, state: State, stopped: Stop) -> Summary:
        totals = self.journal.totals()
        check_totals(totals)
        here, began = state.now, state.began
        return Summary(
            how=stopped.how,
            why=stopped.why,
            totals=totals,
            calls=here.calls,
            seconds=0.0 if began is None else state.last[1] - began.at,
            problems=here.problems,
            failures=+here.failures,
            folder="",
            resume=self.around.command,
            lines=(0, 0),
            simulated=self.provider.simulated,
            slow=binding(bound) if (bound := state.binds()) is not None else "",
        )


def _both(
    one: Callable[[Sequence[Event]], None], other: Callable[[Sequence[Event]], None], events: Sequence[Event]
) -> None:
    one(events)
    other(events)


class Numbers:
    """The numbers of the workers, from 0, as few as there are workers at once."""

    def __init__(self) -> None:
        """None is taken."""
        self._free: list[int] = []
        self._next = 0

    def take(self) -> int:
        """A number that nobody has."""
        if self._free:
            return self._free.pop()
        self._next += 1
        return self._next - 1

    def give_back(self, number: int) -> None:
        """Nobody has this one any more."""
        self._free.append(number)


async def _lane(number: int, numbers: Numbers, job: Job, dispatcher: Dispatcher, caller: Caller) -> None:
    """A worker, from its first seed until there is no seed, or no room for another call."""
    dispatcher.journal.writers += 1
    dispatcher.health.lanes += 1
    try:
        await work(number, job, dispatcher, caller)
    finally:
        dispatcher.health.lanes -= 1
        dispatcher.journal.writers -= 1
        numbers.give_back(number)
        dispatcher.gate.left()


async def _until_its_time_is_up(dispatcher: Dispatcher) -> None:
    """Stop a run whose max_time is used up, also while nothing is asked."""
    purse = dispatcher.purse
    left_s = None if purse is None else purse.left_s
    if purse is not None and left_s is not None:
        await asyncio.sleep(left_s)
        dispatcher.stop(How.PAUSED, purse.out_of_time)


def _batches(scheduler: Scheduler, choice: Choice) -> None:
    scheduler.batch_size = choice.batch_size


def wish_of(spec: TaskSpec) -> calibrate.Wish:
    """What the task says of the pace."""
    return calibrate.Wish(
        spec.pace,
        None if spec.workers == "auto" else spec.workers,
        None if spec.stagger == "auto" else float(spec.stagger),
        None if spec.batch_size == "auto" else spec.batch_size,
        spec.rate_limit,
        spec.rpm,
        spec.tpm,
        spec.courtesy,
    )


def check_totals(totals: Totals) -> None:
    """Raise unless every seed has exactly one state; a fault of ours if not."""
    if totals.done + totals.rejected + totals.failed + totals.left != totals.seeds:
        message = f"the totals do not add up: {totals!r}"
        raise DeepSwarmError(message)


def reconcile(journal: SqliteJournal, output: ResultFiles, total: int | None, screen: Screen) -> tuple[int, int]:
    """The lines of results and failures; written anew from the journal if they do not match it."""
    journal.select(None)
    whole = journal.totals()
    journal.select(total)
    expected = (whole.done, whole.rejected + whole.failed)
    try:
        if output.finish() != expected:
            output.catch_up(anew=True)
    except OSError as error:
        screen.say(f"the output is behind the journal: {error}; the same command again brings it up to date")
    return output.lines
