"""Training formats: records with their messages in, rows as trainers read them out."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core.conversation import Unfit, conversation_of, messages_of, prompt_hash
from deepswarm.core.errors import DoorError
from deepswarm.core.records import Message
from deepswarm.formats.training import TABLE, Style, rows_of

PROMPT = (Message("system", "Be brief."), Message("user", "Why tides?"))


def record(answer="The moon.", reasoning="Think: moon.", prompt=PROMPT, **more):
    fields = {"id": "t1", "outcome": "done", "answer": answer, "model_asked": "m", "model_answered": "m-2", **more}
    if reasoning:
        fields["reasoning"] = reasoning
    return {**fields, "messages": messages_of(prompt, fields), "timings": {"ended_utc": 1_800_000_000.0}}


TOOLS = {
    "id": "t2",
    "outcome": "done",
    "messages": [
        {"role": "user", "content": "Weather in Bonn and Rome?"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Ask twice.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "w", "arguments": '{"city": "Bonn"}'}},
                {"id": "b", "type": "function", "function": {"name": "w", "arguments": '{"city": "Rome"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "name": "w", "content": '{"c": 3}'},
        {"role": "tool", "tool_call_id": "b", "name": "w", "content": "warm"},
        {"role": "assistant", "content": "Cold and warm."},
    ],
}


def one(form, given_record, style=Style.FIELD):
    (row,) = rows_of(form)([given_record], style)
    return row


def test_messages_keep_the_thinking_in_a_field_or_inline_or_leave_it_out():
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why tides?"}]
    answers = {style: one("messages", record(), style)["messages"] for style in Style}
    assert all(messages[:2] == asked for messages in answers.values())
    assert answers[Style.FIELD][2] == {
        "role": "assistant",
        "content": "The moon.",
        "reasoning_content": "Think: moon.",
    }
    assert answers[Style.INLINE][2] == {
        "role": "assistant",
        "content": "<think>\nThink: moon.\n</think>\n\nThe moon.",
    }
    assert answers[Style.NONE][2] == {"role": "assistant", "content": "The moon."}


def test_messages_keep_tool_calls_with_their_arguments_as_text():
    messages = one("messages", TOOLS)["messages"]
    assert messages[1]["tool_calls"][1] == {
        "id": "b",
        "type": "function",
        "function": {"name": "w", "arguments": '{"city":"Rome"}'},
    }
    assert messages[2] == {"role": "tool", "content": '{"c": 3}', "tool_call_id": "a", "name": "w"}


def test_sharegpt_names_who_speaks():
    assert one("sharegpt", record(), Style.INLINE) == {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Why tides?"},
            {"from": "gpt", "value": "<think>\nThink: moon.\n</think>\n\nThe moon."},
        ]
    }
    turns = one("sharegpt", TOOLS, Style.NONE)["conversations"]
    assert [turn["from"] for turn in turns] == [
        "human",
        "function_call",
        "function_call",
        "observation",
        "observation",
        "gpt",
    ]


def test_a_hermes_trajectory_has_thinking_in_every_model_turn_and_one_tool_message_per_turn():
    row = one("hermes", TOOLS)
    human, calls, tool, last = row["conversations"]
    assert [turn["from"] for turn in row["conversations"]] == ["human", "gpt", "tool", "gpt"]
    assert human["value"] == "Weather in Bonn and Rome?"
    assert calls["value"] == (
        "<think>\nAsk twice.\n</think>\n"
        '<tool_call>\n{"name":"w","arguments":{"city":"Bonn"}}\n</tool_call>\n'
        '<tool_call>\n{"name":"w","arguments":{"city":"Rome"}}\n</tool_call>'
    )
    assert tool["value"] == (
        '<tool_response>\n{"tool_call_id":"a","name":"w","content":{"c":3}}\n</tool_response>\n'
        '<tool_response>\n{"tool_call_id":"b","name":"w","content":"warm"}\n</tool_response>'
    )
    assert last["value"] == "<think>\n</think>\nCold and warm."
    assert row["completed"] is True


def test_a_hermes_trajectory_tells_model_and_time_and_does_not_double_a_block_of_thinking():
    row = one("hermes", record(answer="<think>own</think>\nThe moon.", reasoning=""))
    assert row["conversations"][-1] == {"from": "gpt", "value": "<think>own</think>\nThe moon."}
    assert (row["timestamp"], row["model"]) == ("2027-01-15T08:00:00+00:00", "m-2")


def test_alpaca_holds_questions_and_answers_in_turn_and_refuses_tools():
    earlier = (*PROMPT, Message("assistant", "The moon."), Message("user", "And the sun?"))
    assert one("alpaca", record(answer="Half as much.", prompt=earlier)) == {
        "instruction": "And the sun?",
        "input": "",
        "output": "Half as much.",
        "system": "Be brief.",
        "history": [["Why tides?", "The moon."]],
        "reasoning": "Think: moon.",
    }
    with pytest.raises(Unfit, match="no tools"):
        one("alpaca", TOOLS)


def test_prompt_and_completion_are_parted_before_the_last_answer():
    row = one("prompt-completion", record(), Style.NONE)
    assert [message["role"] for message in row["prompt"]] == ["system", "user"]
    assert row["completion"] == [{"role": "assistant", "content": "The moon."}]


def test_the_best_sample_of_a_seed_is_preferred_to_its_worst():
    samples = [record(answer=text, score=score) for text, score in [("b", 5), ("worst", 1), ("best", 9.5), ("c", None)]]
    (row,) = rows_of("preference")(samples, Style.NONE)
    assert row["chosen"] == [{"role": "assistant", "content": "best"}]
    assert row["rejected"] == [{"role": "assistant", "content": "worst"}]
    assert (row["score_chosen"], row["score_rejected"]) == (9.5, 1.0)


def test_ties_and_answers_to_other_prompts_make_no_pair():
    other = record(answer="x", prompt=(Message("user", "Else?"),), score=1)
    assert rows_of("preference")([record(score=3), record(score=3), other], Style.NONE) == []


@pytest.mark.parametrize("form", ["messages", "sharegpt", "hermes", "alpaca", "prompt-completion"])
def test_thinking_that_would_be_cut_where_it_stands_inline_is_refused(form):
    with pytest.raises(Unfit, match="</think>"):
        one(form, record(reasoning="a </think> b"), Style.INLINE)


@pytest.mark.parametrize(
    ("messages", "what"),
    [
        (None, "no messages"),
        ([], "no messages"),
        ([{"role": "user", "content": "x"}], "last message"),
        ([17], "not an object"),
        ([{"role": "narrator", "content": "x"}], "narrator"),
        ([{"role": "assistant", "content": None}], "not text"),
        ([{"role": "assistant", "content": "", "tool_calls": [{}]}], "names no function"),
        (
            [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
            "not JSON",
        ),
    ],
)
def test_what_is_no_conversation_is_unfit_and_says_why(messages, what):
    with pytest.raises(Unfit, match=what):
        conversation_of({"messages": messages})


@given(
    texts=st.lists(st.text(), min_size=2, max_size=6).filter(lambda some: len(some) % 2 == 0),
    reasoning=st.text().filter(lambda text: "</think>" not in text),
    form=st.sampled_from(sorted(set(TABLE) - {"preference"})),
    style=st.sampled_from(list(Style)),
)
def test_every_form_holds_every_text_of_any_conversation_and_is_json(texts, reasoning, form, style):
    roles = ["user", "assistant"] * (len(texts) // 2)
    prompt = [Message(*pair) for pair in zip(roles[:-1], texts[:-1], strict=True)]
    row = one(form, record(answer=texts[-1], reasoning=reasoning, prompt=prompt), style)
    assert json.loads(json.dumps(row)) == row
    held = list(_texts(row))
    assert all(any(text in other for other in held) for text in texts)


def _texts(value):
    if isinstance(value, str):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _texts(inner)


def test_equal_prompts_have_equal_hashes_and_the_border_between_messages_counts():
    assert prompt_hash(PROMPT) == prompt_hash(list(PROMPT))
    assert prompt_hash([Message("user", "a"), Message("user", "b")]) != prompt_hash([Message("user", "ab")])


def test_an_unknown_form_is_answered_with_the_nearest_one():
    with pytest.raises(DoorError, match="sharegpt"):
        rows_of("sharegtp")
