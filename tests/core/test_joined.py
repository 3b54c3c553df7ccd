import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core.pace import Cost, Sent, WaitUntil
from deepswarm.core.pace.fixed import Fixed
from deepswarm.core.pace.joined import ALIKE, TIMES, TOGETHER_S, Chosen, Coincidence, Endpoint, choose

COST = Cost(100.0, 50.0)


def endpoint(limit, flying=0, weight=1.0, *, paused=False):
    pace = Fixed(limit)
    for call in range(flying):
        pace.observe(Sent(call, COST), 0.0)
    return Endpoint(pace, flying, weight, paused)


def test_the_one_that_is_least_loaded_for_its_limit_takes_the_next_call():
    assert choose([endpoint(10, 5), endpoint(100, 20)], 1.0, COST) == Chosen(1)


def test_a_full_endpoint_passes_the_call_on():
    assert choose([endpoint(2, 2, weight=9.0), endpoint(2, 1, weight=0.1)], 1.0, COST) == Chosen(1)


def test_all_full_is_a_wait_and_all_paused_is_nobody():
    assert choose([endpoint(2, 2), endpoint(1, 1)], 1.0, COST) == WaitUntil(math.inf)
    assert choose([endpoint(2, paused=True), endpoint(1, paused=True)], 1.0, COST) is None


def test_a_paused_endpoint_does_not_stop_the_others():
    assert choose([endpoint(100, paused=True), endpoint(4, 3)], 1.0, COST) == Chosen(1)


@given(st.lists(st.tuples(st.integers(20, 60), st.integers(1, 4)), min_size=2, max_size=4))
def test_while_there_is_room_everywhere_calls_follow_limits_and_weights(kinds):
    flying = [0] * len(kinds)
    for _ in range(20):
        offered = [endpoint(limit, count, float(weight)) for (limit, weight), count in zip(kinds, flying, strict=True)]
        chosen = choose(offered, 1.0, COST)
        assert isinstance(chosen, Chosen)
        flying[chosen.endpoint] += 1
    parts = [limit * weight for limit, weight in kinds]
    for count, part in zip(flying, parts, strict=True):
        assert count == pytest.approx(20 * part / sum(parts), abs=len(kinds))


@given(st.lists(st.integers(0, 200), min_size=2, max_size=5), st.integers(0, 4))
def test_who_is_chosen_can_always_send(counts, paused):
    offered = [endpoint(100, min(100, count), paused=place == paused) for place, count in enumerate(counts)]
    chosen = choose(offered, 1.0, COST)
    if isinstance(chosen, Chosen):
        assert chosen.endpoint != paused
        assert offered[chosen.endpoint].flying < 100
    else:
        assert all(one.flying == 100 or one.paused for one in offered)


def refusals(pairs, apart_s=0.5):
    found = Coincidence()
    for number, levels in enumerate(pairs):
        at = 60.0 * number
        found.refused(0, levels, at)
        found.refused(1, levels, at + apart_s)
    return found.joined


def test_refusals_together_at_one_summed_level_are_one_account():
    assert refusals([(80, 21), (50, 51), (20, 80)][:TIMES])


def test_refusals_far_apart_or_at_different_sums_are_two_accounts():
    assert not refusals([(80, 21), (50, 51), (20, 80)], apart_s=TOGETHER_S + 0.1)
    assert not refusals([(80, 21), (80, 60), (80, int(60 + 300 * ALIKE))])
    assert not refusals([(80, 21)])


def test_refusals_of_one_endpoint_alone_join_nothing():
    found = Coincidence()
    assert not any(found.refused(0, (50, 50), 0.5 * number) for number in range(20))
