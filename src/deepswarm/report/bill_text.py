"""The bill in words: a few lines for the end of a run, a page for `deepswarm bill`, and JSON for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from deepswarm.core.money import Span, dollars, exact, total
from deepswarm.core.records import Json
from deepswarm.report.bill import Bill, Cause, Line

_TIERS: Final = ("worker", "frontier")
_MEANING: Final = {
    Cause.ANSWERS: "became answers",
    Cause.RETRIES: "no use, asked again",
    Cause.TRUNCATED: "cut short by the limit of tokens",
    Cause.FAILED: "the last try at seeds that failed",
}


def end_lines(bill: Bill) -> list[str]:
    """What a run says of its money at its end, each line to stand beside the others of the summary.

    Nothing for a simulated one: its tokens are made up, and a sum made of them would be believed.
    """
    if bill.simulated or not (bill.calls or bill.doubt.calls):
        return []
    told = [part for part in (_doubt(bill), _unmetered(bill), _cached(bill)) if part]
    rows = ["; ".join([_spent(bill), *told])]
    causes = {cause: amount for cause, amount in bill.by_cause().items() if amount}
    if len(causes) > 1:
        rows.append(", ".join(f"{dollars(amount)} {cause}" for cause, amount in causes.items()))
    rows += list(_unknown(bill))
    rows += [f"prices of {model}: {_source(bill, model)}" for model in (source.model for source in bill.sources)]
    return [f"{'spent' if not number else '':<10} {row}" for number, row in enumerate(rows)]


def page(bill: Bill) -> str:
    """The whole bill, for people."""
    title = "Simulated: nothing was spent; so many tokens would cost" if bill.simulated else "Spent"
    told = [part for part in (_doubt(bill), _unmetered(bill)) if part]
    rows = [f"{title}: {'; '.join([_spent(bill), *told])}", ""]
    rows += [f"{'':<34} {'calls':>9} {'tokens in':>13} {'cached':>13} {'tokens out':>13} {'thinking':>12} {'USD':>14}"]
    rows += [_row(line) for line in bill.lines]
    tokens = bill.tokens
    rows.append(
        f"{'all':<34} {bill.calls:>9,} {tokens.tokens_in:>13,} {tokens.cached:>13,} {tokens.tokens_out:>13,} "
        f"{tokens.reasoning:>12,} {exact(bill.spent):>14}"
    )
    rows.append("")
    rows += [f"{cause:<10} {dollars(amount):>16}  {_MEANING[cause]}" for cause, amount in bill.by_cause().items()]
    rows.append("")
    if cached := _cached(bill):
        rows.append(cached)
    if bill.free:
        rows.append(f"{bill.free:,} calls were refused by the provider, which costs nothing")
    rows += list(_unknown(bill))
    rows += [f"prices of {source.model}: {_source(bill, source.model)}" for source in bill.sources]
    return "\n".join(rows)


def as_json(bill: Bill) -> dict[str, Json]:
    """The bill for programs; amounts are texts, so that no digit is lost."""
    most, about = bill.doubt.most, bill.unmetered.about
    return {
        "currency": "USD",
        "simulated": bill.simulated,
        "spent": exact(bill.spent),
        "complete": not bill.unpriced and not bill.unmetered.calls,
        "possibly_billed": {"calls": bill.doubt.calls, "at_most": None if most is None else exact(most)},
        "unmetered": {"calls": bill.unmetered.calls, "about": None if about is None else exact(about)},
        "refused_calls": bill.free,
        "cache_share": bill.cache_share,
        "models_without_price": list(bill.unpriced),
        "lines": [_line(line) for line in bill.lines],
        "prices": [source._asdict() for source in bill.sources],
    }


def _line(line: Line) -> dict[str, Any]:
    tokens = line.tokens._asdict()
    del tokens["cache_told"]
    return {
        "model": line.model,
        "tier": _tier(line.tier),
        "cause": str(line.cause),
        "calls": line.calls,
        **tokens,
        "cost": exact(line.cost),
        "calls_without_price": line.unpriced,
        "calls_without_usage": line.unmetered,
    }


def _row(line: Line) -> str:
    tokens = line.tokens
    name = f"{line.model} ({_tier(line.tier)}), {line.cause}"
    amount = "unknown" if line.unpriced == line.calls else exact(line.cost)
    return (
        f"{name:<34} {line.calls:>9,} {tokens.tokens_in:>13,} {tokens.cached:>13,} {tokens.tokens_out:>13,} "
        f"{tokens.reasoning:>12,} {amount:>14}"
    )


def _tier(number: int) -> str:
    return _TIERS[number] if number < len(_TIERS) else f"tier {number}"


def _spent(bill: Bill) -> str:
    priced = sum(line.calls - line.unpriced - line.unmetered for line in bill.lines)
    if bill.unpriced and not priced:
        return "unknown"
    return f"{'at least ' if bill.unpriced else ''}{dollars(bill.spent)}"


def _doubt(bill: Bill) -> str:
    calls, most = bill.doubt
    if not calls:
        return ""
    noun = "call" if calls == 1 else "calls"
    if most is None:
        return f"{calls:,} {noun} possibly billed beside it, at a price nobody knows"
    return f"up to {dollars(most)} possibly billed beside it ({calls:,} {noun})"


def _unmetered(bill: Bill) -> str:
    calls, about = bill.unmetered
    if not calls:
        return ""
    noun = "answer" if calls == 1 else "answers"
    money = "an unknown amount" if about is None else f"about {dollars(about)}"
    return f"{money} for {calls:,} {noun} of which the provider counted no tokens"


def _cached(bill: Bill) -> str:
    share = bill.cache_share
    return "" if share is None else f"{100 * share:.0f} % of prompt tokens from the cache"


def _unknown(bill: Bill) -> Iterator[str]:
    for model in bill.unpriced:
        yield f"the price of {model} is not known; write it into the task file under prices, then: deepswarm bill"


def _source(bill: Bill, model: str) -> str:
    found = next(source for source in bill.sources if source.model == model)
    return f"{found.source}{f', checked {found.checked}' if found.checked else ''}"


def whole(bill: Bill) -> Span:
    """From what was surely spent to what was spent at most, in US dollars; no upper end where parts are unknown."""
    if bill.unpriced or bill.doubt.most is None or bill.unmetered.about is None:
        return Span(bill.spent, None)
    return Span(bill.spent, total((bill.spent, bill.doubt.most, bill.unmetered.about)))
