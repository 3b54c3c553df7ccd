"""How a run stands, folded from its journal: the one source of terminal, status, page, report and metrics. Pure.

    events ─ watch ─▶ State ─ look ─▶ Snapshot
                        └─ the fold's own text (`report/saved.py`) is kept in the journal, so that nobody folds a
                           million events to know where a run is

The counters add up at every moment: seeds = done + rejected + failed + in flight + retrying + queued. Times are seconds
on the monotonic clock of the process that writes the journal; `State.at_of` brings others to it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple, Protocol

from deepswarm.core.events import (
    CallEnded,
    CallStarted,
    Event,
    PaceChanged,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    SeedEnded,
    SeedReopened,
)
from deepswarm.core.records import Outcome, Totals
from deepswarm.report.snapshot import LEAVING, WAITING, WRITING, OldCall, Pause, Snapshot, eta

WINDOW_S: Final = 60.0
"""Seconds over which the present rates are measured."""
MARK_S: Final = 1.0
"""Least seconds between two points of that measurement."""
OLDEST: Final = 5
"""Calls that are shown one by one."""
NOT_SENT: Final = frozenset({"unsent", "lost"})
"""Labels of calls that do not say that their seed is tried again by this process."""
_DONE, _REJECTED = Outcome.DONE, Outcome.REJECTED


class Till(Protocol):
    """What knows what calls have cost: the bill's fold (`report/bill.py`)."""

    def watch(self, events: Iterable[Event]) -> None:
        """Add events, in their order; the summary does not pass them on."""

    def so_far(self) -> tuple[Decimal, int]:
        """US dollars, exact, of all calls whose price is known; and calls that cost something nobody knows."""


class Session(NamedTuple):
    """A stretch of the run: its number, when it began, whether its replies are simulated, and its task as JSON text."""

    number: int
    utc: float
    at: float
    simulated: bool
    task: str


class Mark(NamedTuple):
    """Counts of the session at a moment, for rates."""

    at: float
    ended: int
    calls: int
    tokens_in: int
    tokens_out: int


@dataclass(slots=True)
class Counts:
    """What is added up; of the sessions before this one, or of this one.

    Attributes:
        failures: Seeds that were rejected or failed, by class.
        problems: Calls that gave no usable reply, by class.
        calls: Calls that left and have ended; `called_s` is the sum of their durations, `longest_s` the longest one.
    """

    done: int = 0
    rejected: int = 0
    failed: int = 0
    calls: int = 0
    maybe_billed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    called_s: float = 0.0
    longest_s: float = 0.0
    failures: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)

    @property
    def ended(self) -> int:
        """Seeds that have an outcome."""
        return self.done + self.rejected + self.failed

    def add(self, other: Counts) -> None:
        """Add what another one has counted."""
        self.done += other.done
        self.rejected += other.rejected
        self.failed += other.failed
        self.calls += other.calls
        self.maybe_billed += other.maybe_billed
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.called_s += other.called_s
        self.longest_s = max(self.longest_s, other.longest_s)
        self.failures.update(other.failures)
        self.problems.update(other.problems)


