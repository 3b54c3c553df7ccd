"""What the tool promises, as whole runs of thousands of seeds: no hang, no loss, nothing paid for twice."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from deepswarm.core.scheduler import How
from deepswarm.simulator.faultlaw import Fault, FaultKind
from deepswarm.simulator.law import Latency, Law, Tokens
from deepswarm.testing.builders import rehearse
from deepswarm.testing.standard_job import KEYS, broken, job_seeds, pauses, problems, strangers

pytestmark = pytest.mark.slow

SEEDS = 2000
WORKERS = 64
CALM = Law(latency=Latency(median_s=0.2, sigma=0.99), tokens=Tokens(median=20))
"""The latency of the standard job: median 200 ms, 99 % within 2 s."""


def law(*faults):
    return Law(latency=CALM.latency, tokens=CALM.tokens, faults=faults)


def job(folder, the_law, **more):
    return rehearse(folder, job_seeds(SEEDS), the_law, **{**KEYS, "workers": WORKERS, **more})


def work_conserving_s(run):
    """Seconds that no schedule which always keeps its workers busy needs more than.

    What all workers together were busy with, shared evenly, and on top the seed that took longest, which may have been
    the last one to begin. A request takes its own time at the provider; one that hangs counts until its deadline.

    Source: R. L. Graham, Bounds on Multiprocessing Timing Anomalies, 1969.
    """
    busy = Counter()
    for row in run.provider.rows():
        busy[row.name] += row.finished - row.received
    return sum(busy.values()) / WORKERS + max(busy.values())


@pytest.mark.parametrize("stream", [True, False])
def test_with_errors_hangs_resets_and_garbage_all_seeds_are_answered_in_the_first_run(tmp_path, stream):
    run = job(
        tmp_path,
        law(
            Fault(FaultKind.STATUS, rate=0.05, status=500),
            Fault(FaultKind.HANG, rate=0.02),
            Fault(FaultKind.DISCONNECT, rate=0.02),
            Fault(FaultKind.GARBLED, rate=0.01),
        ),
        stream=stream,
    )
    assert broken(run, SEEDS) == []
    assert run.summary.how is How.FINISHED
    assert run.summary.totals.done == SEEDS
    assert {row.fault for row in run.provider.rows()} == {"", "status", "hang", "disconnect", "garbled"}
    assert run.seconds <= 1.2 * work_conserving_s(run)


def test_a_key_that_is_revoked_half_way_costs_what_was_in_flight_and_a_new_one_pays_for_nothing_twice(tmp_path):
    revoked = law(Fault(FaultKind.STATUS, status=401, from_s=5.0))
    run = job(tmp_path, revoked, pause_limit=0)
    refused = [row for row in run.provider.rows() if row.status == 401]
    in_flight = sum(row.received < 5.0 <= row.finished for row in run.provider.rows())
    assert broken(run, SEEDS) == []
    assert run.summary.how is How.PAUSED
    assert pauses(run) == {"unauthorized"}
    assert 0 < len(refused) <= in_flight + 3
    assert SEEDS / 4 < run.summary.totals.done < SEEDS
    assert run.summary.totals.failed == 0
    again = job(tmp_path, CALM, journal=run.journal, provider=run.provider)
    assert broken(again, SEEDS) == []
    assert again.summary.totals.done == again.provider.counts().served == SEEDS
    assert {record["attempts"] for record in again.results} == {1}


def test_money_that_runs_out_in_mid_run_and_comes_back_stops_nobody_for_good(tmp_path):
    run = job(tmp_path, law(Fault(FaultKind.STATUS, status=402, from_s=2.0, until_s=300.0)))
    refused = [row for row in run.provider.rows() if row.status == 402]
    in_flight = sum(row.received < 2.0 <= row.finished for row in run.provider.rows())
    probes = math.ceil(math.log2(300.0 / 5.0))
    assert broken(run, SEEDS) == []
    assert run.summary.how is How.FINISHED
    assert run.summary.totals.done == run.provider.counts().served == SEEDS
    assert pauses(run) == {"out_of_funds"}
    assert len(refused) <= in_flight + 1 + probes


@pytest.mark.parametrize(
    ("fault", "most"),
    [
        (Fault(FaultKind.UNREACHABLE, from_s=2.0, until_s=62.0), 20),
        # a server that answers gets six more chances, lest a brown-out be taken for an outage
        (Fault(FaultKind.STATUS, status=502, from_s=2.0, until_s=62.0), 26),
        (Fault(FaultKind.STATUS, status=503, from_s=2.0, until_s=62.0), 26),
    ],
    ids=["refused connections", "502", "503"],
)
def test_an_outage_of_a_minute_costs_no_seed_and_few_requests_and_ends_by_itself(tmp_path, fault, most):
    run = job(tmp_path, law(fault))
    arrivals = [row.received for row in run.provider.rows()]
    assert broken(run, SEEDS) == []
    assert run.summary.totals.done == run.provider.counts().served == SEEDS
    assert min(at for at in arrivals if at >= 62.0) <= 62.0 + 5.0
    assert sum(2.0 <= at < 62.0 for at in arrivals) <= most


def test_seeds_that_break_the_provider_end_soon_and_alone(tmp_path):
    bad = [f"{n * 90 + 7}" for n in range(10)]
    wrong = [f"{n * 90 + 9}" for n in range(10)]
    run = job(
        tmp_path,
        law(
            Fault(FaultKind.STATUS, status=500, seeds=frozenset(bad)),
            Fault(FaultKind.STATUS, status=422, seeds=frozenset(wrong)),
        ),
    )
    asked = Counter(row.name for row in run.provider.rows())
    times = {name: [row for row in run.provider.rows() if row.name == name] for name in bad}
    assert broken(run, SEEDS) == []
    assert run.summary.totals.failed == len(bad) + len(wrong)
    assert {record["class"] for record in run.failed} == {"deterministic", "bad_request"}
    assert all(asked[name] <= 4 for name in bad)
    assert all(asked[name] == 1 for name in wrong)
    assert all(rows[-1].finished - rows[0].received <= 60.0 for rows in times.values())
    assert {record["attempts"] for record in run.results} == {1}


def test_every_answer_is_the_one_to_its_own_seed_whatever_is_tried_again(tmp_path):
    run = job(tmp_path, law(Fault(FaultKind.STATUS, rate=0.1, status=500), Fault(FaultKind.CUT, rate=0.1)))
    assert broken(run, SEEDS) == []
    assert len(run.results) == SEEDS
    assert len(problems(run)) >= 0.2 * SEEDS
    assert strangers(run) == []
