"""What an admitted request gets of the simulated provider: answers whole and streamed, and each kind of fault."""

import gzip
import json
import math
import re
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core.errors import TaskFileError
from deepswarm.core.records import HttpRequest
from deepswarm.simulator import faultlaw
from deepswarm.simulator.asked import read_asked
from deepswarm.simulator.behaviour import Case, behave
from deepswarm.simulator.draws import Draws
from deepswarm.simulator.faultlaw import FORMS, BodyKind, Ending, Fault, FaultKind, RetryAfterForm
from deepswarm.simulator.law import Latency, Law, ReplyKind, ReplyLaw, StreamLaw, Tokens, UsageWhen, read_law
from deepswarm.simulator.play import SILENCE, End, moments

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PACED = Law(latency=Latency(first_token_s=8.0, tokens_per_s=10.0), tokens=Tokens(40), stream=StreamLaw(8))
"""A stream whose five pieces come at 8.0, 8.8 ... 11.2 seconds, and its end, like a whole reply, at 12.0."""


def asked_for(text="[[id:7]] Tell me something.", *, path=CHAT, key="", **more):
    body = {"model": "m", "messages": [{"role": "user", "content": text}], **more}
    if path == MESSAGES:
        body.setdefault("max_tokens", 1000)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return read_asked(HttpRequest(path, headers, json.dumps(body).encode()))


def behaviour(law=PACED, fault=None, *, since_s=0.0, attempt=1, cached=0, wait_s=0.0, slowdown=1.0, **more):
    """What a request gets under a law, or under the law with this fault."""
    law = law if fault is None else replace(law, faults=(fault,))
    asked = asked_for(**more)
    return behave(Case(law, asked, attempt, Draws(1, asked.key, attempt), wait_s, slowdown, cached, since_s))


def play_of(fault=None, law=PACED, **more):
    return behaviour(law, fault, **more).play


def bytes_of(play):
    return b"".join(scene.data for scene in play.scenes)


def value_of(play):
    return json.loads(bytes_of(play))


def message_of(play):
    return value_of(play)["choices"][0]["message"]


def events_of(play):
    """The JSON values of a stream's events, in order."""
    data = re.findall(rb"^data: ?(.+)$", bytes_of(play).replace(b"\r\n", b"\n").replace(b"\r", b"\n"), re.MULTILINE)
    return [json.loads(each) for each in data if each != b"[DONE]"]


def deltas_of(play):
    return [choice for event in events_of(play) for choice in event.get("choices") or []]


def text_of(play, name="content"):
    """The text of a reply, streamed or whole, of one API or the other."""
    if play.headers["content-type"].startswith("text/event-stream"):
        if b"message_start" in bytes_of(play):
            kind = "thinking" if name == "reasoning_content" else "text"
            return "".join(
                event["delta"].get(kind, "") for event in events_of(play) if event["type"] == "content_block_delta"
            )
        return "".join(choice["delta"].get(name) or "" for choice in deltas_of(play))
    value = value_of(play)
    if "choices" in value:
        return value["choices"][0]["message"].get(name) or ""
    kind = "thinking" if name == "reasoning_content" else "text"
    return "".join(block.get(kind, "") for block in value["content"])


# --- answers, whole and streamed -------------------------------------------------------------------------------------


@given(
    tokens=st.integers(1, 300),
    chunk=st.integers(1, 50),
    share=st.sampled_from([0.0, 0.3, 0.95, 1.0]),
    path=st.sampled_from([CHAT, MESSAGES]),
    paced=st.booleans(),
    room=st.none() | st.integers(1, 400),
    kind=st.sampled_from(list(ReplyKind)),
    usage=st.sampled_from(list(UsageWhen)),
)
def test_a_streamed_answer_has_the_text_the_tokens_and_the_end_of_a_whole_one(
    tokens, chunk, share, path, paced, room, kind, usage
):
    latency = Latency(2.0, 0.5, first_token_s=0.5, tokens_per_s=50.0, tokens_per_s_sigma=0.2) if paced else Latency()
    law = Law(
        latency=latency, tokens=Tokens(tokens, 0.4), reply=ReplyLaw(kind), stream=StreamLaw(chunk, 0.0, share, usage)
    )
    more = {"path": path, "thinking": {"type": "enabled"}} | ({} if room is None else {"max_tokens": room})
    whole, streamed = behaviour(law, **more), behaviour(law, stream=True, **more)
    assert whole[1:] == streamed[1:]
    assert whole.play.end_s == streamed.play.end_s
    for name in ("content", "reasoning_content"):
        assert text_of(whole.play, name) == text_of(streamed.play, name)
    assert room is None or kind is ReplyKind.JSON or whole.tokens_out <= room
    times = [moment.at_s for moment in moments(streamed.play)]
    assert times == sorted(set(times))
    assert streamed.play.first_s <= whole.play.first_s == whole.play.end_s


