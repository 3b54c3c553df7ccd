"""The simple paces: fixed, the page's two, and hard ceilings, each against a small provider in virtual time."""

import heapq
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.pace import Cost, Failed, Go, Limited, Refused, Sent, Served, Taken, Unsent
from deepswarm.core.pace.ceilings import Ceilings
from deepswarm.core.pace.costs import Costs
from deepswarm.core.pace.fixed import Fixed
from deepswarm.core.pace.page import Page, formula, table

briefly = settings(max_examples=40, deadline=None)
COST = Cost(100.0, 200.0)


def driven(pace, until_s, call_s=10.0, cap=1 << 30, retry_after_s=None):
    """Endless work at a provider that takes `cap` calls at once: times sent, most at once, refused, served.

    A refusal comes after 0.1 s.
    """
    now, number, refused, served, most = 0.0, 0, 0, 0, 0
    sent, flying, ends = [], 0, []
    while now < until_s:
        answer = pace.admit(now, COST)
        if isinstance(answer, Go):
            number += 1
            pace.observe(Sent(number, COST), now)
            sent.append(now)
            if flying < cap:
                flying += 1
                most = max(most, flying)
                heapq.heappush(ends, (now + call_s, number, True))
            else:
                heapq.heappush(ends, (now + 0.1, number, False))
            continue
        now, end = min((answer.at, None), (ends[0][0], ends[0]) if ends else (math.inf, None), key=lambda each: each[0])
        assert now < math.inf, f"{pace!r} waits for ever"
        if end is None:
            continue
        _, call, good = heapq.heappop(ends)
        if good:
            flying, served = flying - 1, served + 1
            pace.observe(Served(call, 100.0, 200.0), now)
        else:
            refused += 1
            pace.observe(Refused(call, Limited.UNKNOWN, retry_after_s), now)
    return sent, most, refused, served


@given(st.integers(1, 300))
@briefly
def test_as_many_calls_are_at_once_as_were_asked_for(workers):
    sent, most, refused, _ = driven(Fixed(workers), 30.0)
    assert most == workers
    assert not refused
    assert [at for at in sent if at == 0.0] == [0.0] * workers


def test_the_first_call_is_alone_until_it_is_heard_of():
    pace = Fixed(8, contact_s=5.0)
    pace.observe(Sent(1, COST), 0.0)
    assert pace.admit(1.0, COST).at == 5.0
    pace.observe(Taken(1), 2.0)
    assert pace.admit(2.0, COST) == Go()
    sent, _, _, _ = driven(Fixed(8, contact_s=5.0), 9.0)
    assert sent == [0.0] + [5.0] * 7


def test_starts_are_spaced_at_the_beginning_and_replacements_are_not():
    sent, _, _, _ = driven(Fixed(4, 2.0), 21.0)
    assert sent == [0.0, 2.0, 4.0, 6.0, 10.0, 12.0, 14.0, 16.0, 20.0]


@given(st.integers(1, 40), st.integers(1, 60))
@briefly
def test_a_hidden_cap_below_the_number_is_kept_nearly_full(cap, workers):
    _, most, refused, served = driven(Fixed(workers), 2000.0, cap=cap)
    allowed = min(cap, workers)
    assert most == allowed
    assert served >= 0.85 * allowed * (2000.0 / 10.0 - 1)
    assert refused <= workers + (2000.0 / 10.0) * (1 if cap < workers else 0)


def test_after_a_refusal_one_probe_goes_and_all_others_wait_for_it():
    pace = Fixed(10)
    for call in range(10):
        pace.observe(Sent(call, COST), 0.0)
    for call in range(4, 10):
        pace.observe(Refused(call, Limited.UNKNOWN, 7.0), 0.1)
    assert pace.limit == 4
    assert pace.admit(0.2, COST).at == pytest.approx(7.1)
    for call in range(2):
        pace.observe(Failed(call, storm=True), 1.0)
    assert pace.admit(7.2, COST) == Go(probe=True)
    pace.observe(Sent(10, COST), 7.2)
    assert isinstance(pace.admit(7.3, COST), type(pace.admit(0.2, COST)))
    assert pace.reason.what == "cool-down"
    pace.observe(Taken(10), 7.5)
    assert pace.admit(7.5, COST) == Go()


