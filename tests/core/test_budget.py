"""Budgets: spent and reserved together never exceed a cap."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.budget import Amount, Budget, Caps, most_tokens, reserve, too_small, worst_case
from deepswarm.core.money import Rates, cost, flat
from deepswarm.core.records import Message, Usage

PRICE = flat("m", Rates(Decimal("0.15"), Decimal("0.003"), Decimal("0.60")), "s")
CENTS = st.integers(0, 500).map(lambda cents: Decimal(cents).scaleb(-2))
STEP = st.tuples(
    st.sampled_from(["ask", "end", "unknown", "unsent"]), CENTS, st.integers(0, 500), st.floats(0, 1), st.booleans()
)


@settings(max_examples=150)
@given(st.lists(STEP, max_size=60), CENTS, st.integers(0, 3000), st.integers(0, 20))
def test_spent_and_reserved_never_exceed_a_cap_and_equal_a_naive_account(steps, money, tokens, calls):
    run, tier = Budget(Caps(money, tokens, calls)), Budget(Caps(max_cost=money / 2), "the frontier tier")
    open_calls: dict[int, tuple[Amount, bool]] = {}
    naive_cost, naive_tokens, naive_calls = Decimal(0), 0, 0
    for number, (what, cost_, size, part, dear) in enumerate(steps):
        if what == "ask":
            amount = Amount(cost_, size, 1)
            refused = reserve([run, tier] if dear else [run], number, amount, 0.0)
            if refused is None:
                open_calls[number] = (amount, dear)
            continue
        if not open_calls:
            continue
        call, (amount, upstairs) = open_calls.popitem()
        actual = None if what == "unknown" else amount.cost * Decimal(str(round(part, 3)))
        used = None if what == "unknown" else int(amount.tokens * part)
        for budget in [run, tier] if upstairs else [run]:
            if what == "unsent":
                budget.release(call)
            else:
                budget.settle(call, actual, used)
        if what != "unsent":
            naive_cost += amount.cost if actual is None else actual
            naive_tokens += amount.tokens if used is None else used
            naive_calls += 1
        for budget in (run, tier):
            assert budget.cost + budget.reserved.cost <= budget.caps.max_cost
        assert run.tokens + run.reserved.tokens <= tokens
        assert run.calls + run.reserved.calls <= calls
    assert (run.cost, run.tokens, run.calls) == (naive_cost, naive_tokens, naive_calls)
    assert run.reserved.cost == sum(amount.cost for amount, _ in open_calls.values())
    assert run.reserved.calls == len(open_calls)


def test_a_call_waits_while_calls_in_flight_may_leave_room_and_then_the_run_pauses():
    budget = Budget(Caps(max_cost=Decimal(1)))
    call = Amount(Decimal("0.60"), 10, 1)
    assert reserve([budget], 1, call, 0.0) is None
    waiting = reserve([budget], 2, call, 0.0)
    assert waiting is not None
    assert waiting.waits
    budget.settle(1, Decimal("0.50"), 5)
    paused = reserve([budget], 2, call, 0.0)
    assert paused is not None
    assert not paused.waits
    assert "raise max_cost and give the same command again" in paused.why
    budget.caps = Caps(max_cost=Decimal(2))
    assert reserve([budget], 2, call, 0.0) is None


def test_calls_wait_as_well():
    budget = Budget(Caps(max_calls=1))
    assert reserve([budget], 1, Amount(calls=1), 0.0) is None
    assert reserve([budget], 2, Amount(calls=1), 0.0).waits
    budget.settle(1, Decimal(0), 0)
    assert not reserve([budget], 2, Amount(calls=1), 0.0).waits


def test_nothing_is_held_back_in_one_budget_when_the_other_refuses():
    run, tier = Budget(Caps()), Budget(Caps(max_calls=0), "the frontier tier")
    refused = reserve([run, tier], 1, Amount(calls=1), 0.0)
    assert refused is not None
    assert refused.cap == "max_calls"
    assert "the frontier tier" in refused.why
    assert run.reserved == tier.reserved == Amount()


def test_time_that_is_used_up_ends_a_run_at_once():
    refused = reserve([Budget(Caps(max_time_s=60.0))], 1, Amount(calls=1), 60.0)
    assert refused is not None
    assert (refused.cap, refused.waits) == ("max_time", False)


@pytest.mark.parametrize(
    ("caps", "amount", "words"),
    [
        (Caps(max_cost=Decimal(9)), worst_case([Message("user", "x")], 10, None), "price is not known"),
        (Caps(max_cost=Decimal(9)), worst_case([Message("user", "x")], None, PRICE), "worker_max_tokens"),
        (Caps(max_tokens_total=9), worst_case([Message("user", "x")], None, PRICE), "worker_max_tokens"),
    ],
)
def test_a_budget_that_cannot_be_held_to_admits_nothing(caps, amount, words):
    refused = reserve([Budget(caps)], 1, amount, 0.0)
    assert refused is not None
    assert not refused.waits
    assert words in refused.why


def test_a_provider_that_bills_more_than_the_worst_case_is_booked_as_it_is_and_nothing_follows():
    budget = Budget(Caps(max_cost=Decimal(1)))
    assert reserve([budget], 1, Amount(Decimal("0.9"), 1, 1), 0.0) is None
    budget.settle(1, Decimal("1.5"), 1)
    assert budget.cost == Decimal("1.5")
    assert not reserve([budget], 2, Amount(Decimal("0.01"), 1, 1), 0.0).waits


def test_a_call_is_reserved_once_and_settled_once():
    budget = Budget(Caps())
    budget.hold(1, Amount(calls=1))
    with pytest.raises(ValueError, match="reserved already"):
        budget.hold(1, Amount(calls=1))
    budget.settle(1, None, None)
    with pytest.raises(KeyError):
        budget.settle(1, None, None)


@settings(max_examples=40)
@given(st.text(max_size=50), st.integers(0, 50), st.integers(1, 100))
def test_the_worst_case_bounds_what_a_call_costs(text, tokens_out, max_tokens):
    messages = [Message("user", text)]
    amount = worst_case(messages, max_tokens, PRICE)
    real = cost(Usage(most_tokens(messages), min(tokens_out, max_tokens)), PRICE.at(0))
    assert real <= amount.cost
    assert most_tokens(messages) >= len(text.encode())


def test_a_budget_smaller_than_one_call_is_a_flaw_of_its_key():
    call = worst_case([Message("user", "x")], 1000, PRICE)
    flaws = list(too_small(Caps(Decimal("0.0001"), 10, 0, 1.0), call))
    assert [flaw.path for flaw in flaws] == [("max_cost",), ("max_tokens_total",), ("max_calls",)]
    assert "smaller than one call" in flaws[0].what
    assert not list(too_small(Caps(Decimal(1), 10_000, 1, 1.0), call))
    assert not list(too_small(Caps(), call))
