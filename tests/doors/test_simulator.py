"""The simulated provider: what it answers, and that its own account is true."""

import json
import re
from statistics import median

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepswarm.core import errors
from deepswarm.core.records import HttpReply, HttpRequest
from deepswarm.dialects import openai_chat
from deepswarm.simulator.faultlaw import BodyKind, Fault, FaultKind
from deepswarm.simulator.law import Latency, Law, ReplyLaw, Tokens
from deepswarm.simulator.play import End
from deepswarm.simulator.provider import SimulatedProvider

VARIED = Law(
    latency=Latency(3.0, 0.7, 0.01),
    tokens=Tokens(40, 0.5),
    faults=(
        Fault(FaultKind.STATUS, 0.2, status=500),
        Fault(FaultKind.HANG, 0.1),
        Fault(FaultKind.CUT, 0.1),
        Fault(FaultKind.EMPTY, 0.1),
    ),
)


def request(text="[[id:1]] Tell me something.", **more):
    body = {"model": "some-model", "messages": [{"role": "user", "content": text}], **more}
    return HttpRequest("http://127.0.0.1/v1/chat/completions", {}, json.dumps(body).encode())


def receive(law, text="[[id:1]] Tell me something.", *, seed=1, **more):
    return SimulatedProvider(law, seed).receive(request(text, **more), 0.0)


def reply_of(ticket):
    """A ticket's reply, as it is once its play is over."""
    play = ticket.play
    return HttpReply(play.status, play.headers, b"".join(scene.data for scene in play.scenes))


def body_of(ticket):
    return json.loads(reply_of(ticket).body)


def content_of(ticket):
    return body_of(ticket)["choices"][0]["message"]["content"]


def fate(ticket):
    """What a client can tell of a ticket: all but its number in the ledger."""
    return ticket._replace(number=0)


# --- answers ---------------------------------------------------------------------------------------------------------


def test_an_answer_says_that_it_is_simulated_and_repeats_the_marker():
    assert content_of(receive(Law(), "Please: [[id:seed-7]] and more")).startswith("[simulated] [[id:seed-7]] ")


def test_an_answer_without_a_marker_says_that_it_is_simulated():
    assert content_of(receive(Law(), "Please")).startswith("[simulated] ")


def test_the_dialect_reads_an_answer_as_a_whole_reply():
    ticket = receive(Law(tokens=Tokens(50)))
    reply = openai_chat.decode(reply_of(ticket))
    assert (reply.finish_reason, reply.model, reply.usage.tokens_out) == ("stop", "some-model", 50)
    assert reply.usage.tokens_in == ticket.tokens_in
    assert reply.request_id == ticket.play.headers["x-request-id"]


def test_an_answer_is_never_longer_than_the_request_allows():
    ticket = receive(Law(tokens=Tokens(1000)), max_tokens=20)
    assert (ticket.tokens_out, body_of(ticket)["usage"]["completion_tokens"]) == (20, 20)
    assert body_of(ticket)["choices"][0]["finish_reason"] == "stop"


def test_length_of_the_text_follows_the_tokens():
    short, long = (len(content_of(receive(Law(tokens=Tokens(count))))) for count in (50, 500))
    assert 8 * short < long < 12 * short


def test_latency_has_the_median_of_the_law():
    provider = SimulatedProvider(Law(latency=Latency(2.0, 0.6)))
    waits = [provider.receive(request(f"[[id:{n}]]"), 0.0).play.end_s for n in range(2000)]
    assert 1.9 < median(waits) < 2.1
    assert min(waits) < 1.0
    assert max(waits) > 4.0


def test_latency_grows_with_the_answer():
    assert receive(Law(latency=Latency(per_token_s=0.5), tokens=Tokens(30))).play.end_s == 15.0


def test_messages_may_have_parts_or_no_content():
    parts = [{"type": "text", "text": "[[id:p]] look"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    body = {"model": "m", "messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": None}]}
    provider = SimulatedProvider(Law())
    provider.release(provider.receive(HttpRequest("", {}, json.dumps(body).encode()), 0.0), 0.0, client_gone=False)
    assert provider.served("p") == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"model": "m"}',
        b'{"model": "m", "messages": []}',
        b'{"model": "", "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "m", "messages": ["x"]}',
        b'{"model": "m", "messages": [{"role": "user", "content": 5}]}',
        b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "max_tokens": 0}',
    ],
)
def test_what_is_not_a_request_gets_a_400_and_costs_nothing(body):
    provider = SimulatedProvider(Law())
    ticket = provider.receive(HttpRequest("", {}, body), 0.0)
    provider.release(ticket, 0.0, client_gone=False)
    assert ticket.play.status == 400
    assert body_of(ticket)["error"]["message"]
    assert (provider.billed_tokens, provider.counts().refused) == (0, 1)


