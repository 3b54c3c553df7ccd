"""What replies tell about limits: names and formats of each provider's headers, and the bodies of its refusals."""

import json
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest

from deepswarm.core import errors
from deepswarm.core.records import HttpReply, HttpRequest
from deepswarm.dialects import openai_chat
from deepswarm.simulator.headers import go_duration, rate_headers, retry_headers, rfc_3339
from deepswarm.simulator.law import read_law
from deepswarm.simulator.limitlaw import Counted, HeaderDialect, RetryAfter
from deepswarm.simulator.provider import SimulatedProvider
from deepswarm.simulator.rates import Quota

EPOCH = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC).timestamp()
QUOTAS = [
    Quota(Counted.REQUESTS, 60.0, 600.0, 599.7, 0.1),
    Quota(Counted.REQUESTS, 86400.0, 14400.0, 14370.0, 179.56),
    Quota(Counted.TOKENS, 60.0, 18000.0, 17997.0, 360.0),
]
SPLIT = [
    Quota(Counted.REQUESTS, 60.0, 50.0, 49.0, 1.2),
    Quota(Counted.UNCACHED_TOKENS, 60.0, 30000.0, 29000.0, 2.0),
    Quota(Counted.OUTPUT_TOKENS, 60.0, 8000.0, 2000.0, 45.0),
]
REFUSING = '[[rates]]\ncounts = "requests"\namount = 60\nburst_s = 1\n'


def told(dialect, quotas=QUOTAS, *, refused=False):
    return rate_headers(HeaderDialect(dialect), quotas, EPOCH, refused=refused)


def refused_by(law, *, url="http://127.0.0.1/v1/chat/completions", **more):
    """The reply to the second of two requests at the same moment."""
    provider = SimulatedProvider(read_law(law, "test"), epoch=EPOCH)
    body = {"model": "some-model", "messages": [{"role": "user", "content": "x" * 40}], **more}
    for _ in range(2):
        ticket = provider.receive(HttpRequest(url, {}, json.dumps(body).encode()), 0.0)
    return ticket.play


def body_of(play):
    return json.loads(play.scenes[0].data)


# --- headers ---------------------------------------------------------------------------------------------------------


def test_openai_writes_durations_as_go_does():
    assert told("openai") == {
        "x-ratelimit-limit-requests": "600",
        "x-ratelimit-remaining-requests": "599",
        "x-ratelimit-reset-requests": "100ms",
        "x-ratelimit-limit-tokens": "18000",
        "x-ratelimit-remaining-tokens": "17997",
        "x-ratelimit-reset-tokens": "6m0s",
    }


def test_groq_tells_requests_per_day_and_tokens_per_minute():
    headers = told("groq")
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-reset-requests"]) == ("14400", "2m59.56s")
    assert (headers["x-ratelimit-limit-tokens"], headers["x-ratelimit-reset-tokens"]) == ("18000", "6m0s")


def test_azure_tells_whole_seconds():
    headers = told("azure")
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("599", "1")
    assert headers["x-ratelimit-reset-tokens"] == "360"


def test_anthropic_tells_moments_for_each_kind_of_token():
    assert told("anthropic", SPLIT) == {
        "date": "Fri, 20 Nov 2026 12:00:00 GMT",
        "anthropic-ratelimit-requests-limit": "50",
        "anthropic-ratelimit-requests-remaining": "49",
        "anthropic-ratelimit-requests-reset": "2026-11-20T12:00:02Z",
        "anthropic-ratelimit-tokens-limit": "8000",
        "anthropic-ratelimit-tokens-remaining": "2000",
        "anthropic-ratelimit-tokens-reset": "2026-11-20T12:00:45Z",
        "anthropic-ratelimit-input-tokens-limit": "30000",
        "anthropic-ratelimit-input-tokens-remaining": "29000",
        "anthropic-ratelimit-input-tokens-reset": "2026-11-20T12:00:02Z",
        "anthropic-ratelimit-output-tokens-limit": "8000",
        "anthropic-ratelimit-output-tokens-remaining": "2000",
        "anthropic-ratelimit-output-tokens-reset": "2026-11-20T12:00:45Z",
    }


def test_openrouter_tells_its_limit_only_when_it_refuses_and_in_milliseconds_since_1970():
    assert told("openrouter") == {}
    assert told("openrouter", refused=True) == {
        "date": "Fri, 20 Nov 2026 12:00:00 GMT",
        "x-ratelimit-limit": "600",
        "x-ratelimit-remaining": "599",
        "x-ratelimit-reset": f"{int(EPOCH) * 1000 + 100}",
    }


