"""What a request asks for, as far as the simulated provider cares: chat completions, or Anthropic's messages.

Source: platform.openai.com/docs/api-reference/chat and platform.claude.com/docs/en/api/messages (November 2026). How
thinking is switched off: api-docs.deepseek.com/guides/thinking_mode, openrouter.ai/docs (reasoning tokens) and
docs.vllm.ai (reasoning outputs), all November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from hashlib import blake2b
from typing import Any, Final, NamedTuple

from deepswarm.core import jsontext
from deepswarm.core.records import HttpRequest, Message

_MARKER = re.compile(r"\[\[id:([^\[\]]{1,200})\]\]")
_CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English, help.openai.com "What are tokens" (November 2026). Only its being stable matters here."""
_SWITCHES: Final = frozenset({"thinking", "reasoning_effort", "reasoning", "chat_template_kwargs"})
"""Parameters that can switch thinking off."""
_NOTHING: Final[Mapping[str, Any]] = {}


class Form(Enum):
    """The API that a request is written for, and its reply with it."""

    CHAT = "chat completions"
    MESSAGES = "messages"


class Tool(NamedTuple):
    """A tool that a request offers: its name, and the JSON Schema of its arguments."""

    name: str
    parameters: Mapping[str, Any]


class Asked(NamedTuple):
    """A request that can be answered.

    Attributes:
        model: As the client named it.
        marker: What stands in the first [[id:...]] of its messages; empty when there is none.
        key: Hash of model and messages: equal for two attempts at the same thing, streamed or not.
        tokens_in: Tokens of all messages, estimated; 1 or more.
        max_tokens: Most tokens of the answer; None when the client did not say.
        form: The API that it is written for.
        stream: Whether the reply is to come in pieces.
        thinking: Whether the model may think before it answers.
        authorization: The API key that came with it; empty when there was none.
        body: The whole request as JSON values.
    """

    model: str
    marker: str
    key: bytes
    tokens_in: int
    max_tokens: int | None
    form: Form = Form.CHAT
    stream: bool = False
    thinking: bool = True
    authorization: str = ""
    body: Mapping[str, Any] = _NOTHING

    @property
    def name(self) -> str:
        """The marker or, when there is none, the key in hexadecimal digits."""
        return self.marker or self.key.hex()

    @property
    def mark(self) -> str:
        """What every answer's text starts with: that it is simulated, and the marker."""
        return f"[simulated] [[id:{self.marker}]]" if self.marker else "[simulated]"

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as the client sent them, without an Anthropic system prompt."""
        messages: list[dict[str, Any]] = self.body["messages"]
        return messages

    @property
    def said(self) -> list[Message]:
        """The same as texts, for what reads them."""
        return [Message(message["role"], _text_in(message.get("content"))) for message in self.messages]

    @property
    def turns(self) -> int:
        """How often the model has spoken already."""
        return sum(message["role"] == "assistant" for message in self.messages)

    @property
    def tool(self) -> Tool | None:
        """The tool that is called next: each of those offered in its turn, when the user has just spoken."""
        offered = self.body.get("tools")
        if not isinstance(offered, list) or not offered or not _is_spoken(self.messages[-1]):
            return None
        called = sum(bool(message.get("tool_calls")) for message in self.messages)
        called += sum(_uses_tools(message) for message in self.messages)
        tool = offered[called % len(offered)]
        tool = tool.get("function", tool) if isinstance(tool, dict) else {}
        parameters = tool.get("parameters", tool.get("input_schema"))
        return Tool(str(tool.get("name", "")), parameters if isinstance(parameters, dict) else {"type": "object"})

    @property
    def include_usage(self) -> bool:
        """Whether a streamed reply is to report its usage."""
        return _within(self.body, "stream_options").get("include_usage") is True


class Unreadable(ValueError):
    """A request that a provider would refuse as malformed. Says why."""


def form_of(url: str) -> Form:
    """The API that an address, or a path, belongs to."""
    return Form.MESSAGES if url.partition("?")[0].endswith("/messages") else Form.CHAT


def read_asked(request: HttpRequest) -> Asked:
    """What a request asks for.

    Args:
        request: Names of headers are in lower case. Of the address only the path's end counts.

    Raises:
        Unreadable: If it is not a request of its API, or asks for what is not simulated.
    """
    try:
        value = jsontext.loads(request.body)
    except ValueError as error:
        raise Unreadable(f"Failed to parse the request body as JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable("The request body must be a JSON object")
    form = form_of(request.url)
    model, messages = value.get("model"), value.get("messages")
    if not isinstance(model, str) or not model:
        raise Unreadable("The field 'model' is missing")
    if not isinstance(messages, list) or not messages:
        raise Unreadable("The field 'messages' must hold at least one message")
    hashed: list[Any] = [model, messages]
    said = "\n".join([_text_of(message) for message in messages])
    if form is Form.MESSAGES and "system" in value:
        hashed.append(value["system"])
        said = f"{_text_in(value['system'])}\n{said}"
    found = _MARKER.search(said)
    return Asked(
        model,
        found[1] if found else "",
        blake2b(jsontext.dumps(hashed), digest_size=16).digest(),
        max(1, len(said) // _CHARACTERS_PER_TOKEN),
        _most_tokens(value, form),
        form,
        value.get("stream") is True,
        _may_think(value, form),
        _key_in(request.headers),
        value,
    )


def _is_spoken(message: Mapping[str, Any]) -> bool:
    """Whether a message is the user's own words, not a tool's answer."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    results = any(isinstance(part, dict) and part.get("type") == "tool_result" for part in parts)
    return message["role"] == "user" and not results and not _text_in(content).startswith("<tool_response>")


def _uses_tools(message: Mapping[str, Any]) -> bool:
    """Whether a message calls tools in Anthropic's form."""
    content = message.get("content")
    return isinstance(content, list) and any(
        isinstance(part, dict) and part.get("type") == "tool_use" for part in content
    )


def _text_of(message: Any) -> str:
    """The text of one message."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise Unreadable("Each message must be an object with a role")
    return _text_in(message.get("content"))


def _text_in(content: Any) -> str:
    """A string, or the text parts of a list, or nothing (an assistant's tool call)."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is None:
        return ""
    raise Unreadable("A message's content must be text or a list of parts")


def _most_tokens(value: dict[str, Any], form: Form) -> int | None:
    most = value.get("max_completion_tokens", value.get("max_tokens"))
    if most is None and form is Form.MESSAGES:
        raise Unreadable("max_tokens: Field required")
    if most is None or (type(most) is int and most >= 1):
        return most
    raise Unreadable("The field 'max_tokens' must be a whole number from 1")


def _may_think(value: dict[str, Any], form: Form) -> bool:
    """Whether nothing switches thinking off. In Anthropic's API it is off as long as nothing switches it on."""
    if form is Form.CHAT and _SWITCHES.isdisjoint(value):
        return True
    kind = _within(value, "thinking").get("type")
    if form is Form.MESSAGES:
        return kind in {"enabled", "adaptive"}
    reasoning, template = _within(value, "reasoning"), _within(value, "chat_template_kwargs")
    return not (
        kind == "disabled"
        or value.get("reasoning_effort") == "none"
        or reasoning.get("enabled") is False
        or reasoning.get("effort") == "none"
        or template.get("enable_thinking") is False
        or template.get("thinking") is False
    )


def _within(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = value.get(name)
    return inner if isinstance(inner, dict) else _NOTHING


def _key_in(headers: Mapping[str, str]) -> str:
    return headers.get("authorization", headers.get("x-api-key", "")).removeprefix("Bearer ")
