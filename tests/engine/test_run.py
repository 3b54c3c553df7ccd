"""Whole runs in virtual time: the real engine against the simulated provider, whose ledger is the judge."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.events import CallEnded, CallStarted, PaceChosen
from deepswarm.core.ledger import fold
from deepswarm.core.records import SeedState
from deepswarm.core.scheduler import How
from deepswarm.simulator.faultlaw import Fault, FaultKind
from deepswarm.simulator.law import Latency, Law
from deepswarm.testing.builders import START_UTC, rehearse

LONG_CALLS = Law(latency=Latency(median_s=42.0, sigma=0.2))


def seeds(count, start=0):
    return [{"id": f"s{n}", "prompt": f"[[id:{n}]] say something"} for n in range(start, start + count)]


def assert_whole(run, total):
    """What must hold at the end of every run: one record per seed, counters equal to the provider's own account."""
    ids = [record["id"] for record in run.results + run.failed]
    assert len(ids) == len(set(ids)) == total - run.summary.totals.left
    assert run.summary.totals.seeds == total
    received = run.provider.counts().received
    assert received == sum(isinstance(event, CallStarted) for event in run.journal.events) - unsent(run)
    assert run.provider.counts().in_flight == 0
    for record in run.results:
        assert f"[[id:{record['id'][1:]}]]" in record["answer"]
        assert record["simulated"] is True


def unsent(run):
    return sum(isinstance(event, CallEnded) and event.label == "unsent" for event in run.journal.events)


def test_every_seed_is_answered_once(tmp_path):
    run = rehearse(tmp_path, seeds(500), Law(), workers=32)
    assert_whole(run, 500)
    assert run.summary.how is How.FINISHED
    assert run.summary.exit_code == 0
    assert run.provider.counts().served == 500


@pytest.mark.slow
def test_the_page_s_own_job_of_19331_traces_takes_hours_of_virtual_time_and_moments_of_ours(tmp_path):
    run = rehearse(tmp_path, seeds(19_331), LONG_CALLS, workers=500, checkpoint_every=1000)
    assert run.summary.totals.done == run.provider.counts().served == 19_331
    assert run.provider.counts().most_in_flight == 500
    work_conserving = 19_331 * 42.0 / 500
    assert work_conserving * 0.9 < run.seconds < work_conserving * 1.2


def test_the_same_command_again_asks_nothing(tmp_path):
    first = rehearse(tmp_path, seeds(100), Law(), workers=8)
    again = rehearse(tmp_path, seeds(100), Law(), workers=8, journal=first.journal, provider=first.provider)
    assert again.provider.counts().received == 100
    assert again.summary.totals.done == 100
    assert len(again.results) == 100


def test_a_larger_file_asks_only_what_is_new(tmp_path):
    first = rehearse(tmp_path, seeds(100), Law(), workers=8)
    more = rehearse(tmp_path, seeds(150), Law(), workers=8, journal=first.journal, provider=first.provider)
    assert more.provider.counts().received == 150
    assert_whole(more, 150)


def test_a_hundred_equal_seeds_without_id_are_a_hundred_seeds(tmp_path):
    run = rehearse(tmp_path, [{"prompt": "[[id:1]] the same"}] * 100, Law(), workers=8)
    assert run.summary.totals.done == run.provider.counts().served == 100
    assert len({record["id"] for record in run.results}) == 100


def test_throttling_costs_no_attempt_and_loses_no_seed(tmp_path):
    law = Law(concurrency=5, latency=Latency(median_s=2.0))
    run = rehearse(tmp_path, seeds(200), law, workers=20, worker_retries=0)
    assert_whole(run, 200)
    assert run.summary.totals.done == 200
    assert run.provider.counts().most_in_flight == 5
    assert run.summary.problems["throttled"] == run.provider.counts().refused > 0
    assert all(record["attempts"] == 1 for record in run.results)


def test_a_retry_after_holds_every_worker_back(tmp_path):
    throttled = Fault(FaultKind.STATUS, status=429, retry_after_s=30.0, seeds=frozenset({"0"}), attempts=frozenset({1}))
    run = rehearse(tmp_path, seeds(40), Law(faults=(throttled,), latency=Latency(median_s=1.0)), workers=4)
    arrivals = [row.received for row in run.provider.rows()]
    first = arrivals[0]
    assert not [at for at in arrivals if first + 2.1 < at < first + 30.0]
    assert_whole(run, 40)


@pytest.mark.parametrize("workers", [1, 7, 64])
def test_a_worker_count_of_the_user_is_kept(tmp_path, workers):
    run = rehearse(tmp_path, seeds(300), Law(latency=Latency(median_s=1.0, sigma=0.5)), workers=workers)
    assert run.provider.counts().most_in_flight == workers


