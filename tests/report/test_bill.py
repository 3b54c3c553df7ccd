"""The bill: every call that left is in it, and the simulated provider's own account is the judge."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import CallEnded, CallStarted, RunStarted, SeedEnded
from deepswarm.core.money import dollars, total
from deepswarm.core.records import NO_USAGE, Outcome, Usage
from deepswarm.dialects.openrouter import OPENROUTER
from deepswarm.report.bill import Bill, Cause, bill_of
from deepswarm.report.bill_text import as_json, end_lines, page, whole
from deepswarm.simulator.law import read_law
from deepswarm.testing.builders import rehearse

PEAK, OFF_PEAK = 1_795_399_200.0, 1_795_431_600.0
"""Monday 23 November 2026, 02:00 and 11:00 UTC."""
FLASH = {"mock": {"input": 0.15, "cached": 0.003, "output": 0.60}}


def started(*, base="https://api.deepseek.com/v1", model="deepseek-flash", session=1, **keys):
    task = {"worker_model": model, "worker_api_base": base, "prompt_template": "x", **keys}
    return RunStarted(OFF_PEAK, 0.0, session, "f", json.dumps(task), "1", False)


def call(number, seed, usage=NO_USAGE, *, label="ok", utc=OFF_PEAK, **more):
    return [CallStarted(utc, 0.0, number, seed, 1), CallEnded(utc, 1.0, number, seed, label, usage=usage, **more)]


def ended(number, seed, outcome=Outcome.DONE):
    return SeedEnded(OFF_PEAK, 1.0, seed, number, outcome, "ok", "", 1, 0.0, b"{}")


def spent(bill: Bill, cause: Cause) -> Decimal:
    return bill.by_cause()[cause]


def test_an_answer_costs_its_tokens_at_the_hour_in_which_it_was_complete():
    usage = Usage(1_000_000, 1_000_000, 250_000, 900_000)
    off = bill_of([started(), *call(1, 1, usage), ended(1, 1)])
    peak = bill_of([started(), *call(1, 1, usage, utc=PEAK), ended(1, 1)])
    assert off.spent == Decimal("0.71325")  # 0.75 x 0.15 + 0.25 x 0.003 + 0.60
    assert peak.spent == 2 * off.spent
    assert off.tokens.cached == 250_000
    assert off.tokens.reasoning == 900_000
    assert off.cache_share == 0.25


def test_money_is_told_apart_by_what_it_was_for():
    usage = Usage(0, 1_000_000)
    events = [
        started(),
        *call(1, 1, usage, label="truncated"),
        *call(2, 1, usage, label="empty"),
        *call(3, 1, usage),
        ended(3, 1),
        *call(4, 2, usage, label="empty"),
        ended(4, 2, Outcome.FAILED),
        *call(5, 3, label="throttled", status=429),
        *call(6, 3, label="unsent"),
    ]
    bill = bill_of(events)
    assert {cause: spent(bill, cause) for cause in Cause} == dict.fromkeys(Cause, Decimal("0.60"))
    assert (bill.calls, bill.free) == (4, 1)


def test_what_was_possibly_billed_stands_beside_what_was_spent_with_its_bound():
    events = [
        started(worker_max_tokens=1000),
        *call(1, 1, label="disconnected", maybe_billed=True, utc=PEAK),
        *call(2, 1, Usage(200, 10)),
        ended(2, 1),
    ]
    bill = bill_of(events)
    assert bill.doubt == (1, Decimal("0.00126"))  # at the dearest hours: 200 x 0.30 and 1,000 x 1.20 of a million
    assert bill.spent == Decimal("0.000036")
    assert whole(bill).high == Decimal("0.001296")


def test_a_bound_that_nobody_knows_is_not_0():
    bill = bill_of([started(), *call(1, 1, label="disconnected", maybe_billed=True)])
    assert bill.doubt == (1, None)
    assert whole(bill).high is None
    assert "at a price nobody knows" in end_lines(bill)[0]


def test_an_unknown_price_is_unknown_and_never_0():
    bill = bill_of([started(base="http://localhost:1/v1", model="llama"), *call(1, 1, Usage(5, 5)), ended(1, 1)])
    assert bill.unpriced == ("llama",)
    assert end_lines(bill)[0].split() == ["spent", "unknown"]
    assert as_json(bill)["complete"] is False


def test_a_price_that_is_named_afterwards_holds_for_the_calls_before():
    events = [started(base="http://localhost:1/v1", model="llama"), *call(1, 1, Usage(1_000_000, 0)), ended(1, 1)]
    bill = bill_of(events, {"prices": {"llama": {"input": 2, "output": 3}}})
    assert bill.spent == 2
    assert not bill.unpriced


def test_an_answer_without_a_count_of_tokens_is_estimated_beside_the_exact_part():
    events = [started(), *call(1, 1, Usage(0, 1_000_000)), ended(1, 1), *call(2, 2), ended(2, 2)]
    bill = bill_of(events)
    assert bill.spent == Decimal("0.60")
    assert bill.unmetered == (1, Decimal("0.60"))
    assert "about 0.60 USD for 1 answer of which the provider counted no tokens" in end_lines(bill)[0]


def test_a_useless_reply_with_half_a_count_of_tokens_is_not_free():
    bill = bill_of([started(), *call(1, 1, Usage(None, 50), label="empty"), *call(2, 1, Usage(9, 9)), ended(2, 1)])
    assert (bill.free, bill.unmetered.calls, bill.calls) == (0, 1, 2)


def test_what_the_provider_says_it_took_wins_over_every_table():
    body = b'{"usage": {"prompt_tokens": 5, "completion_tokens": 5, "cost": 0.00012345678901234567}}'
    prices = {"m": {"input": 1, "output": 1}}
    openrouter = started(base="https://openrouter.ai/api/v1", model="m", prices=prices)
    bill = bill_of([openrouter, *call(1, 1, Usage(5, 5), body=body), ended(1, 1)])
    assert bill.spent == Decimal("0.00012345678901234567")
    elsewhere = started(base="http://localhost:1/v1", model="m", prices=prices)
    assert bill_of([elsewhere, *call(1, 1, Usage(5, 5), body=body), ended(1, 1)]).spent == Decimal("0.00001")


def test_what_a_streamed_answer_says_was_taken_for_it_is_not_lost():
    assembler = OPENROUTER.assembler()
    piece = {"id": "x", "model": "m", "choices": [{"index": 0, "delta": {"content": "hi"}, "finish_reason": "stop"}]}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "cost": 0.00000123}
    for value in (piece, {**piece, "choices": [], "usage": usage}):
        assembler.feed(b"data: " + json.dumps(value).encode() + b"\n\n")
    event = started(base="https://openrouter.ai/api/v1", model="m")
    bill = bill_of([event, *call(1, 1, Usage(3, 1), body=assembler.body()), ended(1, 1)])
    assert bill.spent == Decimal("0.00000123")
    assert bill.sources == (("m", "reported by the provider", ""),)


@pytest.mark.parametrize("cost", ["null", '"0.1"', "-1", "true", "NaN", "[]"])
def test_a_reported_cost_that_is_none_is_passed_over(cost):
    body = b'{"usage": {"cost": ' + cost.encode() + b"}}"
    event = started(base="https://openrouter.ai/api/v1", model="m", prices={"m": {"input": 1, "output": 1}})
    assert bill_of([event, *call(1, 1, Usage(5, 5), body=body), ended(1, 1)]).spent == Decimal("0.00001")


KINDS = st.tuples(
    st.sampled_from(["ok", "empty", "truncated", "throttled", "lost"]),
    st.integers(0, 2_000_000),
    st.integers(0, 2_000_000),
    st.integers(0, 2_000_000),
    st.sampled_from([PEAK, OFF_PEAK]),
    st.sampled_from([Outcome.DONE, Outcome.FAILED, None]),
)


@settings(max_examples=60)
@given(st.lists(KINDS, max_size=30))
def test_the_bill_equals_a_naive_sum_over_all_calls(kinds):
    events, micros = [started(worker_max_tokens=10)], 0
    for number, (label, tokens_in, tokens_out, cached, utc, outcome) in enumerate(kinds, 1):
        charged = label not in {"throttled", "lost"}
        usage = Usage(tokens_in, tokens_out, min(cached, tokens_in)) if charged else NO_USAGE
        events += call(number, number % 4, usage, label=label, utc=utc, maybe_billed=label == "lost")
        if charged:
            fresh = tokens_in - min(cached, tokens_in)
            pico = fresh * 150_000 + min(cached, tokens_in) * 3_000 + tokens_out * 600_000
            micros += pico * (2 if utc == PEAK else 1)
        if outcome is not None:
            events.append(ended(number, number % 4, outcome))
    bill = bill_of(events)
    assert bill.spent * 10**12 == micros
    assert total(bill.by_cause().values()) == bill.spent
    assert bill.doubt.calls == sum(kind[0] == "lost" for kind in kinds)


LAW = """
[prices]
input = 0.15
cached = 0.003
output = 0.60
[cache]
unit_tokens = 64
[latency]
median_s = 2.0
[tokens]
median = 60
[stream]
reasoning = 0.2
[[faults]]
kind = "status"
rate = 0.05
status = 500
"""


BROKEN = """
[[faults]]
kind = "cut"
rate = 0.05
[[faults]]
kind = "hang"
rate = 0.02
[[faults]]
kind = "disconnect"
rate = 0.02
[[faults]]
kind = "length"
rate = 0.04
"""


def test_what_was_spent_equals_the_providers_ledger_to_the_last_digit(tmp_path: Path):
    keys = {"worker_max_tokens": 400, "workers": 8, "system_prompt": SHARED}
    run = rehearse(tmp_path, seeds(300), read_law(LAW, "law"), prices=FLASH, **keys)
    bill, account = bill_of(run.journal.replay()), run.provider.counts()
    assert bill.doubt.calls == 0
    assert bill.spent == in_pico(account.cost_usd)
    assert bill.tokens[:4] == (account.tokens_in, account.cached, account.tokens_out, account.reasoning)
    assert bill.cache_share


@pytest.mark.parametrize("stream", [True, False])
def test_what_was_possibly_billed_bounds_what_the_ledger_has_beyond_the_answers(tmp_path: Path, stream):
    law = read_law(LAW + BROKEN, "law")
    keys = {"call_timeout": 60.0, "worker_max_tokens": 400, "workers": 8, "stream": stream, "system_prompt": SHARED}
    run = rehearse(tmp_path, seeds(300), law, prices=FLASH, **keys)
    bill = bill_of(run.journal.replay())
    lost = {"cut", "hang", "disconnect"}
    answered = [row for row in run.provider.rows() if row.fault not in lost]
    assert bill.spent == total(in_pico(row.cost_usd) for row in answered)
    assert bill.doubt.calls == sum(row.fault in lost for row in run.provider.rows()) > 0
    assert bill.spent < in_pico(run.provider.counts().cost_usd) <= whole(bill).high
    assert spent(bill, Cause.TRUNCATED) > 0


SHARED = "You are given a story. " * 40


def seeds(count):
    return [{"id": f"s{n}", "prompt": f"[[id:{n}]] say something"} for n in range(count)]


def in_pico(dollars: float) -> Decimal:
    """The ledger's own whole number, from the dollars that it shows."""
    return Decimal(round(dollars * 10**12)).scaleb(-12)


def test_dollars_are_shown_with_two_digits_that_count():
    assert [dollars(Decimal(text)) for text in ["0", "0.000012345", "0.0123", "1.005", "1234.5"]] == [
        "0 USD",
        "0.000012 USD",
        "0.012 USD",
        "1.00 USD",
        "1,234.50 USD",
    ]


def test_the_page_and_the_json_tell_the_same_sum():
    bill = bill_of([started(), *call(1, 1, Usage(100, 100)), ended(1, 1)])
    assert as_json(bill)["spent"] == "0.000075"
    assert "0.000075" in page(bill)
    assert "checked 2026-11-15" in page(bill)
