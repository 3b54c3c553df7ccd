"""The two tables of the reference are whole: no row of the papers is missing, and what a row names is there."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from deepswarm.simulator.law import LAWS, load_law
from deepswarm.testing.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
PAINS = tomllib.loads((ROOT / "docs" / "pains.toml").read_text(encoding="utf-8"))["pains"]
SCENARIOS = "tests/engine/test_catalogue.py::test_the_standard_job_under_each_scenario"
CATALOGUE_IDS = """
429-conc|429-rpm|429-tpm|429-burst|429-ramp|429-daily|429-spend|429-bare|429-sustained|RA-formats|402|402-inflight
401/403-key|403-mod|400-risk|400-ctx|400-reason|400-json|400-det|413 / 422|404/410|408/409|500-rand|500-det
502/503/504 JSON or HTML; 520/522/524 HTML|503-over / 529|conn-refused, DNS fail, TLS fail, connect black-hole
reset-preheaders|stale-keepalive|hang-preheaders|queue-blank|queue-sse|blank-then-close|slow-loris|slow-honest
trunc-CL / trunc-chunk|sse-eof|sse-done-nofr|sse-err|sse-dup|sse-split|sse-order|200-err|200-empty|200-think|200-ws
fr-length|fr-filter|fr-insuf|fr-odd|refusal|bad-json-content|bad-args|loop|usage-none / -zero / -late|alias-drift
wrong-answer-mix|cap-drop|fifo-nolimit|brownout|restart|client-side
"""
"""The rows of the failure catalogue."""


@cache
def names_in(file):
    """The names of the tests in a file."""
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds) and node.name.startswith("test_")}


def missing(name):
    """What of a test's name is not there; empty when all is."""
    file, _, test = name.partition("::")
    test, _, case = test.partition("[")
    if not (ROOT / file).is_file() or test not in names_in(file):
        return name
    cases = {f"{row.id}-{mode}" for row in CATALOGUE if row.scenario for mode in row.modes}
    return name if case and (f"{file}::{test}" != SCENARIOS or case.removesuffix("]") not in cases) else ""


def test_every_pain_has_its_row_once_and_in_order():
    assert [pain["number"] for pain in PAINS] == list(range(1, 69))


@pytest.mark.parametrize("pain", PAINS, ids=lambda pain: str(pain["number"]))
def test_a_pain_has_a_test_or_a_benchmark_or_its_issue_or_a_reason(pain):
    (kind,) = pain.keys() & {"tests", "bench", "issue", "why_not"}
    assert pain["symptom"]
    assert pain.get("answer") or kind == "why_not"
    assert pain[kind]
    assert pain.get("issue", 4) in range(4, 9)
    if kind == "bench":
        assert f'"{pain["bench"]}": ' in (ROOT / "bench" / "run.py").read_text(encoding="utf-8")


@pytest.mark.parametrize("pain", [pain for pain in PAINS if "tests" in pain], ids=lambda pain: str(pain["number"]))
def test_the_tests_that_a_pain_names_exist(pain):
    assert not [name for name in pain["tests"] if missing(name)]


def test_every_row_of_the_catalogue_is_covered_and_no_other_is_named():
    assert {row.family for row in CATALOGUE} == set(re.split(r"[|\n]", CATALOGUE_IDS.strip()))


def test_no_two_rows_have_one_id():
    assert len({row.id for row in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("row", CATALOGUE, ids=lambda row: row.id)
def test_a_row_has_a_scenario_or_names_tests_that_exist(row):
    assert row.scenario or row.tests
    assert not [name for name in row.tests if missing(name)]
    if row.scenario:
        assert load_law(row.law)


def test_every_scenario_has_its_row_and_explains_itself():
    files = sorted((LAWS / "catalogue").glob("*.toml"))
    assert {path.stem for path in files} == {row.id for row in CATALOGUE if row.scenario}
    assert all(re.match(r"# .+\n(.*\n)*?# Source: ", path.read_text(encoding="utf-8")) for path in files)
