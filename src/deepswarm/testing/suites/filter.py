"""The suite of the filters' door: what must hold for every filter, whatever it judges.

@given(any_records())
def test_my_filter(record):
    check_verdict(MyFilter(), record)
"""

# ruff: noqa: S101 - a suite asserts

from __future__ import annotations

import copy
from dataclasses import fields, is_dataclass
from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from deepswarm.core import jsontext
from deepswarm.core.errors import TaskFileError
from deepswarm.core.records import Amend, Drop, Json, Keep, Record
from deepswarm.filters import Filter, SetFilter, build

TOUCHED: Final = frozenset({"answer", "answer_json", "reasoning"})
"""Fields that a filter may change; all others say where a record comes from."""

ODD_TEXTS: Final = (
    "",
    "\0",
    "a\u2028b\u2029c\x85",
    "\ud800",
    "\udfff-\ud800",
    "\r\n\t",
    "\ufeff",
    "\U0001f40b",
    '"',
    "\\",
    "{",
    "]",
)
ANSWERS: Final = (
    "",
    " \n\t",
    "\0",
    "\ud800",
    "I cannot help with that.",
    '{"a": 1}',
    ' [1, {"b": [true, null]}] ',
    '"text"',
    "42",
    "NaN",
    '{"a": NaN}',
    '```json\n{"a": [1, 2,]}\n```\nI hope that makes you {smile}.',
    '<think>is it {"b": 2}?</think>{"a": 1}',
    "<think>so",
    '{"a": {"b": "cut of',
    '{"a": 1}{"a": 2}',
    "{'a': 'it''s', b: None} // done",
    '{"a": [1, 2, ...]}',
    r'{"a": "\frac{1}{2} \sum"}',
    "[" * 2_000,
    "[" * 1_100 + "]" * 1_100,
    '{"a": ' * 300 + "1" + "}" * 300,
    "some { text } here " * 500,
)


def any_json() -> SearchStrategy[Json]:
    """Any JSON value, of any shape, with text of any characters."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(1 << 63), (1 << 63) - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        any_text(),
    )
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text(), inner, max_size=4),
        max_leaves=12,
    )


def any_text() -> SearchStrategy[str]:
    """Text of any characters: null, line separators and lone surrogates come often."""
    letters = st.text(st.characters(exclude_categories=()), max_size=12)
    # halves that stand side by side are a pair in every JSON text
    paired = letters.map(lambda text: text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass"))
    return st.sampled_from(ODD_TEXTS) | paired


def any_records() -> SearchStrategy[Record]:
    """Records with answers as models give them, and others that no run of ours would write."""
    answers = st.sampled_from(ANSWERS) | any_text() | any_json().map(lambda value: jsontext.dumps(value).decode())
    usual = st.fixed_dictionaries(
        {
            "id": any_text(),
            "outcome": st.just("done"),
            "answer": answers,
            "seed": any_json(),
            "simulated": st.booleans(),
        },
        optional={"finish_reason": st.sampled_from(["stop", "length", "eos", ""]), "answer_json": any_json()},
    )
    return usual | st.dictionaries(st.sampled_from(["id", "answer", "seed", "answer_json"]), any_json())


def check_verdict(judge: Filter, record: Record) -> None:
    """A verdict is one of three, repeatable, touches nothing that it should not, and stands when it is asked again."""
    before = copy.deepcopy(record)
    verdict = judge.judge(record)
    assert same(record, before), "the record itself was changed"
    again = judge.judge(record)
    assert type(again) is type(verdict), "the same record was judged in two ways"
    assert repr(again) == repr(verdict), "the same record was judged in two ways"
    if isinstance(verdict, Drop):
        assert verdict.reason.strip(), "a record was dropped without a reason"
        assert len(verdict.reason) < 5_000, "a reason is a sentence, not the answer again"
    elif not isinstance(verdict, Amend):
        assert isinstance(verdict, Keep), "a verdict is Keep, Amend or Drop"
    else:
        assert all(note.strip() for note in verdict.notes)
        strange = {name for name in {*record, *verdict.record} if not _kept(name, record, verdict.record)}
        assert strange <= TOUCHED, f"fields that are not a filter's were changed: {strange - TOUCHED}"
        third = judge.judge(verdict.record)
        assert not isinstance(third, Drop), "what a filter makes, it must not drop itself"
        assert same(third.record if isinstance(third, Amend) else verdict.record, verdict.record), "it is never done"


def check_verdicts(judge: SetFilter, records: list[Record]) -> None:
    """Every record gets one verdict, in their order, always the same; what was kept is kept when it is judged again."""
    before = copy.deepcopy(records)
    verdicts = list(judge.judge_all(iter(records)))
    assert same(records, before), "the records themselves were changed"
    assert len(verdicts) == len(records), "there is one verdict for every record"
    assert repr(list(judge.judge_all(iter(records)))) == repr(verdicts), "the same records were judged in two ways"
    kept = [record for record, verdict in zip(records, verdicts, strict=True) if not isinstance(verdict, Drop)]
    assert not any(isinstance(verdict, Drop) for verdict in judge.judge_all(iter(kept))), "it is never done"
    for verdict in verdicts:
        assert not isinstance(verdict, Drop) or 0 < len(verdict.reason) < 5_000, "a reason is a sentence"


def check_options(name: str, options: dict[str, Json]) -> None:
    """A filter is a frozen dataclass that explains its options, and refuses all others at once."""
    ((known, judge),) = build([{name: options}])
    assert known == name
    assert is_dataclass(judge)
    assert type(judge).__dataclass_params__.frozen, "a filter's options do not change"
    explained = type(judge).__doc__ or ""
    for field in fields(judge):
        if field.init:
            assert f"{field.name}:" in explained, f"the option '{field.name}' is not explained"
    wrong: dict[str, Json] = {**options, "no_such_option": 1, "another_one": 2}
    with pytest.raises(TaskFileError) as caught:
        build([{name: wrong}])
    assert len(caught.value.problems) == 2


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: unlike for Python, true is not 1 and 1 is not 1.0."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def _kept(name: str, before: Record, after: Record) -> bool:
    return name in before and name in after and same(before[name], after[name])
