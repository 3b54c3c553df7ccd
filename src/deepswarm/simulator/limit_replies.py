"""The replies that refuse: status, words, shape and headers of each provider. Pure.

Source: a body of DeepSeek's as reported in github.com/tarigelamin1997/jobfetcher/pull/42 (2 September 2026);
platform.openai.com error codes; learn.microsoft.com (Azure OpenAI 429); platform.claude.com/docs/en/api/errors;
openrouter.ai/docs (errors, in-flight budget); ai.google.dev (QuotaFailure, RetryInfo); docs.mistral.ai (November 2026).
Together and Fireworks are taken to write errors as OpenAI does, which their documentation does not say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply
from deepswarm.simulator import bodies
from deepswarm.simulator.asked import Asked, Form
from deepswarm.simulator.headers import RETRY_AFTER, rate_headers, retry_headers
from deepswarm.simulator.limitlaw import Counted, HeaderDialect, LimitLaws, RefusalBody, RetryAfter
from deepswarm.simulator.limits import Refusal, Why
from deepswarm.simulator.rates import Quota


def refusal_reply(law: LimitLaws, refusal: Refusal, asked: Asked, quotas: Sequence[Quota], wall: float) -> HttpReply:
    """The reply that refuses a request.

    Args:
        law: How the provider behaves.
        refusal: Why it is not let in.
        asked: The request.
        quotas: How each rate limit stands.
        wall: Seconds since 1970.
    """
    dialect = HeaderDialect.ANTHROPIC if asked.form is Form.MESSAGES else law.headers
    status = law.refusal.status or _status(dialect, refusal.why)
    wait = _hint(law, refusal)
    headers = rate_headers(law.headers, quotas, wall, refused=status == 429) | wait.headers(law, wall)
    if law.refusal.body is RefusalBody.HTML:
        reply = bodies.page(status)
    elif law.refusal.body is RefusalBody.EMPTY:
        reply = bodies.nothing(status)
    else:
        said = _said(law, refusal, asked, wait.wait_s)
        value = _SHAPES.get(dialect, _openai)(_Words(status, said, refusal, wait.wait_s))
        reply = HttpReply(status, bodies.JSON_HEADERS, jsontext.dumps(value))
    return reply._replace(headers={**reply.headers, **headers})


class _Hint(NamedTuple):
    """How long the provider knows that it will be, and how long the law makes it say; None is nothing."""

    wait_s: float | None
    told_s: float | None

    def headers(self, law: LimitLaws, wall: float) -> dict[str, str]:
        kind = law.refusal.retry_after
        if self.told_s is not None and kind in {RetryAfter.AUTO, RetryAfter.SECONDS}:
            return {"retry-after": f"{self.told_s:g}"}
        wait_s = self.wait_s if self.told_s is None else self.told_s
        return {} if wait_s is None else retry_headers(kind, law.headers, wait_s, wall)


def _hint(law: LimitLaws, refusal: Refusal) -> _Hint:
    """What is known of the wait. Where the limit, or the dialect, says nothing, the law's own number is told."""
    wait_s = refusal.wait_s
    if refusal.why is Why.BALANCE or (wait_s is not None and math.isinf(wait_s)):
        return _Hint(None, None)
    auto = law.refusal.retry_after is RetryAfter.AUTO
    silent = auto and RETRY_AFTER[law.headers] is RetryAfter.NONE
    return _Hint(wait_s, law.retry_after_s if wait_s is None or silent else None)


def _status(dialect: HeaderDialect, why: Why) -> int:
    if why is Why.QUEUE:
        return 529 if dialect is HeaderDialect.ANTHROPIC else 503
    if why is Why.BALANCE:
        return 429 if dialect in {HeaderDialect.OPENAI, HeaderDialect.AZURE, HeaderDialect.GEMINI} else 402
    return 402 if why is Why.BUDGET else 429


# --- words -----------------------------------------------------------------------------------------------------------


class _Words(NamedTuple):
    """What a shape is filled with."""

    status: int
    said: bodies.Said
    refusal: Refusal
    wait_s: float | None


_NOUNS: Final = {
    Counted.REQUESTS: ("requests", "R"),
    Counted.TOKENS: ("tokens", "T"),
    Counted.INPUT_TOKENS: ("input tokens", "IT"),
    Counted.UNCACHED_TOKENS: ("uncached input tokens", "UT"),
    Counted.OUTPUT_TOKENS: ("output tokens", "OT"),
    Counted.USD: ("dollars", "S"),
}
_PERIODS: Final = {1.0: ("sec", "PS"), 60.0: ("min", "PM"), 3600.0: ("hour", "PH"), 86400.0: ("day", "PD")}


