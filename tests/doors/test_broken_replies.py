"""Broken replies as models give them: each is repaired right or left alone, and none comes out as something else.

`tests/data/broken_replies.jsonl` says of each reply what it is worth: a value, or that it is to be left alone.
"""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from deepswarm.core.records import Amend, Drop
from deepswarm.filters.json_repair import JsonRepair
from deepswarm.testing.suites.filter import any_json, any_text, same

ROWS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "broken_replies.jsonl").read_text(encoding="utf-8").splitlines()
]


def verdict_of(row):
    record = {"answer": row["reply"], "finish_reason": row.get("finish_reason", "stop")}
    return JsonRepair(schema=row.get("schema")).judge(record)


def fate(row):
    verdict = verdict_of(row)
    if isinstance(verdict, Drop):
        return "left alone"
    return "right" if "value" in row and same(verdict.record["answer_json"], row["value"]) else "wrongly changed"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['kind']}: {row['reply'][:40]!r}")
def test_a_labelled_reply_is_repaired_right_or_left_alone(row):
    assert fate(row) != "wrongly changed"


def test_there_are_enough_labelled_replies_and_most_that_have_a_value_are_repaired():
    fates = Counter(fate(row) for row in ROWS if "value" in row)
    assert len(ROWS) >= 200
    assert fates["right"] >= 0.95 * fates.total()


@pytest.mark.parametrize("row", [row for row in ROWS if "value" in row and row["kind"] != "legal, and kept as it is"])
def test_what_was_done_to_a_reply_is_recorded(row):
    try:
        untouched = same(json.loads(row["reply"]), row["value"])
    except ValueError:
        untouched = False
    verdict = verdict_of(row)
    if isinstance(verdict, Amend) and not untouched and not row["reply"].startswith("\ufeff"):
        assert verdict.notes


@pytest.mark.parametrize("row", [row for row in ROWS if row["kind"] in {"truncated", "left out by the model"}])
def test_what_was_cut_off_is_never_called_clean(row):
    assert isinstance(verdict_of(row), Drop)


# --- random mutations of good replies --------------------------------------------------------------------------------


def containers():
    return st.lists(any_json(), min_size=1, max_size=4) | st.dictionaries(
        any_text(), any_json(), min_size=1, max_size=4
    )


def structural(text):
    """Where brackets, commas, colons and quotation marks of a JSON text stand, outside of its strings."""
    places, within, skip = [], False, False
    for place, letter in enumerate(text):
        if skip:
            skip = False
        elif within and letter == "\\":
            skip = True
        elif letter == '"':
            within = not within
            places.append(place)
        elif not within and letter in "[]{},:":
            places.append(place)
    return places


def is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@settings(deadline=None, max_examples=150)
@given(containers(), st.sampled_from([None, 1]), st.data())
@example(["a", "b"], None, None)
@example(["", "b", ""], None, None)
@example([{"a": ["b, ", ": c"]}, {"": [[], {}]}], None, None)
@example({"a": 'he said "hi", and', "b": "it's", "c": [1.5, -2, None, True]}, None, None)
def test_a_reply_that_lost_one_sign_is_repaired_right_or_left_alone(value, indent, data):
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    places = structural(text)
    for place in [data.draw(st.sampled_from(places))] if data else places:
        broken = text[:place] + text[place + 1 :]
        if is_json(broken):
            continue
        verdict = verdict_of({"reply": broken})
        assert isinstance(verdict, Drop) or same(verdict.record["answer_json"], value), broken


@settings(deadline=None, max_examples=150)
@given(containers(), st.sampled_from('[]{},:"'), st.data())
@example(["a", "b"], ",", None)
@example({"a": [1, "x y"], "b": "z"}, '"', None)
@example([{"a ": None}, {"": None}], "[", None)
def test_a_reply_with_one_sign_too_many_is_repaired_right_or_left_alone(value, sign, data):
    text = json.dumps(value, ensure_ascii=False)
    places = structural(text)
    for place in [data.draw(st.sampled_from(places))] if data else places:
        broken = text[:place] + sign + text[place:]
        if is_json(broken):
            continue
        verdict = verdict_of({"reply": broken})
        assert isinstance(verdict, Drop) or same(verdict.record["answer_json"], value), broken


@settings(deadline=None, max_examples=100)
@given(containers(), st.data())
def test_mistakes_with_one_reading_that_come_together_leave_the_value_as_it_is(value, data):
    text = json.dumps(value)
    assume("\\b" not in text)
    ends = [place for place in structural(text) if text[place] in "]}" and text[place - 1] not in "[{"]
    for place in sorted(data.draw(st.lists(st.sampled_from(ends), unique=True)), reverse=True):
        text = f"{text[:place]}, /* so */{text[place:]}"
    around = data.draw(st.sampled_from(["{}", "```json\n{}\n```", "<think>{}</think>\n{}"]))
    verdict = verdict_of({"reply": around.replace("{}", text)})
    assert isinstance(verdict, Amend)
    assert same(verdict.record["answer_json"], value)


@settings(deadline=None, max_examples=100)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text("abc 'é\n"), st.lists, max_leaves=8))
def test_a_python_literal_is_read_as_python_reads_it_or_left_alone(value):
    verdict = verdict_of({"reply": repr([value])})
    assert isinstance(verdict, Drop) or same(verdict.record["answer_json"], [value])
