"""Dialects: the suite for every one that is listed, then what each of them adds."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.address import address_flaws, api_url
from deepswarm.core.errors import (
    Empty,
    Garbled,
    OutOfFunds,
    Overloaded,
    Refused,
    ServerFault,
    Starved,
    Throttled,
    TooLong,
    Truncated,
    Unauthorized,
)
from deepswarm.core.records import Call, HttpReply, Message, Usage
from deepswarm.core.spec import TaskSpec
from deepswarm.dialects import TABLE, Balance, dialect_for
from deepswarm.doors import find
from deepswarm.testing.suites.dialect import (
    Said,
    check_address,
    check_cuts,
    check_foreign_bytes,
    check_nothing_is_no_content,
    check_request,
    check_splits,
    check_statuses,
    check_stream,
    check_whole,
    failure,
)

briefly = settings(deadline=None, max_examples=50)
every_dialect = pytest.mark.parametrize("name", TABLE)
CHAT = [name for name in TABLE if name != "anthropic"]
chat_dialects = pytest.mark.parametrize("name", CHAT)
BASES = {
    "openai_chat": ("https://api.openai.com/v1", "https://api.openai.com/v1/chat/completions"),
    "deepseek": ("https://api.deepseek.com", "https://api.deepseek.com/chat/completions"),
    "openrouter": ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1/chat/completions"),
    "vllm": ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1/chat/completions"),
    "anthropic": ("https://api.anthropic.com", "https://api.anthropic.com/v1/messages"),
}
ANSWER = Said("The tide\nturns. Ünïcode 🐋", "let me see…")


def dialect(name):
    return find("dialect", name, TABLE)


def pieces_of(text, count):
    size = max(1, len(text) // count)
    return [text[at : at + size] for at in range(0, len(text), size)]


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


class ChatSpeaker:
    """Chat completions; `thinking` is the member that holds the reasoning."""

    def __init__(self, thinking="reasoning_content"):
        self.thinking = thinking

    def whole(self, said):
        message = {"role": "assistant", "content": said.text, self.thinking: said.reasoning or None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        usage = {"prompt_tokens": said.tokens_in, "completion_tokens": said.tokens_out}
        return json.dumps({"id": "c-1", "model": "m-2", "choices": [choice], "usage": usage}).encode()

    def events(self, said, pieces):
        def chunk(delta, finish=None, **beside):
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
            return event({"id": "c-1", "model": "m-2", "choices": [choice], **beside})

        usage = {"prompt_tokens": said.tokens_in, "completion_tokens": said.tokens_out}
        return [
            chunk({"role": "assistant", "content": ""}, usage=None),
            *(chunk({"content": None, self.thinking: piece}) for piece in pieces_of(said.reasoning, pieces)),
            b": keep-alive\n\n",
            *(chunk({"content": piece, self.thinking: None}, usage=None) for piece in pieces_of(said.text, pieces)),
            chunk({}, "stop"),
            event({"id": "c-1", "model": "m-2", "choices": [], "usage": usage}),
            b"data: [DONE]\n\n",
        ]


class MessagesSpeaker:
    """Anthropic's Messages API."""

    def whole(self, said):
        thinking = {"type": "thinking", "thinking": said.reasoning, "signature": "abcd"}
        content = [*([thinking] if said.reasoning else []), {"type": "text", "text": said.text}]
        usage = {"input_tokens": said.tokens_in - 4, "cache_read_input_tokens": 4, "output_tokens": said.tokens_out}
        message = {"id": "msg-1", "type": "message", "role": "assistant", "model": "m-2", "content": content}
        return json.dumps({**message, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}).encode()

    def events(self, said, pieces):
        def named(kind, **members):
            return f"event: {kind}\n".encode() + event({"type": kind, **members})

        def block(index, start, name, text):
            yield named("content_block_start", index=index, content_block=start)
            for piece in pieces_of(text, pieces):
                yield named("content_block_delta", index=index, delta={"type": f"{name}_delta", name: piece})
            if name == "thinking":
                delta = {"type": "signature_delta", "signature": "abcd"}
                yield named("content_block_delta", index=index, delta=delta)
            yield named("content_block_stop", index=index)

        usage = {"input_tokens": said.tokens_in - 4, "cache_read_input_tokens": 4, "output_tokens": 1}
        start = {"id": "msg-1", "type": "message", "role": "assistant", "model": "m-2", "content": [], "usage": usage}
        thinking = block(0, {"type": "thinking", "thinking": "", "signature": ""}, "thinking", said.reasoning)
        delta = {"stop_reason": "end_turn", "stop_sequence": None}
        return [
            named("message_start", message={**start, "stop_reason": None}),
            named("ping"),
            *(thinking if said.reasoning else ()),
            *block(int(bool(said.reasoning)), {"type": "text", "text": ""}, "text", said.text),
            named("message_delta", delta=delta, usage={"output_tokens": said.tokens_out}),
            named("message_stop"),
        ]


