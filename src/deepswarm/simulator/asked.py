"""What a chat-completions request asks for, as far as the simulated provider cares."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, NamedTuple

from deepswarm.core import jsontext

_MARKER = re.compile(r"\[\[id:([^\[\]]{1,200})\]\]")
_CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English, help.openai.com "What are tokens" (November 2026). Only its being stable matters here."""


class Asked(NamedTuple):
    """A request that can be answered.

    Attributes:
        model: As the client named it.
        marker: What stands in the first [[id:...]] of its messages; empty when there is none.
        key: Hash of model and messages: equal for two attempts at the same thing.
        tokens_in: Tokens of all messages, estimated; 1 or more.
        max_tokens: Most tokens of the answer; None when the client did not say.
    """

    model: str
    marker: str
    key: bytes
    tokens_in: int
    max_tokens: int | None

    @property
    def name(self) -> str:
        """The marker or, when there is none, the key in hexadecimal digits."""
        return self.marker or self.key.hex()

    @property
    def mark(self) -> str:
        """What every answer's text starts with: that it is simulated, and the marker."""
        return f"[simulated] [[id:{self.marker}]]" if self.marker else "[simulated]"


class Unreadable(ValueError):
    """A request that a provider would refuse as malformed. Says why."""


def read_asked(body: bytes) -> Asked:
    """What the body of a request asks for.

    Raises:
        Unreadable: If it is not a chat-completions request, or asks for what is not simulated.
    """
    try:
        value = jsontext.loads(body)
    except ValueError as error:
        raise Unreadable(f"Failed to parse the request body as JSON: {error}") from error
    if not isinstance(value, dict):
        raise Unreadable("The request body must be a JSON object")
    model, messages = value.get("model"), value.get("messages")
    if not isinstance(model, str) or not model:
        raise Unreadable("The field 'model' is missing")
    if not isinstance(messages, list) or not messages:
        raise Unreadable("The field 'messages' must hold at least one message")
    if value.get("stream"):
        raise Unreadable("The simulated provider does not stream yet; leave 'stream' out")
    said = "\n".join([_text_of(message) for message in messages])
    found = _MARKER.search(said)
    key = blake2b(jsontext.dumps([model, messages]), digest_size=16).digest()
    tokens_in = max(1, len(said) // _CHARACTERS_PER_TOKEN)
    return Asked(model, found[1] if found else "", key, tokens_in, _most_tokens(value))


def _text_of(message: Any) -> str:
    """The text of one message: a string, or the text parts of a list, or nothing (an assistant's tool call)."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise Unreadable("Each message must be an object with a role")
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if content is None:
        return ""
    raise Unreadable("A message's content must be text or a list of parts")


def _most_tokens(value: dict[str, Any]) -> int | None:
    most = value.get("max_completion_tokens", value.get("max_tokens"))
    if most is None or (type(most) is int and most >= 1):
        return most
    raise Unreadable("The field 'max_tokens' must be a whole number from 1")
