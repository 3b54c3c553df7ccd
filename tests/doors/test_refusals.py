"""Refusals: every row of the failure catalogue that is visible in a reply, and whether it may have been billed."""

import json

import pytest

from deepswarm.core.errors import (
    BadRequest,
    Declined,
    Garbled,
    NoSuchModel,
    OutOfFunds,
    Overloaded,
    QuotaSpent,
    ReasoningOwed,
    Refused,
    ServerFault,
    Starved,
    Throttled,
    TooLong,
    Unauthorized,
)
from deepswarm.core.records import HttpReply, Usage
from deepswarm.dialects import TABLE
from deepswarm.doors import find
from deepswarm.testing.suites.dialect import failure

every_dialect = pytest.mark.parametrize("name", TABLE)
NOON = {"date": "Mon, 23 Nov 2026 12:00:00 GMT"}


def dialect(name):
    return find("dialect", name, TABLE)


def error(message="", **members):
    return {"error": {"message": message, **members}}


def google(message, quota, delay):
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    return [{"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED", "details": details}}]


RELAYED = {"code": 402, "metadata": {"limit_source": "openrouter_in_flight_budget"}}
BUDGET = {"limit_source": "openrouter_guardrail_budget", "resets_at": "2026-11-23T12:01:00Z"}
ROWS = [
    (
        "429-conc",
        429,
        error("Your current concurrency is 40, which exceeds your concurrency limit of 39."),
        {},
        Throttled,
        None,
    ),
    (
        "429-rpm",
        429,
        error("Rate limit reached. Please try again in 120ms.", code="rate_limit_exceeded"),
        {},
        Throttled,
        0.12,
    ),
    ("429-rpm-minutes", 429, error("Please try again in 6m0s."), {"retry-after": "2"}, Throttled, 360.0),
    ("429-tpm", 429, error("on tokens per min (TPM)", type="tokens", code="rate_limit_exceeded"), {}, Throttled, None),
    (
        "429-tpm-one-row",
        429,
        error("Request too large for gpt-5 on tokens per min (TPM)", type="tokens"),
        {},
        BadRequest,
        None,
    ),
    (
        "429-burst-azure",
        429,
        {"statusCode": 429, "message": "Rate limit is exceeded. Try again in 20 seconds."},
        {},
        Throttled,
        20.0,
    ),
    ("429-ramp", 429, error("grew too fast", type="rate_limit_error", code="slow_down"), {}, Throttled, None),
    ("503-ramp", 503, error("Slow down", code="slow_down"), {}, Overloaded, None),
    (
        "429-daily",
        429,
        google("quota", "GenerateRequestsPerDayPerProjectPerModel-FreeTier", "48s"),
        {},
        QuotaSpent,
        None,
    ),
    ("429-minute-google", 429, google("quota", "GenerateRequestsPerMinutePerProject", "23s"), {}, Throttled, 23.0),
    (
        "429-daily-openai",
        429,
        error("on requests per day (RPD): Limit 200", code="rate_limit_exceeded"),
        {},
        QuotaSpent,
        None,
    ),
    ("429-daily-groq", 429, error("on tokens per day (TPD): try again in 7m12.5s"), {}, QuotaSpent, 432.5),
    ("429-daily-openrouter", 429, error("Rate limit exceeded: free-models-per-day", code=429), {}, QuotaSpent, None),
    ("429-hours", 429, error("later"), {"retry-after": "7200"}, QuotaSpent, 7200.0),
    (
        "429-spend-quota",
        429,
        error("check your plan", type="insufficient_quota", code="insufficient_quota"),
        {},
        OutOfFunds,
        None,
    ),
    ("429-spend-balance", 429, error(type="insufficient_quota", code="credit_balance_exhausted"), {}, OutOfFunds, None),
    ("429-spend-organisation", 429, error(code="organization_spend_limit_exceeded"), {}, OutOfFunds, None),
    ("429-spend-project", 429, error(code="project_spend_limit_exceeded"), {}, OutOfFunds, None),
    ("429-spend-anthropic", 429, {"type": "error", **error(type="enforced_spend_limit_reached")}, {}, OutOfFunds, None),
    (
        "400-spend-anthropic",
        400,
        {"type": "error", **error("Your credit balance is too low to access the API.")},
        {},
        OutOfFunds,
        None,
    ),
    ("400-spend-own-limit", 400, error("You have reached your specified API usage limits."), {}, OutOfFunds, None),
    ("429-bare", 429, None, {}, Throttled, None),
    (
        "402",
        402,
        error("Insufficient Balance", type="unknown_error", code="invalid_request_error"),
        {},
        OutOfFunds,
        None,
    ),
    ("402-inflight", 402, error("budget", **RELAYED), {"retry-after": "3"}, Throttled, 3.0),
    ("402-weight-text", 402, error("weight_exceeds_budget: lower max_tokens", code=402), {}, BadRequest, None),
    ("402-weight", 402, error("big", code=402, metadata={"reason": "weight_exceeds_budget"}), {}, BadRequest, None),
    ("401-key", 401, error("Authentication Fails", type="authentication_error"), {}, Unauthorized, None),
    ("403-key", 403, error("no"), {}, Unauthorized, None),
    (
        "400-key-google",
        400,
        error("API key not valid. Please pass a valid API key.", status="INVALID_ARGUMENT"),
        {},
        Unauthorized,
        None,
    ),
    ("403-mod", 403, error("flagged", code=403, metadata={"reasons": ["violence"]}), {}, Declined, None),
    ("403-budget", 403, error("spent", code=403, metadata=BUDGET), NOON, QuotaSpent, 60.0),
    (
        "403-key-limit",
        403,
        error("spent", code=403, metadata={"limit_source": "openrouter_key_limit"}),
        {},
        OutOfFunds,
        None,
    ),
    ("400-risk", 400, error("Content Exists Risk", type="invalid_request_error"), {}, Declined, None),
    ("400-risk-detail", 400, {"detail": "Content Exists Risk"}, {}, Declined, None),
    (
        "400-filter-azure",
        400,
        error("…", code="content_filter", innererror={"code": "ResponsibleAIPolicyViolation"}),
        {},
        Declined,
        None,
    ),
    ("400-filter-policy", 400, error("Output blocked by content filtering policy"), {}, Declined, None),
    ("400-ctx", 400, error("…", code="context_length_exceeded"), {}, TooLong, None),
    ("400-ctx-text", 400, error("This model's maximum context length is 8192 tokens."), {}, TooLong, None),
    ("400-ctx-vllm", 400, {"object": "error", "message": "maximum context length", "code": 400}, {}, TooLong, None),
    (
        "400-reason",
        400,
        error("The reasoning_content in the thinking mode must be passed back to the API."),
        {},
        ReasoningOwed,
        None,
    ),
    ("400-reason-other", 400, error("property 'messages.1.reasoning_content' is unsupported"), {}, ReasoningOwed, None),
    ("400-json", 400, error("Failed to parse the request body: unexpected end of hex escape"), {}, BadRequest, None),
    ("400-det", 400, error("temperature is not supported with this model"), {}, BadRequest, None),
    ("413", 413, None, {}, BadRequest, None),
    ("413-groq", 413, error("Request too large for model", code="rate_limit_exceeded"), {}, BadRequest, None),
    ("422", 422, {"detail": [{"loc": ["body"], "msg": "field required", "type": "missing"}]}, {}, BadRequest, None),
    ("404", 404, error("The model `x` does not exist", code="model_not_found"), {}, NoSuchModel, None),
    (
        "400-model-mistral",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model"},
        {},
        NoSuchModel,
        None,
    ),
    ("400-model-deepseek", 400, error("Model Not Exist", type="invalid_request_error"), {}, NoSuchModel, None),
    ("404-openrouter", 404, error("No endpoints found for x.", code=404), {}, NoSuchModel, None),
    ("410", 410, error("end of life"), {}, NoSuchModel, None),
    ("408", 408, error("timeout"), {}, ServerFault, None),
    ("409", 409, error("lock"), {}, ServerFault, None),
    ("500-rand", 500, error("The server had an error"), {}, ServerFault, None),
    ("500-overloaded", 500, error("…", type="overloaded_error"), {}, Overloaded, None),
    ("503-over", 503, error("Server Overloaded"), {}, Overloaded, None),
    (
        "503-over-openai",
        503,
        error("…", type="service_unavailable_error", code="server_is_overloaded"),
        {},
        Overloaded,
        None,
    ),
    ("503-together", 503, {"error": "no capacity"}, {"retry-after": "1.5"}, Overloaded, 1.5),
    ("503-queue-sglang", 503, {"object": "error", "message": "Request queue timeout reached."}, {}, Overloaded, None),
    ("529", 529, {"type": "error", **error("Overloaded", type="overloaded_error")}, {}, Overloaded, None),
    ("498-groq", 498, error("…", code="capacity_exceeded"), {}, Overloaded, None),
]


