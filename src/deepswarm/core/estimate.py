"""What a run will cost, before it: ranges with their assumptions, never one number that pretends to know.

The low end assumes the cheapest case that is still likely, the high end the dearest that the task allows:

    prompts      BYTES_A_TOKEN_MOST .. BYTES_A_TOKEN_LEAST bytes a token; or as measured, when calls were made before
    answers      SHORT_SHARE of worker_max_tokens .. all of it; or half to twice the measured mean
    cache        the part that all prompts begin with comes from it .. nothing does
    hours        all cheap .. all dear
    calls        one for each seed .. one more for MORE_CALLS of them
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

from deepswarm.core.budget import MESSAGE_TOKENS
from deepswarm.core.money import Price, Span, cost
from deepswarm.core.records import Usage

BYTES_A_TOKEN_MOST: Final = 5.0
BYTES_A_TOKEN_LEAST: Final = 2.0
"""UTF-8 bytes of a token. English prose has about 4.4 with today's vocabularies, code about 3.5, other languages 2.5 to
4, numbers about 2."""
SHORT_SHARE: Final = 0.05
MORE_CALLS: Final = 0.1
"""Share of seeds that are asked a second time: the high end."""


class Sizes(NamedTuple):
    """What rendering every prompt has shown.

    Attributes:
        seeds: How many are asked.
        size_bytes: Of all their prompts together, in UTF-8.
        shared_bytes: Of the beginning that all prompts have in common, each time it is asked.
        messages: Of all prompts together.
    """

    seeds: int
    size_bytes: int
    shared_bytes: int
    messages: int


class Memory(NamedTuple):
    """What calls for the same task have shown; means over the answers.

    Attributes:
        answers: How many.
        tokens_in: Of a prompt.
        tokens_out: Of an answer.
        seconds_a_seed: Wall time divided by the seeds that ended in it: the pace.
    """

    answers: int
    tokens_in: float
    tokens_out: float
    seconds_a_seed: float


class Range(NamedTuple):
    """A count that lies between two; `high` is None where there is no upper end."""

    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will take.

    Attributes:
        calls: Calls.
        tokens_in: Tokens of all prompts.
        tokens_out: Tokens of all answers.
        cost: US dollars; None when the price is not known.
        seconds: Wall time; None before there is a pace.
        measured: Answers that the estimate rests on; 0 when it rests on the length of texts alone.
    """

    calls: Range
    tokens_in: Range
    tokens_out: Range
    cost: Span | None
    seconds: Range | None
    measured: int


def estimate(sizes: Sizes, max_tokens: int | None, price: Price | None, memory: Memory | None = None) -> Estimate:
    """What a run over these prompts will take.

    Args:
        sizes: Of the prompts.
        max_tokens: Most tokens of an answer; None has no upper end.
        price: Of the model; None when nobody knows it.
        memory: What calls for the same task have shown; None before the first ones.
    """
    more = 1 + MORE_CALLS
    calls = Range(sizes.seeds, round(sizes.seeds * more))
    prompt, answer = _prompts(sizes, memory), _answers(sizes.seeds, max_tokens, memory)
    high_in = None if prompt.high is None else round(prompt.high * more)
    high_out = None if answer.high is None else round(answer.high * more)
    tokens_in, tokens_out = Range(prompt.low, high_in), Range(answer.low, high_out)
    seconds = None
    if memory is not None and memory.seconds_a_seed > 0:
        known = memory.seconds_a_seed * sizes.seeds
        seconds = Range(round(known / 2), round(known * 2))
    money = None if price is None else _cost(sizes, tokens_in, tokens_out, price)
    return Estimate(calls, tokens_in, tokens_out, money, seconds, memory.answers if memory else 0)


def _prompts(sizes: Sizes, memory: Memory | None) -> Range:
    if memory is not None:
        mean = memory.tokens_in * sizes.seeds
        return Range(round(mean * 0.9), round(mean * 1.1))
    most = round(sizes.size_bytes / BYTES_A_TOKEN_LEAST) + sizes.messages * MESSAGE_TOKENS
    return Range(round(sizes.size_bytes / BYTES_A_TOKEN_MOST), most)


def _answers(seeds: int, max_tokens: int | None, memory: Memory | None) -> Range:
    most = None if max_tokens is None else max_tokens * seeds
    if memory is not None:
        low, high = round(memory.tokens_out * seeds / 2), round(memory.tokens_out * seeds * 2)
        return Range(low, high if most is None else min(high, most))
    return Range(seeds if most is None else max(seeds, round(most * SHORT_SHARE)), most)


def _cost(sizes: Sizes, tokens_in: Range, tokens_out: Range, price: Price) -> Span:
    """Rates for larger prompts are chosen by the mean prompt."""
    share = sizes.shared_bytes * sizes.seeds / sizes.size_bytes if sizes.size_bytes else 0.0
    each = (tokens_in.high or 0) // max(sizes.seeds, 1)
    low = cost(Usage(tokens_in.low, tokens_out.low, int(tokens_in.low * min(share, 1.0))), price.cheapest(each))
    high = cost(Usage(tokens_in.high, tokens_out.high, 0), price.dearest(each))
    return Span(Decimal(0) if low is None else low, high)
