"""OpenAI chat completions as most providers speak them: one `ChatDialect` each, differing in a few points only.

Source: platform.openai.com/docs/api-reference/chat (November 2026); the odd forms are those of the failure catalogue.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from deepswarm.core import address
from deepswarm.core.errors import CallError
from deepswarm.core.records import Assembler, Call, HttpReply, HttpRequest, Json, Reply
from deepswarm.dialects import Balance
from deepswarm.dialects.answers import Answer, Ending, delivered
from deepswarm.dialects.assembling import ChatAssembler
from deepswarm.dialects.fields import members, text, usage_of, value_of
from deepswarm.dialects.requests import JSON_HEADERS, json_request
from deepswarm.dialects.sse import assembled, looks_like_events

ENDINGS: Final[Mapping[str, Ending]] = MappingProxyType(
    {
        "stop": Ending.WHOLE,
        "tool_calls": Ending.WHOLE,
        "function_call": Ending.WHOLE,
        "length": Ending.LENGTH,
        "content_filter": Ending.FILTERED,
        "insufficient_system_resource": Ending.OVERLOADED,
        "refusal": Ending.REFUSED,
    }
)
"""The finish reasons of OpenAI and DeepSeek; what is not among a dialect's own is no proof of a whole answer."""
_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
_NEW_LIMIT: Final = "https://api.openai.com/"
"""Where the limit is called max_completion_tokens, since OpenAI's reasoning models refuse the old name."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where a provider tells what is left on the account, and how to read it.

    Attributes:
        path: Of the provider's address.
        read: The balance in the JSON value of the reply; None when there is none.
    """

    path: str
    read: Callable[[Any], Balance | None]


@dataclass(frozen=True, slots=True)
class ChatDialect:
    """One provider's way to speak chat completions.

    Attributes:
        thinking: The body's members for a model (its name) and a level (off, low, high or max).
        endings: What its finish reasons mean.
        account: Where it tells the balance; None when it does not.
    """

    thinking: Callable[[str, str], Mapping[str, Json]]
    endings: Mapping[str, Ending] = field(default_factory=lambda: ENDINGS)
    account: Account | None = None

    def encode(self, call: Call, url: str) -> HttpRequest:
        """The request for a call. Lone surrogates, which no provider reads, become U+FFFD."""
        body: dict[str, Any] = {
            "model": call.model,
            "messages": [{"role": message.role, "content": message.content} for message in call.messages],
        }
        if call.max_tokens is not None and _LIMITS.isdisjoint(call.params):
            body["max_completion_tokens" if url.startswith(_NEW_LIMIT) else "max_tokens"] = call.max_tokens
        if call.stream:
            body["stream"] = True
            body["stream_options"] = {"include_usage": True}
        if call.thinking != "default":
            body.update(self.thinking(call.model, call.thinking))
        if call.params:
            body.update(call.params)
        return json_request(url, body)

    def decode(self, reply: HttpReply) -> Reply:
        """The reply in these bytes.

        Raises:
            CallError: Of the class that the status, the error in the body, or the answer asks for; 200 is not success
                by itself.
        """
        value = value_of(reply.body)
        if value is None and reply.status == 200 and looks_like_events(reply.body):
            value = value_of(assembled(ChatAssembler(), reply.body))
        body = members(value)
        choices = body.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if reply.status != 200 or not isinstance(choice, dict) or body.get("error"):
            usage = usage_of(body.get("usage"), answered=False)
            raise _refused(reply, value, usage=usage, pieces=_has_pieces(choice))
        if choice.get("finish_reason") == "error" or choice.get("error"):
            raise _broken_off(reply, body, choice)
        return delivered(self._answer(reply, body, choice), reply, value)

    def assembler(self) -> Assembler:
        """What puts a streamed reply together."""
        return ChatAssembler()

    def address(self, base: str) -> str:
        """Where calls go: the base, with /chat/completions at its end."""
        return address.spelled(base, messages=False)

    def authorization(self, secret: str) -> Mapping[str, str]:
        """The header that carries the key."""
        return {"authorization": f"Bearer {secret}"}

    def balance_request(self, url: str) -> HttpRequest | None:
        """What asks for the balance of the account that pays for calls to `url`; None where nobody tells."""
        if self.account is None:
            return None
        parts = urlsplit(url)
        return HttpRequest(
            urlunsplit((parts.scheme, parts.netloc, self.account.path, "", "")), JSON_HEADERS, b"", "GET"
        )

    def balance(self, reply: HttpReply) -> Balance | None:
        """The balance in a reply; None when there is none."""
        return self.account.read(value_of(reply.body)) if self.account and reply.status == 200 else None

    def _answer(self, reply: HttpReply, body: Mapping[str, Any], choice: Mapping[str, Any]) -> Answer:
        """What a choice holds.

        Raises:
            CallError: If it holds nothing that this dialect knows.
        """
        message, finish = choice.get("message"), text(choice.get("finish_reason"))
        said = members(message).get("content")
        if not isinstance(message, dict) or not isinstance(said, str | None):
            raise _refused(reply, body, usage=usage_of(body.get("usage"), answered=False))
        reasoning = text(message.get("reasoning_content")) or text(message.get("reasoning"))
        return Answer(
            said or "",
            reasoning,
            finish,
            self.endings.get(finish),
            bool(message.get("tool_calls") or message.get("function_call")),
            text(message.get("refusal")),
            text(body.get("model")),
            usage_of(body.get("usage"), answered=bool(said or reasoning)),
        )


def _refused(reply: HttpReply, value: Any, *more: Any, **facts: Any) -> CallError:
    """See `refusals.refused`; its many patterns are made ready when the first reply is no answer."""
    from deepswarm.dialects.refusals import refused

    return refused(reply, value, *more, **facts)


def _has_pieces(choice: Any) -> bool:
    """Whether a choice holds something of an answer."""
    message = members(members(choice).get("message"))
    return any(message.get(name) for name in ("content", "reasoning_content", "reasoning", "tool_calls"))


def _broken_off(reply: HttpReply, body: Mapping[str, Any], choice: Mapping[str, Any]) -> CallError:
    """The error of an answer that ended by an error; without words of its own it is the provider's fault."""
    error = members(choice.get("error")) or {"code": 500, "message": "the provider broke the answer off by an error"}
    usage = usage_of(body.get("usage"), answered=False)
    return _refused(reply, body, error, usage=usage, pieces=_has_pieces(choice))