@dataclass(slots=True)
class State:
    """The fold. Folding a part and then the rest gives the same as folding all at once.

    Attributes:
        seeds: Of this run; whoever knows the seeds file says it (`begin`), no event does.
        before: Of earlier sessions.
        now: Of this session.
        number: Of the last event that was watched.
        began: The newest session's beginning; None before the first one.
        over: How the newest session ended; None while it runs, or when its process died.
        paused: The pause under way; None while calls may leave.
        pace: How the pace stands; None while it has not told.
        till: What knows the costs of all calls that are not in `spent`; None where nobody asks.
        spent: US dollars of the calls before; `unpriced` are those among them whose price nobody knows.
        open: Calls under way, in the order of their intents; `left_at` is when they left, `writing` those whose reply
            has begun to come.
        tried: Seeds whose last call has ended in vain, so far as anybody knows, or that were asked again.
        asking: Seeds with calls under way, and how many.
        marks: For the rates.
        last: (utc, at) of the newest event; `heard_at` is when a call has ended last.
        bound: For how many seconds each reason has bound the run, and how the pace stood then.
    """

    seeds: int = 0
    before: Counts = field(default_factory=Counts)
    now: Counts = field(default_factory=Counts)
    number: int = 0
    began: Session | None = None
    over: RunEnded | None = None
    paused: RunPaused | None = None
    pace: PaceChanged | None = None
    till: Till | None = None
    spent: Decimal = Decimal(0)
    unpriced: int = 0
    open: dict[int, CallStarted] = field(default_factory=dict)
    left_at: dict[int, float] = field(default_factory=dict)
    writing: set[int] = field(default_factory=set)
    tried: set[int] = field(default_factory=set)
    marks: deque[Mark] = field(default_factory=deque)
    last: tuple[float, float] = (0.0, 0.0)
    heard_at: float = 0.0
    bound: dict[str, tuple[float, PaceChanged]] = field(default_factory=dict)
    asking: Counter[int] = field(default_factory=Counter)

    def __repr__(self) -> str:
        ended, flying = self.before.ended + self.now.ended, len(self.open)
        return f"State({ended} of {self.seeds} ended, {flying} calls in flight, event {self.number})"

    # --- folding -----------------------------------------------------------------------------------------------------

    def begin(self, totals: Totals, failures: Counter[str]) -> None:
        """Take over what the journal says of the seeds that belong to this run, before the session's first event.

        Args:
            totals: Of the selected seeds.
            failures: Its rejected and failed seeds, by class.
        """
        self.before.add(self.now)
        self.now = Counts()
        self.seeds = totals.seeds
        self.before.done, self.before.rejected, self.before.failed = totals.done, totals.rejected, totals.failed
        self.before.failures = Counter(failures)

    def watch(self, events: Iterable[Event]) -> None:
        """Add events, in their order."""
        for event in events:
            self.number += 1
            if isinstance(event, CallStarted):
                self.open[event.call] = event
                self.asking[event.seed] += 1
                self.last = event.utc, event.at
            elif isinstance(event, CallEnded):
                self._call_ended(event)
            elif isinstance(event, SeedEnded):
                self._seed_ended(event)
            else:
                self._happened(event)

    def departed(self, call: int, at: float) -> None:
        """A call whose intent was written has left at this moment: its duration counts from now on."""
        self.left_at[call] = at

    def begun(self, call: int) -> None:
        """The first content of a streamed reply has come."""
        self.writing.add(call)

    def _call_ended(self, event: CallEnded) -> None:
        call, seed, label = event.call, event.seed, event.label
        started = self.open.pop(call, None)
        left_at = self.left_at.pop(call, None)
        self.writing.discard(call)
        self.last = event.utc, event.at
        asking = self.asking.get(seed, 0)
        if asking > 1:
            self.asking[seed] = asking - 1
        elif asking:
            del self.asking[seed]
            if label not in NOT_SENT:
                self.tried.add(seed)
        if label == "unsent":
            return
        self._mark(event.at)
        self.heard_at = event.at
        counts = self.now
        counts.calls += 1
        if started is not None:
            call_s = event.at - (started.at if left_at is None else left_at)
            counts.called_s += call_s
            counts.longest_s = max(counts.longest_s, call_s)
        counts.tokens_in += event.usage.tokens_in or 0
        counts.tokens_out += event.usage.tokens_out or 0
        counts.maybe_billed += event.maybe_billed
        if label != "ok":
            counts.problems[label] += 1

    def _seed_ended(self, event: SeedEnded) -> None:
        self.tried.discard(event.seed)
        self.asking.pop(event.seed, None)
        self.last = event.utc, event.at
        counts = self.now
        if event.outcome is _DONE:
            counts.done += 1
            return
        if event.outcome is _REJECTED:
            counts.rejected += 1
        else:
            counts.failed += 1
        counts.failures[event.label] += 1

    def _happened(self, event: Event) -> None:
        """Events that come seldom."""
        self.last = event.utc, event.at
        if isinstance(event, RunStarted):
            self._run_started(event)
        elif isinstance(event, RunEnded):
            self.over, self.paused = event, None
            self._nobody_asks()
        elif isinstance(event, RunPaused):
            self.paused = event
        elif isinstance(event, RunResumed):
            self.paused, self.heard_at = None, event.at
        elif isinstance(event, PaceChanged):
            self._pace_changed(event)
        elif isinstance(event, SeedReopened):
            self._reopened(event)

    def _run_started(self, event: RunStarted) -> None:
        self.before.add(self.now)
        self.now = Counts()
        self.began = Session(event.session, event.utc, event.at, event.simulated, event.task)
        self.over, self.paused, self.pace = None, None, None
        self.bound.clear()
        self.marks.clear()
        self.heard_at = event.at
        self._nobody_asks()
        self._mark(event.at)

    def _nobody_asks(self) -> None:
        """The process that asked is gone; its calls that have no end get one from the next process."""
        self.open.clear()
        self.left_at.clear()
        self.writing.clear()
        self.tried.clear()
        self.asking.clear()

    def _reopened(self, event: SeedReopened) -> None:
        counts = self.now
        if event.was is _DONE:
            counts.done -= 1
            return
        if event.was is _REJECTED:
            counts.rejected -= 1
        else:
            counts.failed -= 1
        if event.label:
            counts.failures[event.label] -= 1

    def _pace_changed(self, event: PaceChanged) -> None:
        before, self.pace = self.pace, event
        if before is not None:
            seconds, known = self.bound.get(before.what, (0.0, before))
            self.bound[before.what] = (seconds + event.at - before.at, known)
        seconds, known = self.bound.get(event.what, (0.0, event))
        self.bound[event.what] = (seconds, event if event.call_s > 0.0 else known)

    def _mark(self, at: float) -> None:
        """Remember the counts, for the rates of the last minute."""
        marks = self.marks
        if marks and at - marks[-1].at < MARK_S:
            return
        now = self.now
        marks.append(Mark(at, now.ended, now.calls, now.tokens_in, now.tokens_out))
        while len(marks) > 2 and at - marks[1].at >= WINDOW_S:
            marks.popleft()

    # --- looking -----------------------------------------------------------------------------------------------------

    def at_of(self, utc: float) -> float:
        """The moment `utc` on the clock of the process that wrote the newest event; never before that event."""
        last_utc, last_at = self.last
        return last_at + max(0.0, utc - last_utc)

    def binds(self) -> PaceChanged | None:
        """How the pace stood last while that bound which has bound it for longest; None while it has not told."""
        return max(self.bound.values(), key=lambda known: known[0])[1] if self.bound else None

    def failures(self) -> Counter[str]:
        """Seeds that are rejected or failed, by class."""
        return Counter(dict(_sorted(self.before.failures, self.now.failures)))

    def money(self) -> tuple[Decimal, int]:
        """US dollars spent, and calls whose price nobody knows, of the whole run."""
        if self.till is None:
            return self.spent, self.unpriced
        spent, unpriced = self.till.so_far()
        return self.spent + spent, self.unpriced + unpriced

    def look(self, at: float, *, alive: bool = True, kept: int | None = None) -> Snapshot:
        """How the run stands at a moment.

        Args:
            at: Seconds on the writer's clock.
            alive: Whether a process is at work on it.
            kept: Records that the filters kept; None while they have not run.
        """
        before, now, began = self.before, self.now, self.began
        asking = len(self.asking) - (0 in self.asking)
        retrying = sum(seed not in self.asking for seed in self.tried if seed)
        ended = before.ended + now.ended
        left = self.seeds - ended
        seeds_s, calls_s, in_s, out_s = self._rates(at)
        spent, unpriced = self.money()
        last_utc, last_at = self.last
        return Snapshot(
            utc=last_utc + at - last_at,
            phase=self._phase(alive=alive),
            sessions=0 if began is None else began.number,
            simulated=began is not None and began.simulated,
            began_utc=0.0 if began is None else began.utc,
            session_s=0.0 if began is None else (at if self.over is None and alive else last_at) - began.at,
            seeds=self.seeds,
            done=before.done + now.done,
            rejected=before.rejected + now.rejected,
            failed=before.failed + now.failed,
            in_flight=asking,
            retrying=retrying,
            queued=left - asking - retrying,
            kept=kept,
            failures=_sorted(before.failures, now.failures),
            problems=_sorted(before.problems, now.problems),
            calls=before.calls + now.calls,
            calls_in_flight=len(self.open),
            maybe_billed=before.maybe_billed + now.maybe_billed,
            tokens_in=before.tokens_in + now.tokens_in,
            tokens_out=before.tokens_out + now.tokens_out,
            seeds_per_s=seeds_s,
            calls_per_s=calls_s,
            tokens_in_per_s=in_s,
            tokens_per_s=out_s,
            call_s=now.called_s / now.calls if now.calls else None,
            eta_s=eta(left, asking, now.ended, at - (began.at if began else at), seeds_s, now.called_s, now.longest_s),
            pace=self.pace,
            paused=self._pause(at),
            spent=spent,
            unpriced=unpriced,
            oldest=self._oldest(at),
            quiet_s=max(0.0, at - self.heard_at),
            why=self.over.why if self.over is not None else "",
        )

    def _rates(self, at: float) -> tuple[float, float, float, float]:
        """Seeds, calls, tokens of prompts and tokens of answers a second, over the last minute."""
        since = next((mark for mark in self.marks if at - mark.at <= WINDOW_S), None)
        since = self.marks[-1] if since is None and self.marks else since
        if since is None or at <= since.at:
            return 0.0, 0.0, 0.0, 0.0
        now, passed = self.now, at - since.at
        return (
            max(0, now.ended - since.ended) / passed,
            (now.calls - since.calls) / passed,
            (now.tokens_in - since.tokens_in) / passed,
            (now.tokens_out - since.tokens_out) / passed,
        )

    def _phase(self, *, alive: bool) -> str:
        if self.began is None:
            return "new"
        if self.over is not None:
            return self.over.how
        if not alive:
            return "died"
        return "running" if self.paused is None else "paused"

    def _pause(self, at: float) -> Pause | None:
        paused = self.paused
        if paused is None:
            return None
        return Pause(paused.label, paused.why, max(0.0, at - paused.at), paused.wakes_utc)

    def _oldest(self, at: float) -> tuple[OldCall, ...]:
        """The calls that have been under way for longest; their intents were written in this order."""
        first = [started for started, _ in zip(self.open.values(), range(OLDEST), strict=False)]
        return tuple(self._old(started, at) for started in first)

    def _old(self, started: CallStarted, at: float) -> OldCall:
        left_at = self.left_at.get(started.call)
        phase = WRITING if started.call in self.writing else WAITING if left_at is not None else LEAVING
        age_s = max(0.0, at - (started.at if left_at is None else left_at))
        return OldCall(started.call, started.seed, started.attempt, started.tier, phase, age_s)


def _sorted(before: Counter[str], now: Counter[str]) -> tuple[tuple[str, int], ...]:
    """Counts of both by class, the largest first; classes of which none is left are left out."""
    both = before.copy()
    both.update(now)
    return tuple(sorted(((name, count) for name, count in both.items() if count > 0), key=lambda pair: -pair[1]))
