"""How long a provider asks to wait, in all the forms in which that is said. Seconds, finite and above 0, or nothing.

    Retry-After                  5, 0.5, or a date, which is read against the server's own clock (its Date header)
    retry-after-ms               milliseconds (OpenAI, Azure)
    x-ratelimit-reset-…          6m0s, 12ms, 1.5s, 59.70 (OpenAI, Groq, Azure); epoch seconds or milliseconds
                                 (OpenRouter); RFC 3339 (Anthropic: anthropic-ratelimit-…-reset)
    the body                     "Please try again in 120ms", "retry after 26 seconds"; Gemini's RetryInfo "23s";
                                 OpenRouter's `resets_at`, and the headers that it puts into the body

What a reply says outright (Retry-After, its body) counts more than a reset, which says when a limit is whole again.

Source: the header tables of provider documentation as gathered in November 2026; RFC 9110, 10.2.3 for Retry-After.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from deepswarm.dialects.fields import error_in, members, objects, text

LONGEST_S: Final = 31 * 86_400.0
"""Longer waits are no waits but mistakes: the slowest quotas are those of a month."""

_LIMITS: Final = (
    ("x-ratelimit-reset-requests", "x-ratelimit-remaining-requests"),
    ("x-ratelimit-reset-tokens", "x-ratelimit-remaining-tokens"),
    ("anthropic-ratelimit-requests-reset", "anthropic-ratelimit-requests-remaining"),
    ("anthropic-ratelimit-tokens-reset", "anthropic-ratelimit-tokens-remaining"),
    ("anthropic-ratelimit-input-tokens-reset", "anthropic-ratelimit-input-tokens-remaining"),
    ("anthropic-ratelimit-output-tokens-reset", "anthropic-ratelimit-output-tokens-remaining"),
    ("ratelimitbysize-reset", "x-ratelimitbysize-remaining-minute"),
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
)
"""When a limit is whole again, and what is left of it."""

_UNITS: Final = {
    **dict.fromkeys(("ns", "nanosecond"), 1e-9),
    **dict.fromkeys(("us", "µs", "microsecond"), 1e-6),
    **dict.fromkeys(("ms", "msec", "millisecond"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second"), 1.0),
    **dict.fromkeys(("m", "min", "minute"), 60.0),
    **dict.fromkeys(("h", "hr", "hour"), 3600.0),
    **dict.fromkeys(("d", "day"), 86_400.0),
}
_NAMES: Final = "|".join(sorted(filter(None, _UNITS), key=len, reverse=True))
# possessive throughout: a message of nothing but digits is read once, not in every way in which it can be cut up
_STEP: Final = re.compile(rf"(\d{{1,15}}+(?:\.\d{{0,15}}+)?+)(?!\d)\s{{0,2}}+((?:{_NAMES})s?|)(?![a-z])")
_DURATION: Final = re.compile(rf"(?:{_STEP.pattern}\s{{0,2}}+){{1,6}}+")
_AGAIN: Final = re.compile(rf"(?:try again|retry)\s{{1,9}}+(?:in|after)\s{{1,9}}+(?:about\s)?({_DURATION.pattern})")
_EPOCH_S: Final = 1e9
"""A number from here on is a time, not a duration: seconds since 1970, or milliseconds when it is a thousand times so
large."""
_SAID: Final = 4000
"""Characters of a message that are looked through."""


def retry_after(headers: Mapping[str, str], value: Any = None, *, limited: bool = False) -> float | None:
    """Seconds that the provider asks to wait: finite, above 0 and at most LONGEST_S, else None.

    Args:
        headers: The reply's, with names in lower case.
        value: The JSON value of its body; None when there is none.
        limited: Whether the reply is the refusal of a limit (429): only then do resets count, and of these only those
            of limits of which nothing is left, or which do not say what is left.
    """
    now = headers.get("date", "")
    said = max(filter(None, (_in_headers(headers, now), _in_body(value, now))), default=None)
    if said is None and limited:
        said = _reset(headers, now) or _reset(_headers_in(value), now)
    return said


def resets_in(given: str, now: str) -> float | None:
    """Seconds until a reset that a header names as a duration or a moment; None where it says neither.

    Args:
        given: The header's value.
        now: The reply's Date header, against which moments are read.
    """
    return _moment(given.strip(), now) if given else None


def _in_headers(headers: Mapping[str, str], now: str) -> float | None:
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        given = headers.get(name, "")
        try:
            seconds = _sensible(float(given.partition(",")[0]) / per_second)
        except ValueError:
            continue
        if seconds is not None:
            return seconds
    return _until(headers.get("retry-after", ""), now)


def _in_body(value: Any, now: str) -> float | None:
    error = error_in(value)
    delays = [_duration(text(detail.get("retryDelay"))) for detail in objects(error.get("details"))]
    again = _AGAIN.search(text(error.get("message"))[:_SAID].lower())
    delays.append(_duration(again.group(1)) if again else None)
    delays.append(_until(text(members(error.get("metadata")).get("resets_at")), now))
    return max(filter(None, delays), default=None)


def _headers_in(value: Any) -> Mapping[str, str]:
    """The rate-limit headers that OpenRouter repeats in the body of a 429."""
    headers = members(members(error_in(value).get("metadata")).get("headers"))
    return {name.lower(): f"{given}" for name, given in headers.items() if isinstance(given, str | int)}


def _reset(headers: Mapping[str, str], now: str) -> float | None:
    return max(filter(None, _resets(headers, now)), default=None)


def _resets(headers: Mapping[str, str], now: str) -> Iterator[float | None]:
    for reset, remaining in _LIMITS:
        given = headers.get(reset)
        if given and not _positive(headers.get(remaining, "")):
            yield _moment(given.strip(), now)


def _positive(number: str) -> bool:
    try:
        return float(number) > 0
    except ValueError:
        return False


def _moment(given: str, now: str) -> float | None:
    """A duration, a time as a number, or a time as text."""
    try:
        number = float(given)
    except ValueError:
        return _duration(given.lower()) or _until(given, now)
    if number < _EPOCH_S:
        return _sensible(number)
    parsed = _time(now)
    return _sensible(number / (1000 if number >= 1000 * _EPOCH_S else 1) - parsed.timestamp()) if parsed else None


def _duration(given: str) -> float | None:
    """Such as 6m0s, 12ms, 1.5s, 59.70 or 26 seconds."""
    given = given.strip()
    if not _DURATION.fullmatch(given):
        return None
    return _sensible(sum(float(step[1]) * _unit(step[2]) for step in _STEP.finditer(given)))


def _unit(name: str) -> float:
    """Seconds of a unit, in the singular or the plural."""
    return _UNITS[name] if name in _UNITS else _UNITS[name.removesuffix("s")]


def _until(then: str, now: str) -> float | None:
    """Seconds between two times of the server's own clock; None when one of them is none."""
    later, earlier = _time(then), _time(now)
    return _sensible((later - earlier).total_seconds()) if later and earlier else None


def _time(given: str) -> datetime | None:
    """An HTTP date or an RFC 3339 time; None when it is none, or does not say its zone."""
    from email.utils import parsedate_to_datetime

    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = read(given)
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        if found.tzinfo is not None:
            return found
    return None


def _sensible(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and 0 < seconds <= LONGEST_S else None
