"""Exact money: tokens and rates against whole-number arithmetic."""

from datetime import UTC, datetime
from decimal import Context, Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.money import Hours, Larger, Price, Rates, Span, cost, decimal_of, dollars, exact, flat, total, worst
from deepswarm.core.records import Usage

LOW = Rates(Decimal("0.15"), Decimal("0.003"), Decimal("0.60"))
HIGH = Rates(*(2 * rate for rate in LOW))
PRICE = Price("m", LOW, "s", "", HIGH, (Hours(1, 4), Hours(6, 10)), frozenset(range(5)), frozenset({"2026-10-01"}))
TOKENS = st.integers(0, 10**10)


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@settings(max_examples=100)
@given(TOKENS, TOKENS, TOKENS)
def test_a_cost_is_what_whole_numbers_say(tokens_in, cached, tokens_out):
    cached = min(cached, tokens_in)
    pico = (tokens_in - cached) * 150_000 + cached * 3_000 + tokens_out * 600_000
    assert cost(Usage(tokens_in, tokens_out, cached), LOW) == Decimal(pico).scaleb(-12)


@settings(max_examples=50)
@given(st.lists(st.integers(0, 10**24), max_size=20))
def test_a_sum_is_exact_whatever_precision_its_surroundings_work_with(picos):
    with localcontext(Context(prec=3)):
        assert total(Decimal(f"{pico}e-12") for pico in picos) == Decimal(f"{sum(picos)}e-12")


def test_what_is_not_known_is_none_and_not_0():
    assert cost(Usage(None, 5), LOW) is None
    assert cost(Usage(5, None), LOW) is None
    assert cost(Usage(0, 0), LOW) == 0


def test_more_cached_tokens_than_there_are_cost_no_less_than_nothing():
    assert cost(Usage(1_000_000, 0, 9_000_000), LOW) == Decimal("0.003")


@pytest.mark.parametrize(
    ("when", "peak"),
    [
        ("2026-11-23T00:59:59", False),
        ("2026-11-23T01:00:00", True),
        ("2026-11-23T03:59:59", True),
        ("2026-11-23T04:00:00", False),
        ("2026-11-23T06:00:00", True),
        ("2026-11-23T09:59:59", True),
        ("2026-11-23T10:00:00", False),
        ("2026-11-21T02:00:00", False),
        ("2026-11-22T07:00:00", False),
        ("2026-10-01T02:00:00", False),
    ],
)
def test_peak_hours_begin_and_end_on_the_second(when, peak):
    assert PRICE.at(at(when)) == (HIGH if peak else LOW)


def test_a_large_prompt_has_the_rates_of_its_size():
    dear = Rates(Decimal(6), Decimal(1), Decimal(22))
    price = Price("m", LOW, "s", larger=(Larger(200_000, dear),))
    assert price.at(0, 200_000) == LOW
    assert price.at(0, 200_001) == dear
    assert price.dearest(200_001) == dear
    assert price.dearest(200_000) == LOW


@settings(max_examples=60)
@given(TOKENS, TOKENS, TOKENS, st.floats(1.7e9, 1.9e9))
def test_no_call_costs_more_than_its_worst_case_at_any_hour(tokens_in, tokens_out, cached, utc):
    found = cost(Usage(tokens_in, tokens_out, cached), PRICE.at(utc, tokens_in))
    assert found is not None
    assert found <= worst(tokens_in, tokens_out, PRICE)


def test_ranges_add_up_and_have_no_upper_end_when_a_part_has_none():
    one = Span(Decimal("0.10"), Decimal("0.20"))
    assert str(one.plus(one)) == "0.20 to 0.40 USD"
    assert str(one.plus(Span(Decimal(1), None))) == "at least 1.10 USD"


def test_numbers_are_taken_as_they_are_written():
    assert decimal_of(0.1) == Decimal("0.1")
    assert exact(Decimal("0.000075000")) == "0.000075"
    assert exact(Decimal(1200)) == "1200"
    for wrong in ("x", "NaN", float("inf")):
        with pytest.raises(ValueError, match="number"):
            decimal_of(wrong)


def test_small_amounts_are_not_shown_as_nothing():
    assert dollars(Decimal("0.0000001")) == "0.00000010 USD"


def test_a_flat_price_costs_the_same_at_every_hour():
    assert flat("m", LOW, "s").dearest() == flat("m", LOW, "s").cheapest() == LOW
