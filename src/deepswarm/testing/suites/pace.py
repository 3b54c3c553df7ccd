"""The suite of the paces' door: what must hold for every pace, whatever it is told.

@given(any_steps())
def test_my_pace(steps):
    check_answers(lambda: MyPace(), steps)
    check_same_again(lambda: MyPace(), steps)

def test_my_pace_ends():
    assert refusals_under_cap(MyPace(), cap=1, tasks=50) < 20
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import Final, NamedTuple

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from deepswarm.core.pace import (
    Begun,
    Cost,
    Fact,
    Failed,
    Flowed,
    Go,
    Limited,
    Pace,
    Quota,
    Refused,
    Sent,
    Served,
    Taken,
    Unsent,
    WaitUntil,
)

ANSWER_S: Final = 5.0
"""How long the provider of `refusals_under_cap` takes to answer, in seconds."""
REFUSAL_S: Final = 0.2
"""How long it takes to refuse."""
MOST_QUESTIONS: Final = 200_000
"""Questions after which a run in virtual time is taken to go round in circles."""


class Step(NamedTuple):
    """`after_s` seconds later the pace is told `fact`, or where that is None asked for a call."""

    after_s: float
    fact: Fact | None


def _oddities() -> SearchStrategy[float | None]:
    return st.sampled_from((None, 0.0, -3.0, math.nan, math.inf, 0.5, 36_000.0))


def _quotas() -> SearchStrategy[tuple[Quota, ...]]:
    kinds = st.sampled_from(("requests", "tokens", "input_tokens", "output_tokens", "concurrency", "words"))
    return st.lists(st.builds(Quota, kinds, *[_oddities()] * 4), max_size=2).map(tuple)


def any_steps() -> SearchStrategy[list[Step]]:
    """Up to 60 questions and facts of a dozen calls, known or not, with sleeps of an hour."""
    call = st.integers(0, 11)
    facts = st.one_of(
        st.none(),
        st.builds(Taken, call),
        st.builds(Begun, call),
        st.builds(Flowed, st.floats(0, 1e6)),
        st.builds(Refused, call, st.sampled_from(Limited), _oddities(), st.none() | st.integers(0, 9), _quotas()),
        st.builds(Served, call, _oddities(), _oddities(), _quotas()),
        st.builds(Failed, call, st.booleans()),
        st.builds(Unsent, call),
    )
    return st.lists(st.builds(Step, st.sampled_from((0.0, 0.01, 1.0, 30.0, 3600.0)), facts), max_size=60)


def check_answers(build: Callable[[], Pace], steps: list[Step]) -> None:
    """No fact breaks the pace; it answers the same when asked twice, never in the past, and what it tells is sound."""
    _answers(build(), steps)


def check_same_again(build: Callable[[], Pace], steps: list[Step]) -> None:
    """Two paces that were told the same give the same answers: no clock and no chance of its own."""
    assert _answers(build(), steps) == _answers(build(), steps)


def _answers(pace: Pace, steps: list[Step]) -> list[Go | WaitUntil]:
    now, sent, answers = 100.0, 0, []
    for after_s, fact in steps:
        now += after_s
        if fact is not None:
            pace.observe(fact, now)
        else:
            answer = pace.admit(now, Cost(100.0, 50.0))
            assert answer == pace.admit(now, Cost(100.0, 50.0)), "asking changed the answer"
            answers.append(answer)
            if isinstance(answer, Go):
                pace.observe(Sent(sent, Cost(100.0, 50.0)), now)
                sent += 1
            else:
                assert answer.at >= now, "waits for a moment that has gone or is none"
        assert pace.limit >= 1
        assert pace.reason.what
        assert pace.reason.words
        assert math.isfinite(pace.memory().calls)
    return answers


def refusals_under_cap(pace: Pace, cap: int, tasks: int) -> int:
    """Run so many tasks under a cap on calls at once, refused ones again; give the number of refusals.

    Raises:
        AssertionError: The pace waits for a fact that cannot come, or goes round in circles.
    """
    now, sent, refusals, flying = 0.0, 0, 0, 0
    ends: list[tuple[float, int, bool]] = []
    for _ in range(MOST_QUESTIONS):
        if not tasks and not ends:
            return refusals
        answer = pace.admit(now, Cost()) if tasks else WaitUntil(math.inf)
        if isinstance(answer, Go):
            pace.observe(Sent(sent, Cost()), now)
            good = flying < cap
            heapq.heappush(ends, (now + (ANSWER_S if good else REFUSAL_S), sent, good))
            sent, tasks, flying = sent + 1, tasks - 1, flying + good
            continue
        fact_at = ends[0][0] if ends else math.inf
        assert math.isfinite(min(answer.at, fact_at)), "waits for ever with nothing under way"
        now = max(now, min(answer.at, fact_at))
        if fact_at > now:
            continue
        _, call, good = heapq.heappop(ends)
        pace.observe(Served(call) if good else Refused(call), now)
        flying, tasks, refusals = flying - good, tasks + (not good), refusals + (not good)
    message = f"{tasks} tasks were left after {MOST_QUESTIONS} questions"
    raise AssertionError(message)
