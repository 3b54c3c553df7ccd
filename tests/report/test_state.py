"""The summary of a run: its counters add up at every moment, whatever happens and however it is cut into pieces."""

from collections import Counter
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import (
    CallEnded,
    CallStarted,
    PaceChanged,
    RunEnded,
    RunPaused,
    RunResumed,
    RunStarted,
    SeedEnded,
    SeedReopened,
)
from deepswarm.core.ledger import fold
from deepswarm.core.records import Outcome, Totals, Usage
from deepswarm.report.snapshot import STALLED_S
from deepswarm.report.state import State
from deepswarm.testing.histories import histories

SEEDS = 5
UTC = 1_800_000_000.0
briefly = settings(max_examples=60, deadline=None)


def fresh(seeds=SEEDS):
    return State(seeds=seeds)


def at(second):
    return UTC + second, float(second)


def began(second=0.0, session=1):
    return RunStarted(*at(second), session, "print", '{"worker_model": "m"}', "1", simulated=False)


def started(second, call, seed=None, attempt=1):
    return CallStarted(*at(second), call, seed or call, attempt)


def ended(second, call, seed=None, label="ok", tokens=10):
    return CallEnded(*at(second), call, seed or call, label, usage=Usage(1, tokens))


def finished(second, seed, outcome=Outcome.DONE, label="ok"):
    return SeedEnded(*at(second), seed, seed, outcome, label, "", 1, 0.0, b"")


# --- counting --------------------------------------------------------------------------------------------------------


@given(histories(SEEDS))
@briefly
def test_the_counters_add_up_at_every_moment(events):
    state = fresh()
    for event in events:
        state.watch([event])
        seen = state.look(event.at)
        assert seen.done + seen.rejected + seen.failed + seen.in_flight + seen.retrying + seen.queued == SEEDS
        assert min(seen.done, seen.rejected, seen.failed, seen.in_flight, seen.retrying, seen.queued) >= 0
        assert seen.ended + seen.left == seen.seeds
        assert len(seen.oldest) == min(5, seen.calls_in_flight)


@given(histories(SEEDS))
@briefly
def test_it_counts_what_the_ledger_counts(events):
    state = fresh()
    state.watch(events)
    seen, totals = state.look(1e6), fold(events).totals
    assert (seen.done, seen.rejected, seen.failed) == (totals.done, totals.rejected, totals.failed)
    assert (seen.tokens_in, seen.tokens_out, seen.maybe_billed) == (
        totals.tokens_in,
        totals.tokens_out,
        totals.maybe_billed,
    )
    assert state.number == totals.last_event


@given(histories(SEEDS), st.data())
@briefly
def test_it_does_not_matter_how_events_are_bundled(events, data):
    cut = data.draw(st.integers(0, len(events)))
    bundled, single = fresh(), fresh()
    bundled.watch(events[:cut])
    bundled.watch(events[cut:])
    for event in events:
        single.watch([event])
    assert bundled == single


@given(histories(SEEDS, ("start", "end", "finish", "other", "session")))
@briefly
def test_the_classes_of_failures_add_up_to_what_failed(events):
    state = fresh()
    for event in events:
        state.watch([event])
        seen = state.look(event.at)
        assert sum(count for _, count in seen.failures) == seen.rejected + seen.failed


def test_a_seed_that_is_reopened_leaves_its_class():
    state = fresh()
    state.watch([began(), started(1, 1), ended(2, 1, label="timed_out"), finished(2, 1, Outcome.FAILED, "timed_out")])
    assert state.look(3.0).failures == (("timed_out", 1),)
    state.watch([SeedReopened(*at(4), 1, Outcome.FAILED, "retry", "timed_out")])
    seen = state.look(5.0)
    assert (seen.failures, seen.failed, seen.queued) == ((), 0, SEEDS)


def test_a_seed_between_two_calls_is_being_retried_and_not_queued():
    state = fresh()
    state.watch([began(), started(1, 1), ended(2, 1, label="overloaded")])
    seen = state.look(2.0)
    assert (seen.in_flight, seen.retrying, seen.queued) == (0, 1, 4)
    state.watch([started(3, 2, seed=1, attempt=2)])
    seen = state.look(3.0)
    assert (seen.in_flight, seen.retrying, seen.queued) == (1, 0, 4)


def test_a_call_that_never_left_is_no_call_and_its_seed_is_queued_again():
    state = fresh()
    state.watch([began(), started(1, 1), ended(2, 1, label="unsent")])
    seen = state.look(2.0)
    assert (seen.calls, seen.retrying, seen.queued, seen.problems) == (0, 0, 5, ())


def test_calls_of_no_seed_are_in_flight_but_count_for_no_seed():
    state = fresh()
    state.watch([began(), CallStarted(*at(1), 1, 0, 1, tier=1)])
    seen = state.look(2.0)
    assert (seen.calls_in_flight, seen.in_flight, seen.queued, seen.oldest[0].tier) == (1, 0, 5, 1)


