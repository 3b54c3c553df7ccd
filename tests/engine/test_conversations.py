"""Whole runs of conversations in virtual time: turns, tools, ends, limits, what is sent back, what a crash leaves."""

from __future__ import annotations

import json

import pytest

from deepswarm.core.conversation import messages_of
from deepswarm.core.events import CallEnded, Consulted, SeedEnded, TurnNoted
from deepswarm.core.records import NO_USAGE, Message, Reply
from deepswarm.core.section import section_of
from deepswarm.core.spec import TaskSpec, check
from deepswarm.core.tiers import ORCHESTRATOR
from deepswarm.core.turns import Ask, Fail
from deepswarm.formats.training import Style, rows_of
from deepswarm.journals.memory import MemoryJournal
from deepswarm.simulator.law import load_law
from deepswarm.tasks import made
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


def test_a_marker_completes_and_without_it_the_conversation_fails_at_its_last_turn(tmp_path):
    keys = {"multi_turn": True, "max_turns": 4, **TOOLS}
    run = rehearse(tmp_path, seeds(2), law(), complete_when={"marker": "[END]"}, **keys)
    assert all("[END]" in record["answer"] for record in run.results)
    assert len(run.results) == 2
    (tmp_path / "other").mkdir()
    run = rehearse(tmp_path / "other", seeds(2), law(), complete_when={"pattern": "never said"}, **keys)
    assert {(record["class"], record["turns"]) for record in run.failed} == {("max_turns", 4)}


def test_python_functions_decide_and_answer_and_their_errors_belong_to_the_seed(tmp_path):
    code = tmp_path / "code.py"
    code.write_text(
        "import time\n"
        "def done(reply, messages):\n    print('noise')\n    return len(messages) >= 6\n"
        "def more(reply, messages):\n    return f'again {len(messages)}'\n"
        "def broken(city):\n    raise KeyError(city)\n"
        "def odd(reply, messages):\n    return 7\n"
        "def hangs(reply, messages):\n    time.sleep(60)\n"
    )
    keys = {"multi_turn": True, "code_timeout": 0.2}
    run = rehearse(
        tmp_path,
        seeds(2),
        law(),
        complete_when={"function": f"{code}:done"},
        follow_up={"function": f"{code}:more"},
        **keys,
    )
    assert [record["turns"] for record in run.results] == [3, 3]
    assert run.results[0]["messages"][2]["content"] == "again 2"
    for name, follow, words in (("odd", "odd", "gave int"), ("hangs", "hangs", "took more than 0.2 s")):
        (tmp_path / name).mkdir()
        run = rehearse(tmp_path / name, seeds(1), law(), follow_up={"function": f"{code}:{follow}"}, **keys)
        assert run.failed[0]["class"] == "code"
        assert words in run.failed[0]["reason"]
    (tmp_path / "broken").mkdir()
    tools = {"tools": [WEATHER], "tool_responses": {"weather": {"function": f"{code}:broken"}}}
    run = rehearse(tmp_path / "broken", seeds(1), law(), tool_errors=0, **tools, **keys)
    assert run.failed[0]["class"] == "tool_errors"
    assert "KeyError" in run.failed[0]["reason"]


def test_models_play_the_user_and_the_tools(tmp_path):
    schema = {"type": "object", "required": ["sky"], "properties": {"sky": {"type": "string"}}}
    run = rehearse(
        tmp_path,
        seeds(2),
        law(),
        multi_turn=True,
        tools=[WEATHER],
        tool_responses={"weather": {"model": {"instructions": "It is November."}, "json_schema": schema}},
        follow_up={"simulated_user": {"persona": "a sailor", "goal": "to know the wind"}},
    )
    for record in run.results:
        said = [message for message in record["messages"] if message["role"] == "user"]
        assert len(said) >= 2
        assert all("sky" in message["content"] for message in record["messages"] if message["role"] == "tool")
    assert len(run.results) == 2


def test_the_orchestrator_plays_the_user_on_its_own_tier(tmp_path):
    user = {"persona": "a sailor", "goal": "to know the wind"}
    keys = {"multi_turn": True, "max_turns": 3, "orchestrator_model": "frontier", "plan": "off", "monitor": "off"}
    for tier in ("worker", "orchestrator"):
        (tmp_path / tier).mkdir()
        follow_up = {"simulated_user": {**user, "tier": tier}}
        run = rehearse(tmp_path / tier, seeds(2), law(), follow_up=follow_up, **keys)
        consulted = [event for event in run.journal.events if isinstance(event, Consulted)]
        assert {(event.tier, event.purpose) for event in consulted} == (
            {(ORCHESTRATOR, "simulated_user")} if tier == "orchestrator" else set()
        )
        assert [record["turns"] for record in run.results] == [3, 3]
        assert run.provider.counts().served == 12


