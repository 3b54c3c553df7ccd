"""`deepswarm doctor`: what it looks at, what it says, what it costs, and its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepswarm.testing.served import LAW, serving

BOUND_S = 60
KEY = "sk-CANARY-0123456789abcdefghijklmnop"
TASK = """\
prompt_template: "{{topic}}"
worker_model: mock
worker_api_base: ADDRESS
api_key_env: SOME_KEY
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def doctor(address, *arguments, extra="", key=KEY):
    Path("task.yaml").write_text(TASK.replace("ADDRESS", address) + extra)
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    done = subprocess.run(
        [sys.executable, "-m", "deepswarm", "doctor", *arguments],
        capture_output=True,
        encoding="utf-8",
        env={**clean, "SOME_KEY": key},
        timeout=BOUND_S,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert KEY not in done.stdout + done.stderr
    return done


def checks(done):
    return {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def status(number, **keys):
    lines = [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
    return "\n".join([LAW, "[[faults]]", 'kind = "status"', f"status = {number}", *lines]) + "\n"


def test_a_sound_task_passes_with_one_tiny_call(folder):
    with serving(folder) as provider:
        done = doctor(f"{provider.address}/v1")
        assert done.returncode == 0, done.stdout
        (row,) = provider.rows()
        assert row["tokens_out"] <= 16
    for name in ("task file", "disk", "open files", "model mock", "clock", "balance"):
        assert name in done.stdout
    assert "answers in" in done.stdout


@pytest.mark.parametrize(("number", "words"), [(401, "unauthorized"), (402, "out_of_funds"), (404, "no_such_model")])
def test_a_definite_refusal_is_bad_and_ends_with_2(folder, number, words):
    with serving(folder, status(number)) as provider:
        done = doctor(f"{provider.address}/v1", "--json")
        assert provider.counts()["received"] == 1
    assert done.returncode == 2
    model = checks(done)["model mock"]
    assert model["verdict"] == "bad"
    assert words in model["what"]


def test_what_may_be_gone_the_next_time_ends_with_75(folder):
    with serving(folder, status(503)) as provider:
        done = doctor(f"{provider.address}/v1", "--json")
    assert done.returncode == 75
    assert checks(done)["model mock"]["verdict"] == "not now"


def test_an_address_where_nobody_listens_ends_with_75():
    done = doctor("http://127.0.0.1:1/v1", "--json")
    assert done.returncode == 75
    assert "unreachable" in checks(done)["model mock"]["what"]


def test_a_key_that_the_provider_repeats_is_not_shown(folder):
    with serving(folder, status(401, message="no such key: {key}")) as provider:
        done = doctor(f"{provider.address}/v1")
    assert done.returncode == 2
    assert "no such key: ***" in done.stdout


def test_thinking_that_may_eat_the_answer_is_a_warning(folder):
    with serving(folder) as provider:
        done = doctor(f"{provider.address}/v1", "--json", extra="thinking: high\nworker_max_tokens: 500\n")
    assert done.returncode == 0
    assert checks(done)["thinking"]["verdict"] == "warning"
    assert "thinking: off" in checks(done)["thinking"]["hint"]


def test_a_balance_that_the_provider_tells_is_shown(folder):
    law = LAW + "[balance]\nusd = 12.5\n"
    with serving(folder, law) as provider:
        done = doctor(f"{provider.address}/v1", "--json", extra="worker_dialect: deepseek\nthinking: off\n")
    assert checks(done)["balance"]["what"].startswith("12.50 ")


def test_a_folder_that_cannot_be_written_is_bad(folder):
    Path("taken").write_text("a file")
    with serving(folder) as provider:
        done = doctor(f"{provider.address}/v1", "--json", extra="output_dir: taken\n")
    assert done.returncode == 2
    assert checks(done)["disk"]["verdict"] == "bad"
