"""The keys of advice and judge: what they say when nobody could be asked."""

from __future__ import annotations

import pytest

from deepswarm.core.spec import TaskSpec, check

SMALLEST = {"prompt_template": "{{x}}", "worker_model": "m"}


@pytest.mark.parametrize(
    ("key", "value"), [("plan", "apply"), ("monitor", "propose"), ("advice", {}), ("judge", {"rubric": "x"})]
)
def test_advice_without_an_orchestrator_is_refused(key, value):
    (flaw,) = check({**SMALLEST, key: value})
    assert flaw.what == f"'{key}' needs 'orchestrator_model': nobody could be asked"


def test_switching_advice_off_needs_no_orchestrator():
    assert isinstance(check({**SMALLEST, "plan": "off", "monitor": "off"}), TaskSpec)


def test_naming_an_orchestrator_switches_planning_and_monitoring_on():
    spec = check({**SMALLEST, "orchestrator_model": "big"})
    assert (spec.plan, spec.monitor) == ("propose", "apply")


@pytest.mark.parametrize(
    "judge",
    [{}, {"rubric": ""}, {"rubric": "x", "share": 0}, {"rubric": "x", "share": 1.5}, {"rubric": "x", "least": 6}],
)
def test_a_judge_needs_a_rubric_and_sensible_numbers(judge):
    assert not isinstance(check({**SMALLEST, "orchestrator_model": "big", "judge": judge}), TaskSpec)