def test_limits_of_a_conversation_are_looked_at_before_each_call(tmp_path):
    endless = {"multi_turn": True, "max_turns": 50, "follow_up": {"template": "on {{turn}}"}}
    prices = {"mock": {"input": 1.0, "output": 100.0}}
    for name, limits in (
        ("tokens", {"max_tokens": 2000}),
        ("seconds", {"max_seconds": 5}),
        ("cost", {"max_cost": 0.02}),
    ):
        (tmp_path / name).mkdir()
        run = rehearse(tmp_path / name, seeds(2), law(), conversation_limits=limits, prices=prices, **endless)
        assert {record["class"] for record in run.failed} == {"conversation_limit"}
        if name == "tokens":  # the call before the last was still within the limit
            for record in run.failed:
                spent, last = record["conversation"], record["usage"]
                assert spent["tokens_in"] + spent["tokens_out"] - last["tokens_in"] - last["tokens_out"] < 2000


def test_a_conversation_that_outgrows_the_window_fails_is_cut_or_summed_up(tmp_path):
    keys = {"multi_turn": True, "max_turns": 12, "follow_up": {"template": "on {{turn}}"}, "context_window": 1500}
    turns = {}
    for policy in ("fail", "drop_oldest", "summarise"):
        (tmp_path / policy).mkdir()
        run = rehearse(tmp_path / policy, seeds(1), law(), context_policy=policy, **keys)
        record = (run.results + run.failed)[0]
        turns[policy] = (record["outcome"], record.get("class"), record["turns"])
    assert turns["fail"][:2] == ("failed", "too_long")
    assert turns["drop_oldest"] == ("done", None, 12)
    assert turns["summarise"] == ("done", None, 12)


def test_records_made_from_the_journal_are_the_same_as_those_of_the_run(tmp_path):
    first = rehearse(tmp_path, seeds(5), law(), multi_turn=True, follow_up={"texts": ["Why?"]}, **TOOLS)
    (tmp_path / "again").mkdir()
    again = rehearse(tmp_path / "again", seeds(5), law(), journal=first.journal, multi_turn=True)
    assert again.results == first.results


CONTRACTS = {
    "must echo": '[[faults]]\nkind = "reject"\nform = "reasoning_owed"\nrate = 1.0\n',
    "must strip": '[[faults]]\nkind = "reject"\nform = "reasoning_forbidden"\nrate = 1.0\n',
    "lenient": "",
}


def law_of(folder, text):
    path = folder / "law.toml"
    path.write_text("[latency]\nmedian_s = 1.0\nsigma = 0.5\n[tokens]\nmedian = 40\n" + text)
    return load_law(path)


@pytest.mark.parametrize("dialect", ["deepseek", "openai_chat"])
@pytest.mark.parametrize("contract", CONTRACTS)
def test_what_a_provider_wants_of_earlier_thinking_costs_at_most_one_request_of_a_whole_run(
    tmp_path, contract, dialect
):
    follow = {"texts": [f"And then {number}?" for number in range(4)]}
    law = law_of(tmp_path, "[stream]\nreasoning = 0.4\n" + CONTRACTS[contract])
    run = rehearse(
        tmp_path, seeds(60), law, multi_turn=True, follow_up=follow, worker_dialect=dialect, workers=30, stream=False
    )
    assert [record["turns"] for record in run.results] == [5] * 60
    assert all(m["reasoning_content"] for r in run.results for m in r["messages"] if m["role"] == "assistant")
    assert run.provider.counts().received <= 60 * 5 + 1


def test_a_run_that_stops_goes_on_at_the_turn_that_each_conversation_had_reached(tmp_path):
    keys = {"multi_turn": True, "follow_up": {"texts": ["Why?", "And then?"]}, "workers": 7, **TOOLS}
    law, journal, provider = law_of(tmp_path, ""), MemoryJournal(), None
    for calls in (9, 40, 25, 61, None):
        run = rehearse(tmp_path, seeds(30), law, journal=journal, provider=provider, calls=calls, **keys)
        provider = run.provider
    assert len(run.results) == 30
    assert {record["turns"] for record in run.results} == {6}
    served = [row for row in provider.rows() if row.served]
    assert len(served) == 30 * 6


