"""Sections of the task file: what fits its types, what does not and where, and what the schema says of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core.section import REQUIRED, Rule, Section, chosen, key, keys_of, misfits, plain, schema_of, section_of

Json = Any
Name = Annotated[str, Rule(pattern="^[a-z]+$", description="lower-case letters")]


class Inner(Section):
    """Within another one."""

    name: Name = key(REQUIRED, "How it is called.")
    share: Annotated[float, Rule(gt=0, le=1)] | None = key(None, "How much of it.")


class Outer(Section):
    """All kinds of keys."""

    count: Annotated[int, Rule(ge=1, le=9)] | Literal["auto"] = key("auto", "How many.", "pace")
    exact: bool = key(default=False, meaning="Whether it is.")
    rate: float = key(1.0, "How fast.")
    text: str = key("x", "Words.", min_length=1)
    inner: Inner | None = key(None, "One.")
    many: Annotated[list[Inner], Rule(min_length=1)] | None = key(None, "Several.")
    named: dict[str, list[Json] | Name] = key({}, "By name.")
    mixed: list[dict[str, Json] | str] = key([], "Of two kinds.")


def wrong(**values):
    return sorted((".".join(map(str, misfit.path)), misfit.kind) for misfit in misfits(Outer, values))


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"count": 9},
        {"count": "auto", "exact": True, "rate": 3, "text": "a"},
        {"inner": None, "many": None},
        {"inner": {"name": "a", "share": 1}, "many": [{"name": "b", "share": None}]},
        {"named": {"a": [1, None, {"b": []}], "b": "abc"}, "mixed": ["a", {"b": {"c": 1.5}}]},
    ],
)
def test_what_fits_becomes_a_section_and_its_schema_takes_it(values):
    assert wrong(**values) == []
    made = section_of(Outer, values)
    assert jsonschema_rs.validator_for(schema_of(Outer)).is_valid(values)
    assert section_of(Outer, chosen(made)) == made == section_of(Outer, plain(made))


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({"count": 0}, [("count", "wrong")]),
        ({"count": 10}, [("count", "wrong")]),
        ({"count": 1.0}, [("count", "wrong")]),
        ({"count": True}, [("count", "wrong")]),
        ({"count": None}, [("count", "wrong")]),
        ({"exact": 1}, [("exact", "wrong")]),
        ({"rate": True}, [("rate", "wrong")]),
        ({"rate": float("inf")}, [("rate", "wrong")]),
        ({"text": ""}, [("text", "wrong")]),
        ({"inner": {}}, [("inner.name", "missing")]),
        (
            {"inner": {"name": "A", "share": 0, "nmae": 1}},
            [("inner.name", "wrong"), ("inner.nmae", "unknown"), ("inner.share", "wrong")],
        ),
        ({"many": []}, [("many", "wrong")]),
        ({"many": [{"name": "a"}, {"name": 1}, 3]}, [("many.1.name", "wrong"), ("many.2", "wrong")]),
        (
            {"named": {"a": 1, "b": "B", "c": [float("nan")]}},
            [("named.a", "wrong"), ("named.b", "wrong"), ("named.c.0", "wrong")],
        ),
        ({"mixed": [1, {"a": object()}, "b"]}, [("mixed.0", "wrong"), ("mixed.1.a", "wrong")]),
        ({"other": 1}, [("other", "unknown")]),
    ],
)
def test_what_does_not_fit_is_found_at_its_innermost_place_all_at_once(values, places):
    assert wrong(**values) == places


def test_whole_numbers_become_floats_where_the_type_says_so():
    made = section_of(Outer, {"rate": 3, "inner": {"name": "a", "share": 1}})
    assert (type(made.rate), type(made.inner.share)) == (float, float)


def test_a_section_cannot_be_changed_and_shares_no_default_with_another():
    one, other = section_of(Outer, {}), section_of(Outer, {})
    with pytest.raises(AttributeError, match="frozen"):
        one.count = 3
    one.named["a"] = "b"
    assert other.named == {} == keys_of(Outer)["named"].default
    assert one != other
    assert other.but(count=3).count == 3


def test_keys_know_their_meaning_part_and_whether_they_take_text_alone():
    keys = keys_of(Outer)
    assert (keys["count"].meaning, keys["count"].part, keys["count"].default) == ("How many.", "pace", "auto")
    assert [name for name, known in keys.items() if known.only_text] == ["text"]


def test_the_schema_is_one():
    schema = schema_of(Outer)
    jsonschema_rs.meta.validate(schema)
    assert schema["properties"]["inner"]["anyOf"][0] == {"$ref": "#/$defs/Inner"}
    assert schema["$defs"]["Inner"]["required"] == ["name"]
    assert schema["properties"]["text"]["minLength"] == 1


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.sampled_from(["name", "share", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 12) | FINITE | st.text("aB", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*keys_of(Outer), "other"]), VALUES, max_size=4))
def test_types_and_schema_agree_but_for_whole_numbers_that_are_written_as_floats(values):
    fits = not wrong(**values)
    schema = jsonschema_rs.validator_for(schema_of(Outer)).is_valid(values)
    whole = isinstance(values.get("count"), float)  # for JSON Schema 1.0 is a whole number
    assert fits == schema or (whole and schema)