def test_a_stream_keeps_its_pace():
    play = play_of(stream=True)
    assert [moment.at_s for moment in moments(play)] == pytest.approx([8.0, 8.8, 9.6, 10.4, 11.2, 12.0])
    assert (play.first_s, play.end_s, play.length, play.end) == (8.0, 12.0, None, End.WHOLE)
    assert bytes_of(play).endswith(b"data: [DONE]\n\n")


def test_waiting_in_the_queue_and_a_slow_machine_take_their_time():
    play = play_of(stream=True, wait_s=100.0, slowdown=2.0)
    assert (play.first_s, play.end_s) == (108.0, 116.0)


def test_an_answer_at_once_is_one_write():
    assert len(play_of(law=Law(), stream=True).scenes) == 1


def test_the_order_of_a_stream_is_role_thinking_content_finish_usage():
    law = replace(PACED, stream=StreamLaw(8, reasoning=0.4))
    events = events_of(play_of(law=law, stream=True, stream_options={"include_usage": True}))
    names = [next(iter(event["choices"][0]["delta"]), "finish") if event["choices"] else "usage" for event in events]
    assert names == ["role", *["reasoning_content"] * 2, *["content"] * 3, "finish", "usage"]
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert all(event["usage"] is None for event in events[:-1])
    usage = events[-1]["usage"]
    assert (usage["completion_tokens"], usage["completion_tokens_details"]["reasoning_tokens"]) == (40, 16)


@pytest.mark.parametrize(
    ("when", "asked", "told"),
    [
        ("end", False, []),
        ("end", True, [None] * 7 + [40]),
        ("never", True, []),
        ("null", False, [None] * 8),
        ("each", False, [0, 8, 16, 24, 32, 40, 40, 40]),
    ],
)
def test_usage_in_a_stream_is_reported_where_the_law_says(when, asked, told):
    law = replace(PACED, stream=StreamLaw(8, usage=UsageWhen(when)))
    events = events_of(play_of(law=law, stream=True, stream_options={"include_usage": asked}))
    usages = [event["usage"] for event in events if "usage" in event]
    assert [usage and usage["completion_tokens"] for usage in usages] == told


@pytest.mark.parametrize(
    "off",
    [
        {"thinking": {"type": "disabled"}},
        {"reasoning_effort": "none"},
        {"reasoning": {"enabled": False}},
        {"reasoning": {"effort": "none"}},
        {"chat_template_kwargs": {"enable_thinking": False}},
    ],
)
def test_thinking_that_is_switched_off_is_neither_sent_nor_billed(off):
    law = replace(PACED, stream=StreamLaw(reasoning=0.5))
    with_it, without = behaviour(law), behaviour(law, **off)
    assert (with_it.tokens_out, with_it.reasoning, without.tokens_out, without.reasoning) == (40, 20, 20, 0)
    assert "reasoning_content" in message_of(with_it.play)
    assert "reasoning_content" not in message_of(without.play)
    assert message_of(without.play)["content"] == message_of(with_it.play)["content"]


@pytest.mark.parametrize(("path", "content"), [(CHAT, ""), (MESSAGES, None)])
def test_thinking_may_use_up_the_room_for_tokens(path, content):
    law = replace(PACED, stream=StreamLaw(reasoning=0.5))
    got = behaviour(law, path=path, max_tokens=15, thinking={"type": "enabled"})
    assert (got.tokens_out, got.reasoning) == (15, 15)
    value = value_of(got.play)
    if content is None:
        assert ([block["type"] for block in value["content"]], value["stop_reason"]) == (["thinking"], "max_tokens")
    else:
        assert (value["choices"][0]["finish_reason"], message_of(got.play)["content"]) == ("length", content)