SPEAKERS = {name: ChatSpeaker() for name in CHAT} | {
    "openrouter": ChatSpeaker("reasoning"),
    "vllm": ChatSpeaker("reasoning"),
    "anthropic": MessagesSpeaker(),
}


# --- the suite -------------------------------------------------------------------------------------------------------


@every_dialect
def test_a_request_is_what_the_call_asks_and_holds_no_key(name):
    check_request(dialect(name), BASES[name][1])


@every_dialect
def test_the_address_is_completed_once(name):
    check_address(dialect(name), *BASES[name])


@every_dialect
def test_an_answer_that_comes_whole_is_read_whole(name):
    check_whole(dialect(name), SPEAKERS[name], ANSWER)
    check_whole(dialect(name), SPEAKERS[name], Said("short"))


@every_dialect
@given(text=st.text(min_size=1).filter(str.strip), reasoning=st.text(), pieces=st.integers(1, 30))
@briefly
def test_a_streamed_answer_is_the_one_that_comes_whole(name, text, reasoning, pieces):
    check_stream(dialect(name), SPEAKERS[name], Said(text, reasoning), pieces)


@every_dialect
def test_the_halves_of_a_letter_in_two_pieces_are_put_together(name):
    assembler = dialect(name).assembler()
    for part in SPEAKERS[name].events(Said("\ud83d\udc0b\ud83d"), 3):
        assembler.feed(part)
    assert dialect(name).decode(HttpReply(200, {}, assembler.body())).text == "🐋\ud83d"


@every_dialect
def test_keep_alives_are_no_content(name):
    check_nothing_is_no_content(dialect(name))


@every_dialect
def test_a_stream_that_was_cut_is_never_an_answer(name):
    check_cuts(dialect(name), SPEAKERS[name], ANSWER, 4)


@every_dialect
@given(data=st.data(), line_end=st.sampled_from([b"\n", b"\r\n", b"\r"]), junk=st.binary(max_size=30))
@briefly
def test_a_stream_amounts_to_the_same_however_it_is_split(name, data, line_end, junk):
    events = SPEAKERS[name].events(Said("héllo 🐋 world"), 3)
    events.insert(data.draw(st.integers(0, len(events))), junk)
    stream = b"".join(events[: data.draw(st.integers(0, len(events)))]).replace(b"\n", line_end)
    check_splits(dialect(name), stream, data.draw(st.lists(st.integers(0, 4000), max_size=8)))


@every_dialect
def test_every_status_asks_for_what_the_catalogue_says(name):
    check_statuses(dialect(name))


@every_dialect
@given(status=st.sampled_from([200, 429, 500]) | st.integers(100, 999), body=st.binary(max_size=60))
@briefly
def test_any_bytes_are_a_reply_or_a_call_error(name, status, body):
    check_foreign_bytes(dialect(name), HttpReply(status, {}, body))


# --- which dialect, and where ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("https://api.deepseek.com", "deepseek"),
        ("https://api.deepseek.com/v1/chat/completions", "deepseek"),
        ("HTTPS://API.DeepSeek.com:443/beta", "deepseek"),
        ("https://api.deepseek.com/anthropic", "anthropic"),
        ("https://api.deepseek.com/anthropic/v1/messages", "anthropic"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://api.anthropic.com/v1/messages", "anthropic"),
        ("https://api.anthropic.com/v1/chat/completions", "openai_chat"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://eu.openrouter.ai/api/v1", "openrouter"),
        ("https://api.openai.com/v1", "openai_chat"),
        ("https://api.groq.com/openai/v1", "openai_chat"),
        ("http://127.0.0.1:8000/v1", "openai_chat"),
        ("https://notapi.deepseek.com.evil.org", "openai_chat"),
        ("https://evilopenrouter.ai", "openai_chat"),
        ("", "openai_chat"),
    ],
)
def test_the_dialect_is_told_by_the_address(base, name):
    assert dialect_for(base) == name
    assert name in TABLE


