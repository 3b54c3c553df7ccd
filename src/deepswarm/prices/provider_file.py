"""Reads the price files of this room: one TOML file per provider.

Numbers are read as decimals, as they stand there. Every file is checked whole: a key that is not known, a price below
0, an hour that no day has, a model that stands in it twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

from deepswarm.core.money import Hours, Price, Rates

_KEYS: Final = frozenset({"hosts", "source", "checked", "reports_cost", "peak", "models"})


@dataclass(frozen=True, slots=True)
class ProviderPrices:
    """One price file.

    Attributes:
        name: Of the file, without its ending.
        hosts: Where these prices hold, also for the hosts below them.
        source: Where they were read.
        checked: The day, YYYY-MM-DD.
        reports_cost: Whether answers say in `usage.cost` what was taken for them, in US dollars.
        prices: By the name of the model.
    """

    name: str
    hosts: tuple[str, ...]
    source: str
    checked: str
    reports_cost: bool
    prices: Mapping[str, Price]


@cache
def provider_files() -> tuple[ProviderPrices, ...]:
    """All price files of this room, in the order of their names."""
    folder = files("deepswarm.prices")
    entries = sorted((entry for entry in folder.iterdir() if entry.name.endswith(".toml")), key=lambda e: e.name)
    return tuple(read(entry.name.removesuffix(".toml"), entry.read_text(encoding="utf-8")) for entry in entries)


def read(name: str, text: str) -> ProviderPrices:
    """A price file.

    Args:
        name: Of the file, without its ending.
        text: Its content.

    Raises:
        ValueError: If it is not one; says the file and what is wrong.
    """
    import tomllib

    try:
        return _read(name, tomllib.loads(text, parse_float=Decimal))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"prices/{name}.toml: {type(error).__name__}: {error}") from error


def _read(name: str, values: Mapping[str, Any]) -> ProviderPrices:
    _refuse_unknown(values, _KEYS)
    source, checked = str(values["source"]), date.fromisoformat(values["checked"]).isoformat()
    peak = values.get("peak", {})
    _refuse_unknown(peak, frozenset({"weekdays", "hours", "off_days"}))
    hours = tuple(_hours(first, end) for first, end in peak.get("hours", ()))
    weekdays = frozenset(_within(day, 0, 6) for day in peak.get("weekdays", ()))
    off_days = frozenset(date.fromisoformat(day).isoformat() for day in peak.get("off_days", ()))
    prices: dict[str, Price] = {}
    for model in values.get("models", ()):
        _refuse_unknown(model, frozenset({"names", "rates", "peak"}))
        rates, dear = _rates(model["rates"]), _rates(model["peak"]) if "peak" in model else None
        if dear is not None and not (hours and weekdays):
            raise ValueError(f"{model['names'][0]} has a peak price, and there are no peak hours")
        for each in model["names"]:
            if each in prices:
                raise ValueError(f"{each} stands in it twice")
            prices[each] = Price(each, rates, source, checked, dear, hours, weekdays, off_days)
    hosts = tuple(map(str, values["hosts"]))
    return ProviderPrices(
        name, hosts, source, checked, bool(values.get("reports_cost", False)), MappingProxyType(prices)
    )


def _rates(values: Mapping[str, Any]) -> Rates:
    _refuse_unknown(values, frozenset(Rates._fields))
    rates = Rates(*(Decimal(values[field]) for field in Rates._fields))
    if min(rates) < 0:
        raise ValueError(f"a price is below 0: {min(rates)}")
    return rates


def _hours(first: int, end: int) -> Hours:
    if _within(first, 0, 23) >= _within(end, 1, 24):
        raise ValueError(f"the hours {first} to {end} are none")
    return Hours(first, end)


def _within(value: int, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{value} is no whole number from {least} to {most}")
    return value


def _refuse_unknown(values: Mapping[str, Any], known: frozenset[str]) -> None:
    if unknown := sorted(values.keys() - known):
        raise ValueError(f"unknown key {unknown[0]}; known: {', '.join(sorted(known))}")
