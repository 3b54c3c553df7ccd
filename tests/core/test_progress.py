"""Progress: counters that add up at every moment, paces, and a range for the end that holds the truth."""

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import CallEnded, CallStarted, SeedEnded
from deepswarm.core.records import Outcome, Totals, Usage
from deepswarm.report.progress import WINDOW_S, Progress, duration
from deepswarm.testing.histories import histories

SEEDS = 5
WATCHED = ("start", "end", "finish", "other")
"""What happens while a process works; seeds are reopened and sessions begin before it looks."""

briefly = settings(max_examples=40, deadline=None)


def fresh(total=SEEDS, before=None, started=0.0):
    return Progress(total, before or Totals(seeds=total, left=total), started)


# --- counting --------------------------------------------------------------------------------------------------------


@given(histories(SEEDS, WATCHED))
@briefly
def test_the_counters_add_up_at_every_moment(events):
    progress = fresh()
    for event in events:
        progress.watch([event])
        assert progress.done + progress.rejected + progress.failed + progress.left == progress.total
        assert progress.ended == progress.ended_here == progress.done + progress.rejected + progress.failed
        assert min(progress.done, progress.rejected, progress.failed, progress.left, progress.in_flight) >= 0
        assert sum(progress.failures.values()) == progress.rejected + progress.failed
        assert progress.line(event.at + 1.0).startswith(f"{progress.ended}/{SEEDS} ended")


@given(histories(SEEDS, WATCHED))
@briefly
def test_calls_in_flight_are_those_started_and_not_ended(events):
    progress = fresh()
    progress.watch(events)
    started = {event.call for event in events if type(event) is CallStarted}
    ended = [event for event in events if type(event) is CallEnded]
    assert progress.in_flight == len(started) - len(ended)
    assert progress.calls == len(ended)
    assert progress.tokens_in == sum(event.usage.tokens_in or 0 for event in ended)
    assert progress.tokens_out == sum(event.usage.tokens_out or 0 for event in ended)
    assert progress.maybe_billed == sum(event.maybe_billed for event in ended)
    assert sum(progress.problems.values()) == sum(event.label != "ok" for event in ended)


@given(histories(SEEDS, WATCHED), st.data())
@briefly
def test_it_does_not_matter_how_events_are_bundled(events, data):
    cut = data.draw(st.integers(0, len(events)))
    bundled, single = fresh(), fresh()
    bundled.watch(events[:cut])
    bundled.watch(events[cut:])
    for event in events:
        single.watch([event])
    assert bundled == single


def test_what_earlier_sessions_did_counts_as_ended_but_not_as_pace():
    progress = fresh(10, Totals(seeds=10, left=4, done=3, rejected=1, failed=2), started=100.0)
    assert (progress.ended, progress.left, progress.ended_here) == (6, 4, 0)
    assert progress.rates(200.0) == (0.0, 0.0)
    progress.watch(ended_at(101.0, 1))
    assert (progress.ended, progress.left) == (7, 3)


# --- pace and end ----------------------------------------------------------------------------------------------------


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
    progress = fresh(seeds)
    over = happened[-1][0]
    now = 0.0
    waiting = iter([*happened, (over + 2 * beat_s, 0, [])])
    following = next(waiting)
    while now < over:
        progress.mark(now)
        now += beat_s
        while following[0] <= now:
            progress.watch(following[2])
            following = next(waiting)
        eta = progress.eta(now)
        if eta is not None and progress.left:
            yield progress, eta, over - now


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
    for progress, (low, high), truth in seen_every(5.0, happened, seeds):
        if progress.ended > 0.3 * seeds:
            assert (low + high) / 2 == pytest.approx(truth, abs=0.2 * happened[-1][0])


@given(histories(SEEDS, WATCHED), st.floats(0, 5000))
@briefly
def test_a_range_is_finite_and_never_upside_down(events, later_s):
    progress = fresh()
    for event in events:
        progress.watch([event])
        progress.mark(event.at)
    eta = progress.eta((events[-1].at if events else 0.0) + later_s)
    if eta is not None:
        low, high = eta
        assert 0 <= low <= high < float("inf")


def test_two_ends_are_needed_for_a_range():
    progress = fresh()
    progress.watch([*started_at(0.0, 1), *started_at(0.0, 2)])
    assert progress.eta(10.0) is None
    progress.watch(ended_at(10.0, 1))
    assert progress.eta(10.0) is None
    progress.watch(ended_at(10.0, 2))
    assert progress.eta(10.0) is not None


def test_the_pace_is_that_of_the_last_minute():
    progress = fresh(10_000)
    for second in range(300):
        progress.mark(float(second))
        for n in range(10 if second < 200 else 1):
            call = second * 10 + n + 1
            progress.watch([*started_at(second + 0.5, call), *ended_at(second + 0.5, call, tokens=100)])
    seeds, tokens = progress.rates(300.0)
    assert seeds == pytest.approx(1.0, rel=0.05)
    assert tokens == pytest.approx(100.0, rel=0.05)


def test_the_marks_do_not_pile_up():
    progress = fresh()
    for second in range(10_000):
        progress.mark(second / 4)
    assert len(progress._marks) <= WINDOW_S * 4 + 2


def test_rates_are_zero_at_the_first_moment():
    assert fresh(started=7.0).rates(7.0) == (0.0, 0.0)


def test_a_plain_line_tells_everything_that_is_known():
    progress = fresh(1000)
    for call in range(1, 11):
        progress.watch(started_at(0.0, call))
    progress.watch(ended_at(10.0, 1))
    assert progress.line(10.0) == "1/1,000 ended, 9 in flight, 0.1 seeds/s, 1 tokens/s"
    progress.watch(
        [
            CallEnded(0.0, 20.0, 2, 2, "garbled", usage=Usage(1, 10)),
            SeedEnded(0.0, 20.0, 2, 2, Outcome.FAILED, "garbled", "", 1, 0.0, b""),
        ]
    )
    assert progress.line(20.0).startswith(
        "2/1,000 ended, 8 in flight, 0.1 seeds/s, 1 tokens/s, 1 failed: garbled, 1 calls garbled, about "
    )


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
