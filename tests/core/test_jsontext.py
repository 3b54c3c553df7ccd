"""Text and JSON values: nothing is lost, nothing is guessed, and what is no JSON is refused in both directions."""

import datetime as dt
import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from deepswarm.core.jsontext import (
    NotJson,
    canonical,
    dumps,
    dumps_around,
    dumps_line,
    loads,
    loads_message,
    one_line,
)

BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
"""Everything that str.splitlines takes for the end of a line."""

texts = st.text(
    st.sampled_from(BREAKS + '\0"\\—é海\U0001f40b\ud800\udfff\ufeff') | st.characters(exclude_categories=())
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**40])
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


def joined(value):
    """The value as JSON can hold it: two surrogates that make up a character are that character."""
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    if isinstance(value, list):
        return [joined(inner) for inner in value]
    return {joined(name): joined(inner) for name, inner in value.items()} if isinstance(value, dict) else value


def alike(one, other):
    """Equal, and of the same types: for Python, 1 is 1.0 and True."""
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        return len(one) == len(other) and all(map(alike, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(alike(inner, other[name]) for name, inner in one.items())
    return one == other and (not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other))


def nested(depth):
    return b"[" * depth + b"]" * depth


@given(value=values.map(joined))
@example(value="\ud800")
@example(value={"\udfff": 2**64, "id": -(2**63) - 1})
@example(value=18446744073709551616.0)
def test_every_value_comes_back_as_it_was_written(value):
    assert alike(loads(dumps(value)), value)
    assert alike(loads(canonical(value)), value)
    assert alike(loads(dumps_line(value)), value)
    assert alike(json.loads(dumps(value)), value)


@given(value=values.map(joined))
@example(value="a\u2028b\u2029c\x85d")
@example(value=["\u2028", 2**70, "\ud800"])
def test_a_line_is_one_line_for_every_reader(value):
    line = dumps_line(value)
    assert line.endswith(b"\n")
    assert len(line.decode().splitlines()) == 1


@given(pieces=st.lists(values.map(joined).map(dumps), min_size=1, max_size=3), gap=st.text(" \t\r\n", max_size=3))
def test_a_line_is_made_of_any_layout_without_a_change_of_value(pieces, gap):
    text = b"[" + (gap.encode() + b"," + gap.encode()).join(pieces) + gap.encode() + b"]"
    line = one_line(text)
    assert len(line.decode().splitlines()) == 1
    assert alike(loads(line), loads(text))


@given(value=st.dictionaries(texts, values, max_size=6).map(joined))
def test_the_canonical_text_does_not_depend_on_the_order_of_names(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


@given(value=values.map(joined))
@example(value=[0.1, 1e16, 1e22, 1.5e300, 5e-324, -0.0, 1e-7, 0.0001, 0.00009, 123456789.123, 9999999999999998.0])
@example(value={"a": [{"b": -1e-7}], "é": 2**64, "\x7f\x1f\b\t\\/": "\u2028"})
def test_the_canonical_text_is_what_the_standard_library_writes_because_hashes_of_it_are_kept(value):
    # Seeds are known by these hashes: a library that writes a number in another way would orphan every journal.
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert canonical(value) == text.encode("utf-8", "backslashreplace")


def test_names_are_sorted_by_code_point():
    assert canonical({"\uffff": 1, "\U0001f40b": 2, "z": 3, "é": {"b": 4, "a": 5}}) == (
        '{"z":3,"é":{"a":5,"b":4},"\uffff":1,"\U0001f40b":2}'.encode()
    )


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b"18446744073709551615", 2**64 - 1),
        (b"18446744073709551616", 2**64),
        (b"-9223372036854775808", -(2**63)),
        (b"-9223372036854775809", -(2**63) - 1),
        (b'{"id":12345678901234567890123}', {"id": 12345678901234567890123}),
        (b'{"a":[{"id":-12345678901234567890123}]}', {"a": [{"id": -12345678901234567890123}]}),
        ('{"id":12345678901234567890123,"é":""}', {"id": 12345678901234567890123, "é": ""}),
        (b"[0.00012345678901234567890123]", [0.00012345678901234567890123]),
        (b"[12345678901234567890123.5, 12345678901234567890e2]", [12345678901234567890123.5, 12345678901234567890e2]),
        (b'["12345678901234567890123"]', ["12345678901234567890123"]),
    ],
)
def test_integers_keep_every_digit(text, value):
    assert alike(loads(text), value)


@pytest.mark.parametrize("text", [b'{"a":1,"a":2}', '{"a":1,"a":2}', b'{"a":"\\ud800","a":2}', b'{"a":1e30,"a":2}'])
def test_of_a_name_that_stands_twice_the_last_one_counts(text):
    assert loads(text) == {"a": 2}


