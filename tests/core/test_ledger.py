"""The ledger: folding in parts, what adds up, what a crash leaves open, and the lines of the output."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import CallEnded, CallStarted, RunEnded, RunStarted, SeedEnded, SeedReopened
from deepswarm.core.ledger import Ledger, Story, counted, fold, record_of
from deepswarm.core.records import STATE_OF, Outcome, Reply, SeedState, Totals, Usage
from deepswarm.testing.histories import histories

SEEDS = 5
briefly = settings(max_examples=40, deadline=None)


def totals_at_first():
    return Totals(seeds=SEEDS, left=SEEDS)


@given(histories(SEEDS), st.data())
@briefly
def test_folding_a_part_and_then_the_rest_equals_folding_the_whole(events, data):
    cut = data.draw(st.integers(0, len(events)))
    whole = fold(events)
    parts = fold(events[cut:], fold(events[:cut]))
    assert parts == whole
    assert counted(counted(Totals(), events[:cut]), events[cut:]) == counted(Totals(), events) == whole.totals


@given(histories(SEEDS))
@briefly
def test_every_seed_has_exactly_one_state_at_every_moment(events):
    ledger = Ledger(totals=totals_at_first())
    for event in events:
        ledger.apply(event)
        totals = ledger.totals
        assert totals.done + totals.rejected + totals.failed + totals.left == totals.seeds == SEEDS
        assert min(totals.done, totals.rejected, totals.failed, totals.left) >= 0
        for state, count in (
            (SeedState.DONE, totals.done),
            (SeedState.REJECTED, totals.rejected),
            (SeedState.FAILED, totals.failed),
        ):
            assert count == sum(known is state for known in ledger.states.values())


@given(histories(SEEDS))
@briefly
def test_tokens_and_calls_are_the_sums_over_all_calls(events):
    totals = fold(events).totals
    ends = [event for event in events if type(event) is CallEnded]
    assert totals.calls == sum(type(event) is CallStarted for event in events)
    assert totals.maybe_billed == sum(end.maybe_billed for end in ends)
    assert totals.tokens_in == sum(end.usage.tokens_in or 0 for end in ends)
    assert totals.tokens_out == sum(end.usage.tokens_out or 0 for end in ends)
    assert totals.last_event == len(events)


@given(histories(SEEDS))
@briefly
def test_open_calls_are_those_whose_end_is_not_written(events):
    ended = {event.call for event in events if type(event) is CallEnded}
    started = [event for event in events if type(event) is CallStarted]
    assert list(fold(events).open_calls.values()) == [event for event in started if event.call not in ended]


@given(histories(SEEDS))
@briefly
def test_a_seeds_state_is_what_its_last_event_says(events):
    states = {}
    for event in events:
        if type(event) is SeedEnded:
            states[event.seed] = STATE_OF[event.outcome]
        elif type(event) is SeedReopened:
            states[event.seed] = SeedState.LEFT
    assert fold(events).states == states


def test_a_session_is_open_until_its_end_is_written():
    started = RunStarted(1.0, 1.0, 1, "print", "{}", "1", simulated=False)
    assert fold([started]).ended is None
    assert fold([started, RunEnded(2.0, 2.0, 1, "paused", "no money")]).ended == "paused"
    again = fold([started, RunEnded(2.0, 2.0, 1, "paused", ""), RunStarted(3.0, 1.0, 2, "print", "{}", "1", False)])
    assert (again.ended, again.sessions) == (None, 2)


@pytest.mark.parametrize("outcome", Outcome)
def test_reopening_takes_back_the_count_of_what_the_seed_was(outcome):
    end = SeedEnded(1.0, 1.0, 3, 0, outcome, "label", "", 1, 0.5, b"{}")
    ledger = fold([end, SeedReopened(2.0, 2.0, 3, outcome, "retry")], Ledger(totals=totals_at_first()))
    assert ledger.states == {3: SeedState.LEFT}
    assert ledger.totals == Totals(seeds=SEEDS, left=SEEDS, last_event=2)


# --- one line of the output ------------------------------------------------------------------------------------------

USAGE = Usage(tokens_in=10, tokens_out=20)


def a_story(outcome=Outcome.DONE, *, body=b'{"x": 1}', with_call=True, label="ok", reason=""):
    ended = SeedEnded(1_000.75, 60.5, 4, 9, outcome, label, reason, 2, 58.25, b'{"topic": "tides"}')
    call = CallEnded(1_000.5, 60.25, 9, 4, label, "", 200, "stop", "m-2", USAGE, False, "req-1", body)
    return Story("s4", ended, call if with_call else None, 998.5, "m", "f00d", simulated=True)


def test_a_done_seed_becomes_its_answer_and_where_it_came_from():
    reply = Reply("an answer", "stop", "m-2", USAGE, request_id="req-1")
    assert record_of(a_story(), reply, {"topic": "tides"}) == {
        "id": "s4",
        "outcome": "done",
        "answer": "an answer",
        "seed": {"topic": "tides"},
        "model_asked": "m",
        "model_answered": "m-2",
        "finish_reason": "stop",
        "usage": {"tokens_in": 10, "tokens_out": 20, "cached": None, "reasoning": None},
        "attempts": 2,
        "tier": "worker",
        "timings": {"started_utc": 998.5, "ended_utc": 1000.75, "call_s": 2.25},
        "request_id": "req-1",
        "fingerprint": "f00d",
        "simulated": True,
    }


def test_a_record_says_when_its_seed_was_asked_otherwise_than_the_others():
    record = record_of(a_story(reason='{"max_tokens":200,"thinking":"off"}'), Reply("a", "stop", "m", USAGE), {})
    assert record["asked_otherwise"] == {"max_tokens": 200, "thinking": "off"}


def test_the_thinking_is_in_the_record_when_there_was_some():
    reply = Reply("an answer", "stop", "m-2", USAGE, reasoning="hm")
    assert record_of(a_story(), reply, {})["reasoning"] == "hm"
    assert "reasoning" not in record_of(a_story(), reply._replace(reasoning=""), {})


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.REJECTED])
def test_a_seed_without_an_answer_says_why_with_its_last_raw_reply(outcome):
    record = record_of(a_story(outcome, body=b"\xff<html>", label="garbled", reason="not JSON"), None, {})
    assert "answer" not in record
    assert (record["id"], record["outcome"]) == ("s4", outcome.value)
    assert (record["class"], record["reason"]) == ("garbled", "not JSON")
    assert (record["last_reply"], record["status"]) == ("\ufffd<html>", 200)


def test_a_seed_without_a_call_has_nulls_and_unknown_usage_instead_of_zeros():
    record = record_of(a_story(Outcome.FAILED, with_call=False, label="template", reason="no field"), None, {})
    assert (record["last_reply"], record["status"]) == (None, None)
    assert record["usage"] == {"tokens_in": None, "tokens_out": None, "cached": None, "reasoning": None}
