"""From a task to what all its conversations have in common; before the first call."""

from __future__ import annotations

from collections.abc import Callable

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.money import Price, cost
from deepswarm.core.records import Usage
from deepswarm.core.spec import TaskSpec
from deepswarm.core.tierkeys import orchestrator_of
from deepswarm.core.turnkeys import functions_in
from deepswarm.dialects import Dialect
from deepswarm.engine.code import Code, code_of
from deepswarm.engine.contract import Contract
from deepswarm.engine.opening import as_dict, call_of, dialect_name_of
from deepswarm.engine.talk import Terms
from deepswarm.taskfile import TaskFile


def user_code(task: TaskFile, say: Callable[[str], None]) -> Code:
    """The Python functions that a task names, loaded; each file is told to people with its hash.

    Raises:
        TaskFileError: If one cannot be loaded.
    """
    names, base = functions_in(as_dict(task.spec)), task.path.parent
    if not names:
        return Code({}, 0.0)
    from deepswarm.filters.function import provenance

    for where in sorted({provenance(f"{base / name}") for name in names}):
        say(f"run as your own code: {where}")
    return code_of(names, base, task.spec.code_timeout)


def terms_of(
    spec: TaskSpec, dialect: Dialect, code: Code, utc: Callable[[], float], say: Callable[[str], None]
) -> Terms:
    """What all conversations of a task have in common.

    Raises:
        TaskFileError: If they are to be limited by their cost, and the model's price is not known.
    """
    limits = spec.conversation_limits
    limited = limits is not None and limits.max_cost is not None
    return Terms(
        spec.multi_turn,
        dialect.continues(call_of(spec)),
        Contract(spec.reasoning, dialect_name_of(spec), say),
        code,
        _cost_of(spec, utc) if limited else _unknown,
        limits,
        spec.context_window,
        spec.context_policy,
    )


def _unknown(_: Usage, _tier: int) -> float | None:
    return None


def _cost_of(spec: TaskSpec, utc: Callable[[], float]) -> Callable[[Usage, int], float | None]:
    above = orchestrator_of(spec)
    prices = [_price_of(each, utc()) for each in (spec, above) if each is not None]

    def dollars(usage: Usage, tier: int) -> float | None:
        amount = cost(usage, prices[tier].at(utc(), usage.tokens_in or 0))
        return None if amount is None else float(amount)

    return dollars


def _price_of(spec: TaskSpec, utc: float) -> Price:
    from deepswarm.prices import book_of

    price = book_of(as_dict(spec), spec.worker_api_base).of(spec.worker_model, utc)
    if price is None:
        what = f"conversation_limits.max_cost needs a price, and that of {spec.worker_model} is not known"
        raise TaskFileError([Problem(what, hint="write it under prices:")])
    return price
