"""A reply that is no answer -> its class of `core/errors.py`: the one place where a provider's words are read.

What decides, in this order: what the words of the body say (its codes, types and, where nothing else tells, phrases of
its message), then the status. In a 200 the status is the one that the body's error names. Everything that a later
decision needs becomes data here: the class, how long to wait, how many calls at once, whether it may have been billed.

Sources: the error pages of the providers (platform.openai.com/docs/guides/error-codes, api-docs.deepseek.com,
platform.claude.com/docs/en/api/errors, openrouter.ai/docs/api-reference/errors, ai.google.dev, console.groq.com,
learn.microsoft.com for Azure), read in November 2026; phrases are those of the failure catalogue's threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from deepswarm.core.errors import (
    BadRequest,
    CallError,
    Cut,
    Declined,
    Garbled,
    NoSuchModel,
    OutOfFunds,
    Overloaded,
    QuotaSpent,
    ReasoningOwed,
    ServerFault,
    Throttled,
    TooLong,
    Unauthorized,
)
from deepswarm.core.pace import Limited
from deepswarm.core.records import NO_USAGE, HttpReply, Usage
from deepswarm.dialects.fields import count, error_in, members, objects, request_id, text
from deepswarm.dialects.hints import retry_after
from deepswarm.dialects.quotas import limited_by, quotas

MESSAGE: Final = 2000
"""Most characters of an error's text."""
READ: Final = 4000
"""Characters of a message in which phrases are looked for."""
LONG_WAIT_S: Final = 3600.0
"""A limit that is asked to wait for longer is not one of requests per minute, whatever it calls itself."""

_BY_STATUS: Final[Mapping[int, type[CallError]]] = {
    401: Unauthorized,
    402: OutOfFunds,
    403: Unauthorized,
    404: NoSuchModel,
    408: ServerFault,
    409: ServerFault,
    410: NoSuchModel,
    425: ServerFault,
    429: Throttled,
    498: Overloaded,
    503: Overloaded,
    529: Overloaded,
}
_STATUS_OF: Final[Mapping[str, int]] = {
    "invalid_request_error": 400,
    "badrequesterror": 400,
    "invalid_argument": 400,
    "authentication_error": 401,
    "unauthenticated": 401,
    "billing_error": 402,
    "payment_required": 402,
    "permission_error": 403,
    "permission_denied": 403,
    "not_found_error": 404,
    "not_found": 404,
    "notfounderror": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "rate_limited": 429,
    "resource_exhausted": 429,
    "slow_down": 429,
    "api_error": 500,
    "server_error": 500,
    "server": 500,
    "internal": 500,
    "internal_error": 500,
    "internal_server_error": 500,
    "internalservererror": 500,
    "provider_unavailable": 502,
    "unavailable": 503,
    "service_unavailable": 503,
    "service_unavailable_error": 503,
    "provider_overloaded": 503,
    "timeout": 504,
    "timeout_error": 504,
    "deadline_exceeded": 504,
}
"""What status an error in a 200, or in a stream, would have had by itself."""
_BY_WORD: Final[Mapping[str, type[CallError]]] = {
    "insufficient_quota": OutOfFunds,
    "credit_balance_exhausted": OutOfFunds,
    "billing_hard_limit_reached": OutOfFunds,
    "billing_not_active": OutOfFunds,
    "organization_spend_limit_exceeded": OutOfFunds,
    "project_spend_limit_exceeded": OutOfFunds,
    "organization_usage_limit_exceeded": OutOfFunds,
    "enforced_spend_limit_reached": OutOfFunds,
    "exceeded_current_quota_error": OutOfFunds,
    "insufficient_balance": OutOfFunds,
    "weight_exceeds_budget": BadRequest,
    "content_filter": Declined,
    "content_policy_violation": Declined,
    "responsibleaipolicyviolation": Declined,
    "data_inspection_failed": Declined,
    "datainspectionfailed": Declined,
    "moderation": Declined,
    "context_length_exceeded": TooLong,
    "model_not_found": NoSuchModel,
    "invalid_model": NoSuchModel,
    "invalid_api_key": Unauthorized,
    "api_key_invalid": Unauthorized,
    "server_is_overloaded": Overloaded,
    "overloaded_error": Overloaded,
    "engine_overloaded_error": Overloaded,
    "overloaded": Overloaded,
    "capacity_exceeded": Overloaded,
}
"""What an error body's own word says more finely than its status."""

