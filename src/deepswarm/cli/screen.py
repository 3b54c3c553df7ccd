"""What a person sees of a run: a live screen at a terminal, plain lines at a slow beat anywhere else. All on stderr."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from deepswarm.report.progress import line
from deepswarm.report.words import plain

if TYPE_CHECKING:
    from rich.console import Console

    from deepswarm.report.state import State

BEAT_S = 30.0
"""Seconds between plain lines."""
FRAME_S = 0.25
"""Seconds between frames of the live screen."""


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
            os.write(2, (plain(text) + "\n").encode("utf-8", "replace"))

    async def follow(self, state: State, now: Callable[[], float]) -> None:
        """See `Screen.follow`."""
        while not self._quiet:
            await asyncio.sleep(BEAT_S)
            self.say(line(state.look(now())))


class LiveScreen:
    """A picture that tells the truth, below the lines that stay."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._console: Console | None = None

    def say(self, text: str) -> None:
        """See `Screen.say`."""
        with suppress(OSError):  # the terminal is gone: that does not stop the run
            if self._console is None:
                print(plain(text), file=sys.stderr)
            else:
                self._console.print(plain(text), markup=False, highlight=False)

    async def follow(self, state: State, now: Callable[[], float]) -> None:
        """See `Screen.follow`."""
        from rich.console import Console
        from rich.live import Live

        from deepswarm.cli.picture import picture

        self._console = console = Console(stderr=True)
        try:
            with suppress(OSError), Live(console=console, auto_refresh=False, transient=True) as live:
                while True:
                    live.update(picture(state.look(now()), console.width, console.height), refresh=True)
                    await asyncio.sleep(FRAME_S)
        finally:
            self._console = None
