"""The room of prices: what a call to a model costs, from data with a source and a date.

Who knows the price of a model, the first that does:

    1. the task file (`prices:`), by the name that is asked for or the name that answered;
    2. the provider's file in this room: <provider>.toml, with peak hours and the day on which it was checked;
    3. the library genai-prices, with the data that it came with; not asked about servers in a private network;
    4. nobody: then the price is unknown, which is not 0.

What a provider itself says that it has taken (`usage.cost` of OpenRouter) goes before all of them.

To add a provider, write one TOML file like deepseek.toml; `provider_file.py` checks it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from deepswarm.core.address import is_at, is_private
from deepswarm.core.money import Price, Rates, decimal_of, flat
from deepswarm.prices.library import price_from_library
from deepswarm.prices.provider_file import ProviderPrices, provider_files

TASK_FILE: Final = "task file"
"""The source of prices that the task itself names."""
MOMENT_S: Final = 900.0
"""Seconds within which no price begins or ends: all known ones do so on the quarter of an hour."""


@dataclass(frozen=True, slots=True)
class PriceBook:
    """The prices that hold for one task.

    Attributes:
        address: Where its calls go.
        own: The prices that it names itself, by model.
    """

    address: str
    own: Mapping[str, Price] = field(default_factory=dict)
    _known: dict[tuple[str, str, float], Price | None] = field(default_factory=dict, repr=False)

    @property
    def reports_cost(self) -> bool:
        """Whether the provider's answers say in `usage.cost` what was taken for them, in US dollars."""
        provider = self._provider()
        return provider is not None and provider.reports_cost

    def of(self, asked: str, utc: float, answered: str = "") -> Price | None:
        """The price of a model; None when nobody knows it.

        Args:
            asked: The name that was asked for.
            utc: When the answer was complete, seconds since 1970.
            answered: The name that answered, which is what providers bill by; empty when it is not known.
        """
        key = (asked, answered, utc // MOMENT_S)
        try:
            return self._known[key]
        except KeyError:
            price = self._known[key] = self._look_up(asked, utc, answered)
            return price

    def _look_up(self, asked: str, utc: float, answered: str) -> Price | None:
        for name in (asked, answered):
            if name in self.own:
                return self.own[name]
        provider = self._provider()
        for name in filter(None, (answered, asked)):
            if provider is not None and name in provider.prices:
                return provider.prices[name]
            if not is_private(self._host) and (price := price_from_library(self.address, name, utc)):
                return price
        return None

    @property
    def _host(self) -> str:
        return urlsplit(self.address).hostname or ""

    def _provider(self) -> ProviderPrices | None:
        return next((file for file in provider_files() if any(is_at(self._host, name) for name in file.hosts)), None)


def book_of(task: Mapping[str, Any], default_address: str) -> PriceBook:
    """The prices of a task.

    Args:
        task: By the task file's keys, as the journal keeps it: what is at its default may be missing.
        default_address: Of the API, when the task does not name one.
    """
    own = {
        model: flat(model, Rates(*(decimal_of(part) for part in _parts(values))), TASK_FILE)
        for model, values in (task.get("prices") or {}).items()
    }
    return PriceBook(str(task.get("worker_api_base", default_address)), own)


def _parts(values: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Prices of prompt, cache and answer; without a price of its own the cache costs as much as the rest."""
    cached = values.get("cached")
    return values["input"], values["input"] if cached is None else cached, values["output"]