def test_a_reply_that_was_cut_off_is_gone_on_with_and_joined_exactly(tmp_path):
    law = law_of(tmp_path, '[[faults]]\nkind = "length"\nrate = 0.5\n')
    run = rehearse(tmp_path, seeds(20), law, worker_dialect="deepseek", stream=False)
    assert len(run.results) == 20
    parts = [note for note in run.journal.events if isinstance(note, TurnNoted) and note.kind == "part"]
    assert parts
    bodies = {}
    for event in run.journal.events:
        if isinstance(event, CallEnded):
            message = json.loads(event.body)["choices"][0]["message"]
            bodies.setdefault(event.seed, []).append(message["content"])
    ends = {event.payload: event.seed for event in run.journal.events if isinstance(event, SeedEnded)}
    seeds_of = {json.loads(payload)["id"]: seed for payload, seed in ends.items()}
    assert all(record["answer"] == "".join(bodies[seeds_of[record["id"]]]) for record in run.results)
    assert all(record["finish_reason"] == "stop" for record in run.results)


def test_a_budget_of_tokens_holds_for_conversations_and_raising_it_goes_on(tmp_path):
    keys = {"multi_turn": True, "follow_up": {"texts": ["Why?", "And then?"]}, "worker_max_tokens": 100, "workers": 5}
    law, journal = law_of(tmp_path, ""), MemoryJournal()
    first = rehearse(tmp_path, seeds(20), law, journal=journal, max_tokens_total=3000, **keys)
    spent = first.journal.totals()
    assert first.summary.how.value == "paused"
    assert spent.tokens_in + spent.tokens_out <= 3000
    then = rehearse(tmp_path, seeds(20), law, journal=journal, provider=first.provider, **keys)
    assert [record["turns"] for record in then.results] == [3] * 20
    assert sum(row.served for row in then.provider.rows()) == 60


@pytest.mark.parametrize("form", ["single_quotes", "truncated"])
def test_tool_calls_that_cannot_be_read_end_as_a_row_with_a_reason(form):
    broken = {"single_quotes": "{'city': 'Paris'}", "truncated": '{"city": "Par'}[form]
    call = {"name": "weather", "arguments": broken}
    said = Message("assistant", "", {"tool_calls": [{"id": "c", "type": "function", "function": call}]})
    spec = section_of(
        TaskSpec, {"prompt_template": "x", "worker_model": "m", "multi_turn": True, "tool_errors": 1, **TOOLS}
    )
    kind = made(spec)
    reply = Reply("", "tool_calls", "m", NO_USAGE, message=said.more)
    first = kind.step(kind.open({}), reply)
    assert isinstance(first, Ask)
    assert first.tool_errors == 1
    assert "cannot be read" in first.messages[0].content
    last = kind.step(kind.open({})._replace(tool_errors=1), reply)
    assert isinstance(last, Fail)
    assert last.label == "tool_errors"


def test_unknown_tools_and_wrong_arguments_are_told_to_the_model_all_in_one_turn():
    spec = section_of(TaskSpec, {"prompt_template": "x", "worker_model": "m", "multi_turn": True, **TOOLS})
    kind = made(spec)
    calls = [
        {"id": name, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for name, arguments in (("weather", {"city": "Rome"}), ("wether", {}), ("weather", {"town": 1}))
    ]
    step = kind.step(kind.open({}), Reply("", "tool_calls", "m", NO_USAGE, message={"tool_calls": calls}))
    assert isinstance(step, Ask)
    assert [message.content[:12] for message in step.messages] == ["sunny in Rom", '{"error":"th', '{"error":"th']
    assert step.tool_errors == 2


def test_a_task_that_names_no_response_or_two_sources_is_refused_at_its_place():
    base = {"prompt_template": "x", "worker_model": "m", "multi_turn": True}
    flaws = check({**base, "tools": [WEATHER], "follow_up": {"texts": ["a"], "template": "b"}})
    assert {flaw.path for flaw in flaws} == {("tools", 0), ("follow_up",)}
    assert {flaw.path for flaw in check({**base, "multi_turn": False, "tools": [WEATHER], **TOOLS})} == {
        ("tools",),
        ("tool_responses",),
    }


def test_records_of_conversations_become_rows_of_training_sets_with_their_tool_calls(tmp_path):
    run = rehearse(tmp_path, seeds(1), law(), multi_turn=True, follow_up={"texts": ["Why?"]}, **TOOLS)
    (record,) = run.results
    record["messages"] = messages_of((), record)
    (messages,), (hermes,), (sharegpt,) = (
        rows_of(form)([record], Style.FIELD) for form in ("messages", "hermes", "sharegpt")
    )
    assert [message["role"] for message in messages["messages"]] == roles(record)
    said = [turn["from"] for turn in hermes["conversations"]]
    assert said == ["human", "gpt", "tool", "gpt", "human", "gpt", "tool", "gpt"]
    assert "<tool_call>" in hermes["conversations"][1]["value"]
    assert [turn["from"] for turn in sharegpt["conversations"]][:4] == ["human", "function_call", "observation", "gpt"]
