"""What providers do, one row for each scenario of the failure catalogue, and what has to follow from it.

A row's scenario is the law `simulator/laws/catalogue/<id>.toml`, with which the standard job ends as the row says. What
is no behaviour of a request (a full disk, a killed process) has no scenario and names the tests that cover it.
`docs/reference/failures.md` is made from this table, `tests/engine/test_catalogue.py` runs it.

To add a behaviour: its law, and a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deepswarm.core.errors import (
    BadRequest,
    Cut,
    Declined,
    Disconnected,
    Disposition,
    Empty,
    Garbled,
    Looping,
    NoSuchModel,
    OutOfFunds,
    Overloaded,
    QuotaSpent,
    ReasoningOwed,
    Refused,
    ServerFault,
    Starved,
    Throttled,
    TimedOut,
    TooLarge,
    TooLong,
    Truncated,
    Unauthorized,
    Unreachable,
)
from deepswarm.testing.behaviour import (
    BOTH,
    STREAMED,
    WHOLE,
    Ends,
    Row,
    at_once,
    back_off,
    elsewhere,
    fail_row,
    for_good,
    limit,
    lost,
    network,
    pause,
    row,
    semantic,
    sent,
    streamed,
    tolerated,
)

_WIRE: Final = "tests/wire/test_http_transport.py::"
_RUN: Final = "tests/cli/test_run.py::"
_FILTERS: Final = "tests/doors/test_filters.py::"
_UNREACHED: Final = "conn-refused, DNS fail, TLS fail, connect black-hole"
_GATEWAY: Final = "502/503/504 JSON or HTML; 520/522/524 HTML"
_USAGE: Final = "usage-none / -zero / -late"
_TRUNC: Final = "trunc-CL / trunc-chunk"
_ROOM: Final = {"worker_max_tokens": 200}
_TALKS: Final = {"worker_max_tokens": 3000, "call_timeout": 60.0}
_LOOPING: Final[Mapping[str, Any]] = {"keys": _TALKS, "billed": (STREAMED,), "untold": (STREAMED,)}

_LIMITS: Final = (
    limit("429-conc", "a cap on calls at once; the refusal's words alone state it", Throttled),
    row(
        (Disposition.CAPACITY, Disposition.PAUSE),
        "429-conc-balance",
        "the cap shrinks with the balance, which runs out for a while",
        Throttled,
        OutOfFunds,
        of="429-conc",
        pauses="out_of_funds",
        most_s=90.0,
        requests=12,
    ),
    limit("429-rpm", "a limit of requests per minute, with all headers", Throttled),
    limit("429-tpm", "a limit of tokens per minute that counts max_tokens at admission", Throttled),
    fail_row("429-tpm-one", "a request larger than the limit", BadRequest, of="429-tpm", fails="bad_request"),
    limit("429-burst", "a limit per minute enforced second by second", Throttled, most_s=60.0),
    limit("429-ramp", "slow_down while all limits are kept", Throttled),
    pause(
        "429-daily",
        "the day's quota is used up; the body says 48 seconds",
        QuotaSpent,
        pauses="quota_spent",
        most_s=1200.0,
    ),
    pause(
        "429-daily-long",
        "a refusal that asks to wait for hours",
        QuotaSpent,
        of="429-daily",
        pauses="quota_spent",
        ends=Ends.PAUSED,
    ),
    for_good("429-spend", "the money is gone, told as a 429", OutOfFunds, pauses="out_of_funds"),
    pause(
        "429-spend-limit",
        "a spend limit, raised later",
        OutOfFunds,
        of="429-spend",
        pauses="out_of_funds",
        most_s=1200.0,
    ),
    limit("429-bare", "a refusal without headers or body", Throttled, most_s=30.0),
    limit("429-bare-html", "a refusal as a page of HTML", Throttled, of="429-bare", most_s=30.0),
    limit("429-sustained", "nine of ten calls refused for ten minutes", Throttled, most_s=800.0, floor_s=89.0),
    limit("ra-seconds", "Retry-After: 5", Throttled, of="RA-formats", floor_s=5.0, most_s=60.0),
    limit("ra-half", "Retry-After: 0.5", Throttled, of="RA-formats", floor_s=0.5),
    limit("ra-zero", "Retry-After: 0", Throttled, of="RA-formats"),
    limit("ra-negative", "Retry-After: -3", Throttled, of="RA-formats"),
    limit("ra-nan", "Retry-After: nan", Throttled, of="RA-formats"),
    limit("ra-huge", "Retry-After: 9999999, which is no wait but a mistake", Throttled, of="RA-formats"),
    limit("ra-twice", "Retry-After twice", Throttled, of="RA-formats", floor_s=3.0, most_s=60.0),
    limit("ra-ms", "retry-after-ms", Throttled, of="RA-formats", floor_s=1.5, most_s=30.0),
    limit("ra-date", "Retry-After as a date of another clock", Throttled, of="RA-formats", floor_s=4.0, most_s=60.0),
    limit("ra-words", "the time stands in the message", Throttled, of="RA-formats", floor_s=1.2),
    limit("ra-body", "the time stands in RetryInfo", Throttled, of="RA-formats", floor_s=2.0, most_s=60.0),
    limit(
        "ra-reset",
        "the limit is whole again in 6m0s",
        Throttled,
        of="RA-formats",
        pauses="throttled",
        floor_s=360.0,
        most_s=400.0,
    ),
    limit("402-inflight", "the budget of what is in flight is used up", Throttled, floor_s=2.0, most_s=60.0),
    limit("503-over", "the provider is overloaded", Overloaded, of="503-over / 529"),
    limit("503-gemini", "the provider is overloaded, in Google's form", Overloaded, of="503-over / 529"),
    limit("529", "the provider is overloaded, in Anthropic's form", Overloaded, of="503-over / 529"),
    limit("blank-then-close", "blank lines, then a gateway ends the reply", Overloaded, billed=BOTH),
    limit(
        "queue-blank-close",
        "blank lines, then the queue gives up",
        Overloaded,
        of="queue-blank",
        billed=BOTH,
        untold=BOTH,
    ),
    limit("fr-insuf", "insufficient_system_resource in the middle of an answer", Overloaded),
    limit("cap-drop", "the cap falls from 64 to 8 and rises to 256", Throttled, most_s=60.0),
)

_PAUSES: Final = (
    pause(
        "402",
        "the account is empty from a moment on, and filled later",
        OutOfFunds,
        pauses="out_of_funds",
        most_s=120.0,
    ),
    for_good("402-for-good", "the account stays empty", OutOfFunds, of="402", pauses="out_of_funds"),
    pause(
        "402-flaps",
        "some calls meet an empty account, others are served",
        OutOfFunds,
        of="402",
        pauses="out_of_funds",
        requests=4,
        most_s=120.0,
    ),
    for_good("401-key", "the key is revoked in mid-run", Unauthorized, of="401/403-key", pauses="unauthorized"),
    for_good("403-key", "the key may no longer use the model", Unauthorized, of="401/403-key", pauses="unauthorized"),
    at_once("401-at-once", "the key is wrong", Unauthorized, of="401/403-key"),
    for_good("404", "the model is gone in mid-run", NoSuchModel, of="404/410", pauses="no_such_model"),
    at_once("404-at-once", "there is no such model", NoSuchModel, of="404/410"),
    pause(
        "404-passes",
        "no endpoint serves the model for a while",
        NoSuchModel,
        of="404/410",
        pauses="no_such_model",
        most_s=90.0,
    ),
    for_good("410", "the model has reached its end of life", NoSuchModel, of="404/410", pauses="no_such_model"),
    pause(
        "sse-err-money",
        "the stream brings an error: no money",
        OutOfFunds,
        of="sse-err",
        pauses="out_of_funds",
        modes=(STREAMED,),
        billed=BOTH,
        most_s=90.0,
    ),
)

_INPUTS: Final = (
    fail_row("403-mod", "a guardrail refuses the input", Declined, fails="declined"),
    fail_row("400-risk", "Content Exists Risk", Declined, fails="declined"),
    fail_row("400-risk-detail", "the same as {detail}", Declined, of="400-risk", fails="declined"),
    fail_row("400-ctx", "the input is longer than the window", TooLong, fails="too_long"),
    fail_row(
        "400-json",
        "the provider cannot read the request",
        BadRequest,
        fails="bad_request",
        tests=("tests/doors/test_openai_chat.py::test_lone_surrogates_become_the_replacement_character_everywhere",),
    ),
    fail_row(
        "400-det",
        "an unsupported parameter",
        BadRequest,
        fails="bad_request",
        keys={"worker_params": {"temperature": 0.7}},
    ),
    fail_row("413", "the request is too large, says a gateway", BadRequest, of="413 / 422", fails="bad_request"),
    fail_row("422", "invalid parameters", BadRequest, of="413 / 422", fails="bad_request"),
    fail_row("fr-filter", "a filter cuts the answer", Declined, fails="declined"),
)

_FAULTS: Final = (
    sent("408", "the provider gave up waiting", ServerFault, of="408/409"),
    back_off("409", "a lock at the provider", ServerFault, of="408/409"),
    back_off("500-rand", "something breaks now and then", ServerFault),
    back_off(
        "500-det",
        "an input that breaks the provider each time",
        ServerFault,
        fails="deterministic",
        requests=4,
        most_s=60.0,
    ),
    sent("502", "a gateway's error", ServerFault, of=_GATEWAY),
    sent("502-html", "a gateway's page", ServerFault, of=_GATEWAY),
    back_off("503-html", "a gateway's page", ServerFault, of=_GATEWAY),
    sent("504", "a gateway gave up waiting", ServerFault, of=_GATEWAY),
    sent("520-html", "Cloudflare: the origin broke off", ServerFault, of=_GATEWAY),
    back_off("522-html", "Cloudflare: the origin cannot be reached", ServerFault, of=_GATEWAY),
    sent("524-html", "Cloudflare: the origin took too long", ServerFault, of=_GATEWAY),
    sent(
        "502-outage",
        "nothing is behind the gateway for a minute",
        ServerFault,
        of=_GATEWAY,
        pauses="outage",
        most_s=90.0,
    ),
    sent(
        "reset-preheaders",
        "RST after the request was sent",
        Disconnected,
        tests=(f"{_WIRE}test_a_request_that_crosses_the_goodbye_of_a_kept_connection_is_free_only_if_nobody_read_it",),
    ),
    lost("hang-preheaders", "accepted, and silence", TimedOut, most_s=30.0),
    lost("hang-head", "a head, and silence", TimedOut, of="hang-preheaders", most_s=30.0),
    lost(
        "queue-endless",
        "keep-alives for ever",
        TimedOut,
        of="queue-blank",
        most_s=30.0,
        tests=(f"{_WIRE}test_silence_and_drip_end_at_the_deadline_and_may_have_been_billed",),
    ),
    lost("slow-stall", "three pieces, and silence", TimedOut, of="slow-loris", most_s=40.0),
    lost("trunc", "a reply shorter than announced, or without its last chunk", Cut, of=_TRUNC),
    lost("trunc-reset", "RST in the middle of the reply", Cut, of=_TRUNC),
    lost("sse-eof", "a clean end without a finish reason", Cut, modes=(STREAMED,)),
    lost("sse-done-nofr", "[DONE] without a finish reason", Cut, modes=(STREAMED,)),
    limit(
        "sse-err-data", "the stream brings an error: a limit", Throttled, of="sse-err", modes=(STREAMED,), billed=BOTH
    ),
    limit(
        "sse-err-event", "an event named error: no capacity", Overloaded, of="sse-err", modes=(STREAMED,), billed=BOTH
    ),
    sent("sse-err-finish", "finish reason error: the provider's fault", ServerFault, of="sse-err", modes=(STREAMED,)),
    limit("200-err-null", "a 200 with choices: null and a limit's code", Throttled, of="200-err", modes=(WHOLE,)),
    limit("200-err-empty", "a 200 with choices: [] and an overload's code", Overloaded, of="200-err", modes=(WHOLE,)),
    sent("200-err-absent", "a 200 with a gateway's code", ServerFault, of="200-err", modes=(WHOLE,)),
    sent("200-html", "a page of HTML as a 200", Garbled, of="200-err"),
    lost("200-half", "half of a JSON document", Garbled, of="200-err", modes=(WHOLE,)),
    lost("200-nothing", "a 200 without a byte", Garbled, of="200-err"),
    sent("200-deep", "JSON nested 100,000 deep", Garbled, of="200-err"),
    fail_row(
        "200-huge",
        "an answer of 50 MB",
        TooLarge,
        of="200-err",
        modes=(WHOLE,),
        fails="too_large",
        billed=BOTH,
        untold=BOTH,
    ),
    back_off("fr-odd-eos", "an unknown finish reason", Garbled, of="fr-odd"),
    sent("fr-odd-blank", "an empty finish reason", Cut, of="fr-odd"),
    sent("fr-odd-null", "finish reason null", Cut, of="fr-odd"),
    sent("fr-odd-missing", "no finish reason", Cut, of="fr-odd"),
    sent("fr-odd-error", "finish reason error", ServerFault, of="fr-odd"),
    back_off("brownout", "30 % fail and all is slow, for ten minutes: no outage", ServerFault, requests=8),
)

_CONNECTIONS: Final = (
    network(
        "conn-refused",
        "nobody listens for a minute",
        Unreachable,
        of=_UNREACHED,
        pauses="outage",
        requests=9,
        most_s=120.0,
    ),
    elsewhere(
        "dns-fail",
        "the name has no address",
        of=_UNREACHED,
        tests=(f"{_WIRE}test_a_name_without_an_address_cost_nothing_and_is_named",),
    ),
    elsewhere(
        "tls-fail",
        "the certificate is not trusted",
        of=_UNREACHED,
        tests=("tests/wire/test_roads.py::test_an_unknown_authority_is_not_trusted",),
    ),
    elsewhere(
        "black-hole",
        "nobody accepts the connection",
        of=_UNREACHED,
        tests=(f"{_WIRE}test_a_connection_that_nobody_accepts_ends_at_the_connect_deadline_and_cost_nothing",),
    ),
    row(
        (Disposition.NETWORK, Disposition.CAPACITY),
        "restart",
        "nobody listens, then 503 while it loads, then it is slow",
        Unreachable,
        Overloaded,
        pauses="outage",
        requests=9,
        most_s=120.0,
        keys={"call_timeout": 60.0, "first_token_timeout": 60.0},
    ),
    tolerated(
        "stale-keepalive",
        "idle connections are closed without a word",
        tests=(f"{_WIRE}test_connections_that_the_server_closed_while_idle_are_not_used_again",),
    ),
)

_ANSWERS: Final = (
    semantic("400-reason", "earlier reasoning is missing", ReasoningOwed, fails="reasoning_owed", requests=1),
    semantic("200-empty", "no content", Empty),
    semantic("200-empty-null", "content null", Empty, of="200-empty"),
    semantic("200-empty-absent", "no such field", Empty, of="200-empty"),
    semantic("200-empty-always", "never any content", Empty, of="200-empty", fails="empty"),
    semantic("200-think", "thinking uses up the room", Starved, keys=_ROOM),
    semantic("200-think-stop", "thinking, and a proper end", Starved, of="200-think", keys=_ROOM),
    semantic("200-ws", "nothing but whitespace", Looping, **_LOOPING),
    semantic("fr-length", "the room for tokens is used up", Truncated, keys=_ROOM),
    semantic("fr-length-always", "never finished", Truncated, of="fr-length", fails="truncated", keys=_ROOM),
    semantic("refusal", "the model refuses in a field of its own", Refused, fails="refused"),
    semantic("loop", "twenty characters over and over", Looping, **_LOOPING),
    semantic("loop-1", "one character over and over", Looping, of="loop", **_LOOPING),
    semantic("loop-200", "200 characters over and over", Looping, of="loop", **_LOOPING),
    semantic("loop-reasoning", "thinking in circles", Looping, of="loop", **_LOOPING),
    semantic(
        "loop-near",
        "repetition in variants: ends by its room for tokens",
        Truncated,
        of="loop",
        keys=_TALKS,
        most_s=40.0,
    ),
)

_TOLERATED: Final = (
    tolerated("queue-blank", "blank lines, and then the body", modes=(WHOLE,)),
    streamed("queue-sse", "comments, and then the stream"),
    tolerated("slow-loris", "one token a second, alive", most_s=90.0, keys={"call_timeout": 300.0}),
    tolerated(
        "slow-honest", "twenty times as slow, and honest", keys={"call_timeout": "auto", "first_token_timeout": "auto"}
    ),
    streamed("sse-dup", "role, finish and usage twice"),
    streamed("sse-dup-terminal", "the whole message again in the last chunk", of="sse-dup"),
    streamed("sse-dup-finish", "two finish reasons", of="sse-dup"),
    streamed("sse-usage-null", "usage: null in each chunk, and a chunk without choices", of="sse-dup", untold=BOTH),
    streamed("sse-usage-each", "usage in each chunk", of="sse-dup"),
    streamed("sse-split", "the stream comes byte by byte"),
    streamed("sse-crlf", "lines end by CR LF", of="sse-split"),
    streamed("sse-cr", "lines end by CR", of="sse-split"),
    streamed("sse-no-space", "no space after the colons", of="sse-split"),
    streamed("sse-long-line", "an event of a megabyte", of="sse-split"),
    streamed("sse-order", "content before the role, comments between, the finish too early"),
    streamed("sse-reasoning", "thinking, and then content", of="sse-order"),
    streamed("sse-whole", "a whole reply to a request for a stream", of="sse-order"),
    tolerated("usage-none", "no usage", of=_USAGE, untold=BOTH),
    tolerated("usage-null", "usage: null", of=_USAGE, untold=BOTH),
    tolerated("usage-zero", "usage of 0 tokens", of=_USAGE, untold=BOTH),
    tolerated("usage-late", "usage in the last chunk alone", of=_USAGE),
    tolerated("usage-deepseek", "DeepSeek's names for cached tokens", of=_USAGE),
    tolerated("usage-openai", "OpenAI's names for cached tokens", of=_USAGE),
    tolerated("alias-drift", "another model answers from a moment on"),
    tolerated("wrong-answer-mix", "the answer to somebody else's request: only its words show it"),
    tolerated("refusal-text", "a refusal in the words of the answer: filters find it", of="refusal"),
    tolerated(
        "bad-json-content",
        "JSON with defects: delivered as it is, filters repair or drop it",
        tests=(
            f"{_FILTERS}test_broken_json_with_one_defensible_reading_is_amended",
            f"{_FILTERS}test_json_that_was_cut_off_is_never_kept",
        ),
    ),
    tolerated(
        "bad-args",
        "JSON with a missing quote, likewise",
        tests=(f"{_FILTERS}test_what_would_be_a_guess_is_dropped_with_its_reason",),
    ),
    tolerated("fifo-nolimit", "nothing is refused, everything waits"),
)

_CLIENT: Final = tuple(
    elsewhere(name, what, of="client-side", tests=tests)
    for name, what, tests in (
        (
            "disk-full",
            "ENOSPC",
            (f"{_RUN}test_a_full_disk_pauses_the_run_and_with_more_space_the_same_command_ends_it",),
        ),
        ("read-only", "a folder that cannot be written", (f"{_RUN}test_a_disk_that_may_only_be_read_is_refused",)),
        (
            "files",
            "EMFILE: fewer open files than workers",
            (
                "tests/core/test_calibrate.py::test_a_machine_that_cannot_open_enough_files_caps_the_workers_and_says_so",
            ),
        ),
        (
            "kill",
            "kill -9",
            (
                "tests/crash/test_kill.py::test_twenty_kills_at_random_moments_lose_nothing_and_pay_only_for_what_was_in_flight",
            ),
        ),
        ("pipe", "nobody reads standard output", (f"{_RUN}test_a_run_goes_on_when_nobody_listens",)),
        (
            "clock",
            "the clock jumps by an hour",
            ("tests/engine/test_catalogue.py::test_a_clock_that_jumps_by_an_hour_changes_nothing",),
        ),
        (
            "stopped",
            "SIGSTOP for two minutes",
            ("tests/engine/test_catalogue.py::test_a_process_that_slept_asks_again_what_it_missed_and_loses_nothing",),
        ),
    )
)

CATALOGUE: Final[tuple[Row, ...]] = (
    *_LIMITS,
    *_PAUSES,
    *_INPUTS,
    *_FAULTS,
    *_CONNECTIONS,
    *_ANSWERS,
    *_TOLERATED,
    *_CLIENT,
)
"""All rows, by what they ask for."""