@pytest.mark.parametrize("asked_s", [0.0, -3.0, math.nan])
def test_a_retry_after_that_says_nothing_is_a_short_pause(asked_s):
    pace = Fixed(10)
    pace.observe(Sent(1, COST), 0.0)
    pace.observe(Refused(1, Limited.UNKNOWN, asked_s), 0.1)
    pace.observe(Sent(2, COST), 0.2)
    pace.observe(Refused(2, Limited.UNKNOWN, asked_s), 0.3)
    assert 0.3 < pace.admit(0.3, COST).at < 5.0
    assert pace.limit == 1


def test_facts_of_unknown_calls_change_nothing():
    pace = Fixed(3)
    for fact in (Refused(7), Served(7), Failed(7, storm=True), Taken(7), Unsent(7)):
        pace.observe(fact, 1.0)
    assert (pace.limit, pace.admit(1.0, COST)) == (3, Go())


@pytest.mark.parametrize(
    ("call_s", "rate_limit", "workers"), [(1.0, 3.0, 3), (45.0, 500.0, 8), (45.0, 60.0, 1), (90.0, 60.0, 1)]
)
def test_the_page_s_formula_has_the_page_s_numbers(call_s, rate_limit, workers):
    choice = formula(call_s, 1000, rate_limit)
    assert choice.workers == workers
    assert choice.stagger_s == pytest.approx(call_s / workers * 2)
    assert choice.batch_size == 1000 // workers
    assert formula(call_s, 1000).workers == 8


@pytest.mark.parametrize(
    ("call_s", "workers", "stagger_s"),
    [(9.9, 16, 1), (10, 12, 2), (29, 12, 2), (30, 8, 5), (60, 6, 10), (89, 6, 10), (90, 4, 15), (9e9, 4, 15)],
)
def test_the_page_s_table_has_the_page_s_numbers(call_s, workers, stagger_s):
    assert table(call_s, 1000)[:3] == (workers, stagger_s, 1000 // workers)


def test_the_page_times_one_call_and_then_starts_its_workers_one_after_another():
    pace = Page(lambda call_s: table(call_s, 100))
    sent, most, _, _ = driven(pace, 200.0, call_s=20.0)
    assert sent[:5] == [0.0, 20.0, 22.0, 24.0, 26.0]
    assert most == 12
    assert pace.choice.workers == 12


@given(st.integers(1, 200))
@briefly
def test_no_minute_has_more_calls_than_its_ceiling_allows(rpm):
    sent, _, _, _ = driven(Ceilings(Fixed(500), rpm=rpm), 180.0, call_s=1.0)
    for start in sent:
        assert sum(start <= at < start + 59.999 for at in sent) <= rpm + 1
    assert len(sent) >= min(rpm * 3, 500 * 180) * 0.95 - 1


def test_tokens_are_charged_by_what_they_were_and_not_by_what_was_expected():
    pace = Ceilings(Fixed(100), tpm=6000.0)  # 100 a second; calls are expected to cost 300
    pace.observe(Sent(1, COST), 0.0)
    assert pace.admit(0.0, COST).at == pytest.approx(3.0)
    pace.observe(Served(1, 100.0, 900.0), 1.0)
    assert pace.admit(1.0, COST).at == pytest.approx(10.0)
    pace.observe(Sent(2, COST), 10.0)
    pace.observe(Unsent(2), 10.0)
    assert pace.admit(10.0, COST) == Go()


@given(st.floats(0.05, 0.9), st.integers(0, 2000), st.lists(st.integers(1, 100_000), min_size=3, max_size=30))
@briefly
def test_what_prompts_cost_is_learnt_from_what_they_did_cost(per_byte, beside, sizes):
    costs = Costs()
    for size in sizes:
        costs.saw(size, round(beside + per_byte * size), 321)
    expected = costs.cost(sizes[0])
    assert expected.tokens_out == pytest.approx(321)
    assert expected.tokens_in == pytest.approx(max(1.0, beside + per_byte * sizes[0]), rel=0.01, abs=2.0)
