"""What follows from an error: who waits, who tries again, who gives up, and for how long."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core import errors
from deepswarm.core.errors import CallError, Disconnected, Disposition, Overloaded, Throttled, TimedOut, Truncated
from deepswarm.core.retry import GiveUp, Pause, Retry, RetryPolicy, Tried, Wait, backoff, decide, floor

briefly = settings(max_examples=40, deadline=None)
POLICY = RetryPolicy()
FRESH = Tried()

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CallError)]
chances = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0.001, 100_000)
policies = st.builds(
    RetryPolicy,
    retries=st.integers(0, 10),
    first_s=st.floats(0.01, 10),
    longest_s=st.floats(0.01, 600),
    patience_s=st.floats(0, 10_000),
)
trials = st.builds(Tried, failures=st.integers(0, 12), waits=st.integers(0, 2000), waited_s=st.floats(0, 10_000))


def half():
    return 0.5


def never():
    raise AssertionError("chance was asked")


def an_error(kind, **facts):
    if kind is TimedOut:
        return TimedOut("late", phase="total", maybe_billed=facts.get("maybe_billed", True))
    return kind("what", **({"maybe_billed": True} | facts))


errors_of_all_kinds = st.builds(
    lambda kind, retry_after_s, billed: an_error(kind, retry_after_s=retry_after_s, maybe_billed=billed),
    st.sampled_from(CLASSES),
    st.none() | seconds,
    st.booleans(),
)


FIRST_DECISIONS = {
    errors.Throttled: Wait,
    errors.Overloaded: Retry,
    errors.TimedOut: Retry,
    errors.Disconnected: Retry,
    errors.Truncated: Retry,
    errors.Garbled: Retry,
    errors.TooLarge: GiveUp,
    errors.Declined: GiveUp,
    errors.BadRequest: GiveUp,
    errors.NoSuchModel: Pause,
    errors.Unauthorized: Pause,
    errors.OutOfFunds: Pause,
}


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not CallError])
def test_the_first_error_of_each_class_has_its_decision(kind):
    assert type(decide(an_error(kind), FRESH, POLICY, half)) is FIRST_DECISIONS[kind]


@given(errors_of_all_kinds, trials, policies, chances)
@briefly
def test_a_decision_never_makes_a_seed_wait_or_try_more_than_its_policy_allows(error, tried, policy, chance):
    decision = decide(error, tried, policy, lambda: chance)
    if isinstance(decision, Wait):
        assert tried.after(decision).waited_s <= max(policy.patience_s, tried.waited_s)
        assert tried.after(decision).unreached_s <= max(policy.reach_s, tried.unreached_s)
        assert decision.seconds >= 0
    elif isinstance(decision, Retry):
        assert tried.failures < policy.retries
        assert 0 <= decision.seconds <= max(policy.longest_s, policy.patience_s + 0.5)
        assert decision.room >= 1
    if error.retry_after_s is not None and isinstance(decision, Wait | Retry) and not isinstance(error, Truncated):
        assert decision.seconds >= error.retry_after_s


@given(errors_of_all_kinds, policies, st.lists(chances, min_size=1))
@briefly
def test_an_error_that_repeats_for_ever_comes_to_an_end(error, policy, drawn):
    """Each seed ends or pauses: after at most `retries` tries, and at most `patience_s` seconds of waits."""
    tried, tries = FRESH, 0
    draws = iter(drawn)
    while True:
        decision = decide(error, tried, policy, lambda: next(draws, 0.999))
        if isinstance(decision, Wait):
            tried = tried.after(decision)
            assert tried.waits < 3_000_000
        elif isinstance(decision, Retry):
            tried = replace(tried, failures=tried.failures + 1)
            tries += 1
        else:
            break
        if tried.waits > 200:
            return  # a long patience with short waits; the test above bounds each step
    assert tries <= policy.retries
    assert tried.waited_s <= policy.patience_s


@given(trials, policies, chances)
@briefly
def test_throttling_does_not_consume_an_attempt(tried, policy, chance):
    decision = decide(Throttled("slow down", status=429), tried, policy, lambda: chance)
    assert isinstance(decision, Wait | Pause)


def test_a_long_outage_of_the_connection_fails_no_seed():
    refused = Disconnected("no connection", maybe_billed=False)
    late = TimedOut("no connection", phase="connect", maybe_billed=False)
    for error in (refused, late):
        assert isinstance(decide(error, Tried(failures=99), POLICY, half), Wait)
        assert decide(error, Tried(unreached_s=POLICY.reach_s), POLICY, half) == Pause()
        assert isinstance(decide(error, Tried(waited_s=POLICY.patience_s), POLICY, half), Wait)


@pytest.mark.parametrize("error", [Disconnected("cut", maybe_billed=True), Overloaded("503", status=503)])
def test_what_reached_the_provider_consumes_an_attempt(error):
    assert isinstance(decide(error, Tried(failures=POLICY.retries - 1), POLICY, half), Retry)
    assert decide(error, Tried(failures=POLICY.retries), POLICY, half) == GiveUp()


def test_without_retries_the_first_failure_is_the_last_but_throttling_still_waits():
    policy = RetryPolicy(retries=0)
    assert decide(Overloaded("503"), FRESH, policy, half) == GiveUp()
    assert decide(Truncated("cut"), FRESH, policy, half) == GiveUp()
    assert isinstance(decide(Throttled("429"), FRESH, policy, half), Wait)


@pytest.mark.parametrize("asked_s", [1801, 3600, 9_999_999])
@pytest.mark.parametrize("kind", [Throttled, Overloaded])
def test_a_wait_longer_than_the_patience_pauses_the_run_instead_of_sleeping(kind, asked_s):
    assert decide(kind("later", retry_after_s=asked_s), FRESH, POLICY, half) == Pause()


def test_patience_is_for_all_waits_of_a_seed_together():
    error = Throttled("429", retry_after_s=100.0)
    assert isinstance(decide(error, Tried(waits=9, waited_s=1600.0), POLICY, half), Wait)
    assert decide(error, Tried(waits=9, waited_s=1701.0), POLICY, half) == Pause()


def test_only_a_wait_that_the_provider_named_is_shared_by_all_workers():
    named = decide(Throttled("429", retry_after_s=2.0), FRESH, POLICY, half)
    own = decide(Throttled("429"), FRESH, POLICY, half)
    assert isinstance(named, Wait)
    assert named.shared
    assert isinstance(own, Wait)
    assert not own.shared


def test_a_truncated_answer_is_asked_once_more_with_twice_the_room_and_never_the_same_again():
    assert decide(Truncated("cut"), FRESH, POLICY, never) == Retry(0.0, room=2)
    assert decide(Truncated("cut"), Tried(failures=1), POLICY, never) == Retry(0.0, room=2)
    assert decide(Truncated("cut"), Tried(failures=1, widened=True), POLICY, never) == GiveUp()


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind.disposition is Disposition.PAUSE])
@given(tried=trials, policy=policies)
@briefly
def test_a_pause_never_depends_on_the_seed(kind, tried, policy):
    assert decide(an_error(kind), tried, policy, never) == Pause()


# --- back-off --------------------------------------------------------------------------------------------------------


@given(st.integers(1, 100_000), policies, chances)
@briefly
def test_a_back_off_lies_between_zero_and_the_longest(attempt, policy, chance):
    wait = backoff(attempt, policy, lambda: chance)
    assert 0 <= wait <= policy.longest_s


@given(st.integers(1, 60), policies)
@briefly
def test_the_upper_end_of_the_back_off_doubles_until_it_is_the_longest(attempt, policy):
    this, following = (backoff(n, policy, lambda: 1.0) for n in (attempt, attempt + 1))
    assert following == pytest.approx(min(policy.longest_s, 2 * this))
    assert backoff(1, policy, lambda: 1.0) == pytest.approx(min(policy.first_s, policy.longest_s))


@given(st.integers(1, 60), policies, chances)
@briefly
def test_the_back_off_is_even_over_its_range(attempt, policy, chance):
    assert backoff(attempt, policy, lambda: chance) == pytest.approx(chance * backoff(attempt, policy, lambda: 1.0))


# --- what the provider asks for --------------------------------------------------------------------------------------


@given(seconds, st.floats(0, 600), chances)
@briefly
def test_what_the_provider_asks_for_is_a_floor_with_little_on_top(asked_s, own_s, chance):
    wait = floor(asked_s, own_s, lambda: chance)
    assert wait >= asked_s
    assert wait >= own_s
    assert wait <= max(own_s, asked_s + min(0.5, 0.1 * asked_s + 0.05))


def test_without_a_word_of_the_provider_our_own_back_off_counts():
    assert floor(None, 3.25, never) == 3.25


def test_two_seconds_asked_for_are_two_to_two_point_six_seconds_waited():
    draws = [i / 1000 for i in range(1000)]
    waits = [floor(2.0, 0.0, lambda draw=draw: draw) for draw in draws]
    assert min(waits) >= 2.0
    assert max(waits) <= 2.6
    assert len(set(waits)) > 500
