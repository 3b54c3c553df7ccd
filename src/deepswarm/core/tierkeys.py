"""The task file's keys of tiers: what bounds them, and the orchestrator's own task.

The orchestrator's tier is the worker's with another model, address and key: `orchestrator_of` gives it as a task, so
that whatever reads the worker's keys reads the orchestrator's as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final

from deepswarm.core.address import address_flaws
from deepswarm.core.budget import Caps
from deepswarm.core.flaws import Flaw
from deepswarm.core.money import decimal_of
from deepswarm.core.section import Rule, Section, key

if TYPE_CHECKING:
    from deepswarm.core.spec import TaskSpec

Dollars = Annotated[float, Rule(gt=0, le=100_000_000)]
BUDGET_KEYS: Final = ("max_cost", "max_tokens_total", "max_calls", "max_time")


def _key(meaning: str) -> Any:
    return key(None, meaning)


class BudgetSection(Section):
    """What a tier may use up at most, all sessions of the run together."""

    max_cost: Dollars | None = _key("US dollars.")
    max_tokens_total: Annotated[int, Rule(ge=1)] | None = _key("Tokens of prompts and answers together.")
    max_calls: Annotated[int, Rule(ge=1)] | None = _key("Calls; those that were refused for a limit do not count.")
    max_time: Annotated[float, Rule(gt=0)] | None = _key("Seconds of the run after which the tier starts no call.")


def caps_of(named: TaskSpec | BudgetSection | None) -> Caps:
    """The caps that a task, or a tier's section, names; none for None."""
    if named is None:
        return Caps()
    money = None if named.max_cost is None else decimal_of(named.max_cost)
    return Caps(money, named.max_tokens_total, named.max_calls, named.max_time)


def has_caps(spec: TaskSpec) -> bool:
    """Whether a task names any cap, of the run or of a tier."""
    named = (spec, spec.worker_budget, spec.orchestrator_budget)
    return any(cap is not None for part in named for cap in caps_of(part))


def orchestrator_of(spec: TaskSpec) -> TaskSpec | None:
    """The task as its orchestrator is asked; None without one.

    Its pace is found like any other, and has no bounds of its own.
    """
    if spec.orchestrator_model is None:
        return None
    base = spec.orchestrator_api_base or spec.worker_api_base
    same = base == spec.worker_api_base
    dialect = spec.worker_dialect if same and spec.orchestrator_dialect == "auto" else spec.orchestrator_dialect
    return spec.but(
        worker_model=spec.orchestrator_model,
        worker_api_base=base,
        api_key_env=spec.orchestrator_api_key_env or (spec.api_key_env if same else None),
        worker_dialect=dialect,
        worker_max_tokens=spec.orchestrator_max_tokens or spec.worker_max_tokens,
        thinking=spec.orchestrator_thinking,
        worker_params=spec.orchestrator_params,
        workers="auto",
        pace="auto",
        rpm=None,
        tpm=None,
        batch_size="auto",
        stagger="auto",
    )


def is_the_same(spec: TaskSpec, other: TaskSpec) -> bool:
    """Whether two tiers are one and the same model at one and the same address, with one key."""
    return all(
        getattr(spec, name) == getattr(other, name) for name in ("worker_model", "worker_api_base", "api_key_env")
    )


_OF_ORCHESTRATOR: Final = {
    "worker_api_base": "orchestrator_api_base",
    "api_key_env": "orchestrator_api_key_env",
    "worker_dialect": "orchestrator_dialect",
}


def orchestrator_flaws(values: Mapping[str, object]) -> Iterator[Flaw]:
    """Flaws of the orchestrator's address and of its key's variable, and keys of an orchestrator that is not there."""
    named = values.get("orchestrator_model") is not None
    for name in values:
        if name.startswith("orchestrator_") and values[name] is not None and not named:
            hint = "add orchestrator_model: and the model's name, or leave the key out"
            yield Flaw((name,), f"'{name}' needs an 'orchestrator_model'", hint)
    mine = {own: values[name] for own, name in _OF_ORCHESTRATOR.items() if values.get(name) is not None}
    if "worker_api_base" not in mine:
        return
    for flaw in address_flaws(mine):
        what, hint = (_renamed(text) for text in (flaw.what, flaw.hint))
        yield flaw._replace(path=(_OF_ORCHESTRATOR[str(flaw.path[0])],), what=what, hint=hint)


def _renamed(text: str) -> str:
    """A sentence about the worker's keys as one about the orchestrator's."""
    for own, name in _OF_ORCHESTRATOR.items():
        text = text.replace(own, name)
    return text
