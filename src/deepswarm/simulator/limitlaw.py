"""What a provider refuses and why: the keys that say so in a law file. Data only; `law.py` explains each key."""

# ruff: noqa: RUF009 - the functions of lawfile.py that stand as defaults make dataclass fields
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from deepswarm.simulator.lawfile import choice, flag, number, rate, table, tables, text, whole


class HeaderDialect(StrEnum):
    """Whose rate-limit headers are sent, and whose error bodies a refusal has."""

    NONE = "none"
    DEEPSEEK = "deepseek"
    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    OPENROUTER = "openrouter"
    GROQ = "groq"
    TOGETHER = "together"
    FIREWORKS = "fireworks"
    MISTRAL = "mistral"
    GEMINI = "gemini"
    VLLM = "vllm"


class RetryAfter(StrEnum):
    """In which header a refusal says how long to wait."""

    AUTO = "auto"
    NONE = "none"
    SECONDS = "seconds"
    MS = "ms"
    BOTH = "both"
    DATE = "date"


class RefusalBody(StrEnum):
    """What the body of a refusal is."""

    JSON = "json"
    HTML = "html"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class RefusalLaw:
    """What refusals look like, where the dialect's own manners are not wanted."""

    status: int = whole(0, low=400, high=599)
    message: str = text("")
    code: str = text("")
    body: RefusalBody = choice(RefusalBody, RefusalBody.JSON)
    retry_after: RetryAfter = choice(RetryAfter, RetryAfter.AUTO)
    after_s: float = number(0.0)


class Counted(StrEnum):
    """What a rate limit counts. `UNCACHED_TOKENS` are prompt tokens that no stored prefix holds; `USD` is the bill."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    INPUT_TOKENS = "input_tokens"
    UNCACHED_TOKENS = "uncached_tokens"
    OUTPUT_TOKENS = "output_tokens"
    USD = "usd"


class Shape(StrEnum):
    """How a rate limit is kept: a bucket that fills evenly, or a count that starts anew with each period."""

    BUCKET = "bucket"
    WINDOW = "window"


class Charge(StrEnum):
    """When a rate limit counts the answer.

    `RESERVE` counts the most that it may cost at admission and leaves it at that; `REFUND` does the same and corrects
    it at the end; `END` counts the prompt at admission and the answer at the end, so that a limit can be overdrawn.
    """

    RESERVE = "reserve"
    REFUND = "refund"
    END = "end"


@dataclass(frozen=True, slots=True)
class RateLaw:
    """One rate limit: so much per period."""

    counts: Counted = choice(Counted)
    amount: float = number(0.0)
    name: str = text("")
    per_s: float = number(60.0, low=0.001)
    shape: Shape = choice(Shape, Shape.BUCKET)
    burst_s: float = number(0.0)
    first_reset_s: float = number(0.0)
    charge: Charge = choice(Charge, Charge.REFUND)
    refused: bool = flag(default=False)
    failed: bool = flag(default=True)
    advertise: float | None = number(None)
    grow: float = number(0.0, high=10.0)
    most: float = number(0.0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if not self.amount:
            yield "", "the key 'amount' is missing, or 0"
        if self.shape is Shape.WINDOW and self.burst_s:
            yield "burst_s", "means nothing for the shape 'window': shorten per_s and amount instead"
        if self.shape is Shape.BUCKET and self.first_reset_s:
            yield "first_reset_s", "means nothing for the shape 'bucket'"
        if bool(self.grow) != bool(self.most):
            yield "", "the keys 'grow' and 'most' stand together or not at all"

    @property
    def label(self) -> str:
        """What refusals and the ledger call it."""
        return self.name or f"{self.counts} per {self.per_s:g} s"


@dataclass(frozen=True, slots=True)
class GrowthLaw:
    """Acceleration limit: what is admitted in one period follows what was admitted in the period before."""

    factor: float = number(0.0)
    counts: Counted = choice(Counted, Counted.REQUESTS)
    period_s: float = number(60.0, low=0.001)
    least: float = number(1.0)
    most: float = number(0.0)
    freeze_s: float = number(0.0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if self.factor and self.factor < 1.0:
            yield "factor", "must be 1 or more: the growth from one period to the next"
        if self.counts not in {Counted.REQUESTS, Counted.TOKENS, Counted.INPUT_TOKENS, Counted.UNCACHED_TOKENS}:
            yield "counts", "must be known when a request arrives"


@dataclass(frozen=True, slots=True)
class CapAt:
    """The concurrency cap of an account that has at least so much money left."""

    at_least: float = number(0.0)
    concurrency: int = whole(1, low=1)


@dataclass(frozen=True, slots=True)
class TopUp:
    """Money that is paid in."""

    at_s: float = number(0.0)
    usd: float = number(0.0)


@dataclass(frozen=True, slots=True)
class BalanceLaw:
    """The account's money, and the concurrency cap that shrinks with it."""

    usd: float | None = number(None)
    cap_per_usd: float = number(0.0)
    caps: tuple[CapAt, ...] = tables(CapAt)
    top_ups: tuple[TopUp, ...] = tables(TopUp)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if self.usd is None and (self.cap_per_usd or self.caps or self.top_ups):
            yield "", "the key 'usd' is missing"
        if self.cap_per_usd and self.caps:
            yield "cap_per_usd", "stands for a table of caps; leave one of them out"


