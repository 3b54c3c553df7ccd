"""From a file to a task: what YAML and JSON may look like, and what is said, with its place, about everything else."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.section import keys_of
from deepswarm.core.spec import TaskSpec
from deepswarm.taskfile import MOST_PROBLEMS, TaskFile, load, resolve
from deepswarm.taskfile.nodes import MOST_VALUES
from deepswarm.taskfile.text import MOST_BYTES

SMALLEST = "worker_model: m\nprompt_template: Write about {{seed}}.\n"

PAGE = """\
# What to do
task_type: generation # generation | translation | summarization | custom
prompt_template: |
  You are an AI assistant. {{seed}}

# Model routing (tiered delegation)
orchestrator_model: deepseek-v4-pro # Plans, monitors, handles errors
worker_model: deepseek-v4-flash # Executes batches (cheaper!)
worker_api_base: https://api.deepseek.com/v1/chat/completions
worker_max_tokens: 4096

# Execution control
multi_turn: true # Workers loop through conversation turns
max_turns: 20 # Max turns per worker conversation
seeds_file: seeds.jsonl # Pre-generated task seeds

# Worker optimization (auto-calculated if omitted)
workers: auto # auto | N
stagger: auto # auto | seconds
batch_size: auto # auto | tasks per worker

# Output
output_dir: output/
output_format: jsonl # jsonl | json | parquet
checkpoint_every: 10 # Save progress every N tasks