# --- same seed, same behaviour ---------------------------------------------------------------------------------------


@given(order=st.permutations(range(30)))
def test_the_same_seed_gives_the_same_behaviour_in_any_order(order):
    straight, mixed = SimulatedProvider(VARIED, seed=5), SimulatedProvider(VARIED, seed=5)
    first = {n: fate(straight.receive(request(f"[[id:{n}]]"), 0.0)) for n in range(30)}
    second = {n: fate(mixed.receive(request(f"[[id:{n}]]"), 0.0)) for n in order}
    assert first == second


def test_another_seed_gives_another_behaviour():
    one, two = (receive(VARIED, seed=seed).play.end_s for seed in (1, 2))
    assert one != two


def test_the_second_attempt_at_a_request_has_its_own_fate():
    provider = SimulatedProvider(Law(latency=Latency(1.0, 0.5)))
    first, second = (provider.receive(request(), 0.0) for _ in range(2))
    assert first.play.end_s != second.play.end_s
    assert [row.attempt for row in provider.rows()] == [1, 2]


def test_being_refused_over_the_cap_is_no_attempt():
    provider = SimulatedProvider(Law(concurrency=1, latency=Latency(1.0, 0.5)))
    blocking = provider.receive(request("[[id:other]]"), 0.0)
    provider.release(provider.receive(request(), 0.0), 0.0, client_gone=False)
    provider.release(blocking, 1.0, client_gone=False)
    late = provider.receive(request(), 1.0)
    undisturbed = receive(Law(latency=Latency(1.0, 0.5)))
    assert late.play == undisturbed.play


def test_room_for_more_tokens_is_the_next_attempt_at_the_same_request():
    provider = SimulatedProvider(Law(faults=(Fault(FaultKind.LENGTH, attempts=frozenset({1})),)))
    finishes = [
        body_of(provider.receive(request(max_tokens=room), 0.0))["choices"][0]["finish_reason"] for room in (50, 100)
    ]
    assert finishes == ["length", "stop"]


# --- the cap ---------------------------------------------------------------------------------------------------------


@given(cap=st.integers(1, 5), moves=st.lists(st.booleans(), max_size=60), gone=st.booleans())
def test_never_more_than_the_cap_are_admitted_and_the_account_adds_up(cap, moves, gone):
    provider = SimulatedProvider(Law(concurrency=cap))
    flying = []
    for number, arrives in enumerate(moves):
        if arrives:
            ticket = provider.receive(request(f"[[id:{number}]]"), float(number))
            refused = ticket.play.status == 429
            assert refused == (len(flying) == cap)
            if refused:
                provider.release(ticket, float(number), client_gone=False)
            else:
                flying.append(ticket)
        elif flying:
            provider.release(flying.pop(number % len(flying)), float(number), client_gone=gone)
        sums = provider.counts()
        assert sums.in_flight == len(flying) <= sums.most_in_flight <= cap
        assert sums.received == sums.refused + sums.served + sums.unserved + sums.in_flight
    assert provider.most_in_flight <= cap


def refusal(law):
    provider = SimulatedProvider(law)
    for _ in range(law.concurrency):
        provider.receive(request(), 0.0)
    return reply_of(provider.receive(request(), 0.0))


def test_a_refusal_states_the_numbers_and_nothing_else():
    reply = refusal(Law(concurrency=39))
    assert reply.status == 429
    message = json.loads(reply.body)["error"]["message"]
    assert re.findall(r"\d+", message) == ["40", "39"]
    assert "retry-after" not in reply.headers


def test_a_refusal_names_a_time_when_the_law_says_so():
    assert refusal(Law(concurrency=1, retry_after_s=2.5)).headers["retry-after"] == "2.5"


def test_the_dialect_takes_a_refusal_for_throttling():
    with pytest.raises(errors.Throttled) as caught:
        openai_chat.decode(refusal(Law(concurrency=1, retry_after_s=2.0)))
    assert caught.value.retry_after_s == 2.0