def test_together_has_families_for_requests_and_tokens():
    assert told("together") == {
        "x-ratelimit-limit": "600",
        "x-ratelimit-remaining": "599",
        "x-ratelimit-reset": "1",
        "x-tokenlimit-limit": "18000",
        "x-tokenlimit-remaining": "17997",
        "x-tokenlimit-reset": "360",
    }


def test_fireworks_tells_prompt_and_generated_tokens():
    quotas = [Quota(Counted.INPUT_TOKENS, 60.0, 3.6e6, 3.5e6, 1.0), *SPLIT]
    headers = told("fireworks", quotas)
    assert headers["x-ratelimit-limit-tokens-prompt"] == "3600000"
    assert headers["x-ratelimit-limit-tokens-generated"] == "8000"
    assert headers["x-ratelimit-remaining-tokens-uncached-prompt"] == "29000"


def test_mistral_calls_tokens_size():
    assert told("mistral") == {
        "x-ratelimitbysize-limit-minute": "18000",
        "x-ratelimitbysize-remaining-minute": "17997",
        "ratelimitbysize-reset": "360",
        "x-ratelimit-remaining": "599",
    }


@pytest.mark.parametrize("dialect", ["none", "deepseek", "gemini", "vllm"])
@pytest.mark.parametrize("refused", [False, True])
def test_some_tell_nothing(dialect, refused):
    assert told(dialect, refused=refused) == {}


@pytest.mark.parametrize("dialect", list(HeaderDialect))
def test_who_has_no_limits_tells_nothing(dialect):
    assert told(dialect, []) == {}


@pytest.mark.parametrize("dialect", list(HeaderDialect))
def test_names_of_headers_are_in_lower_case(dialect):
    headers = told(dialect, [*QUOTAS, *SPLIT], refused=True)
    assert all(name == name.lower() for name in headers)


def test_successes_carry_the_headers_and_keep_their_own():
    play = refused_by('headers = "openai"\n[[rates]]\ncounts = "requests"\namount = 60\n')
    assert play.status == 200
    assert play.headers["x-ratelimit-remaining-requests"] == "58"
    assert play.headers["x-ratelimit-reset-requests"] == "2s"
    assert play.headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0s"), (0.0005, "1ms"), (0.012, "12ms"), (1.0, "1s"), (1.5, "1.5s"), (7.66, "7.66s"), (60.0, "1m0s"),
        (90.951, "1m30.951s"), (360.0, "6m0s"), (3600.0, "1h0m0s"), (86399.0, "23h59m59s"),
    ],
)  # fmt: skip
def test_durations_are_written_as_go_writes_them(seconds, text):
    assert go_duration(seconds) == text


def test_moments_are_rounded_up_to_whole_seconds():
    assert rfc_3339(EPOCH + 0.2) == "2026-11-20T12:00:01Z"


# --- how long to wait ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        (RetryAfter.NONE, {}),
        (RetryAfter.SECONDS, {"retry-after": "2"}),
        (RetryAfter.MS, {"retry-after-ms": "1250"}),
        (RetryAfter.BOTH, {"retry-after-ms": "1250", "retry-after": "2"}),
        (RetryAfter.AUTO, {"retry-after": "2"}),
    ],
)
def test_a_wait_is_told_in_the_header_of_the_law(kind, headers):
    assert retry_headers(kind, HeaderDialect.GROQ, 1.25, EPOCH) == headers


def test_a_wait_told_as_a_date_comes_with_the_date_of_now():
    headers = retry_headers(RetryAfter.DATE, HeaderDialect.NONE, 3.0, EPOCH)
    told_s = parsedate_to_datetime(headers["retry-after"]) - parsedate_to_datetime(headers["date"])
    assert told_s.total_seconds() == 3.0


def test_a_silent_dialect_says_how_long_to_wait_when_the_law_does():
    assert "retry-after" not in refused_by('headers = "deepseek"\n' + REFUSING).headers
    assert refused_by('headers = "deepseek"\nretry_after_s = 2.5\n' + REFUSING).headers["retry-after"] == "2.5"


def test_a_cap_says_how_long_to_wait_only_when_the_law_does():
    law = 'headers = "openai"\nconcurrency = 1\n'
    assert not [name for name in refused_by(law).headers if "retry" in name]
    assert refused_by("retry_after_s = 7\n" + law).headers["retry-after"] == "7"
    milliseconds = refused_by("retry_after_s = 7\n" + law + '[refusal]\nretry_after = "ms"\n').headers
    assert milliseconds["retry-after-ms"] == "7000"


def test_the_law_may_forbid_the_header():
    law = 'headers = "openai"\n[refusal]\nretry_after = "none"\n'
    assert not [name for name in refused_by(law + REFUSING).headers if "retry-after" in name]


