"""Conversations with tools as each dialect writes and reads them; what was received goes back as it came."""

from __future__ import annotations

import json

import pytest

from deepswarm.core.errors import Truncated
from deepswarm.core.records import Call, HttpReply, Message
from deepswarm.core.toolcalls import calls_in
from deepswarm.core.turns import message_of
from deepswarm.dialects.anthropic import ANTHROPIC
from deepswarm.dialects.deepseek import DEEPSEEK
from deepswarm.dialects.openai_chat import OPENAI_CHAT

TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
CHAT = "https://api.deepseek.com/v1/chat/completions"
CALLED = {"id": "c1", "type": "function", "index": 0, "function": {"name": "f", "arguments": '{"a": 1}'}}


def body(dialect, messages, url=CHAT, **more):
    return json.loads(dialect.encode(Call("claude-sonnet-4-5", messages, 100, **more), url).body)


def chat_reply(message, finish="tool_calls"):
    value = {"model": "m", "choices": [{"message": message, "finish_reason": finish}]}
    return HttpReply(200, {}, json.dumps(value).encode())


def test_a_tool_call_in_chat_completions_goes_back_with_its_thinking_and_its_answer():
    received = {"role": "assistant", "content": None, "reasoning_content": "why", "tool_calls": [CALLED]}
    said = message_of(OPENAI_CHAT.decode(chat_reply(received)))
    assert calls_in(said)[0].arguments.value == {"a": 1}
    answer = Message("tool", "7", {"tool_call_id": "c1", "name": "f"})
    sent = body(OPENAI_CHAT, [Message("user", "go"), said, answer], tools=(TOOL,))
    assert sent["tools"] == [TOOL]
    assert sent["messages"][1]["reasoning_content"] == "why"
    assert sent["messages"][1]["tool_calls"] == [{key: value for key, value in CALLED.items() if key != "index"}]
    assert sent["messages"][2] == {"role": "tool", "content": "7", "tool_call_id": "c1"}


def test_a_call_that_was_written_as_text_is_answered_as_text():
    said = Message("assistant", '<tool_call>{"name": "f", "arguments": {}}</tool_call>')
    for dialect in (OPENAI_CHAT, ANTHROPIC):
        sent = body(dialect, [Message("user", "go"), said, Message("tool", "7", {"name": "f"})])["messages"]
        assert sent[2]["role"] == "user"
        assert "<tool_response>" in json.dumps(sent[2]["content"])


def test_blocks_of_anthropic_go_back_as_they_came_and_results_of_tools_are_one_message():
    blocks = [
        {"type": "thinking", "thinking": "why", "signature": "s"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "t1", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "t2", "name": "f", "input": {}},
    ]
    value = {"model": "m", "type": "message", "role": "assistant", "content": blocks, "stop_reason": "tool_use"}
    reply = ANTHROPIC.decode(HttpReply(200, {}, json.dumps(value).encode()))
    said = message_of(reply)
    assert [(call.id, dict(call.arguments.value)) for call in calls_in(said)] == [("t1", {"a": 1}), ("t2", {})]
    answers = [Message("tool", str(at), {"tool_call_id": f"t{at}"}) for at in (1, 2)]
    sent = body(ANTHROPIC, [Message("system", "s"), Message("user", "go"), said, *answers], tools=(TOOL,))
    assert sent["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
    assert sent["messages"][1]["content"] == blocks
    assert [part["tool_use_id"] for part in sent["messages"][2]["content"]] == ["t1", "t2"]


def test_deepseek_goes_on_with_a_prefix_at_its_own_address_for_that():
    request = DEEPSEEK.encode(Call("m", [Message("user", "a"), Message("assistant", "b")]), CHAT)
    assert request.url == "https://api.deepseek.com/beta/chat/completions"
    assert json.loads(request.body)["messages"][-1] == {"role": "assistant", "content": "b", "prefix": True}
    assert DEEPSEEK.encode(Call("m", [Message("user", "a")]), CHAT).url == CHAT


@pytest.mark.parametrize(("message", "there"), [({"content": "half"}, True), ({"tool_calls": [CALLED]}, False)])
def test_a_reply_that_was_cut_off_says_what_there_is_unless_it_is_a_tool_call(message, there):
    with pytest.raises(Truncated) as raised:
        OPENAI_CHAT.decode(chat_reply({"role": "assistant", **message}, "length"))
    assert (raised.value.partial is not None) is there
