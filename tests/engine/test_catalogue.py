"""Every behaviour of the catalogue: the standard job under its law ends as its row says, and the accounts agree."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import pytest

from deepswarm.engine.clock import Clock, virtual_clock
from deepswarm.simulator.faultlaw import FaultKind
from deepswarm.simulator.law import UsageWhen, load_law
from deepswarm.testing import builders
from deepswarm.testing.behaviour import STREAMED, Ends
from deepswarm.testing.builders import rehearse
from deepswarm.testing.catalogue import CATALOGUE
from deepswarm.testing.standard_job import (
    KEYS,
    SEEDS,
    broken,
    job_seeds,
    most_requests,
    pauses,
    problems,
    reported_tokens,
    sent,
    strangers,
)

pytestmark = pytest.mark.slow

SCENARIOS = [(row, mode) for row in CATALOGUE if row.scenario for mode in row.modes]


def new(folder):
    folder.mkdir()
    return folder


def law_of(name):
    """The law of a scenario."""
    return load_law(next(row.law for row in CATALOGUE if row.id == name))


def aimed(law, *kinds):
    """The seeds that a law's faults name, of these kinds or of all."""
    return {f"s{marker}" for fault in law.faults if not kinds or fault.kind in kinds for marker in fault.seeds}


def untold_tokens(run, law):
    """Tokens that the provider billed for requests that a fault hit, or all when it tells none."""
    told = law.stream.usage is not UsageWhen.NULL
    rows = [row for row in run.provider.rows() if row.fault or not told]
    return sum(row.tokens_in for row in rows), sum(row.tokens_out for row in rows)


def billed_tokens(run):
    account = run.provider.counts()
    return account.tokens_in, account.tokens_out


@pytest.mark.parametrize(("row", "mode"), SCENARIOS, ids=lambda value: getattr(value, "id", value))
def test_the_standard_job_under_each_scenario(row, mode, tmp_path):
    law = load_law(row.law)
    run = rehearse(tmp_path, job_seeds(), law, **{**KEYS, **row.keys, "stream": mode == STREAMED})
    totals = run.summary.totals
    assert broken(run) == []
    assert run.summary.how.value == row.ends.value
    assert run.seconds <= row.most_s
    assert most_requests(run) <= row.requests
    assert {event.label for event in problems(run)} == {kind.label for kind in row.classes}
    assert pauses(run) == ({row.pauses} if row.pauses else set())
    assert {record["id"] for record in run.failed} == (aimed(law) if row.fails else set())
    assert {record["class"] for record in run.failed} <= {row.fails}
    assert (totals.left > 0) is (row.ends is not Ends.FINISHED)
    assert strangers(run) == sorted(aimed(law, FaultKind.MIXED))
    assert {event.maybe_billed for event in problems(run)} <= {mode in row.billed}
    untold = untold_tokens(run, law) if mode in row.untold else (0, 0)
    assert [a + b for a, b in zip(reported_tokens(run), untold, strict=True)] == list(billed_tokens(run))


@pytest.mark.parametrize("row", [row for row in CATALOGUE if row.floor_s], ids=lambda row: row.id)
def test_nobody_asks_before_the_time_that_a_refusal_names(row, tmp_path):
    run = rehearse(tmp_path, job_seeds(), load_law(row.law), **KEYS, stream=False)
    requests = run.provider.rows()
    refusals = [request.finished for request in requests if request.fault]
    arrivals = [request.received for request in requests]
    assert refusals
    for told in refusals:
        assert not [at for at in arrivals if told < at < told + row.floor_s]


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.id)
def test_a_row_asks_for_what_its_classes_ask_for(row):
    assert {kind.disposition for kind in row.classes} == set(row.reactions)


def test_tokens_that_are_not_told_stay_unknown_and_are_not_0(tmp_path):
    run = rehearse(tmp_path, job_seeds(), law_of("usage-none"), **KEYS, stream=True)
    asked = Counter(request.name for request in run.provider.rows())
    silent = {request.name for request in run.provider.rows() if request.fault}
    alone = [record for record in run.results if asked[record["id"][1:]] == 1]  # whose prompt has no twin
    assert 0 < len(silent) < len(alone) == SEEDS * 9 // 10
    for record in alone:
        assert (record["usage"]["tokens_out"] is None) is (record["id"][1:] in silent)


def test_another_model_in_mid_run_is_reported_and_recorded(tmp_path):
    run = rehearse(tmp_path, job_seeds(), law_of("alias-drift"), **KEYS)
    assert {record["model_answered"] for record in run.results} == {"mock", "mock-v4"}
    assert [line for line in run.screen.lines if "mock-v4" in line]


def test_the_partial_text_of_what_broke_off_is_kept_with_its_call_and_nowhere_else(tmp_path):
    run = rehearse(tmp_path, job_seeds(), law_of("sse-eof"), **KEYS, stream=True)
    partial = [event.body for event in problems(run)]
    assert partial
    assert all(b"[simulated]" in body for body in partial)
    assert all(record["finish_reason"] == "stop" for record in run.results)


def test_a_brownout_delays_and_does_not_stop(tmp_path):
    run = rehearse(tmp_path, job_seeds(2000), law_of("brownout"), **KEYS)
    assert broken(run, 2000) == []
    assert not pauses(run)
    arrivals = [request.received for request in run.provider.rows()]
    assert max(later - earlier for earlier, later in pairwise(arrivals[: len(arrivals) * 9 // 10])) < 1.0


def test_a_clock_that_jumps_by_an_hour_changes_nothing(tmp_path, monkeypatch):
    """The clock of the day goes forward by an hour and then back by two: durations come from another one."""

    def jumping(start_utc):
        clock = virtual_clock(start_utc)

        def utc():
            return clock.utc() + {0: 0, 1: 3600}.get(int(clock.monotonic() * 2), -3600)

        return Clock(utc, clock.monotonic)

    steady = rehearse(new(tmp_path / "steady"), job_seeds(), law_of("429-bare"), **KEYS)
    monkeypatch.setattr(builders, "virtual_clock", jumping)
    run = rehearse(new(tmp_path / "jumping"), job_seeds(), law_of("429-bare"), **KEYS)
    ended = [event.utc for event in sent(run)]
    assert max(later - earlier for earlier, later in pairwise(ended)) > 3000
    assert min(later - earlier for earlier, later in pairwise(ended)) < -3000
    assert broken(run) == []
    assert run.seconds == steady.seconds
    assert run.provider.rows() == steady.provider.rows()


def test_a_process_that_slept_asks_again_what_it_missed_and_loses_nothing(tmp_path, monkeypatch):
    """Two minutes pass at once in the middle of the run, as for a process that was stopped or a laptop that slept."""

    def sleeping(start_utc):
        loop = asyncio.get_running_loop()
        loop.call_later(0.5, lambda: setattr(loop, "_now", loop.time() + 120.0))
        return virtual_clock(start_utc)

    monkeypatch.setattr(builders, "virtual_clock", sleeping)
    run = rehearse(tmp_path, job_seeds(), law_of("500-rand"), **KEYS)
    assert run.seconds > 120.0
    assert broken(run) == []
    assert run.summary.totals.done == SEEDS
    assert not pauses(run)
