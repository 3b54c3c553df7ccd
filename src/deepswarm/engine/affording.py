"""Whether a run can hold to its budget at all, and whether it can be expected to: before its first call."""

from __future__ import annotations

from collections.abc import Iterator

from deepswarm.core.budget import Amount, Caps, too_small, worst_case
from deepswarm.core.flaws import Flaw
from deepswarm.core.money import NOTHING, Price, dollars, total
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Call
from deepswarm.core.tierkeys import caps_of
from deepswarm.engine.billing import bill_of_folder
from deepswarm.engine.dispatcher import SeedReader
from deepswarm.engine.filtering import has_run
from deepswarm.engine.opening import as_dict, call_of
from deepswarm.engine.planning import plan_of
from deepswarm.journals import Journal
from deepswarm.prices import book_of
from deepswarm.taskfile import TaskFile, refused, resolve
from deepswarm.tasks import TaskType


def check_budget(task: TaskFile, kind: TaskType, journal: Journal, seeds: SeedReader, utc: float) -> None:
    """Raise for a budget that cannot be held to, or in which not even the next call has room.

    Args:
        task: The task.
        kind: Its type.
        journal: Of the run, with the seeds that are left.
        seeds: Where their payloads are.
        utc: Now, seconds since 1970: which prices are in force.

    Raises:
        TaskFileError: At the lines of the caps.
    """
    spec = task.spec
    call = call_of(spec, kind.schema)
    price = book_of(as_dict(spec), spec.worker_api_base).of(call.model, utc)
    flaws: list[Flaw] = []
    for where, caps in (((), caps_of(spec)), (("worker_budget",), caps_of(spec.worker_budget))):
        found = list(_cannot_be_held(caps, call, price)) or list(
            too_small(caps, _next(kind, call, price, journal, seeds))
        )
        flaws += [flaw._replace(path=(*where, *flaw.path)) for flaw in found]
    if flaws:
        raise refused(task, flaws)


def _cannot_be_held(caps: Caps, call: Call, price: Price | None) -> Iterator[Flaw]:
    """Caps on what has no bound, or a price that nobody knows."""
    for key, cap in (("max_cost", caps.max_cost), ("max_tokens_total", caps.max_tokens_total)):
        if cap is not None and call.max_tokens is None:
            what = f"'{key}' cannot be held to without worker_max_tokens: nobody knows how long an answer may become"
            yield Flaw((key,), what, "add worker_max_tokens: and the most tokens of one answer")
    if caps.max_cost is not None and price is None:
        what = f"'max_cost' cannot be held to: the price of {call.model} is not known"
        yield Flaw(("max_cost",), what, "write it under prices, in US dollars per million tokens")


def _next(kind: TaskType, call: Call, price: Price | None, journal: Journal, seeds: SeedReader) -> Amount:
    """The worst case of the first call that is left; of one that asks nothing when none is left."""
    for row in journal.left(-1, 1):
        try:
            return worst_case(kind.open(seeds.read(row)[1]).messages, call.max_tokens, price)
        except TemplateProblem:
            break
    return Amount(calls=1)


def beyond_budget(task: TaskFile, total_seeds: int | None, utc: float) -> str:
    """Why a run can be expected to use up its budget before its end; empty when it need not.

    Even the low end of the estimate is more than what the budget has left.

    Args:
        task: The task.
        total_seeds: Only the first so many seeds; None for all.
        utc: Now, seconds since 1970.
    """
    caps = caps_of(task.spec)
    if not any(cap is not None for cap in caps):
        return ""
    expected = plan_of(task, total_seeds, utc).estimate
    folder = resolve(task, task.spec.output_dir)
    bill = bill_of_folder(folder) if has_run(folder) else None
    spent = NOTHING if bill is None else bill.spent
    if caps.max_cost is not None and expected.cost is not None and total((spent, expected.cost.low)) > caps.max_cost:
        before = f", {dollars(spent)} are spent" if spent else ""
        return f"the run may cost {expected.cost}{before}; max_cost is {dollars(caps.max_cost)}"
    tokens = expected.tokens_in.low + expected.tokens_out.low
    used = 0 if bill is None else bill.tokens.tokens_in + bill.tokens.tokens_out
    if caps.max_tokens_total is not None and used + tokens > caps.max_tokens_total:
        return f"the run takes at least {tokens:,} tokens more; max_tokens_total is {caps.max_tokens_total:,}"
    made = 0 if bill is None else bill.calls
    if caps.max_calls is not None and made + expected.calls.low > caps.max_calls:
        return f"the run takes at least {expected.calls.low:,} calls more; max_calls is {caps.max_calls:,}"
    return ""
