"""The plan in words, with everything that it assumes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from deepswarm.core.estimate import BYTES_A_TOKEN_LEAST, BYTES_A_TOKEN_MOST, MORE_CALLS, SHORT_SHARE, Estimate, Range
from deepswarm.core.money import Price, Rates, exact
from deepswarm.core.records import Json, Message
from deepswarm.report.words import duration

MOST_SHOWN: Final = 2_000
"""Most characters of a message of the rendered prompt."""
_INDENT: Final = " " * 13


def plan_text(
    seeds: int, ended: int, first: Sequence[Message], price: Price | None, expected: Estimate, max_tokens: int | None
) -> str:
    """The plan, for people: counts, one prompt, tokens, money, time, assumptions.

    Args:
        seeds: How many there are.
        ended: Those that have an outcome already.
        first: The messages of the first seed.
        price: Of the model; None when nobody knows it.
        expected: Of the seeds that are left.
        max_tokens: `worker_max_tokens`.
    """
    before = f", {ended:,} of them answered before: {seeds - ended:,} to ask" if ended else ""
    rows = [f"  seeds      {seeds:,}{before}", "  prompt     of the first seed:"]
    rows += [f"{_INDENT}{line}" for message in first for line in _shown(message)]
    rows += [
        f"  calls      {_range(expected.calls)}",
        f"  tokens     {_range(expected.tokens_in)} in, {_range(expected.tokens_out)} out",
        f"  cost       {expected.cost if expected.cost is not None else 'unknown: nobody knows the price; see prices'}",
        f"  time       {_time(expected.seconds)}",
    ]
    rows += [
        f"  {'assumed' if not n else '':<10} {line}" for n, line in enumerate(_assumed(expected, price, max_tokens))
    ]
    rows += [f"  {'prices' if not n else '':<10} {line}" for n, line in enumerate(_prices(price))]
    return "\n".join(rows)


def plan_json(
    seeds: int, ended: int, first: Sequence[Message], price: Price | None, expected: Estimate
) -> dict[str, Json]:
    """The plan for programs; amounts are texts in US dollars, what is not known is null."""
    cost = expected.cost
    seconds = None if expected.seconds is None else _pair(expected.seconds)
    money: Json = None
    if cost is not None:
        money = [exact(cost.low), None if cost.high is None else exact(cost.high)]
    return {
        "seeds": seeds,
        "ended": ended,
        "prompt": [{"role": message.role, "content": message.content} for message in first],
        "calls": _pair(expected.calls),
        "tokens_in": _pair(expected.tokens_in),
        "tokens_out": _pair(expected.tokens_out),
        "cost_usd": money,
        "seconds": seconds,
        "measured_answers": expected.measured,
        "price_source": None if price is None else price.source,
        "price_checked": (price.checked or None) if price is not None else None,
    }


def _pair(span: Range) -> Any:
    return [span.low, span.high]


def _range(span: Range) -> str:
    if span.high is None:
        return f"at least {span.low:,}"
    return f"{span.low:,}" if span.low == span.high else f"{span.low:,} to {span.high:,}"


def _time(seconds: Range | None) -> str:
    if seconds is None or seconds.high is None:
        return "not known before the first calls"
    return f"{duration(seconds.low)} to {duration(seconds.high)}, at the pace of the calls so far"


def _shown(message: Message) -> Iterator[str]:
    text = message.content
    cut = f" … ({len(text):,} characters)" if len(text) > MOST_SHOWN else ""
    lines = (text[:MOST_SHOWN] + cut).split("\n")
    yield f"| {message.role}: {lines[0]}"
    yield from (f"| {line}" for line in lines[1:])


def _assumed(expected: Estimate, price: Price | None, max_tokens: int | None) -> Iterator[str]:
    """Both ends of the ranges in words."""
    if expected.measured:
        yield f"prompts and answers like the {expected.measured:,} that came so far; answers half to twice as long"
    else:
        bytes_a_token = f"{BYTES_A_TOKEN_MOST:g} down to {BYTES_A_TOKEN_LEAST:g} bytes of text a token"
        yield f"an estimate: {bytes_a_token}; only a tokenizer of the model's own knows better"
        if max_tokens is None:
            yield "answers of any length: without worker_max_tokens there is no upper end"
        else:
            least = f"{100 * SHORT_SHARE:.0f} %"
            yield f"answers of {least} to all of worker_max_tokens ({max_tokens:,}), thinking included"
    yield f"at most {100 * MORE_CALLS:.0f} % of the seeds are asked a second time"
    if price is not None:
        yield "the common beginning of all prompts from the cache, down to nothing from it"
        if price.peak is not None:
            yield "all calls off peak, up to all of them at peak hours"


def _prices(price: Price | None) -> Iterator[str]:
    if price is None:
        yield "unknown; write them into the task file, in US dollars per million tokens:"
        yield "prices: {<worker_model>: {input: 0.15, cached: 0.003, output: 0.60}}"
        return
    checked = f", checked {price.checked}" if price.checked else ""
    yield f"{_rates(price.rates)} USD per million tokens ({price.source}{checked})"
    if price.peak is not None:
        hours = " and ".join(f"{first:02}:00-{end:02}:00" for first, end in price.hours)
        yield f"at peak {_rates(price.peak)}: {hours} UTC on {_days(price.weekdays)}"
    for bound, rates in price.larger:
        yield f"prompts of more than {bound:,} tokens: {_rates(rates)}"


def _days(weekdays: frozenset[int]) -> str:
    if weekdays == frozenset(range(5)):
        return "working days"
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return ", ".join(names[day] for day in sorted(weekdays))


def _rates(rates: Rates) -> str:
    return f"{exact(rates.input)} in, {exact(rates.cached)} from the cache, {exact(rates.output)} out"
