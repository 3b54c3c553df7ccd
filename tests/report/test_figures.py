"""A run in figures: what the fold of its events adds up to, and the values that come out of it."""

import json
import statistics
from collections import Counter

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
from deepswarm.core.records import Outcome, SeedState, Totals, Usage
from deepswarm.report.bill import bill_of
from deepswarm.report.facts import SCHEMA, SCHEMA_VERSION, Place, facts_of
from deepswarm.report.figures import Figures
from deepswarm.report.histogram import Histogram
from deepswarm.report.series import MOST, Series
from deepswarm.testing.histories import histories

TASK = json.dumps({"worker_model": "m", "prices": {"m": {"input": 1, "output": 2}}})
PLACE = Place("output/", None, is_running=False, made_utc=0.0, version="1")


def folded(events, *, at_once=None):
    figures = Figures()
    step = at_once or max(1, len(events))
    for start in range(0, len(events), step):
        figures.watch(events[start : start + step])
    return figures


def started(at, session=1):
    return RunStarted(1000.0 + at, at, session, "f", TASK, "1", simulated=False)


def answer(at, call, seed, seconds=2.0, tokens=100):
    return [
        CallStarted(1000.0 + at - seconds, at - seconds, call, seed, 1),
        CallEnded(1000.0 + at, at, call, seed, "ok", status=200, usage=Usage(10, tokens)),
        SeedEnded(1000.0 + at, at, seed, call, Outcome.DONE, "ok", "", 1, at - seconds, b"{}"),
    ]


def failure(at, call, seed, label="declined"):
    return [
        CallStarted(1000.0 + at - 1, at - 1, call, seed, 1),
        CallEnded(1000.0 + at, at, call, seed, label),
        SeedEnded(1000.0 + at, at, seed, call, Outcome.FAILED, label, f"why {seed}", 1, at - 1, b"{}"),
    ]


# --- what it adds up to ----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 9))
def test_how_many_events_come_at_once_changes_nothing(events, at_once):
    one, many = (
        facts_of(each, each.billing.bill(), PLACE) for each in (folded(events), folded(events, at_once=at_once))
    )
    assert one == many


@settings(max_examples=60, deadline=None)
@given(histories())
def test_the_counts_are_those_of_the_ledger_and_of_the_bill(events):
    figures, ledger = folded(events), fold(events)
    states = Counter(ledger.states.values())
    assert figures.outcomes[Outcome.DONE] == states[SeedState.DONE]
    assert figures.outcomes[Outcome.REJECTED] == states[SeedState.REJECTED]
    assert figures.outcomes[Outcome.FAILED] == states[SeedState.FAILED]
    assert sum(figures.failures.values()) == states[SeedState.FAILED] + states[SeedState.REJECTED]
    assert figures.maybe_billed == ledger.totals.maybe_billed
    assert set(figures.open) == set(ledger.open_calls)
    assert (int(figures.tokens_in.sum), int(figures.tokens_out.sum)) == (
        ledger.totals.tokens_in,
        ledger.totals.tokens_out,
    )
    assert figures.billing.bill() == bill_of(events)


@settings(max_examples=60, deadline=None)
@given(histories())
def test_the_timeline_holds_every_end_of_a_seed_and_of_a_call_once(events):
    figures = folded(events)
    line = figures.series.facts()
    ends = Counter(event.outcome for event in events if isinstance(event, SeedEnded))
    assert sum(line["done"]) == ends[Outcome.DONE]
    assert sum(line["failed"]) == ends[Outcome.FAILED]
    assert sum(line["answered"]) + sum(line["refused"]) + sum(line["unusable"]) == sum(figures.calls.values())


def test_the_bill_can_be_asked_for_in_the_middle_of_a_fold():
    events = [started(0.0), *answer(2.0, 1, 1), *answer(4.0, 2, 2)]
    figures = Figures()
    for event in events:
        figures.watch([event])
        figures.billing.bill()
    assert figures.billing.bill() == bill_of(events)


def test_what_was_spent_is_told_for_each_moment_and_ends_with_the_bill():
    events = [started(0.0), *answer(2.0, 1, 1), *answer(10.0, 2, 2)]
    line = folded(events).series.facts()
    one = (10 * 1 + 100 * 2) / 1e6
    assert line["spent_usd"][2] == one
    assert line["spent_usd"][9] == one
    assert line["spent_usd"][-1] == 2 * one


# --- time ------------------------------------------------------------------------------------------------------------