# Optional: custom worker logic
worker_script: custom_worker.py # Override default worker behavior
"""

FIVE_MISTAKES = """\
# short stories for the corpus
prompt_template: |
  Write a story about {{topic}}.
  Use {{words} words.
worker_modle: deepseek-v4-flash
api_key: sk-0123456789abcdef0123456789abcdef

workers: 0            # as many as possible
output_format: jsnol
"""

FIVE_SENTENCES = """\
task.yaml:4:3: 'prompt_template' is not a template: unexpected '}'
      Use {{words} words.
      ^
    hint: {{name}} takes a seed's field; between {% raw %} and {% endraw %}, {{ and {% stand for themselves
task.yaml:5:1: unknown key 'worker_modle'
    worker_modle: deepseek-v4-flash
    ^
    hint: did you mean 'worker_model'?
task.yaml:6:1: a key must not stand here: a task file only names the environment variable that holds it
    api_key: ***********************************
    ^
    hint: write api_key_env: DEEPSEEK_API_KEY, for example, and put the key there; replace a key that others have seen
task.yaml:8:10: 'workers' must be auto or a whole number from 1 to 100000, not 0
    workers: 0            # as many as possible
             ^
task.yaml:9:16: 'output_format' must be jsonl, json or parquet, not 'jsnol'
    output_format: jsnol
                   ^
    hint: did you mean jsonl?"""


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def written(content, name="task.yaml"):
    path = Path(name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def task(content, *overrides):
    return load(written(content), overrides).spec


def problems(content, *overrides):
    with pytest.raises(TaskFileError) as caught:
        load(written(content), overrides)
    assert caught.value.exit_code == 2
    return caught.value.problems


def only(content, *overrides):
    [problem] = problems(content, *overrides)
    return problem


# --- the page's file and the golden one ------------------------------------------------------------------------------


def test_of_the_pages_own_task_file_exactly_the_keys_that_are_not_built_are_refused():
    assert [(p.line, p.column, p.what) for p in problems(PAGE)] == [
        (28, 1, "'worker_script': worker code of your own is not built yet"),
    ]


def test_the_pages_task_file_without_these_keys_is_sound():
    spec = task(re.sub(r"(?m)^(worker_script):.*\n", "", PAGE))
    assert spec.prompt_template == "You are an AI assistant. {{seed}}\n"
    assert spec.worker_max_tokens == 4096
    assert spec.checkpoint_every == 10


def test_five_mistakes_are_told_at_once_each_at_its_place():
    with pytest.raises(TaskFileError) as caught:
        load(written(FIVE_MISTAKES))
    assert str(caught.value) == FIVE_SENTENCES


# --- what is read ----------------------------------------------------------------------------------------------------


def test_a_task_file_keeps_its_path_its_text_and_its_task():
    read = load(written(SMALLEST))
    assert (read.path, read.text, read.spec.worker_model) == (Path("task.yaml"), SMALLEST, "m")
    assert "Write about" not in repr(read).partition("spec=")[0]


def test_json_is_accepted_since_it_is_yaml():
    values = {
        "worker_model": "m",
        "prompt_template": 'tabs\tquotes" slashes/ \\ é 😀 \n{{seed}}',
        "worker_params": {"a": [1, 2.5, -1e3, True, False, None, {}, []]},
        "call_timeout": 1e2,
    }
    for indent in (None, 2, "\t"):
        for plain in (True, False):
            spec = task(json.dumps(values, indent=indent, ensure_ascii=plain))
            assert spec.prompt_template == values["prompt_template"]
            assert spec.worker_params == values["worker_params"]


def test_json_with_escaped_slashes_is_read():
    assert task(r'{"worker_model": "a\/b", "prompt_template": "\u007b{seed}}"}').worker_model == "a/b"


def test_yaml_is_read_by_the_rules_of_version_1_2():
    spec = task(
        SMALLEST
        + "worker_params: {a: yes, b: 010, c: 0x1F, d: 0o17, e: 2026-11-22, f: ~, g: .5, h: 1e3, i: 1_000, j: 12:30,"
        " k: +3, l: NULL, m: True, nn: '1', o: !!str 2, p: =, q: 1.}\n"
    )
    assert spec.worker_params == {
        "a": "yes",
        "b": 10,
        "c": 31,
        "d": 15,
        "e": "2026-11-22",
        "f": None,
        "g": 0.5,
        "h": 1000.0,
        "i": "1_000",
        "j": "12:30",
        "k": 3,
        "l": None,
        "m": True,
        "nn": "1",
        "o": "2",
        "p": "=",
        "q": 1.0,
    }


def test_small_aliases_may_be_used():
    spec = task(SMALLEST + "worker_params:\n  a: &some [1, 2]\n  b: *some\n")
    assert spec.worker_params == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_kind_of_line_ends_is_read_and_counted_alike(end):
    assert load(written((SMALLEST + "workers: 4\n").replace("\n", end))).text == SMALLEST + "workers: 4\n"
    problem = only((SMALLEST + "\n# x\nworkers: 0\n").replace("\n", end))
    assert (problem.line, problem.column, problem.source) == (5, 10, "workers: 0")


def test_a_byte_order_mark_is_passed_over_and_not_counted():
    problem = only(b"\xef\xbb\xbf" + b"workers: 0\n" + SMALLEST.encode())
    assert (problem.line, problem.column) == (1, 10)


def test_a_document_may_have_its_marks():
    assert task("%YAML 1.2\n---\n" + SMALLEST + "...\n").worker_model == "m"


def test_names_in_a_task_start_at_its_folder(tmp_path):
    Path("deep/er").mkdir(parents=True)
    read = load(written(SMALLEST, "deep/er/task.yaml"))
    assert resolve(read, "seeds.jsonl") == Path("deep/er/seeds.jsonl")
    assert resolve(read, "../out/") == Path("deep/er/../out")
    assert resolve(read, str(tmp_path / "x")) == tmp_path / "x"
    assert resolve(load(written(SMALLEST)), "seeds.jsonl") == Path("seeds.jsonl")


# --- files that are no task files ------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(TaskFileError) as caught:
        load(path)
    [problem] = caught.value.problems
    return problem


def test_a_missing_file_is_told_with_what_may_be_meant():
    written(SMALLEST, "tasks.yaml")
    written("x", "notes.txt")
    assert str(refused("task.yaml")) == "task.yaml: there is no such file\n    hint: did you mean tasks.yaml?"


def test_a_missing_file_with_no_like_name_is_told_with_the_task_files_that_are_there():
    written(SMALLEST, "stories.yml")
    assert refused("task.json").hint == "did you mean stories.yml?"


def test_a_missing_file_in_a_missing_folder_is_told_so():
    assert refused("nowhere/task.yaml").hint == "there is no folder nowhere either"


def test_a_missing_file_in_an_empty_folder_says_what_a_task_file_is():
    assert "worker_model" in refused("task.yaml").hint


def test_a_folder_is_told_with_the_task_file_in_it():
    Path("stories").mkdir()
    written(SMALLEST, "stories/task.yaml")
    problem = refused("stories")
    assert problem.what == "this is a folder, not a task file"
    assert problem.hint == "did you mean stories/task.yaml?"


def test_a_file_that_may_not_be_read_is_told(monkeypatch):
    def locked(*_):
        raise PermissionError(13, "Permission denied")

    path = written(SMALLEST)
    monkeypatch.setattr(Path, "open", locked)
    assert refused(path).what == "this file may not be read"


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "\udcff", "task.yaml/x", ""])
def test_a_name_that_no_file_can_have_is_told_in_printable_letters(name):
    written(SMALLEST)
    problem = refused(name)
    assert str(problem).isprintable() or "\n" in str(problem)
    str(problem).encode()


@pytest.mark.parametrize("content", ["", "\n\n", "# only a remark\n", "---\n", "\ufeff", " \t\n"])
def test_an_empty_file_is_told_with_the_smallest_task(content):
    problem = only(content)
    assert (problem.what, problem.line, problem.column) == ("the task file is empty", 1, 1)
    assert "worker_model" in problem.hint


def test_a_file_that_is_not_utf_8_is_told_with_the_byte_and_its_place():
    problem = only("# é\nworker_model: é".encode() + b"caf\xe9\n")
    assert problem.what == "this is not UTF-8: byte 24 of the file is 0xe9"
    assert (problem.line, problem.column) == (2, 19)


def test_a_file_in_utf_16_is_recognised():
    assert "UTF-16" in only(SMALLEST.encode("utf-16")).hint


def test_a_file_that_is_too_large_is_not_read():
    assert "larger than 1 MiB" in only(b"#" * (MOST_BYTES + 1)).what


def test_a_file_without_end_is_not_read_to_its_end():
    assert "larger than 1 MiB" in refused("/dev/zero").what


@pytest.mark.parametrize(
    ("content", "found"),
    [("- a\n- b\n", "a list"), ("hello\n", "only a value"), ("42", "only a value"), ("~", "nothing")],
)
def test_a_file_whose_top_is_no_section_is_told(content, found):
    problem = only(content)
    assert problem.what == f"a task file is made of 'key: value' lines, and this is {found}"
    assert (problem.line, problem.column) == (1, 1)


# --- mistakes of writing ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "place", "what"),
    [
        ("a:\n\tb: 1\n", (2, 1), "a tab stands where YAML takes only spaces"),
        ("a: b: c\n", (1, 5), "a second colon stands on this line"),
        ("a: 1\nfoo bar\nb: 2\n", (2, 1), "this line is not 'key: value'"),
        ("a: 1\n  b: 2\n", (2, 4), "this line is indented as if it belonged to the line above"),
        ("  a: 1\nb: 2\n", (2, 1), "this line is indented neither like the lines above nor below one of them"),
        ("s:\n    a: 1\n   b: 2\n", (3, 4), "this line is indented neither like the lines above nor below one of them"),
        ("a: 'abc\nb: 2\n", (1, 4), "the quotation mark that opens here is never closed"),
        ('a: "ab\\qc"\n', (1, 8), "\\q means nothing between double quotation marks"),
        ("a: [1, 2\nb: 3\n", (2, 2), "a comma or the closing bracket is missing before this; the [ is on line 1"),
        ("a: {b: 1\n", (1, 4), "the { that opens here is never closed"),
        ("a: {{seed}} and more\n", (1, 4), "{{ begins a section in YAML, not text"),
        ("a: @x\n", (1, 4), "plain text cannot begin with @"),
        ('a: "x" y\n', (1, 8), "something stands behind the end of the value"),
        ("a: - b\n", (1, 4), "a list cannot begin on the line of its key"),
        ("a: |x\n  b\n", (1, 5), "nothing may follow | or > on its line"),
        ("p: |\nYou are. {{seed}}\nw: 3\n", (2, 1), "this line stands outside the block of text above"),
        ("a: \x01\n", (1, 4), "the character U+0001 must not stand in a task file"),
        ("a: " + "[" * 60, (1, 43), "this is nested more than 40 levels deep"),
        ("a: [" + "1," * 30_000 + "]", (1, 2 * MOST_VALUES + 1 - 2), "this file holds more than 20,000 values"),
    ],
)
def test_a_mistake_of_yaml_is_told_in_plain_words_at_its_place(content, place, what):
    problem = only(content)
    assert problem.what.startswith(what)
    assert problem.hint
    if "values" not in what:
        assert (problem.line, problem.column) == place


@pytest.mark.parametrize(
    ("line", "place", "what"),
    [
        ("workers: {{n}}", (3, 10), "{{ begins a section in YAML, not text"),
        ("workers: *most", (3, 10), "*most repeats a value, but no &most stands before it"),
        ("worker_params: &p {a: [*p]}", (3, 24), "*p repeats itself without end"),
        ("workers: !number 3", (3, 10), "the tag !number means nothing here"),
        ("1: x", (3, 1), "a key must be text, and this is 1"),
        ("true: x", (3, 1), "a key must be text, and this is true"),
        (": x", (3, 1), "there is no key before this colon"),
        ("? [a, b]\n: x", (3, 3), "a key must be text"),
        ("worker_params:\n  logit_bias: {50256: -1}", (4, 16), "a key must be text, and this is 50256"),
        ("worker_params: &p {a: 1}\nfilters:\n  - <<: *p", (5, 5), "merge keys (<<) are not read here"),
        ("workers: " + "9" * 301, (3, 10), "this number is too large"),
        ('seeds_file: "\\ud800"', (3, 13), "this text holds half of a character (one of \\ud800 to \\udfff alone)"),
        ("---\nworkers: 3", (3, 1), "a second document begins here"),
        ("worker_model: n", (3, 1), "the key 'worker_model' stands here again; it is on line 1 already"),
        ("worker_params: {a: 1, b: 2, a: 3}", (3, 29), "the key 'a' stands here again; it is on line 3 already"),
    ],
)
def test_what_yaml_allows_and_a_task_file_does_not_is_told_at_its_place(line, place, what):
    problem = only(SMALLEST + line + "\n")
    assert problem.what == what
    assert (problem.line, problem.column) == place
    assert problem.hint


def test_aliases_cannot_blow_a_small_file_up():
    bomb = "a: &a [1,1,1,1,1,1,1,1,1]\n"
    for before, name in zip("abcdefghij", "bcdefghijk", strict=True):
        bomb += f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]\n"
    assert any(problem.what == "aliases (*name) repeat too much here" for problem in problems(bomb))


def test_mistakes_of_writing_and_wrong_values_are_told_together():
    found = problems(SMALLEST + "workers: 0\nworkers: 3\n7: x\nstagger: -1\nfilters: !x []\ncolour: red\n")
    assert [(p.line, p.what.split(",", 1)[0]) for p in found] == [
        (3, "'workers' must be auto or a whole number from 1 to 100000"),
        (4, "the key 'workers' stands here again; it is on line 3 already"),
        (5, "a key must be text"),
        (6, "'stagger' must be auto or a number from 0 to 3600"),
        (7, "the tag !x means nothing here"),
        (8, "unknown key 'colour'"),
    ]


def test_the_caret_stands_below_the_value():
    assert str(only(SMALLEST + "worker_params: {a: 1, n: 4}\n")).splitlines()[1:3] == [
        "    worker_params: {a: 1, n: 4}",
        "                          ^",
    ]


def test_what_is_missing_in_a_section_is_told_where_the_section_begins():
    problem = only(SMALLEST + "seeds:\n  count: 3\n")
    assert (problem.line, problem.column, problem.what) == (3, 1, "the key 'seeds.values' is missing")


def test_a_mistake_in_a_block_of_text_is_told_at_its_own_line():
    problem = only("worker_model: m\nprompt_template: |\n  one\n\n  three {{a b}}\n  four\n")
    assert problem.line == 5
    assert problem.source.strip() == "three {{a b}}"


def test_lines_that_are_too_wide_are_cut_or_left_out():
    problem = only(SMALLEST + "workers: 0 #" + "x" * 500)
    assert len(problem.source) < 120
    assert problem.source.endswith("…")
    assert only("{" + f'"worker_model": "m", "prompt_template": "{"x" * 300}", "workers": 0' + "}").source == ""


def test_nothing_that_moves_the_cursor_reaches_the_terminal():
    text = str(only(SMALLEST + "workers: 0 # \x85\u202e\u200b\n"))
    assert "\x85" not in text
    assert "\u202e" not in text
    assert "\x1b" not in str(only(SMALLEST + '"\\e[31mred": 1\n'))


def test_some_other_large_file_does_not_fill_the_screen():
    found = problems("".join(f"name{n}: {n}\n" for n in range(300)))
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1].what == "and 202 more problems"


# --- --set -----------------------------------------------------------------------------------------------------------


def test_overrides_change_the_task_and_the_last_one_wins():
    spec = task(SMALLEST, "workers=4", "workers=5", "worker_params.temperature=0.2", "worker_params.stop=[a, b]")
    assert spec.workers == 5
    assert spec.worker_params == {"temperature": 0.2, "stop": ["a", "b"]}


def test_an_override_reaches_into_a_section_of_the_file():
    text = SMALLEST + "worker_params: {a: 1, b: 2}\n"
    assert task(text, "worker_params.b=3").worker_params == {"a": 1, "b": 3}
    assert task(text, "worker_params={c: 3}").worker_params == {"c": 3}


@pytest.mark.parametrize("text", ["4.10", "{{seed}}", "a: b: c", "yes, [no", "true", "@x", "- x", "a # b", "=", "x=y"])
def test_a_key_that_takes_text_takes_any_text(text):
    assert task(SMALLEST, f"system_prompt={text}").system_prompt == text


def test_quoted_text_and_null_keep_their_meaning_for_a_key_that_takes_text():
    assert task(SMALLEST, "worker_model='4.1'").worker_model == "4.1"
    assert task(SMALLEST + "system_prompt: x\n", "system_prompt=null").system_prompt is None


def test_an_override_mends_a_wrong_value_of_the_file():
    assert task(SMALLEST + "workers: 0\n", "workers=3").workers == 3


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("workers=0", "--set workers: 'workers' must be auto or a whole number from 1 to 100000, not 0"),
        ("wrokers=3", "--set wrokers: unknown key 'wrokers'\n    hint: did you mean 'workers'?"),
        ("colour.deep=3", "--set colour.deep: unknown key 'colour'\n    hint: `deepswarm schema` shows all keys"),
        ("seeds.cuont=3", "--set seeds.cuont: unknown key 'seeds.cuont'\n    hint: did you mean 'count'?"),
        ("max_turns=3", "--set max_turns: 'max_turns' is for conversations\n    hint: write multi_turn: true as well"),
        ("workers=[1", "--set workers: the [ that opens here is never closed"),
        ("workers={{n}}", "--set workers: {{ begins a section in YAML, not text"),
        ("workers", "--set: this is not key=value\n    hint: for example: --set workers=8"),
        ("=3", "--set: this is not key=value"),
        ("a..b=3", "--set: this is not key=value"),
        ("worker_model.x=3", "--set worker_model.x: 'worker_model' is not a section, so nothing can be set in it"),
        ("api_key=hunter2", "--set api_key: a key must not stand here"),
    ],
)
def test_a_wrong_override_is_told_by_its_name_and_not_by_a_line(override, text):
    assert str(problems(SMALLEST, override)[0]).startswith(text)


def test_problems_of_the_file_come_first_and_then_those_of_the_overrides_in_their_order():
    found = problems(SMALLEST + "stagger: -1\n", "batch_size=0", "nonsense", "workers=0")
    assert [p.file for p in found] == ["task.yaml", "--set batch_size", "--set", "--set workers"]


def test_a_missing_file_and_a_wrong_override_are_told_together():
    with pytest.raises(TaskFileError) as caught:
        load("task.yaml", ["nonsense"])
    assert [p.what for p in caught.value.problems] == ["there is no such file", "this is not key=value"]


# --- secrets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secret", ["sk-0123456789abcdef", "hunter2", "a b, c", "gsk_0a1b2c3d4e5f6g7h8i9j"])
@pytest.mark.parametrize(
    "text",
    [
        "api_key: {}\n",
        'api_key: "{}"\n',
        "api_key:\n  {}\nworkers: 0\n",
        "api_key: &k '{}'\nworker_params: {{n: *k}}\n",
        "api_key: [x, '{}']\n",
        "token: {}\n",
        "api_key: {}\napi_key: {}\n",
        "api_key: '{}\n",
        "workers: [0\napi_key: {}\n",
        "api_key_env: '{}!'\n",
        "api_key_env: '{}!'\napi_key_env: '{}!'\n",
        "worker_params: {{api_key: '{}', n: 3}}\n",
        "worker_params:\n  headers:\n    Authorization: Bearer {}\n",
        "{{'worker_modle': 'm', 'api_key': '{}', 'workers': 0}}\n",
        "worker_modle: m # api_key: {}\n",
    ],
)
def test_no_message_holds_a_secret(secret, text):
    filled = text.replace("{}", secret).replace("{{", "{").replace("}}", "}")
    for content in (filled, "worker_model: m\n" + filled):
        with pytest.raises(TaskFileError) as caught:
            load(written(content))
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value.problems)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("key", ["worker_api_base", "output_format", "workers", "task_type", "sk-0123456789abcdef0123"])
def test_no_message_holds_what_looks_like_a_key_wherever_it_stands(key):
    secret = "sk-0123456789abcdef0123"
    for content in (f"{key}: {secret}\n", f"workers: 0 # {secret}\n", f"workers: [\n{key}: '{secret}\n"):
        assert secret not in "\n".join(map(str, problems(SMALLEST + content, f"{key}={secret}", secret)))


def test_a_password_in_the_address_is_shown_nowhere():
    text = str(problems(SMALLEST + "worker_api_base: https://joe:hunter2@x.org/v1?key=hunter2\nworkers: 0\n"))
    assert "hunter2" not in text


def test_the_name_of_a_variable_is_shown():
    assert only(SMALLEST + "{}\n").source.strip() == "{}"
    found = problems("worker_model: m\napi_key_env: DEEPSEEK_API_KEY  # {\nprompt_template: 3\nworkers: 0\n")
    assert [p.line for p in found] == [3, 4]


# --- whatever is written ---------------------------------------------------------------------------------------------

_WORDS = st.sampled_from(
    [
        *keys_of(TaskSpec),
        "orchestrator_model",
        "api_key",
        "a",
        "<<",
        "'",
        '"',
        "{{seed}}",
        "{% if %}",
        "auto",
        "0",
        "1.5",
        ": ",
        ":\n",
        "\n",
        "\n  ",
        "\n\t",
        "- ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "|\n",
        ">-\n",
        "&x ",
        "*x",
        "!!str ",
        "!t ",
        "# ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "\\ud800",
        "\\U99999999",
        "\\x",
        "\r\n",
        "\x85",
        "\u2028",
        "é",
        "😀",
        "true",
        "~",
    ]
)


def _tried(path, *overrides):
    """The problems with which a file is refused; none when it is read. Any other end is a fault of ours."""
    try:
        assert isinstance(load(path, overrides), TaskFile)
    except TaskFileError as error:
        str(error).encode()
        return error.problems or (Problem("refused without a problem"),)
    return ()


def _only_ever_refused(content):
    for problem in _tried(written(content)):
        assert problem.what
        assert problem.line >= 1 or "larger" in problem.what or "more problems" in problem.what
        assert (problem.line >= 1) == (problem.column >= 1)


_TRY = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_TRY
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused_and_nothing_else(content):
    _only_ever_refused(content)


@_TRY
@given(st.lists(_WORDS, max_size=40).map("".join))
def test_random_yaml_is_read_or_refused_and_nothing_else(content):
    _only_ever_refused(content)
    _only_ever_refused(SMALLEST + content)


@_TRY
@given(st.lists(_WORDS, max_size=12).map("".join))
def test_random_overrides_are_read_or_refused_and_nothing_else(override):
    path = written(SMALLEST)
    for text in (override, f"workers={override}", f"worker_params.{override}", f"system_prompt={override}"):
        assert all(problem.file.startswith("--set") for problem in _tried(path, text))


@_TRY
@given(
    st.dictionaries(
        st.text(max_size=40),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=40), inner, max_size=4),
            max_leaves=10,
        ),
        max_size=4,
    )
)
def test_any_json_is_read_as_json_reads_it(params):
    text = json.dumps({"worker_model": "m", "prompt_template": "x", "seeds": {"values": {"x": [params]}}})
    assert task(text).seeds.values == {"x": [params]}
