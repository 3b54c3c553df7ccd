"""The replies of a provider that are no answers: errors, lists, and the pages of gateways.

Source: api-docs.deepseek.com/api/create-chat-completion and /quick_start/error_codes (November 2026).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply

CREATED: Final = 1_760_000_000
"""When every answer claims to have been made, seconds since 1970: a constant, so that equal answers are equal bytes."""

JSON_HEADERS: Final = {"server": "deepswarm-simulator", "content-type": "application/json"}
_STREAMS: Final = {
    "server": "deepswarm-simulator",
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
}
_PAGES: Final = {"server": "deepswarm-simulator", "content-type": "text/html"}
_PAGE: Final = (
    "<html>\r\n<head><title>{status} {reason}</title></head>\r\n<body>\r\n"
    "<center><h1>{status} {reason}</h1></center>\r\n"
    "<hr><center>simulated gateway</center>\r\n</body>\r\n</html>\r\n"
)


class Said(NamedTuple):
    """What an error body says: message, type, code."""

    message: str
    type: str
    code: str | None


ERRORS: Final = {
    302: Said("Found", "redirect", None),
    400: Said("Content Exists Risk", "invalid_request_error", "invalid_request_error"),
    401: Said("Authentication Fails (no such user)", "authentication_error", "invalid_request_error"),
    402: Said("Insufficient Balance", "unknown_error", "invalid_request_error"),
    403: Said("The key has no access to this model", "permission_error", "permission_denied"),
    404: Said("The model does not exist", "invalid_request_error", "model_not_found"),
    408: Said("The request took too long", "timeout", None),
    409: Said("The request conflicts with another one", "conflict", None),
    410: Said("The model has reached its end of life", "invalid_request_error", "model_not_found"),
    413: Said("Request too large", "invalid_request_error", "request_too_large"),
    422: Said("Invalid parameters", "invalid_request_error", "invalid_request_error"),
    429: Said("Rate limit reached", "rate_limit_error", "rate_limit_exceeded"),
    500: Said("The server had an error", "server_error", None),
    502: Said("Bad gateway", "server_error", None),
    503: Said("Server overloaded, please try again later", "server_error", "service_unavailable"),
    504: Said("Gateway timeout", "server_error", None),
    529: Said("Overloaded", "overloaded_error", None),
}
"""What an error says unless the law has other words. 400 is DeepSeek's refusal of a risky prompt."""
OTHER: Final = Said("The request failed", "simulated_error", None)


def ok(value: object, request_id: str) -> HttpReply:
    """A 200 that holds a JSON value."""
    return HttpReply(200, {**JSON_HEADERS, "x-request-id": request_id}, jsontext.dumps(value))


def stream_headers(request_id: str) -> dict[str, str]:
    """The headers of a streamed 200."""
    return {**_STREAMS, "x-request-id": request_id}


def error(status: int, *, message: str = "", code: str = "") -> HttpReply:
    """An error with a JSON body; words that are not given are those of ERRORS."""
    said = ERRORS.get(status, OTHER)
    body = {"error": {"message": message or said.message, "type": said.type, "param": None, "code": code or said.code}}
    return HttpReply(status, JSON_HEADERS, jsontext.dumps(body))


def page(status: int) -> HttpReply:
    """An HTML page, as gateways in front of a provider send it."""
    reason = "OK" if status == 200 else ERRORS.get(status, OTHER).message
    body = _PAGE.format(status=status, reason=reason).encode()
    return HttpReply(status, _PAGES, body)


def nothing(status: int) -> HttpReply:
    """A reply without a body."""
    return HttpReply(status, JSON_HEADERS, b"")


def balance(left_usd: float) -> HttpReply:
    """What is left on the account, in DeepSeek's form.

    Source: api-docs.deepseek.com/api/get-user-balance (November 2026); amounts are text.
    """
    amount = f"{max(0.0, left_usd):.2f}"
    info = {"currency": "USD", "total_balance": amount, "granted_balance": "0.00", "topped_up_balance": amount}
    return ok({"is_available": left_usd > 0.0, "balance_infos": [info]}, "balance")
