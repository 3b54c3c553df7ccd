"""How a run stands, in one line, for where there is no terminal. Pure."""

from __future__ import annotations

from deepswarm.report.snapshot import Snapshot
from deepswarm.report.words import duration, money


def line(seen: Snapshot) -> str:
    """Everything that is known, in one line."""
    parts = [f"{seen.ended:,}/{seen.seeds:,} ended", f"{seen.calls_in_flight:,} in flight"]
    parts += [f"{seen.retrying:,} retrying"] if seen.retrying else []
    if seen.paused is not None:
        parts.append(seen.limit)
    parts += [f"{seen.seeds_per_s:.3g} seeds/s", f"{seen.tokens_per_s:,.0f} tokens/s"]
    if seen.pace is not None and seen.paused is None:
        parts.append(f"limit {seen.pace.limit:,} ({seen.pace.why})")
    parts += [f"{count:,} failed: {label}" for label, count in seen.failures[:4]]
    parts += [f"{count:,} calls {label}" for label, count in seen.problems[:3]]
    if seen.spent:
        parts.append(spending(seen))
    if seen.stalled:
        parts.append(f"stalled: no call has ended for {duration(seen.quiet_s)}")
    if seen.eta_s is not None and seen.left:
        parts.append(f"about {duration(seen.eta_s[0])} to {duration(seen.eta_s[1])} left")
    return ", ".join(parts)


def spending(seen: Snapshot) -> str:
    """What was spent and what it will be at the end, in US dollars; "at least" where not all prices are known."""
    spent = f"{'at least ' if seen.unpriced else ''}{money(seen.spent)} spent"
    if seen.forecast is None or not seen.left:
        return spent
    least, most = seen.forecast
    return f"{spent}, {money(least)} to {money(most)} at the end"
