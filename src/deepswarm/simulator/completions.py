"""The bytes of answers in the form of OpenAI chat completions, as DeepSeek writes it: whole, and streamed.

Source: api-docs.deepseek.com/api/create-chat-completion and platform.openai.com/docs/api-reference/chat-streaming
(November 2026).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from deepswarm.core import jsontext
from deepswarm.core.records import HttpReply
from deepswarm.simulator import bodies
from deepswarm.simulator.answer import Answer, UsageForm
from deepswarm.simulator.asked import Asked
from deepswarm.simulator.law import StreamLaw, UsageWhen
from deepswarm.simulator.script import Line, Script, lines_of

DONE: Final = b"data: [DONE]\n\n"
KEEP_ALIVE: Final = b": keep-alive\n\n"
_FINGERPRINT: Final = "fp_simulated"
_DEEPSEEK: Final = ("prompt_cache_hit_tokens", "prompt_cache_miss_tokens")
_OPENAI: Final = ("prompt_tokens_details",)
_NOT_IN: Final = {
    UsageForm.DEEPSEEK: _OPENAI,
    UsageForm.OPENAI: _DEEPSEEK,
    UsageForm.MESSAGES: (*_OPENAI, *_DEEPSEEK, "completion_tokens_details"),
}
"""Fields that a form of usage does not have."""


def whole(answer: Answer, asked: Asked, request_id: str, cached: int) -> HttpReply:
    """A 200 with one choice. It has no `logprobs`, which would be null: `jsontext` looks twice at values with one."""
    choice: dict[str, Any] = {"index": 0, "message": _message(answer)}
    if "finish_reason" not in answer.absent:
        choice["finish_reason"] = answer.finish
    value = {
        "id": request_id,
        "object": "chat.completion",
        "created": bodies.CREATED,
        "model": answer.model,
        "choices": [choice],
    }
    if answer.usage is not UsageForm.ABSENT:
        value["usage"] = usage(answer, asked.tokens_in, cached)
    value["system_fingerprint"] = _FINGERPRINT
    return bodies.ok(value, request_id)


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant"}
    if "content" not in answer.absent:
        message["content"] = answer.text
    if answer.reasoning:
        message["reasoning_content"] = answer.reasoning
    if answer.refusal:
        message["refusal"] = answer.refusal
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    return message


def _calls(answer: Answer) -> list[dict[str, Any]]:
    return [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.calls
    ]


def usage(answer: Answer, tokens_in: int, cached: int, tokens_out: int | None = None) -> dict[str, Any] | None:
    """What the answer reports of its tokens, in its own form; `tokens_out` when not all of them are there yet."""
    form = answer.usage
    if form is UsageForm.NULL:
        return None
    tokens_out = answer.tokens if tokens_out is None else tokens_out
    reasoning = min(answer.reasoning_tokens, tokens_out)
    if form is UsageForm.ZERO:
        tokens_in = tokens_out = cached = reasoning = 0
    value: dict[str, Any] = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
        "completion_tokens_details": {"reasoning_tokens": reasoning},
        "prompt_tokens_details": {"cached_tokens": cached},
        "prompt_cache_hit_tokens": cached,
        "prompt_cache_miss_tokens": tokens_in - cached,
    }
    if form is UsageForm.MESSAGES:
        value |= {"cache_read_input_tokens": cached, "cache_creation_input_tokens": 0}
    for name in _NOT_IN.get(form, ()):
        del value[name]
    return value


def script(answer: Answer, asked: Asked, request_id: str, cached: int, law: StreamLaw) -> Script:
    """The pieces of a streamed answer: a role, reasoning, content, the finish reason, usage, [DONE]."""
    made = _Chunks(answer, asked, request_id, cached, law)
    lines = made.lines("reasoning_content", answer.reasoning, 0, answer.reasoning_tokens)
    lines += made.lines("content", answer.text or "", answer.reasoning_tokens, answer.tokens)
    lines += made.lines("refusal", answer.refusal, answer.reasoning_tokens, answer.tokens)
    for index, call in enumerate(_calls(answer)):
        delta = jsontext.dumps({"tool_calls": [{"index": index, **call}]})
        lines.append(Line(answer.reasoning_tokens, made.chunk(delta, answer.tokens)))
    return Script(
        made.chunk(b'{"role":"assistant","content":""}', 0),
        lines,
        made.finish(answer.finish),
        made.usage_at_end(),
        DONE,
    )


class _Chunks:
    """Chunks of one answer; what they all have in common is written once."""

    def __init__(self, answer: Answer, asked: Asked, request_id: str, cached: int, law: StreamLaw) -> None:
        self._answer = answer
        self._law = law
        self._usage: Callable[[int | None], Any] = lambda made: usage(answer, asked.tokens_in, cached, made)
        self._head = b'data: {"id":%s,"object":"chat.completion.chunk","created":%d,"model":%s,' % (
            jsontext.dumps(request_id),
            bodies.CREATED,
            jsontext.dumps(answer.model),
        )
        absent = answer.usage is UsageForm.ABSENT or law.usage is UsageWhen.NEVER
        self._each = law.usage is UsageWhen.EACH and not absent
        self._asked = not absent and (asked.include_usage or law.usage is not UsageWhen.END or answer.usage_late)
        self._tail = self._with_usage(0)

    def _with_usage(self, made: int) -> bytes:
        """The end of a chunk after so many tokens."""
        if self._each:
            return b',"usage":%s}\n\n' % jsontext.dumps(self._usage(made))
        return b',"usage":null}\n\n' if self._asked else b"}\n\n"

    def chunk(self, delta: bytes, made: int, finish: bytes = b',"finish_reason":null') -> bytes:
        """One chunk with one choice; `delta` is JSON, `made` the tokens until then."""
        tail = self._with_usage(made) if self._each else self._tail
        return b'%s"choices":[{"index":0,"delta":%s%s}]%s' % (self._head, delta, finish, tail)

    def lines(self, name: str, text: str, before: int, after: int) -> list[Line]:
        """The chunks of a text, whose tokens are numbers `before` to `after` of the answer's."""
        step = self._law.chunk_tokens
        opening = b'%s"choices":[{"index":0,"delta":{"%s":"' % (self._head, name.encode())
        closing = b'"},"finish_reason":null}]'
        if not self._each:
            return lines_of(text, (before, after), step, (opening, closing + self._tail))
        bare = lines_of(text, (before, after), step, (opening, closing))
        return [Line(at, data + self._with_usage(min(at + step, after))) for at, data in bare]

    def finish(self, reason: str | None) -> bytes:
        """The chunk that says why the answer ends."""
        given = b"" if "finish_reason" in self._answer.absent else b',"finish_reason":%s' % jsontext.dumps(reason)
        return self.chunk(b"{}", self._answer.tokens, given)

    def usage_at_end(self) -> bytes:
        """The chunk without choices that reports the usage; empty when there is none."""
        if not self._asked:
            return b""
        value = None if self._law.usage is UsageWhen.NULL else self._usage(None)
        return b'%s"choices":[],"usage":%s}\n\n' % (self._head, jsontext.dumps(value))
