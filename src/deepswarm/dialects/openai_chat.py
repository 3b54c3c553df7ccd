"""OpenAI chat completions, as DeepSeek, vLLM and most others speak it; whole replies.

Source: platform.openai.com/docs/api-reference/chat and api-docs.deepseek.com/quick_start/error_codes (November 2026);
the odd forms are those that `docs/design/calls.md` lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.errors import (
    BadRequest,
    CallError,
    Declined,
    Garbled,
    NoSuchModel,
    OutOfFunds,
    Overloaded,
    ServerFault,
    Throttled,
    Truncated,
    Unauthorized,
)
from deepswarm.core.records import NO_USAGE, Call, HttpReply, HttpRequest, Reply, Usage

_HEADERS: Final = {"content-type": "application/json", "accept": "application/json"}
_WHOLE: Final = frozenset({"stop", "tool_calls", "function_call"})
"""Finish reasons of a whole answer."""
_SURROGATES: Final = re.compile("[\ud800-\udfff]")

_BY_STATUS: Final[dict[int, type[CallError]]] = {
    400: BadRequest,
    401: Unauthorized,
    402: OutOfFunds,
    403: Unauthorized,
    404: NoSuchModel,
    410: NoSuchModel,
    413: BadRequest,
    415: BadRequest,
    422: BadRequest,
    429: Throttled,
}
_BY_CODE: Final[dict[str, type[CallError]]] = {
    "insufficient_quota": OutOfFunds,
    "credit_balance_exhausted": OutOfFunds,
    "billing_hard_limit_reached": OutOfFunds,
    "content_filter": Declined,
    "content_policy_violation": Declined,
    "model_not_found": NoSuchModel,
    "invalid_api_key": Unauthorized,
    "rate_limit_exceeded": Throttled,
}
"""What an error body's `code` or `type` says more finely than its status."""


def encode(call: Call, url: str) -> HttpRequest:
    """The request for a call. Lone surrogates, which no provider reads, become U+FFFD."""
    body: dict[str, Any] = {
        "model": call.model,
        "messages": [{"role": message.role, "content": message.content} for message in call.messages],
    }
    if call.max_tokens is not None:
        body["max_tokens"] = call.max_tokens
    if call.params:
        body.update(call.params)
    text = jsontext.dumps(body)
    if b"\\ud" in text:
        text = jsontext.dumps(_without_surrogates(body))
    return HttpRequest(url, _HEADERS, text)


def decode(reply: HttpReply) -> Reply:
    """The reply in these bytes.

    Raises:
        CallError: Of the class that the status, or the error in the body, asks for; 200 is not success by itself.
    """
    try:
        value = jsontext.loads_message(reply.body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        value = None
    if reply.status != 200 or not isinstance(value, dict) or not value.get("choices"):
        raise _error(reply, value)
    choices: Any = value["choices"]
    choice: Any = choices[0] if isinstance(choices, list) else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise Garbled("a reply without a message", **_facts(reply, value))
    text = message.get("content")
    finish = _text(choice.get("finish_reason"))
    if finish == "length":
        raise Truncated("cut off: the model used up its tokens; raise worker_max_tokens", **_facts(reply, value))
    if finish == "content_filter":
        raise Declined("the provider's content filter cut the answer", **_facts(reply, value))
    if finish == "insufficient_system_resource":
        raise Overloaded("the provider broke the answer off: it was short of resources", **_facts(reply, value))
    if finish not in _WHOLE:
        raise Garbled(f"a reply that ended by '{finish}'" if finish else "no finish reason", **_facts(reply, value))
    if not isinstance(text, str) or not text.strip():
        raise Garbled("an empty answer", **_facts(reply, value))
    return Reply(
        text,
        finish,
        _text(value.get("model")),
        _usage(value.get("usage")),
        _reasoning(message),
        _request_id(reply, value),
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _reasoning(message: Mapping[str, Any]) -> str:
    return _text(message.get("reasoning_content")) or _text(message.get("reasoning"))


def _usage(usage: Any) -> Usage:
    """Tokens; the names of cached and reasoning tokens differ between providers, an absent one stays unknown."""
    if not isinstance(usage, dict):
        return NO_USAGE
    cached = _count(usage["prompt_cache_hit_tokens"]) if "prompt_cache_hit_tokens" in usage else None
    if cached is None and "prompt_tokens_details" in usage:
        cached = _count(_within(usage, "prompt_tokens_details", "cached_tokens"))
    reasoning = None
    if "completion_tokens_details" in usage:
        reasoning = _count(_within(usage, "completion_tokens_details", "reasoning_tokens"))
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), cached, reasoning)