def test_cached_tokens_are_told():
    usage = value_of(play_of(cached=3))["usage"]
    assert (usage["prompt_cache_hit_tokens"], usage["prompt_tokens_details"]["cached_tokens"]) == (3, 3)
    assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
    usage = value_of(play_of(cached=3, path=MESSAGES))["usage"]
    assert (usage["cache_read_input_tokens"], usage["input_tokens"]) == (3, 3)


def test_keep_alives_come_until_the_answer_begins():
    law = replace(PACED, stream=StreamLaw(8, keep_alive_s=3.0))
    whole, streamed = play_of(law=law), play_of(law=law, stream=True)
    assert [moment[:] for moment in moments(whole)][:-1] == [(at, b"\n") for at in (3.0, 6.0, 9.0)]
    assert [moment[:] for moment in moments(streamed)][:2] == [(at, b": keep-alive\n\n") for at in (3.0, 6.0)]
    assert whole.length is None
    messages = play_of(law=law, stream=True, path=MESSAGES)
    assert next(moments(messages)).data.startswith(b"event: ping\n")


def test_a_stream_of_messages_is_framed_as_it_should_be():
    law = replace(PACED, stream=StreamLaw(8, reasoning=0.4))
    play = play_of(law=law, stream=True, path=MESSAGES, thinking={"type": "enabled"}, system="[[id:s]]")
    events = events_of(play)
    named = re.findall(rb"^event: (.+)$", bytes_of(play), re.MULTILINE)
    assert [event["type"].encode() for event in events] == named
    starts = [event["content_block"]["type"] for event in events if event["type"] == "content_block_start"]
    assert starts == ["thinking", "text"]
    assert (events[0]["type"], events[-1]["type"]) == ("message_start", "message_stop")
    assert (events[-2]["delta"]["stop_reason"], events[-2]["usage"]["output_tokens"]) == ("end_turn", 40)
    assert text_of(play).startswith("[simulated] [[id:s]]")


# --- whom faults hit -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("since_s", "hit"), [(0.0, False), (59.9, False), (60.0, True), (119.0, True), (120.0, False)])
def test_a_fault_may_hold_for_a_time(since_s, hit):
    fault = Fault(FaultKind.STATUS, status=500, from_s=60.0, until_s=120.0)
    assert (play_of(fault, since_s=since_s).status == 500) is hit


def test_a_fault_may_hit_one_key_alone():
    fault = Fault(FaultKind.STATUS, status=401, keys=frozenset({"sk-old"}))
    assert [play_of(fault, key=key).status for key in ("sk-old", "sk-new", "")] == [401, 200, 200]


@pytest.mark.parametrize(
    ("form", "turn", "hit"),
    [
        ("reasoning_owed", {"role": "assistant", "content": "x"}, True),
        ("reasoning_owed", {"role": "assistant", "content": "x", "reasoning_content": ""}, False),
        ("reasoning_owed", {"role": "user", "content": "x"}, False),
        ("reasoning_forbidden", {"role": "assistant", "content": "x", "reasoning_content": "y"}, True),
        ("reasoning_forbidden", {"role": "assistant", "content": "x"}, False),
    ],
)
def test_a_rule_about_reasoning_hits_who_breaks_it(form, turn, hit):
    play = play_of(Fault(FaultKind.REJECT, form=form), messages=[{"role": "user", "content": "[[id:7]]"}, turn])
    assert (play.status == 400) is hit
    assert not hit or "reasoning_content" in value_of(play)["error"]["message"]


def test_a_rule_about_parameters_hits_who_uses_them():
    fault = Fault(FaultKind.REJECT, form="parameter", parameter="top_k")
    assert [play_of(fault, **more).status for more in ({}, {"top_k": 5})] == [200, 400]


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (BodyKind.JSON, ("error", "message")),
        (BodyKind.DETAIL, ("detail",)),
        (BodyKind.LIST, (0, "error", "message")),
        (BodyKind.GEMINI, ("error", "message")),
        (BodyKind.OPENROUTER, ("error", "message")),
        (BodyKind.MESSAGES, ("error", "message")),
    ],
)
def test_an_error_has_the_form_of_its_provider(body, path):
    play = play_of(Fault(FaultKind.STATUS, status=429, body=body, message="Not now"))
    value = value_of(play)
    for step in path:
        value = value[step]
    assert (play.status, value, play.end_s, play.first_s) == (429, "Not now", 0.0, None)


