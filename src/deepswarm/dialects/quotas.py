"""What a reply's headers say of the account's limits, and which limit a refusal names.

    x-ratelimit-{limit,remaining,reset}-{requests,tokens}       OpenAI, Azure, Groq; at Groq requests are those of a day
    anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-…    Anthropic
    x-ratelimit-{limit,remaining,reset}, x-tokenlimit-…                   Together; OpenRouter in refusals; Mistral
    x-ratelimit-…-tokens-{prompt,uncached-prompt,generated}               Fireworks
    x-ratelimitbysize-{limit,remaining}-minute, ratelimitbysize-reset     Mistral

A period is given only where the header's name or all papers agree on it: whoever believes `requests` to be those of a
minute is wrong at Groq. What headers say is passed on as it stands; whether it is true is the pace's business.

Source: provider documentation as listed in `simulator/headers.py`, read in November 2026.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from deepswarm.core.pace import Limited, Quota
from deepswarm.dialects.hints import resets_in

MINUTE_S: Final = 60.0


class _Family(NamedTuple):
    """Headers that speak of one limit."""

    of: str
    limit: str
    remaining: str
    reset: str
    period_s: float | None


_ANTHROPIC: Final = (
    ("requests", "requests"),
    ("tokens", "tokens"),
    ("input-tokens", "input_tokens"),
    ("output-tokens", "output_tokens"),
)
_FIREWORKS: Final = (
    ("tokens-prompt", "input_tokens"),
    ("tokens-uncached-prompt", "input_tokens"),
    ("tokens-generated", "output_tokens"),
)


def _named(of: str, pattern: str, period_s: float | None) -> _Family:
    """The headers of one limit; a * in their names stands for limit, remaining and reset."""
    limit, remaining, reset = (pattern.replace("*", part) for part in ("limit", "remaining", "reset"))
    return _Family(of, limit, remaining, reset, period_s)


_FAMILIES: Final = (
    _named("requests", "x-ratelimit-*-requests", None),
    _named("tokens", "x-ratelimit-*-tokens", MINUTE_S),
    *(_named(of, f"anthropic-ratelimit-{noun}-*", MINUTE_S) for noun, of in _ANTHROPIC),
    _named("requests", "x-ratelimit-*", None),
    _named("tokens", "x-tokenlimit-*", None),
    *(_named(of, f"x-ratelimit-*-{noun}", MINUTE_S) for noun, of in _FIREWORKS),
    _Family(
        "tokens",
        "x-ratelimitbysize-limit-minute",
        "x-ratelimitbysize-remaining-minute",
        "ratelimitbysize-reset",
        MINUTE_S,
    ),
)
_BY_NAME: Final = {name: family for family in _FAMILIES for name in (family.limit, family.remaining, family.reset)}

_TOKENS_SAID: Final = re.compile(
    r"\b(?:itpm|otpm|tpm)\b|tokens? per (?:min|sec|hour)|(?:input|output) tokens|token rate"
)
_REQUESTS_SAID: Final = re.compile(
    r"\b(?:rpm|rps|qpm|qps)\b|(?:requests?|queries|calls) per (?:min|sec|hour)|request rate"
)
_CALLS_SAID: Final = re.compile(r"concurren|simultaneous|in parallel|in[ -]flight|too many (?:open|active|running)")
_SAID: Final = ((_CALLS_SAID, Limited.CONCURRENCY), (_TOKENS_SAID, Limited.TOKENS), (_REQUESTS_SAID, Limited.REQUESTS))


def quotas(headers: Mapping[str, str]) -> tuple[Quota, ...]:
    """The limits that headers speak of, each once; nothing for replies without such headers.

    Args:
        headers: A reply's, with names in lower case. What is no number, below 0 or not finite is unknown.
    """
    told = {_BY_NAME[name] for name in headers if name in _BY_NAME}
    if not told:
        return ()
    now = headers.get("date", "")
    found = []
    for family in _FAMILIES:
        if family in told:
            limit, remaining = _number(headers.get(family.limit)), _number(headers.get(family.remaining))
            resets_s = resets_in(headers.get(family.reset, ""), now)
            if (limit, remaining, resets_s) != (None, None, None):
                found.append(Quota(family.of, limit, remaining, resets_s, family.period_s))
    return tuple(found)


def limited_by(said: str, words: Iterable[str], cap: int | None) -> Limited:
    """Which kind of limit a refusal names; UNKNOWN where it names none, or several.

    Args:
        said: Its message, in lower case.
        words: Its codes and types, in lower case.
        cap: Most calls at once, where it states that.
    """
    if cap is not None:
        return Limited.CONCURRENCY
    text = " ".join([said, *(word.replace("_", " ") for word in words)])
    named = {of for phrase, of in _SAID if phrase.search(text)}
    return named.pop() if len(named) == 1 else Limited.UNKNOWN


def _number(given: str | None) -> float | None:
    if given is None:
        return None
    try:
        number = float(given)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0.0 else None
