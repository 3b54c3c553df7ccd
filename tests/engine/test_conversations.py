"""Whole runs of conversations in virtual time: turns, tools, ends, limits, what is sent back, what a crash leaves."""

from __future__ import annotations

from deepswarm.simulator.law import load_law
from deepswarm.testing.builders import rehearse

WEATHER = {
    "name": "weather",
    "description": "The weather of a city.",
    "parameters": {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}},
}
TOOLS = {"tools": [WEATHER], "tool_responses": {"weather": {"template": "sunny in {{city}}"}}}


def law():
    return load_law("rehearsal")


def seeds(count):
    return [{"id": f"s{number}", "prompt": f"[[id:{number}]] go"} for number in range(count)]


def roles(record):
    return [message["role"] for message in record["messages"]]


def test_a_reply_without_rules_and_tools_ends_the_conversation(tmp_path):
    run = rehearse(tmp_path, seeds(3), law(), multi_turn=True)
    assert [roles(record) for record in run.results] == [["user", "assistant"]] * 3
    assert all(record["answer"] == record["messages"][-1]["content"] for record in run.results)


def test_fixed_follow_ups_are_said_one_after_another(tmp_path):
    texts = ["Why is {{id}}?", "And then?"]
    run = rehearse(tmp_path, seeds(2), law(), multi_turn=True, follow_up={"texts": texts})
    (record,) = [record for record in run.results if record["id"] == "s1"]
    assert roles(record) == ["user", "assistant"] * 3
    assert [m["content"] for m in record["messages"] if m["role"] == "user"][1:] == ["Why is s1?", "And then?"]
    assert record["turns"] == 3


def test_tool_calls_are_answered_and_recorded(tmp_path):
    run = rehearse(tmp_path, seeds(2), law(), multi_turn=True, **TOOLS)
    for record in run.results:
        assert roles(record) == ["user", "assistant", "tool", "assistant"]
        call = record["messages"][1]["tool_calls"][0]
        assert record["messages"][2]["tool_call_id"] == call["id"]
        assert record["messages"][2]["content"].startswith("sunny in ")
