"""Laws: how a simulated provider behaves. Data only; `limits.py`, `provider.py` and `behaviour.py` carry them out.

A law file is TOML. Every key is optional but `kind` of a fault and `counts` and `amount` of a rate; unknown keys are
refused. Times named at_s, from_s and until_s are seconds since the provider's first request; money is US dollars.

    concurrency = 64            most requests in flight, 0 = no cap; one more gets a 429 that states the numbers
    retry_after_s = 2.0         how long a refusal says to wait when its limit cannot tell; leave it out to say nothing
    assumed_tokens = 1000       what an answer may cost at most when the request names no max_tokens
    headers = "openai"          whose rate-limit headers and error bodies: none deepseek openai azure anthropic
                                openrouter groq together fireworks mistral gemini vllm; what they are: headers.py

    [refusal]                   what refusals look like, instead of the dialect's own manners
    status = 503                400 to 599
    message = "Slow down"
    code = "slow_down"
    body = "html"               a gateway's page, "empty", or "json"
    retry_after = "auto"        as the dialect does; none seconds ms (retry-after-ms) both date; none of them when
                                nobody knows how long
    after_s = 0.25              how long a refusal takes, from 0.6 to 1.6 times this

    [[rates]]                   a rate limit; any number of them, and all hold at once
    counts = "requests"         requests tokens input_tokens uncached_tokens output_tokens usd
    amount = 600                so many per period
    per_s = 60.0                length of the period
    name = "rpm"                what the ledger calls it; "requests per 60 s" when left out
    shape = "bucket"            fills evenly; "window": starts anew with each period
    burst_s = 60.0              (bucket) it holds what comes in so many seconds; 0 = per_s. 1 enforces 600 per minute
                                as 10 per second. A request larger than that can never be admitted
    first_reset_s = 3600.0      (window) when the first period ends; 0 = after per_s
    charge = "refund"           prompt + max_tokens at admission, what was not used comes back at the end; "reserve":
                                nothing comes back; "end": the prompt at admission, the answer late, at the end
    refused = false             true: refused requests count, too, down to a fifth of the bucket below 0
    failed = true               false: requests that got no completion count nothing in the end
    advertise = 600             what headers say that the amount is, when that is not the truth
    grow = 0.1                  adaptive: a period of which half was used by completions raises the amount by so much,
    most = 6000                 up to this; one of which less than a tenth was used takes that back, down to amount

    [growth]                    acceleration limit, refused with slow_down
    factor = 1.5                a period admits at most so many times what the period before admitted; 0 = no limit,
    counts = "requests"         or tokens, input_tokens, uncached_tokens (tokens: prompt + max_tokens)
    period_s = 60.0
    least = 40                  always allowed,
    most = 600                  never exceeded; 0 = no end
    freeze_s = 20.0             after a refusal the allowance does not grow for so long

    [balance]                   the account's money; without any left: 402 (insufficient_quota at OpenAI)
    usd = 5.0
    cap_per_usd = 20.0          concurrency cap per dollar left, at least 1; or a table of caps:
    [[balance.caps]]            the first that fits counts; below all of them the cap is 1
    at_least = 10.0             dollars left
    concurrency = 500
    [[balance.top_ups]]
    at_s = 600.0
    usd = 20.0

    [in_flight_budget]          402 with limit_source, as OpenRouter: estimated cost of all requests in flight
    usd = 0.5                   at most so much,
    balance_share = 0.1         or this share of the balance
    retry_after_s = 5.0

    [queue]                     a server of one's own: requests wait in order of arrival, without a 429
    slots = 256                 run at once; 0 = no queue
    most_waiting = 1000         one more gets a 503; left out: no bound
    knee = 80.0                 requests beside it that double the time per token, so that all together never make
                                more tokens per second than 80 times what one alone does; 0 = they do not disturb
    thrash_above = 160          running requests above which the time per token grows by (running / this) ** 0.7; 0 off

    [[tenants]]                 somebody else on the same account
    share = 0.5                 of the concurrency cap and of all rates; the headers' limits stay as they are
    from_s = 600.0
    until_s = 1500.0            for ever when left out
    every_s = 3600.0            again and again; 0 = once

    [[steps]]                   other numbers from a moment on; what is left out stays as it is
    at_s = 900.0
    concurrency = 50
    slots = 32
    slowdown = 3.0              factor on the time per token
    answer_tokens = 400         median of [tokens]
    rate = "requests"           every rate that counts this, or the one of this name,
    amount = 200                has this amount

    [cache]                     prefix cache, by whole messages
    unit_tokens = 64            hits are whole multiples of it; 0 = no cache
    least_tokens = 1024         shorter hits count nothing
    after = 2                   requests that must share a prefix before others hit it; a whole prompt is stored at once
    ttl_s = 300.0               forgotten when unused for so long; never when left out
    most_units = 100_000        the ones unused for longest are forgotten

    [prices]                    US dollars per million tokens
    input = 0.15
    cached = 0.003              prompt tokens from the cache; as input when left out
    output = 0.60               reasoning counts as output

    [latency]                   seconds of an answer: lognormal(median_s, sigma) + per_token_s * tokens of the answer
                                + lognormal(first_token_s, first_token_sigma)
                                + tokens of the answer / lognormal(tokens_per_s, tokens_per_s_sigma)
    median_s = 2.0              0 = at once
    sigma = 0.5                 0 = always the median
    per_token_s = 0.0
    first_token_s = 0.8
    first_token_sigma = 0.4
    tokens_per_s = 50.0         0 = not used
    tokens_per_s_sigma = 0.25

    [tokens]                    tokens of a text answer: lognormal, never more than the request's max_tokens
    median = 100
    sigma = 0.3

    [reply]
    kind = "text"               "json": a JSON value instead, which fits the task's schema when there is one
    fenced = 0.0                share of JSON replies inside a Markdown fence,
    prose = 0.0                 with prose around,
    trailing_comma = 0.0        with a comma too many,
    truncated = 0.0             or broken off; together at most 1

    [stream]
    chunk_tokens = 1            tokens in one piece of a streamed answer
    keep_alive_s = 1.0          seconds between blank lines or SSE comments until the first token; 0 = none
    reasoning = 0.0             share of the tokens that are spent on thinking
    usage = "end"               where a stream reports its usage: in the last piece, never, null in each, or each

    [[faults]]                  what goes wrong with admitted requests; the first that hits decides; faultlaw.py

    [bench]                     how `./swarm bench pace` loads this provider; nothing that the provider does follows it
    horizon_s = 1800.0          how long; there is always one more seed
    prompt_tokens = 40          median of a prompt's tokens, lognormal,
    prompt_sigma = 0.5          with this sigma
    max_tokens = 8192           that every call asks for
    ceiling = 4096              most calls at once
    best_calls = 268            calls at once beyond which a server of one's own does not get faster: what the oracle
                                keeps to; 0 = as many as are admitted
"""

