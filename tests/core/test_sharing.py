import heapq
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.pace import Cost, Go, Memory, Refused, Sent, Served
from deepswarm.core.pace.adaptive import Adaptive
from deepswarm.core.pace.sharing import BEAT_S, LEASE_S, Shared, cautious, share
from deepswarm.testing.suites.pace import any_steps, check_answers, check_same_again, refusals_under_cap


def build(start=None):
    return Adaptive(4096, start, 1, streamed=False)


@given(st.lists(st.floats(0, 1e4) | st.just(math.inf), min_size=1, max_size=8), st.floats(0, 1e4))
def test_shares_are_max_min_fair(demands, limit):
    shares = share(demands, limit)
    assert all(0 <= part <= demand for part, demand in zip(shares, demands, strict=True))
    assert sum(shares) == pytest.approx(min(limit, sum(demands)))
    unmet = [part for part, demand in zip(shares, demands, strict=True) if part < demand]
    assert all(part >= max(shares) - 1e-6 for part in unmet)


def test_a_memory_is_half_believed_and_a_quarter_after_an_hour():
    memory = Memory(100.0, 10.0, 2000.0, 0.4, 0.2)
    assert cautious(memory, 60.0) == Memory(50.0, 5.0, 1000.0, 0.4, 0.2)
    assert cautious(memory, 3601.0) == Memory(25.0, 2.5, 500.0, 0.4, 0.2)
    assert cautious(memory, -5.0).calls == 25.0


@settings(max_examples=30, deadline=None)
@given(any_steps())
def test_alone_it_is_a_pace_like_any_other(steps):
    def alone():
        return Shared(build, None, "a", 0.0)

    check_answers(alone, steps)
    check_same_again(alone, steps)


def test_alone_it_ends_under_a_cap_of_one():
    assert refusals_under_cap(Shared(build, None, "a", 0.0), cap=1, tasks=50) < 20


class Account:
    """Several processes under one cap on calls at once, in virtual time; each answer takes 10 s or so."""

    def __init__(self, cap, begins, ends):
        self.cap, self.begins, self.ends = cap, begins, ends
        self.served = [[] for _ in begins]
        self.refused = 0

    def play(self, seconds):
        paces = [Shared(build, None, f"{place}", begin) for place, begin in enumerate(self.begins)]
        said, flying, last = {}, set(), 0
        wakes = [(begin, 0, place, -1) for place, begin in enumerate(self.begins)]
        heapq.heapify(wakes)
        beats = list(self.begins)
        while wakes:
            now, _, who, call = heapq.heappop(wakes)
            if now > seconds:
                break
            pace = paces[who]
            if call >= 0:
                good = call in flying
                flying.discard(call)
                if now < self.ends[who]:
                    pace.observe(Served(call) if good else Refused(call), now)
                    self.served[who] += [now] if good else []
                    self.refused += not good
            if now >= self.ends[who]:
                continue
            if call < 0 and now >= beats[who]:
                said[who] = (pace.member(now), now + LEASE_S)
                pace.met([member for other, (member, until) in said.items() if other != who and until >= now], now)
                beats[who] = now + BEAT_S
            while isinstance(pace.admit(now, Cost(100.0, 50.0)), Go):
                last += 1
                pace.observe(Sent(last, Cost(100.0, 50.0)), now)
                good = len(flying) < self.cap
                if good:
                    flying.add(last)
                answer_s = 8.0 + (last * 7919 % 400) / 100.0 if good else 0.2
                heapq.heappush(wakes, (now + answer_s, 1, who, last))
            if call < 0:
                heapq.heappush(wakes, (now + 0.1, 0, who, -1))
        return self

    def counted(self, begin, end):
        return [sum(begin <= at < end for at in served) for served in self.served]


def fairness(counts):
    return sum(counts) ** 2 / (len(counts) * sum(count * count for count in counts))


@pytest.mark.parametrize("begins", [[0.0, 100.0], [0.0, 0.05, 100.0]])
def test_processes_share_one_cap_fairly_and_use_all_of_it(begins):
    account = Account(100, begins, [math.inf] * len(begins)).play(500.0)
    counts = account.counted(200.0, 500.0)
    assert fairness(counts) >= 0.95
    assert sum(counts) >= 0.97 * 100 * 300 / 10
    assert account.refused <= 60


def test_what_a_dead_process_had_is_the_others_again():
    account = Account(100, [0.0, 50.0], [200.0, math.inf]).play(500.0)
    counts = account.counted(300.0, 500.0)
    assert counts[0] == 0
    assert counts[1] >= 0.97 * 100 * 200 / 10