# --- faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault(FaultKind.STATUS, status=400), errors.Declined),
        (Fault(FaultKind.STATUS, status=400, message="The prompt is too long"), errors.TooLong),
        (Fault(FaultKind.STATUS, status=401), errors.Unauthorized),
        (Fault(FaultKind.STATUS, status=402), errors.OutOfFunds),
        (Fault(FaultKind.STATUS, status=404), errors.NoSuchModel),
        (Fault(FaultKind.STATUS, status=422), errors.BadRequest),
        (Fault(FaultKind.STATUS, status=429), errors.Throttled),
        (Fault(FaultKind.STATUS, status=429, code="insufficient_quota"), errors.OutOfFunds),
        (Fault(FaultKind.STATUS, status=500), errors.ServerFault),
        (Fault(FaultKind.STATUS, status=502, body=BodyKind.HTML), errors.ServerFault),
        (Fault(FaultKind.STATUS, status=503, body=BodyKind.EMPTY), errors.Overloaded),
        (Fault(FaultKind.EMPTY), errors.Empty),
        (Fault(FaultKind.GARBLED), errors.Garbled),
        (Fault(FaultKind.GARBLED, body=BodyKind.HTML), errors.Garbled),
        (Fault(FaultKind.GARBLED, body=BodyKind.EMPTY), errors.Garbled),
        (Fault(FaultKind.LENGTH), errors.Truncated),
        (Fault(FaultKind.CONTENT_FILTER), errors.Declined),
    ],
)
def test_the_dialect_makes_the_right_error_of_each_faulty_reply(fault, error):
    ticket = receive(Law(faults=(fault,)))
    assert ticket.play.end is End.WHOLE
    with pytest.raises(errors.CallError) as caught:
        openai_chat.decode(reply_of(ticket))
    assert type(caught.value) is error


def test_a_huge_answer_is_as_large_as_the_law_says():
    ticket = receive(Law(faults=(Fault(FaultKind.HUGE, size_bytes=100_000),)))
    assert len(content_of(ticket)) == 100_000
    assert content_of(ticket).startswith("[simulated] [[id:1]]")


def test_a_status_comes_at_once_unless_the_law_gives_a_time():
    slow = Latency(30.0)
    assert receive(Law(latency=slow, faults=(Fault(FaultKind.STATUS, status=500),))).play.end_s == 0.0
    assert receive(Law(latency=slow, faults=(Fault(FaultKind.STATUS, after_s=4.0, status=500),))).play.end_s == 4.0


def test_retry_after_of_a_status_goes_into_the_header():
    ticket = receive(Law(faults=(Fault(FaultKind.STATUS, status=503, retry_after_s=7.0),)))
    assert ticket.play.headers["retry-after"] == "7"


def test_each_fault_hits_the_share_that_the_law_gives():
    provider = SimulatedProvider(VARIED)
    for number in range(4000):
        provider.receive(request(f"[[id:{number}]]"), 0.0)
    faults = [row.fault for row in provider.rows()]
    for fault in VARIED.faults:
        assert faults.count(fault.kind) == pytest.approx(4000 * fault.rate, rel=0.15)


def test_a_fault_may_be_for_some_seeds_and_attempts_alone():
    fault = Fault(FaultKind.EMPTY, seeds=frozenset({"7"}), attempts=frozenset({2}))
    provider = SimulatedProvider(Law(faults=(fault,)))
    for marker in ("7", "8"):
        for _ in range(3):
            provider.receive(request(f"[[id:{marker}]]"), 0.0)
    assert [row.fault for row in provider.rows()] == ["", "empty", "", "", "", ""]


def test_an_appended_fault_changes_nobody_who_was_hit_before():
    more = Law(faults=(*VARIED.faults, Fault(FaultKind.DISCONNECT, 0.3)), latency=VARIED.latency, tokens=VARIED.tokens)
    for number in range(200):
        before = receive(VARIED, f"[[id:{number}]]")
        if before.play.end is not End.WHOLE or before.play.status != 200:
            assert receive(more, f"[[id:{number}]]") == before


def test_a_law_may_be_replaced_while_the_provider_works():
    provider = SimulatedProvider(Law(faults=(Fault(FaultKind.STATUS, status=402),)))
    first = provider.receive(request(), 0.0).play.status
    provider.law = Law()
    assert (first, provider.receive(request(), 0.0).play.status) == (402, 200)


