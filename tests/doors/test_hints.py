"""Hints: how long to wait, in every form in which providers say it."""

import email.utils

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.dialects.hints import LONGEST_S, retry_after

briefly = settings(deadline=None)
NOON = {"date": "Mon, 23 Nov 2026 12:00:00 GMT"}


def error(message="", **members):
    return {"error": {"message": message, **members}}


DATE = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "5"}, 5.0),
        ({"retry-after": " 5 "}, 5.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "1e999"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9999999"}, None),
        ({"retry-after": "3600"}, 3600.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "nan", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "soon", "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": DATE}, None),
        ({"retry-after": DATE, "date": DATE}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "now"}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30", "date": DATE}, None),
        ({"retry-after": "Wed, 99 Oct 2026 07:28:30 GMT", "date": DATE}, None),
        ({"retry-after": "Wed, 21 Oct 99999999999 07:28:30 GMT", "date": DATE}, None),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 +99999999999999999999", "date": DATE}, None),
    ],
)
def test_retry_after_is_finite_and_above_zero_or_nothing(headers, seconds):
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("skew_s", [-86_400 * 365, -3600, 0, 3600, 86_400 * 365])
def test_a_date_is_read_against_the_providers_own_clock(skew_s):
    server = 1_800_000_000 + skew_s
    headers = {"retry-after": email.utils.formatdate(server + 42, usegmt=True)}
    headers["date"] = email.utils.formatdate(server, usegmt=True)
    assert retry_after(headers) == 42.0


@given(st.dictionaries(st.sampled_from(["retry-after", "retry-after-ms", "date"]), st.text(max_size=40)))
@briefly
def test_no_header_makes_retry_after_fail(headers):
    seconds = retry_after(headers)
    assert seconds is None or 0 < seconds < float("inf")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "6m0s", "x-ratelimit-remaining-requests": "0"}, 360.0),
        ({"x-ratelimit-reset-requests": "12ms", "x-ratelimit-remaining-requests": "0"}, 0.012),
        ({"x-ratelimit-reset-tokens": "1.5s"}, 1.5),
        ({"x-ratelimit-reset-tokens": "59.70"}, 59.7),
        ({"x-ratelimit-reset-tokens": "2m59.56s"}, 179.56),
        ({"x-ratelimit-reset-tokens": "1h2m3s"}, 3723.0),
        ({"x-ratelimit-reset-tokens": "20"}, 20.0),
        ({"x-ratelimit-reset-tokens": "0s"}, None),
        ({"x-ratelimit-reset-tokens": "-1"}, None),
        ({"x-ratelimit-reset-tokens": "nan"}, None),
        ({"x-ratelimit-reset-tokens": "soon"}, None),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "17"}, None),
        ({"x-ratelimit-reset-tokens": "6m0s", "x-ratelimit-remaining-tokens": "-1"}, 360.0),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "17",
            },
            1.0,
        ),
        ({"x-ratelimit-reset-tokens": "6m0s", "retry-after": "2"}, 2.0),
        ({"anthropic-ratelimit-requests-reset": "2026-11-23T12:00:30Z", **NOON}, 30.0),
        ({"anthropic-ratelimit-requests-reset": "2026-11-23T12:00:30+00:00", **NOON}, 30.0),
        ({"anthropic-ratelimit-requests-reset": "2026-11-23T12:00:30Z"}, None),
        ({"anthropic-ratelimit-requests-reset": "2026-11-23T11:00:30Z", **NOON}, None),
        ({"x-ratelimit-reset": "1795435230", "x-ratelimit-remaining": "0", **NOON}, 30.0),
        ({"x-ratelimit-reset": "1795435230000", "x-ratelimit-remaining": "0", **NOON}, 30.0),
        ({"x-ratelimit-reset": "1795435230"}, None),
        ({"ratelimitbysize-reset": "17"}, 17.0),
        ({"retry-after": "5, 5"}, 5.0),
    ],
)
def test_a_reset_counts_for_a_limit_of_which_nothing_is_left(headers, seconds):
    assert retry_after(headers, limited=True) == (pytest.approx(seconds) if seconds else None)
    assert retry_after(headers) == (retry_after(headers, limited=True) if "retry-after" in headers else None)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Please try again in 120ms. Visit …", 0.12),
        ("Please try again in 6m0s.", 360.0),
        ("Please try again in 1.242s.", 1.242),
        ("try again after 1 seconds", 1.0),
        ("Please retry after 26 seconds.", 26.0),
        ("Please retry in 36.5s.", 36.5),
        ("Please try again in 2 minutes 5 seconds", 125.0),
        ("try again in 1h30m", 5400.0),
        ("try again in 9999999999s", None),
        ("try again in 0s", None),
        ("try again in a while", None),
        ("try again in -5s", None),
        ("", None),
    ],
)
def test_a_message_that_names_a_time_is_understood(said, seconds):
    assert retry_after({}, error(said)) == (pytest.approx(seconds) if seconds else None)


def test_openrouters_headers_in_the_body_are_headers():
    metadata = {"headers": {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1795435230000"}}
    assert retry_after(NOON, error("limit", metadata=metadata), limited=True) == 30.0


texts = st.text(max_size=30) | st.from_regex(r"[0-9.]{0,9}(ms|m|s|h|d)?[0-9]{0,20}", fullmatch=True)
hints = st.sampled_from(["retry-after", "x-ratelimit-reset", "x-ratelimit-reset-tokens", "date", "retry-after-ms"])


@given(st.dictionaries(hints, texts), texts, texts)
@settings(deadline=None, max_examples=300)
def test_no_hint_makes_the_reader_fail_and_none_is_beyond_reason(headers, message, delay):
    body = error(f"try again in {message}", details=[{"retryDelay": delay}], metadata={"resets_at": delay})
    for limited in (False, True):
        seconds = retry_after(headers, body, limited=limited)
        assert seconds is None or 0 < seconds <= LONGEST_S