def test_a_page_nothing_and_any_text_may_stand_in_for_an_error():
    page = play_of(Fault(FaultKind.STATUS, status=524, body=BodyKind.HTML))
    assert (page.headers["content-type"], bytes_of(page)[:6]) == ("text/html", b"<html>")
    assert bytes_of(play_of(Fault(FaultKind.STATUS, status=429, body=BodyKind.EMPTY))) == b""
    assert bytes_of(play_of(Fault(FaultKind.STATUS, status=500, raw="upstream gone"))) == b"upstream gone"


def test_gemini_names_its_quota_and_a_delay():
    fault = Fault(FaultKind.STATUS, status=429, body=BodyKind.GEMINI, code="GenerateRequestsPerDay", retry_after_s=48.0)
    error = value_of(play_of(fault))["error"]
    assert [detail["@type"].rpartition(".")[2] for detail in error["details"]] == ["QuotaFailure", "RetryInfo"]
    assert error["details"][0]["violations"] == [{"quotaId": "GenerateRequestsPerDay"}]
    assert error["details"][1]["retryDelay"] == "48s"


@pytest.mark.parametrize(("status", "key"), [(402, "limit_source"), (403, "reasons"), (502, "error_type")])
def test_openrouter_says_more_in_its_metadata(status, key):
    assert (
        key in value_of(play_of(Fault(FaultKind.STATUS, status=status, body=BodyKind.OPENROUTER)))["error"]["metadata"]
    )


def test_retry_after_comes_in_all_forms():
    def headers(form, seconds=2.5):
        fault = Fault(FaultKind.STATUS, status=429, retry_after_s=seconds, retry_after_form=form)
        return play_of(fault).headers

    assert headers(RetryAfterForm.SECONDS)["retry-after"] == "2.5"
    assert headers(RetryAfterForm.MS)["retry-after-ms"] == "2500"
    dated = headers(RetryAfterForm.DATE, 90.0)
    assert (dated["date"], dated["retry-after"]) == ("Thu, 09 Oct 2025 08:53:20 GMT", "Thu, 09 Oct 2025 08:54:50 GMT")
    odd = "retry-after: nan\nRetry-After: -3\nx-ratelimit-reset-tokens: 6m0s"
    more = play_of(Fault(FaultKind.STATUS, status=429, headers=odd)).headers
    assert (more["retry-after"], more["x-ratelimit-reset-tokens"]) == ("nan\n-3", "6m0s")


def test_a_key_may_be_repeated_in_message_and_headers():
    fault = Fault(FaultKind.STATUS, status=401, message="Wrong key: {key}", headers="x-key: {key}")
    play = play_of(fault, key="sk-canary")
    assert (value_of(play)["error"]["message"], play.headers["x-key"]) == ("Wrong key: sk-canary", "sk-canary")


def test_a_redirect_names_another_place():
    play = play_of(Fault(FaultKind.STATUS, status=302, headers="location: http://elsewhere/"))
    assert (play.status, play.headers["location"]) == (302, "http://elsewhere/")


# --- connections -----------------------------------------------------------------------------------------------------


def test_a_hang_is_silence_for_ever_and_costs_nothing():
    got = behaviour(fault=Fault(FaultKind.HANG))
    assert (got.play, got.tokens_out, got.fault) == (SILENCE, None, FaultKind.HANG)


@pytest.mark.parametrize("stream", [False, True])
def test_a_hang_may_come_after_the_head(stream):
    play = play_of(Fault(FaultKind.HANG, form="head"), stream=stream)
    assert (play.status, play.scenes, play.end) == (200, ((8.0, b""),), End.HANG)


def test_a_stream_may_stall_for_ever_or_for_a_time():
    for_ever = play_of(Fault(FaultKind.HANG, after_chunks=2), stream=True)
    assert [round(moment.at_s, 3) for moment in moments(for_ever)] == [8.0, 8.8]
    assert (for_ever.end, for_ever.end_s) == (End.HANG, math.inf)
    got = play_of(Fault(FaultKind.HANG, after_chunks=2, for_s=300.0), stream=True)
    assert [round(moment.at_s, 3) for moment in moments(got)] == [8.0, 8.8, 309.6, 310.4, 311.2, 312.0]
    assert text_of(got) == text_of(play_of(stream=True))


