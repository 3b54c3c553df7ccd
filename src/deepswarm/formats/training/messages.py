"""OpenAI messages: {"messages": [{"role", "content", ...}]}, as TRL, axolotl and Unsloth read them.

Arguments of tool calls are JSON text, as on OpenAI's wire: objects of different shapes have no common column.
"""

from __future__ import annotations

from collections.abc import Sequence

from deepswarm.core.conversation import Said, conversation_of
from deepswarm.core.jsontext import dumps
from deepswarm.core.records import Json, Record
from deepswarm.formats.training import Style, inline


def rows(samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
    """See `Rows`."""
    return [{"messages": [message(said, style) for said in conversation_of(record)]} for record in samples]


def message(said: Said, style: Style) -> dict[str, Json]:
    """One message; the thinking as `reasoning_content`, or in tags within the content."""
    row: dict[str, Json] = {"role": said.role, "content": inline(said) if style is Style.INLINE else said.content}
    if style is Style.FIELD and said.reasoning:
        row["reasoning_content"] = said.reasoning
    if said.calls:
        row["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": dumps(call.arguments).decode()},
            }
            for call in said.calls
        ]
    if said.role == "tool":
        row["tool_call_id"], row["name"] = said.answers, said.name
    return row