@every_dialect
@pytest.mark.parametrize(
    ("status", "body", "headers", "kind", "wait_s"), [row[1:] for row in ROWS], ids=[r[0] for r in ROWS]
)
def test_every_error_of_the_catalogue_has_its_class(name, status, body, headers, kind, wait_s):
    raw = b"<html>429</html>" if body is None else json.dumps(body).encode()
    caught = failure(dialect(name), HttpReply(status, headers, raw))
    assert type(caught) is kind
    assert caught.retry_after_s == wait_s
    assert not caught.maybe_billed or status == 408


def test_a_gateways_page_is_the_servers_fault_by_its_status_and_garbled_as_a_success():
    page = b"<!DOCTYPE html><html><title>Bad gateway</title></html>"
    for status in (500, 502, 503, 504, 520, 522, 524):
        assert type(failure(dialect("deepseek"), HttpReply(status, {}, page))) is ServerFault
    assert type(failure(dialect("deepseek"), HttpReply(529, {}, page))) is Overloaded
    garbled = failure(dialect("deepseek"), HttpReply(200, {"content-type": "text/html"}, page))
    assert type(garbled) is Garbled
    assert garbled.maybe_billed


@pytest.mark.parametrize(
    ("said", "cap"),
    [
        ("Your current concurrency is 40, which exceeds your concurrency limit of 39.", 39),
        ("current concurrency is 40, above the limit of 39 based on your remaining balance", 39),
        ("request reached max organization concurrency: 3, please try again after 1 seconds", 3),
        ("Rate limit reached: concurrency limit of 0", None),
        ("Rate limit reached for gpt-5: Limit 500, Used 500", None),
        ("", None),
    ],
)
def test_the_cap_that_a_refusal_states_is_data(said, cap):
    caught = failure(dialect("deepseek"), HttpReply(429, {}, json.dumps(error(said)).encode()))
    assert (type(caught), caught.cap) == (Throttled, cap)


