"""deepswarm plan and deepswarm bill, and the prices of a task file, as a user sees them."""

import json
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner

from deepswarm.cli import bill, plan, validate
from deepswarm.core.budget import Amount, Caps, too_small
from deepswarm.core.errors import TaskFileError
from deepswarm.taskfile import load
from deepswarm.taskfile.placing import placed

TASK = """\
system_prompt: You are brief.
prompt_template: Write about {{topic}}.
worker_model: deepseek-flash
worker_max_tokens: 100
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("task.yaml").write_text(TASK)
    Path("seeds.jsonl").write_text("".join(json.dumps({"topic": f"tide {n}"}) + "\n" for n in range(50)))


def said(command, *arguments):
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def refusal(command, *arguments):
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, TaskFileError), result.output
    return str(result.exception)


# --- plan ------------------------------------------------------------------------------------------------------------


def test_a_plan_shows_counts_one_prompt_and_what_it_assumes():
    text = said(plan.command)
    assert "seeds      50" in text
    assert "| user: Write about tide 0." in text
    assert "250 to 5,500 out" in text
    assert "checked 2026-11-15" in text
    assert "not known before the first calls" in text


def test_a_plans_range_holds_what_any_run_of_one_call_a_seed_can_cost():
    found = json.loads(said(plan.command, "--json"))
    low, high = map(Decimal, found["cost_usd"])
    assert Decimal(0) < low < high
    dearest = 50 * (Decimal(33) * Decimal("0.30") + 100 * Decimal("1.20")) / 10**6
    assert high >= dearest
    assert found["tokens_in"][1] >= found["tokens_in"][0] > 0


def test_without_a_limit_of_tokens_a_plan_has_no_upper_end():
    text = said(plan.command, "--set", "worker_max_tokens=null")
    assert "cost       at least" in text
    assert "without worker_max_tokens there is no upper end" in text


def test_a_price_that_nobody_knows_is_said_to_be_unknown():
    text = said(plan.command, "--set", "worker_api_base=http://localhost:1/v1")
    assert "cost       unknown" in text
    assert "prices: {<worker_model>: {input:" in text


def test_only_the_first_seeds_are_planned_when_only_they_are_asked_for():
    assert json.loads(said(plan.command, "--total", "7", "--json"))["seeds"] == 7


def test_seeds_that_a_run_would_make_are_planned_without_a_file():
    Path("seeds.jsonl").unlink()
    made = "seeds: {values: {topic: [a, b, c]}}\n"
    Path("task.yaml").write_text(TASK + made)
    assert json.loads(said(plan.command, "--json"))["seeds"] == 3
    assert not Path("seeds.jsonl").exists()


def test_a_seed_that_cannot_fill_the_prompt_is_named_with_its_line():
    Path("seeds.jsonl").write_text('{"topic": "a"}\n{"theme": "b"}\n')
    assert "seeds.jsonl:2: the prompt cannot be made" in refusal(plan.command)


# --- bill ------------------------------------------------------------------------------------------------------------


def test_a_folder_without_a_run_has_no_bill():
    assert "there is no such folder" in refusal(bill.command, "output")


# --- prices in the task file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("prices: {input: 0.15, output: 0.60}", "'prices' holds a price table without a model"),
        ("prices: {deepseek-flash: {input: -1, output: 1}}", "must be a number from 0 to 1000000, not -1"),
        ("prices: {deepseek-flash: {input: 1}}", "the key 'prices.deepseek-flash.output' is missing"),
        ("prices: {deepseek-flash: 0.15}", "'prices.deepseek-flash' must be a section"),
        ("prices: {deepseek-flash: {input: 1, output: 1, cache: 1}}", "unknown key 'prices.deepseek-flash.cache'"),
        ("prices: {deepseek-flsh: {input: 1, output: 1}}", "'prices' does not name the worker_model"),
        ("prices: {deepseek-flash: {input: 1e400, output: 1}}", "finite"),
    ],
)
def test_prices_that_are_wrong_are_refused_at_their_line(line, words):
    Path("task.yaml").write_text(TASK + line + "\n")
    text = refusal(validate.command)
    assert words in text
    assert "task.yaml:5:" in text
    assert text.count("task.yaml:") == 1


def test_a_price_of_0_is_a_price():
    Path("task.yaml").write_text(TASK + "prices: {deepseek-flash: {input: 0, output: 0}}\n")
    assert "cost       0 USD" in said(plan.command)


def test_what_is_found_later_is_shown_at_its_line_as_well():
    Path("task.yaml").write_text(TASK + "workers: 3\n")
    task = load("task.yaml")
    (flaw,) = too_small(Caps(max_calls=0), Amount(calls=1))
    error = placed(task, [flaw._replace(path=("workers",))])
    assert str(error).startswith("task.yaml:5:")
    assert "smaller than one call" in str(error)