def a_task(**keys):
    return TaskSpec(**{"prompt_template": "x", "worker_model": "m", **keys})


@pytest.mark.parametrize(
    ("base", "named", "url"),
    [
        ("https://api.anthropic.com", "auto", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1/", "auto", "https://api.anthropic.com/v1/messages"),
        ("https://api.anthropic.com/v1/messages", "auto", "https://api.anthropic.com/v1/messages"),
        ("https://api.deepseek.com/anthropic", "auto", "https://api.deepseek.com/anthropic/v1/messages"),
        ("http://127.0.0.1:9/", "anthropic", "http://127.0.0.1:9/v1/messages"),
        ("http://127.0.0.1:9/v1", "vllm", "http://127.0.0.1:9/v1/chat/completions"),
        ("https://api.anthropic.com/v1", "openai_chat", "https://api.anthropic.com/v1/chat/completions"),
    ],
)
def test_calls_go_where_the_dialect_is_spoken(base, named, url):
    assert api_url(a_task(worker_api_base=base, worker_dialect=named)) == url
    name = dialect_for(base) if named == "auto" else named
    assert dialect(name).address(base) == url


@pytest.mark.parametrize(
    ("base", "named", "sound"),
    [
        ("https://api.anthropic.com/v1/messages", None, True),
        ("https://api.anthropic.com/v1/messages", "auto", True),
        ("https://api.deepseek.com/anthropic/v1/messages", "auto", True),
        ("http://127.0.0.1/v1/messages", "anthropic", True),
        ("http://127.0.0.1/v1/messages", "auto", False),
        ("https://api.anthropic.com/v1/messages", "openai_chat", False),
        ("http://127.0.0.1/v1/chat/completions", "anthropic", False),
        ("https://api.anthropic.com/v1/models", "auto", False),
    ],
)
def test_the_end_of_an_address_has_to_fit_the_dialect(base, named, sound):
    flaws = list(address_flaws({"worker_api_base": base, "worker_dialect": named}))
    assert not flaws if sound else "which is another kind of API than" in flaws[0].what


@every_dialect
def test_the_key_travels_in_one_header(name):
    headers = dialect(name).authorization("sk-1")
    assert headers == ({"x-api-key": "sk-1"} if name == "anthropic" else {"authorization": "Bearer sk-1"})


# --- what is sent ----------------------------------------------------------------------------------------------------


def sent(name, url="https://x/v1/chat/completions", **call):
    return json.loads(dialect(name).encode(Call(**{"model": "m", "messages": [], **call}), url).body)


@pytest.mark.parametrize(
    ("name", "model", "level", "body"),
    [
        ("deepseek", "deepseek-flash", "off", {"thinking": {"type": "disabled"}}),
        ("deepseek", "deepseek-flash", "low", {"thinking": {"type": "enabled"}, "reasoning_effort": "low"}),
        ("deepseek", "deepseek-flash", "max", {"thinking": {"type": "enabled"}, "reasoning_effort": "max"}),
        ("openai_chat", "gpt-5.2", "off", {"reasoning_effort": "none"}),
        ("openai_chat", "gpt-5-mini", "off", {"reasoning_effort": "minimal"}),
        ("openai_chat", "gpt-5", "off", {"reasoning_effort": "minimal"}),
        ("openai_chat", "gpt-5.2", "low", {"reasoning_effort": "low"}),
        ("openai_chat", "gpt-5.2", "max", {"reasoning_effort": "xhigh"}),
        ("openai_chat", "gpt-5.1", "max", {"reasoning_effort": "high"}),
        ("openai_chat", "o3", "max", {"reasoning_effort": "high"}),
        ("openrouter", "m", "off", {"reasoning": {"enabled": False}}),
        ("openrouter", "m", "max", {"reasoning": {"effort": "max"}}),
        ("vllm", "m", "off", {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        (
            "vllm",
            "m",
            "max",
            {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}, "reasoning_effort": "high"},
        ),
    ],
)
def test_each_provider_is_told_in_its_own_words_how_much_to_think(name, model, level, body):
    assert sent(name, model=model, thinking=level) == {"model": model, "messages": [], **body}
    assert sent(name, model=model) == {"model": model, "messages": []}


@pytest.mark.parametrize(
    "model",
    [
        "claude-3-7-sonnet-20250219", "claude-opus-4-20250514", "claude-opus-4-1-20250805", "claude-sonnet-4-5",
        "claude-haiku-4-5-20251001", "anthropic.claude-opus-4-5-20251101-v1:0", "claude-sonnet-4@20250514",
    ],
)  # fmt: skip
def test_older_models_of_anthropic_are_given_a_budget_below_the_limit(model):
    for level, budget in (("low", 1024), ("high", 4000), ("max", 6000)):
        body = sent("anthropic", model=model, thinking=level, max_tokens=8000)
        assert body["thinking"] == {"type": "enabled", "budget_tokens": budget}
        assert "output_config" not in body


@pytest.mark.parametrize(
    "model", ["claude-opus-4-6", "claude-sonnet-4-6-20260115", "claude-opus-5-5", "claude-fable-5-1"]
)
def test_newer_models_of_anthropic_think_adaptively(model):
    body = sent("anthropic", model=model, thinking="max", max_tokens=8000)
    assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "max"})
    assert sent("anthropic", model=model, thinking="off")["thinking"] == {"type": "disabled"}


