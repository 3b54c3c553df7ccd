"""The trajectory form of Hermes Agent.

    {"conversations": [{"from": system | human | gpt | tool, "value"}], "timestamp", "model", "completed"}

Every gpt turn begins with a block of thinking, an empty one when there was none; tool calls stand in <tool_call> tags,
and all results of a turn in one tool message, each in <tool_response> tags. The thinking is always inline.

Source: hermes-agent, website/docs/developer-guide/trajectory-format.md, read on 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import groupby

from deepswarm.core.conversation import Said, Unfit, conversation_of
from deepswarm.core.jsontext import dumps, loads
from deepswarm.core.records import Json, Record
from deepswarm.formats.training import Style

_FROM = {"system": "system", "user": "human"}


def rows(samples: Sequence[Record], style: Style) -> list[dict[str, Json]]:
    """See `Rows`. The form has one place for the thinking: `style` only says whether it is kept."""
    return [_row(record, style) for record in samples]


def _row(record: Record, style: Style) -> dict[str, Json]:
    turns: list[Json] = []
    for role, group in groupby(conversation_of(record), key=lambda said: said.role):
        if role == "tool":
            turns.append({"from": "tool", "value": "\n".join(map(_response, group))})
        elif role == "assistant":
            turns += [{"from": "gpt", "value": value} for value in _answers(group, style)]
        else:
            turns += [{"from": _FROM[role], "value": said.content} for said in group]
    return {
        "conversations": turns,
        "timestamp": _timestamp(record),
        "model": record.get("model_answered") or record.get("model_asked") or "",
        "completed": record.get("outcome") == "done",
    }


def _answers(group: Iterable[Said], style: Style) -> list[str]:
    return [_answer(said, style) for said in group]


def _answer(said: Said, style: Style) -> str:
    reasoning = "" if style is Style.NONE else said.reasoning.strip()
    if "</think>" in reasoning:
        raise Unfit("its thinking holds </think>, so it cannot stand in one text with the answer")
    calls = [
        f"<tool_call>\n{dumps({'name': call.name, 'arguments': call.arguments}).decode()}\n</tool_call>"
        for call in said.calls
    ]
    has_own_block = not reasoning and said.content.lstrip().startswith("<think>")
    block = "" if has_own_block else f"<think>\n{reasoning}\n</think>\n" if reasoning else "<think>\n</think>\n"
    return block + "\n".join([text for text in [said.content] if text or not calls] + calls)


def _response(said: Said) -> str:
    try:
        content: Json = loads(said.content)
    except ValueError:
        content = said.content
    value = {"tool_call_id": said.answers, "name": said.name, "content": content}
    return f"<tool_response>\n{dumps(value).decode()}\n</tool_response>"


def _timestamp(record: Record) -> str | None:
    timings = record.get("timings")
    ended = timings.get("ended_utc") if isinstance(timings, dict) else None
    return datetime.fromtimestamp(ended, UTC).isoformat() if isinstance(ended, int | float) else None