def test_a_late_start_is_late_as_a_whole():
    got = play_of(Fault(FaultKind.HANG, for_s=60.0), stream=True)
    assert (got.first_s, got.end_s, got.drip) == (68.0, 72.0, None)


def test_a_stall_may_be_filled_with_keep_alives():
    got = play_of(Fault(FaultKind.HANG, after_chunks=2, for_s=5.0, every_s=2.0), stream=True)
    drops = [moment.at_s for moment in moments(got) if moment.data == b": keep-alive\n\n"]
    assert drops == pytest.approx([10.8, 12.8])


@pytest.mark.parametrize(("stream", "drop"), [(False, b"\n"), (True, b": keep-alive\n\n")])
def test_a_drip_is_nothing_but_keep_alives(stream, drop):
    never = moments(play_of(Fault(FaultKind.DRIP, every_s=2.0), stream=stream))
    assert [next(never) for _ in range(1000)] == [(2.0 * number, drop) for number in range(1, 1001)]


@pytest.mark.parametrize(
    ("end", "way", "billed"),
    [
        (Ending.CLOSE, End.CLOSE, None),
        (Ending.RESET, End.RESET, None),
        (Ending.CLEAN, End.WHOLE, None),
        (Ending.ANSWER, End.WHOLE, 40),
    ],
)
def test_a_drip_may_end(end, way, billed):
    got = behaviour(fault=Fault(FaultKind.DRIP, for_s=60.0, every_s=10.0, end=end))
    assert (got.play.end, got.tokens_out) == (way, billed)
    assert [moment.at_s for moment in moments(got.play)][:5] == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert got.play.end_s == (64.0 if billed else 60.0)
    assert not billed or b"[[id:7]]" in bytes_of(got.play)


@pytest.mark.parametrize(("end", "way"), [(Ending.CLOSE, End.CLOSE), (Ending.RESET, End.RESET)])
def test_a_disconnect_comes_without_a_byte_when_the_answer_would_have_come(end, way):
    got = behaviour(fault=Fault(FaultKind.DISCONNECT, end=end))
    assert (got.play.status, got.play.scenes, got.play.end, got.play.end_s) == (0, (), way, 12.0)


@pytest.mark.parametrize(
    ("end", "way"), [(Ending.CLOSE, End.CLOSE), (Ending.RESET, End.RESET), (Ending.CLEAN, End.WHOLE)]
)
def test_a_cut_breaks_a_stream_off_after_so_many_pieces(end, way):
    got = behaviour(fault=Fault(FaultKind.CUT, after_chunks=3, end=end), stream=True)
    assert (got.play.end, got.play.end_s, got.tokens_out) == (way, pytest.approx(10.4), 40)
    assert len([choice for choice in deltas_of(got.play) if choice["delta"].get("content")]) == 3
    assert all(choice["finish_reason"] is None for choice in deltas_of(got.play))


def test_a_cut_after_the_last_piece_still_lacks_its_finish_reason():
    play = play_of(Fault(FaultKind.CUT, after_chunks=999), stream=True)
    assert text_of(play) == text_of(play_of(stream=True))
    assert b'"stop"' not in bytes_of(play)


def test_a_stream_may_say_that_it_is_done_without_a_finish_reason():
    play = play_of(Fault(FaultKind.CUT, end=Ending.DONE), stream=True)
    assert bytes_of(play).endswith(b"data: [DONE]\n\n")
    assert b'"stop"' not in bytes_of(play)
    assert "finish_reason" not in value_of(play_of(Fault(FaultKind.CUT, end=Ending.DONE)))["choices"][0]


def test_a_cut_of_a_whole_reply_sends_less_than_it_announces_unless_it_ends_cleanly():
    cut, clean = (play_of(Fault(FaultKind.CUT, end=end)) for end in (Ending.CLOSE, Ending.CLEAN))
    assert 0 < len(bytes_of(cut)) < cut.length
    assert len(bytes_of(clean)) == clean.length == len(bytes_of(cut))


def test_a_server_may_close_a_connection_that_it_has_promised_to_keep():
    assert (play_of().idle_s, play_of(Fault(FaultKind.STALE, idle_s=5.0)).idle_s) == (None, 5.0)


