"""deepswarm validate and deepswarm schema, as a user sees them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema_rs
import pytest
from click.testing import CliRunner

from deepswarm.cli import schema, validate
from deepswarm.cli.validate import MOST_SEEDS, SHOWN, look_at
from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Seed

SOUND = """\
prompt_template: Write about {{topic}}.
worker_model: deepseek-v4-flash
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)


def written(content=SOUND, name="task.yaml"):
    Path(name).write_text(content)
    return name


def invoked(*arguments):
    """What the command says, or the error that main() turns into stderr and exit code 2."""
    return CliRunner().invoke(validate.command, arguments)


def refusal(*arguments):
    result = invoked(*arguments)
    assert isinstance(result.exception, TaskFileError), result.output
    assert result.stdout == ""
    return str(result.exception)


def run(*arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        [sys.executable, "-m", "deepswarm", *arguments], capture_output=True, text=True, env=environment, check=False
    )


# --- validate --------------------------------------------------------------------------------------------------------


def test_a_sound_task_is_said_to_be_sound_with_one_line_of_what_it_will_do():
    written()
    assert invoked().stdout == (
        "task.yaml: sound\n"
        "asks deepseek-v4-flash at https://api.deepseek.com/v1/chat/completions"
        " (key: DEEPSEEK_API_KEY, which is not set)"
        " about seeds.jsonl (not there yet), as many workers as fit, answers in output/\n"
    )


def test_the_key_is_looked_for_and_not_shown(monkeypatch):
    written()
    monkeypatch.setenv("DEEPSEEK_API_KEY", "sk-canary-0123456789")
    assert "(key: DEEPSEEK_API_KEY)" in invoked().stdout
    assert "canary" not in invoked().stdout
    assert "(no key)" in invoked("--set", "worker_api_base=http://localhost:8000/v1").stdout


@pytest.mark.parametrize("arguments", [["other.yaml"], ["--task", "other.yaml"]])
def test_the_task_file_can_be_named_in_two_ways(arguments):
    written(name="other.yaml")
    assert invoked(*arguments).stdout.startswith("other.yaml: sound\n")


def test_paths_of_the_task_are_shown_from_where_the_command_is_run():
    Path("stories").mkdir()
    written(name="stories/task.yaml")
    words = invoked("stories/task.yaml", "--set", "workers=12").stdout
    assert "about stories/seeds.jsonl (not there yet), 12 workers, answers in stories/output/" in words


def test_seeds_that_a_run_will_make_are_not_missing():
    written(SOUND + "seeds: {values: {topic: [tides]}}\n")
    assert "seeds.jsonl (deepswarm run makes it)" in invoked().stdout


def test_problems_are_raised_for_stderr_all_at_once():
    written(SOUND + "workers: 0\ncolour: red\n")
    assert refusal("--set", "stagger=-1").splitlines() == [
        "task.yaml:3:10: 'workers' must be auto or a whole number from 1 to 100000, not 0",
        "    workers: 0",
        "             ^",
        "task.yaml:4:1: unknown key 'colour'",
        "    colour: red",
        "    ^",
        "    hint: `deepswarm schema` shows all keys",
        "--set stagger: 'stagger' must be auto or a number from 0 to 3600, not -1",
    ]


def test_the_command_ends_with_0_or_2_and_keeps_stdout_for_what_is_sound():
    written()
    assert run("validate").returncode == 0
    written(SOUND + "workers: 0\n")
    ended = run("validate", "task.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("task.yaml:3:10: 'workers' must be")
    assert "Traceback" not in ended.stderr


# --- seeds -----------------------------------------------------------------------------------------------------------


def test_seeds_of_a_file_are_looked_at():
    written()
    Path("seeds.jsonl").write_text('{"topic": "tides"}\n{"topic": "glaciers"}\n')
    assert "about seeds.jsonl (2 checked)" in invoked().stdout
    Path("seeds.jsonl").write_text('{"topic": "tides"}\n{"subject": "glaciers"}\n')
    assert "seeds.jsonl:2: the task needs the field 'topic', which this seed lacks" in refusal()


def seeds_of(*fields):
    return [Seed(dict(each), line=line) for line, each in enumerate(fields, 1)]


def test_a_missing_field_is_told_once_with_the_first_seed_that_lacks_it():
    count, problems = look_at(seeds_of({"a": 1}, {"b": 1, "c": 2}, {"b": 1}), frozenset({"a"}), Path("seeds.jsonl"))
    assert count == 3
    assert [str(problem) for problem in problems] == [
        "seeds.jsonl:2: the task needs the field 'a', which this seed lacks\n    hint: it has: b, c"
    ]


def test_what_the_reader_finds_is_passed_on_up_to_a_screenful():
    found = [Problem(f"wrong {n}", "seeds.jsonl", n) for n in range(1, SHOWN + 6)]
    _, problems = look_at(found, frozenset(), Path("seeds.jsonl"))
    assert problems[:SHOWN] == found[:SHOWN]
    assert [problem.what for problem in problems[SHOWN:]] == ["and 5 more such problems"]


def test_a_file_without_seeds_is_told():
    assert look_at([], frozenset(), Path("seeds.jsonl"))[1][0].what == "there is no seed in it"


def test_only_the_first_seeds_are_looked_at_so_that_a_large_file_costs_nothing():
    def endless():
        while True:
            yield Seed({"a": 1})

    assert look_at(endless(), frozenset({"a"}), Path("seeds.jsonl")) == (MOST_SEEDS, [])


# --- schema ----------------------------------------------------------------------------------------------------------


def test_the_schema_is_printed_as_json_that_editors_can_use():
    printed = json.loads(CliRunner().invoke(schema.command, []).stdout)
    validator = jsonschema_rs.validator_for(printed)
    assert validator.is_valid({"prompt_template": "x", "worker_model": "m", "workers": 3})
    assert not validator.is_valid({"prompt_template": "x", "worker_model": "m", "colour": 3})
    assert not validator.is_valid({"prompt_template": "x", "worker_model": "m", "worker_script": "m"})
