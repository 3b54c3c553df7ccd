"""Broken tool calls and structured replies: each is classified, and no repair changes a value."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.records import Message
from deepswarm.core.toolcalls import State, calls_in, read_arguments
from deepswarm.core.turns import Reject
from deepswarm.tasks.reading import json_in

CASES = [json.loads(line) for line in (Path(__file__).parent / "broken_calls.jsonl").read_bytes().splitlines()]


def read(case):
    """(label, value) as the code tells them."""
    if case["kind"] == "structured":
        value = json_in(case["raw"])
        return (value.label, None) if isinstance(value, Reject) else ("ok", value)
    if case["kind"] == "hermes":
        (wanted,) = calls_in(Message("assistant", case["raw"]))
        return wanted.arguments.state.value, wanted.arguments.value
    arguments = read_arguments(case["raw"])
    return arguments.state.value, arguments.value


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_every_labelled_sample_is_classified_and_keeps_its_values(case):
    label, value = read(case)
    assert (label, json.dumps(value)) == (case["label"], json.dumps(case["value"]))


def test_there_are_two_hundred_samples_of_all_kinds():
    assert len(CASES) >= 200
    assert set(Counter(case["label"] for case in CASES)) == {state.value for state in State}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), VALUES, max_size=4), st.sampled_from(["{}", "```json\n{}\n```", "{}</tool_call>"]))
def test_whatever_stands_around_whole_arguments_they_are_read_as_they_are(value, around):
    assert read_arguments(around.replace("{}", json.dumps(value), 1)).value == value


@settings(max_examples=50)
@given(st.dictionaries(st.text(min_size=1), VALUES, min_size=1, max_size=4), st.data())
def test_arguments_that_are_cut_off_are_never_completed(value, data):
    text = json.dumps(value)
    cut = text[: data.draw(st.integers(1, len(text) - 1))]
    assert read_arguments(cut).state is State.TRUNCATED