def test_what_was_under_way_when_the_process_died_is_queued_again():
    state = fresh()
    state.watch([began(), started(1, 1), started(1, 2), ended(2, 2, label="overloaded")])
    assert state.look(3.0, alive=False).phase == "died"
    state.watch([began(10, session=2), ended(10, 1, label="lost")])
    seen = state.look(11.0)
    assert (seen.phase, seen.in_flight, seen.retrying, seen.queued, seen.sessions) == ("running", 0, 0, 5, 2)


def test_a_session_takes_over_what_the_journal_says_of_the_selected_seeds():
    state = fresh(10)
    state.watch([began(), started(1, 1), ended(2, 1), finished(2, 1)])
    state.begin(Totals(seeds=4, left=2, done=1, failed=1), Counter(garbled=1))
    state.watch([began(10, session=2)])
    seen = state.look(10.0)
    assert (seen.seeds, seen.done, seen.failed, seen.queued, seen.failures) == (4, 1, 1, 2, (("garbled", 1),))
    assert (seen.calls, seen.tokens_out) == (1, 10)


# --- what limits it --------------------------------------------------------------------------------------------------


def test_a_pause_is_told_with_its_end_and_ends_with_the_probe():
    state = fresh()
    state.watch([began(), RunPaused(*at(5), "out_of_funds", "top up", 1_800_000_300.0)])
    seen = state.look(65.0)
    assert (seen.phase, seen.limit) == ("paused", "paused until 08:05 UTC: out_of_funds: top up")
    state.watch([RunResumed(*at(70), 65.0)])
    assert state.look(71.0).paused is None


def test_a_pause_without_a_known_end_says_how_long_it_lasts():
    state = fresh()
    state.watch([began(), RunPaused(*at(5), "outage", "no answer", None)])
    assert state.look(65.0).limit == "paused for 60 s: outage: no answer"


def test_the_limit_is_told_with_its_reason():
    state = fresh()
    words = "refused at 213 (14 s ago)"
    state.watch([began(), PaceChanged(*at(5), 212, 200, "concurrency", words, 10, 1)])
    assert state.look(6.0).limit == f"212 at once: {words}"


def test_a_run_that_hears_of_nothing_for_long_is_stalled_and_a_paused_one_is_not():
    state = fresh()
    state.watch([began(), started(1, 1), ended(2, 1), started(2, 2)])
    assert not state.look(2 + STALLED_S - 1).stalled
    assert state.look(2 + STALLED_S + 1).stalled
    state.watch([RunPaused(*at(10), "outage", "no answer", None)])
    assert not state.look(2 + STALLED_S + 1).stalled


def test_slow_calls_make_a_patient_watcher():
    state = fresh()
    state.watch([began(), started(1, 1), ended(101, 1), started(101, 2)])
    assert not state.look(101 + 4 * 100).stalled
    assert state.look(101 + 6 * 100).stalled


def test_the_oldest_calls_are_shown_with_what_they_do():
    state = fresh()
    state.watch([began(), *(started(second, second) for second in range(1, 4))])
    state.departed(1, 5.0)
    state.departed(2, 6.0)
    state.begun(1)
    seen = state.look(10.0).oldest
    assert [(call.call, call.phase, call.age_s) for call in seen] == [
        (1, "writing", 5.0),
        (2, "waiting", 4.0),
        (3, "leaving", 7.0),
    ]


# --- rates and money -------------------------------------------------------------------------------------------------


def test_the_rates_are_those_of_the_last_minute_and_fall_when_nothing_comes():
    state = State(seeds=10_000)
    state.watch([began()])
    for second in range(300):
        for n in range(10 if second < 200 else 1):
            call = second * 10 + n + 1
            state.watch([started(second, call), ended(second + 0.5, call, tokens=100), finished(second + 0.5, call)])
    seen = state.look(300.0)
    assert seen.seeds_per_s == pytest.approx(1.0, rel=0.05)
    assert seen.calls_per_s == pytest.approx(1.0, rel=0.05)
    assert seen.tokens_per_s == pytest.approx(100.0, rel=0.05)
    assert state.look(1000.0).calls_per_s < 0.01


def test_the_points_of_the_rates_do_not_pile_up():
    state = State(seeds=10_000)
    state.watch([began()])
    for call in range(1, 4001):
        state.watch([started(call / 4, call), ended(call / 4, call), finished(call / 4, call)])
    assert len(state.marks) <= 63


def test_the_forecast_is_the_mean_of_what_ended_times_what_is_left():
    state = State(seeds=400, spent=Decimal("1.00"))
    state.watch([began()])
    for call in range(1, 101):
        state.watch([started(0, call), ended(1, call), finished(1, call)])
    least, most = state.look(2.0).forecast
    assert float(least) == pytest.approx(1.0 + 3.0 * 0.9)
    assert float(most) == pytest.approx(1.0 + 3.0 * 1.1)


def test_a_run_that_ended_has_no_pause_and_says_why_it_ended():
    state = fresh()
    state.watch([began(), RunPaused(*at(5), "outage", "no answer", None), RunEnded(*at(9), 1, "paused", "outage")])
    seen = state.look(100.0)
    assert (seen.phase, seen.why, seen.paused, seen.session_s) == ("paused", "outage", None, 9.0)
