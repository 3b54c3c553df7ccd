"""A range for the end that holds the truth, and the line that tells how a run stands."""

import heapq
import random
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import CallEnded, CallStarted, RunPaused, RunStarted, SeedEnded
from deepswarm.core.records import Outcome, Usage
from deepswarm.report.progress import line
from deepswarm.report.state import State
from deepswarm.report.words import duration, money, plain
from deepswarm.testing.histories import histories

SEEDS = 5
briefly = settings(max_examples=40, deadline=None)


def fresh(total=SEEDS):
    state = State(seeds=total)
    state.watch([RunStarted(0.0, 0.0, 1, "print", "{}", "1", simulated=False)])
    return state


def started_at(at, call):
    return [CallStarted(0.0, at, call, call, 1)]


def ended_at(at, call, tokens=10):
    return [
        CallEnded(0.0, at, call, call, "ok", usage=Usage(1, tokens)),
        SeedEnded(0.0, at, call, call, Outcome.DONE, "ok", "", 1, at, b""),
    ]


def stationary(seeds, workers, draw):
    """Events of workers that each take the next seed as soon as they are free, in the order of time."""
    free = [(0.0, worker) for worker in range(workers)]
    heapq.heapify(free)
    happened = []
    for call in range(1, seeds + 1):
        start, worker = heapq.heappop(free)
        end = start + draw()
        heapq.heappush(free, (end, worker))
        happened += [(start, 1, started_at(start, call)), (end, 0, ended_at(end, call))]
    return sorted(happened, key=lambda one: one[:2])


def seen_every(beat_s, happened, seeds):
    """(moment, range, truth) as somebody sees them who looks every so many seconds, while there is something left."""
    state = fresh(seeds)
    over = happened[-1][0]
    now = 0.0
    waiting = iter([*happened, (over + 2 * beat_s, 0, [])])
    following = next(waiting)
    while now < over:
        now += beat_s
        while following[0] <= now:
            state.watch(following[2])
            following = next(waiting)
        seen = state.look(now)
        if seen.eta_s is not None and seen.left:
            yield seen, seen.eta_s, over - now


@pytest.mark.parametrize(("seeds", "workers"), [(100, 8), (1000, 8), (1000, 100), (2000, 64)])
@pytest.mark.parametrize("sigma", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("beat_s", [0.25, 7.0, 30.0])
def test_the_range_holds_the_truth_on_a_stationary_stream(seeds, workers, sigma, beat_s):
    chance = random.Random(f"{seeds} {workers} {sigma}")
    looks = list(seen_every(beat_s, stationary(seeds, workers, lambda: 40 * chance.lognormvariate(0, sigma)), seeds))
    right = sum(low <= truth <= high for _, (low, high), truth in looks)
    assert looks
    assert right >= 0.93 * len(looks)


@pytest.mark.parametrize(("seeds", "workers"), [(2000, 64), (5000, 100)])
def test_from_a_third_on_the_middle_of_the_range_is_within_a_fifth_of_the_whole_duration(seeds, workers):
    chance = random.Random(5)
    happened = stationary(seeds, workers, lambda: 40 * chance.lognormvariate(0, 0.3))
    for seen, (low, high), truth in seen_every(5.0, happened, seeds):
        if seen.ended > 0.3 * seeds:
            assert (low + high) / 2 == pytest.approx(truth, abs=0.2 * happened[-1][0])


@given(histories(SEEDS), st.floats(0, 5000))
@briefly
def test_a_range_is_finite_and_never_upside_down(events, later_s):
    state = State(seeds=SEEDS)
    state.watch(events)
    eta = state.look((events[-1].at if events else 0.0) + later_s).eta_s
    if eta is not None:
        low, high = eta
        assert 0 <= low <= high < float("inf")


def test_two_ends_are_needed_for_a_range():
    state = fresh()
    state.watch([*started_at(0.0, 1), *started_at(0.0, 2)])
    assert state.look(10.0).eta_s is None
    state.watch(ended_at(10.0, 1))
    assert state.look(10.0).eta_s is None
    state.watch(ended_at(10.0, 2))
    assert state.look(10.0).eta_s is not None


def test_a_plain_line_tells_everything_that_is_known():
    state = fresh(1000)
    for call in range(1, 11):
        state.watch(started_at(0.0, call))
    state.watch(ended_at(10.0, 1))
    assert line(state.look(10.0)) == "1/1,000 ended, 9 in flight, 0.1 seeds/s, 1 tokens/s"
    state.watch(
        [
            CallEnded(0.0, 20.0, 2, 2, "garbled", usage=Usage(1, 10)),
            SeedEnded(0.0, 20.0, 2, 2, Outcome.FAILED, "garbled", "", 1, 0.0, b""),
        ]
    )
    state.spent = Decimal("0.5")
    told = line(state.look(20.0))
    assert told.startswith("2/1,000 ended, 8 in flight, 0.1 seeds/s, 1 tokens/s, 1 failed: garbled, 1 calls garbled, ")
    assert "$0.50 spent, $125.25 to $374.75 at the end, about " in told


def test_a_plain_line_of_a_paused_run_says_why():
    state = fresh()
    state.watch([RunPaused(0.0, 1.0, "outage", "no answer", None)])
    assert "paused for 9 s: outage: no answer" in line(state.look(10.0))


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0", "$0.00"), ("0.5", "$0.50"), ("0.001234", "$0.0012"), ("1", "$1.00"), ("1234.567", "$1,234.57")],
)
def test_money_is_for_people(amount, text):
    assert money(Decimal(amount)) == text


def test_what_a_terminal_would_obey_becomes_visible():
    assert plain("\x1b[2Jgone\x07 \x9b31m\u202eevil\nnext\tline") == (
        "\u241b[2Jgone\u2407 \\u009b31m\\u202eevil\nnext\tline"
    )
    assert plain("plain ümlaut 漢字") == "plain ümlaut 漢字"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"),
        (0.25, "0.2 s"),
        (0.94, "0.9 s"),
        (0.95, "1 s"),
        (42.4, "42 s"),
        (99.9, "100 s"),
        (100.0, "2 min"),
        (5399.0, "90 min"),
        (5400.0, "1.5 h"),
        (360_000.0, "100.0 h"),
    ],
)
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text
