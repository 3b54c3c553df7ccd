"""The bytes of answers in the form of Anthropic's Messages API: whole, and streamed.

Source: platform.claude.com/docs/en/api/messages and /docs/en/build-with-claude/streaming (November 2026).
"""

from __future__ import annotations

from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply
from deepswarm.simulator import bodies
from deepswarm.simulator.answer import Answer, ToolUse, UsageForm
from deepswarm.simulator.asked import Asked
from deepswarm.simulator.law import StreamLaw
from deepswarm.simulator.script import Line, Script, lines_of

KEEP_ALIVE: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_REASONS: Final = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens", "content_filter": "refusal"}
"""Finish reasons that have another name here; the others go through as they are."""
_SIGNATURE: Final = "c2ltdWxhdGVk"


def whole(answer: Answer, asked: Asked, request_id: str, cached: int) -> HttpReply:
    """A 200 with one message."""
    blocks: list[dict[str, Any]] = []
    if answer.reasoning:
        blocks.append({"type": "thinking", "thinking": answer.reasoning, "signature": _SIGNATURE})
    if answer.text or (answer.text is not None and not answer.reasoning):
        blocks.append({"type": "text", "text": answer.text})
    blocks += [_used(call, jsontext.loads(call.arguments)) for call in answer.calls]
    message = _message(answer, request_id)
    message["content"] = None if "content" in answer.absent else blocks
    if "finish_reason" not in answer.absent:
        message["stop_reason"] = _reason(answer)
    if answer.usage is not UsageForm.ABSENT:
        message["usage"] = _usage(answer, asked.tokens_in, cached, answer.tokens)
    return bodies.ok(message, request_id)


def script(answer: Answer, asked: Asked, request_id: str, cached: int, law: StreamLaw) -> Script:
    """The pieces of a streamed answer: the message's start, its blocks, its stop reason with the usage, its stop."""
    start = {**_message(answer, request_id), "content": [], "stop_reason": None, "stop_sequence": None}
    if answer.usage is not UsageForm.ABSENT:
        start["usage"] = _usage(answer, asked.tokens_in, cached, 1)
    lines: list[Line] = []
    if answer.reasoning:
        lines += _block(0, "thinking", answer.reasoning, (0, answer.reasoning_tokens), law.chunk_tokens)
    if answer.text:
        lines += _block(
            len(lines) and 1, "text", answer.text, (answer.reasoning_tokens, answer.tokens), law.chunk_tokens
        )
    for call in answer.calls:
        index = len(lines) and 1 + sum(bool(text) for text in (answer.reasoning, answer.text))
        opened = event({"type": "content_block_start", "index": index, "content_block": _used(call, {})})
        delta = {"type": "input_json_delta", "partial_json": call.arguments}
        piece = event({"type": "content_block_delta", "index": index, "delta": delta})
        closed = event({"type": "content_block_stop", "index": index})
        lines.append(Line(answer.reasoning_tokens, opened + piece + closed))
    end: dict[str, Any] = {"type": "message_delta", "delta": {"stop_sequence": None}}
    if "finish_reason" not in answer.absent:
        end["delta"]["stop_reason"] = _reason(answer)
    if answer.usage is not UsageForm.ABSENT:
        end["usage"] = None if answer.usage is UsageForm.NULL else {"output_tokens": _told(answer, answer.tokens)}
    return Script(
        event({"type": "message_start", "message": start}), lines, event(end), b"", event({"type": "message_stop"})
    )


def _used(call: ToolUse, given: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def event(value: dict[str, Any]) -> bytes:
    """One event of the stream, named after its type."""
    return b"event: %s\ndata: %s\n\n" % (value["type"].encode(), jsontext.dumps(value))


def _block(index: int, kind: str, text: str, tokens: tuple[int, int], step: int) -> list[Line]:
    """The events of one content block; its start goes out with its first piece, its stop with its last."""
    delta = f'{{"type":"content_block_delta","index":{index},"delta":{{"type":"{kind}_delta","{kind}":"'
    opening = b"event: content_block_delta\ndata: " + delta.encode()
    lines = lines_of(text, tokens, step, (opening, b'"}}\n\n'))
    start = event({"type": "content_block_start", "index": index, "content_block": {"type": kind, kind: ""}})
    stop = event({"type": "content_block_stop", "index": index})
    if kind == "thinking":
        signature = {"type": "signature_delta", "signature": _SIGNATURE}
        stop = event({"type": "content_block_delta", "index": index, "delta": signature}) + stop
    lines[0] = lines[0]._replace(data=start + lines[0].data)
    lines[-1] = lines[-1]._replace(data=lines[-1].data + stop)
    return lines


def _message(answer: Answer, request_id: str) -> dict[str, Any]:
    return {"id": request_id, "type": "message", "role": "assistant", "model": answer.model}


def _reason(answer: Answer) -> str | None:
    return _REASONS.get(answer.finish, answer.finish) if answer.finish is not None else None


def _usage(answer: Answer, tokens_in: int, cached: int, tokens_out: int) -> dict[str, int] | None:
    """Here the input tokens are those that did not come from the cache."""
    if answer.usage is UsageForm.NULL:
        return None
    return {
        "input_tokens": _told(answer, tokens_in - cached),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": _told(answer, cached),
        "output_tokens": _told(answer, tokens_out),
    }


def _told(answer: Answer, tokens: int) -> int:
    return 0 if answer.usage is UsageForm.ZERO else tokens
