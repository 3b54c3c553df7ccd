"""What the fields of a reply's body hold, whatever stands there: absent, null, of another type, absurd."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import NO_USAGE, HttpReply, Usage

_NOTHING: Final[Mapping[str, Any]] = {}
_MARK: Final = b"\xef\xbb\xbf"
_ANSWERS: Final = frozenset({"choices", "content"})
"""Members of bodies that answer."""
_REQUEST_IDS: Final = ("x-request-id", "request-id")
_REQUEST_ID_FIELDS: Final = ("request_id", "id")


def value_of(body: bytes) -> Any:
    """The JSON value of a body, whatever blank lines kept the connection alive before it; None when it is not JSON."""
    try:
        return jsontext.loads_message(body.removeprefix(_MARK))
    except ValueError:
        return None


def text(value: Any) -> str:
    """A text; empty when it is none."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int | None:
    """A number of tokens, or a status: a whole number from 0 on that a float can hold; None when it is none."""
    return value if type(value) is int and 0 <= value < 1 << 53 else None


def members(value: Any) -> Mapping[str, Any]:
    """An object's members; none when it is not an object."""
    return value if isinstance(value, dict) else _NOTHING


def objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; none when it is not a list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def error_in(value: Any) -> Mapping[str, Any]:
    """The error that a body tells of, as an object with (perhaps) `message`, `code`, `type`; empty when there is none.

    The forms: {"error": {...}} and {"error": "..."}; the same within a list (Gemini); {"detail": "..."} and a list of
    details with `msg` (FastAPI); {"errors": [{...}]} (Cloudflare); {"object": "error", ...} and any other object that
    has a `message` and no `choices` (Mistral, Azure's gateway, vLLM up to 0.9).
    """
    if isinstance(value, list):
        value = value[0] if value else None
    body = members(value)
    error = body.get("error")
    if not error and _ANSWERS.isdisjoint(body):
        error = body.get("detail") or body.get("errors")
    if isinstance(error, list):
        error = error[0] if error else None
        error = {**error, "message": error.get("message", error.get("msg"))} if isinstance(error, dict) else error
    if isinstance(error, str):
        return {**_codes_beside(body), "message": error}
    if isinstance(error, dict):
        return error
    return body if isinstance(body.get("message"), str) and _ANSWERS.isdisjoint(body) else _NOTHING


def _codes_beside(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("code", "type", "error_type") if name in body}


def request_id(reply: HttpReply, value: Any) -> str:
    """The provider's id of the request: from the headers, or else from the body; empty when unknown."""
    body = members(value)
    for name in _REQUEST_IDS:
        if given := reply.headers.get(name):
            return given
    return next((given for name in _REQUEST_ID_FIELDS if (given := text(body.get(name)))), "")


def usage_of(usage: Any, *, answered: bool) -> Usage:
    """Tokens as providers of chat completions name them; what is not said stays unknown.

    Args:
        usage: The body's `usage`.
        answered: Whether there is an answer, or thinking: then no tokens in and none out is not true, and so unknown.

    Source: platform.openai.com/docs/api-reference/chat/object; api-docs.deepseek.com (prompt_cache_hit_tokens), both
    November 2026.
    """
    if not isinstance(usage, dict):
        return NO_USAGE
    tokens_in, tokens_out = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if answered and tokens_in == 0 and tokens_out == 0:
        return NO_USAGE
    cached = count(usage["prompt_cache_hit_tokens"]) if "prompt_cache_hit_tokens" in usage else None
    if cached is None and "prompt_tokens_details" in usage:
        cached = count(members(usage["prompt_tokens_details"]).get("cached_tokens"))
    reasoning = None
    if "completion_tokens_details" in usage:
        reasoning = count(members(usage["completion_tokens_details"]).get("reasoning_tokens"))
    return Usage(tokens_in, tokens_out, cached, reasoning)
