"""What a run has cost, folded from its journal: every call that left, also those that brought nothing.

A call is one of these:

    free            refused, or it never left: the provider says so, and bills nothing
    charged         the provider reported its tokens, or what it took; `Cause` says what the money was for
    unmetered       an answer came without a count of tokens: estimated, never 0
    possibly billed it was sent and nothing usable came back; what it cost at most is shown beside what was spent

Money of charged calls is exact. A call whose price nobody knows is counted apart and makes the sum "at least".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from deepswarm.core.events import CallEnded, CallStarted, Event, RunStarted, SeedEnded
from deepswarm.core.money import NOTHING, Price, Rates, cost, total, worst
from deepswarm.core.records import Outcome, Usage
from deepswarm.core.section import keys_of
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tiers import ORCHESTRATOR
from deepswarm.prices import MOMENT_S, PriceBook, book_of

_ADDRESS: Final[str] = keys_of(TaskSpec)["worker_api_base"].default
_SHORT: Final = frozenset({"truncated", "starved"})
"""Labels of replies that used up their room for tokens."""
REPORTED: Final = "reported by the provider"


class Cause(StrEnum):
    """What the money of a charged call was for."""

    ANSWERS = "answers"
    RETRIES = "retries"
    TRUNCATED = "truncated"
    FAILED = "failed"


class Tokens(NamedTuple):
    """Tokens that were reported. `cached` is part of `tokens_in`, `reasoning` of `tokens_out`.

    `cache_told` counts the tokens of those prompts of which the provider said how much came from its cache.
    """

    tokens_in: int = 0
    cached: int = 0
    tokens_out: int = 0
    reasoning: int = 0
    cache_told: int = 0

    def plus(self, other: Tokens) -> Tokens:
        """The sums."""
        return Tokens(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Line(NamedTuple):
    """Charged calls of one model, tier and cause.

    Attributes:
        model: As it was asked for.
        tier: 0 is the worker tier.
        cause: What the money was for.
        calls: How many.
        tokens: Of all of them, as far as they were reported.
        cost: US dollars, exact, of those whose price is known.
        unpriced: How many of them have no known price.
        unmetered: How many came without a count of tokens.
    """

    model: str
    tier: int
    cause: Cause
    calls: int = 0
    tokens: Tokens = Tokens()
    cost: Decimal = NOTHING
    unpriced: int = 0
    unmetered: int = 0


class Doubt(NamedTuple):
    """Calls that were possibly billed.

    Attributes:
        calls: How many.
        most: US dollars that all of them cost at most; None when nobody knows.
    """

    calls: int = 0
    most: Decimal | None = NOTHING


class Estimate(NamedTuple):
    """Answers without a count of tokens: how many, and their cost in US dollars at the mean of the others, if known."""

    calls: int = 0
    about: Decimal | None = NOTHING


_NO_DOUBT: Final = Doubt()
_NO_ESTIMATE: Final = Estimate()


class Source(NamedTuple):
    """Where the price of a model comes from, and the day on which it was checked there; empty when unknown."""

    model: str
    source: str
    checked: str


@dataclass(frozen=True, slots=True)
class Bill:
    """A run's bill.

    Attributes:
        lines: By model, tier and cause.
        doubt: What was possibly billed, beside what was spent.
        unmetered: Answers without a count of tokens.
        free: Calls that the provider refused; those that never left are not counted at all.
        sources: Of the prices, in the order of the models' names.
        simulated: No model was asked: this is what it would have cost.
    """

    lines: tuple[Line, ...] = ()
    doubt: Doubt = _NO_DOUBT
    unmetered: Estimate = _NO_ESTIMATE
    free: int = 0
    sources: tuple[Source, ...] = ()
    simulated: bool = False

    @property
    def spent(self) -> Decimal:
        """US dollars of all charged calls whose price is known, exact."""
        return total(line.cost for line in self.lines)

    @property
    def calls(self) -> int:
        """Charged and unmetered calls."""
        return sum(line.calls for line in self.lines)

    @property
    def unpriced(self) -> tuple[str, ...]:
        """Models without a known price, by name."""
        return tuple(sorted({line.model for line in self.lines if line.unpriced}))

    @property
    def tokens(self) -> Tokens:
        """Of all charged calls."""
        return _sum(line.tokens for line in self.lines)

    @property
    def cache_share(self) -> float | None:
        """Share of prompt tokens that came from the cache, 0 to 1; None when no provider said."""
        tokens = self.tokens
        return tokens.cached / tokens.cache_told if tokens.cache_told else None

    def by_cause(self) -> dict[Cause, Decimal]:
        """US dollars by what they were for."""
        return {cause: total(line.cost for line in self.lines if line.cause is cause) for cause in Cause}


def _sum(parts: Iterable[Tokens]) -> Tokens:
    whole = Tokens()
    for part in parts:
        whole = whole.plus(part)
    return whole


class _Charged(NamedTuple):
    """A call that costs something, until it is known what for."""

    call: int
    label: str
    model: str
    tier: int
    usage: Usage
    rates: Rates | None
    reported: Decimal | None
    metered: bool


@dataclass(slots=True)
class _Sums:
    """A line in the making: tokens are added as whole numbers, and priced once at the end."""

    calls: int = 0
    unpriced: int = 0
    unmetered: int = 0
    reasoning: int = 0
    cache_told: int = 0
    reported: Decimal = NOTHING
    tokens: dict[Rates | None, list[int]] = field(default_factory=dict)

    def add(self, charged: _Charged) -> None:
        """Add a call."""
        _, _, _, _, (tokens_in, tokens_out, cached, reasoning), rates, reported, metered = charged
        tokens_in = tokens_in or 0
        self.calls += 1
        if not metered:
            self.unmetered += 1
        elif reported is not None:
            self.reported = total((self.reported, reported))
        elif rates is None:
            self.unpriced += 1
        sums = self.tokens.get(rates)
        if sums is None:
            sums = self.tokens[rates] = [0, 0, 0]
        sums[0] += tokens_in
        if cached is not None:
            self.cache_told += tokens_in
            sums[1] += min(cached, tokens_in)
        if tokens_out is not None:
            sums[2] += tokens_out
        if reasoning is not None:
            self.reasoning += reasoning

    def line(self, model: str, tier: int, cause: Cause) -> Line:
        """The line that it has become."""
        tokens_in, cached, tokens_out = (sum(column) for column in zip(*self.tokens.values(), strict=True))
        tokens = Tokens(tokens_in, cached, tokens_out, self.reasoning, self.cache_told)
        return Line(model, tier, cause, self.calls, tokens, self.money(), self.unpriced, self.unmetered)

    def money(self) -> Decimal:
        """US dollars of those whose price is known."""
        amounts = [cost(Usage(came_in, out, cached), rates) for rates, (came_in, cached, out) in self._priced()]
        return total([self.reported, *(amount for amount in amounts if amount is not None)])

    def _priced(self) -> list[tuple[Rates, list[int]]]:
        return [(rates, sums) for rates, sums in self.tokens.items() if rates is not None]


@dataclass(slots=True)
class _Doubtful:
    """A possibly billed call; the size of its prompt is known once the same seed was asked with a reply."""

    seed: int
    price: Price | None
    max_tokens: int | None
    tokens_in: int | None = None


@dataclass(slots=True)
class Billing:
    """The fold. Memory follows the seeds under way, and the calls that were possibly billed.

    Attributes:
        newest: The task whose `prices` hold for all sessions, so that a price can be named afterwards; None takes
            those of each session's own task.
    """

    newest: Mapping[str, Any] | None = None
    _task: Mapping[str, Any] = field(default_factory=dict)
    _book: PriceBook = field(default_factory=lambda: PriceBook(_ADDRESS))
    _reports_cost: bool = False
    _steady: dict[tuple[str, str, float], Rates] = field(default_factory=dict)
    _simulated: bool = False
    _tiers: dict[int, int] = field(default_factory=dict)
    _last: dict[int, _Charged] = field(default_factory=dict)
    _lines: dict[tuple[str, int, Cause], _Sums] = field(default_factory=dict)
    _doubts: list[_Doubtful] = field(default_factory=list)
    _open_doubts: dict[int, list[_Doubtful]] = field(default_factory=dict)
    _sources: dict[str, Source] = field(default_factory=dict)
    _most_in: int = 0
    _most_out: int = 0
    _short: int = 0
    _free: int = 0

    def watch(self, events: Iterable[Event]) -> None:
        """Add events, in their order."""
        for event in events:
            if isinstance(event, CallStarted):
                if event.tier:
                    self._tiers[event.call] = event.tier
            elif isinstance(event, CallEnded):
                self._call_ended(event, self._tiers.pop(event.call, 0))
            elif isinstance(event, SeedEnded):
                self._seed_ended(event)
            elif isinstance(event, RunStarted):
                self._run_started(event)

    def _run_started(self, event: RunStarted) -> None:
        self._task = json.loads(event.task)
        self._simulated = event.simulated
        prices = self._task if self.newest is None else self.newest
        self._book = book_of({**self._task, "prices": prices.get("prices")}, _ADDRESS)
        self._reports_cost = self._book.reports_cost
        self._steady.clear()

    def _call_ended(self, event: CallEnded, tier: int) -> None:
        if event.label == "unsent":
            return
        model_key = "orchestrator_model" if tier == ORCHESTRATOR else "worker_model"
        usage, asked = event.usage, str(self._task.get(model_key, ""))
        if event.label in _SHORT:
            self._short += 1
        if event.maybe_billed:
            self._doubt(event, asked)
            return
        reported = reported_cost(event.body) if self._reports_cost else None
        metered = reported is not None or (usage.tokens_in is not None and usage.tokens_out is not None)
        if event.label != "ok" and usage.tokens_in is None and usage.tokens_out is None:
            self._free += 1
            return
        self._note_sizes(event.seed, usage)
        if reported is not None:
            self._sources[asked] = Source(asked, REPORTED, "")
        rates = self._rates(event, asked) if reported is None and metered else None
        before = self._last.pop(event.seed, None)
        if before is not None:
            self._book_line(before, Cause.RETRIES)
        self._last[event.seed] = _Charged(event.call, event.label, asked, tier, usage, rates, reported, metered)

    def _rates(self, event: CallEnded, asked: str) -> Rates | None:
        key = (asked, event.model, event.utc // MOMENT_S)
        if (steady := self._steady.get(key)) is not None:
            return steady
        price = self._book.of(asked, event.utc, event.model)
        if price is None:
            return None
        if asked not in self._sources:
            self._sources[asked] = Source(asked, price.source, price.checked)
        rates = price.at(event.utc, event.usage.tokens_in or 0)
        if not price.larger:  # what depends on the hour alone is looked up once
            self._steady[key] = rates
        return rates

    def _doubt(self, event: CallEnded, asked: str) -> None:
        price = self._book.of(asked, event.utc, event.model)
        doubtful = _Doubtful(event.seed, price, self._task.get("worker_max_tokens"), event.usage.tokens_in)
        self._doubts.append(doubtful)
        if doubtful.tokens_in is None:
            self._open_doubts.setdefault(event.seed, []).append(doubtful)
        if price is not None:
            self._sources.setdefault(asked, Source(asked, price.source, price.checked))

    def _note_sizes(self, seed: int, usage: Usage) -> None:
        tokens_in, tokens_out, _, _ = usage
        if tokens_in is not None:
            self._most_in = max(self._most_in, tokens_in)
            if seed in self._open_doubts:
                for doubtful in self._open_doubts.pop(seed):
                    doubtful.tokens_in = tokens_in
        if tokens_out is not None:
            self._most_out = max(self._most_out, tokens_out)

    def _seed_ended(self, event: SeedEnded) -> None:
        last = self._last.pop(event.seed, None)
        if last is None:
            return
        answered = event.outcome is Outcome.DONE and last.call == event.call
        self._book_line(last, Cause.ANSWERS if answered else Cause.FAILED)

    def _book_line(self, charged: _Charged, cause: Cause) -> None:
        cause = Cause.TRUNCATED if charged.label in _SHORT else cause
        key = (charged.model, charged.tier, cause)
        sums = self._lines.get(key)
        if sums is None:
            sums = self._lines[key] = _Sums()
        sums.add(charged)

    def settled(self) -> Decimal:
        """US dollars of all charged calls whose price is known, without the last ones of seeds still under way."""
        return total(sums.money() for sums in self._lines.values())

    def so_far(self) -> tuple[Decimal, int]:
        """US dollars of all charged calls until now whose price is known, and how many have no known price or size."""
        amounts, unknown = [], 0
        for (model, tier, cause), sums in self._lines.items():
            line = sums.line(model, tier, cause)
            amounts.append(line.cost)
            unknown += line.unpriced + line.unmetered
        for last in self._last.values():
            sums = _Sums()
            sums.add(last)
            line = sums.line(last.model, last.tier, Cause.RETRIES)
            amounts.append(line.cost)
            unknown += line.unpriced + line.unmetered
        return total(amounts), unknown

    def bill(self) -> Bill:
        """What all events add up to; charged calls of seeds still under way count as retries. The fold can go on."""
        before = deepcopy(self._lines)
        for last in self._last.values():
            self._book_line(last, Cause.RETRIES)
        booked, self._lines = self._lines, before
        ordered = tuple(booked[key].line(*key) for key in sorted(booked))
        return Bill(
            ordered,
            self._doubt_bounds(),
            _estimated(ordered),
            self._free,
            tuple(self._sources[name] for name in sorted(self._sources)),
            self._simulated,
        )

    def _doubt_bounds(self) -> Doubt:
        """Each as large as its seed's prompt is known to be, or else the run's largest, and the longest answer."""
        amounts = [self._doubt_bound(doubtful) for doubtful in self._doubts]
        known = [amount for amount in amounts if amount is not None]
        return Doubt(len(amounts), total(known) if len(known) == len(amounts) else None)

    def _doubt_bound(self, doubtful: _Doubtful) -> Decimal | None:
        tokens_in = self._most_in if doubtful.tokens_in is None else doubtful.tokens_in
        # a reply that was cut short is asked again with twice the room, and later seeds with it
        room = (doubtful.max_tokens or 0) * (2 if self._short else 1)
        tokens_out = max(room, self._most_out)
        if doubtful.price is None or not tokens_in or not tokens_out:
            return None
        return worst(tokens_in, tokens_out, doubtful.price)


def _estimated(lines: tuple[Line, ...]) -> Estimate:
    """Answers without a count of tokens cost about what the counted ones of the same model cost on average."""
    calls = sum(line.unmetered for line in lines)
    about: Decimal | None = NOTHING
    for model in {line.model for line in lines if line.unmetered}:
        of_model = [line for line in lines if line.model == model]
        priced = sum(line.calls - line.unmetered - line.unpriced for line in of_model)
        if not priced or about is None:
            about = None
            continue
        missing = sum(line.unmetered for line in of_model)
        about += total(line.cost for line in of_model) * missing / priced
    return Estimate(calls, about)


def reported_cost(body: bytes) -> Decimal | None:
    """What an answer says that was taken for it, in US dollars; None when it does not say."""
    if b'"cost"' not in body:
        return None
    try:
        amount = json.loads(body, parse_float=Decimal)["usage"]["cost"]
        found = Decimal(amount) if type(amount) in {int, Decimal} else None
    except (ValueError, KeyError, TypeError):
        return None
    return found if found is not None and found.is_finite() and found >= 0 else None


def bill_of(events: Iterable[Event], newest: Mapping[str, Any] | None = None) -> Bill:
    """The bill of a whole journal.

    Args:
        events: In order, from the first on.
        newest: The task whose `prices` hold for all sessions; None takes those of each session's own task.
    """
    billing = Billing(newest)
    billing.watch(events)
    return billing.bill()