def test_other_makers_models_behind_the_messages_api_get_a_budget_and_an_effort():
    body = sent("anthropic", model="deepseek-flash", thinking="high", max_tokens=8000)
    assert (body["thinking"]["type"], body["output_config"]) == ("enabled", {"effort": "high"})


def test_the_messages_api_gets_its_system_prompt_its_limit_and_its_version():
    messages = [Message("system", "be brief"), Message("user", "hi"), Message("system", "be kind")]
    request = dialect("anthropic").encode(Call("m", messages), "https://x/v1/messages")
    assert json.loads(request.body) == {
        "model": "m",
        "max_tokens": 4096,
        "messages": [{"role": "user", "content": "hi"}],
        "system": "be brief\n\nbe kind",
    }
    assert request.headers["anthropic-version"] == "2023-06-01"


def test_openais_own_host_calls_the_limit_otherwise():
    own = "https://api.openai.com/v1/chat/completions"
    assert sent("openai_chat", own, max_tokens=5) == {"model": "m", "messages": [], "max_completion_tokens": 5}
    assert sent("openai_chat", max_tokens=5) == {"model": "m", "messages": [], "max_tokens": 5}
    assert sent("openai_chat", own, max_tokens=5, params={"max_tokens": 6})["max_tokens"] == 6
    assert "max_completion_tokens" not in sent("openai_chat", own, max_tokens=5, params={"max_tokens": 6})


@chat_dialects
def test_a_stream_is_asked_for_with_its_usage(name):
    body = sent(name, stream=True)
    assert (body["stream"], body["stream_options"]) == (True, {"include_usage": True})


@every_dialect
def test_objects_among_the_parameters_replace_the_dialects_own_as_a_whole(name):
    mine = {"thinking": {"mine": 1}, "reasoning": {"mine": 2}, "chat_template_kwargs": {"mine": 3}}
    body = sent(name, thinking="high", stream=True, params={**mine, "stream_options": {"mine": 4}})
    assert {key: body[key] for key in mine} == mine
    assert body["stream_options"] == {"mine": 4}


# --- Anthropic's answers ---------------------------------------------------------------------------------------------


def a_message(content, stop="end_turn", **members):
    return json.dumps({"type": "message", "model": "m", "content": content, "stop_reason": stop, **members}).encode()


TEXT = [{"type": "text", "text": "an answer"}]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (a_message(TEXT, "max_tokens"), Truncated),
        (a_message(TEXT, "model_context_window_exceeded"), Truncated),
        (a_message([{"type": "thinking", "thinking": "hm"}], "max_tokens"), Starved),
        (a_message([{"type": "thinking", "thinking": "hm"}]), Starved),
        (a_message([]), Empty),
        (a_message(TEXT, "refusal"), Refused),
        (a_message([], "refusal"), Refused),
        (a_message(TEXT, "pause_turn"), Garbled),
        (a_message("text"), Garbled),
        (a_message(None), Garbled),
        (b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}', Overloaded),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', Throttled),
        (b'{"type":"error","error":{"type":"api_error","message":"oops"}}', ServerFault),
        (b'{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 > 8"}}', TooLong),
        (b'{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}', Unauthorized),
        (b'{"type":"error","error":{"type":"billing_error","message":"pay"}}', OutOfFunds),
        (b'{"type":"error","error":{"type":"timeout_error","message":"late"}}', ServerFault),
    ],
)
def test_a_200_of_the_messages_api_that_is_no_answer_is_never_delivered(body, kind):
    assert type(failure(dialect("anthropic"), HttpReply(200, {}, body))) is kind