def test_the_hours_between_two_sessions_are_no_time_of_running():
    night = 40_000.0
    events = [started(0.0), *answer(10.0, 1, 1), started(night, 2), *answer(night + 5.0, 2, 2)]
    figures = folded(events)
    assert figures.second == 15.0
    assert [session.second for session in figures.sessions] == [0.0, 10.0]


def test_a_clock_that_begins_anew_with_the_machine_does_not_turn_time_back():
    events = [started(5000.0), *answer(5010.0, 1, 1), started(3.0, 2), *answer(8.0, 2, 2)]
    assert folded(events).second == 15.0


def test_a_pause_counts_until_it_is_over_and_one_that_goes_on_has_no_length():
    events = [started(0.0), RunPaused(1001.0, 1.0, "balance", "empty", None), RunResumed(1004.0, 4.0, 3.0)]
    figures = folded([*events, RunPaused(1006.0, 6.0, "outage", "503", None)])
    assert figures.paused_s == 3.0
    assert [pause.seconds for pause in figures.pauses] == [3.0, None]


def test_the_binding_reason_is_the_one_that_bound_longest():
    def pace(at, what):
        return PaceChanged(1000.0 + at, at, 10, 10, what, f"{what} it is", 1, 0, call_s=2.0)

    events = [started(0.0), pace(1.0, "search"), pace(2.0, "concurrency"), pace(30.0, "search"), pace(31.0, "search")]
    assert folded(events).binding().what == "concurrency"


# --- failures --------------------------------------------------------------------------------------------------------


def test_a_seed_that_is_asked_again_is_neither_counted_nor_shown_as_failed():
    again = SeedReopened(1005.0, 0.0, 2, Outcome.FAILED, "retry")
    events = [started(0.0), *failure(2.0, 1, 2), *failure(3.0, 2, 3, "throttled"), again, *answer(9.0, 3, 2)]
    figures = folded(events)
    assert +figures.failures == Counter({"throttled": 1})
    assert {label: [each.seed for each in some] for label, some in figures.examples.items()} == {"throttled": [3]}


def test_sums_that_do_not_agree_are_said_to_be_wrong():
    figures = folded([started(0.0), *answer(2.0, 1, 1), RunEnded(1003.0, 3.0, 1, "finished", "")])
    totals = Totals(seeds=1, done=1)
    good = facts_of(figures, figures.billing.bill(), Place("o", totals, False, 0.0, "1", lines=(1, 0)))
    bad = facts_of(figures, figures.billing.bill(), Place("o", totals, False, 0.0, "1", lines=(2, 0)))
    assert [check["holds"] for check in good["seeds"]["checks"]] == [True, True, True]
    assert [check["holds"] for check in bad["seeds"]["checks"]] == [True, False, True]


def test_a_summary_names_its_schema_and_is_json_without_anything_unknown_as_zero():
    facts = facts_of(Figures(), Figures().billing.bill(), PLACE)
    assert (facts["schema"], facts["schema_version"]) == (SCHEMA, SCHEMA_VERSION)
    assert facts["run"]["state"] == "not begun"
    assert facts["answer_s"]["p50"] is None
    assert facts["rates"]["seeds_per_s"] is None
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


# --- histogram and series --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=300), st.integers(0, 100))
def test_a_percentile_is_at_most_a_few_per_cent_off(values, share):
    histogram = Histogram()
    histogram.extend(values)
    exact = sorted(values)[max(0, -(-len(values) * share // 100) - 1)]
    assert abs(histogram.percentile(share) - exact) <= 0.023 * exact


def test_a_histogram_counts_each_value_in_one_bar_and_keeps_what_is_exact():
    values = [0, 0, 1, 2, 3, 1000, 1000]
    histogram = Histogram()
    histogram.extend(values[:3])
    histogram.extend(values[3:])
    facts = histogram.facts()
    assert sum(facts["counts"]) + facts["zeros"] == facts["count"] == len(values)
    assert len(facts["edges"]) == len(facts["counts"]) + 1
    assert (facts["min"], facts["max"]) == (0, 1000)
    assert facts["mean"] == float(f"{statistics.mean(values):.4g}")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1e6), max_size=200).map(sorted))
def test_a_series_stays_small_however_long_it_is_and_loses_nothing(seconds):
    series = Series()
    for second in seconds:
        series.at(second).done += 1
    facts = series.facts()
    assert len(facts["done"]) <= MOST
    assert sum(facts["done"]) == len(seconds)
