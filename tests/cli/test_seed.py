"""deepswarm seed, as a user sees it: what it writes, what it refuses, and what it says."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from deepswarm.cli import seed
from deepswarm.core.errors import TaskFileError
from deepswarm.taskfile import load

TASK = """\
worker_model: deepseek-v4-flash
prompt_template: "{{seed}}"
"""
SECTION = """\
seeds:
  template: "Write about {{topic}} for {{reader}}."
  values:
    topic: [tides, glaciers, volcanoes]
    reader: [a child, an engineer]
"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(content=TASK + SECTION, name="task.yaml"):
    Path(name).write_text(content)
    return name


def said(*arguments):
    result = CliRunner().invoke(seed.command, arguments)
    assert result.exception is None, result.exception
    return result


def refusal(*arguments):
    result = CliRunner().invoke(seed.command, arguments, standalone_mode=False)
    assert isinstance(result.exception, (TaskFileError, click.UsageError)), result.output
    assert result.stdout == ""
    return str(result.exception)


def seeds(path="seeds.jsonl"):
    return lines(Path(path).read_text())


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_every_combination_is_written_to_the_seeds_file_of_the_task():
    assert said("--task", written()).stdout == "seeds.jsonl: 6 seeds\n"
    assert seeds()[0] == {"seed": "Write about tides for a child.", "topic": "tides", "reader": "a child"}
    assert seeds()[5]["seed"] == "Write about volcanoes for an engineer."


def test_the_seeds_file_lies_beside_the_task_wherever_the_command_is_given(tmp_path):
    Path("deep").mkdir()
    said(written(TASK + "seeds_file: data/my.jsonl\n" + SECTION, "deep/task.yaml"))
    assert len(seeds(tmp_path / "deep" / "data" / "my.jsonl")) == 6


def test_a_task_file_of_the_usual_name_need_not_be_named():
    written()
    said()
    assert len(seeds()) == 6


DESCRIBED = "seeds:\n  wanted: Questions about the sea\n  count: 20\n"


def test_described_seeds_need_a_key_before_anything_is_asked(monkeypatch):
    monkeypatch.delenv("DEEPSEEK_API_KEY", raising=False)
    result = CliRunner().invoke(seed.command, [written(TASK + DESCRIBED)], standalone_mode=False)
    assert isinstance(result.exception, TaskFileError)
    assert "DEEPSEEK_API_KEY" in str(result.exception)
    assert not Path("seeds.jsonl").exists()


@pytest.mark.parametrize("option", [["--values", "a=1,2"], ["--template", "x"], ["--output", "-"]])
def test_described_seeds_take_no_values(option):
    assert "describes its seeds" in refusal(written(TASK + DESCRIBED), *option)


def test_described_seeds_that_cannot_be_had_over_the_wire_end_with_how_it_ended():
    from deepswarm.testing.served import serving

    with serving(Path.cwd()) as provider:
        base = f"worker_api_base: {provider.address}/v1\nworker_retries: 0\n"
        result = CliRunner().invoke(seed.command, [written(TASK + base + DESCRIBED)], standalone_mode=False)
    assert result.return_value == 1
    assert "seeds.jsonl: not written; 0 of 20 seeds so far" in result.stdout
    assert "calls to deepseek-v4-flash" in result.stdout
    assert not Path("seeds.jsonl").exists()


def test_the_same_command_again_changes_nothing():
    written()
    said()
    assert said().stdout == "seeds.jsonl: unchanged, 6 seeds\n"


def test_a_file_with_other_seeds_is_only_replaced_by_force():
    written()
    Path("seeds.jsonl").write_text('"mine"\n')
    assert "--force" in refusal()
    assert seeds() == ["mine"]
    said("--force")
    assert len(seeds()) == 6


def test_a_small_count_touches_every_value():
    said(written(), "--count", "3")
    assert {made["topic"] for made in seeds()} == {"tides", "glaciers", "volcanoes"}
    assert {made["reader"] for made in seeds()} == {"a child", "an engineer"}


def test_raising_the_count_keeps_the_seeds_that_are_there():
    said(written(), "--count", "3")
    few = seeds()
    said("--count", "5", "--force")
    assert seeds()[:3] == few