def _within(value: Mapping[str, Any], outer: str, inner: str) -> Any:
    part = value.get(outer)
    return part.get(inner) if isinstance(part, dict) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def _error(reply: HttpReply, value: Any) -> CallError:
    """The error that a status and a body amount to; the body's own code is finer than the status."""
    error = _error_in(value)
    status = reply.status
    code = error.get("code")
    if status == 200:
        status = _count(code) or 200  # aggregators put the real status into the body of a 200
    words = (_text(code), _text(error.get("type")))
    kind = next((_BY_CODE[word] for word in words if word in _BY_CODE), None)
    kind = kind or _by_metadata(status, error.get("metadata")) or _BY_STATUS.get(status) or _otherwise(status)
    said = error.get("message")
    what = f"{status}: {said}" if isinstance(said, str) and said else _in_short(reply)
    if kind is BadRequest and isinstance(said, str) and "Content Exists Risk" in said:
        kind = Declined  # DeepSeek's moderation, told only by its text: turned into data here, once
    return kind(what[:2000], **_facts(reply, value))


def _by_metadata(status: int, metadata: Any) -> type[CallError] | None:
    """What OpenRouter says beside the status: neither is about the account or the key.

    Source: openrouter.ai/docs/api-reference/errors (November 2026).
    """
    if not isinstance(metadata, dict):
        return None
    if status == 403 and metadata.get("reasons"):
        return Declined
    if status == 402 and metadata.get("limit_source") == "openrouter_in_flight_budget":
        return Throttled
    return None


def _otherwise(status: int) -> type[CallError]:
    if status in {498, 503, 529}:
        return Overloaded
    if status >= 500 or status in {408, 409, 425}:
        return ServerFault
    return BadRequest if 400 <= status < 500 else Garbled


def _error_in(value: Any) -> Mapping[str, Any]:
    error = value.get("error", value.get("detail")) if isinstance(value, dict) else None
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) else {}


def _in_short(reply: HttpReply) -> str:
    head = reply.body[:200].decode("utf-8", "replace").strip()
    kind = reply.headers.get("content-type", "")
    return f"{reply.status} {kind}: {head}" if head else f"{reply.status} with an empty body"


def _facts(reply: HttpReply, value: Any) -> dict[str, Any]:
    return {
        "status": reply.status,
        "retry_after_s": retry_after(reply.headers),
        "request_id": _request_id(reply, value),
        "usage": _usage(value.get("usage")) if isinstance(value, dict) else NO_USAGE,
        "body": reply.body,
    }


def _request_id(reply: HttpReply, value: Any) -> str:
    given = reply.headers.get("x-request-id") or (value.get("id") if isinstance(value, dict) else None)
    return given if isinstance(given, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the provider asks to wait: finite and above 0, else None. Dates are read against its own clock."""
    for name, per_second in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = _sensible(float(headers.get(name, "")) / per_second)
        except ValueError:
            continue
        if seconds is not None:
            return seconds
    return _until(headers.get("retry-after", ""), headers.get("date", ""))


def _until(date: str, now: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return _sensible((parsedate_to_datetime(date) - parsedate_to_datetime(now)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return None


def _sensible(seconds: float) -> float | None:
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(inner) for key, inner in value.items()}
    return [_without_surrogates(inner) for inner in value] if isinstance(value, list) else value
