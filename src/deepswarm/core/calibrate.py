"""The pace of a run from what the task file says, and what its first calls show.

    pace            workers: a number                      workers: auto
    auto            fixed: so many at once                 adaptive
    adaptive        a ceiling, found from 4 upwards        up to MOST, found from 4 upwards
    page-formula    a ceiling over what the page says      the page's formula
    page-table      a ceiling over what the page says      the page's table
    fixed           so many at once                        (refused: it needs a number)

`rpm` and `tpm` are ceilings over every pace. Where calls have to be timed first, those are real seeds whose answers
count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

from deepswarm.core.pace import Memory, Pace
from deepswarm.core.pace.adaptive import Adaptive
from deepswarm.core.pace.ceilings import Ceilings
from deepswarm.core.pace.choice import Choice
from deepswarm.core.pace.fixed import CONTACT_S, Fixed
from deepswarm.core.pace.page import Page, formula, table

MOST: Final = 4096
"""Most calls at once of one process that finds its pace by itself."""
FIRST_CALLS: Final = 5
"""Calls after which the first estimates are told: the median of all calls lies between the shortest and the longest of
five with 1 - 2 * 0.5 ** 5 = 94 %, whatever their distribution."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the task file says of the pace; None for auto. See the keys of these names in `core/spec.py`."""

    pace: str = "auto"
    workers: int | None = None
    stagger_s: float | None = None
    batch_size: int | None = None
    rate_limit: float | None = None
    rpm: float | None = None
    tpm: float | None = None
    courtesy: float = 1.0

    @property
    def kind(self) -> str:
        """The pace that is meant: adaptive, page-formula, page-table or fixed."""
        return self.pace if self.pace != "auto" else "adaptive" if self.workers is None else "fixed"


class Chosen(NamedTuple):
    """A pace, and what it begins with; None as long as a call has to be timed first."""

    pace: Pace
    choice: Callable[[], Choice | None]


def chosen(
    wish: Wish,
    left: int,
    connections: int = 1 << 30,
    *,
    streamed: bool = False,
    start: Memory | None = None,
    seed: int = 1,
) -> Chosen:
    """The pace of a run.

    Args:
        wish: What the user asked for.
        left: Seeds left, 0 or more.
        connections: Most that this machine can hold open.
        streamed: Whether replies come in pieces.
        start: What is known from an earlier run.
        seed: For the jitter of cool-downs.
    """
    if wish.kind == "adaptive":
        return _adaptive(wish, connections, streamed=streamed, start=start, seed=seed)
    if wish.kind == "fixed":
        choice = _fixed(wish, left, connections)
        contact_s = CONTACT_S if wish.stagger_s is None else 0.0
        return _under(wish, Fixed(choice.workers, choice.stagger_s, contact_s), lambda: choice)
    advise: Callable[[float], Choice] = partial(table, total=left)
    if wish.kind == "page-formula":
        advise = partial(formula, total=left, rate_limit=wish.rate_limit)
    ceiling = min(wish.workers or connections, connections)
    page = Page(advise, ceiling, wish.stagger_s, wish.batch_size)
    return _under(wish, page, lambda: page.choice)


def _under(wish: Wish, pace: Pace, choice: Callable[[], Choice | None]) -> Chosen:
    """The pace under the user's ceilings."""
    if wish.rpm is None and wish.tpm is None:
        return Chosen(pace, choice)
    return Chosen(Ceilings(pace, wish.rpm, wish.tpm), choice)


def _fixed(wish: Wish, left: int, connections: int) -> Choice:
    wanted = wish.workers or 1
    workers = max(1, min(wanted, left or 1, connections))
    source = "as written"
    if workers == connections < wanted:
        source += f", but {wanted} would need more open files than this machine allows: ulimit -n"
    elif workers < wanted:
        source += ", no more than the seeds left"
    stagger_s = wish.stagger_s
    if stagger_s is None:
        stagger_s = 1.0 / workers if workers > 1 else 0.0
        spacing = f"all started within {stagger_s * workers:.3g} s"
    else:
        spacing = f"{stagger_s:g} s apart (as written)"
    batch_size = wish.batch_size or 1
    leased = f"{batch_size} seed{'s' if batch_size > 1 else ''} leased at once from one queue"
    return Choice(workers, stagger_s, batch_size, f"fixed: {workers} workers ({source}); {spacing}; {leased}")


def _adaptive(wish: Wish, connections: int, *, streamed: bool, start: Memory | None, seed: int) -> Chosen:
    ceiling = max(1, min(wish.workers or MOST, connections, MOST))
    pace = Adaptive(
        ceiling,
        start,
        seed,
        streamed=streamed,
        spacing_s=wish.stagger_s or 0.0,
        courtesy=wish.courtesy,
    )
    source = "as written" if wish.workers == ceiling else "the most that this machine can hold open"
    bound = f"{ceiling:,} ({source})" if ceiling < MOST or wish.workers == ceiling else f"{ceiling:,}"
    begins = "4" if start is None else f"{start.calls:.0f}, half or less of what was found before,"
    why = f"adaptive: starts with {begins} calls at once and finds how many the provider allows, up to {bound}"
    choice = Choice(ceiling, wish.stagger_s or 0.0, wish.batch_size or 1, why)
    return _under(wish, pace, lambda: choice)


# --- first estimates -------------------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """A call that was answered: seconds, and tokens of the answer where the provider counted them."""

    seconds: float
    tokens_out: int | None


def estimate(samples: Sequence[Sample]) -> str:
    """What the first calls show of all calls, with an interval where there are enough of them; for people."""
    seconds = sorted(sample.seconds for sample in samples)
    tokens = sorted(sample.tokens_out for sample in samples if sample.tokens_out is not None)
    if len(samples) < FIRST_CALLS:
        written = f", {tokens[0]:,} tokens" if tokens else ""
        return f"the first call took {seconds[0]:.3g} s{written}; one call says little about the others"
    told = [f"{seconds[0]:.3g} to {seconds[-1]:.3g} s"]
    if len(tokens) == len(samples):
        told.append(f"{tokens[0]:,} to {tokens[-1]:,} tokens of answer")
    sure = 100.0 * (1.0 - 2.0 * 0.5 ** len(samples))
    return f"the first {len(samples)} calls say: the median call takes {' and '.join(told)} ({sure:.0f} % sure)"
