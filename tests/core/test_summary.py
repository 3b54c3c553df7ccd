"""What a run says at its end: totals that reconcile, exit codes, and what to do next."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.records import Totals
from deepswarm.core.scheduler import How
from deepswarm.report.summary import Summary

briefly = settings(max_examples=40, deadline=None)
counts = st.integers(0, 5_000_000)


def a_summary(how=How.FINISHED, *, done=10, rejected=0, failed=0, left=0, maybe_billed=0, **other):
    seeds = done + rejected + failed + left
    totals = Totals(seeds, left, done, rejected, failed, maybe_billed=maybe_billed, tokens_in=1234, tokens_out=56789)
    facts = {
        "how": how,
        "why": "",
        "totals": totals,
        "calls": 12,
        "seconds": 42.0,
        "problems": {},
        "failures": {},
        "folder": "output/",
        "resume": "deepswarm run --task t.yaml",
        "lines": (done, rejected + failed),
        "simulated": False,
    }
    return Summary(**(facts | other))


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (a_summary(), 0),
        (a_summary(done=0), 0),
        (a_summary(failed=1), 1),
        (a_summary(rejected=1), 1),
        (a_summary(How.PAUSED, left=5), 75),
        (a_summary(How.PAUSED, left=5, failed=1), 75),
        (a_summary(How.INTERRUPTED, left=5), 130),
        (a_summary(How.INTERRUPTED, failed=1), 130),
    ],
)
def test_the_exit_code_says_how_it_ended(summary, code):
    assert summary.exit_code == code


@given(counts, counts, counts, counts)
@briefly
def test_the_printed_counts_add_up_to_the_printed_total(done, rejected, failed, left):
    text = a_summary(How.PAUSED, done=done, rejected=rejected, failed=failed, left=left).text()
    line = next(line for line in text.splitlines() if line.startswith("  seeds"))
    total, *parts = (int(number.replace(",", "")) for number in re.findall(r"[\d,]+", line))
    assert parts == [done, rejected, failed, left]
    assert total == sum(parts)


def test_a_run_without_trouble_says_just_what_there_is():
    assert a_summary().text().splitlines() == [
        "finished",
        "  seeds             10 = 10 done + 0 rejected + 0 failed + 0 left",
        "  calls             12 in 42 s",
        "  tokens         1,234 in, 56,789 out (as the provider counted them)",
        "  results           10 lines in output/results.jsonl",
    ]


def test_trouble_is_counted_by_class_with_the_most_frequent_first():
    summary = a_summary(
        failed=3,
        maybe_billed=2,
        problems={"timed_out": 1, "throttled": 1200, "garbled": 3},
        failures={"declined": 1, "garbled": 2},
    )
    assert summary.text().splitlines() == [
        "finished",
        "  seeds             13 = 10 done + 0 rejected + 3 failed + 0 left",
        "  calls             12 in 42 s (1,200 throttled, 3 garbled, 1 timed_out)",
        "  tokens         1,234 in, 56,789 out (as the provider counted them)",
        "  unanswered         2 calls that may have been billed all the same",
        "  failed             3 now (2 garbled, 1 declined)",
        "  results           10 lines in output/results.jsonl",
        "  failures           3 lines in output/failed.jsonl",
        "to try the failed ones again: deepswarm run --task t.yaml --retry-failed",
    ]


@pytest.mark.parametrize("how", [How.PAUSED, How.INTERRUPTED])
def test_a_run_that_did_not_finish_says_why_and_how_to_go_on(how):
    lines = a_summary(how, left=5, failed=1, why="the account is empty").text().splitlines()
    assert lines[0] == f"{how.value}: the account is empty"
    assert lines[-1] == "to go on: deepswarm run --task t.yaml"


def test_a_rehearsal_says_so_in_its_second_line():
    assert "SIMULATED" in a_summary(simulated=True).text().splitlines()[1]
    assert "SIMULATED" not in a_summary().text()


def test_a_rejected_answer_can_be_tried_again_like_a_failure():
    assert a_summary(rejected=1).text().splitlines()[-1].endswith("--retry-failed")


def test_notes_stand_below_the_files_they_speak_of():
    lines = a_summary(notes=("kept 9 of 10", "dropped 1")).text().splitlines()
    assert lines[-3:] == ["  results           10 lines in output/results.jsonl", "  kept 9 of 10", "  dropped 1"]
