"""What follows from an error: who waits, who tries again, who gives up, and for how long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core import errors
from deepswarm.core.asking import Change
from deepswarm.core.errors import (
    CallError,
    Cut,
    Disconnected,
    Disposition,
    Empty,
    Overloaded,
    ServerFault,
    Starved,
    Throttled,
    TimedOut,
    Truncated,
    Unreachable,
)
from deepswarm.core.pace import Limited
from deepswarm.core.retry import (
    LONG_S,
    UNREACHED,
    GiveUp,
    Pause,
    Retry,
    RetryPolicy,
    Tried,
    Wait,
    backoff,
    decide,
    floor,
)

briefly = settings(max_examples=40, deadline=None)
POLICY = RetryPolicy()
FRESH = Tried()

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, CallError)]
chances = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0.001, 100_000)
policies = st.builds(
    RetryPolicy,
    retries=st.integers(0, 10),
    answers=st.integers(0, 5),
    first_s=st.floats(0.01, 10),
    longest_s=st.floats(0.01, 600),
    patience_s=st.floats(0, 10_000),
    seed_s=st.floats(1, 100_000),
)
trials = st.builds(
    Tried,
    failures=st.integers(0, 12),
    answers=st.integers(0, 6),
    waits=st.integers(0, 2000),
    waited_s=st.floats(0, 10_000),
    unreached=st.integers(0, 20),
    spent_s=st.floats(0, 100_000),
    alike=st.integers(0, 6),
    changes=st.frozensets(st.sampled_from(Change)),
)


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
    errors.Overloaded: Wait,
    errors.ServerFault: Retry,
    errors.Unreachable: Wait,
    errors.TimedOut: Retry,
    errors.Disconnected: Retry,
    errors.Cut: Retry,
    errors.Garbled: Retry,
    errors.Empty: Retry,
    errors.Starved: Retry,
    errors.Truncated: Retry,
    errors.Looping: Retry,
    errors.Refused: Retry,
    errors.ReasoningOwed: GiveUp,
    errors.TooLarge: GiveUp,
    errors.Declined: GiveUp,
    errors.TooLong: GiveUp,
    errors.BadRequest: GiveUp,
    errors.NoSuchModel: Pause,
    errors.Unauthorized: Pause,
    errors.OutOfFunds: Pause,
    errors.QuotaSpent: Pause,
    errors.Cancelled: GiveUp,
    errors.NotAsked: GiveUp,
}


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not CallError])
def test_the_first_error_of_each_class_has_its_decision(kind):
    assert type(decide(an_error(kind), FRESH, POLICY, half)) is FIRST_DECISIONS[kind]


@given(errors_of_all_kinds, trials, policies, chances, st.booleans(), st.floats(0, 700))
@briefly
def test_a_decision_never_makes_a_seed_wait_or_try_more_than_its_policy_allows(
    error, tried, policy, chance, served, call_s
):
    decision = decide(error, tried, policy, lambda: chance, call_s=call_s, alike=4 if served else None)
    if isinstance(decision, Wait) and not decision.unreached:
        assert tried.after(decision, error, call_s).waited_s <= max(policy.patience_s, tried.waited_s)
        assert decision.seconds >= 0
    elif isinstance(decision, Retry):
        after = tried.after(decision, error, call_s)
        assert after.failures <= max(policy.retries, tried.failures)
        assert after.answers <= max(policy.answers, tried.answers)
        assert after.spent_s <= policy.seed_s
        assert 0 <= decision.seconds <= max(policy.longest_s, LONG_S + 0.5)
    waits = isinstance(decision, Wait | Retry) and error.disposition in {Disposition.CAPACITY, Disposition.BACK_OFF}
    if error.retry_after_s is not None and waits and not (isinstance(decision, Wait) and decision.unreached):
        assert decision.seconds >= error.retry_after_s


@given(errors_of_all_kinds, policies, st.lists(chances, min_size=1), st.booleans())
@briefly
def test_an_error_that_repeats_for_ever_comes_to_an_end(error, policy, drawn, served):
    """Each seed ends or pauses, but for connections while nobody is served: then `health` pauses the run."""
    tried, steps = FRESH, 0
    draws = iter(drawn)
    while True:
        decision = decide(error, tried, policy, lambda: next(draws, 0.999), call_s=1.0, alike=4 if served else None)
        if not isinstance(decision, Wait | Retry):
            break
        tried = tried.after(decision, error, 1.0)
        steps += 1
        if tried.waits > 200 or (tried.unreached > 200 and not served):
            return  # a long patience with short waits; the test above bounds each step
    assert tried.failures <= policy.retries
    assert tried.answers <= policy.answers
    assert tried.waited_s <= policy.patience_s
    assert steps <= policy.retries + policy.answers + UNREACHED + tried.waits


@given(trials, policies, chances)
@briefly
def test_throttling_does_not_consume_an_attempt(tried, policy, chance):
    decision = decide(Throttled("slow down", status=429), tried, policy, lambda: chance)
    assert isinstance(decision, Wait | Pause)
    if isinstance(decision, Wait):
        assert tried.after(decision, Throttled("slow down"), 9.0).attempts == tried.attempts


def test_what_was_never_sent_is_tried_again_at_once_and_costs_no_attempt():
    error = Unreachable("refused")
    decision = decide(error, FRESH, POLICY, never)
    assert decision == Wait(0.0, unreached=True)
    assert FRESH.after(decision, error, 0.1) == Tried(unreached=1)
    late = TimedOut("no connection", phase="connect")
    assert decide(late, Tried(unreached=2), POLICY, half) == Wait(1.0, unreached=True)


def test_an_outage_of_the_connection_fails_no_seed_but_one_that_alone_gets_none_does():
    tried = Tried(unreached=UNREACHED, failures=POLICY.retries)
    assert isinstance(decide(Unreachable("refused"), tried, POLICY, half, alike=None), Wait)
    assert decide(Unreachable("refused"), tried, POLICY, half, alike=4) == GiveUp()


@pytest.mark.parametrize(
    "error", [Disconnected("reset", maybe_billed=True), ServerFault("502", status=502), Cut("eof")]
)
def test_what_reached_the_provider_consumes_an_attempt(error):
    decision = decide(error, Tried(failures=POLICY.retries - 1), POLICY, half)
    assert isinstance(decision, Retry)
    assert FRESH.after(decision, error, 1.0).attempts == 1
    assert decide(error, Tried(failures=POLICY.retries), POLICY, half) == GiveUp()


def test_without_retries_the_first_failure_is_the_last_but_throttling_still_waits():
    policy = RetryPolicy(retries=0, answers=0)
    assert decide(ServerFault("500", status=500), FRESH, policy, half) == GiveUp()
    assert decide(Truncated("cut"), FRESH, policy, half) == GiveUp()
    assert isinstance(decide(Throttled("429"), FRESH, policy, half), Wait)


def requests_until_the_end(error, alike):
    tried, requests = FRESH, 1
    while isinstance(decision := decide(error, tried, POLICY, half, alike=alike), Retry):
        tried, requests = tried.after(decision, error, 0.1), requests + 1
    return requests, decision


def test_a_seed_that_fails_the_same_way_while_others_are_served_is_declared_deterministic():
    error = ServerFault("500: request id 12", status=500)
    assert requests_until_the_end(error, 4) == (4, GiveUp("deterministic"))
    assert requests_until_the_end(error, None) == (POLICY.retries + 1, GiveUp())


def test_failures_of_different_kinds_are_not_alike():
    tried = FRESH
    for error in (ServerFault("a", status=500), Cut("b"), ServerFault("c", status=502)):
        tried = tried.after(Retry(0.0), error, 0.1)
        assert tried.alike == 1
    assert tried.after(Retry(0.0), ServerFault("other words", status=502), 0.1).alike == 2


def test_the_accounts_of_the_way_and_of_the_answer_do_not_eat_each_other():
    assert isinstance(decide(Empty("", status=200), Tried(failures=99), POLICY, half), Retry)
    assert isinstance(decide(Cut("eof"), Tried(answers=99), POLICY, half), Retry)


def test_a_seed_whose_time_is_used_up_ends():
    error = TimedOut("late", phase="total", maybe_billed=True)
    tried = Tried(spent_s=POLICY.seed_s - 600.0)
    assert decide(error, tried, POLICY, half, call_s=600.0) == GiveUp("out_of_time")
    assert isinstance(decide(error, tried, POLICY, half, call_s=500.0), Retry)


@pytest.mark.parametrize("asked_s", [LONG_S + 1, 3600, 9_999_999])
@pytest.mark.parametrize("kind", [Throttled, Overloaded, ServerFault])
def test_a_long_wait_pauses_the_run_where_everybody_sees_it(kind, asked_s):
    assert decide(kind("later", retry_after_s=asked_s), FRESH, POLICY, half) == Pause()


def test_patience_is_for_all_waits_of_a_seed_together_and_begins_anew_after_a_pause():
    error = Throttled("429", retry_after_s=100.0)
    assert isinstance(decide(error, Tried(waits=9, waited_s=1600.0), POLICY, half), Wait)
    weary = Tried(waits=9, waited_s=1701.0)
    assert decide(error, weary, POLICY, half) == Pause()
    assert isinstance(decide(error, weary.after(Pause(), error, 0.1), POLICY, half), Wait)


def test_only_a_wait_that_the_provider_named_is_shared_by_all_workers():
    named = decide(Overloaded("503", retry_after_s=2.0), FRESH, POLICY, half)
    own = decide(Overloaded("503"), FRESH, POLICY, half)
    assert isinstance(named, Wait)
    assert named.shared
    assert isinstance(own, Wait)
    assert not own.shared


def test_how_long_to_wait_for_a_limit_of_the_account_is_left_to_the_pace():
    for error in (Throttled("429"), Throttled("429", retry_after_s=99.0), Overloaded("503", limited=Limited.UNKNOWN)):
        assert decide(error, FRESH, POLICY, half) == Wait(0.0)
    assert Tried(waits=2, waited_s=5.0).waited(30.0) == Tried(waits=2, waited_s=35.0)


def changes_until_the_end(error, tried=FRESH, policy=POLICY):
    made = []
    while isinstance(decision := decide(error, tried, policy, never), Retry):
        assert decision.seconds == 0.0
        made.append(decision.change)
        tried = tried.after(decision, error, 1.0)
    return made


def test_a_truncated_answer_is_asked_once_more_with_twice_the_room_and_never_the_same_again():
    assert changes_until_the_end(Truncated("cut")) == [Change.MORE_ROOM]
    assert changes_until_the_end(Truncated("cut"), Tried(failures=99)) == [Change.MORE_ROOM]
    assert changes_until_the_end(Truncated("cut"), Tried(changes=frozenset({Change.NONE}))) == []


def test_an_answer_that_is_no_use_is_asked_otherwise_each_way_once():
    assert changes_until_the_end(Starved("all thought")) == [Change.MORE_ROOM, Change.NO_THINKING]
    assert changes_until_the_end(Empty("")) == [Change.NONE, Change.NO_JSON_MODE, Change.NO_THINKING]
    assert changes_until_the_end(errors.Refused("no")) == [Change.NONE]
    assert changes_until_the_end(errors.Looping("again and again")) == [Change.OTHER_SAMPLING]
    assert changes_until_the_end(Empty(""), policy=RetryPolicy(answers=1)) == [Change.NONE]


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
