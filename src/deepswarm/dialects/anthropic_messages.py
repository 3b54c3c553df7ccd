"""Conversations in Anthropic's form: blocks of text, thinking and tool use, and the tools' results as the user's.

What was received is kept as it is (`blocks`) beside the names that all others use (`tool_calls`, `reasoning_content`),
and goes back as it came.

Source: platform.claude.com/docs/en/agents-and-tools/tool-use and /build-with-claude/extended-thinking (November 2026).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepswarm.core import jsontext
from deepswarm.core.records import Json, Message
from deepswarm.dialects.fields import members, objects, text


def received(blocks: Sequence[Mapping[str, Any]]) -> dict[str, Json]:
    """The further fields of a message of these blocks; none when it is nothing but text."""
    if all(block.get("type") == "text" for block in blocks):
        return {}
    found: dict[str, Json] = {"blocks": [dict(block) for block in blocks]}
    thoughts = "".join(text(block.get("thinking")) for block in blocks if block.get("type") == "thinking")
    if thoughts:
        found["reasoning_content"] = thoughts
    calls: list[Json] = [
        {
            "id": text(block.get("id")),
            "type": "function",
            "function": {"name": text(block.get("name")), "arguments": _arguments(block.get("input"))},
        }
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    if calls:
        found["tool_calls"] = calls
    return found


def _arguments(given: Any) -> str:
    """The input of a call as text; what came as text, since it is no JSON, as it came."""
    return given if isinstance(given, str) else jsontext.dumps(given).decode()


def said(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages of a request, without the system's; results of tools that follow one another are one message."""
    found: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "tool":
            result = _result(message)
            if found and found[-1]["role"] == "user" and isinstance(found[-1]["content"], list):
                found[-1]["content"].append(result)
            else:
                found.append({"role": "user", "content": [result]})
        elif message.role != "system":
            found.append({"role": message.role, "content": _content(message)})
    return found


def _result(message: Message) -> dict[str, Any]:
    used = message.more.get("tool_call_id")
    if not used:  # the call was written as text, and so is its result
        name = text(message.more.get("name"))
        answer = jsontext.dumps({"name": name, "content": message.content}).decode()
        return {"type": "text", "text": f"<tool_response>\n{answer}\n</tool_response>"}
    return {"type": "tool_result", "tool_use_id": used, "content": message.content}


def _content(message: Message) -> Any:
    """Text, or blocks where it is more than that."""
    if not message.more:
        return message.content
    blocks = objects(message.more.get("blocks"))
    if blocks:
        kept = [block for block in blocks if "reasoning_content" in message.more or not _is_thinking(block)]
        return [_sound(block) for block in kept]
    calls = objects(message.more.get("tool_calls"))
    if not calls:
        return message.content
    used = [_use(call) for call in calls]
    return [{"type": "text", "text": message.content}, *used] if message.content else used


def _is_thinking(block: Mapping[str, Any]) -> bool:
    return block.get("type") in {"thinking", "redacted_thinking"}


def _sound(block: Mapping[str, Any]) -> dict[str, Any]:
    """A block as it came; a tool's input must be an object, also where the model wrote something else."""
    if block.get("type") == "tool_use" and not isinstance(block.get("input"), dict):
        return {**block, "input": {}}
    return dict(block)


def _use(call: Mapping[str, Any]) -> dict[str, Any]:
    function = members(call.get("function"))
    try:
        given = jsontext.loads(text(function.get("arguments")) or "{}")
    except ValueError:
        given = {}
    given = given if isinstance(given, dict) else {}
    return {"type": "tool_use", "id": text(call.get("id")), "name": text(function.get("name")), "input": given}
