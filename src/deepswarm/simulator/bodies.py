"""The bytes of replies, in the format of OpenAI chat completions, as DeepSeek writes it.

Source: api-docs.deepseek.com/api/create-chat-completion and /quick_start/error_codes (November 2026).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply
from deepswarm.simulator.asked import Asked

CREATED: Final = 1_760_000_000
"""When every answer claims to have been made, seconds since 1970: a constant, so that equal answers are equal bytes."""

_SERVER: Final = {"server": "deepswarm-simulator", "content-type": "application/json"}
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
    400: Said("Content Exists Risk", "invalid_request_error", "invalid_request_error"),
    401: Said("Authentication Fails (no such user)", "authentication_error", "invalid_request_error"),
    402: Said("Insufficient Balance", "unknown_error", "invalid_request_error"),
    403: Said("The key has no access to this model", "permission_error", "permission_denied"),
    404: Said("The model does not exist", "invalid_request_error", "model_not_found"),
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
_OTHER: Final = Said("The request failed", "simulated_error", None)


def completion(asked: Asked, request_id: str, content: str, finish_reason: str, tokens_out: int) -> HttpReply:
    """A 200 with one choice. It has no `logprobs`, which would be null: `jsontext` looks twice at values with one."""
    return ok(
        {
            "id": request_id,
            "object": "chat.completion",
            "created": CREATED,
            "model": asked.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "finish_reason": finish_reason,
                }
            ],
            "usage": {
                "prompt_tokens": asked.tokens_in,
                "completion_tokens": tokens_out,
                "total_tokens": asked.tokens_in + tokens_out,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            "system_fingerprint": "fp_simulated",
        },
        request_id,
    )


def ok(value: object, request_id: str) -> HttpReply:
    """A 200 that holds a JSON value."""
    return HttpReply(200, {**_SERVER, "x-request-id": request_id}, jsontext.dumps(value))


def error(status: int, *, message: str = "", code: str = "", retry_after_s: float | None = None) -> HttpReply:
    """An error with a JSON body; words that are not given are those of ERRORS."""
    said = ERRORS.get(status, _OTHER)
    body = {"error": {"message": message or said.message, "type": said.type, "param": None, "code": code or said.code}}
    return HttpReply(status, {**_SERVER, **_retry_after(retry_after_s)}, jsontext.dumps(body))


def over_cap(in_flight: int, cap: int, retry_after_s: float | None) -> HttpReply:
    """The 429 of a concurrency limit, which states the numbers in its text and nowhere else.

    Source: a body of DeepSeek's as reported in github.com/tarigelamin1997/jobfetcher/pull/42 (2 September 2026).
    """
    message = f"Your current concurrency is {in_flight}, which exceeds your concurrency limit of {cap}."
    return error(429, message=message, retry_after_s=retry_after_s)


def page(status: int, retry_after_s: float | None = None) -> HttpReply:
    """An HTML page, as gateways in front of a provider send it."""
    reason = "OK" if status == 200 else ERRORS.get(status, _OTHER).message
    body = _PAGE.format(status=status, reason=reason).encode()
    return HttpReply(status, {**_PAGES, **_retry_after(retry_after_s)}, body)


def nothing(status: int, retry_after_s: float | None = None) -> HttpReply:
    """A reply without a body."""
    return HttpReply(status, {**_SERVER, **_retry_after(retry_after_s)}, b"")


def _retry_after(seconds: float | None) -> dict[str, str]:
    return {} if seconds is None else {"retry-after": f"{seconds:g}"}
