"""Rules for the prices that a task names: a table belongs to a model, and one of them to the model that is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from deepswarm.core.flaws import Flaw, nearest
from deepswarm.core.secret import masked, plainly

_PARTS: Final = frozenset({"input", "cached", "output"})


def table_flaw(value: object) -> Flaw | None:
    """The flaw of a price table that stands there without its model; None when there is none."""
    if not isinstance(value, Mapping) or not value or not all(key in _PARTS for key in value):
        return None
    if any(isinstance(part, Mapping) for part in value.values()):  # a model may be called like that
        return None
    hint = "put it under the model's name: prices: {deepseek-flash: {input: 0.15, cached: 0.003, output: 0.60}}"
    return Flaw(("prices",), "'prices' holds a price table without a model", hint)


def price_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Prices of other models only: most likely a name that is spelt otherwise."""
    prices, model = values.get("prices"), values.get("worker_model")
    if not isinstance(prices, Mapping) or not prices or not isinstance(model, str) or table_flaw(prices):
        return
    if model not in prices:
        near = nearest(model, [name for name in prices if isinstance(name, str)])
        what = f"'prices' does not name the worker_model, {masked(plainly(model))}"
        hint = f"did you mean it by '{masked(near)}'?" if near else "add it, or leave prices out"
        yield Flaw(("prices",), what, hint)