def test_seeds_can_go_to_standard_output_and_nothing_else_does():
    result = said(written(), "--count", "2", "--output", "-")
    assert len(lines(result.stdout)) == 2
    assert result.stderr == "2 seeds\n"
    assert not Path("seeds.jsonl").exists()


def test_another_file_can_be_named():
    assert said(written(), "--output", "other.jsonl").stdout == "other.jsonl: 6 seeds\n"
    assert len(seeds("other.jsonl")) == 6


def test_options_stand_for_a_section_that_is_not_there():
    said(written(TASK), "--template", "About {{topic}}, {{n}}", "--values", "topic= tides, ice ", "--values", "n=1..2")
    assert [made["seed"] for made in seeds()] == ["About tides, 1", "About tides, 2", "About ice, 1", "About ice, 2"]


def test_options_win_over_the_section():
    said(written(), "--template", "{{topic}}!", "--values", "topic=rain", "--set", "seeds.count=1")
    assert seeds() == [{"seed": "rain!", "topic": "rain", "reader": "a child"}]


def test_with_values_and_an_output_no_task_is_needed():
    said("--values", "n=3..1..-1", "--output", "n.jsonl")
    assert seeds("n.jsonl") == [{"n": 3}, {"n": 2}, {"n": 1}]


def test_a_list_in_json_may_hold_commas_and_numbers():
    result = said("--values", 'a=["x, y", 3, null]', "--output", "-")
    assert [made["a"] for made in lines(result.stdout)] == ["x, y", 3, None]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--values", "topic"], "write it as NAME=A,B"),
        (["--values", "=a,b"], "write it as NAME=A,B"),
        (["--values", 'a=["x"'], "not a JSON list"),
        (["--values", "a="], "'a' is an empty list"),
        (["--values", "a=5..1"], "holds no number"),
        (["--values", "a=x", "--template", "{{b}}"], "uses {{b}}, for which there are no values"),
        (["--values", "a=x", "--template", "{{"], "cannot be read"),
        (["--values", "id=x"], "ids must differ"),
        (["--values", "a=1..4000", "--values", "b=1..4000"], "16,000,000 combinations"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_written(arguments, told):
    assert told in refusal(*arguments, "--output", "n.jsonl")
    assert not Path("n.jsonl").exists()


@pytest.mark.parametrize(
    "prompt", ["{{seed}}", "Translate {{text}} into {{language}}.", "{{seed}} {{topic}}", "no field"]
)
def test_without_a_section_the_message_holds_one_that_only_has_to_be_pasted(prompt):
    task = TASK.replace("{{seed}}", prompt)
    message = refusal(written(task))
    assert "it has no seeds: section" in message
    Path("pasted.yaml").write_text(task + message[message.index("\nseeds:\n") :] + "\n")
    assert load("pasted.yaml").spec.seeds
    said("pasted.yaml")
    assert seeds()


def test_seeds_that_the_prompt_could_not_use_are_refused():
    message = refusal(written(TASK), "--values", "topic=tides")
    assert "uses {{seed}}, which these seeds would not have" in message
    assert "a template gives them {{seed}}" in message
    said("--values", "topic=tides", "--output", "other.jsonl")


def test_a_seeds_file_of_another_kind_is_refused():
    assert "can only be made as JSONL" in refusal(written(TASK + "seeds_file: seeds.csv\n" + SECTION))


def test_a_task_file_that_is_not_there_is_told():
    assert "no such file" in refusal()


def run(*arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "deepswarm", "seed", *arguments]
    return subprocess.run(command, capture_output=True, env=environment, check=False, **options)


def test_the_program_ends_with_0_and_with_2():
    written()
    assert run().returncode == 0
    refused = run("--count", "2")
    assert refused.returncode == 2
    assert refused.stdout == b""
    assert b"Traceback" not in refused.stderr


def test_a_reader_that_leaves_early_hears_no_complaint():
    process = subprocess.Popen(
        [sys.executable, "-m", "deepswarm", "seed", "--values", "n=1..100000", "--output", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with process:
        assert process.stdout.readline() == b'{"n":1}\n'
        process.stdout.close()
        assert process.stderr.read() == b""
