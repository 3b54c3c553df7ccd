"""How far a run is, folded from its events: the same numbers for the terminal, for plain lines and for the summary.

The counters add up at every moment: done + rejected + failed + left = total, and the calls in flight are part of left.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from deepswarm.core.events import (
    CallEnded,
    CallStarted,
    Event,
    PaceChanged,
    RunPaused,
    RunResumed,
    SeedEnded,
    SeedReopened,
)
from deepswarm.core.records import Outcome, Totals

WINDOW_S = 60.0
"""Seconds over which the present pace is measured."""


@dataclass(slots=True)
class Progress:
    """A fold of events.

    Attributes:
        total: Seeds of this run.
        before: What was done, rejected and failed when this process took the run up.
        started: When this process took it up, seconds on the loop's clock.
        calls: Calls that were sent and have ended.
        paused: The pause under way; None while the run runs.
        call_s: Duration of the call that ended last; `longest_s` is that of the longest one so far.
        pace: How the pace stands; None while it has not told.
    """

    total: int
    before: Totals
    started: float
    done: int = 0
    rejected: int = 0
    failed: int = 0
    in_flight: int = 0
    calls: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    maybe_billed: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    call_s: float = 0.0
    longest_s: float = 0.0
    paused: RunPaused | None = None
    pace: PaceChanged | None = None
    _called_s: float = 0.0
    _bound: dict[str, tuple[float, PaceChanged]] = field(default_factory=dict)
    _open: dict[int, float] = field(default_factory=dict)
    _marks: deque[tuple[float, int, int]] = field(default_factory=deque)

    def watch(self, events: Sequence[Event]) -> None:
        """Add events."""
        for event in events:
            if isinstance(event, CallStarted):
                self.in_flight += 1
                self._open[event.call] = event.at
            elif isinstance(event, CallEnded):
                self._call_ended(event)
            elif isinstance(event, SeedEnded):
                self._seed_ended(event)
            elif isinstance(event, SeedReopened):
                self._seed_reopened(event)
            elif isinstance(event, RunPaused):
                self.paused = event
            elif isinstance(event, RunResumed):
                self.paused = None
            elif isinstance(event, PaceChanged):
                self._pace_changed(event)

    def departed(self, call: int, at: float) -> None:
        """A call whose intent was written has left at this moment: its duration counts from now on."""
        if call in self._open:
            self._open[call] = at

    def binds(self) -> PaceChanged | None:
        """How the pace stood last while that bound which has bound it for longest; None while it has not told."""
        return max(self._bound.values(), key=lambda known: known[0])[1] if self._bound else None

    def _pace_changed(self, event: PaceChanged) -> None:
        before, self.pace = self.pace, event
        if before is not None:
            seconds, known = self._bound.get(before.what, (0.0, before))
            self._bound[before.what] = (seconds + event.at - before.at, known)
        seconds, known = self._bound.get(event.what, (0.0, event))
        self._bound[event.what] = (seconds, event if event.call_s > 0.0 else known)

    def _call_ended(self, event: CallEnded) -> None:
        self.in_flight -= 1
        if event.label == "unsent":
            self._open.pop(event.call, None)
            return
        self.calls += 1
        self.call_s = call_s = event.at - self._open.pop(event.call, event.at)
        self.longest_s = max(self.longest_s, call_s)
        self._called_s += call_s
        tokens_in, tokens_out, _, _ = event.usage
        self.tokens_in += tokens_in or 0
        self.tokens_out += tokens_out or 0
        self.maybe_billed += event.maybe_billed
        if event.label != "ok":
            self.problems[event.label] += 1

    def _seed_ended(self, event: SeedEnded) -> None:
        if event.outcome is Outcome.DONE:
            self.done += 1
            return
        if event.outcome is Outcome.REJECTED:
            self.rejected += 1
        else:
            self.failed += 1
        self.failures[event.label] += 1

    def _seed_reopened(self, event: SeedReopened) -> None:
        """Take an end back; it was one of this session, since those of earlier ones are taken back before it begins."""
        if event.was is Outcome.DONE:
            self.done -= 1
            return
        if event.was is Outcome.REJECTED:
            self.rejected -= 1
        else:
            self.failed -= 1
        if event.label:
            self.failures[event.label] -= 1
            self.failures += Counter()  # takes out what has come down to nothing

    @property
    def ended(self) -> int:
        """Seeds that have an outcome, those of earlier sessions included."""
        return self.before.done + self.before.rejected + self.before.failed + self.ended_here

    @property
    def ended_here(self) -> int:
        """Seeds that this process brought to an outcome."""
        return self.done + self.rejected + self.failed

    @property
    def left(self) -> int:
        """Seeds without an outcome; those in flight among them."""
        return self.total - self.ended

    def mark(self, now: float) -> None:
        """Remember this moment, for the pace of the last minute."""
        self._marks.append((now, self.ended_here, self.tokens_out))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW_S:
            self._marks.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """(seeds per second, output tokens per second) over the last minute."""
        then, seeds, tokens = self._marks[0] if self._marks else (self.started, 0, 0)
        passed = now - then
        if passed <= 0:
            return 0.0, 0.0
        return (self.ended_here - seeds) / passed, (self.tokens_out - tokens) / passed

    def eta(self, now: float) -> tuple[float, float] | None:
        """Seconds until the end as a range; None while unknown.

        Three paces are known: the last minute's, the whole run's, and what is in flight divided by the mean duration
        of a call (Little's law), which is right from the first calls on. The fastest gives the start of the range, for
        the seeds whose calls have not begun; the slowest gives its end, for all seeds left, and the longest call so far
        comes on top, because the last calls have to end as well. The statistical error of a count, 1 / sqrt(n), widens
        both.
        """
        if self.ended_here < 2:
            return None
        whole = self.ended_here / (now - self.started) if now > self.started else 0.0
        flowing = self.in_flight * self.ended_here / self._called_s if self._called_s > 0 else 0.0
        paces = [pace for pace in (whole, self.rates(now)[0], flowing) if pace > 0]
        if not paces:
            return None
        blur = 1.0 / self.ended_here**0.5
        shortest, longest = max(0, self.left - self.in_flight) / max(paces), self.left / min(paces)
        return shortest * (1 - min(blur, 0.5)), longest * (1 + blur) + self.longest_s

    def line(self, now: float) -> str:
        """One line for where there is no terminal."""
        seeds, tokens = self.rates(now)
        parts = [f"{self.ended:,}/{self.total:,} ended", f"{self.in_flight:,} in flight"]
        if self.paused is not None:
            parts.append(f"paused for {duration(now - self.paused.at)} ({self.paused.label})")
        parts += [f"{seeds:.3g} seeds/s", f"{tokens:,.0f} tokens/s"]
        if self.pace is not None and self.paused is None:
            parts.append(f"limit {self.pace.limit:,} ({self.pace.why})")
        parts += [f"{count:,} failed: {label}" for label, count in self.failures.most_common(4)]
        parts += [f"{count:,} calls {label}" for label, count in self.problems.most_common(3)]
        eta = self.eta(now)
        if eta is not None and self.left:
            parts.append(f"about {duration(eta[0])} to {duration(eta[1])} left")
        return ", ".join(parts)


def duration(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min, 2.5 h."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
