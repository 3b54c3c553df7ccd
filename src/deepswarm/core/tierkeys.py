"""Sections of the task file that bound what tiers may use up, and the caps that the task names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from deepswarm.core.budget import Caps
from deepswarm.core.money import decimal_of

if TYPE_CHECKING:
    from deepswarm.core.spec import TaskSpec

Dollars = Annotated[float, Field(gt=0, le=100_000_000)]
BUDGET_KEYS: Final = ("max_cost", "max_tokens_total", "max_calls", "max_time")


def _key(meaning: str) -> Any:
    return Field(None, description=meaning)


class BudgetSection(BaseModel):
    """What a tier may use up at most, all sessions of the run together."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    max_cost: Dollars | None = _key("US dollars.")
    max_tokens_total: Annotated[int, Field(ge=1)] | None = _key("Tokens of prompts and answers together.")
    max_calls: Annotated[int, Field(ge=1)] | None = _key("Calls; those that were refused for a limit do not count.")
    max_time: Annotated[float, Field(gt=0)] | None = _key("Seconds of the run after which the tier starts no call.")


def caps_of(named: TaskSpec | BudgetSection | None) -> Caps:
    """The caps that a task, or a tier's section, names; none for None."""
    if named is None:
        return Caps()
    money = None if named.max_cost is None else decimal_of(named.max_cost)
    return Caps(money, named.max_tokens_total, named.max_calls, named.max_time)


def has_caps(spec: TaskSpec) -> bool:
    """Whether a task names any cap, of the run or of a tier."""
    named = (spec, spec.worker_budget)
    return any(cap is not None for section in named for cap in caps_of(section))
