"""The circuit breaker: what pauses a run, what does not, when a probe may try, and when it is over."""

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import (
    BadRequest,
    Cut,
    Empty,
    NoSuchModel,
    OutOfFunds,
    Overloaded,
    QuotaSpent,
    ServerFault,
    Throttled,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from deepswarm.core.health import ALL_REFUSED, FEW, FIRST_CONTACT_S, LEAST_FAILURES, OUTAGE, Health, Sent

briefly = settings(max_examples=40, deadline=None)
LIMIT_S = 1800.0
SENT = 0.5
"""When calls were sent, where it does not matter."""
REFUSED = Unreachable("connection refused")
BROKEN = ServerFault("502", status=502)
OWN = ServerFault("500", status=500)
BILLED = TimedOut("late", phase="total", maybe_billed=True)


def a_health(lanes=64, *, reached=True):
    health = Health(LIMIT_S)
    health.lanes = lanes
    if reached:
        health.served(Sent(0, SENT), 0.0)
    return health


def failing(health, error, seeds, now=1.0):
    """How many failures it takes to pause, one of each seed; None when they do not."""
    for count, seed in enumerate(seeds, start=1):
        health.failed(error, Sent(seed, SENT), now)
        if health.paused is not None:
            return count
    return None


# --- what pauses a run -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [REFUSED, BROKEN, Cut("eof"), TimedOut("late", phase="first"), OWN, BILLED])
def test_seeds_that_fail_in_a_row_are_an_outage(error):
    health = a_health()
    assert failing(health, error, range(100)) == OUTAGE[error.disposition]
    assert health.paused.label == "outage"
    assert health.outages == 1


def test_one_seed_that_fails_again_and_again_is_no_outage_while_there_are_others():
    assert failing(a_health(), BROKEN, [7] * 1000) is None


def test_somebody_who_is_served_begins_the_count_anew():
    health = a_health()
    for seed in range(500):
        health.failed(BROKEN, Sent(seed, SENT), 1.0)
        if seed % 9 == 8:
            health.served(Sent(0, 2.0), 1.0)
    assert health.paused is None


def test_a_refusal_of_one_input_is_an_answer_like_others():
    health = a_health()
    for seed in range(500):
        health.failed(BROKEN if seed % 9 else BadRequest("400", status=400), Sent(seed, 2.0), 1.0)
    assert health.paused is None


@pytest.mark.parametrize("seed", range(4))
def test_a_brown_out_in_which_three_of_ten_calls_fail_is_no_outage(seed):
    draw = random.Random(seed).random
    health = a_health()
    for call in range(20_000):
        if draw() < 0.3:
            health.failed(ServerFault("502", status=502), Sent(call, call / 100), call / 100)
        else:
            health.served(Sent(0, call / 100), call / 100)
    assert health.outages <= 1


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_fewer_workers_need_fewer_failures_but_never_only_one_or_two(lanes):
    health = a_health(lanes)
    seeds = [call % lanes for call in range(100)]
    assert failing(health, REFUSED, seeds) == max(LEAST_FAILURES, lanes)


@pytest.mark.parametrize("error", [OWN, BILLED])
def test_a_few_bad_seeds_at_the_end_of_a_run_are_no_outage(error):
    health = a_health(FEW - 1)
    assert failing(health, error, [call % (FEW - 1) for call in range(1000)]) is None


def test_limits_are_no_outage():
    assert failing(a_health(), Throttled("429", status=429), range(1000)) is None


@pytest.mark.parametrize("error", [OutOfFunds("402", status=402), QuotaSpent("429: per day", status=429)])
def test_money_and_quotas_pause_at_once(error):
    assert failing(a_health(), error, [1]) == 1
    assert failing(a_health(reached=False), error, [1]) == 1


@pytest.mark.parametrize("error", [Unauthorized("401", status=401), NoSuchModel("404", status=404)])
def test_a_key_or_a_model_pauses_when_two_seeds_met_it_and_refuses_the_run_before_anything_was_served(error):
    health = a_health()
    assert failing(health, error, [1, 1, 1]) is None
    assert failing(health, error, [2]) == 1
    assert health.refused is None
    fresh = a_health(reached=False)
    fresh.failed(error, Sent(1, SENT), 0.0)
    assert fresh.paused is None
    assert str(error) in fresh.refused


def test_with_one_worker_one_answer_about_the_key_is_enough():
    assert failing(a_health(1), Unauthorized("401", status=401), [1]) == 1


# --- probes ----------------------------------------------------------------------------------------------------------


def probes(health, error, until):
    """The times of all probes up to a time; each fails."""
    times = []
    while (at := health.paused.probe_at) <= until:
        assert health.may_probe(at)
        assert not health.may_probe(at - 0.001)
        health.probing = True
        assert not health.may_probe(at)
        health.failed(error, Sent(99, SENT, probe=True), at)
        times.append(at)
    return times


def test_an_outage_is_probed_often_at_first_and_then_less_and_less():
    health = a_health()
    failing(health, REFUSED, range(4), now=0.0)
    assert not health.paused.sure
    times = probes(health, REFUSED, 1200.0)
    assert times[:5] == [1.0, 3.0, 7.0, 12.0, 17.0]
    assert health.paused.sure
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gap for gap, at in zip(gaps, times, strict=False) if at <= 120.0) <= 5.0
    assert gaps == sorted(gaps)
    assert len([at for at in times if at <= 60.0]) <= 20 - OUTAGE[REFUSED.disposition]


