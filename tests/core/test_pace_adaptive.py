"""The adaptive pace against small providers in virtual time, and against everything that it may be told."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings

from deepswarm.core.pace import (
    Begun,
    Cost,
    Failed,
    Go,
    Limited,
    Memory,
    Quota,
    Refused,
    Sent,
    Served,
    Taken,
    WaitUntil,
)
from deepswarm.core.pace.adaptive import Adaptive
from deepswarm.testing.suites.pace import any_steps, check_answers, check_same_again

COST = Cost(500.0, 500.0)
REFUSAL_S = 0.25


class Provider:
    """Calls of `call_s` seconds under `cap(now)` at once and a bucket of `per_s`, `depth` deep; counts what it does."""

    def __init__(self, cap=lambda _: math.inf, per_s=math.inf, depth=1.0, call_s=10.0, refusal=Refused, quotas=()):
        self.cap, self.per_s, self.depth, self.call_s = cap, per_s, depth, call_s
        self.refusal: Callable[..., Refused] = refusal
        self.quotas = quotas
        self.flying, self.level, self.filled = 0, depth, 0.0
        self.served, self.refused = [], []

    def takes(self, now):
        if self.per_s < math.inf:
            self.level = min(self.depth, self.level + (now - self.filled) * self.per_s)
            self.filled = now
        if self.flying >= self.cap(now) or (self.per_s < math.inf and self.level < 1.0):
            return False
        self.flying += 1
        self.level -= 1.0
        return True


def drive(pace, provider, until_s, *, streamed=True, tasks=10**9, begin_s=0.0):
    """Send as the pace admits, refused calls again, until the time or the tasks are over."""
    now, sent, facts, seen = begin_s, 0, [], 0
    while now < begin_s + until_s and (tasks or facts):
        answer = pace.admit(now, COST) if tasks else WaitUntil(math.inf)
        if isinstance(answer, Go):
            sent, tasks = sent + 1, tasks - 1
            pace.observe(Sent(sent, COST), now)
            if provider.takes(now):
                told = provider.quotas
                if streamed:
                    for fact in (Taken(sent, told), Begun(sent)):
                        heapq.heappush(facts, (now + 1.0, seen := seen + 1, fact))
                heapq.heappush(facts, (now + provider.call_s, seen := seen + 1, Served(sent, 500, 500, told)))
            else:
                heapq.heappush(facts, (now + REFUSAL_S, seen := seen + 1, provider.refusal(sent)))
            continue
        due = facts[0][0] if facts else math.inf
        assert min(answer.at, due) < math.inf, "waits for ever"
        now = max(now, min(answer.at, due))
        if due <= now:
            _, _, fact = heapq.heappop(facts)
            if isinstance(fact, Served):
                provider.flying -= 1
                provider.served.append(now)
            elif isinstance(fact, Refused):
                provider.refused.append(now)
                tasks += 1
            pace.observe(fact, now)
    return pace


def rate(times, since, until):
    return sum(since <= at < until for at in times) / (until - since)


@pytest.mark.parametrize("streamed", [True, False])
@settings(max_examples=150)
@given(steps=any_steps())
def test_nothing_that_it_may_be_told_breaks_it(streamed, steps):
    def build():
        return Adaptive(64, seed=1, streamed=streamed)

    check_answers(build, steps)
    check_same_again(build, steps)


@pytest.mark.parametrize(("cap", "hours"), [(1, 2), (4, 1), (40, 1), (500, 0.3)])
def test_a_cap_is_found_and_kept_with_few_refusals(cap, hours):
    provider = Provider(cap=lambda _: cap)
    pace = drive(Adaptive(4096, seed=1, streamed=True), provider, 3600.0 * hours)
    assert pace.limit in {cap, cap + 1}
    attainable = cap / provider.call_s
    assert rate(provider.served, 300.0, 3600.0 * hours) >= 0.97 * attainable
    assert len(provider.refused) <= max(60 * hours, 0.001 * len(provider.served))
    assert pace.reason.what in {"concurrency", "cool-down", "search"}


def test_a_cap_that_rises_or_falls_is_followed():
    provider = Provider(cap=lambda now: 100 if now < 600 else 30 if now < 1800 else 200)
    drive(Adaptive(4096, seed=1, streamed=True), provider, 3600.0)
    assert rate(provider.served, 200, 600) >= 0.95 * 10
    assert rate(provider.served, 800, 1800) >= 0.9 * 3
    assert rate(provider.served, 2400, 3600) >= 0.9 * 20


@pytest.mark.parametrize(("per_min", "depth_s"), [(10, 60), (60, 60), (600, 1), (600, 60)])
def test_a_rate_is_found_and_kept(per_min, depth_s):
    provider = Provider(per_s=per_min / 60, depth=max(1.0, per_min / 60 * depth_s))
    drive(Adaptive(4096, seed=1, streamed=True), provider, 7200.0)
    assert rate(provider.served, 900, 7200) >= 0.92 * per_min / 60
    last = [at for at in provider.refused if at > 3600]
    assert len(last) <= 60


def test_a_rate_that_rises_is_found():
    provider = Provider(per_s=2.0, depth=20.0)
    pace = drive(Adaptive(4096, seed=1, streamed=True), provider, 1800.0)
    provider.per_s, provider.depth, provider.filled = 8.0, 80.0, 1800.0
    drive(pace, provider, 1800.0, begin_s=1800.0)
    assert rate(provider.served, 2400, 3600) >= 0.9 * 8.0


def test_the_first_call_refused_is_no_end():
    provider = Provider(cap=lambda now: 0 if now < 5.0 else 20)
    drive(Adaptive(4096, seed=1, streamed=True), provider, 1800.0)
    assert rate(provider.served, 900, 1800) >= 0.9 * 2.0


@pytest.mark.parametrize("asked", [0.0, -3.0, math.nan, 2.0])
def test_odd_waits_that_a_provider_asks_for_do_no_harm(asked):
    provider = Provider(cap=lambda _: 20, refusal=lambda call: Refused(call, retry_after_s=asked))
    drive(Adaptive(4096, seed=1, streamed=True), provider, 1800.0)
    assert rate(provider.served, 600, 1800) >= 0.95 * 2.0


def test_a_wait_of_ten_hours_is_not_its_business():
    pace = Adaptive(8, seed=1, streamed=True)
    assert pace.admit(0.0, COST) == Go()
    pace.observe(Sent(1, COST), 0.0)
    pace.observe(Refused(1, retry_after_s=36_000.0), 0.2)
    assert pace.admit(0.3, COST).at <= 700.0


def test_headers_that_promise_too_much_are_not_believed_for_long():
    lie = (Quota("requests", 6000.0, 5990.0, 1.0, 60.0),)
    provider = Provider(per_s=1.0, depth=5.0, quotas=lie)
    drive(Adaptive(4096, seed=1, streamed=True), provider, 3600.0)
    assert rate(provider.served, 900, 3600) >= 0.9
    assert len(provider.refused) <= 200


def test_a_quota_of_a_day_does_not_space_the_calls_of_a_minute():
    day = (Quota("requests", 14_400.0, 14_000.0, 80_000.0, 86_400.0),)
    provider = Provider(cap=lambda _: 30, quotas=day)
    drive(Adaptive(4096, seed=1, streamed=True), provider, 1200.0)
    assert rate(provider.served, 300, 1200) >= 0.95 * 3.0


def test_headers_of_a_rate_are_kept_to_without_refusals():
    class Telling(Provider):
        @property
        def quotas(self):
            return (Quota("requests", 600.0, max(0.0, self.level), None, 60.0),)

        @quotas.setter
        def quotas(self, _):
            pass

    provider = Telling(per_s=10.0, depth=600.0)
    drive(Adaptive(4096, seed=1, streamed=True), provider, 3600.0)
    assert rate(provider.served, 300, 3600) >= 0.95 * 10
    assert len(provider.refused) <= 20


def test_two_thousand_refusals_after_one_pause_measure_one_cap():
    pace = Adaptive(4096, seed=1, start=Memory(2100.0), streamed=True)
    pace.observe(Sent(1, COST), 0.0)
    pace.observe(Taken(1), 0.5)
    for call in range(2, 2101):
        pace.observe(Sent(call, COST), 1.0)
    for call in range(101, 2101):
        pace.observe(Refused(call), 1.2)
    assert pace.limit == 100
    assert isinstance(pace.admit(1.3, COST), WaitUntil)


def test_an_hour_asleep_is_no_evidence():
    provider = Provider(cap=lambda _: 50)
    pace = drive(Adaptive(4096, seed=1, streamed=True), provider, 900.0)
    provider.flying = 0
    before = pace.limit
    assert isinstance(pace.admit(4600.0, COST), Go | WaitUntil)
    assert pace.limit in {before, before + 1}


def test_with_fewer_seeds_than_room_the_window_does_not_grow_for_nothing():
    pace = drive(Adaptive(4096, seed=1, streamed=True), Provider(), 600.0, tasks=10)
    assert pace.limit <= 20


def test_refusals_of_calls_that_it_does_not_know_change_nothing():
    pace = drive(Adaptive(4096, seed=1, streamed=True), Provider(cap=lambda _: 50), 600.0)
    before = repr(pace)
    pace.observe(Refused(10**8), 600.0)
    assert repr(pace) == before


def test_a_brown_out_does_not_shrink_the_window():
    pace = drive(Adaptive(4096, seed=1, streamed=True), Provider(cap=lambda _: 50), 600.0)
    before = pace.limit
    calls = range(10**6, 10**6 + 30)
    for call in calls:
        pace.observe(Sent(call, COST), 600.0)
    for call in calls:
        pace.observe(Failed(call, storm=True), 601.0)
    assert pace.limit >= before
    assert isinstance(pace.admit(601.5, COST), WaitUntil)


def test_it_begins_where_an_earlier_run_left_off_and_tells_what_it_learnt():
    pace = Adaptive(4096, seed=1, start=Memory(200.0, refusal_s=0.2, first_token_s=1.0), streamed=True)
    pace.observe(Sent(1, COST), 0.0)
    pace.observe(Taken(1), 0.5)
    assert pace.limit == 200
    drive(pace, Provider(cap=lambda _: 500), 900.0, begin_s=1.0)
    assert 480 <= pace.memory().calls <= 501


def test_courtesy_leaves_its_share_to_others():
    provider = Provider(cap=lambda _: 100)
    drive(Adaptive(4096, seed=1, streamed=True, courtesy=0.5), provider, 1800.0)
    assert rate(provider.served, 600, 1800) == pytest.approx(5.0, rel=0.1)


def test_a_named_cap_is_taken_at_its_word():
    provider = Provider(cap=lambda _: 10, refusal=lambda call: Refused(call, Limited.CONCURRENCY, cap=10))
    pace = drive(Adaptive(4096, seed=1, streamed=True), provider, 900.0)
    assert pace.limit in {10, 11}


@pytest.mark.parametrize("streamed", [True, False])
def test_what_it_remembers_does_not_grow_with_the_calls(streamed):
    """Ten thousand calls that nobody refuses, a hundred at once: nothing of the ended ones is kept for long."""
    pace, now = Adaptive(100, seed=1, streamed=streamed), 0.0
    for call in range(1, 10_001):
        pace.observe(Sent(call, COST), now)
        pace.observe(Taken(call), now)
        pace.observe(Begun(call), now)
        pace.observe(Served(call, 500, 500), now)
        now += 1.0
    queues = [queue for room in (pace, pace._flights, pace._evidence) for queue in vars(room).values()]
    assert sum(len(queue) for queue in queues if isinstance(queue, deque)) < 200