def test_starts_are_staggered(tmp_path):
    run = rehearse(tmp_path, seeds(5), LONG_CALLS, workers=5, stagger=3.0)
    arrivals = [row.received for row in run.provider.rows()]
    assert [round(at - arrivals[0]) for at in arrivals] == [0, 3, 6, 9, 12]


def test_the_page_s_formula_times_one_call_that_counts_and_then_does_as_the_page_says(tmp_path):
    run = rehearse(tmp_path, seeds(100), LONG_CALLS, pace="page-formula", stagger="auto")
    (pace,) = [event for event in run.journal.events if isinstance(event, PaceChosen)]
    first = run.provider.rows()[0]
    assert pace.workers == 8
    assert pace.stagger_s == pytest.approx((first.finished - first.received) / 8 * 2)
    assert pace.batch_size == 100 // 8
    assert run.provider.rows()[1].received >= first.finished
    assert run.provider.counts().most_in_flight == 8
    assert pace.why in "\n".join(run.screen.lines)
    assert_whole(run, 100)


def test_transient_errors_are_tried_again_until_all_is_answered(tmp_path):
    law = Law(
        faults=(
            Fault(FaultKind.STATUS, rate=0.05, status=500),
            Fault(FaultKind.DISCONNECT, rate=0.02),
            Fault(FaultKind.CUT, rate=0.02),
            Fault(FaultKind.GARBLED, rate=0.01),
            Fault(FaultKind.HANG, rate=0.01),
            Fault(FaultKind.EMPTY, rate=0.01),
        ),
        latency=Latency(median_s=2.0, sigma=0.3),
    )
    run = rehearse(tmp_path, seeds(1000), law, workers=64, worker_retries=5, call_timeout=30)
    assert_whole(run, 1000)
    assert run.summary.totals.done == 1000
    hung = sum(row.fault == "hang" for row in run.provider.rows())
    assert run.summary.problems["timed_out"] == hung > 0


def test_what_was_cut_off_after_it_was_sent_counts_as_possibly_billed(tmp_path):
    law = Law(faults=(Fault(FaultKind.CUT, seeds=frozenset({"3"}), attempts=frozenset({1})),))
    run = rehearse(tmp_path, seeds(10), law, workers=2)
    assert run.summary.totals.done == 10
    assert run.summary.totals.maybe_billed == 1


def test_a_seed_that_always_fails_fails_alone(tmp_path):
    law = Law(faults=(Fault(FaultKind.STATUS, status=500, seeds=frozenset({"7"})),))
    run = rehearse(tmp_path, seeds(50), law, workers=8)
    assert_whole(run, 50)
    assert run.summary.exit_code == 1
    (failed,) = run.failed
    assert failed["id"] == "s7"
    assert failed["class"] == "deterministic"
    assert failed["attempts"] == 4
    assert "500" in failed["reason"]
    assert sum(row.name == "7" for row in run.provider.rows()) == 4


def test_a_bad_request_is_asked_once(tmp_path):
    law = Law(faults=(Fault(FaultKind.STATUS, status=422, seeds=frozenset({"7"})),))
    run = rehearse(tmp_path, seeds(50), law, workers=8)
    assert [record["class"] for record in run.failed] == ["bad_request"]
    assert sum(row.name == "7" for row in run.provider.rows()) == 1


def test_truncated_text_is_never_delivered_and_is_asked_for_with_more_room(tmp_path):
    once = Fault(FaultKind.LENGTH, seeds=frozenset({"1"}), attempts=frozenset({1}))
    always = Fault(FaultKind.LENGTH, seeds=frozenset({"2"}))
    run = rehearse(tmp_path, seeds(4), Law(faults=(once, always)), workers=1, worker_max_tokens=100)
    assert {record["id"] for record in run.results} == {"s0", "s1", "s3"}
    assert [(record["id"], record["class"]) for record in run.failed] == [("s2", "truncated")]
    assert run.failed[0]["last_reply"]


@pytest.mark.parametrize(
    ("status", "label", "how", "exit_code"),
    [
        (401, "unauthorized", How.REFUSED, 2),
        (404, "no_such_model", How.REFUSED, 2),
        (402, "out_of_funds", How.PAUSED, 75),
    ],
)
def test_what_no_seed_can_help_ends_the_run_and_keeps_every_seed(tmp_path, status, label, how, exit_code):
    law = Law(faults=(Fault(FaultKind.STATUS, status=status),), latency=Latency(median_s=1.0))
    run = rehearse(tmp_path, seeds(500), law, workers=16, pause_limit=0)
    assert run.summary.how is how
    assert run.summary.exit_code == exit_code
    assert run.summary.totals.left == 500
    assert run.provider.counts().received <= 16
    assert run.summary.problems[label] == run.provider.counts().received
    healed = rehearse(tmp_path, seeds(500), Law(), workers=16, journal=run.journal, provider=run.provider)
    assert healed.summary.totals.done == 500
    assert healed.provider.counts().served == 500