# --- bodies of refusals ----------------------------------------------------------------------------------------------


def test_openai_names_limit_use_and_wait():
    error = body_of(refused_by('headers = "openai"\n' + REFUSING))["error"]
    assert (error["type"], error["code"]) == ("requests", "rate_limit_exceeded")
    assert "requests per min (RPM): Limit 60" in error["message"]
    assert "Please try again in 1.000s." in error["message"]


def test_openai_calls_an_empty_account_insufficient_quota():
    play = refused_by('headers = "openai"\n[balance]\nusd = 0.0\n')
    assert (play.status, body_of(play)["error"]["type"]) == (429, "insufficient_quota")


def test_azure_gives_the_status_as_code_and_seconds_in_the_text():
    error = body_of(refused_by('headers = "azure"\n' + REFUSING))["error"]
    assert error["code"] == "429"
    assert error["message"].endswith("Please retry after 1 seconds.")


@pytest.mark.parametrize(
    ("law", "status", "kind"),
    [
        (REFUSING, 429, "rate_limit_error"),
        ("[balance]\nusd = 0.0\n", 402, "billing_error"),
        ("[queue]\nslots = 1\nmost_waiting = 0\n[latency]\nmedian_s = 1\n", 529, "overloaded_error"),
    ],
)
def test_anthropic_has_its_own_types(law, status, kind):
    play = refused_by('headers = "anthropic"\n' + law)
    assert (play.status, body_of(play)["type"], body_of(play)["error"]["type"]) == (status, "error", kind)


def test_a_messages_request_is_refused_in_anthropics_form_whatever_the_headers():
    play = refused_by(REFUSING, url="http://127.0.0.1/v1/messages", max_tokens=5)
    assert (play.status, body_of(play)["type"]) == (429, "error")


def test_openrouter_types_its_errors():
    error = body_of(refused_by('headers = "openrouter"\n' + REFUSING))["error"]
    assert (error["code"], error["metadata"]["error_type"]) == (429, "rate_limit_exceeded")


def test_mistral_writes_the_error_at_the_top():
    assert body_of(refused_by('headers = "mistral"\n' + REFUSING))["type"] == "rate_limited"


@pytest.mark.parametrize(("per_s", "quota"), [(60, "PerMinute"), (86400, "PerDay")])
def test_gemini_tells_quota_and_wait_in_its_details(per_s, quota):
    law = f'headers = "gemini"\n[[rates]]\ncounts = "requests"\namount = 1\nper_s = {per_s}\nshape = "window"\n'
    (wrapped,) = body_of(refused_by(law))
    failure, retry = wrapped["error"]["details"]
    assert wrapped["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert failure["violations"][0]["quotaId"] == f"GenerateRequests{quota}PerProjectPerModel"
    assert retry["retryDelay"] == f"{per_s}s"


def test_deepseek_states_the_numbers_of_its_cap():
    message = body_of(refused_by('headers = "deepseek"\nconcurrency = 1\n[latency]\nmedian_s = 1\n'))["error"][
        "message"
    ]
    assert re.findall(r"\d+", message) == ["2", "1"]


def test_the_law_may_choose_status_and_words():
    law = '[refusal]\nstatus = 503\nmessage = "Not now"\ncode = "busy"\n' + REFUSING
    play = refused_by(law)
    assert (play.status, body_of(play)["error"]["message"], body_of(play)["error"]["code"]) == (503, "Not now", "busy")


@pytest.mark.parametrize(("body", "start"), [("html", b"<html>"), ("empty", b"")])
def test_a_refusal_may_come_from_a_gateway(body, start):
    play = refused_by(f'[refusal]\nbody = "{body}"\n' + REFUSING)
    assert play.status == 429
    assert play.scenes[0].data[:6] == start


@pytest.mark.parametrize(
    ("law", "error"),
    [
        ("concurrency = 1\n[latency]\nmedian_s = 1\n", errors.Throttled),
        (REFUSING, errors.Throttled),
        ("[balance]\nusd = 0.0\n", errors.OutOfFunds),
        ("[queue]\nslots = 1\nmost_waiting = 0\n[latency]\nmedian_s = 1\n", errors.Overloaded),
    ],
)
@pytest.mark.parametrize("dialect", ["none", "deepseek", "openai", "groq", "together", "fireworks"])
def test_the_dialect_understands_every_refusal(dialect, law, error):
    play = refused_by(f'headers = "{dialect}"\n' + law)
    with pytest.raises(errors.CallError) as caught:
        openai_chat.decode(HttpReply(play.status, play.headers, play.scenes[0].data))
    assert type(caught.value) is error
