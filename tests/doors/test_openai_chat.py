"""The openai_chat dialect: what is sent, and what every odd reply of the failure catalogue becomes."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import (
    BadRequest,
    CallError,
    Cut,
    Declined,
    Empty,
    Garbled,
    Looping,
    NoSuchModel,
    OutOfFunds,
    Overloaded,
    ServerFault,
    Starved,
    Throttled,
    TooLong,
    Truncated,
    Unauthorized,
)
from deepswarm.core.records import NO_USAGE, Call, HttpReply, Message, Reply, Usage
from deepswarm.dialects.openai_chat import decode, encode

briefly = settings(deadline=None)
URL = "https://api.example/v1/chat/completions"
HTML = b"<!DOCTYPE html><html><title>502 Bad Gateway</title></html>"
JSON_TYPE = {"content-type": "application/json"}


# --- what is sent ----------------------------------------------------------------------------------------------------


def sent(call):
    request = encode(call, URL)
    return json.loads(request.body)


def test_a_call_becomes_a_request_without_the_key():
    request = encode(Call("m", [Message("system", "be brief"), Message("user", "hi")], 64, {"temperature": 0.5}), URL)
    assert request.url == URL
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in {name.lower() for name in request.headers}
    assert json.loads(request.body) == {
        "model": "m",
        "messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}],
        "max_tokens": 64,
        "temperature": 0.5,
    }


def test_what_is_left_to_the_provider_is_not_sent():
    assert sent(Call("m", [])) == {"model": "m", "messages": []}


@given(st.text(), st.integers(1, 1 << 60))
@briefly
def test_any_text_that_utf_8_can_hold_arrives_unchanged(text, max_tokens):
    body = sent(Call(text, [Message("user", text)], max_tokens, {"stop": [text]}))
    assert body["messages"] == [{"role": "user", "content": text}]
    assert (body["model"], body["max_tokens"], body["stop"]) == (text, max_tokens, [text])


@pytest.mark.parametrize("text", ["a\ud800b", "\udfff", "\udc80\ud83d", "\\ud800 \ud800"])
def test_lone_surrogates_become_the_replacement_character_everywhere(text):
    call = Call("m", [Message("user", text), Message("user", "whole 😀")], 5, {"stop": [text], "user": {text: text}})
    body = encode(call, URL).body
    clean = "".join("\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in text)
    value = json.loads(body.decode("utf-8"))
    assert value["messages"][0]["content"] == clean
    assert value["messages"][1]["content"] == "whole 😀"
    assert value["stop"] == [clean]
    assert value["user"] == {clean: clean}


@given(st.text(alphabet=st.characters(codec=None)))
@briefly
def test_every_request_is_utf_8_without_surrogates_in_any_disguise(text):
    value = json.loads(encode(Call("m", [Message("user", text)]), URL).body.decode("utf-8"))
    value["messages"][0]["content"].encode("utf-8")


def test_a_text_that_only_spells_an_escape_is_left_alone():
    assert (
        sent(Call("m", [Message("user", r"\ud800 is an escape")]))["messages"][0]["content"] == r"\ud800 is an escape"
    )


# --- good replies ----------------------------------------------------------------------------------------------------


def a_body(**changes):
    choice = {"index": 0, "message": {"role": "assistant", "content": "an answer"}, "finish_reason": "stop"}
    choice |= changes.pop("choice", {})
    if "message" in changes:
        choice["message"] = changes.pop("message")
    return {"id": "c-1", "object": "chat.completion", "model": "m-2", "choices": [choice], **changes}


def replied(value, status=200, headers=JSON_TYPE):
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return HttpReply(status, headers, body)


def test_a_good_reply_is_decoded_whole():
    usage = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46}
    assert decode(replied(a_body(usage=usage))) == Reply("an answer", "stop", "m-2", Usage(12, 34), "", "c-1")


def test_the_header_knows_the_request_better_than_the_body():
    assert decode(replied(a_body(), headers={"x-request-id": "req-9"})).request_id == "req-9"


@pytest.mark.parametrize("drip", [b"\n", b"\n" * 600, b" \r\n\t\n", b"\xef\xbb\xbf"])
def test_blank_lines_that_kept_the_connection_alive_are_no_part_of_the_reply(drip):
    assert decode(replied(drip + json.dumps(a_body()).encode())).text == "an answer"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_the_thinking_is_kept_beside_the_answer(name):
    reply = decode(replied(a_body(message={"content": "42", name: "let me see"})))
    assert (reply.text, reply.reasoning) == ("42", "let me see")


@pytest.mark.parametrize("thinking", [None, 7, ["x"], {}])
def test_thinking_in_an_odd_form_does_not_spoil_the_answer(thinking):
    assert decode(replied(a_body(message={"content": "42", "reasoning_content": thinking}))).reasoning == ""


@pytest.mark.parametrize("finish", ["stop", "tool_calls", "function_call"])
def test_finish_reasons_of_whole_answers_are_kept(finish):
    assert decode(replied(a_body(choice={"finish_reason": finish}))).finish_reason == finish


@given(st.text().filter(str.strip))
@briefly
def test_the_answers_text_is_not_touched(text):
    assert decode(replied(a_body(message={"content": text}))).text == text


@pytest.mark.parametrize("model", [None, 5, [], {}])
def test_a_reply_that_does_not_name_its_model_is_a_reply_all_the_same(model):
    assert decode(replied(a_body(model=model))).model == ""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (None, NO_USAGE),
        ([], NO_USAGE),
        ("12", NO_USAGE),
        ({}, NO_USAGE),
        ({"prompt_tokens": 0, "completion_tokens": 0}, NO_USAGE),
        ({"prompt_tokens": 7}, Usage(7)),
        ({"completion_tokens": 7}, Usage(None, 7)),
        ({"prompt_tokens": None, "completion_tokens": "7"}, NO_USAGE),
        ({"prompt_tokens": True, "completion_tokens": 7.0}, NO_USAGE),
        ({"prompt_tokens": -1, "completion_tokens": 10**400}, NO_USAGE),
        ({"prompt_tokens": 1 << 53, "completion_tokens": (1 << 53) - 1}, Usage(None, (1 << 53) - 1)),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 3}, Usage(9, None, 6)),
        ({"prompt_tokens": 9, "prompt_cache_hit_tokens": 0}, Usage(9, None, 0)),
        ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 6}}, Usage(9, None, 6)),
        ({"prompt_tokens": 9, "prompt_tokens_details": None}, Usage(9)),
        ({"prompt_tokens": 9, "prompt_tokens_details": [1]}, Usage(9)),
        ({"prompt_cache_hit_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}, Usage(None, None, 5)),
        ({"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 8}}, Usage(None, 9, None, 8)),
        ({"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": None}}, Usage(None, 9)),
    ],
)
def test_usage_that_is_unknown_stays_unknown_and_is_never_zero(usage, expected):
    assert decode(replied(a_body(usage=usage))).usage == expected


def test_usage_may_be_absent():
    assert decode(replied(a_body())).usage == NO_USAGE


# --- 200 is not success ----------------------------------------------------------------------------------------------


def failing(reply):
    with pytest.raises(CallError) as caught:
        decode(reply)
    return caught.value


NO_CHOICES = {"null": {"choices": None}, "empty": {"choices": []}, "absent": {}}


@pytest.mark.parametrize("choices", NO_CHOICES.values(), ids=NO_CHOICES)
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (None, Garbled),
        ({"code": 429, "message": "Rate limit"}, Throttled),
        ({"code": 402, "message": "no credits"}, OutOfFunds),
        ({"code": 401}, Unauthorized),
        ({"code": 400, "message": "bad"}, BadRequest),
        ({"code": 404}, NoSuchModel),
        ({"code": 500}, ServerFault),
        ({"code": 502, "message": "Provider returned error", "metadata": {"raw": "…"}}, ServerFault),
        ({"code": 503}, Overloaded),
        ({"code": 529}, Overloaded),
        ({"code": "429"}, Throttled),
        ({"code": "502", "message": "Provider returned error"}, ServerFault),
        ({"code": 0}, Garbled),
        ({"code": 200}, Garbled),
        ({"type": "overloaded_error"}, Overloaded),
        ({"status": "RESOURCE_EXHAUSTED"}, Throttled),
        ({"code": "rate_limit_exceeded"}, Throttled),
        ({"code": "insufficient_quota"}, OutOfFunds),
        ({"code": None, "type": "insufficient_quota"}, OutOfFunds),
        ({"type": "content_filter"}, Declined),
        ({"code": "something new", "message": "?"}, Garbled),
        ({"code": [429]}, Garbled),
        ({"code": {"a": 1}, "type": ["x"]}, Garbled),
        ("just a sentence", Garbled),
        (["a", "list"], Garbled),
        (17, Garbled),
    ],
)
def test_an_error_in_a_200_is_the_error_that_it_names(choices, error, kind):
    body = choices | ({} if error is None else {"error": error})
    caught = failing(replied(body))
    assert type(caught) is kind
    assert caught.status == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (a_body(message={"content": ""}), Empty),
        (a_body(message={"content": None}), Empty),
        (a_body(message={}), Empty),
        (a_body(message={"content": " \n\t \u00a0"}), Empty),
        (a_body(message={"content": "\n" * 4096}), Looping),
        (a_body(message={"content": "", "reasoning_content": "hm, " * 1000}), Starved),
        (a_body(message={"content": ["part"]}), Garbled),
        (a_body(message={"content": 42}), Garbled),
        (a_body(message={"content": {"text": "x"}}), Garbled),
        (a_body(message=None), Garbled),
        (a_body(message="text"), Garbled),
        (a_body(message=[]), Garbled),
        (a_body(choice={"finish_reason": "length"}), Truncated),
        (a_body(message={"content": ""}, choice={"finish_reason": "length"}), Truncated),
        (a_body(message={"content": None, "reasoning_content": "x"}, choice={"finish_reason": "length"}), Starved),
        (a_body(choice={"finish_reason": "content_filter"}), Declined),
        (a_body(message={"content": ""}, choice={"finish_reason": "content_filter"}), Declined),
        (a_body(choice={"finish_reason": "insufficient_system_resource"}), Overloaded),
        (a_body(choice={"finish_reason": "error"}), ServerFault),
        (a_body(choice={"finish_reason": "eos"}), Garbled),
        (a_body(choice={"finish_reason": ""}), Cut),
        (a_body(choice={"finish_reason": None}), Cut),
        (a_body(choice={"finish_reason": 7}), Cut),
        (a_body(choice={"finish_reason": ["stop"]}), Cut),
        (a_body(choice={"finish_reason": {"a": "stop"}}), Cut),
        ({"choices": [None]}, Garbled),
        ({"choices": ["text"]}, Garbled),
        ({"choices": [[]]}, Garbled),
        ({"choices": [{}]}, Garbled),
        ({"choices": "text"}, Garbled),
        ({"choices": 1}, Garbled),
        ({"choices": True}, Garbled),
        ({"choices": {"0": {}}}, Garbled),
        ([], Garbled),
        ([a_body()], Garbled),
        ("a string", Garbled),
        (7, Garbled),
        (None, Garbled),
        (b"", Garbled),
        (b"\n\n\n", Overloaded),
        (b" ", Overloaded),
        (HTML, Garbled),
        (b"\xff\xfe\x00", Garbled),
        (b"{", Garbled),
        (json.dumps(a_body()).encode()[:-1], Garbled),
        (json.dumps(a_body()).encode() * 2, Garbled),
        (b'data: {"choices": []}\n\n', Garbled),
        (b"[" * 100_000, Garbled),
        (b'{"choices": ' + b"[" * 100_000, Garbled),
        (b'{"choices": [' + b"9" * 5000 + b"]}", Garbled),
        (b'{"choices": NaN}', Garbled),
    ],
)
def test_a_200_that_holds_no_whole_answer_is_never_delivered(body, kind):
    caught = failing(replied(body))
    assert type(caught) is kind
    assert str(caught).strip()


def test_huge_numbers_beside_the_answer_do_not_spoil_it():
    body = json.dumps(a_body(created=10**300, usage={"prompt_tokens": 10**30})).encode()
    assert decode(replied(body)).usage == NO_USAGE


def test_a_lone_surrogate_in_an_answer_is_kept_as_the_model_wrote_it():
    body = json.dumps(a_body()).replace("an answer", "half \\ud83d").encode()
    assert decode(replied(body)).text == "half \ud83d"


def test_a_failed_reply_keeps_what_it_cost_and_what_it_said():
    body = a_body(choice={"finish_reason": "length"}, usage={"prompt_tokens": 5, "completion_tokens": 4096})
    caught = failing(replied(body, headers={"x-request-id": "req-3"}))
    assert caught.usage == Usage(5, 4096)
    assert caught.request_id == "req-3"
    assert json.loads(caught.body) == body


# --- every status ----------------------------------------------------------------------------------------------------

BY_STATUS = {
    400: BadRequest,
    401: Unauthorized,
    402: OutOfFunds,
    403: Unauthorized,
    404: NoSuchModel,
    405: BadRequest,
    408: ServerFault,
    409: ServerFault,
    410: NoSuchModel,
    413: BadRequest,
    415: BadRequest,
    418: BadRequest,
    422: BadRequest,
    425: ServerFault,
    429: Throttled,
    451: BadRequest,
    500: ServerFault,
    502: ServerFault,
    498: Overloaded,
    503: Overloaded,
    504: ServerFault,
    520: ServerFault,
    522: ServerFault,
    524: ServerFault,
    529: Overloaded,
    599: ServerFault,
    204: Garbled,
    206: Garbled,
    301: Garbled,
    302: Garbled,
    307: Garbled,
}
BODIES = {
    "json": b'{"error": {"message": "the provider\'s own words", "type": "t", "code": null}}',
    "detail": b'{"detail": "the provider\'s own words"}',
    "sentence": b'{"error": "the provider\'s own words"}',
    "html": HTML,
    "empty": b"",
    "blank": b"\n\n",
    "null": b"null",
    "broken": b'{"error": {"mess',
    "odd": b'{"error": {"message": {"a": 1}, "code": ["x"], "type": 5}}',
    "bytes": b"\x00\xff\xfe",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(("status", "kind"), BY_STATUS.items())
def test_every_status_has_its_class_whatever_the_body_looks_like(status, kind, body):
    caught = failing(replied(body, status, {}))
    assert type(caught) is (ServerFault if status == 503 and body is HTML else kind)
    assert caught.status == status
    assert caught.body == body
    assert str(status) in str(caught)
    if b"own words" in body:
        assert "the provider's own words" in str(caught)


@pytest.mark.parametrize("status", sorted(set(BY_STATUS) - {204, 206}))
def test_a_good_body_does_not_heal_a_bad_status(status):
    assert type(failing(replied(a_body(), status))) is BY_STATUS[status]


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, OutOfFunds),
        (429, {"message": "…", "type": "insufficient_quota", "code": None}, OutOfFunds),
        (429, {"code": "credit_balance_exhausted"}, OutOfFunds),
        (429, {"code": "rate_limit_exceeded", "type": "tokens"}, Throttled),
        (429, {"code": "slow_down"}, Throttled),
        (429, {"message": "current concurrency is 40, limit of 39 based on your remaining balance"}, Throttled),
        (
            402,
            {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"},
            OutOfFunds,
        ),
        (401, {"code": "invalid_api_key"}, Unauthorized),
        (400, {"message": "Content Exists Risk", "type": "invalid_request_error"}, Declined),
        (400, {"code": "content_filter"}, Declined),
        (400, {"code": "content_policy_violation"}, Declined),
        (400, {"code": "context_length_exceeded"}, TooLong),
        (400, {"code": "model_not_found"}, NoSuchModel),
        (403, {"code": "billing_hard_limit_reached"}, OutOfFunds),
        (403, {"code": 403, "message": "…", "metadata": {"reasons": ["violence"], "flagged_input": "…"}}, Declined),
        (403, {"code": 403, "metadata": {"reasons": []}}, Unauthorized),
        (402, {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}, Throttled),
        (402, {"code": 402, "metadata": {"limit_source": "credits"}}, OutOfFunds),
        (402, {"code": 402, "metadata": ["odd"]}, OutOfFunds),
        (503, {"message": "The server is overloaded"}, Overloaded),
    ],
)
def test_the_bodys_own_code_is_finer_than_the_status(status, error, kind):
    assert type(failing(replied({"error": error}, status))) is kind


def test_deepseeks_moderation_is_declined_also_as_a_detail():
    assert type(failing(replied({"detail": "Content Exists Risk"}, 400))) is Declined


def test_a_message_of_any_length_stays_a_message():
    caught = failing(replied({"error": {"message": "x" * 100_000}}, 500))
    assert len(str(caught)) <= 2000
    assert len(str(failing(replied(b"<p>" * 100_000, 500)))) <= 2000


# --- how long to wait ------------------------------------------------------------------------------------------------


def test_every_error_carries_what_the_provider_asks_to_wait():
    for status in (429, 503, 500, 402):
        assert failing(replied(b"", status, {"retry-after": "7"})).retry_after_s == 7.0
    assert failing(replied({"error": {"code": 429}}, 200, {"retry-after": "7"})).retry_after_s == 7.0


# --- anything at all -------------------------------------------------------------------------------------------------

WORDS = [
    *(
        "choices",
        "message",
        "content",
        "finish_reason",
        "error",
        "code",
        "type",
        "detail",
        "usage",
        "metadata",
        "reasons",
    ),
    *(
        "prompt_tokens",
        "prompt_tokens_details",
        "cached_tokens",
        "completion_tokens_details",
        "reasoning_content",
        "tool_calls",
        "refusal",
    ),
    *("model", "id", "stop", "length", "content_filter", "insufficient_quota", "Content Exists Risk", "\ud800"),
]
leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.sampled_from(WORDS), st.text(max_size=3))
jsons = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)


def like_a_reply(choice, message, other):
    return {"choices": [{"message": message, "finish_reason": "stop"} | choice], **other}


near_replies = st.builds(
    like_a_reply,
    st.dictionaries(st.sampled_from(["message", "finish_reason"]), jsons, max_size=1),
    st.dictionaries(st.sampled_from(["content", "reasoning_content"]), jsons),
    st.dictionaries(st.sampled_from(["error", "usage", "model", "id", "choices"]), jsons, max_size=3),
)
bodies = st.one_of(st.binary(), jsons.map(lambda value: json.dumps(value).encode()))
statuses = st.sampled_from([200, *BY_STATUS]) | st.integers(100, 999)
headers_of_all_kinds = st.dictionaries(
    st.sampled_from(["retry-after", "retry-after-ms", "date", "content-type", "x-request-id"]), st.text(max_size=10)
)


def outcome(reply):
    """The reply, or the call error; anything else is a fault."""
    try:
        return decode(reply)
    except CallError as error:
        return error


@given(statuses, headers_of_all_kinds, bodies | near_replies.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=400, deadline=None)
def test_no_reply_whatsoever_makes_the_dialect_fail_in_another_way_than_by_a_call_error(status, headers, body):
    got = outcome(HttpReply(status, headers, body))
    if isinstance(got, CallError):
        assert type(got) is not CallError
        assert str(got)
        assert got.body == body
    else:
        assert status == 200
        assert got.text.strip() or b"tool_calls" in body
        assert all(isinstance(part, str) for part in (got.text, got.finish_reason, got.model, got.reasoning))
        assert isinstance(got.usage, Usage)
