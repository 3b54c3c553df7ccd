"""Identity: what makes two seeds the same, and which ids can be ids."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core.identity import content_key, content_of, fingerprint, given_id

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
seeds = st.dictionaries(st.text(), json_values, max_size=5)


@given(fields=seeds)
def test_the_order_of_the_fields_does_not_matter(fields):
    assert content_of(dict(reversed(fields.items()))) == content_of(fields)


@given(fields=seeds, name=st.text(), value=json_values)
def test_every_change_of_a_field_changes_the_content(fields, name, value):
    unchanged = name in fields and repr(fields[name]) == repr(value)  # repr tells 1 from 1.0 and from True
    assert (content_of({**fields, name: value}) == content_of(fields)) is unchanged


def test_a_content_is_sixteen_bytes_that_stay_the_same_in_every_version():
    # Journals keep these: a change here makes every seed of every run a new one.
    assert content_of({"seed": "tides"}).hex() == "d240f6d8967d1f5bf2684daf4a74a56c"
    assert content_of({"n": 1e-7, "é": 2**70, "half": "\ud800"}).hex() == "923bda28b544e603eec2d05ec4bd14df"
    assert fingerprint({"worker_model": "m", "worker_params": {"temperature": 0.2}}) == "4f0bab2d5a0ec27a"


@pytest.mark.parametrize(
    ("given_", "key"), [("a", "a"), (" a b ", " a b "), ("海", "海"), (0, "0"), (-7, "-7"), (10**30, str(10**30))]
)
def test_an_id_is_a_text_or_a_whole_number(given_, key):
    assert given_id({"id": given_, "seed": "x"}) == key


def test_a_seed_without_an_id_has_none():
    assert given_id({"seed": "x"}) is None


@pytest.mark.parametrize(
    ("given_", "shown"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        ("", "empty text"),
        (" \t", "empty text"),
        (1.0, "the number 1.0"),
        ([], "a list"),
        ({"a": 1}, "an object"),
    ],
)
def test_what_cannot_be_an_id_is_told_in_a_sentence(given_, shown):
    with pytest.raises(ValueError, match=f"the id must be a text that is not empty, or a whole number, not {shown}"):
        given_id({"id": given_})


def test_an_id_with_half_a_character_is_refused_because_no_store_can_keep_it():
    with pytest.raises(ValueError, match="half a character"):
        given_id({"id": "a\ud800"})


def test_equal_contents_are_told_apart_by_their_number():
    content = content_of({"seed": "tides"})
    assert content_key(content, 1) == f"c-{content.hex()}-1"
    assert content_key(content, 1) != content_key(content, 2)


@given(asked=seeds)
def test_a_fingerprint_is_sixteen_hexadecimal_digits_whatever_the_order(asked):
    found = fingerprint(asked)
    assert len(found) == 16
    assert set(found) <= set("0123456789abcdef")
    assert found == fingerprint(dict(reversed(asked.items())))