def _said(law: LimitLaws, refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    said = _WORDS[refusal.why](refusal, asked, wait_s)
    return said._replace(message=law.refusal.message or said.message, code=law.refusal.code or said.code)


def _balance(refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    del refusal, asked, wait_s
    return bodies.ERRORS[402]


def _budget(refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    del asked, wait_s
    message = (
        f"This request may cost ${refusal.asked:.6f}; ${refusal.used:.6f} are in flight, "
        f"and the in-flight budget is ${refusal.most:.6f}."
    )
    return bodies.Said(message, "payment_required", "payment_required")


def _concurrency(refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    del asked, wait_s
    source = " based on your remaining balance" if refusal.from_balance else ""
    message = (
        f"Your current concurrency is {refusal.used + 1:.0f}, "
        f"which exceeds your concurrency limit of {refusal.most:.0f}{source}."
    )
    return bodies.Said(message, "rate_limit_error", "rate_limit_exceeded")


def _growth(refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    del refusal, asked, wait_s
    message = "Your traffic grows too fast. Please slow down, and increase your rate of requests step by step."
    return bodies.Said(message, "rate_limit_error", "slow_down")


def _rate(refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    counts = refusal.counts or Counted.REQUESTS
    noun, letter = _NOUNS[counts]
    period, short = _PERIODS.get(refusal.per_s, (f"{refusal.per_s:g} s", ""))
    limit = f"on {noun} per {period}" + (f" ({letter}{short})" if short else "")
    numbers = f"Limit {refusal.most:g}, Used {refusal.used:g}, Requested {refusal.asked:g}"
    kind = "requests" if counts is Counted.REQUESTS else "tokens"
    if refusal.wait_s is not None and math.isinf(refusal.wait_s):
        message = f"Request too large for {asked.model} {limit}: {numbers}."
    else:
        message = f"Rate limit reached for {asked.model} {limit}: {numbers}."
        message += "" if wait_s is None else f" Please try again in {wait_s:.3f}s."
    return bodies.Said(message, kind, "rate_limit_exceeded")


def _queue(refusal: Refusal, asked: Asked, wait_s: float | None) -> bodies.Said:
    del asked, wait_s
    message = f"The server is overloaded: {refusal.used:.0f} requests are waiting."
    return bodies.Said(message, "service_unavailable_error", "server_is_overloaded")


_WORDS: Final[dict[Why, Callable[[Refusal, Asked, float | None], bodies.Said]]] = {
    Why.BALANCE: _balance,
    Why.BUDGET: _budget,
    Why.CONCURRENCY: _concurrency,
    Why.GROWTH: _growth,
    Why.RATE: _rate,
    Why.QUEUE: _queue,
}


# --- shapes ----------------------------------------------------------------------------------------------------------


def _openai(words: _Words) -> Any:
    said = words.said
    return {"error": {"message": said.message, "type": said.type, "param": None, "code": said.code}}


def _openai_itself(words: _Words) -> Any:
    if words.refusal.why is not Why.BALANCE:
        return _openai(words)
    message = "You exceeded your current quota, please check your plan and billing details."
    return {"error": {"message": message, "type": "insufficient_quota", "param": None, "code": "insufficient_quota"}}


def _azure(words: _Words) -> Any:
    if words.refusal.why is Why.BALANCE:
        return _openai_itself(words)
    seconds = "" if words.wait_s is None else f" Please retry after {math.ceil(words.wait_s)} seconds."
    return {"error": {"code": str(words.status), "message": f"{words.said.message}{seconds}"}}


def _anthropic(words: _Words) -> Any:
    kind = "rate_limit_error"
    if words.refusal.why in {Why.BALANCE, Why.BUDGET}:
        kind = "billing_error"
    elif words.refusal.why is Why.QUEUE:
        kind = "overloaded_error"
    return {"type": "error", "error": {"type": kind, "message": words.said.message}, "request_id": "req_simulated"}


def _openrouter(words: _Words) -> Any:
    metadata: dict[str, Any] = {"error_type": "rate_limit_exceeded"}
    if words.refusal.why is Why.BALANCE:
        metadata = {"error_type": "payment_required"}
    elif words.refusal.why is Why.BUDGET:
        never = words.refusal.wait_s is not None and math.isinf(words.refusal.wait_s)
        source = "weight_exceeds_budget" if never else "openrouter_in_flight_budget"
        metadata = {"error_type": "payment_required", "limit_source": source}
    elif words.refusal.why is Why.QUEUE:
        metadata = {"error_type": "provider_overloaded"}
    return {"error": {"code": words.status, "message": words.said.message, "metadata": metadata}}


def _mistral(words: _Words) -> Any:
    kind = "rate_limited" if words.status == 429 else words.said.type
    return {"object": "error", "message": words.said.message, "type": kind, "param": None, "code": "1300"}


def _gemini(words: _Words) -> Any:
    """A list with one error; how long to wait stands in its details, and whether a day's quota is used up."""
    state = {429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}.get(words.status, "FAILED_PRECONDITION")
    error: dict[str, Any] = {"code": words.status, "message": words.said.message, "status": state}
    if words.refusal.why is Why.RATE:
        noun = {Counted.REQUESTS: "Requests", Counted.USD: "Spend"}.get(
            words.refusal.counts or Counted.TOKENS, "InputTokens"
        )
        period = {60.0: "PerMinute", 86400.0: "PerDay"}.get(words.refusal.per_s, "PerPeriod")
        violation = {
            "quotaId": f"Generate{noun}{period}PerProjectPerModel",
            "quotaValue": f"{words.refusal.most:g}",
        }
        details: list[dict[str, Any]] = [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}
        ]
        if words.wait_s is not None:
            retry = f"{math.ceil(words.wait_s)}s"
            details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": retry})
        error["details"] = details
    return [{"error": error}]


def _vllm(words: _Words) -> Any:
    kind = "ServiceUnavailableError" if words.status == 503 else words.said.type
    return {"error": {"message": words.said.message, "type": kind, "param": None, "code": words.status}}


_SHAPES: Final[dict[HeaderDialect, Callable[[_Words], Any]]] = {
    HeaderDialect.OPENAI: _openai_itself,
    HeaderDialect.AZURE: _azure,
    HeaderDialect.ANTHROPIC: _anthropic,
    HeaderDialect.OPENROUTER: _openrouter,
    HeaderDialect.MISTRAL: _mistral,
    HeaderDialect.GEMINI: _gemini,
    HeaderDialect.VLLM: _vllm,
}
"""The others write errors as OpenAI does."""
