"""How many workers, how far apart, how many seeds each: the mission page's own method, as arithmetic.

`auto` means: the first call, a real seed whose answer counts, is made alone and timed; then the page's formulas give
the rest. What the user wrote as a number is taken as written.

The page calls min(8, floor(rate_limit / call_duration)) a worker count. It divides where Little's law multiplies, so it
is kept as the first guess only where no limit is known: then its ceiling, 8, is what it gives.

Source: the DeepSwarm page, "Auto-Optimization".
"""

from __future__ import annotations

from dataclasses import dataclass

PAGE_CEILING = 8
"""Most workers of the page's formula."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the task file says: a number, or None for auto."""

    workers: int | None = None
    stagger_s: float | None = None
    batch_size: int | None = None


@dataclass(frozen=True, slots=True)
class Pace:
    """The chosen workers (1 or more), seconds between their starts, seeds leased at once, and the reason for each."""

    workers: int
    stagger_s: float
    batch_size: int
    why: str


def needs_calibration(wish: Wish) -> bool:
    """Whether a timed first call is needed: only a stagger left to us depends on how long calls take."""
    return wish.stagger_s is None and wish.workers is None


def pace(wish: Wish, left: int, call_duration_s: float | None, ceiling: int = 1 << 30) -> Pace:
    """The pace of a run.

    Args:
        wish: What the user asked for.
        left: Seeds left, 0 or more.
        call_duration_s: Seconds of the calibration call; None when there was none.
        ceiling: Most connections that this machine can hold open.

    Returns:
        workers: as written, or 8, never more than the seeds left or the machine's ceiling;
        stagger: as written; else call_duration / workers * 2 for an automatic worker count, and for a worker count
        that the user wrote, that many starts within one second (their number is their own choice, only the same
        millisecond is avoided);
        batch_size: as written; else 1, because one shared queue leaves no worker idle behind the slowest one.
    """
    wanted = PAGE_CEILING if wish.workers is None else wish.workers
    workers = max(1, min(wanted, left or 1, ceiling))
    source = "as written" if wish.workers is not None else "the first guess"
    if workers == ceiling < wanted:
        source += f", but {wanted} would need more open files than this machine allows: ulimit -n"
    elif workers < wanted:
        source += ", no more than the seeds left"
    reasons = [f"{workers} workers ({source})"]
    if wish.stagger_s is not None:
        stagger_s = wish.stagger_s
        reasons.append(f"{stagger_s:g} s apart (as written)")
    elif call_duration_s is not None:
        stagger_s = call_duration_s / workers * 2
        reasons.append(f"{stagger_s:.3g} s apart (first call {call_duration_s:.3g} s / workers x 2)")
    else:
        stagger_s = 1.0 / workers if workers > 1 else 0.0
        reasons.append(f"all started within {stagger_s * workers:.3g} s")
    batch_size = wish.batch_size or 1
    reasons.append(f"{batch_size} seed{'s' if batch_size > 1 else ''} leased at once from one queue")
    return Pace(workers, stagger_s, batch_size, "; ".join(reasons))
