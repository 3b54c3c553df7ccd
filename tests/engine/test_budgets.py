"""Hard budgets: whatever the provider does, its own ledger never says more than the cap; the same run goes on later."""

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepswarm.cli import run as run_command
from deepswarm.core.errors import TaskFileError
from deepswarm.core.scheduler import How
from deepswarm.simulator.law import load_law, read_law
from deepswarm.testing.builders import rehearse

PRICES = {"mock": {"input": 0.15, "cached": 0.003, "output": 0.60}}
KEYS = {"prices": PRICES, "worker_max_tokens": 200, "workers": 16}
PLAIN = """
prices = {input = 0.15, cached = 0.003, output = 0.60}
latency = {median_s = 2.0, sigma = 0.8}
tokens = {median = 90}
"""
FAULTS = ("500-rand", "502-outage", "200-think", "200-empty", "fr-length", "hang-head", "429-rpm", "loop", "402-flaps")


def seeds(count):
    return [{"prompt": f"Say something about tide {number}. [[id:{number}]]"} for number in range(count)]


def cost(provider):
    return Decimal(round(provider.counts().cost_usd * 10**12)).scaleb(-12)


def law_of(fault):
    plain = read_law(PLAIN, "plain")
    return plain if fault is None else replace(load_law(f"catalogue/{fault}"), prices=plain.prices)


@settings(max_examples=24, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([None, *FAULTS]), st.integers(3, 60), st.integers(1, 40), st.booleans())
def test_the_providers_ledger_never_says_more_than_the_caps(tmp_path_factory, fault, tenths_of_a_cent, calls, stream):
    caps = {"max_cost": tenths_of_a_cent / 1000, "max_calls": calls, "max_tokens_total": 9_000}
    folder = tmp_path_factory.mktemp("run")
    run = rehearse(folder, seeds(60), law_of(fault), **KEYS, **caps, stream=stream, pause_limit=300.0)
    sums = run.provider.counts()
    assert cost(run.provider) <= Decimal(str(caps["max_cost"]))
    assert sums.served <= calls
    assert sums.tokens_in + sums.tokens_out <= 9_000
    again = rehearse(folder, seeds(60), law_of(fault), journal=run.journal, provider=run.provider, **KEYS, **caps)
    assert cost(again.provider) <= Decimal(str(caps["max_cost"]))
    assert again.provider.counts().served <= calls


def test_a_used_up_budget_pauses_the_run_and_a_raised_one_goes_on_without_asking_anything_twice(tmp_path):
    first = rehearse(tmp_path, seeds(200), law_of(None), **KEYS, max_cost=0.005)
    assert first.summary.how is How.PAUSED
    assert first.summary.exit_code == 75
    assert "raise max_cost and give the same command again" in first.summary.why
    assert 0 < first.summary.totals.done < 200
    assert Decimal("0.0045") < cost(first.provider) <= Decimal("0.005")
    same = rehearse(
        tmp_path, seeds(200), law_of(None), journal=first.journal, provider=first.provider, **KEYS, max_cost=0.005
    )
    assert same.summary.calls <= 3
    more = rehearse(
        tmp_path, seeds(200), law_of(None), journal=first.journal, provider=first.provider, **KEYS, max_cost=1
    )
    assert more.summary.how is How.FINISHED
    assert more.summary.totals.done == 200
    assert more.provider.counts().served == 200


def test_a_budget_that_comes_later_counts_what_was_spent_before_it(tmp_path):
    first = rehearse(tmp_path, seeds(100), law_of(None), **KEYS, max_calls=60)
    assert first.summary.totals.done == 60
    free = rehearse(tmp_path, seeds(140), law_of(None), journal=first.journal, provider=first.provider, **KEYS)
    assert free.summary.totals.done == 140
    spent = float(cost(first.provider))
    capped = rehearse(
        tmp_path,
        seeds(400),
        law_of(None),
        journal=first.journal,
        provider=first.provider,
        **KEYS,
        max_cost=spent + 0.001,
    )
    assert capped.summary.how is How.PAUSED
    assert cost(capped.provider) <= Decimal(str(spent + 0.001))


def test_time_that_is_used_up_ends_a_run_also_while_it_waits_for_an_outage(tmp_path):
    outage = replace(law_of(None), faults=load_law("catalogue/502-outage").faults)
    run = rehearse(tmp_path, seeds(500), outage, **KEYS, max_time=30)
    assert run.summary.how is How.PAUSED
    assert "max_time" in run.summary.why
    assert run.seconds < 60
    again = rehearse(tmp_path, seeds(500), law_of(None), journal=run.journal, **KEYS, max_time=30)
    assert again.summary.calls == 0


def test_the_caps_of_the_worker_tier_hold_like_those_of_the_run(tmp_path):
    run = rehearse(tmp_path, seeds(50), law_of(None), **KEYS, worker_budget={"max_calls": 11})
    assert run.summary.how is How.PAUSED
    assert run.provider.counts().served == 11
    assert "the worker tier" in run.summary.why


# --- before the first call -------------------------------------------------------------------------------------------

TASK = "prompt_template: Write about {{topic}}.\nworker_model: %s\n%s"


def refused(tmp_path, monkeypatch, keys, model="deepseek-flash", arguments=()):
    monkeypatch.chdir(tmp_path)
    Path("task.yaml").write_text(TASK % (model, keys))
    Path("seeds.jsonl").write_text("".join(json.dumps({"topic": f"tide {n}"}) + "\n" for n in range(60)))
    return CliRunner().invoke(run_command.command, ["--simulate", "--virtual-time", *arguments])


@pytest.mark.parametrize(
    ("keys", "model", "what"),
    [
        (
            "worker_max_tokens: 100\nmax_cost: 0.000001\n",
            "deepseek-flash",
            "task.yaml:4:11: 'max_cost' is smaller than one call",
        ),
        (
            "worker_max_tokens: 100\nmax_cost: 1\n",
            "nobody-knows",
            "task.yaml:4:11: 'max_cost' cannot be held to: the price of",
        ),
        ("max_cost: 1\n", "deepseek-flash", "task.yaml:3:11: 'max_cost' cannot be held to without worker_max_tokens"),
        (
            "worker_max_tokens: 100\nmax_tokens_total: 20\n",
            "deepseek-flash",
            "task.yaml:4:19: 'max_tokens_total' is smaller",
        ),
        (
            "worker_max_tokens: 100\nworker_budget: {max_cost: 0.000001}\n",
            "deepseek-flash",
            "task.yaml:4:27: 'max_cost' is",
        ),
    ],
)
def test_a_budget_that_cannot_be_held_to_is_refused_at_its_line(tmp_path, monkeypatch, keys, model, what):
    result = refused(tmp_path, monkeypatch, keys, model, ["--yes"])
    assert isinstance(result.exception, TaskFileError)
    assert what in str(result.exception)
    assert (
        not list(tmp_path.glob("output*/results.jsonl"))
        or not (tmp_path / "output-simulated/results.jsonl").read_text()
    )


def test_a_run_whose_estimate_is_beyond_its_budget_starts_with_yes_alone(tmp_path, monkeypatch):
    keys = "worker_max_tokens: 100\nmax_cost: 0.00015\n"
    result = refused(tmp_path, monkeypatch, keys)
    assert isinstance(result.exception, TaskFileError)
    assert "the run may cost" in str(result.exception)
    assert "--yes" in str(result.exception)
    started = refused(tmp_path, monkeypatch, keys, arguments=["--yes"])
    assert "paused: the budget of the run is used up" in started.output