# ruff: noqa: RUF009 - the functions of lawfile.py that stand as defaults make dataclass fields
from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.records import Json
from deepswarm.simulator.faultlaw import Fault
from deepswarm.simulator.lawfile import choice, number, rate, read_toml, table, tables, whole
from deepswarm.simulator.limitlaw import LimitLaws

LAWS: Final = Path(__file__).parent / "laws"

ANY_OBJECT: Final[Mapping[str, Json]] = {
    "type": "object",
    "properties": {"text": {"type": "string", "minLength": 20}},
    "required": ["text"],
}
"""What a JSON reply fits as long as no schema was given."""


class ReplyKind(StrEnum):
    """What an answer's text is."""

    TEXT = "text"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the start of the work to the answer: lognormal, plus a time for each token of the answer."""

    median_s: float = number(0.0)
    sigma: float = number(0.0, high=10.0)
    per_token_s: float = number(0.0)
    first_token_s: float = number(0.0)
    first_token_sigma: float = number(0.0, high=10.0)
    tokens_per_s: float = number(0.0)
    tokens_per_s_sigma: float = number(0.0, high=10.0)


class UsageWhen(StrEnum):
    """Where a streamed answer reports its usage: in the last piece, nowhere, as null in the last, or in every one."""

    END = "end"
    NEVER = "never"
    NULL = "null"
    EACH = "each"


@dataclass(frozen=True, slots=True)
class StreamLaw:
    """How answers come in pieces. `keep_alive_s` also holds for answers that come whole."""

    chunk_tokens: int = whole(1, low=1, high=1_000_000)
    keep_alive_s: float = number(0.0)
    reasoning: float = rate(0.0)
    usage: UsageWhen = choice(UsageWhen, UsageWhen.END)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens of a text answer: lognormal."""

    median: int = whole(100, low=1, high=10_000_000)
    sigma: float = number(0.0, high=10.0)