# --- the ledger ------------------------------------------------------------------------------------------------------


def test_usage_in_replies_equals_the_ledger():
    provider = SimulatedProvider(Law(tokens=Tokens(80, 0.5)))
    reported = 0
    for number in range(50):
        ticket = provider.receive(request(f"[[id:{number}]] " + "x" * number), 0.0)
        provider.release(ticket, 1.0, client_gone=False)
        usage = body_of(ticket)["usage"]
        reported += usage["total_tokens"]
        row = provider.rows()[-1]
        assert (row.tokens_in, row.tokens_out) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert provider.billed_tokens == reported
    assert all(provider.served(str(number)) == 1 for number in range(50))


@pytest.mark.parametrize(
    ("fault", "served"),
    [
        (Fault(FaultKind.STATUS, status=500), 0),
        (Fault(FaultKind.DISCONNECT), 0),
        (Fault(FaultKind.GARBLED, body=BodyKind.HTML), 0),
        (Fault(FaultKind.GARBLED), 1),
        (Fault(FaultKind.CUT), 1),
        (Fault(FaultKind.EMPTY), 1),
        (Fault(FaultKind.LENGTH), 1),
        (Fault(FaultKind.CONTENT_FILTER), 1),
    ],
)
def test_a_fault_is_billed_when_a_completion_was_made(fault, served):
    provider = SimulatedProvider(Law(faults=(fault,)))
    provider.release(provider.receive(request(), 0.0), 0.0, client_gone=False)
    assert (provider.served("1"), provider.counts().unserved) == (served, 1 - served)
    assert (provider.billed_tokens > 0) == bool(served)


def test_a_client_that_leaves_pays_for_what_was_made_until_then():
    provider = SimulatedProvider(Law(latency=Latency(10.0), tokens=Tokens(100)))
    ticket = provider.receive(request(), 5.0)
    provider.release(ticket, 7.5, client_gone=True)
    row = provider.rows()[0]
    assert (row.served, row.client_gone, row.finished) == (False, True, 7.5)
    assert (row.tokens_in, row.tokens_out) == (ticket.tokens_in, 25)
    assert (provider.served("1"), provider.counts().in_flight) == (0, 0)


def test_a_client_that_leaves_a_hanging_request_pays_nothing():
    provider = SimulatedProvider(Law(faults=(Fault(FaultKind.HANG),)))
    provider.release(provider.receive(request(), 0.0), 600.0, client_gone=True)
    assert (provider.billed_tokens, provider.counts().client_gone) == (0, 1)


def test_a_ticket_is_released_once():
    provider = SimulatedProvider(Law())
    ticket = provider.receive(request(), 0.0)
    provider.release(ticket, 1.0, client_gone=False)
    with pytest.raises(ValueError, match="released before"):
        provider.release(ticket, 2.0, client_gone=True)


def test_rows_tell_the_story_of_each_request():
    provider = SimulatedProvider(Law(concurrency=1, tokens=Tokens(10)))
    first = provider.receive(request("[[id:a]]"), 1.0)
    provider.receive(request("[[id:b]]"), 2.0)
    provider.release(first, 3.0, client_gone=False)
    row, refused = provider.rows()
    assert row._asdict() == {
        "number": 1, "name": "a", "attempt": 1, "received": 1.0, "admitted": True, "started": 1.0, "first_byte": None,
        "finished": 3.0, "status": 200, "refused": "", "fault": "", "served": True, "tokens_in": 2, "cached": 0,
        "tokens_out": 10, "reasoning": 0, "cost_usd": 0.0, "client_gone": False,
    }  # fmt: skip
    assert (refused.name, refused.attempt, refused.admitted, refused.status) == ("b", 0, False, 429)
    assert (refused.refused, refused.started) == ("concurrency", None)


def test_a_prompt_without_a_marker_is_found_by_the_name_of_its_row():
    provider = SimulatedProvider(Law())
    provider.release(provider.receive(request("no marker"), 0.0), 0.0, client_gone=False)
    (row,) = provider.rows()
    assert provider.served(row.name) == 1


def test_repr_tells_the_state_in_one_line():
    provider = SimulatedProvider(Law(concurrency=2, name="two"))
    for _ in range(3):
        provider.receive(request(), 0.0)
    assert repr(provider) == ("SimulatedProvider(law='two', seed=1, in_flight=2/2, received=3, served=0, refused=1)")


