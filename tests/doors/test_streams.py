"""Event streams: every shape of the catalogue in bytes, and what it amounts to; texts that go round in circles."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepswarm.core.errors import (
    CallError,
    Cut,
    Declined,
    Empty,
    Garbled,
    Looping,
    OutOfFunds,
    Overloaded,
    ServerFault,
    Starved,
    Throttled,
    Truncated,
)
from deepswarm.core.records import HttpReply, Usage
from deepswarm.dialects.assembling import ChatAssembler
from deepswarm.dialects.loops import BLANKS, LONGEST, LOOPED, STEP, Repeating, Text, period, repetition
from deepswarm.dialects.messages_stream import MessagesAssembler
from deepswarm.dialects.openai_chat import decode

briefly = settings(deadline=None, max_examples=60)
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4}


def event(value):
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta=None, finish=None, **beside):
    choice = {"index": 0, "delta": {} if delta is None else delta, "logprobs": None, "finish_reason": finish}
    return event({"id": "c-1", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **beside})


def text(piece, **more):
    return chunk({"content": piece, **more})


def amount(*parts):
    """The body that the parts of a stream amount to."""
    assembler = ChatAssembler()
    for part in parts:
        assembler.feed(part)
    return assembler.body()


def answer(*parts):
    return decode(HttpReply(200, {}, amount(*parts)))


def failure(*parts):
    with pytest.raises(CallError) as caught:
        answer(*parts)
    return caught.value


ROLE = chunk({"role": "assistant", "content": ""})
HELLO = [text("Hel"), text("lo")]
STOP = chunk(finish="stop")
LATE_USAGE = event({"id": "c-1", "model": "m", "choices": [], "usage": USAGE})
WHOLE = {"message": {"role": "assistant", "content": "Hello"}, "index": 0, "finish_reason": "stop"}


# --- shapes that are whole answers -----------------------------------------------------------------------------------

GOOD = {
    "plain": [ROLE, *HELLO, STOP, LATE_USAGE, DONE],
    "no [DONE]": [ROLE, *HELLO, STOP],
    "no role": [*HELLO, STOP, DONE],
    "a role in every chunk": [text("Hel", role="assistant"), text("lo", role="assistant"), STOP, DONE],
    "finish with the last text": [text("Hel"), chunk({"content": "lo"}, "stop"), DONE],
    "two finish chunks": [*HELLO, STOP, STOP, DONE],
    "two finish chunks with text": [text("Hel"), *[chunk({"content": "lo"}, "stop")] * 2, DONE],
    "a finish chunk, then one with usage": [*HELLO, STOP, chunk(finish="stop", usage=USAGE), DONE],
    "usage null in each": [chunk({"content": "Hel"}, usage=None), chunk({"content": "lo"}, usage=None), STOP, DONE],
    "a terminal chunk with the message": [*HELLO, event({"model": "m", "choices": [WHOLE]}), DONE],
    "a terminal chunk with message and delta": [*HELLO, event({"choices": [{**WHOLE, "delta": {}}]}), DONE],
    "nothing but a terminal message": [event({"model": "m", "choices": [WHOLE]}), DONE],
    "a terminal message that knows more": [text("Hel"), event({"choices": [WHOLE]}), DONE],
    "empty deltas": [ROLE, text(""), text("Hel"), chunk({"content": None}), text("lo"), text(""), STOP, DONE],
    "empty finish reasons": [chunk({"content": "Hel"}, ""), chunk({"content": "lo"}, ""), STOP, DONE],
    "comments between": [b": keep-alive\n\n", *HELLO, b": OPENROUTER PROCESSING\n\n", STOP, b":\n\n", DONE],
    "names, numbers and times": [b"event: message\nid: 1\nretry: 10\n" + HELLO[0], HELLO[1], STOP, DONE],
    "no space after the colon": [part.replace(b"data: ", b"data:") for part in (*HELLO, STOP, DONE)],
    "CRLF": [part.replace(b"\n", b"\r\n") for part in (*HELLO, STOP, DONE)],
    "lone CR": [part.replace(b"\n", b"\r") for part in (*HELLO, STOP, DONE)],
    "one line feed between events": [part[:-1] for part in (*HELLO, STOP, DONE)],
    "blank lines": [b"\n\n", *HELLO, b"\n\n\n", STOP, b"\n", DONE],
    "a byte order mark": [b"\xef\xbb\xbf" + HELLO[0], HELLO[1], STOP, DONE],
    "spaces after [DONE]": [*HELLO, STOP, b"data: [DONE] \n\n"],
    "no end of the last line": [*HELLO, STOP[:-2]],
    "an event in several lines": [HELLO[0].replace(b', "choices"', b',\ndata: "choices"'), HELLO[1], STOP, DONE],
    "all in one segment": [b"".join([*HELLO, STOP, DONE])],
    "an end that was cut": [*HELLO, STOP, DONE[:9]],
    "garbage after the end of the answer": [*HELLO, STOP, b"data: {oops\n\n", DONE],
    "anything after [DONE]": [*HELLO, STOP, DONE, text("more"), event({"error": {"code": 500}})],
    "a whole body instead of events": [json.dumps({"model": "m", "choices": [WHOLE]}).encode()],
    "a whole body on several lines": [json.dumps({"model": "m", "choices": [WHOLE]}, indent=1).encode()],
    "values that are no chunks": [event(7), event([]), event(None), event({}), *HELLO, event("x"), STOP, DONE],
    "odd chunks": [event({"choices": 7}), event({"choices": [7, None, []]}), *HELLO, STOP, DONE],
    "a delta that is none": [chunk([1]), event({"choices": [{"index": 0, "delta": None}]}), *HELLO, STOP, DONE],
}


@pytest.mark.parametrize("parts", GOOD.values(), ids=GOOD)
def test_a_stream_of_this_shape_is_the_whole_answer(parts):
    reply = answer(*parts)
    assert (reply.text, reply.finish_reason) == ("Hello", "stop")
    stream = b"".join(parts)
    assert answer(*(stream[at : at + 1] for at in range(len(stream)))) == reply


def test_usage_counts_wherever_it_comes():
    for parts in ([*HELLO, STOP, LATE_USAGE, DONE], [*HELLO, chunk(finish="stop", usage=USAGE), DONE]):
        assert answer(*parts).usage == Usage(3, 4)
    assert answer(*HELLO, STOP, DONE).usage == Usage()


def test_thinking_and_answer_are_told_apart_however_they_are_mixed():
    for name in ("reasoning_content", "reasoning"):
        parts = [{name: "hm"}, {name: ", ", "content": "Hel"}, {name: "so"}, {"content": "lo", name: None}]
        reply = answer(*map(chunk, parts), STOP, DONE)
        assert (reply.text, reply.reasoning) == ("Hello", "hm, so")


def test_pieces_that_repeat_themselves_are_kept():
    assert answer(*[text("ha")] * 7, STOP, DONE).text == "ha" * 7
    assert answer(*[text("6")] * 3, STOP, DONE).text == "666"
    assert answer(text("no"), chunk({"content": "no"}, "stop"), DONE).text == "nono"


def test_a_terminal_message_that_says_otherwise_does_not_replace_the_pieces():
    other = {**WHOLE, "message": {"content": "Goodbye, all of you"}}
    assert answer(*HELLO, event({"choices": [other]}), DONE).text == "Hello"


def test_a_line_of_a_megabyte_is_a_line():
    long = "".join(chr(0x4E00 + n % 5000) for n in range(400_000))
    assert len(text(long)) > 1 << 20
    stream = text(long) + STOP + DONE
    cuts = range(0, len(stream), 1500)
    assert answer(*(stream[at : at + 1500] for at in cuts)).text == long


def test_letters_may_be_split_in_the_middle():
    stream = b'data: {"choices":[{"index":0,"delta":{"content":"\xf0\x9f\x90\x8b\xc3\xbc"}}]}\n\n' + STOP + DONE
    for at in range(len(stream)):
        assert answer(stream[:at], stream[at:]).text == "🐋ü"


def test_calls_of_tools_are_put_together_by_index():
    def part(index, **call):
        return chunk({"tool_calls": [{"index": index, **call}]})

    body = json.loads(
        amount(
            part(0, id="a", type="function", function={"name": "look", "arguments": ""}),
            part(1, id="b", type="function", function={"name": "go", "arguments": '{"to"'}),
            part(0, function={"arguments": '{"at": '}),
            part(1, function={"arguments": ": 1}"}),
            part(0, id=None, function={"name": None, "arguments": "2}"}),
            chunk(finish="tool_calls"),
            DONE,
        )
    )
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["type"], call["function"]) for call in calls] == [
        ("a", "function", {"name": "look", "arguments": '{"at": 2}'}),
        ("b", "function", {"name": "go", "arguments": '{"to": 1}'}),
    ]
    assert decode(HttpReply(200, {}, json.dumps(body).encode())).text == ""


def test_calls_of_tools_without_an_index_are_told_apart_by_their_id():
    first = chunk({"tool_calls": [{"id": "a", "function": {"name": "x", "arguments": "{"}}]})
    more = chunk({"tool_calls": [{"function": {"arguments": "}"}}]})
    second = chunk({"tool_calls": [{"id": "b", "function": {"name": "y", "arguments": "[]"}}]})
    body = json.loads(amount(first, more, second, chunk(finish="tool_calls"), DONE))
    calls = body["choices"][0]["message"]["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", "[]"]


def test_log_probabilities_and_what_else_a_choice_has_are_kept():
    choice = {"index": 0, "delta": {"content": "a"}, "logprobs": {"content": [{"token": "a"}]}}
    last = {"index": 0, "delta": {"content": "b"}, "logprobs": {"content": [{"token": "b"}]}, "finish_reason": "stop"}
    parts = [event({"provider": "p", "choices": [choice]}), event({"choices": [{**last, "stop_reason": 7}]}), DONE]
    body = json.loads(amount(*parts))
    assert body["provider"] == "p"
    assert body["choices"][0]["logprobs"] == {"content": [{"token": "a"}, {"token": "b"}]}
    assert body["choices"][0]["stop_reason"] == 7


def test_several_answers_stay_apart():
    parts = [event({"choices": [{"index": n % 2, "delta": {"content": f"{n}"}}]}) for n in range(6)]
    body = json.loads(amount(*parts, DONE))
    assert [choice["message"]["content"] for choice in body["choices"]] == ["024", "135"]
    assert [choice["index"] for choice in body["choices"]] == [0, 1]


# --- shapes that are none --------------------------------------------------------------------------------------------

BAD = {
    "an end without a finish reason": ([ROLE, *HELLO], Cut, True),
    "the same with usage": ([*HELLO, LATE_USAGE], Cut, True),
    "[DONE] without a finish reason": ([*HELLO, DONE], Cut, True),
    "an event that was cut": ([*HELLO, STOP[:-20]], Cut, True),
    "an event that cannot be read": ([HELLO[0], b"data: {oops\n\n", HELLO[1], STOP, DONE], Cut, True),
    "bytes that are no letters": ([HELLO[0], HELLO[1].replace(b"lo", b"\xff"), STOP, DONE], Cut, True),
    "only [DONE]": ([DONE], Garbled, True),
    "nothing": ([], Garbled, True),
    "only comments": ([b": keep-alive\n\n"] * 3, Overloaded, True),
    "only blank lines": ([b"\n"] * 3, Overloaded, True),
    "only a role": ([ROLE, STOP, DONE], Empty, True),
    "only thinking": ([chunk({"reasoning_content": "hm"}), STOP, DONE], Starved, True),
    "thinking until the limit": ([chunk({"reasoning": "hm"}), chunk(finish="length"), DONE], Starved, True),
    "text until the limit": ([*HELLO, chunk(finish="length"), DONE], Truncated, True),
    "filtered": ([*HELLO, chunk(finish="content_filter"), DONE], Declined, True),
    "short of resources": ([*HELLO, chunk(finish="insufficient_system_resource"), DONE], Overloaded, True),
    "an odd end": ([*HELLO, chunk(finish="abort"), DONE], Garbled, True),
    "an error at once": ([event({"error": {"code": 429, "message": "slow"}})], Throttled, False),
    "an error of money at once": ([event({"error": {"code": 402, "message": "no"}})], OutOfFunds, False),
    "an error in between": ([*HELLO, event({"error": {"message": "x", "type": "server_error"}})], ServerFault, True),
    "an error of capacity in between": ([*HELLO, event({"error": {"code": "503"}})], Overloaded, True),
    "an error, then the end": ([*HELLO, event({"error": {"code": 500}}), STOP, DONE], ServerFault, True),
    "an event named error": ([*HELLO, b"event: error\n" + event({"error": {"code": 429}})], Throttled, True),
    "an event named error, bare": ([*HELLO, b"event: error\n" + event({"code": 429, "message": "x"})], Throttled, True),
    "an event named error, in words": ([*HELLO, b"event: error\ndata: upstream went away\n\n"], Garbled, True),
    "a finish of error with its reason": (
        [*HELLO, chunk({"content": ""}, "error", error={"code": 502, "message": "Provider disconnected"})],
        ServerFault,
        True,
    ),
    "a finish of error with its reason beside": (
        [event({"choices": [{"index": 0, "delta": {}, "finish_reason": "error", "error": {"code": 429}}]}), DONE],
        Throttled,
        False,
    ),
    "a finish of error without a reason": ([*HELLO, chunk(finish="error"), DONE], ServerFault, True),
    "an error that is no event": ([*HELLO, b'{"error": {"code": 503, "message": "x"}}\n'], Overloaded, True),
    "an error instead of events": ([b'{"error": {"code": 429, "message": "x"}}'], Throttled, False),
    "a page instead of events": ([b"<!DOCTYPE html>\n<html>data: x</html>\n"], Garbled, True),
    "garbage instead of events": ([b"\x00\xff\n\n\x01"], Garbled, True),
}


@pytest.mark.parametrize(("parts", "kind", "billed"), BAD.values(), ids=BAD)
def test_a_stream_of_this_shape_is_never_an_answer(parts, kind, billed):
    caught = failure(*parts)
    assert (type(caught), caught.maybe_billed) == (kind, billed)
    stream = b"".join(parts)
    assert type(failure(*(stream[at : at + 1] for at in range(len(stream))))) is kind


def test_the_words_of_an_error_in_a_stream_are_kept():
    assert "upstream went away" in str(failure(*HELLO, b"event: error\ndata: upstream went away\n\n"))
    assert "Provider disconnected" in str(failure(event({"error": {"message": "Provider disconnected"}})))


def test_a_stream_says_when_it_is_at_its_end():
    for last in (DONE, event({"error": {"code": 500}})):
        assembler = ChatAssembler()
        for part in (ROLE, *HELLO, STOP, LATE_USAGE):
            assembler.feed(part)
            assert not assembler.done
        assembler.feed(last)
        assert assembler.done
        assert not assembler.feed(text("more"))


def test_only_content_is_progress():
    assembler = ChatAssembler()
    for nothing in (b"", b"\n", b": keep-alive\n\n", ROLE, text(""), chunk({"content": None}), chunk(usage=USAGE)):
        assert not assembler.feed(nothing)
    for something in (text("a"), text(" "), chunk({"reasoning_content": "a"}), chunk({"refusal": "no"})):
        assert assembler.feed(something)
    assert assembler.feed(chunk({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}))
    assert assembler.feed(b": a comment\n\n" + text("a") + b": another\n\n")
    assert not assembler.feed(text("b")[:-20])
    assert assembler.feed(text("b")[-20:])
    assert not assembler.feed(STOP)
    assert not assembler.feed(LATE_USAGE)
    assert not assembler.feed(DONE)


def test_the_body_may_be_asked_for_at_any_time_and_again():
    assembler = ChatAssembler()
    for part in (ROLE, *HELLO):
        assembler.feed(part)
    assert assembler.body() == assembler.body()
    assert json.loads(assembler.body())["choices"][0]["finish_reason"] is None


def test_what_is_nested_too_deeply_to_be_written_is_an_error():
    deep = b'data: {"choices": [], "deep": ' + b"[" * 1000 + b"]" * 1000 + b"}\n\n"
    assert type(failure(*HELLO, deep, STOP, DONE)) in {Garbled, Cut}


@given(st.lists(st.sampled_from([*HELLO, ROLE, STOP, DONE, LATE_USAGE, b": x\n\n"]) | st.binary(max_size=9)), st.data())
@briefly
def test_broken_streams_amount_to_the_same_however_they_are_split(parts, data):
    stream = b"".join(parts)
    cut = data.draw(st.integers(0, len(stream)))
    expected = amount(stream)
    assert amount(stream[:cut], stream[cut:]) == expected
    assert amount(*(stream[at : at + 1] for at in range(len(stream)))) == expected


def test_the_messages_api_is_put_together_block_by_block():
    assembler = MessagesAssembler()
    events = [
        {"type": "message_start", "message": {"id": "m-1", "model": "m", "usage": {"input_tokens": 3}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Hel"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "input": {}}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": '{"a": '}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "1}"}},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]
    came = [assembler.feed(event(value)) for value in events]
    assert came == [False, True, True, False, True, True, False, False]
    assert json.loads(assembler.body()) == {
        "id": "m-1",
        "model": "m",
        "type": "message",
        "content": [{"type": "text", "text": "Hello"}, {"type": "tool_use", "id": "t", "input": {"a": 1}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 9},
    }
    assert assembler.done


# --- texts that go round in circles ----------------------------------------------------------------------------------


def until_it_repeats(pieces):
    """How many characters were taken before it was noticed; None when it never was."""
    watched = Text()
    try:
        for piece in pieces:
            watched.add(piece)
    except Repeating:
        return watched.size
    return None


def a_unit(size, seed=1):
    """So many characters without a shorter period."""
    chance = random.Random(seed)
    return "".join(chance.choice("abcdefghij klmnop") for _ in range(size - 1)) + "#"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 199, 200])
@pytest.mark.parametrize("width", [1, 4, 37, 5000])
def test_a_loop_is_noticed_before_its_two_thousandth_token(size, width):
    before, unit = a_unit(3001, 2), a_unit(size)
    looped = before + unit * (20_000 // size)
    taken = until_it_repeats(looped[at : at + width] for at in range(0, len(looped), width))
    assert taken is not None
    assert LOOPED <= taken - len(before) + size <= LOOPED + STEP + width + size
    assert LOOPED + STEP <= 8000


@pytest.mark.parametrize("size", [1, 3, 50, 200])
def test_a_repetition_that_is_shorter_is_none(size):
    unit = a_unit(size)
    text_ = a_unit(5000, 3) + unit * ((LOOPED - size) // size - 1) + a_unit(5000, 4)
    assert until_it_repeats(text_[at : at + 4] for at in range(0, len(text_), 4)) is None


def test_a_longer_period_is_none():
    assert until_it_repeats([a_unit(LONGEST + 1)] * 100) is None


@given(st.text(alphabet="ab", min_size=2 * LONGEST, max_size=600), st.integers(1, 260))
@briefly
def test_the_period_is_the_shortest_one_there_is(text_, size):
    looped = (text_[:size] * 600)[: 2 * LONGEST + size]
    for each in (text_, looped):
        found = next((p for p in range(1, LONGEST + 1) if each[p:] == each[:-p]), 0)
        assert period(each) == found


@pytest.mark.parametrize("blank", [" ", "\n", "\t", "\u00a0", " \n\t"])
def test_whitespace_without_end_is_noticed(blank):
    taken = until_it_repeats(["{", *[blank] * 5000])
    assert taken is not None
    assert BLANKS < taken <= BLANKS + STEP + 10
    assert until_it_repeats(["{", *[" "] * (BLANKS - 1), "}", *[" "] * (BLANKS - 1)]) is None


def honest_texts():
    """Texts that repeat much and are no loops: tables, rulers, padded data, poems, code."""
    chance = random.Random(7)
    for number in range(1000):
        kind = number % 8
        rows = range(chance.randint(5, 400))
        if kind == 0:
            yield "\n".join(f"| {row:>4} | {'-' * 20} | yes |" for row in rows)
        elif kind == 1:
            yield "A" * chance.randint(1, LOOPED - 1) + "Zm9v" + "=" * chance.randint(0, 2)
        elif kind == 2:
            yield "Row, row, row your boat,\nGently down the stream.\n" * chance.randint(1, 150)
        elif kind == 3:
            yield "\n".join(f"    assert f({row}) == {row * row}" for row in rows)
        elif kind == 4:
            yield "=" * chance.randint(1, 400) + "\n" + " " * chance.randint(1, BLANKS - 1) + "x"
        elif kind == 5:
            yield "[" + ", ".join(["0.0"] * chance.randint(1, 1500)) + "]"
        elif kind == 6:
            yield "\n".join("0,0,0,0,0" for _ in range(chance.randint(1, 700)))
        else:
            yield " ".join(chance.choice(["the", "tide", "turns", "and"]) for _ in range(4000))


def test_a_thousand_tables_poems_and_programs_are_no_loops():
    for honest in honest_texts():
        assert until_it_repeats(honest[at : at + 5] for at in range(0, len(honest), 5)) is None
        assert repetition(honest) == ""


@pytest.mark.parametrize("name", ["content", "reasoning_content", "reasoning"])
def test_a_stream_that_loops_is_stopped_with_what_came(name):
    with pytest.raises(Looping) as caught:
        amount(ROLE, *[chunk({name: " again"})] * 3000)
    assert caught.value.maybe_billed
    assert caught.value.status == 200
    looped = json.loads(caught.value.body)["choices"][0]["message"][name]
    assert looped.startswith(" again again")
    assert len(looped) <= 8000


def test_a_loop_that_came_whole_is_the_same_failure():
    message = {"role": "assistant", "content": "so " * 20_000}
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    with pytest.raises(Looping):
        decode(HttpReply(200, {}, body))


def test_an_event_stream_that_was_read_whole_is_read_all_the_same():
    assert decode(HttpReply(200, {"content-type": "text/plain"}, b"".join([ROLE, *HELLO, STOP, DONE]))).text == "Hello"
