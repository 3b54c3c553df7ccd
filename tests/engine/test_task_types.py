"""Whole runs of each task type in virtual time: rehearsals pass, bad answers are asked again, then rejected."""

from __future__ import annotations

import json

import pytest

from deepswarm.core.events import CallEnded
from deepswarm.core.ledger import fold
from deepswarm.simulator.law import Law, ReplyLaw
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.tasks import TABLE
from deepswarm.testing.builders import rehearse

SECTIONS = {
    "translation": {"target_language": "fr"},
    "classification": {"labels": ["sea", "land"]},
    "extraction": {"json_schema": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}},
}
TEXT = "The ship number {n} left the harbour in 1892, and nobody has seen it since; {{who}} waits."


def seeds(count):
    return [{"id": f"s{n}", "prompt": f"[[id:{n}]] {TEXT} Ship {n} of {count}."} for n in range(count)]


def run_of(folder, kind, count=20, law=None, **keys):
    if kind in SECTIONS:
        keys[kind] = SECTIONS[kind]
    return rehearse(folder, seeds(count), law or Law(), task_type=kind, workers=4, **keys)


@pytest.mark.parametrize("kind", TABLE)
def test_a_rehearsal_of_every_type_answers_every_seed_at_the_first_call(kind, tmp_path):
    run = run_of(tmp_path, kind)
    assert run.summary.totals.done == run.provider.counts().served == 20
    assert all(record["simulated"] for record in run.results)


@pytest.mark.parametrize("kind", ["classification", "extraction", "code_review"])
def test_json_that_models_spoil_is_read_or_asked_again(kind, tmp_path):
    law = Law(reply=ReplyLaw(fenced=0.3, prose=0.3, truncated=0.3))
    run = run_of(tmp_path, kind, 60, law, worker_retries=20)
    assert run.summary.totals.done == 60
    assert run.provider.counts().served > 60
    ended = [event.label for event in run.journal.events if isinstance(event, CallEnded)]
    assert set(ended) == {"ok", "not_json"}


BAD = {
    "translation": (
        "The ship is {n} gone, and it was {{who}} in 1892 who waited there for a long time, 20.",
        "wrong_language",
    ),
    "summarization": ("word " * 500, "long_answer"),
    "classification": ('{"label": "air"}', "unknown_label"),
    "extraction": ('{"n": "one"}', "wrong_shape"),
    "code_review": ('{"findings": [{"line": 9, "severity": "low", "what": "x"}], "summary": "x"}', "no_such_line"),
}


@pytest.mark.parametrize("kind", BAD)
def test_an_answer_that_stays_bad_is_asked_again_so_often_and_then_rejected_with_class_and_reason(kind, tmp_path):
    text, label = BAD[kind]
    provider = SimulatedProvider(Law(), writer=lambda _, __: text)
    run = run_of(tmp_path, kind, 3, provider=provider, worker_retries=2)
    assert run.summary.totals.rejected == 3
    assert run.provider.counts().served == 9
    assert run.summary.exit_code == 1
    for record in run.failed:
        assert (record["outcome"], record["class"], record["attempts"]) == ("rejected", label, 3)
        assert record["reason"]
        assert record["last_reply"]


def test_the_model_is_told_what_was_wrong_and_only_the_last_answer_is_shown(tmp_path):
    asked = []

    def writer(messages, _):
        asked.append(messages)
        return '{"label": "land"}' if len(asked) == 3 else f'{{"label": "air {len(asked)}"}}'

    run = run_of(tmp_path, "classification", 1, provider=SimulatedProvider(Law(), writer=writer))
    assert run.results[0]["answer"] == "land"
    assert run.results[0]["attempts"] == 3
    assert [len(messages) for messages in asked] == [2, 4, 4]
    assert "'air 2' is none of the labels" in asked[2][-1].content
    assert asked[2][-2].content == '{"label": "air 2"}'


def test_the_answers_are_the_same_when_they_are_written_from_the_journal_again(tmp_path):
    run = run_of(tmp_path, "classification")
    before = (tmp_path / "results.jsonl").read_bytes()
    assert {record["answer"] for record in run.results} <= {"sea", "land"}
    (tmp_path / "results.jsonl").unlink()
    again = run_of(tmp_path, "classification", journal=run.journal, provider=run.provider)
    assert again.provider.counts().served == 20
    assert (tmp_path / "results.jsonl").read_bytes() == before


def test_rejected_calls_are_on_the_bill(tmp_path):
    provider = SimulatedProvider(Law(), writer=lambda _, __: "no JSON")
    run = run_of(tmp_path, "extraction", 2, provider=provider, worker_retries=1)
    usages = [event.usage for event in run.journal.events if isinstance(event, CallEnded)]
    assert len(usages) == 4
    assert sum(usage.tokens_out for usage in usages) == run.summary.totals.tokens_out > 0


def test_a_text_beyond_the_window_costs_no_call(tmp_path):
    run = run_of(tmp_path, "summarization", 2, summarization={"window_tokens": 5})
    assert run.provider.counts().received == 0
    assert [record["class"] for record in run.failed] == ["too_long"] * 2


def test_a_reference_answer_decides(tmp_path):
    rows = [{"id": f"{n}", "prompt": f"{n} and one?", "sum": n + 1} for n in range(4)]
    provider = SimulatedProvider(Law(), writer=lambda messages, _: "It is 3" if len(messages) == 1 else "It is 2")
    verify = {"reference": "sum", "compare": "numeric"}
    run = rehearse(tmp_path, rows, Law(), provider=provider, verify=verify, worker_retries=1)
    assert sorted(record["id"] for record in run.results) == ["1", "2"]
    assert {record["class"] for record in run.failed} == {"wrong_answer"}
    assert json.dumps(run.failed).count("wrong") >= 2


def test_the_folded_state_is_that_of_the_events(tmp_path):
    provider = SimulatedProvider(Law(), writer=lambda _, __: "no JSON")
    run = run_of(tmp_path, "extraction", 5, provider=provider, worker_retries=1)
    assert len(fold(run.journal.events).states) == 5
