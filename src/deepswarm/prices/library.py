"""Prices of all other models: the library genai-prices, with the data that came with it; nothing is downloaded.

Only what this house can bill by is taken over: tokens of prompt, cache and answer, and other rates for large prompts.
A model that is also billed by something else (per request, for searches) is billed by its tokens here.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from deepswarm.core.money import Larger, Price, Rates


def price_from_library(address: str, model: str, utc: float) -> Price | None:
    """The price of a model as the library knows it; None when it does not know provider or model, or no price.

    Args:
        address: Where calls go.
        model: As the provider names it.
        utc: When, seconds since 1970: the library knows since when prices hold, and a few hours of day.
    """
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:  # left out of a small installation: a run must not end without its summary for that
        return None
    try:
        provider, known = get_snapshot().find_provider_model(model, None, None, address)
    except LookupError:
        return None
    when = datetime.fromtimestamp(utc, UTC)
    found = known.get_prices(when)
    if found.input_mtok is None or found.output_mtok is None:
        return None
    bounds = sorted({tier.start for part in _parts(found) for tier in getattr(part, "tiers", ())})
    larger = tuple(Larger(bound, _rates(found, bound)) for bound in bounds)
    from importlib.metadata import version

    page = f", after {provider.pricing_urls[0]}" if provider.pricing_urls else ""
    return Price(known.id, _rates(found, -1), f"genai-prices {version('genai-prices')}{page}", larger=larger)


def _parts(found: Any) -> tuple[Any, Any, Any]:
    """Prices of prompt, cache and answer; what is read from the cache costs as much as the rest unless it says less."""
    cached = found.input_mtok if found.cache_read_mtok is None else found.cache_read_mtok
    return found.input_mtok, cached, found.output_mtok


def _rates(found: Any, bound: int) -> Rates:
    """The rates of prompts that are larger than this bound, up to the next one."""
    return Rates(*(_rate(part, bound) for part in _parts(found)))


def _rate(part: Any, bound: int) -> Decimal:
    rate = getattr(part, "base", part)
    for tier in getattr(part, "tiers", ()):
        if tier.start <= bound:
            rate = tier.price
    return Decimal(rate)