def test_money_is_probed_at_a_doubling_interval_up_to_five_minutes():
    health = a_health()
    failing(health, OutOfFunds("402", status=402), [1], now=0.0)
    times = probes(health, OutOfFunds("402", status=402), 1800.0)
    assert times[:4] == [5.0, 15.0, 35.0, 75.0]
    assert times[-1] - times[-2] == 300.0


def test_a_probe_waits_for_the_time_that_the_provider_named():
    health = a_health()
    failing(health, QuotaSpent("429", status=429, retry_after_s=900.0), [1], now=10.0)
    assert health.paused.probe_at == 910.0
    assert health.paused.wakes_at == 910.0


def test_a_probe_that_is_served_ends_the_pause():
    health = a_health()
    failing(health, OutOfFunds("402", status=402), [1])
    health.probing = True
    health.served(Sent(0, SENT, probe=True), 9.0)
    assert health.paused is None
    assert not health.probing


def test_a_probe_with_a_seed_that_is_bad_itself_ends_the_pause_too():
    health = a_health()
    failing(health, REFUSED, range(4))
    health.failed(BadRequest("400", status=400), Sent(1, SENT, probe=True), 9.0)
    assert health.paused is None


def test_an_answer_to_an_earlier_call_ends_no_pause():
    outage, broke = a_health(), a_health()
    failing(outage, REFUSED, range(4))
    failing(broke, OutOfFunds("402", status=402), [1])
    for health in (outage, broke):
        health.served(Sent(0, 0.9), 9.0)
        assert health.paused is not None
    outage.served(Sent(0, 1.1), 9.0)
    broke.served(Sent(0, 1.1), 9.0)
    assert outage.paused is None
    assert broke.paused is not None


@pytest.mark.parametrize("error", [REFUSED, BROKEN, Overloaded("503", status=503)])
def test_answers_to_calls_that_were_sent_before_do_not_hide_an_outage(error):
    health = a_health()
    for seed in range(12):
        health.sending(seed, 1.0 + seed)
        health.failed(error, Sent(seed, 1.0 + seed), 1.0 + seed)
        health.served(Sent(0, 0.9), 1.0 + seed)
    assert health.paused is not None


def test_where_failures_are_fast_and_answers_slow_those_on_their_way_count():
    health = a_health()
    for seed in range(200):
        health.sending(seed, 1.0 + seed / 100)
        if seed % 3 == 0:
            health.failed(BROKEN, Sent(seed, 1.0 + seed / 100), 1.0 + seed / 100)
    assert health.paused is None


