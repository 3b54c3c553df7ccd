"""Filters that judge while a run goes on: what fails is asked again, and what fails to the last is still there."""

from __future__ import annotations

import pytest

from deepswarm.core.errors import TaskFileError
from deepswarm.core.events import CallEnded
from deepswarm.engine.filtering import apply
from deepswarm.filters import build
from deepswarm.simulator.law import Law
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.testing.builders import rehearse

SEEDS = [{"id": f"s{n}", "prompt": f"[[id:{n}]] How does the tide turn?", "n": n} for n in range(4)]
LONG = {"length": {"min_words": 5, "inline": True}}


def run_of(folder, filters, writer, **keys):
    return rehearse(
        folder, SEEDS, Law(), provider=SimulatedProvider(Law(), writer=writer), filters=filters, workers=2, **keys
    )


def labels(run):
    return [event.label for event in run.journal.events if isinstance(event, CallEnded)]


def test_an_answer_that_an_inline_filter_drops_is_asked_again_and_the_model_is_told_why(tmp_path):
    asked = []

    def writer(messages, _):
        asked.append(messages)
        return "too short" if len(messages) == 1 else "now there are enough words in it"

    run = run_of(tmp_path, [LONG], writer)
    assert run.summary.totals.done == 4
    assert sorted(labels(run)) == ["filtered"] * 4 + ["ok"] * 4
    assert [record["answer"] for record in run.results] == ["now there are enough words in it"] * 4
    told = next(messages for messages in asked if len(messages) == 3)
    assert "length: 2 words, fewer than 5" in told[-1].content


def test_an_answer_that_fails_to_the_last_is_kept_as_a_result_and_dropped_only_by_the_filters(tmp_path):
    run = run_of(tmp_path, [LONG], lambda *_: "too short", worker_retries=2)
    assert run.summary.totals.done == 4
    assert run.provider.counts().served == 12
    assert labels(run).count("ok") == 4
    assert [record["attempts"] for record in run.results] == [3] * 4
    strict = apply(run.results, [LONG], tmp_path / "clean.jsonl", tmp_path / "errors.jsonl")
    assert (strict.tally.read, strict.tally.kept, strict.tally.dropped) == (4, 0, 4)
    loose = apply(run.results, [{"length": {"min_words": 1}}], tmp_path / "clean.jsonl", tmp_path / "errors.jsonl")
    assert loose.tally.kept == 4


def test_filters_that_are_not_inline_ask_nothing_again(tmp_path):
    run = run_of(
        tmp_path, [{"length": {"min_words": 5}}, {"length": {"max_words": 9, "inline": False}}], lambda *_: "x"
    )
    assert run.provider.counts().served == 4


def test_an_inline_filter_sees_the_seed_and_what_the_filters_before_it_made(tmp_path):
    (tmp_path / "checks.py").write_text(
        "def good(record):\n    return record['answer_json']['n'] == record['seed']['n']\n"
    )
    python = {"python": {"function": f"{tmp_path}/checks.py:good", "inline": True}}

    def writer(messages, _):
        number = messages[0].content.partition("[[id:")[2].partition("]]")[0]
        return f'{{"n": {number if len(messages) > 1 else 9},}}'

    run = run_of(tmp_path, [{"json_repair": {"inline": True}}, python], writer)
    assert run.provider.counts().served == 8
    assert {record["id"]: record["answer"] for record in run.results} == {f"s{n}": f'{{"n": {n},}}' for n in range(4)}


def test_the_schema_of_a_structure_that_judges_later_chooses_inline_too(tmp_path):
    structure = {"structure": {"schema": {"type": "object", "required": ["n"]}}}
    run = run_of(tmp_path, [{"json_repair": {"inline": True}}, structure], lambda *_: '{"a": 1} or {"n": 2}')
    assert run.provider.counts().served == 4


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"duplicate": {"inline": True}}, "compares all records"),
        ({"length": {"inline": "yes"}}, "must be true or false"),
    ],
)
def test_what_cannot_judge_inline_is_refused_before_the_first_call(setting, said):
    with pytest.raises(TaskFileError, match=said):
        build([setting])