_OWED: Final = re.compile(r"reasoning_content|redacted_thinking|thought_signature")
_TOO_LONG: Final = re.compile(
    r"maximum context length|context (?:length|window|size)|prompt is too long|input is too long"
    r"|reduce the length of the (?:messages|input|prompt)|input token count .{0,40}exceeds"
)
_DECLINED: Final = re.compile(
    r"content exists risk|flagged as potentially violating|content management policy|content filter(?:ing)? policy"
)
_NO_MODEL: Final = re.compile(
    r"model[ _]not[ _](?:exist|found)|model .{0,200}does not exist|not a valid model|no endpoints found"
)
_NO_KEY: Final = re.compile(r"(?:incorrect|invalid) api[ _]key|api[ _]key (?:is )?(?:not valid|invalid|expired)")
_NO_MONEY: Final = re.compile(
    r"credit balance is too low|api usage limits|spend(?:ing)? limit|insufficient (?:account )?(?:balance|credit|funds)"
    r"|used all available credits|run out of credits"
)
_BIG: Final = re.compile(r"request too large")
_HEAVY: Final = re.compile(r"weight_exceeds_budget")
_BY_PHRASE: Final[tuple[tuple[re.Pattern[str], frozenset[int], type[CallError]], ...]] = (
    (_NO_MONEY, frozenset({400, 403, 429}), OutOfFunds),
    (_OWED, frozenset({400, 422}), ReasoningOwed),
    (_DECLINED, frozenset({400, 403, 422}), Declined),
    (_TOO_LONG, frozenset({400, 413, 422}), TooLong),
    (_NO_KEY, frozenset({400}), Unauthorized),
    (_NO_MODEL, frozenset({400, 422}), NoSuchModel),
    (_BIG, frozenset({429}), BadRequest),
    (_HEAVY, frozenset({402}), BadRequest),
)
"""What only a message says: the phrase, the statuses with which it means that, and what it means.

"Request too large" in a 429 is a single request that is larger than the whole limit of a minute (OpenAI, Groq).
"""
_LONG_QUOTA: Final = re.compile(r"per[ _-]?(?:day|week|month)|\b(?:rpd|tpd|daily|weekly|monthly)\b")
_CAP: Final = re.compile(r"concurrency(?: limit)?(?: of|:| is)? {0,2}(\d{1,6})|limit of (\d{1,6}) based on")
_PAGE: Final = re.compile(rb"\s*<(?:!doctype|html|head|body|\?xml)", re.IGNORECASE)
_GATEWAY_GAVE_UP: Final = frozenset({408, 502, 504, 520, 524})
"""Statuses of gateways that had passed the request on: the answer may have been made behind them."""


def refused(
    reply: HttpReply,
    value: Any,
    error: Mapping[str, Any] | None = None,
    *,
    usage: Usage = NO_USAGE,
    pieces: bool = False,
) -> CallError:
    """The error that a reply amounts to.

    Args:
        reply: Of any status; of a 200, one that is no answer.
        value: The JSON value of its body; None when it is none.
        error: The error that it tells of, where that does not stand in its usual place.
        usage: Tokens that the body reports.
        pieces: Whether it holds pieces of an answer as well.

    Returns:
        The class with its facts, to be raised.
    """
    told = error_in(value) if error is None else error
    said = text(told.get("message")) or text(told.get("msg"))
    words = frozenset(_words(told))
    status = _status(reply.status, told, words)
    wait_s = retry_after(reply.headers, value, limited=status == 429)
    kind = _kind(reply, status, told, words, said[:READ].lower(), wait_s)
    if kind is QuotaSpent and "details" in told:
        wait_s = retry_after(reply.headers)  # beside a quota of the day Gemini's RetryInfo names seconds, not the day
    what = f"{status}: {said}" if said else _in_short(reply)
    cap = cap_in(said) if kind is Throttled else None
    return kind(
        what[:MESSAGE],
        status=reply.status,
        retry_after_s=wait_s,
        request_id=request_id(reply, value),
        maybe_billed=maybe_billed(reply.status, kind, usage, error=bool(told), pieces=pieces),
        usage=usage,
        body=reply.body,
        cap=cap,
        limited=_limited(kind, status, words, said, cap),
        quotas=quotas(reply.headers),
    )


def _limited(kind: type[CallError], status: int, words: frozenset[str], said: str, cap: int | None) -> Limited | None:
    """What kind of limit refused a call; None for what is no limit.

    A 503 that says slow_down is one (OpenAI; other 503s are the provider's own want of capacity), and OpenRouter's 402
    counts the money of the calls in flight.
    """
    if kind is Throttled:
        return Limited.CONCURRENCY if status == 402 else limited_by(said[:READ].lower(), words, cap)
    return Limited.UNKNOWN if kind is Overloaded and "slow_down" in words else None


