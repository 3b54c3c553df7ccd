"""What a run's calls show of the endpoint: for so many calls in flight, how many were answered a second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deepswarm.core.events import CallEnded, CallStarted, Event, PaceChanged

LEAST_CALLS: Final = 20
"""Answers below which a row says little: its rate is then some 20 % off or more (1 / sqrt(20), one standard error)."""
REFUSALS: Final = frozenset({"throttled"})


@dataclass(slots=True)
class Row:
    """While `least` to `2 * least - 1` calls were in flight: for how long, and what came back."""

    least: int
    seconds: float = 0.0
    served: int = 0
    tokens: int = 0
    refused: int = 0
    firsts: int = 0
    first_s: float = 0.0


def curve(events: Iterable[Event]) -> list[Row]:
    """The rows that there are, by calls in flight. A call is in flight from its intent to its end.

    Args:
        events: Of one session, in order.
    """
    rows: dict[int, Row] = {}
    flying: set[int] = set()
    before: float | None = None
    for event in events:
        if not isinstance(event, CallStarted | CallEnded | PaceChanged):
            continue
        row = rows.setdefault(_least(len(flying)), Row(_least(len(flying))))
        row.seconds += max(0.0, event.at - before) if before is not None and flying else 0.0
        before = event.at
        if isinstance(event, CallStarted):
            flying.add(event.call)
        elif isinstance(event, CallEnded):
            flying.discard(event.call)
            _count(row, event)
        elif event.first_s is not None:
            row.firsts += 1
            row.first_s += event.first_s
    return [row for _, row in sorted(rows.items()) if row.served or row.refused]


def _least(count: int) -> int:
    """The greatest power of two that is not above it; 1 for 0."""
    return 1 << max(0, count.bit_length() - 1)


def _count(row: Row, ended: CallEnded) -> None:
    if ended.label in REFUSALS:
        row.refused += 1
    elif ended.label == "ok":
        row.served += 1
        row.tokens += ended.usage.tokens_out or 0


def table(rows: list[Row]) -> str:
    """The rows as text, for people."""
    lines = ["calls in flight   answers/s    tokens/s   first token   refused"]
    for row in rows:
        seconds = row.seconds or 1e-9
        first = f"{row.first_s / row.firsts:.2f} s" if row.firsts else "-"
        named = "1" if row.least == 1 else f"{row.least:,}-{2 * row.least - 1:,}"
        few = "   (few)" if row.served < LEAST_CALLS else ""
        lines.append(
            f"{named:>15}{row.served / seconds:>12.2f}{row.tokens / seconds:>12,.0f}{first:>14}{row.refused:>10,}{few}"
        )
    return "\n".join(lines)


def verdict(rows: list[Row], last: PaceChanged | None) -> str:
    """The limit that was found and how sure that is, in plain words."""
    if last is None or not rows:
        return "limits: nothing was answered, so nothing is known"
    refused, served = sum(row.refused for row in rows), sum(row.served for row in rows)
    if last.what in {"concurrency", "requests", "tokens", "cool-down"} and refused:
        sure = "well measured" if refused > 2 and served >= 5 * LEAST_CALLS else "a first measurement"
        return f"limits: {last.why} ({sure}: {refused:,} refusals, {served:,} answers)"
    if refused:
        return f"limits: {last.why} ({refused:,} refusals among {served:,} answers: not settled; allow more --calls)"
    return f"limits: none was met up to {last.limit:,} calls at once ({last.why}); allow more --calls to look further"
