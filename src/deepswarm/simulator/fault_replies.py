"""The replies of faults of the kinds `status` and `reject`: errors in the form that each provider gives them. Pure.

Source: api-docs.deepseek.com/quick_start/error_codes, ai.google.dev/gemini-api/docs/troubleshooting (google.rpc.Status
with QuotaFailure and RetryInfo), openrouter.ai/docs/api-reference/errors, platform.claude.com/docs/en/api/errors
(November 2026); the list form is that of Gemini's OpenAI-compatible address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply
from deepswarm.simulator import bodies
from deepswarm.simulator.asked import Asked
from deepswarm.simulator.faultlaw import BodyKind, Fault, RetryAfterForm

_NOW: Final = datetime.fromtimestamp(bodies.CREATED, UTC)
"""What the provider's clock shows: far from the client's, so that only the difference to its Date is of use."""
_RULES: Final = {
    "reasoning_owed": "The `reasoning_content` in the thinking mode must be passed back to the API.",
    "reasoning_forbidden": "The `reasoning_content` field must not be sent in the messages of earlier turns.",
    "parameter": "Unsupported parameter: '{parameter}' is not supported with this model.",
}
"""What a 400 says about the rule that was broken. Sources: api-docs.deepseek.com/guides/thinking_mode and (the rule of
2025) /guides/reasoning_model; the last one is OpenAI's wording for its reasoning models."""
_QUOTA: Final = "GenerateRequestsPerMinutePerProjectPerModel"


class _Told(NamedTuple):
    """What an error says, whatever its form; `own_code` is the law's, empty where it gives none."""

    status: int
    message: str
    type: str
    code: str | None
    own_code: str
    retry_after_s: float | None


def status_reply(fault: Fault, key: str) -> HttpReply:
    """The reply of a fault of the kind `status`.

    Args:
        fault: Says what it looks like.
        key: The API key that came with the request, for messages and headers that repeat it.
    """
    said = bodies.ERRORS.get(fault.status, bodies.OTHER)
    message = (fault.message or said.message).replace("{key}", key)
    told = _Told(fault.status, message, said.type, fault.code or said.code, fault.code, fault.retry_after_s)
    if fault.raw:
        reply = HttpReply(fault.status, bodies.JSON_HEADERS, fault.raw.replace("{key}", key).encode())
    elif fault.body is BodyKind.HTML:
        reply = bodies.page(fault.status)
    elif fault.body is BodyKind.EMPTY:
        reply = bodies.nothing(fault.status)
    else:
        reply = HttpReply(fault.status, bodies.JSON_HEADERS, jsontext.dumps(_FORMS[fault.body](told)))
    return reply._replace(headers=_with_more(reply.headers, fault, key))


def reject_reply(fault: Fault) -> HttpReply:
    """The reply of a fault of the kind `reject`."""
    message = fault.message or _RULES[fault.chosen_form].format(parameter=fault.parameter)
    return bodies.error(400, message=message, code=fault.code or "invalid_request_error")


def breaks_rule(fault: Fault, asked: Asked) -> bool:
    """Whether a request breaks the rule of a fault of the kind `reject`."""
    if fault.chosen_form == "parameter":
        return fault.parameter in asked.body
    answers = [message for message in asked.messages if message.get("role") == "assistant"]
    with_it = [message for message in answers if message.get("reasoning_content") is not None]
    return bool(with_it) if fault.chosen_form == "reasoning_forbidden" else len(with_it) < len(answers)


def _chat(told: _Told) -> Any:
    return {"error": {"message": told.message, "type": told.type, "param": None, "code": told.code}}


def _gemini(told: _Told) -> Any:
    """A google.rpc.Status. The code is the quota's name; its delay need not be true, as with Gemini's daily quota."""
    violation = {"quotaId": told.own_code or _QUOTA}
    details: list[Any] = [{"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation]}]
    if told.retry_after_s is not None:
        delay = f"{told.retry_after_s:g}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    status = "RESOURCE_EXHAUSTED" if told.status == 429 else "UNAVAILABLE"
    return {"error": {"code": told.status, "message": told.message, "status": status, "details": details}}


def _openrouter(told: _Told) -> Any:
    metadata: dict[str, Any] = {"error_type": told.own_code or "provider_unavailable", "raw": told.message}
    if told.status == 402:
        metadata = {"limit_source": told.own_code or "openrouter_in_flight_budget"}
    elif told.status == 403:
        metadata = {"reasons": [told.own_code or "violence"], "flagged_input": "[simulated]"}
    return {"error": {"code": told.status, "message": told.message, "metadata": metadata}}


def _messages(told: _Told) -> Any:
    return {"type": "error", "error": {"type": told.own_code or told.type, "message": told.message}}


_FORMS: Final[dict[BodyKind, Callable[[_Told], Any]]] = {
    BodyKind.JSON: _chat,
    BodyKind.DETAIL: lambda told: {"detail": told.message},
    BodyKind.LIST: lambda told: [_gemini(told)],
    BodyKind.GEMINI: _gemini,
    BodyKind.OPENROUTER: _openrouter,
    BodyKind.MESSAGES: _messages,
}


def _with_more(headers: Mapping[str, str], fault: Fault, key: str) -> Mapping[str, str]:
    """The headers with those that the fault adds; one that is given twice is sent twice."""
    if fault.retry_after_s is None and not fault.headers:
        return headers
    more: dict[str, str] = {}
    for line in fault.headers.splitlines():
        name, _, value = line.replace("{key}", key).partition(":")
        name, value = name.strip().lower(), value.strip()
        more[name] = f"{more[name]}\n{value}" if name in more else value
    return {**headers, **_retry_after(fault), **more}


def _retry_after(fault: Fault) -> dict[str, str]:
    """What says when to come again; a date comes with the one that it is counted from."""
    seconds = fault.retry_after_s
    if seconds is None:
        return {}
    if fault.retry_after_form is RetryAfterForm.MS:
        return {"retry-after-ms": f"{seconds * 1000:g}"}
    if fault.retry_after_form is RetryAfterForm.SECONDS:
        return {"retry-after": f"{seconds:g}"}
    then = _NOW + timedelta(seconds=round(seconds))
    return {"date": format_datetime(_NOW, usegmt=True), "retry-after": format_datetime(then, usegmt=True)}