def test_when_the_first_seeds_are_all_refused_alike_it_is_not_the_seeds():
    health = a_health(reached=False)
    for seed in range(ALL_REFUSED - 1):
        health.failed(BadRequest("no such parameter", status=400), Sent(seed, SENT), 1.0)
    assert health.refused is None
    health.failed(BadRequest("no such parameter", status=400), Sent(99, SENT), 1.0)
    assert "no such parameter" in health.refused
    served = a_health()
    for seed in range(100):
        served.failed(BadRequest("no such parameter", status=400), Sent(seed, SENT), 1.0)
    assert served.refused is None


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 4, 4), (0.05, 4, 4), (0.3, 6, 11), (0.9, 30, 1000)])
def test_what_counts_as_a_seeds_own_failure_depends_on_how_many_fail_by_chance(share, least, most):
    draw = random.Random(1).random
    health = a_health()
    for call in range(2000):
        if draw() < share:
            health.failed(BROKEN, Sent(call, SENT), 1.0)
        else:
            health.served(Sent(0, SENT), 1.0)
    assert least <= health.alike <= most


def test_after_a_pause_the_count_begins_anew():
    health = a_health()
    failing(health, REFUSED, range(4))
    health.served(Sent(0, SENT, probe=True), 9.0)
    assert failing(health, REFUSED, range(100)) == OUTAGE[REFUSED.disposition]
    assert health.outages == 2


# --- how long, and at whose cost -------------------------------------------------------------------------------------


def test_a_pause_that_lasts_longer_than_its_limit_ends_the_run():
    health = a_health()
    failing(health, OutOfFunds("402", status=402), [1], now=0.0)
    assert not health.lasts_too_long(LIMIT_S)
    assert health.lasts_too_long(LIMIT_S + 0.1)
    health.probing = True
    assert not health.lasts_too_long(LIMIT_S + 0.1)


def test_a_pause_that_will_last_longer_is_known_at_once():
    health = a_health()
    failing(health, QuotaSpent("429", status=429, retry_after_s=LIMIT_S + 1.0), [1], now=0.0)
    assert health.lasts_too_long(0.0)


def test_an_address_that_never_answered_is_given_up_sooner():
    health = a_health(1, reached=False)
    failing(health, REFUSED, [1] * 3, now=0.0)
    assert not health.lasts_too_long(FIRST_CONTACT_S)
    assert health.lasts_too_long(FIRST_CONTACT_S + 0.1)
    answered = a_health(1, reached=False)
    failing(answered, BROKEN, [1] * 3, now=0.0)
    assert not answered.lasts_too_long(FIRST_CONTACT_S + 0.1)


def test_seeds_are_not_charged_for_an_outage_but_for_what_may_be_their_own_fault():
    health = a_health()
    assert all(map(health.charged, (REFUSED, BROKEN, OWN, Empty(""))))
    failing(health, BROKEN, range(10))
    assert not health.charged(BROKEN)
    assert not health.charged(REFUSED)
    assert health.charged(OWN)
    assert health.charged(BILLED)
    assert health.charged(Empty(""))
    assert health.charged(BadRequest("400"))


ERRORS = [REFUSED, BROKEN, OWN, Cut("eof"), Throttled("429", status=429), Empty(""), BadRequest("400", status=400)]
ERRORS += [OutOfFunds("402", status=402), Unauthorized("401", status=401), QuotaSpent("q", retry_after_s=5.0)]
steps = st.lists(st.tuples(st.sampled_from([None, *ERRORS]), st.integers(0, 20), st.floats(0, 60)), max_size=200)


@given(steps, st.integers(1, 64))
@briefly
def test_whatever_happens_at_most_one_probe_is_on_its_way_and_a_served_probe_always_opens(history, lanes):
    health, now = a_health(lanes), 0.0
    for error, seed, passed in history:
        now += passed
        probe = health.may_probe(now)
        if probe:
            health.probing = True
            assert not health.may_probe(now)
        if error is None:
            health.served(Sent(0, now, probe=probe), now)
            assert not (probe and health.paused)
        else:
            health.failed(error, Sent(seed, now, probe=probe), now)
        assert not (probe and health.probing)
        if health.paused is not None and probe:
            assert health.paused.probe_at > now
