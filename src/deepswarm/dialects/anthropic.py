"""Anthropic's Messages API, which DeepSeek and others offer as well.

Thinking: models from Claude 4.6 on think adaptively, with an effort; those before want a budget of tokens, which is
part of max_tokens, at least 1,024 and less than these. The models that cannot but think (Fable, Mythos) refuse "off"
with a 400: so they say it themselves.

Source: platform.claude.com/docs/en/api/messages, /build-with-claude/adaptive-thinking, /handling-stop-reasons and
/api/errors (November 2026).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from deepswarm.core import address
from deepswarm.core.records import NO_USAGE, Assembler, Call, HttpReply, HttpRequest, Json, Reply, Usage
from deepswarm.dialects import Balance
from deepswarm.dialects.answers import Answer, Ending, delivered
from deepswarm.dialects.anthropic_messages import received, said
from deepswarm.dialects.fields import count, members, objects, text, value_of
from deepswarm.dialects.messages_stream import MessagesAssembler
from deepswarm.dialects.refusals import refused
from deepswarm.dialects.requests import JSON_HEADERS, json_request
from deepswarm.dialects.sse import assembled, looks_like_events

MOST_TOKENS: Final = 4096
"""The API wants a limit; this one, which every model allows, is sent when the call has none."""
LEAST_BUDGET: Final = 1024

_HEADERS: Final = {**JSON_HEADERS, "anthropic-version": "2023-06-01"}
_ENDINGS: Final[Mapping[str, Ending]] = MappingProxyType(
    {
        "end_turn": Ending.WHOLE,
        "stop_sequence": Ending.WHOLE,
        "tool_use": Ending.WHOLE,
        "max_tokens": Ending.LENGTH,
        "model_context_window_exceeded": Ending.LENGTH,
        "refusal": Ending.REFUSED,
    }
)
"""What stop reasons mean; "pause_turn" is no end of an answer."""
_BY_BUDGET: Final = re.compile(r"claude-(?:3|(?:opus|sonnet|haiku)-4(?:-[0-5])?(?!-?\d(?!\d{7})))")
"""Claude 3 to 4.5, with or without a date."""
_SHARE: Final = {"low": 0.0, "high": 0.5, "max": 0.75}
"""Share of max_tokens that thinking may take where a budget has to be named."""


class Messages:
    """The dialect; see `Dialect` for what its functions promise."""

    def __repr__(self) -> str:
        return "Messages()"

    def encode(self, call: Call, url: str) -> HttpRequest:
        """The request for a call; system messages become the `system` of the body, in order."""
        most = call.max_tokens or MOST_TOKENS
        system = [message.content for message in call.messages if message.role == "system"]
        body: dict[str, Any] = {
            "model": call.model,
            "max_tokens": most,
            "messages": said(call.messages),
        }
        if call.tools:
            body["tools"] = [_tool(members(tool.get("function"))) for tool in call.tools]
        if system:
            body["system"] = "\n\n".join(system)
        if call.stream:
            body["stream"] = True
        if call.thinking != "default":
            body.update(_thinking(call.model, call.thinking, most))
        body.update(call.params)
        return json_request(url, body, _HEADERS)

    def decode(self, reply: HttpReply) -> Reply:
        """The reply in these bytes.

        Raises:
            CallError: Of the class that the status, the error in the body, or the answer asks for.
        """
        value = value_of(reply.body)
        if value is None and reply.status == 200 and looks_like_events(reply.body):
            value = value_of(assembled(MessagesAssembler(), reply.body))
        body = members(value)
        content = body.get("content")
        usage = _usage(body.get("usage"), answered=bool(content))
        if reply.status != 200 or not isinstance(content, list) or body.get("error"):
            raise refused(reply, value, usage=usage, pieces=bool(content))
        blocks = objects(content)
        finish = text(body.get("stop_reason"))
        answer = Answer(
            _joined(blocks, "text", "text"),
            _joined(blocks, "thinking", "thinking"),
            finish,
            _ENDINGS.get(finish),
            any(block.get("type") == "tool_use" for block in blocks),
            "",
            text(body.get("model")),
            usage,
            received(blocks),
        )
        return delivered(answer, reply, value)

    def assembler(self) -> Assembler:
        """What puts a streamed reply together."""
        return MessagesAssembler()

    def continues(self, call: Call) -> bool:
        """See `Dialect.continues`: Claude up to 4.5 does while it does not think; the later ones refuse it."""
        return bool(_BY_BUDGET.search(call.model)) and call.thinking in {"off", "default"}

    def address(self, base: str) -> str:
        """Where calls go: the base, with /v1/messages at its end."""
        return address.spelled(base, messages=True)

    def authorization(self, secret: str) -> Mapping[str, str]:
        """The header that carries the key."""
        return {"x-api-key": secret}

    def balance_request(self, url: str) -> HttpRequest | None:
        """None: the API does not tell."""
        del url
        return None

    def balance(self, reply: HttpReply) -> Balance | None:
        """None: the API does not tell."""
        del reply
        return None


def _thinking(model: str, level: str, most: int) -> Mapping[str, Json]:
    if level == "off":
        return {"thinking": {"type": "disabled"}}
    budget: dict[str, Json] = {"type": "enabled", "budget_tokens": max(LEAST_BUDGET, int(most * _SHARE[level]))}
    if _BY_BUDGET.search(model):
        return {"thinking": budget}
    # other makers' models are given both: DeepSeek takes the effort and passes over the budget
    kind: dict[str, Json] = {"type": "adaptive"} if "claude" in model else budget
    return {"thinking": kind, "output_config": {"effort": level}}


def _tool(function: Mapping[str, Any]) -> dict[str, Json]:
    """A tool's definition, from OpenAI's form."""
    return {
        "name": text(function.get("name")),
        "description": text(function.get("description")),
        "input_schema": function.get("parameters") or {"type": "object"},
    }


def _joined(blocks: list[Mapping[str, Any]], kind: str, name: str) -> str:
    return "".join(text(block.get(name)) for block in blocks if block.get("type") == kind)


def _usage(usage: Any, *, answered: bool) -> Usage:
    """Tokens: what came from the cache, and what went into it, is not part of `input_tokens`."""
    if not isinstance(usage, dict):
        return NO_USAGE
    fresh, tokens_out = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    cached, stored = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    tokens_in = None if fresh is None else fresh + (cached or 0) + (stored or 0)
    if answered and not tokens_in and not tokens_out:
        return NO_USAGE
    return Usage(tokens_in, tokens_out, cached)


ANTHROPIC: Final = Messages()
