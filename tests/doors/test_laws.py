"""Law files: what they take, and what they say about what they do not take."""

from dataclasses import fields

import pytest

from deepswarm.core.errors import TaskFileError
from deepswarm.simulator import law as law_module
from deepswarm.simulator.law import (
    BodyKind,
    Fault,
    FaultKind,
    Latency,
    Law,
    ReplyKind,
    ReplyLaw,
    Tokens,
    load_law,
    presets,
)

WHOLE = """\
concurrency = 8
retry_after_s = 1.5
[latency]
median_s = 2
sigma = 0.5
per_token_s = 0.01
[tokens]
median = 30
sigma = 0.2
[reply]
kind = "json"
fenced = 0.25
prose = 0.25
trailing_comma = 0.25
truncated = 0.25
[[faults]]
kind = "status"
status = 503
body = "html"
rate = 0.125
retry_after_s = 3
[[faults]]
kind = "huge"
size_bytes = 1_000
seeds = [7, "x"]
attempts = [1, 2]
after_s = 9
"""


def written(folder, text):
    path = folder / "law.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder, text):
    path = written(folder, text)
    with pytest.raises(TaskFileError) as caught:
        load_law(path)
    assert {problem.file for problem in caught.value.problems} == {str(path)}
    return caught.value.problems


@pytest.mark.parametrize("name", presets())
def test_every_preset_is_a_law_and_explains_itself(name):
    assert load_law(name).name == name
    assert (law_module.LAWS / f"{name}.toml").read_text(encoding="utf-8").startswith("# ")


def test_the_presets_of_this_version_are_there():
    assert {"unlimited", "concurrency-cap"} <= set(presets())
    assert load_law("unlimited").concurrency == 0
    assert load_law("concurrency-cap").concurrency > 0


def test_every_key_of_a_file_arrives(tmp_path):
    path = written(tmp_path, WHOLE)
    assert load_law(path) == Law(
        concurrency=8,
        retry_after_s=1.5,
        latency=Latency(2.0, 0.5, 0.01),
        tokens=Tokens(30, 0.2),
        reply=ReplyLaw(ReplyKind.JSON, 0.25, 0.25, 0.25, 0.25),
        faults=(
            Fault(FaultKind.STATUS, 0.125, status=503, body=BodyKind.HTML, retry_after_s=3.0),
            Fault(
                FaultKind.HUGE, seeds=frozenset({"7", "x"}), attempts=frozenset({1, 2}), after_s=9.0, size_bytes=1000
            ),
        ),
        name=str(path),
    )


def test_an_empty_file_is_the_law_of_all_defaults(tmp_path):
    path = written(tmp_path, "")
    assert load_law(path) == Law(name=str(path))


@pytest.mark.parametrize("kind", [Law, Latency, Tokens, ReplyLaw, Fault])
def test_every_key_is_explained(kind):
    for key in fields(kind):
        if key.metadata:
            assert f"{key.name} =" in law_module.__doc__ or f"[{key.name}]" in law_module.__doc__


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_kind_of_fault_can_be_written(tmp_path, kind):
    needed = {FaultKind.STATUS: "status = 500", FaultKind.HUGE: "size_bytes = 10"}.get(kind, "")
    assert load_law(written(tmp_path, f'[[faults]]\nkind = "{kind}"\n{needed}\n')).faults[0].kind is kind


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(tmp_path):
    (problem,) = problems_of(tmp_path, "# a law\nconcurency = 3\n")
    assert (problem.line, problem.source, problem.hint) == (2, "concurency = 3", "did you mean 'concurrency'?")
    assert "concurency" in problem.what


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path):
    text = 'concurrency = -1\n[latency]\nmedian = 2\n[[faults]]\nkind = "hang"\n[[faults]]\nkind = "hangs"\nrate = 2\n'
    problems = problems_of(tmp_path, text)
    assert [problem.what.partition(":")[0] for problem in problems] == [
        "concurrency",
        "latency.median",
        "faults[1].kind",
        "faults[1].rate",
    ]
    assert [problem.line for problem in problems] == [1, 3, 7, 8]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurrency = 1.5", "whole number"),
        ("concurrency = true", "whole number"),
        ('retry_after_s = "2"', "number"),
        ("retry_after_s = nan", "number"),
        ("retry_after_s = inf", "number"),
        ("latency = 3", "table"),
        ("faults = 3", "list of tables"),
        ("faults = [3]", "table"),
        ('reply.kind = "xml"', "one of text, json"),
        ("reply.kind = [1]", "one of text, json"),
        ("reply.fenced = 1.5", "from 0 to 1"),
        ("[reply]\nfenced = 0.6\nprose = 0.6", "more than 1"),
        ("[[faults]]\nrate = 0.1", "'kind' is missing"),
        ('[[faults]]\nkind = "status"', "needs the key 'status'"),
        ('[[faults]]\nkind = "status"\nstatus = 200', "from 400 up"),
        ('[[faults]]\nkind = "huge"', "needs the key 'size_bytes'"),
        ('[[faults]]\nkind = "hang"\nstatus = 500', "means nothing for the kind 'hang'"),
        ('[[faults]]\nkind = "hang"\nseeds = 7', "list"),
        ('[[faults]]\nkind = "hang"\nseeds = [1.5]', "names or whole numbers"),
        ('[[faults]]\nkind = "hang"\nattempts = [0]', "from 1 up"),
        ('[[faults]]\nkind = "status"\nstatus = 500\nmessage = 5', "must be text"),
    ],
)
def test_a_value_that_a_key_does_not_take_is_refused(tmp_path, text, said):
    (problem,) = problems_of(tmp_path, text)
    assert said in problem.what


def test_what_is_not_toml_is_told_with_its_place(tmp_path):
    (problem,) = problems_of(tmp_path, "concurrency = 1\nlatency = = 2\n")
    assert (problem.line, problem.source) == (2, "latency = = 2")
    assert problem.column > 0


def test_a_file_that_ends_too_early_is_told(tmp_path):
    (problem,) = problems_of(tmp_path, "concurrency = [1,")
    assert "not TOML" in problem.what


def test_a_misspelt_preset_gets_a_suggestion():
    with pytest.raises(TaskFileError, match="did you mean 'concurrency-cap'"):
        load_law("concurency-cap")


def test_an_unknown_law_lists_the_presets():
    with pytest.raises(TaskFileError, match=", ".join(presets())):
        load_law("nothing/like/it.toml")


def test_a_folder_is_not_a_law(tmp_path):
    with pytest.raises(TaskFileError, match="cannot be read"):
        load_law(tmp_path)


def test_a_schema_turns_answers_into_json():
    law = load_law("unlimited").with_schema({"type": "array"})
    assert (law.reply.kind, law.schema) == (ReplyKind.JSON, {"type": "array"})