# --- whether it may have been billed ---------------------------------------------------------------------------------


def a_choice(content, finish, **beside):
    message = {"role": "assistant", "content": content}
    return {"model": "m", "choices": [{"index": 0, "message": message, "finish_reason": finish}], **beside}


USED = {"prompt_tokens": 5, "completion_tokens": 6}


@pytest.mark.parametrize(
    ("status", "body", "billed"),
    [
        (200, a_choice("", "stop"), True),
        (200, a_choice("", "stop", usage=USED), False),
        (200, a_choice("par", "length"), True),
        (200, a_choice("par", "length", usage=USED), False),
        (200, a_choice("par", None), True),
        (200, a_choice("par", None, usage=USED), True),
        (200, a_choice("par", "error", usage=USED), True),
        (200, a_choice("par", "insufficient_system_resource"), True),
        (200, {"choices": None, **error("limit", code=429)}, False),
        (200, {"choices": [], **error("no money", code=402)}, False),
        (200, {"choices": None, **error("Provider returned error", code=502)}, True),
        (200, {"choices": None, **error("something")}, True),
        (200, {"nothing": "known"}, True),
        (204, {}, True),
        (302, {}, False),
        (400, error("no"), False),
        (429, error("no"), False),
        (500, error("no"), False),
        (502, error("no"), True),
        (503, error("no"), False),
        (504, error("no"), True),
        (522, error("no"), False),
        (524, error("no"), True),
    ],
)
def test_a_failure_may_have_been_billed_where_its_price_is_not_known(status, body, billed):
    caught = failure(dialect("openai_chat"), HttpReply(status, {}, json.dumps(body).encode()))
    assert caught.maybe_billed is billed
    if status == 200 and "usage" in body:
        assert caught.usage == Usage(5, 6)


def test_a_field_in_which_the_model_refuses_is_a_refusal():
    body = a_choice(None, "stop", usage=USED)
    body["choices"][0]["message"]["refusal"] = "I cannot help with that."
    caught = failure(dialect("openai_chat"), HttpReply(200, {}, json.dumps(body).encode()))
    assert (type(caught), str(caught)) == (Refused, "I cannot help with that.")


def test_thinking_that_only_the_usage_tells_of_has_used_up_the_room():
    usage = {**USED, "completion_tokens_details": {"reasoning_tokens": 6}}
    for finish in ("length", "stop"):
        reply = HttpReply(200, {}, json.dumps(a_choice("", finish, usage=usage)).encode())
        assert type(failure(dialect("openai_chat"), reply)) is Starved


def test_an_end_of_sequence_is_a_whole_answer_only_where_it_is_a_finish_reason():
    reply = HttpReply(200, {}, json.dumps(a_choice("whole", "eos")).encode())
    assert dialect("vllm").decode(reply).text == "whole"
    assert type(failure(dialect("openai_chat"), reply)) is Garbled
