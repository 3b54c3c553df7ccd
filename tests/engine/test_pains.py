"""Acceptance tests of the pains in `docs/pains.toml` that are whole runs and stand nowhere else."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys

import pytest

from deepswarm.core.errors import TimedOut
from deepswarm.core.events import CallEnded, CallStarted, RunStarted, SeedEnded
from deepswarm.core.ledger import record_of
from deepswarm.core.records import Call, Deadlines, HttpReply, Incoming, Message, Outcome
from deepswarm.core.scheduler import How
from deepswarm.dialects import openai_chat
from deepswarm.journals.memory import MemoryJournal
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.simulator.faultlaw import BodyKind, Ending, Fault, FaultKind, RetryAfterForm
from deepswarm.simulator.law import Latency, Law, StreamLaw, Tokens, read_law
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.simulator.server import serve
from deepswarm.testing.builders import SeedList, rehearse
from deepswarm.testing.served import serving
from deepswarm.testing.standard_job import KEYS, broken, job_seeds, pauses, problems, sent
from deepswarm.transports.http import HttpTransport

pytestmark = pytest.mark.slow

SEEDS = 2000
WORKERS = 64
DEADLINE_S = 10.0
LATENCY = Latency(first_token_s=0.15, first_token_sigma=0.99, tokens_per_s=400.0)
"""Of the standard job: 200 ms in the median, 2 s at the 99th percentile."""


def new(folder):
    folder.mkdir()
    return folder


def law(*faults, latency=LATENCY):
    return Law(latency=latency, tokens=Tokens(median=20), faults=faults)


def job(folder, the_law, count=SEEDS, **more):
    return rehearse(folder, job_seeds(count), the_law, **{**KEYS, "workers": WORKERS, **more})


def busy_s(run, *faults):
    """Seconds that requests took at the provider: those that such a fault hit, or all."""
    return sum(row.finished - row.received for row in run.provider.rows() if not faults or row.fault in faults)


@pytest.mark.parametrize("stream", [True, False])
def test_calls_that_hang_are_cut_at_their_deadline_and_the_run_ends(tmp_path, stream):
    run = job(tmp_path, law(Fault(FaultKind.HANG, rate=0.01)), stream=stream)
    hung = [row for row in run.provider.rows() if row.fault]
    good_s = busy_s(run, "")
    assert broken(run, SEEDS) == []
    assert run.summary.totals.done == SEEDS
    assert hung
    assert all(DEADLINE_S - 1e-6 <= row.finished - row.received <= DEADLINE_S + 0.5 for row in hung)
    assert run.seconds <= good_s / WORKERS + 3 * DEADLINE_S
    assert busy_s(run, "hang") / good_s <= 1.5 * 0.01 * DEADLINE_S / (good_s / SEEDS)


@pytest.mark.parametrize("stream", [True, False])
def test_keep_alives_do_not_put_a_deadline_off(tmp_path, stream):
    run = job(tmp_path, law(Fault(FaultKind.DRIP, rate=0.02)), stream=stream)
    dripping = [row.finished - row.received for row in run.provider.rows() if row.fault]
    assert broken(run, SEEDS) == []
    assert run.summary.totals.done == SEEDS
    assert dripping
    assert all(DEADLINE_S - 0.5 <= seconds <= DEADLINE_S + 0.5 for seconds in dripping)


@pytest.mark.parametrize("stream", [True, False])
def test_keep_alives_and_then_an_answer_in_time_are_an_answer(tmp_path, stream):
    late = Fault(FaultKind.DRIP, rate=0.02, for_s=0.8 * DEADLINE_S, end=Ending.ANSWER)
    run = job(tmp_path, law(late), stream=stream)
    assert broken(run, SEEDS) == []
    assert any(row.fault for row in run.provider.rows())
    assert run.summary.totals.done == run.provider.counts().received == SEEDS


def test_no_answer_without_content_is_ever_delivered(tmp_path):
    never = frozenset({"7", "77", "777"})
    run = job(tmp_path, law(Fault(FaultKind.EMPTY, seeds=never), Fault(FaultKind.EMPTY, rate=0.03)))
    assert broken(run, SEEDS) == []
    assert all(record["answer"].strip() for record in run.results)
    assert {record["id"]: record["class"] for record in run.failed} == {f"s{name}": "empty" for name in never}
    assert run.provider.counts().received <= 1.04 * SEEDS


def test_thinking_that_eats_the_room_is_learnt_from_and_paid_for_once(tmp_path):
    """Thinking takes 1,000 to 6,000 tokens and more; there is room for 4,096."""
    thinking = Law(
        latency=Latency(median_s=1.0),
        tokens=Tokens(median=3000, sigma=0.5),
        stream=StreamLaw(reasoning=0.95, chunk_tokens=200),
    )
    run = job(tmp_path, thinking, worker_max_tokens=4096)
    wasted = [event for event in problems(run) if event.label == "starved"]
    assert broken(run, SEEDS) == []
    assert run.summary.totals.done >= 0.99 * SEEDS
    assert 5 <= len({event.seed for event in wasted}) <= 0.08 * SEEDS
    assert any("from now on" in line for line in run.screen.lines)


def test_partial_answers_are_never_delivered_and_their_text_is_kept(tmp_path):
    cut = Fault(FaultKind.CUT, rate=0.02, end=Ending.CLEAN, after_chunks=4)
    reset = Fault(FaultKind.CUT, rate=0.01, end=Ending.RESET, after_chunks=4)
    run = job(tmp_path, law(cut, reset), stream=True)
    assert broken(run, SEEDS) == []
    assert run.summary.totals.done == SEEDS
    assert {record["finish_reason"] for record in run.results} == {"stop"}
    assert len(problems(run)) == sum(bool(row.fault) for row in run.provider.rows()) > 0
    assert all(b"[simulated]" in event.body for event in problems(run))


def test_bad_seeds_fail_alone_each_with_its_own_reason(tmp_path):
    """One is too long for the model, one breaks the template, the answer to one has fifty megabytes."""
    long = Fault(FaultKind.STATUS, status=400, code="context_length_exceeded", seeds=frozenset({"1"}))
    huge = Fault(FaultKind.HUGE, size_bytes=50_000_000, seeds=frozenset({"3"}), after_s=1.0)
    seeds = [{**seed, "n": "none" if seed["id"] == "s2" else 1} for seed in job_seeds(SEEDS)]
    run = rehearse(tmp_path, seeds, law(long, huge), **KEYS, stream=False, prompt_template="{{prompt}} {{1 + n}}")
    assert run.summary.totals.done == SEEDS - 3
    assert {record["id"]: record["class"] for record in run.failed} == {
        "s1": "too_long",
        "s2": "template",
        "s3": "too_large",
    }
    assert run.summary.exit_code == 1


@pytest.mark.slow
def test_answers_that_filters_drop_are_not_bought_again(tmp_path):
    """The command itself, against a server: about a third of the answers are dropped, and it is run twice more."""
    (tmp_path / "seeds.jsonl").write_text("".join(f"{json.dumps(seed)}\n" for seed in job_seeds(100)))
    with serving(tmp_path, "[tokens]\nmedian = 60\nsigma = 0.6\n") as provider:
        (tmp_path / "task.yaml").write_text(
            f'prompt_template: "{{{{prompt}}}}"\nworker_model: mock\nworker_api_base: {provider.address}/v1\n'
            "api_key_env: none\nworkers: 4\nstagger: 0\nfilters: [{length: {max_chars: 300}}]\n"
        )
        command = [sys.executable, "-m", "deepswarm", "run", str(tmp_path / "task.yaml")]
        for _ in range(3):
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            assert provider.counts()["received"] == 100
    dropped = (tmp_path / "output" / "errors.jsonl").read_bytes().count(b"\n")
    assert 10 < dropped < 60


def test_equal_prompts_stay_as_many_as_they_are_when_a_run_is_killed_and_goes_on(tmp_path):
    seeds = [{"prompt": "[[id:1]] the same"}] * 100
    whole = rehearse(new(tmp_path / "whole"), seeds, law(), workers=4)
    fortieth = [at for at, event in enumerate(whole.journal.events) if isinstance(event, SeedEnded)][39]
    killed = MemoryJournal()
    killed.enrol(SeedList(seeds).incoming(), None)
    killed._add(whole.journal.events[: fortieth + 1])  # what a kill at this moment leaves behind
    again = rehearse(new(tmp_path / "again"), seeds, law(), workers=4, journal=killed)
    assert again.summary.totals.done == len({record["id"] for record in again.results}) == 100
    assert again.provider.counts().received == 60


def test_a_try_is_one_request_and_nobody_else_tries_again(tmp_path):
    broken_seed = Fault(FaultKind.STATUS, status=500, seeds=frozenset({"0"}))
    run = rehearse(tmp_path, job_seeds(1), law(broken_seed), call_retries=3, pause_limit=0)
    assert run.provider.counts().received == len(sent(run)) == 4
    assert [record["attempts"] for record in run.failed] == [4]


FORMS = {
    "seconds": Fault(FaultKind.STATUS, status=429, retry_after_s=2.0),
    "a float": Fault(FaultKind.STATUS, status=429, headers="retry-after: 2.0"),
    "a date": Fault(FaultKind.STATUS, status=429, retry_after_s=2.0, retry_after_form=RetryAfterForm.DATE),
    "milliseconds": Fault(FaultKind.STATUS, status=429, retry_after_s=2.0, retry_after_form=RetryAfterForm.MS),
    "a reset of requests": Fault(
        FaultKind.STATUS, status=429, headers="x-ratelimit-remaining-requests: 0\nx-ratelimit-reset-requests: 2s"
    ),
    "a reset in minutes": Fault(
        FaultKind.STATUS, status=429, headers="x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 0m2s"
    ),
    "RetryInfo": Fault(FaultKind.STATUS, status=429, body=BodyKind.GEMINI, message="slow", retry_after_s=2),
    "words": Fault(FaultKind.STATUS, status=429, message="Rate limit reached. Please try again in 2000ms."),
}


@pytest.mark.parametrize("form", FORMS)
def test_two_seconds_are_two_seconds_in_whatever_form_they_are_named(tmp_path, form):
    fault = dataclasses.replace(FORMS[form], seeds=frozenset({"30"}), attempts=frozenset({1}))
    run = job(tmp_path, law(fault, latency=Latency(median_s=1.0)), count=100, workers=8, call_retries=0)
    (told,) = [row.finished for row in run.provider.rows() if row.fault]
    later = min(row.received for row in run.provider.rows() if row.received > told)
    assert 2.0 <= later - told <= 2.6
    assert run.summary.totals.done == 100


def test_an_hour_to_wait_pauses_the_run_and_says_until_when(tmp_path):
    quota = Fault(FaultKind.STATUS, status=429, message="Daily limit reached", retry_after_s=3600.0, until_s=3600.0)
    run = job(tmp_path, law(quota), stagger="auto", pause_limit=7200.0)
    assert broken(run, SEEDS) == []
    assert run.provider.rows()[1].received >= 3600.0
    assert pauses(run) == {"quota_spent"}
    assert [line for line in run.screen.lines if line.startswith("paused") and "60 min" in line]
    assert run.summary.totals.done == SEEDS
    ended = job(new(tmp_path / "impatient"), law(quota), stagger="auto")
    assert ended.summary.how is How.PAUSED
    assert ended.provider.counts().received == 1
    assert "try again in 60 min" in ended.summary.why


@pytest.mark.parametrize("workers", [1, 7, 64, 500])
def test_as_many_calls_are_in_flight_as_the_user_wrote_and_never_more(tmp_path, workers):
    count = max(200, 10 * workers)
    run = job(tmp_path, law(latency=Latency(median_s=1.0, sigma=0.3)), count=count, workers=workers)
    rows = run.provider.rows()
    steady = [row for row in rows if row.received < rows[-workers].received]
    held_s = sum(row.finished - row.received for row in rows)
    assert run.provider.counts().most_in_flight == workers
    assert len(steady) > count / 2
    assert held_s / (workers * rows[-1].received) >= 0.95


def test_slow_and_honest_calls_are_paid_for_once(tmp_path):
    run = job(tmp_path, law(Fault(FaultKind.SLOW, rate=0.001, factor=20.0)), call_timeout="auto")
    assert any(row.fault for row in run.provider.rows())
    assert run.provider.counts().served == run.summary.totals.done == SEEDS
    assert run.summary.totals.maybe_billed == 0


@pytest.mark.parametrize("stream", [True, False])
def test_what_is_counted_as_possibly_billed_is_what_the_provider_made_for_nobody(tmp_path, stream):
    run = job(
        tmp_path, law(Fault(FaultKind.CUT, rate=0.02), Fault(FaultKind.SLOW, rate=0.01, factor=500.0)), stream=stream
    )
    orphans = sum(
        bool(row.fault) and row.tokens_in > 0 and (row.fault == "cut" or row.client_gone) for row in run.provider.rows()
    )
    assert broken(run, SEEDS) == []
    assert run.summary.totals.maybe_billed == orphans > 0


def test_failures_are_listed_with_all_that_is_known_and_the_exit_code_tells(tmp_path):
    bad = frozenset(str(n) for n in range(0, 900, 6))
    run = job(tmp_path, law(Fault(FaultKind.STATUS, status=422, seeds=bad)))
    assert broken(run, SEEDS) == []
    assert {record["id"] for record in run.failed} == {f"s{name}" for name in bad}
    assert all(
        (record["class"], record["status"], record["attempts"]) == ("bad_request", 422, 1) for record in run.failed
    )
    assert all("Invalid parameters" in record["last_reply"] for record in run.failed)
    assert run.summary.exit_code == 1


def test_a_wrong_model_costs_one_request_and_an_overload_at_the_start_none_but_time(tmp_path):
    wrong = job(new(tmp_path / "wrong"), law(Fault(FaultKind.STATUS, status=404)), stagger="auto")
    assert wrong.summary.how is How.REFUSED
    assert wrong.provider.counts().received == 1
    assert "worker_model" in wrong.summary.why
    busy = job(new(tmp_path / "busy"), law(Fault(FaultKind.STATUS, status=503, until_s=5.0)), stagger="auto")
    assert busy.summary.totals.done == SEEDS


def test_ten_megabytes_of_thinking_survive_the_journal_byte_by_byte(tmp_path):
    reasoning = "why \u2028 ".join(str(n) for n in range(900_000))
    assert len(reasoning) > 10_000_000
    message = {"role": "assistant", "content": "because", "reasoning_content": reasoning}
    body = json.dumps({"model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}).encode()
    journal = SqliteJournal(tmp_path)
    journal.enrol([Incoming("a", bytes(16), 0, 0, 1)], None)
    ended = SeedEnded(1.0, 1.0, 1, 1, Outcome.DONE, "ok", "", 1, 0.0, b"{}")

    async def write():
        keeper = asyncio.ensure_future(journal.keep())
        await journal.append([RunStarted(0.0, 0.0, 1, "f", "{}", "1", False), CallStarted(0.0, 0.0, 1, 1, 1)])
        await journal.append([CallEnded(1.0, 1.0, 1, 1, "ok", status=200, body=body), ended])
        keeper.cancel()

    asyncio.run(write())
    journal.close()
    again = SqliteJournal(tmp_path)
    ((_, story),) = again.stories(frozenset({Outcome.DONE}))
    again.close()
    record = record_of(story, openai_chat.decode(HttpReply(200, {}, story.call.body)), {})
    assert (story.call.body == body, record["reasoning"] == reasoning) == (True, True)


def test_answers_that_slow_down_tenfold_are_waited_for_as_long_as_they_come(tmp_path):
    slowing = read_law(
        """
        [latency]
        tokens_per_s = 40.0
        [tokens]
        median = 200
        [[steps]]
        at_s = 30.0
        slowdown = 10.0
        """,
        "slowing",
    )
    run = rehearse(tmp_path, job_seeds(600), slowing, workers=WORKERS, stream=True)
    assert broken(run, 600) == []
    assert run.seconds > 200.0
    assert run.summary.totals.done == run.provider.counts().received == 600
    assert not problems(run)


@pytest.mark.slow
def test_calls_that_hang_hold_no_connection_that_others_need():
    """Over real sockets: every tenth call hangs, and all the others are served meanwhile."""
    hanging = frozenset(str(n) for n in range(0, 100, 10))
    provider = SimulatedProvider(Law(tokens=Tokens(median=5), faults=(Fault(FaultKind.HANG, seeds=hanging),)))

    async def run():
        server = await serve(provider, 0)
        transport = HttpTransport({})
        url = openai_chat.address(server.address)

        async def ask(n):
            call = Call("mock", [Message("user", f"[[id:{n}]] say something")])
            try:
                reply = await transport.send(openai_chat.encode(call, url), Deadlines(total_s=2.0))
            except TimedOut as error:
                return error.phase
            return openai_chat.decode(reply).finish_reason

        ends = await asyncio.gather(*(ask(n) for n in range(100)))
        await transport.close()
        await server.close()
        return ends

    assert asyncio.run(run()) == ["stop" if n % 10 else "total" for n in range(100)]
