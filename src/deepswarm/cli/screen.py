"""What a person sees of a run: a live line at a terminal, plain lines at a slow beat anywhere else. All on stderr."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from deepswarm.report.progress import Progress
from deepswarm.report.whyslow import binding
from deepswarm.report.words import duration

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

BEAT_S = 30.0
"""Seconds between plain lines."""
FRAME_S = 0.25
"""Seconds between frames of the live line."""


def screen_for(environment: Mapping[str, str], *, quiet: bool) -> PlainScreen | LiveScreen:
    """A live screen for a person at a terminal; plain lines in CI, for an agent, or in a pipe."""
    marks = ("CI", "AGENT", "AI_AGENT")
    if quiet or not sys.stderr.isatty() or environment.get("TERM") == "dumb" or any(map(environment.get, marks)):
        return PlainScreen(quiet=quiet)
    return LiveScreen()


class PlainScreen:
    """Lines."""

    def __init__(self, *, quiet: bool = False) -> None:
        """`quiet` leaves out the progress."""
        self._quiet = quiet

    def say(self, text: str) -> None:
        """See `Screen.say`. Who no longer listens does not stop the run."""
        with suppress(OSError):
            os.write(2, (text + "\n").encode("utf-8", "replace"))

    async def follow(self, progress: Progress, now: Callable[[], float]) -> None:
        """See `Screen.follow`."""
        while not self._quiet:
            progress.mark(now())
            await asyncio.sleep(BEAT_S)
            self.say(progress.line(now()))


class LiveScreen:
    """A bar that tells the truth, below the lines that stay."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._console: Console | None = None

    def say(self, text: str) -> None:
        """See `Screen.say`."""
        with suppress(OSError):  # the terminal is gone: that does not stop the run
            if self._console is None:
                print(text, file=sys.stderr)
            else:
                self._console.print(text, markup=False, highlight=False)

    async def follow(self, progress: Progress, now: Callable[[], float]) -> None:
        """See `Screen.follow`."""
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True)
        try:
            with suppress(OSError), Live(console=self._console, auto_refresh=False, transient=True) as live:
                while True:
                    progress.mark(now())
                    live.update(_drawn(progress, now()), refresh=True)
                    await asyncio.sleep(FRAME_S)
        finally:
            self._console = None


def _drawn(progress: Progress, now: float) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    seeds, tokens = progress.rates(now)
    eta = progress.eta(now)
    left = f"{duration(eta[0])} to {duration(eta[1])} left" if eta and progress.left else "measuring"
    table = Table.grid(padding=(0, 2))
    table.add_row(
        ProgressBar(total=max(progress.total, 1), completed=progress.ended, width=30),
        f"{progress.ended:,} of {progress.total:,}",
        left,
    )
    table.add_row(
        f"{progress.in_flight:,} in flight", f"{seeds:.3g} seeds/s", f"{tokens:,.0f} tokens/s, {_failures(progress)}"
    )
    if progress.pace is not None:
        table.add_row(f"limit {progress.pace.limit:,}", progress.pace.what, binding(progress.pace))
    return table


def _failures(progress: Progress) -> str:
    parts = [f"{count:,} {label}" for label, count in progress.failures.most_common(3)]
    waits = progress.problems.get("throttled", 0)
    parts += [f"{waits:,} refusals waited out"] if waits else []
    return ", ".join(parts) or "no failures"