@dataclass(frozen=True, slots=True)
class InFlightBudget:
    """The most that all requests in flight may cost together, by estimate."""

    usd: float | None = number(None)
    balance_share: float = rate(0.0)
    retry_after_s: float | None = number(None)


@dataclass(frozen=True, slots=True)
class QueueLaw:
    """How many requests run at once while the others wait, and how they slow each other down."""

    slots: int = whole(0)
    most_waiting: int | None = whole(None)
    knee: float = number(0.0)
    thrash_above: int = whole(0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if not self.slots and self.most_waiting is not None:
            yield "most_waiting", "means nothing without 'slots'"


@dataclass(frozen=True, slots=True)
class Tenant:
    """Somebody else on the same account, who takes a share of every limit for a time."""

    share: float = rate(0.5)
    from_s: float = number(0.0)
    until_s: float | None = number(None)
    every_s: float = number(0.0)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if self.until_s is not None and self.until_s <= self.from_s:
            yield "until_s", "must be later than from_s"
        if self.every_s and (self.until_s is None or self.every_s < self.until_s - self.from_s):
            yield "every_s", "must be at least as long as the time from from_s until until_s"


@dataclass(frozen=True, slots=True)
class Step:
    """Other numbers from a moment on. What is left out stays as it is."""

    at_s: float = number(0.0)
    concurrency: int | None = whole(None)
    slots: int | None = whole(None)
    slowdown: float | None = number(None, low=0.001)
    answer_tokens: int | None = whole(None, low=1)
    rate: str = text("")
    amount: float | None = number(None, low=0.001)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        if bool(self.rate) != (self.amount is not None):
            yield "", "the keys 'rate' and 'amount' stand together or not at all"


@dataclass(frozen=True, slots=True)
class CacheLaw:
    """What the provider remembers of prompts."""

    unit_tokens: int = whole(0)
    least_tokens: int = whole(0)
    after: int = whole(2, low=1)
    ttl_s: float | None = number(None)
    most_units: int = whole(100_000, low=1)


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars per million tokens."""

    input: float = number(0.0)
    cached: float | None = number(None)
    output: float = number(0.0)


@dataclass(frozen=True, slots=True)
class LimitLaws:
    """All that decides about admission and about money.

    Attributes:
        concurrency: Most requests in flight; 0 is no cap.
        retry_after_s: Seconds to wait that a refusal names when its limit cannot tell them; None names none.
        assumed_tokens: What an answer may cost, in tokens, when the request names no max_tokens.
        headers: Whose headers and error bodies.
        refusal: What refusals look like otherwise.
        rates: Rate limits; all of them hold at once.
        growth: Acceleration limit.
        balance: The account's money.
        in_flight_budget: Most dollars in flight.
        queue: Slots, and how requests slow each other down.
        tenants: Who else uses the account.
        steps: Other numbers from a moment on.
        cache: Stored prefixes.
        prices: Of tokens.
    """

    concurrency: int = whole(0)
    retry_after_s: float | None = number(None)
    assumed_tokens: int = whole(1000)
    headers: HeaderDialect = choice(HeaderDialect, HeaderDialect.NONE)
    refusal: RefusalLaw = table(RefusalLaw)
    rates: tuple[RateLaw, ...] = tables(RateLaw)
    growth: GrowthLaw = table(GrowthLaw)
    balance: BalanceLaw = table(BalanceLaw)
    in_flight_budget: InFlightBudget = table(InFlightBudget)
    queue: QueueLaw = table(QueueLaw)
    tenants: tuple[Tenant, ...] = tables(Tenant)
    steps: tuple[Step, ...] = tables(Step)
    cache: CacheLaw = table(CacheLaw)
    prices: Prices = table(Prices)

    def check(self) -> Iterator[tuple[str, str]]:
        """What no single key shows to be wrong."""
        known = {name for law in self.rates for name in (law.label, law.counts.value)}
        for step in self.steps:
            if step.rate and step.rate not in known:
                yield "steps", f"there is no rate limit '{step.rate}'; known: {', '.join(sorted(known)) or 'none'}"
