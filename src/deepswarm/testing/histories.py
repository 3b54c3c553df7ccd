"""Histories that could have happened, for tests with hypothesis.

A history is a list of events in an order that a run could have written: calls start before they end, a seed ends once
between two reopenings, calls that a crash left open are written down as lost.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from deepswarm.core.events import (
    Advised,
    CallEnded,
    CallStarted,
    CommandTaken,
    Event,
    PaceChanged,
    PaceChosen,
    RunEnded,
    RunStarted,
    SeedEnded,
    SeedReopened,
    SeedsChanged,
)
from deepswarm.core.records import Outcome, Usage

T = TypeVar("T")

KINDS: Final = ("start", "end", "finish", "session", "reopen", "other")
"""What can happen: a call starts, a call ends, a seed ends, a process takes over, a seed is reopened, anything else."""

LABELS: Final = ("throttled", "overloaded", "timed_out", "disconnected", "truncated", "garbled", "answer")


class Facts(NamedTuple):
    """What an event says beside its numbers; each kind of event takes what it needs."""

    outcome: Outcome
    label: str
    text: str
    status: int
    usage: Usage
    maybe_billed: bool
    body: bytes
    passed_s: float


class Step(NamedTuple):
    """One thing that happens. `pick` chooses among the seeds or calls that it can happen to."""

    kind: str
    pick: int
    facts: Facts


class History:
    """Turns steps into events that could have happened.

    Attributes:
        left: Numbers of the seeds that may be called and may end; may be set anew at any time.
        open: Seeds of the calls under way, by the call's number.
        ended: How seeds ended, by number; `labels` are the classes of those that were not done.
        events: All that happened so far.
    """

    def __init__(self, left: Iterable[int]) -> None:
        """Begin before the first session."""
        self.left = list(left)
        self.open: dict[int, int] = {}
        self.ended: dict[int, Outcome] = {}
        self.labels: dict[int, str] = {}
        self.events: list[Event] = []
        self.sessions = 0
        self._calls = 0
        self._last_call: dict[int, int] = {}
        self._utc = 1_800_000_000.0
        self._at = 50.0

    def happen(self, step: Step) -> list[Event]:
        """The events of one step; none when it cannot happen now."""
        self._utc += step.facts.passed_s
        self._at += step.facts.passed_s
        fresh = step.kind == "session" or not self.sessions
        events = self._session() if fresh else self._step(step)
        self.events += events
        return events

    def now(self) -> tuple[float, float]:
        """(utc, at) of the last step."""
        return self._utc, self._at

    def _step(self, step: Step) -> list[Event]:
        kind, pick, facts = step
        events: list[Event] = []
        if kind == "start" and self.left:
            self._calls += 1
            seed = _picked(self.left, pick)
            self.open[self._calls] = seed
            events = [CallStarted(*self.now(), self._calls, seed, 1 + pick % 3)]
        elif kind == "end" and self.open:
            call = _picked(list(self.open), pick)
            seed = self.open.pop(call)
            self._last_call[seed] = call
            events = [self._call_end(call, seed, facts)]
        elif kind == "finish" and self.left:
            seed = _picked(self.left, pick)
            self.left.remove(seed)
            self.ended[seed] = facts.outcome
            self.labels[seed] = "" if facts.outcome is Outcome.DONE else facts.label
            events = [self._end(seed, pick, facts)]
        elif kind == "reopen" and self.ended:
            seed = _picked(list(self.ended), pick)
            self.left.append(seed)
            events = [SeedReopened(*self.now(), seed, self.ended.pop(seed), "retry", self.labels.pop(seed))]
        elif kind == "other":
            events = [self._other(pick, facts)]
        return events

    def _session(self) -> list[Event]:
        """Another process, whose monotonic clock begins elsewhere."""
        self.sessions += 1
        self._at = 1000.0 * self.sessions
        utc, at = self.now()
        task = json.dumps({"worker_model": f"model-{self.sessions}"})
        lost = [
            CallEnded(utc, at, call, seed, "lost", "it died", maybe_billed=True) for call, seed in self.open.items()
        ]
        self.open = {}
        return [
            RunStarted(utc, at, self.sessions, f"print-{self.sessions}", task, "1.2", self.sessions % 2 == 0),
            *lost,
        ]

    def _call_end(self, call: int, seed: int, facts: Facts) -> CallEnded:
        label = "ok" if facts.outcome is Outcome.DONE else facts.label
        return CallEnded(
            *self.now(),
            call,
            seed,
            label,
            facts.text,
            facts.status,
            facts.text[:3],
            facts.text[3:],
            facts.usage,
            facts.maybe_billed,
            facts.text[::-1],
            facts.body,
        )

    def _end(self, seed: int, pick: int, facts: Facts) -> SeedEnded:
        utc, at = self.now()
        done = facts.outcome is Outcome.DONE
        return SeedEnded(
            utc,
            at,
            seed,
            self._last_call.get(seed, 0),
            facts.outcome,
            "ok" if done else facts.label,
            "" if done else facts.text,
            1 + pick % 4,
            at - facts.passed_s,
            facts.body,
        )

    def _other(self, pick: int, facts: Facts) -> Event:
        utc, at = self.now()
        others: Sequence[Event] = (
            PaceChosen(utc, at, 1 + pick, facts.passed_s, 1, facts.text),
            PaceChanged(utc, at, 1 + pick, pick, "search", facts.text, pick, 1),
            SeedsChanged(utc, at, pick, facts.status, 0),
            CommandTaken(utc, at, "pause", facts.text),
            Advised(utc, at, "plan", "proposed", "", facts.text),
            RunEnded(utc, at, self.sessions, "paused", facts.text),
        )
        return _picked(others, pick)


def _picked(things: Sequence[T], pick: int) -> T:
    return things[pick % len(things)]


# --- drawing them ----------------------------------------------------------------------------------------------------


def counts(most: int = 1000) -> SearchStrategy[int | None]:
    """Numbers of tokens, also unknown ones."""
    return st.none() | st.integers(0, most)


def facts() -> SearchStrategy[Facts]:
    """What events say; texts are any that UTF-8 can hold, times are eighths of a second, so that sums are exact."""
    return st.builds(
        Facts,
        outcome=st.sampled_from(Outcome),
        label=st.sampled_from(LABELS),
        text=st.text(max_size=8),
        status=st.sampled_from([0, 200, 429, 503]),
        usage=st.builds(Usage, counts(), counts(), counts(), counts()),
        maybe_billed=st.booleans(),
        body=st.binary(max_size=12),
        passed_s=st.integers(0, 80).map(lambda eighths: eighths / 8),
    )


def steps(kinds: Sequence[str] = KINDS) -> SearchStrategy[Step]:
    """One thing that happens."""
    return st.builds(Step, st.sampled_from(kinds), st.integers(0, 99), facts())


def histories(seeds: int = 5, kinds: Sequence[str] = KINDS, most: int = 40) -> SearchStrategy[list[Event]]:
    """Events that could have happened to the seeds 1 to `seeds`."""
    return st.lists(steps(kinds), max_size=most).map(lambda drawn: _told(drawn, seeds))


def _told(drawn: Iterable[Step], seeds: int) -> list[Event]:
    history = History(range(1, seeds + 1))
    for step in drawn:
        history.happen(step)
    return history.events