def maybe_billed(
    status: int, kind: type[CallError], usage: Usage, *, error: bool = False, pieces: bool = False
) -> bool:
    """Whether an answer may have been made and charged of which nothing usable is held, at a price nobody knows.

    Where the provider reports the tokens the price is known, and counted as such: except in what broke off, whose
    count is not the last one. Otherwise it may have been
        - after a success, whatever came of it: the request was accepted;
        - but not when that success is but a refusal in disguise (an error with the code of one, and no pieces);
        - after the statuses of gateways that had passed the request on and gave up waiting for the answer;
        - and never after another status: refused requests are not charged.

    Args:
        status: HTTP status.
        kind: The error's class.
        usage: Tokens that the provider reported.
        error: Whether the body tells of an error.
        pieces: Whether it holds pieces of an answer beside that.
    """
    if kind is Cut or pieces:
        return True
    if usage.tokens_out is not None:
        return False
    if 200 <= status < 300:
        return not error or kind in {ServerFault, Garbled}
    return status in _GATEWAY_GAVE_UP


def cap_in(said: str) -> int | None:
    """The most calls at once that a message states; None when it states none.

    Source: DeepSeek's 429, "Your current concurrency is 40, which exceeds your concurrency limit of 39"
    (github.com/tarigelamin1997/jobfetcher/pull/42, September 2026), and Moonshot's "max organization concurrency: 3".
    """
    numbers = [int(found[1] or found[2]) for found in _CAP.finditer(said[:MESSAGE].lower())]
    return next((number for number in reversed(numbers) if number > 0), None)


def _words(error: Mapping[str, Any]) -> Iterator[str]:
    """Everything in an error that is a word of the provider's own vocabulary, in lower case."""
    inner = [members(error.get(name)) for name in ("metadata", "innererror", "inner_error")]
    for place in (error, *inner, *objects(error.get("details"))):
        for name in ("code", "type", "status", "error_type", "reason", "limit_source"):
            if word := text(place.get(name)):
                yield word.lower()


def _status(status: int, error: Mapping[str, Any], words: frozenset[str]) -> int:
    """The status; of a success, the one that its error names as a number, as digits, or by its kind."""
    if not 200 <= status < 300 or not error:
        return status
    for name in ("code", "status"):
        given = error.get(name)
        number = int(given) if isinstance(given, str) and re.fullmatch("[1-5][0-9]{2}", given) else count(given)
        if number is not None and 400 <= number < 600:
            return number
    return next((_STATUS_OF[word] for word in sorted(words) if word in _STATUS_OF), status)


def _kind(
    reply: HttpReply, status: int, error: Mapping[str, Any], words: frozenset[str], said: str, wait_s: float | None
) -> type[CallError]:
    """The class; `said` is the message in lower case."""
    by_word = next((_BY_WORD[word] for word in sorted(words) if word in _BY_WORD), None)
    by_budget = _by_budget(status, error, words)
    by_phrase = next(
        (kind for phrase, statuses, kind in _BY_PHRASE if status in statuses and phrase.search(said)), None
    )
    if kind := by_budget or by_word or by_phrase:
        return kind
    if status == 429 and (_LONG_QUOTA.search(_quota_text(error, said)) or (wait_s or 0) > LONG_WAIT_S):
        return QuotaSpent
    if status == 503 and _PAGE.match(reply.body):
        return ServerFault  # a gateway's page, not the provider's word that it has no capacity
    return _BY_STATUS.get(status) or _otherwise(status, reply.body)


def _by_budget(status: int, error: Mapping[str, Any], words: frozenset[str]) -> type[CallError] | None:
    """What OpenRouter says beside the status: neither of these is about the key.

    Source: openrouter.ai/docs/api-reference/limits and /errors (November 2026): a 402 for what is in flight passes by
    itself; a 403 of a budget names when it is renewed; a 403 with reasons is moderation.
    """
    metadata = members(error.get("metadata"))
    if status == 402 and "openrouter_in_flight_budget" in words and "weight_exceeds_budget" not in words:
        return Throttled
    if status == 403 and metadata.get("reasons"):
        return Declined
    if status == 403 and ("limit_source" in metadata or "resets_at" in metadata):
        return QuotaSpent if metadata.get("resets_at") else OutOfFunds
    return None


def _quota_text(error: Mapping[str, Any], said: str) -> str:
    """Where a quota says of what time it is: in the message, or in Google's list of violations."""
    violations = [each for detail in objects(error.get("details")) for each in objects(detail.get("violations"))]
    return " ".join([said, *(text(each.get("quotaId"))[:READ].lower() for each in violations)])


def _otherwise(status: int, body: bytes) -> type[CallError]:
    if status >= 500:
        return ServerFault
    if status >= 400:
        return BadRequest
    # blank lines kept the connection alive, and then nothing came: the queue gave up
    return Overloaded if status == 200 and body and not body.strip() else Garbled


def _in_short(reply: HttpReply) -> str:
    head = reply.body[:200].decode("utf-8", "replace").strip()
    if head:
        return f"{reply.status} {reply.headers.get('content-type', '')}: {head}"
    return f"{reply.status} with {'nothing but blank lines' if reply.body else 'an empty body'}"