# --- JSON replies ----------------------------------------------------------------------------------------------------

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 3, "maxLength": 80},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "score": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "member": {"type": "boolean"},
        "level": {"enum": ["low", "middle", "high"]},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 4},
    },
    "required": ["name", "age", "score", "member", "level", "tags"],
    "additionalProperties": False,
}
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name"],
        }
    },
}
SCHEMAS = {
    "a person": PERSON,
    "people": {"type": "array", "items": PERSON, "minItems": 1},
    "a tree": TREE,
    "text": {"type": "string"},
    "short text": {"type": "string", "maxLength": 4},
    "long text": {"type": "string", "minLength": 500},
    "text of one length": {"type": "string", "minLength": 12, "maxLength": 12},
    "a constant": {"const": {"a": [1, None]}},
    "null": {"type": "null"},
    "number or null": {"type": ["null", "integer"]},
    "negative": {"type": "integer", "maximum": -5},
    "multiples": {"type": "integer", "multipleOf": 7, "exclusiveMinimum": 7, "maximum": 40},
    "steps": {"type": "number", "multipleOf": 0.25, "minimum": 0.3, "maximum": 1.2},
    "a tiny range": {"type": "number", "minimum": 0.001, "maximum": 0.002},
    "distinct words": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "uniqueItems": True, "minItems": 2},
    "distinct and few": {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 1},
    "a pair": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
    "no items": {"type": "array", "maxItems": 0},
    "parts": {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"required": ["b"]}]},
    "alternatives": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
    "one of": {"oneOf": [{"type": "object", "required": ["x"]}, {"type": "null"}]},
    "untyped": {"properties": {"x": {"type": "string"}}},
    "other names": {"type": "object", "required": ["x"], "additionalProperties": {"type": "integer"}},
    "dates": {"type": "array", "items": {"type": "string", "format": "date-time"}},
    "addresses": {"type": "object", "properties": {"mail": {"format": "email"}, "site": {"format": "uri"}}},
    "anything": {},
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
def test_json_replies_fit_the_schema(schema):
    fits = jsonschema_rs.validator_for(schema, validate_formats=True)
    law = Law().with_schema(schema)
    for number in range(40):
        content = content_of(receive(law, f"[[id:{number}]]"))
        fits.validate(json.loads(content))


def test_json_replies_carry_the_mark_in_a_free_string():
    person = json.loads(content_of(receive(Law().with_schema(PERSON), "[[id:9]]")))
    assert person["name"].startswith("[simulated] [[id:9]] ")
    assert all(tag.startswith("[simulated] ") for tag in person["tags"])


def test_a_json_law_without_a_schema_answers_with_an_object():
    law = Law().with_schema(Law().schema)
    assert json.loads(content_of(receive(law, "[[id:9]]")))["text"].startswith("[simulated] [[id:9]] ")


def test_json_replies_differ_between_requests():
    law = Law().with_schema(PERSON)
    assert len({content_of(receive(law, f"write number {number}")) for number in range(50)}) == 50


@pytest.mark.parametrize(
    ("defect", "looks"),
    [
        ({"fenced": 1.0}, r"^```json\n\{.*\}\n```$"),
        ({"prose": 1.0}, r"^Here is .*\n\n\{.*\}\n\n.*else\.$"),
        ({"trailing_comma": 1.0}, r"^\{.*,\}$"),
        ({"truncated": 1.0}, r"^\{.*[^}]$"),
    ],
)
def test_defects_spoil_json_replies(defect, looks):
    law = Law(reply=ReplyLaw(**defect)).with_schema(PERSON)
    content = content_of(receive(law))
    assert re.search(looks, content, re.DOTALL)
    with pytest.raises(ValueError, match=r"."):
        json.loads(content)


def test_defects_hit_the_share_that_the_law_gives():
    law = Law(reply=ReplyLaw(fenced=0.1, truncated=0.2)).with_schema(PERSON)
    contents = [content_of(receive(law, f"[[id:{number}]]")) for number in range(1000)]
    fenced = sum(content.startswith("```") for content in contents)
    truncated = sum(not content.endswith(("}", "```")) for content in contents)
    assert fenced == pytest.approx(100, rel=0.3)
    assert truncated == pytest.approx(200, rel=0.3)
