"""A run says at its end what it has spent, `deepswarm bill` says it again, and the next plan has learnt from it."""

import json
import random
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepswarm.cli import bill, plan
from deepswarm.engine.clock import virtual_clock
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.pipeline import Provider, Surroundings, Wishes, run
from deepswarm.simulator import virtual_time
from deepswarm.simulator.law import read_law
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.taskfile import load
from deepswarm.testing.builders import START_UTC, SilentScreen
from deepswarm.transports.simulated import SimulatedTransport

TASK = """\
prompt_template: Write about {{topic}}.
worker_model: deepseek-flash
worker_max_tokens: 100
workers: 4
"""
LAW = "[prices]\ninput = 0.30\ncached = 0.006\noutput = 1.20\n[latency]\nmedian_s = 2.0\n"
"""DeepSeek's peak prices: virtual runs begin on Friday 15 January 2027, 08:00 UTC."""


@pytest.fixture
def provider(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("task.yaml").write_text(TASK)
    Path("seeds.jsonl").write_text("".join(json.dumps({"topic": f"tide {n}"}) + "\n" for n in range(60)))
    return SimulatedProvider(read_law(LAW, "law"))


def ran(provider, total, *, simulated=False):
    around = Surroundings(
        lambda: virtual_clock(START_UTC), lambda: START_UTC, random.Random(1).random, virtual_time.run, "again"
    )
    return run(
        load("task.yaml"),
        RunFolder(Path("output")),
        Wishes(total),
        Provider(lambda: SimulatedTransport(provider), simulated=simulated),
        SilentScreen(),
        around,
    )


def said(command, *arguments):
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def ledger(provider):
    return Decimal(round(provider.counts().cost_usd * 10**12)).scaleb(-12)


def test_a_run_ends_with_its_bill_at_the_prices_of_its_hours(provider):
    text = ran(provider, 20).text()
    assert "\n  spent      0.00" in text
    assert "checked 2026-11-15" in text
    found = json.loads(said(bill.command, "--json"))
    assert Decimal(found["spent"]) == ledger(provider)
    assert found["complete"] is True
    assert found["lines"][0]["tier"] == "worker"


def test_the_bill_goes_on_over_all_sessions_of_a_run(provider):
    ran(provider, 20)
    first = ledger(provider)
    ran(provider, None)
    found = json.loads(said(bill.command, "--json"))
    assert Decimal(found["spent"]) == ledger(provider) > first
    assert sum(line["calls"] for line in found["lines"]) == 60


def test_other_prices_can_be_tried_on_a_run_that_is_over(provider):
    ran(provider, 20)
    Path("other.yaml").write_text(TASK + "prices: {deepseek-flash: {input: 0, output: 0}}\n")
    assert json.loads(said(bill.command, "--task", "other.yaml", "--json"))["spent"] == "0"
    assert "task file" in said(bill.command, "--task", "other.yaml")


def test_a_rehearsal_names_no_sum_that_might_be_believed(provider):
    assert "\n  spent" not in ran(provider, 20, simulated=True).text()
    assert said(bill.command).startswith("Simulated: nothing was spent")


def test_the_plan_for_what_is_left_rests_on_the_calls_so_far_and_holds_what_the_rest_costs(provider):
    before = json.loads(said(plan.command, "--json"))
    ran(provider, 20)
    spent = ledger(provider)
    after = json.loads(said(plan.command, "--json"))
    assert (after["seeds"], after["ended"], after["measured_answers"]) == (60, 20, 20)
    assert "20 of them answered before: 40 to ask" in said(plan.command)
    ran(provider, None)
    low, high = map(Decimal, after["cost_usd"])
    assert low <= ledger(provider) - spent <= high
    assert high - low < Decimal(before["cost_usd"][1]) - Decimal(before["cost_usd"][0])
    assert after["seconds"][0] > 0
    assert before["seconds"] is None


def test_a_resumed_run_of_very_many_calls_does_not_keep_its_user_waiting_for_the_bill(provider, monkeypatch):
    monkeypatch.setattr("deepswarm.engine.billing.MOST_CALLS", 19)
    assert "adds up" not in ran(provider, 10).text()
    assert "spent      deepswarm bill output/ adds up the 20 calls" in ran(provider, 20).text()
