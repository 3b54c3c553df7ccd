"""The live screen of a run: a snapshot as a picture that fits the terminal. Nothing is measured here."""

from __future__ import annotations

from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deepswarm.report.progress import spending
from deepswarm.report.snapshot import Snapshot
from deepswarm.report.whyslow import binding
from deepswarm.report.words import duration, plain

NARROW: Final = 60
"""Columns below which only the bar and the counters are drawn."""
ROOM: Final = 14
"""Rows from which on the oldest calls are drawn as well."""
_TIER: Final = ("worker", "orchestrator")


def picture(seen: Snapshot, width: int, height: int) -> RenderableType:
    """The picture.

    Args:
        seen: How the run stands.
        width: Of the terminal, in columns; no line is longer.
        height: Of the terminal, in rows; there are fewer lines than that.
    """
    rows: list[RenderableType] = [_bar(seen, width)]
    rows += [_row(words, style) for words, style in _lines(seen) if words]
    rows = rows[: max(1, height - 2)]
    if width >= NARROW and height >= ROOM and seen.oldest and len(rows) + 2 + len(seen.oldest) < height:
        rows.append(_calls(seen))
    return Group(*rows)


def _bar(seen: Snapshot, width: int) -> Table:
    table = Table.grid(padding=(0, 2), expand=False)
    table.add_column(width=max(8, min(30, width // 4)))
    table.add_column(no_wrap=True, overflow="ellipsis")
    done = f"{seen.ended:,} of {seen.seeds:,}"
    if seen.seeds:
        done += f" ({100 * seen.ended / seen.seeds:.1f} %)"
    bar = ProgressBar(total=max(seen.seeds, 1), completed=seen.ended)
    table.add_row(bar, Text(f"{done}  {_left(seen)}"))
    return table


def _left(seen: Snapshot) -> str:
    if not seen.left:
        return "all ended"
    if seen.paused is not None:
        return "paused"
    if seen.eta_s is None:
        return "measuring"
    return f"{duration(seen.eta_s[0])} to {duration(seen.eta_s[1])} left"


def _lines(seen: Snapshot) -> list[tuple[str, str]]:
    """The lines below the bar, each with its style, the most important first."""
    failed = ", ".join(f"{count:,} {label}" for label, count in seen.failures[:4])
    waits = ", ".join(f"{count:,} {label}" for label, count in seen.problems[:4])
    kept = "" if seen.kept is None else f" ({seen.kept:,} kept)"
    return [
        (
            f"{seen.done:,} done{kept} + {seen.rejected + seen.failed:,} failed + {seen.in_flight:,} in flight "
            f"+ {seen.retrying:,} retrying + {seen.queued:,} queued",
            "",
        ),
        (_limit(seen), "yellow" if seen.paused is not None else ""),
        (
            f"{seen.calls_per_s:.3g} calls/s, {seen.tokens_per_s:,.0f} tokens/s out, "
            f"{seen.tokens_in_per_s:,.0f} in, {duration(seen.session_s)}",
            "",
        ),
        (f"stalled: no call has ended for {duration(seen.quiet_s)}" if seen.stalled else "", "red"),
        (f"failed: {failed}" if failed else "", "red"),
        (spending(seen) if seen.spent or seen.unpriced else "", ""),
        (f"calls in vain: {waits}" if waits else "", "dim"),
    ]


def _limit(seen: Snapshot) -> str:
    if seen.paused is not None or seen.pace is None:
        return seen.limit
    return f"limit {seen.pace.limit:,}: {binding(seen.pace)}"


def _row(words: str, style: str) -> Text:
    return Text(plain(words), style=style, no_wrap=True, overflow="ellipsis", end="")


def _calls(seen: Snapshot) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(*(Text(word, style="dim") for word in ("oldest calls", "seed", "try", "what it does", "age")))
    for call in seen.oldest:
        tier = "" if not call.tier else f" ({_TIER[min(call.tier, 1)]})"
        words = (f"{call.call:,}", f"{call.seed:,}", f"{call.attempt}", f"{call.phase}{tier}", duration(call.age_s))
        table.add_row(*(Text(word, no_wrap=True) for word in words))
    return table
