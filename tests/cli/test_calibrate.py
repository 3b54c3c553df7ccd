import json
import subprocess
import sys
from pathlib import Path

import pytest

TASK = 'prompt_template: "{{prompt}}"\nworker_model: mock\n'


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("task.yaml").write_text(TASK)
    Path("seeds.jsonl").write_text("".join(json.dumps({"prompt": f"number {n}"}) + "\n" for n in range(500)))


def deepswarm(*arguments):
    command = [sys.executable, "-m", "deepswarm", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def answered():
    return len(Path("output-simulated/results.jsonl").read_text().splitlines())


def test_no_more_calls_are_spent_than_allowed_and_their_answers_count():
    ended = deepswarm("calibrate", "--simulate", "--law", "concurrency-cap", "--calls", "60")
    assert ended.returncode == 0, ended.stderr
    assert "calls in flight" in ended.stdout
    assert "limits: none was met" in ended.stdout
    assert 0 < answered() <= 60
    assert not Path("output-simulated/accounts.sqlite").exists()
    goes_on = deepswarm("run", "--simulate", "--virtual-time", "--law", "concurrency-cap", "--set", "pace=adaptive")
    assert goes_on.returncode == 0, goes_on.stderr
    assert answered() == 500


def test_no_calls_at_all_is_wrong_usage():
    assert deepswarm("calibrate", "--simulate", "--calls", "0").returncode == 2