@pytest.mark.parametrize("text", [b'\xef\xbb\xbf{"a":1}', '\ufeff{"a":1}'])
def test_a_byte_order_mark_is_passed_over(text):
    assert loads(text) == loads_message(text) == {"a": 1}


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b'{"a":-Infinity}', b"1e999", b'["\\ud800", -1e999]', b"[NaN"])
def test_numbers_that_json_does_not_have_are_refused(text):
    with pytest.raises(NotJson):
        loads(text)
    with pytest.raises(NotJson):
        loads_message(text)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("around", [lambda n: n, lambda n: [1, n], lambda n: {"a": [{"b": n}]}, lambda n: [n, 2**70]])
def test_numbers_that_json_does_not_have_are_not_written_as_null(number, around):
    for write in (dumps, canonical, dumps_line):
        with pytest.raises(ValueError):  # noqa: PT011 - which one is the libraries' affair
            write(around(number))


@pytest.mark.parametrize(
    "value", [{1: 2}, [{1: 2}, 2**70], b"bytes", {"a": {1, 2}}, dt.date(2026, 11, 22), [dt.date.min, 2**70]]
)
def test_what_is_no_json_value_is_not_written(value):
    for write in (dumps, canonical):
        with pytest.raises(TypeError):
            write(value)


@pytest.mark.parametrize("text", [nested(100_000), b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000])
def test_nesting_that_is_too_deep_is_refused_without_an_error_of_the_interpreter(text):
    with pytest.raises(NotJson):
        loads(text)


def test_values_that_are_nested_too_deeply_are_not_written():
    value = []
    for _ in range(100_000):
        value = [value]
    for write in (dumps, canonical):
        with pytest.raises(ValueError, match="nested too deeply"):
            write(value)
    while value:
        value = value.pop()


@given(depth=st.integers(1, 240), limit=st.integers(0, 240), kind=st.booleans())
def test_a_limit_of_nesting_is_kept_to_the_level(depth, limit, kind):
    text = nested(depth) if kind else b'{"a":' * depth + b"1" + b"}" * depth
    if depth <= limit or (not kind and depth == 1):  # a flat object is not looked at: every limit allows it
        loads(text, limit)
    else:
        with pytest.raises(NotJson, match=f"deeper than {limit} levels"):
            loads(text, limit)


@pytest.mark.parametrize(
    ("text", "line", "column", "what"),
    [
        (b'{"a": 1,, "b": 2}', 1, 9, "name in double quotes"),
        (b'{\n "a": 1\n "b": 2}', 3, 2, "','"),
        (b"[1, 2", 1, 6, "','"),
        (b'{"a" 1}', 1, 6, "':'"),
        (b'["\xc3\xa9\xc3\xa9", x]', 1, 8, "a value is missing"),
        (b'{"a": 1} {"b": 2}', 1, 10, "something follows it"),
        (b'{"a": "b', 1, 7, "no closing quote"),
        (b'"a\nb"', 1, 3, "control character"),
        (b'"\\q"', 1, 2, "no such escape"),
        (b'"\\u12"', 1, 3, "hexadecimal"),
        (b'{"a":\n"\xc3\xa9\xff"}', 2, 3, "not UTF-8: byte 0xff"),
        (b'"\xed\xa0\x80"', 1, 2, "not UTF-8: byte 0xed"),
        (b"", 0, 0, "empty"),
        (b" \r\n", 0, 0, "empty"),
        (b"<html>", 1, 1, "a value is missing"),
        (b"[" + b"1" * 5_000 + b"]", 0, 0, "4,300 digits"),
        (b"[1e999]", 0, 0, "1e999 is too large"),
    ],
)
def test_a_mistake_is_told_with_its_place(text, line, column, what):
    with pytest.raises(NotJson, match=what) as caught:
        loads(text)
    assert (caught.value.line, caught.value.column) == (line, column)


@given(text=st.binary(max_size=40) | st.text('[]{},:"\\ue+-.0123456789ntfalsr \n', max_size=40).map(str.encode))
def test_whatever_comes_is_a_value_or_not_json(text):
    try:
        value = loads(text)
    except NotJson:
        return
    assert alike(loads(dumps(value)), joined(value))


@given(text=values.map(joined).map(dumps), record=st.dictionaries(texts, values, max_size=3).map(joined))
def test_a_text_goes_into_a_record_as_the_value_that_it_is(text, record):
    written = dumps_around({"seed": None, **record}, "seed", text)
    assert alike(loads(written), {**record, "seed": loads(text)})


def test_messages_of_providers_are_read_alike():
    assert loads_message(b'{"choices":[{"message":{"content":"\\ud800"}}],"usage":{"n":3}}') == {
        "choices": [{"message": {"content": "\ud800"}}],
        "usage": {"n": 3},
    }
