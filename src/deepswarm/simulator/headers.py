"""The rate-limit headers of each provider, with their names and their formats of time. Pure.

Names are in lower case. `wall` is the time now in seconds since 1970, for the providers that send moments and not
durations; whoever sends those sends `date` as well, so that a client whose clock is wrong can tell.

Source: learn.microsoft.com, platform.openai.com/docs/guides/rate-limits, platform.claude.com/docs/en/api/rate-limits,
console.groq.com/docs/rate-limits, docs.together.ai, docs.fireworks.ai, docs.mistral.ai, openrouter.ai/docs (November
2026). Guessed from names alone: `x-ratelimit-remaining-tokens-prompt` and `-generated` of Fireworks, and the units of
Together's reset, which are taken for seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final, TypeAlias

from deepswarm.simulator.limitlaw import Counted, HeaderDialect, RetryAfter
from deepswarm.simulator.rates import Quota

Headers: TypeAlias = dict[str, str]

_PROMPT_TOKENS: Final = (Counted.UNCACHED_TOKENS, Counted.INPUT_TOKENS)
_ANY_TOKENS: Final = (Counted.TOKENS, *_PROMPT_TOKENS, Counted.OUTPUT_TOKENS)


def rate_headers(dialect: HeaderDialect, quotas: Sequence[Quota], wall: float, *, refused: bool) -> Headers:
    """What a reply tells about the rate limits; empty for a provider that tells nothing, or has none.

    Args:
        dialect: Whose headers.
        quotas: How each rate limit stands.
        wall: Seconds since 1970.
        refused: Whether the request was refused with a 429: OpenRouter tells only then.
    """
    write = _WRITERS.get(dialect)
    if write is None or not quotas or (dialect is HeaderDialect.OPENROUTER and not refused):
        return {}
    return write(quotas, wall)


def retry_headers(kind: RetryAfter, dialect: HeaderDialect, wait_s: float, wall: float) -> Headers:
    """How a refusal says to wait so many seconds; rounded up to whole ones but in milliseconds."""
    if kind is RetryAfter.AUTO:
        kind = RETRY_AFTER[dialect]
    headers: Headers = {}
    if kind in {RetryAfter.MS, RetryAfter.BOTH}:
        headers["retry-after-ms"] = f"{math.ceil(wait_s * 1000.0)}"
    if kind in {RetryAfter.SECONDS, RetryAfter.BOTH}:
        headers["retry-after"] = f"{math.ceil(wait_s)}"
    if kind is RetryAfter.DATE:
        headers["date"] = formatdate(wall, usegmt=True)
        headers["retry-after"] = formatdate(math.ceil(wall + wait_s), usegmt=True)
    return headers


RETRY_AFTER: Final = {
    HeaderDialect.NONE: RetryAfter.NONE,
    HeaderDialect.DEEPSEEK: RetryAfter.NONE,
    HeaderDialect.OPENAI: RetryAfter.BOTH,
    HeaderDialect.AZURE: RetryAfter.BOTH,
    HeaderDialect.ANTHROPIC: RetryAfter.SECONDS,
    HeaderDialect.OPENROUTER: RetryAfter.SECONDS,
    HeaderDialect.GROQ: RetryAfter.SECONDS,
    HeaderDialect.TOGETHER: RetryAfter.NONE,
    HeaderDialect.FIREWORKS: RetryAfter.NONE,
    HeaderDialect.MISTRAL: RetryAfter.SECONDS,
    HeaderDialect.GEMINI: RetryAfter.NONE,
    HeaderDialect.VLLM: RetryAfter.NONE,
}
"""In which header each provider says how long to wait. Gemini says it in the body."""


# --- formats of time -------------------------------------------------------------------------------------------------


def go_duration(seconds: float, step_ms: int = 1) -> str:
    """A duration as Go writes it: 12ms, 1.5s, 6m0s, 1h0m0s. Rounded up to whole steps of milliseconds."""
    whole_ms = math.ceil(seconds * 1000.0 / step_ms - 1e-6) * step_ms
    if 0 < whole_ms < 1000:
        return f"{whole_ms}ms"
    minutes, rest_ms = divmod(whole_ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    last = f"{rest_ms / 1000.0:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{last}"
    return f"{minutes}m{last}" if minutes else last


def rfc_3339(wall: float) -> str:
    """A moment in UTC, rounded up to whole seconds: 2026-11-20T12:00:00Z."""
    return datetime.fromtimestamp(math.ceil(wall), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- the dialects ----------------------------------------------------------------------------------------------------


def _openai(quotas: Sequence[Quota], wall: float) -> Headers:
    del wall
    return _families(quotas, go_duration, requests=_shortest(quotas, Counted.REQUESTS))


def _groq(quotas: Sequence[Quota], wall: float) -> Headers:
    """As OpenAI, but `requests` are those per day where there is such a limit, and times end with hundredths."""
    del wall
    return _families(quotas, lambda seconds: go_duration(seconds, 10), requests=_longest(quotas, Counted.REQUESTS))


def _azure(quotas: Sequence[Quota], wall: float) -> Headers:
    del wall
    return _families(quotas, lambda seconds: f"{math.ceil(seconds)}", requests=_shortest(quotas, Counted.REQUESTS))


def _families(quotas: Sequence[Quota], write: Callable[[float], str], *, requests: Quota | None) -> Headers:
    headers: Headers = {}
    for noun, quota in (("requests", requests), ("tokens", _shortest(quotas, *_ANY_TOKENS))):
        if quota is not None:
            headers[f"x-ratelimit-limit-{noun}"] = _whole(quota.limit)
            headers[f"x-ratelimit-remaining-{noun}"] = _whole(quota.remaining)
            headers[f"x-ratelimit-reset-{noun}"] = write(quota.reset_s)
    return headers


def _anthropic(quotas: Sequence[Quota], wall: float) -> Headers:
    """`tokens` stands for the limit of tokens of which least is left, as the documentation says."""
    tightest = [quota for quota in (_shortest(quotas, each) for each in _ANY_TOKENS) if quota is not None]
    families = {
        "requests": _shortest(quotas, Counted.REQUESTS),
        "tokens": min(tightest, key=lambda quota: quota.remaining / max(1.0, quota.limit), default=None),
        "input-tokens": _shortest(quotas, *_PROMPT_TOKENS),
        "output-tokens": _shortest(quotas, Counted.OUTPUT_TOKENS),
    }
    headers = {"date": formatdate(wall, usegmt=True)}
    for noun, quota in families.items():
        if quota is not None:
            headers[f"anthropic-ratelimit-{noun}-limit"] = _whole(quota.limit)
            headers[f"anthropic-ratelimit-{noun}-remaining"] = _whole(quota.remaining)
            headers[f"anthropic-ratelimit-{noun}-reset"] = rfc_3339(wall + quota.reset_s)
    return headers


def _openrouter(quotas: Sequence[Quota], wall: float) -> Headers:
    """Milliseconds since 1970."""
    quota = _shortest(quotas, Counted.REQUESTS)
    if quota is None:
        return {}
    return {
        "date": formatdate(wall, usegmt=True),
        "x-ratelimit-limit": _whole(quota.limit),
        "x-ratelimit-remaining": _whole(quota.remaining),
        "x-ratelimit-reset": f"{math.ceil((wall + quota.reset_s) * 1000.0)}",
    }


def _together(quotas: Sequence[Quota], wall: float) -> Headers:
    del wall
    headers: Headers = {}
    for family, counts in (("x-ratelimit", (Counted.REQUESTS,)), ("x-tokenlimit", _ANY_TOKENS)):
        quota = _shortest(quotas, *counts)
        if quota is not None:
            headers[f"{family}-limit"] = _whole(quota.limit)
            headers[f"{family}-remaining"] = _whole(quota.remaining)
            headers[f"{family}-reset"] = f"{math.ceil(quota.reset_s)}"
    return headers


def _fireworks(quotas: Sequence[Quota], wall: float) -> Headers:
    del wall
    headers: Headers = {}
    nouns = {
        "tokens-prompt": Counted.INPUT_TOKENS,
        "tokens-uncached-prompt": Counted.UNCACHED_TOKENS,
        "tokens-generated": Counted.OUTPUT_TOKENS,
        "requests": Counted.REQUESTS,
    }
    for noun, counts in nouns.items():
        quota = _shortest(quotas, counts)
        if quota is not None:
            headers[f"x-ratelimit-limit-{noun}"] = _whole(quota.limit)
            headers[f"x-ratelimit-remaining-{noun}"] = _whole(quota.remaining)
    return headers


def _mistral(quotas: Sequence[Quota], wall: float) -> Headers:
    """Tokens are the `size`; of requests only what remains is told."""
    del wall
    headers: Headers = {}
    tokens = _shortest(quotas, *_ANY_TOKENS)
    if tokens is not None:
        headers["x-ratelimitbysize-limit-minute"] = _whole(tokens.limit)
        headers["x-ratelimitbysize-remaining-minute"] = _whole(tokens.remaining)
        headers["ratelimitbysize-reset"] = f"{math.ceil(tokens.reset_s)}"
    requests = _shortest(quotas, Counted.REQUESTS)
    if requests is not None:
        headers["x-ratelimit-remaining"] = _whole(requests.remaining)
    return headers


_WRITERS: Final[dict[HeaderDialect, Callable[[Sequence[Quota], float], Headers]]] = {
    HeaderDialect.OPENAI: _openai,
    HeaderDialect.AZURE: _azure,
    HeaderDialect.ANTHROPIC: _anthropic,
    HeaderDialect.OPENROUTER: _openrouter,
    HeaderDialect.GROQ: _groq,
    HeaderDialect.TOGETHER: _together,
    HeaderDialect.FIREWORKS: _fireworks,
    HeaderDialect.MISTRAL: _mistral,
}
"""Who tells anything on replies; DeepSeek, Gemini and vLLM do not."""


def _shortest(quotas: Sequence[Quota], *counts: Counted) -> Quota | None:
    """The limit with the shortest period, of the first kind that has one."""
    for kind in counts:
        found = [quota for quota in quotas if quota.counts is kind]
        if found:
            return min(found, key=lambda quota: quota.per_s)
    return None


def _longest(quotas: Sequence[Quota], counts: Counted) -> Quota | None:
    return max((quota for quota in quotas if quota.counts is counts), key=lambda quota: quota.per_s, default=None)


def _whole(amount: float) -> str:
    return f"{math.floor(amount + 1e-6)}"