@pytest.mark.parametrize(
    ("fault", "first_s", "end_s"),
    [(Fault(FaultKind.SLOW, factor=20.0), 160.0, 240.0), (Fault(FaultKind.SLOW, token_s=20.0), 8.0, 808.0)],
)
def test_a_slow_answer_is_whole(fault, first_s, end_s):
    play = play_of(fault, stream=True)
    assert (play.first_s, play.end_s, text_of(play)) == (first_s, end_s, text_of(play_of(stream=True)))


@pytest.mark.parametrize("stream", [False, True])
def test_a_split_answer_is_the_same_in_many_writes(stream):
    split = play_of(Fault(FaultKind.SPLIT, size_bytes=3), stream=stream)
    assert bytes_of(split) == bytes_of(play_of(stream=stream))
    assert max(len(moment.data) for moment in moments(split)) == 3


def test_a_fault_shows_when_the_law_says():
    assert play_of(Fault(FaultKind.STATUS, status=500, after_s=4.0)).end_s == 4.0
    assert play_of(Fault(FaultKind.UNREACHABLE, after_s=4.0)).end_s == 4.0
    assert play_of(Fault(FaultKind.EMPTY, after_s=4.0), stream=True).end_s == 4.0


# --- replies that are none, or that no reader expects ----------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_garbled_bytes_are_no_answer(stream):
    half = bytes_of(play_of(Fault(FaultKind.GARBLED), stream=stream))
    with pytest.raises(json.JSONDecodeError):
        json.loads(half) if not stream else events_of(play_of(Fault(FaultKind.GARBLED), stream=True))
    page = play_of(Fault(FaultKind.GARBLED, body=BodyKind.HTML), stream=stream)
    assert (page.status, page.headers["content-type"]) == (200, "text/html")
    assert bytes_of(play_of(Fault(FaultKind.GARBLED, body=BodyKind.EMPTY), stream=stream)) == b""
    assert bytes_of(play_of(Fault(FaultKind.GARBLED, raw="data: {\n\n"), stream=stream)) == b"data: {\n\n"


@pytest.mark.parametrize(("form", "choices"), [("data", "absent"), ("null", None), ("empty", [])])
@pytest.mark.parametrize(("code", "told"), [("", 429), ("429", "429")])
def test_a_success_may_hold_an_error(form, choices, code, told):
    play = play_of(Fault(FaultKind.ERROR, form=form, status=429, code=code, message="Sorry"))
    value = value_of(play)
    assert (play.status, value.get("choices", "absent"), value["error"]["code"]) == (200, choices, told)
    assert value["error"]["metadata"]["raw"] == "Sorry"


@pytest.mark.parametrize("form", FORMS[FaultKind.ERROR])
def test_an_error_may_come_in_the_middle_of_a_stream(form):
    got = behaviour(fault=Fault(FaultKind.ERROR, form=form, after_chunks=2, status=503), stream=True)
    events = events_of(got.play)
    assert (len(events), events[-1]["error"]["code"], got.tokens_out) == (4, 503, None)
    assert (b"event: error\n" in bytes_of(got.play)) is (form == "event")
    assert form != "finish" or events[-1]["choices"][0]["finish_reason"] == "error"
    assert got.play.end_s == pytest.approx(9.6)