def test_a_call_of_a_tool_is_an_answer_without_text():
    tool = {"type": "tool_use", "id": "t-1", "name": "look", "input": {"at": "it"}}
    reply = dialect("anthropic").decode(HttpReply(200, {"request-id": "req-1"}, a_message([tool], "tool_use")))
    assert (reply.text, reply.finish_reason, reply.request_id) == ("", "tool_use", "req-1")
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "t-1", "function": {"name": "look"}}]}
    body = {"model": "m", "choices": [{"message": message, "finish_reason": "tool_calls"}]}
    assert dialect("deepseek").decode(HttpReply(200, {}, json.dumps(body).encode())).text == ""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 6}, Usage(5, 6)),
        (
            {
                "input_tokens": 5,
                "output_tokens": 6,
                "cache_read_input_tokens": 100,
                "cache_creation_input_tokens": 10,
            },
            Usage(115, 6, 100),
        ),
        ({"input_tokens": 0, "output_tokens": 0}, Usage()),
        ({"output_tokens": 6}, Usage(None, 6)),
        (None, Usage()),
        ([1], Usage()),
    ],
)
def test_what_came_from_the_cache_counts_as_input(usage, expected):
    assert dialect("anthropic").decode(HttpReply(200, {}, a_message(TEXT, usage=usage))).usage == expected


# --- the balance -----------------------------------------------------------------------------------------------------


def test_only_who_tells_the_balance_is_asked_for_it():
    asked = {name: dialect(name).balance_request(BASES[name][1]) for name in TABLE}
    assert {name: (request.url, request.method, request.body) for name, request in asked.items() if request} == {
        "deepseek": ("https://api.deepseek.com/user/balance", "GET", b""),
        "openrouter": ("https://openrouter.ai/api/v1/key", "GET", b""),
    }


def an_account(*infos, enough=True):
    names = ("currency", "total_balance")
    return {"is_available": enough, "balance_infos": [dict(zip(names, info, strict=True)) for info in infos]}


@pytest.mark.parametrize(
    ("name", "body", "balance"),
    [
        ("deepseek", an_account(("CNY", "110.00")), Balance(110.0, "CNY", True)),
        ("deepseek", an_account(("CNY", "0.00"), ("USD", "2.5")), Balance(2.5, "USD", True)),
        ("deepseek", an_account(("USD", "0.00"), enough=False), Balance(0.0, "USD", False)),
        ("deepseek", an_account(("USD", "nan")), None),
        ("deepseek", an_account(("USD", None)), None),
        ("deepseek", {"is_available": True}, None),
        ("deepseek", [], None),
        ("openrouter", {"data": {"limit": 5, "limit_remaining": 4.5}}, Balance(4.5, "USD", True)),
        ("openrouter", {"data": {"limit_remaining": 0}}, Balance(0.0, "USD", False)),
        (
            "openrouter",
            {"data": {"limit_remaining": 9, "effective_budget": {"remaining_usd": 1.5}}},
            Balance(1.5, "USD", True),
        ),
        ("openrouter", {"data": {"limit": None, "limit_remaining": None}}, None),
        ("openrouter", {"data": None}, None),
        ("vllm", {"data": {"limit_remaining": 4.5}}, None),
        ("anthropic", {"data": {"limit_remaining": 4.5}}, None),
    ],
)
def test_the_balance_is_what_the_account_says(name, body, balance):
    raw = json.dumps(body).encode()
    assert dialect(name).balance(HttpReply(200, {}, raw)) == balance
    assert dialect(name).balance(HttpReply(500, {}, raw)) is None
    assert dialect(name).balance(HttpReply(200, {}, raw[:-1])) is None


def test_dialects_tell_what_they_are():
    assert all(re.match(r"ChatDialect\(|Messages\(", repr(dialect(name))) for name in TABLE if name != "openai_chat")
