"""Deadlines: as the task says, or learnt from the calls; never for calls that are only slow."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.deadlines import ENOUGH, LEAST_S, STALL_S, TIMES, UNKNOWN_S, Patience, Wanted

briefly = settings(max_examples=40, deadline=None)
SEED_S = 7200.0
AUTO = Wanted()


def patience_after(durations, wanted=AUTO, *, streamed=False):
    patience = Patience(wanted, SEED_S)
    for seconds in durations:
        patience.saw(seconds, seconds if streamed else None)
    return patience


def test_before_enough_was_seen_a_call_may_take_as_long_as_providers_themselves_allow():
    for patience in (patience_after([]), patience_after([0.1] * (ENOUGH - 1))):
        assert patience.whole.total_s == UNKNOWN_S
        assert patience.streamed.first_s == UNKNOWN_S


def test_a_stream_has_no_total_while_its_content_flows_but_the_time_of_its_seed():
    assert patience_after([]).streamed.total_s == SEED_S
    assert patience_after([]).streamed.stall_s == STALL_S
    assert patience_after([]).whole.stall_s == math.inf


def test_fast_calls_bring_the_deadline_down_but_not_below_a_minute():
    assert patience_after([0.2] * ENOUGH).whole.total_s == LEAST_S
    assert patience_after([0.2] * ENOUGH).streamed.first_s == UNKNOWN_S
    assert patience_after([0.2] * ENOUGH, streamed=True).streamed.first_s == LEAST_S


def test_slow_calls_take_it_up_as_far_as_the_time_of_a_seed():
    assert patience_after([300.0] * ENOUGH).whole.total_s == TIMES * 300.0
    assert patience_after([3000.0] * ENOUGH).whole.total_s == SEED_S


def test_honest_tails_are_not_cut():
    """The slowest of a thousand is 20 times the median: no call of such a provider meets its deadline."""
    draw = random.Random(7)
    slow = [30.0 * math.exp(draw.gauss(0.0, math.log(20) / 3.09)) for _ in range(20_000)]
    patience = Patience(AUTO, 1e9)
    cut = 0
    for seconds in slow:
        cut += seconds > patience.whole.total_s
        patience.saw(seconds, None)
    assert cut <= 0.005 * len(slow)


def test_what_the_task_names_is_not_learnt_over():
    wanted = Wanted(total_s=30.0, first_s=10.0, stall_s=5.0, connect_s=2.0)
    patience = patience_after([1000.0] * 500, wanted, streamed=True)
    assert patience.streamed == (30.0, 10.0, 5.0, 2.0)
    assert patience.whole.total_s == 30.0
    assert patience.of(stream=True) == patience.streamed
    assert patience.of(stream=False) == patience.whole


@given(st.lists(st.floats(0, 10_000), max_size=300), st.booleans())
@briefly
def test_no_deadline_is_ever_shorter_than_a_minute_or_longer_than_the_seeds_time(durations, streamed):
    patience = patience_after(durations, streamed=streamed)
    assert LEAST_S <= patience.whole.total_s <= SEED_S
    assert LEAST_S <= patience.streamed.first_s <= SEED_S


def test_the_time_of_a_seed_bounds_every_phase():
    patience = Patience(AUTO, 10.0)
    assert patience.whole.total_s == 10.0
    assert patience.streamed == (10.0, 10.0, 10.0, pytest.approx(15.0))
