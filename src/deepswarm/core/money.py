"""What calls cost: tokens and prices in, exact decimals out.

The rules:
    - every amount is a Decimal in US dollars; nothing is rounded before it is shown, and an amount that could not be
      held exactly is an error, never a slightly different number;
    - what is not known (a price, a count of tokens) gives None, which is not 0;
    - a price may depend on the hour and on the size of the prompt; `Price.at` says which rates hold when;
    - reasoning counts as output, cached tokens are part of the input.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal, Inexact, InvalidOperation
from typing import Final, NamedTuple

from deepswarm.core.records import Usage

NOTHING: Final = Decimal(0)
_EXACT: Final = Context(prec=80, traps=[Inexact, InvalidOperation])
"""Sums and products of prices have far fewer digits; what does not fit is refused instead of rounded."""
_ROUNDING: Final = Context(prec=80, rounding=ROUND_HALF_EVEN)
_MILLIONTH: Final = -6


class Rates(NamedTuple):
    """US dollars per million tokens: of the prompt, of its part that came from the cache, of the answer."""

    input: Decimal
    cached: Decimal
    output: Decimal


class Hours(NamedTuple):
    """Hours of a day, UTC.

    Attributes:
        first: The hour that they begin with, from 0.
        end: The hour that no longer belongs to them, at most 24.
    """

    first: int
    end: int


class Larger(NamedTuple):
    """Rates of the whole call when its prompt has more than `above` tokens."""

    above: int
    rates: Rates


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs.

    Attributes:
        model: As the provider, or the task file, names it.
        rates: Outside the peak hours.
        source: Where it was read; "task file" when the task says it.
        checked: The day on which somebody read it there, YYYY-MM-DD; empty when that is not known.
        peak: The rates of the peak hours; None when all hours cost the same.
        hours: The peak hours of a peak day.
        weekdays: The days that have peak hours, from 0, Monday, in UTC.
        off_days: Days without peak hours whatever weekday they are, YYYY-MM-DD.
        larger: Rates of larger prompts, from the smallest bound to the largest; they know no peak hours.
    """

    model: str
    rates: Rates
    source: str
    checked: str = ""
    peak: Rates | None = None
    hours: tuple[Hours, ...] = ()
    weekdays: frozenset[int] = frozenset()
    off_days: frozenset[str] = frozenset()
    larger: tuple[Larger, ...] = ()

    def at(self, utc: float, tokens_in: int = 0) -> Rates:
        """The rates of a call.

        Args:
            utc: When its answer was complete, seconds since 1970: what providers with peak hours go by.
            tokens_in: Size of its prompt, in tokens.
        """
        for bound, rates in reversed(self.larger):
            if tokens_in > bound:
                return rates
        return self.peak if self.peak is not None and self._is_peak(utc) else self.rates

    def _is_peak(self, utc: float) -> bool:
        when = datetime.fromtimestamp(utc, UTC)
        if when.weekday() not in self.weekdays or when.date().isoformat() in self.off_days:
            return False
        return any(first <= when.hour < end for first, end in self.hours)

    def dearest(self, tokens_in: int = 0) -> Rates:
        """The highest rates that a call of at most so many prompt tokens can meet, at any hour: a bound."""
        return Rates(*(max(column) for column in zip(*self._possible(tokens_in), strict=True)))

    def cheapest(self, tokens_in: int = 0) -> Rates:
        """The lowest rates that a call of at most so many prompt tokens can meet, at any hour: a bound."""
        return Rates(*(min(column) for column in zip(*self._possible(tokens_in), strict=True)))

    def _possible(self, tokens_in: int) -> list[Rates]:
        peak = [self.peak] if self.peak is not None else []
        return [self.rates, *peak, *(rates for bound, rates in self.larger if tokens_in > bound)]


def flat(model: str, rates: Rates, source: str, checked: str = "") -> Price:
    """A price that knows neither hours nor sizes."""
    return Price(model, rates, source, checked)


def cost(usage: Usage, rates: Rates) -> Decimal | None:
    """What so many tokens cost, in US dollars, exactly; None when the tokens of prompt or answer are not known.

    A provider that says nothing of its cache gets the full price of the prompt: never less than what it bills.
    """
    if usage.tokens_in is None or usage.tokens_out is None:
        return None
    cached = min(usage.cached or 0, usage.tokens_in)
    return total(
        (
            _of(usage.tokens_in - cached, rates.input),
            _of(cached, rates.cached),
            _of(usage.tokens_out, rates.output),
        )
    )


def _of(tokens: int, rate: Decimal) -> Decimal:
    return _EXACT.scaleb(_EXACT.multiply(Decimal(tokens), rate), _MILLIONTH)


def worst(tokens_in: int, tokens_out: int, price: Price) -> Decimal:
    """The most that a call of at most so many tokens can cost, at whatever hour it ends; US dollars."""
    rates = price.dearest(tokens_in)
    return total((_of(tokens_in, max(rates.input, rates.cached)), _of(tokens_out, rates.output)))


def total(amounts: Iterable[Decimal]) -> Decimal:
    """The exact sum.

    Raises:
        Inexact: If it has more than 80 digits.
    """
    whole = NOTHING
    for amount in amounts:
        whole = _EXACT.add(whole, amount)
    return whole


@dataclass(frozen=True, slots=True)
class Span:
    """An amount that lies between two, in US dollars. `high` is None where there is no upper end."""

    low: Decimal
    high: Decimal | None

    def plus(self, other: Span) -> Span:
        """The range of a sum."""
        high = None if self.high is None or other.high is None else total((self.high, other.high))
        return Span(total((self.low, other.low)), high)

    def __str__(self) -> str:
        if self.high is None:
            return f"at least {dollars(self.low)}"
        low, high = dollars(self.low), dollars(self.high)
        return low if low == high else f"{low.removesuffix(' USD')} to {high}"


def dollars(amount: Decimal) -> str:
    """An amount for people: cents from one dollar on, two digits that count below; "0 USD" is nothing at all."""
    if not amount:
        return "0 USD"
    places = 2 if abs(amount) >= 1 else max(2, 1 - amount.adjusted())
    shown = amount.quantize(Decimal(1).scaleb(-places), context=_ROUNDING)
    return f"{shown:,f} USD"


def exact(amount: Decimal) -> str:
    """All digits of an amount, for programs: 0.000075; without a sign for the currency."""
    return f"{amount.normalize(_EXACT):f}"


def decimal_of(value: float | str) -> Decimal:
    """A number as somebody wrote it: 0.15 is fifteen hundredths, not the nearest binary fraction.

    Raises:
        ValueError: If it is no finite number.
    """
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"not a number: {value!r}") from None
    if not amount.is_finite():
        raise ValueError(f"not a finite number: {value!r}")
    return amount