def test_a_seed_that_cannot_fill_the_template_fails_without_a_call(tmp_path):
    some = [*seeds(3), {"id": "s3", "prompt": "[[id:3]]", "extra": None}]
    run = rehearse(tmp_path, some, Law(), workers=1, prompt_template="{{prompt}} {{ (extra | default('')).strip() }}")
    assert [(record["id"], record["class"]) for record in run.failed] == [("s3", "template")]
    assert run.provider.counts().received == 3


def test_a_batch_of_leases_gives_the_same_results(tmp_path):
    run = rehearse(tmp_path, seeds(103), Law(latency=Latency(median_s=1.0, sigma=1.0)), workers=4, batch_size=10)
    assert_whole(run, 103)
    assert run.summary.totals.done == 103


def test_a_seed_with_braces_reaches_the_model_unchanged(tmp_path):
    run = rehearse(tmp_path, [{"id": "s0", "prompt": "[[id:0]] {{ 7 * 7 }} {% raw %}"}], Law(), workers=1)
    assert run.results[0]["seed"]["prompt"] == "[[id:0]] {{ 7 * 7 }} {% raw %}"
    assert run.summary.totals.done == 1


def test_the_journal_folds_to_what_the_summary_says(tmp_path):
    law = Law(faults=(Fault(FaultKind.STATUS, rate=0.3, status=500),))
    run = rehearse(tmp_path, seeds(200), law, workers=8, worker_retries=1)
    ledger = fold(run.journal.replay())
    states = list(ledger.states.values())
    assert states.count(SeedState.DONE) == run.summary.totals.done
    assert states.count(SeedState.FAILED) == run.summary.totals.failed == len(run.failed)
    assert ledger.open_calls == {}
    assert ledger.ended == "finished"


FAULTS = st.lists(
    st.sampled_from(
        [
            Fault(FaultKind.STATUS, rate=0.2, status=500),
            Fault(FaultKind.STATUS, rate=0.1, status=429, retry_after_s=2.0),
            Fault(FaultKind.STATUS, rate=0.1, status=400),
            Fault(FaultKind.STATUS, rate=0.01, status=401),
            Fault(FaultKind.DISCONNECT, rate=0.2),
            Fault(FaultKind.CUT, rate=0.2),
            Fault(FaultKind.HANG, rate=0.1),
            Fault(FaultKind.EMPTY, rate=0.2),
            Fault(FaultKind.LENGTH, rate=0.2),
            Fault(FaultKind.CONTENT_FILTER, rate=0.1),
            Fault(FaultKind.GARBLED, rate=0.2),
        ]
    ),
    max_size=4,
)


@settings(max_examples=25, deadline=None)
@given(
    faults=FAULTS,
    workers=st.integers(1, 40),
    batch=st.integers(1, 7),
    cap=st.sampled_from([0, 1, 7]),
    count=st.integers(1, 60),
    every=st.integers(1, 30),
)
def test_whatever_the_provider_does_every_seed_has_one_record_or_is_left(
    tmp_path_factory, faults, workers, batch, cap, count, every
):
    law = Law(concurrency=cap, latency=Latency(median_s=3.0, sigma=1.0), faults=tuple(faults))
    folder = tmp_path_factory.mktemp("run")
    run = rehearse(
        folder, seeds(count), law, workers=workers, batch_size=batch, checkpoint_every=every, call_timeout=60
    )
    assert_whole(run, count)
    assert run.summary.how is How.FINISHED or run.summary.problems["unauthorized"]


def test_every_line_of_results_says_where_its_answer_came_from(tmp_path):
    run = rehearse(tmp_path, seeds(3), LONG_CALLS, workers=1, worker_model="some-model")
    for record in run.results:
        assert record["model_asked"] == "some-model"
        assert record["model_answered"]
        assert record["finish_reason"] == "stop"
        assert record["usage"]["tokens_out"] > 0
        assert record["attempts"] == 1
        assert record["timings"]["call_s"] > 20
        assert record["timings"]["ended_utc"] > record["timings"]["started_utc"] >= START_UTC
        assert record["seed"]["id"] == record["id"]
    assert json.dumps(run.results)


def test_without_a_known_size_truncated_text_is_not_paid_for_twice(tmp_path):
    run = rehearse(tmp_path, seeds(2), Law(faults=(Fault(FaultKind.LENGTH, seeds=frozenset({"1"})),)), workers=1)
    assert [(record["id"], record["class"]) for record in run.failed] == [("s1", "truncated")]
    assert sum(row.name == "1" for row in run.provider.rows()) == 1
