"""A record as a conversation: what was asked, in messages, and what was answered. Pure.

    record["messages"] = [
        {"role": "system" | "user" | "tool", "content": text, ...},
        {"role": "assistant", "content": text, "reasoning_content": text, "tool_calls": [...]},   # any number of turns
    ]

The names are those of OpenAI's chat messages, with the thinking in a field of its own, so that nothing is lost and each
export chooses its own way of writing it.

Records of conversations of several turns hold their messages, as received. All others hold none: theirs are rendered
again from the seed and the task under whose fingerprint it was asked, both of which the journal keeps whole. Stored,
they would repeat a template a million times.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple

from deepswarm.core.jsontext import canonical, loads
from deepswarm.core.records import Json, Message, Record


class Unfit(ValueError):
    """A record that a format cannot hold without losing or falsifying something; says what."""


class ToolCall(NamedTuple):
    """What a model wanted a tool to do; `arguments` is a JSON value, not text."""

    id: str
    name: str
    arguments: Json


class Said(NamedTuple):
    """One message of a conversation.

    Attributes:
        role: system, user, assistant or tool.
        content: Its text.
        reasoning: The thinking before it; empty when there was none.
        calls: Tool calls of an assistant.
        answers: Id of the tool call that a tool's message answers; empty otherwise.
        name: Of the tool that speaks; empty otherwise.
    """

    role: str
    content: str
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    answers: str = ""
    name: str = ""


def prompt_hash(prompt: Iterable[Message]) -> str:
    """What makes two prompts the same: 32 hexadecimal digits over roles and texts."""
    text = canonical([[message.role, message.content] for message in prompt])
    return blake2b(text, digest_size=16).hexdigest()


def messages_of(prompt: Iterable[Message], record: Record) -> list[Json]:
    """The whole conversation of a done record: its own messages, or else what was asked and the answer to it."""
    told = record.get("messages")
    if isinstance(told, list) and told:
        return told
    messages: list[Json] = [{"role": message.role, "content": message.content} for message in prompt]
    answer: dict[str, Json] = {"role": "assistant", "content": record.get("answer")}
    if record.get("reasoning"):
        answer["reasoning_content"] = record["reasoning"]
    return [*messages, answer]


def conversation_of(record: Record) -> list[Said]:
    """The messages of a record, in order.

    Raises:
        Unfit: If it has none, or what it has is no conversation that ends with a model's answer.
    """
    messages = record.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Unfit("it has no messages")
    said = [_said(message) for message in messages]
    if said[-1].role != "assistant":
        raise Unfit("its last message is not a model's")
    return said


def _said(message: Json) -> Said:
    if not isinstance(message, dict):
        raise Unfit("a message is not an object")
    role, content = message.get("role"), message.get("content")
    if role not in {"system", "user", "assistant", "tool"}:
        raise Unfit(f"a message has the role {role!r}")
    calls = message.get("tool_calls") or []
    if content is None and calls:
        content = ""
    if not isinstance(content, str) or not isinstance(calls, list):
        raise Unfit("the content of a message is not text")
    reasoning = message.get("reasoning_content") or ""
    answers, name = message.get("tool_call_id") or "", message.get("name") or ""
    return Said(str(role), content, str(reasoning), tuple(map(_tool_call, calls)), str(answers), str(name))


def _tool_call(call: Json) -> ToolCall:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(call, dict) or not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Unfit("a tool call names no function")
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            arguments = loads(arguments)
        except ValueError as error:
            raise Unfit(f"the arguments of a tool call are not JSON: {error}") from None
    return ToolCall(str(call.get("id") or ""), str(function["name"]), arguments)
