"""The summary's fold as text: what was saved goes on as if nothing had happened."""

import json
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import CallEnded, CallStarted, RunPaused, RunStarted
from deepswarm.core.records import Usage
from deepswarm.report.bill import Billing
from deepswarm.report.saved import restored, saved
from deepswarm.report.state import State
from deepswarm.testing.histories import histories

SEEDS = 5
briefly = settings(max_examples=60, deadline=None)


@given(histories(SEEDS), st.data())
@briefly
def test_a_fold_that_was_saved_goes_on_as_if_nothing_had_happened(events, data):
    cut = data.draw(st.integers(0, len(events)))
    whole, first = State(seeds=SEEDS), State(seeds=SEEDS)
    whole.watch(events)
    first.watch(events[:cut])
    second = restored(saved(first))
    second.watch(events[cut:])
    assert second == whole


def test_what_calls_do_is_saved_too():
    state = State(seeds=3)
    state.watch([CallStarted(0.0, 1.0, 1, 1, 1), CallStarted(0.0, 1.0, 2, 2, 1)])
    state.departed(1, 2.0)
    state.begun(1)
    state.watch([RunPaused(0.0, 3.0, "outage", "no answer", None)])
    seen = restored(saved(state)).look(5.0)
    assert seen == state.look(5.0)
    assert [call.phase for call in seen.oldest] == ["writing", "leaving"]


@pytest.mark.parametrize("text", [None, "", "{}", "null", "[1]", '{"version": 1}', '{"version": 99, "number": 3}'])
def test_what_cannot_be_read_is_folded_anew(text):
    assert restored(text) is None


def test_money_that_was_spent_is_saved_and_counted_once():
    task = json.dumps({"worker_model": "m", "prices": {"m": {"input": 1, "output": 2}}})
    call = CallEnded(1.0, 1.0, 1, 1, "ok", model="m", usage=Usage(1_000_000, 500_000))

    def session(state, number):
        state.till = Billing()
        events = [RunStarted(0.0, 0.0, number, "print", task, "1", simulated=False)]
        events += [CallStarted(0.0, 0.0, number, number, 1), call._replace(call=number, seed=number)]
        state.till.watch(events)
        state.watch(events)
        return state

    first = session(State(seeds=3), 1)
    assert first.look(2.0).spent == Decimal(2)
    second = session(restored(saved(first)), 2)
    assert (second.look(3.0).spent, second.look(3.0).unpriced) == (Decimal(4), 0)


def test_refused_calls_cost_nothing_and_calls_without_a_price_are_counted():
    billing = Billing()
    task = json.dumps({"worker_model": "nobody-knows", "worker_api_base": "http://127.0.0.1:1/v1"})
    billing.watch([RunStarted(0.0, 0.0, 1, "print", task, "1", simulated=False)])
    billing.watch([CallEnded(1.0, 1.0, 1, 1, "throttled", status=429)])
    assert billing.so_far() == (0, 0)
    billing.watch([CallEnded(1.0, 1.0, 2, 1, "ok", usage=Usage(10, 10))])
    assert billing.so_far() == (0, 1)