@dataclass(frozen=True, slots=True)
class ReplyLaw:
    """What answers are, and the shares of JSON answers that have a defect."""

    kind: ReplyKind = choice(ReplyKind, ReplyKind.TEXT)
    fenced: float = rate(0.0)
    prose: float = rate(0.0)
    trailing_comma: float = rate(0.0)
    truncated: float = rate(0.0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if self.fenced + self.prose + self.trailing_comma + self.truncated > 1.0:
            yield "", "the shares of defects add up to more than 1"


@dataclass(frozen=True, slots=True)
class BenchLaw:
    """How the benchmark of paces loads a provider of this law."""

    horizon_s: float = number(1800.0)
    prompt_tokens: int = whole(40, low=20, high=100_000)
    prompt_sigma: float = number(0.5, high=3.0)
    max_tokens: int = whole(8192, low=1)
    ceiling: int = whole(4096, low=1)
    best_calls: int = whole(0)


@dataclass(frozen=True, slots=True)
class Law(LimitLaws):
    """How a provider behaves.

    Attributes:
        latency: How long answers take.
        tokens: How long text answers are.
        reply: What answers are.
        stream: How answers come in pieces.
        faults: What goes wrong; the first that hits decides.
        bench: How the benchmark of paces loads it.
        name: Of the preset or file, for people.
        schema: JSON Schema that JSON answers fit.
    """

    latency: Latency = table(Latency)
    tokens: Tokens = table(Tokens)
    reply: ReplyLaw = table(ReplyLaw)
    stream: StreamLaw = table(StreamLaw)
    faults: tuple[Fault, ...] = tables(Fault)
    bench: BenchLaw = table(BenchLaw)
    name: str = "unlimited"
    schema: Mapping[str, Json] = field(default_factory=lambda: ANY_OBJECT)

    def with_schema(self, schema: Mapping[str, Json]) -> Law:
        """The same law, whose answers are JSON that fits this JSON Schema."""
        return replace(self, reply=replace(self.reply, kind=ReplyKind.JSON), schema=schema)


def presets() -> list[str]:
    """The names of the laws that ship with the house, in alphabetical order."""
    return sorted(path.stem for path in LAWS.glob("*.toml"))


def scenarios() -> list[str]:
    """The names of the laws that each rehearse one row of the catalogue of failures, in alphabetical order."""
    return sorted(f"catalogue/{path.stem}" for path in (LAWS / "catalogue").glob("*.toml"))


def pace_laws() -> list[str]:
    """The names of the laws that the benchmark of paces is made of, in alphabetical order."""
    return sorted(f"pace/{path.stem}" for path in (LAWS / "pace").glob("*.toml"))


def description(preset: str) -> str:
    """What a preset is, in the one sentence that its file starts with."""
    first = (LAWS / f"{preset}.toml").read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("# ")


def load_law(name_or_path: str | Path) -> Law:
    """The law of a preset's or scenario's name, or of a TOML file.

    Raises:
        TaskFileError: If there is no such preset or file, or it is not a law; names the file and each wrong key.
    """
    name = str(name_or_path)
    path = LAWS / f"{name}.toml" if name in {*presets(), *scenarios(), *pace_laws()} else Path(name)
    try:
        source = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise TaskFileError([_unknown(name)]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise TaskFileError([Problem(f"this law cannot be read: {error}", name)]) from error
    return read_law(source, name)


def read_law(text: str, name: str) -> Law:
    """The law that a TOML text describes.

    Args:
        text: See the module's docstring.
        name: What the law and messages about it are called.

    Raises:
        TaskFileError: If it is not a law; names each wrong key.
    """
    made: Law = read_toml(Law, text, name)
    return replace(made, name=name)


def _unknown(name: str) -> Problem:
    known = presets()
    near = difflib.get_close_matches(name, [*known, *scenarios(), *pace_laws()], n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"give a TOML file, or one of: {', '.join(known)}"
    return Problem("there is no law of this name and no such file", name, hint=hint)
