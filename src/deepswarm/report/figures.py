"""A run in figures, folded from its events: what the report, the live page and `summary.json` show.

The fold takes all sessions of a journal together and needs little memory: bins of time, buckets of sizes, one byte for
each seed. Time is the time of running: the hours between two sessions are left out, so that a run which was resumed on
Monday is not a picture of a week-end. Pure.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

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
from deepswarm.core.records import Outcome
from deepswarm.report.bill import Billing
from deepswarm.report.histogram import Histogram
from deepswarm.report.series import Bin, Series

REFUSED: Final = "throttled"
EXAMPLES: Final = 3
"""Examples of a class of failures."""
MOST_TOLD: Final = 50
"""Sessions, and pauses, that are told one by one: the last ones."""
_CLASSES: Final = 256
"""Classes of failures that are told apart when seeds are asked again; there are some thirty."""


class Session(NamedTuple):
    """A stretch of the run by one process: where it begins in the time of running, and how it ended."""

    second: float
    utc: float
    version: str
    model: str
    how: str = ""
    why: str = ""


class Pause(NamedTuple):
    """A time in which nothing new was asked; `seconds` is None while it goes on."""

    second: float
    label: str
    why: str
    seconds: float | None = None


class Example(NamedTuple):
    """A seed that failed, by its number, and why."""

    seed: int
    reason: str


@dataclass(slots=True)
class Figures:
    """The fold.

    Attributes:
        billing: The bill, folded beside it; tells what was spent until each moment.
        second: The time of running, in seconds, at the last event.
        utc: Of the last event; `began` of the first session.
        calls: Ended calls by label; those that never left are not among them.
        answer_s: Seconds from the departure of an answer's first call until it was there.
        binds_s: Seconds for which each reason bound the pace.
        fingerprints: Of the tasks under which seeds were asked, in their order.
    """

    billing: Billing = field(default_factory=Billing)
    series: Series = field(default_factory=Series)
    second: float = 0.0
    began: float | None = None
    utc: float | None = None
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    maybe_billed: int = 0
    answer_s: Histogram = field(default_factory=Histogram)
    tokens_in: Histogram = field(default_factory=Histogram)
    tokens_out: Histogram = field(default_factory=Histogram)
    cached: int = 0
    reasoning: int = 0
    most_flying: int = 0
    session_count: int = 0
    sessions: list[Session] = field(default_factory=list)
    pause_count: int = 0
    paused_s: float = 0.0
    pauses: list[Pause] = field(default_factory=list)
    binds_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    pace: PaceChanged | None = None
    task: Mapping[str, Any] = field(default_factory=dict)
    fingerprints: list[str] = field(default_factory=list)
    is_simulated: bool = False
    open: dict[int, CallStarted] = field(default_factory=dict)
    _binding: dict[str, PaceChanged] = field(default_factory=dict)
    _examples: dict[str, list[Example]] = field(default_factory=dict)
    _outcome_of: dict[str, Outcome] = field(default_factory=dict)
    _class_of: bytearray = field(default_factory=bytearray)
    _classes: list[str] = field(default_factory=lambda: [""])
    _tokens_in: list[float] = field(default_factory=list)
    _tokens_out: list[float] = field(default_factory=list)
    _answer_s: list[float] = field(default_factory=list)
    _base: float = 0.0
    _began_at: float | None = None
    _bin: Bin = field(default_factory=Bin)
    _bin_ends_at: float = -math.inf

    def watch(self, events: Sequence[Event]) -> None:
        """Add events, in their order; how many of them come at once changes nothing."""
        billed, last_at = 0, None
        for number, event in enumerate(events):
            kind = type(event)
            if kind is RunStarted:
                if last_at is not None:
                    self._advance(last_at)  # the session before it lasted until then
                self._run_started(event)  # type: ignore[arg-type]  # its kind was just looked at
            if event.at >= self._bin_ends_at and kind is not SeedReopened:  # those have no clock
                self.billing.watch(events[billed:number])
                billed = number
                self._next_bin(event.at)
            handler = _HANDLERS.get(kind)
            if handler is not None:
                handler(self, event)
            if kind is not SeedReopened:
                last_at = event.at
        self.billing.watch(events[billed:])
        for histogram, values in (
            (self.tokens_in, self._tokens_in),
            (self.tokens_out, self._tokens_out),
            (self.answer_s, self._answer_s),
        ):
            histogram.extend(values)
            values.clear()
        if events:
            self._bin.spent = self.billing.settled()
            self.utc = max(self.utc or 0.0, events[-1].utc)
        if last_at is not None:
            self._advance(last_at)

    @property
    def examples(self) -> dict[str, list[Example]]:
        """A few seeds of each class that failed and were not asked again since."""
        still = {
            label: [each for each in some if self._classes[self._class_of[each.seed]] == label]
            for label, some in self._examples.items()
        }
        return {label: some[:EXAMPLES] for label, some in still.items() if some}

    @property
    def outcome_of(self) -> dict[str, Outcome]:
        """How the seeds of each class of failures ended."""
        return self._outcome_of

    def binding(self) -> PaceChanged | None:
        """How the pace stood last while that bound which has bound it for longest; None when it never told."""
        if not self._binding:
            return None
        return self._binding[max(self._binding, key=lambda what: self.binds_s[what])]

    # --- time ----------------------------------------------------------------------------------------------------

    def _second(self, at: float) -> float:
        return max(0.0, at - (at if self._began_at is None else self._began_at) + self._base)

    def _advance(self, at: float) -> None:
        self.second = max(self.second, self._second(at))

    def _next_bin(self, at: float) -> None:
        """Close the bin with what was spent until now, and open that of this moment."""
        if self._began_at is None:
            self._began_at = at
        self._bin.spent = self.billing.settled()
        self._advance(at)
        series = self.series
        self._bin = series.at(self.second)
        self._bin_ends_at = len(series.bins) * series.width - self._base + self._began_at

    # --- one kind of event each ----------------------------------------------------------------------------------

    def _run_started(self, event: RunStarted) -> None:
        self._base = self.second
        self._began_at = event.at
        self._bin_ends_at = -math.inf
        self.task = json.loads(event.task)
        self.is_simulated = event.simulated
        if event.fingerprint not in self.fingerprints:
            self.fingerprints.append(event.fingerprint)
        if self.began is None:
            self.began = event.utc
        self.session_count += 1
        model = str(self.task.get("worker_model", ""))
        self.sessions = [*self.sessions, Session(self._base, event.utc, event.version, model)][-MOST_TOLD:]
        self.pace = None
        self._end_pause(event.at)

    def _run_ended(self, event: RunEnded) -> None:
        self._end_pause(event.at)
        if self.sessions:
            self.sessions[-1] = self.sessions[-1]._replace(how=event.how, why=event.why)

    def _run_paused(self, event: RunPaused) -> None:
        self._end_pause(event.at)
        self.pause_count += 1
        self.pauses = [*self.pauses, Pause(self._second(event.at), event.label, event.why)][-MOST_TOLD:]

    def _run_resumed(self, event: RunResumed) -> None:
        self._end_pause(event.at)

    def _end_pause(self, at: float) -> None:
        if self.pauses and self.pauses[-1].seconds is None:
            seconds = max(0.0, self._second(at) - self.pauses[-1].second)
            self.pauses[-1] = self.pauses[-1]._replace(seconds=seconds)
            self.paused_s += seconds

    def _pace_changed(self, event: PaceChanged) -> None:
        before, self.pace = self.pace, event
        if before is not None:
            self.binds_s[before.what] += max(0.0, event.at - before.at)
        if event.call_s > 0.0 or event.what not in self._binding:
            self._binding[event.what] = event
        self._bin.limit, self._bin.what = event.limit, event.what

    def _call_started(self, event: CallStarted) -> None:
        self.open[event.call] = event
        flying = len(self.open)
        if flying > self._bin.flying:
            self._bin.flying = flying
            self.most_flying = max(self.most_flying, flying)

    def _call_ended(self, event: CallEnded) -> None:
        self.open.pop(event.call, None)
        label, one = event.label, self._bin
        one.flying = max(one.flying, len(self.open))
        if label == "unsent":
            return
        self.calls[label] += 1
        tokens_in, tokens_out, cached, reasoning = event.usage
        if tokens_in is not None:
            self._tokens_in.append(tokens_in)
            one.tokens_in += tokens_in
        if tokens_out is not None:
            self._tokens_out.append(tokens_out)
            one.tokens_out += tokens_out
        self.cached += cached or 0
        self.reasoning += reasoning or 0
        self.maybe_billed += event.maybe_billed
        if label == "ok":
            one.answered += 1
        elif label == REFUSED:
            one.refused += 1
        else:
            one.unusable += 1

    def _seed_ended(self, event: SeedEnded) -> None:
        outcome, one = event.outcome, self._bin
        self.outcomes[outcome] += 1
        if outcome is Outcome.DONE:
            one.done += 1
            one.seeds += 1
            seconds = event.at - event.started
            one.seed_s += seconds
            self._answer_s.append(seconds)
            return
        if outcome is Outcome.REJECTED:
            one.rejected += 1
        else:
            one.failed += 1
        self.failures[event.label] += 1
        self._outcome_of[event.label] = outcome
        self._remember(event)

    def _remember(self, event: SeedEnded) -> None:
        """The seed's class, for the case that it is asked again, and the seed as an example of it."""
        missing = event.seed + 1 - len(self._class_of)
        if missing > 0:
            self._class_of += bytes(max(missing, len(self._class_of)))
        if event.label not in self._classes and len(self._classes) < _CLASSES:
            self._classes.append(event.label)
        self._class_of[event.seed] = self._classes.index(event.label) if event.label in self._classes else 0
        some = self._examples.setdefault(event.label, [])
        if len(some) < 4 * EXAMPLES:
            some.append(Example(event.seed, event.reason))

    def _seed_reopened(self, event: SeedReopened) -> None:
        self.outcomes[event.was] -= 1
        if event.seed < len(self._class_of) and self._class_of[event.seed]:
            self.failures[self._classes[self._class_of[event.seed]]] -= 1
            self._class_of[event.seed] = 0


_HANDLERS: Final[Mapping[type, Callable[[Figures, Any], None]]] = {
    CallStarted: Figures._call_started,  # noqa: SLF001 - the table of the class itself
    CallEnded: Figures._call_ended,  # noqa: SLF001
    SeedEnded: Figures._seed_ended,  # noqa: SLF001
    SeedReopened: Figures._seed_reopened,  # noqa: SLF001
    PaceChanged: Figures._pace_changed,  # noqa: SLF001
    RunPaused: Figures._run_paused,  # noqa: SLF001
    RunResumed: Figures._run_resumed,  # noqa: SLF001
    RunEnded: Figures._run_ended,  # noqa: SLF001
}