def test_an_error_in_a_stream_of_messages_is_an_event_of_its_own():
    play = play_of(Fault(FaultKind.ERROR, status=529, after_chunks=2), stream=True, path=MESSAGES)
    assert events_of(play)[-1] == {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize("form", [form for form in FORMS[FaultKind.STREAM] if form != "long_line"])
@pytest.mark.parametrize("path", [CHAT, MESSAGES])
def test_an_oddly_formed_stream_holds_the_same_text(form, path):
    play = play_of(Fault(FaultKind.STREAM, form=form), stream=True, path=path)
    text = text_of(play_of(stream=True, path=path))
    assert text_of(play) == text
    usual = play_of(stream=True, path=path)
    assert (form == "terminal" and path == MESSAGES) or bytes_of(play) != bytes_of(usual)


def test_odd_forms_are_as_odd_as_they_say():
    def odd(form):
        return play_of(Fault(FaultKind.STREAM, form=form), stream=True)

    assert [choice["finish_reason"] for choice in deltas_of(odd("two_finishes"))].count("stop") == 2
    assert [choice["delta"] for choice in deltas_of(odd("duplicate"))].count({"role": "assistant", "content": ""}) == 2
    assert deltas_of(odd("terminal"))[-1]["message"]["content"] == text_of(odd("terminal"))
    assert b"\n" not in bytes_of(odd("crlf")).replace(b"\r\n", b"")
    assert b"\n" not in bytes_of(odd("cr"))
    assert b"data: " not in bytes_of(odd("no_space"))
    assert "role" not in deltas_of(odd("order"))[0]["delta"]
    assert deltas_of(odd("order"))[-1]["delta"]["content"]
    assert odd("whole").headers["content-type"] == "application/json"


def test_a_line_may_be_very_long():
    play = play_of(Fault(FaultKind.STREAM, form="long_line"), stream=True)
    assert max(map(len, bytes_of(play).split(b"\n"))) > 1 << 20
    assert text_of(play) == text_of(play_of(stream=True))


def test_json_may_be_nested_too_deep():
    assert b"[" * 5000 + b"]" * 5000 in bytes_of(play_of(Fault(FaultKind.DEEP, depth=5000)))
    assert bytes_of(play_of(Fault(FaultKind.DEEP, depth=50), stream=True)).startswith(b"data: {")


def test_a_bomb_is_small_until_it_is_unpacked():
    play = play_of(Fault(FaultKind.BOMB, size_bytes=10_000_001))
    assert len(bytes_of(play)) < 20_000
    assert len(gzip.decompress(bytes_of(play))) == 10_000_001


def test_a_huge_stream_comes_in_a_bounded_number_of_pieces():
    play = play_of(Fault(FaultKind.HUGE, size_bytes=1_000_000), stream=True)
    assert len(text_of(play)) == 1_000_000
    assert len(play.scenes) < 20_000


# --- answers of no use -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "content"), [("text", ""), ("null", None), ("absent", "no such field")])
def test_an_answer_may_be_empty(form, content):
    got = behaviour(fault=Fault(FaultKind.EMPTY, form=form))
    assert (message_of(got.play).get("content", "no such field"), got.tokens_out) == (content, 40)
    assert text_of(play_of(Fault(FaultKind.EMPTY, form=form), stream=True)) == ""


@pytest.mark.parametrize("finish", ["length", "stop"])
def test_an_answer_may_be_nothing_but_thinking(finish):
    got = behaviour(fault=Fault(FaultKind.THINK, finish=finish), max_tokens=100)
    choice = value_of(got.play)["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, "")
    assert len(choice["message"]["reasoning_content"]) > 100
    assert got.tokens_out == got.reasoning == (100 if finish == "length" else 40)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_may_be_whitespace_until_its_room_is_used_up(stream):
    got = behaviour(fault=Fault(FaultKind.WHITESPACE), max_tokens=600, stream=stream)
    assert (got.tokens_out, text_of(got.play).strip(), len(text_of(got.play))) == (600, "", 2400)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("period", [1, 7, 200])
@pytest.mark.parametrize(("form", "name"), [("content", "content"), ("reasoning", "reasoning_content")])
def test_an_answer_may_repeat_itself(form, name, period, stream):
    fault = Fault(FaultKind.LOOP, form=form, period=period, size_bytes=9000)
    text = text_of(play_of(fault, stream=stream), name)
    assert len(text) == 9000
    assert text[2000:-period] == text[2000 + period :]
    assert len(set(text[2000 : 2000 + period])) > 1 or period == 1


def test_a_loop_may_vary_and_fills_the_room_that_it_has():
    text = text_of(play_of(Fault(FaultKind.LOOP, form="near"), max_tokens=500))
    assert len(text) == 2000
    assert not any(text[1000:-period] == text[1000 + period :] for period in range(1, 200))


@pytest.mark.parametrize("finish", ["", "eos", "error", "insufficient_system_resource", "null", "missing"])
def test_an_answer_may_end_by_any_reason(finish):
    whole, last = (
        value_of(play_of(Fault(FaultKind.FINISH, finish=finish)))["choices"][0],
        deltas_of(play_of(Fault(FaultKind.FINISH, finish=finish), stream=True))[-1],
    )
    expected = {"null": None, "missing": "no such field"}.get(finish, finish)
    assert whole.get("finish_reason", "no such field") == last.get("finish_reason", "no such field") == expected
    assert 0 < len(whole["message"]["content"]) < len(message_of(play_of())["content"])


def test_a_model_may_refuse_in_a_field_or_in_words():
    field = message_of(play_of(Fault(FaultKind.REFUSAL)))
    assert field["content"] is None
    assert "can't help" in field["refusal"]
    assert "can't help" in text_of(play_of(Fault(FaultKind.REFUSAL), stream=True), "refusal")
    assert "can't help" in message_of(play_of(Fault(FaultKind.REFUSAL, form="text")))["content"]


@pytest.mark.parametrize("kind", list(ReplyKind))
@pytest.mark.parametrize("form", FORMS[FaultKind.SPOILED])
def test_json_may_be_spoiled(form, kind):
    law = replace(PACED, reply=ReplyLaw(kind))
    text = message_of(play_of(Fault(FaultKind.SPOILED, form=form), law))["content"]
    if form == "double_encoded":
        assert isinstance(json.loads(json.loads(text)), dict)
    elif form == "nan":
        assert math.isnan(json.loads(text)["more"])
    else:
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


@pytest.mark.parametrize(
    ("form", "told", "untold"),
    [
        ("deepseek", "prompt_cache_hit_tokens", "prompt_tokens_details"),
        ("openai", "prompt_tokens_details", "prompt_cache_hit_tokens"),
        ("messages", "cache_read_input_tokens", "prompt_tokens_details"),
    ],
)
def test_cached_tokens_have_three_names(form, told, untold):
    usage = value_of(play_of(Fault(FaultKind.USAGE, form=form), cached=2))["usage"]
    assert told in usage
    assert untold not in usage


def test_usage_may_be_absent_null_zero_or_late():
    def usage(form):
        return value_of(play_of(Fault(FaultKind.USAGE, form=form))).get("usage", "no such field")

    assert (usage("absent"), usage("null")) == ("no such field", None)
    assert (usage("zero")["prompt_tokens"], usage("zero")["completion_tokens"]) == (0, 0)
    late = events_of(play_of(Fault(FaultKind.USAGE, form="late"), stream=True))[-1]
    assert (late["choices"], late["usage"]["completion_tokens"]) == ([], 40)


def test_another_model_may_say_that_it_answered():
    fault = Fault(FaultKind.MODEL, model="m-2", from_s=60.0)
    assert [value_of(play_of(fault, since_s=since))["model"] for since in (0.0, 60.0)] == ["m", "m-2"]


@pytest.mark.parametrize(("marker", "told"), [("8", "[[id:8]]"), ("", "[[id:7-of-another]]")])
def test_an_answer_may_be_that_of_another(marker, told):
    text = text_of(play_of(Fault(FaultKind.MIXED, marker=marker)))
    assert told in text
    assert "[[id:7]]" not in text


# --- the law file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [field.name for field in fields(Fault)])
def test_every_key_of_a_fault_is_explained(key):
    assert re.search(rf"^    {key} =", faultlaw.__doc__, re.MULTILINE)


@pytest.mark.parametrize("kind", list(FaultKind))
def test_every_kind_and_form_is_explained_and_can_be_written(kind):
    needed = {FaultKind.STATUS: "status = 500", FaultKind.HUGE: "size_bytes = 10"}.get(kind, "")
    for form in FORMS.get(kind, ("",)):
        assert form in faultlaw.__doc__
        law = read_law(f'[[faults]]\nkind = "{kind}"\n{needed}\nform = "{form}"', "law")
        for stream in (False, True):
            got = behaviour(law, stream=stream)
            assert got.fault in {kind, None if kind is FaultKind.REJECT else kind}
    assert f'kind = "{kind}"' in faultlaw.__doc__


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ('kind = "empty"\nform = "reset"', "must be one of text, null, absent"),
        ('kind = "cut"\nend = "answer"', "must be one of clean, close, done, reset"),
        ('kind = "hang"\nfrom_s = 9\nuntil_s = 9', "must be later than from_s"),
        ('kind = "garbled"\nbody = "gemini"', "must be one of json, html, empty"),
        ('kind = "status"\nstatus = 200', "from 300 up"),
        ('kind = "empty"\nidle_s = 3', "means nothing for the kind 'empty'"),
    ],
)
def test_what_makes_no_sense_is_refused(keys, what):
    with pytest.raises(TaskFileError, match=what):
        read_law(f"[[faults]]\n{keys}", "law")
