"""Giving a command to a run: into its inbox, and what the run says to it."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from deepswarm.core.commands import Wanted

PATIENCE_S: Final = 10.0
"""Most seconds that a command waits for the run's answer."""
LOOK_S: Final = 0.05


def give(run: str, wanted: Wanted) -> int:
    """Give a command and print what became of it; 0 done or left for the next start, 1 refused, 75 not answered yet."""
    from deepswarm.cli.standing import folder_of
    from deepswarm.core.commands import Halt, Pause, Resume, words_of
    from deepswarm.engine.watching import watched
    from deepswarm.journals.inbox import post
    from deepswarm.journals.lock import holder
    from deepswarm.report.words import plain

    folder = folder_of(run)
    words = words_of(wanted)
    with watched(folder) as watcher:
        if holder(watcher.folder) is None and isinstance(wanted, Pause | Resume | Halt):
            click.echo(f"{words}: no process is at work on {folder}; nothing was changed")
            return 1
        number = post(watcher.journal.path, time.time(), _who(), words)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            answered = watcher.journal.answers([number]).get(number)
            if answered is not None:
                click.echo(plain(f"{words}: {answered.result}"))
                return 0 if answered.done else 1
            if holder(watcher.folder) is None:
                click.echo(
                    plain(f"{words}: no process is at work on {folder}; the next start takes it (deepswarm run)")
                )
                return 0
            time.sleep(LOOK_S)
    click.echo(f"{words}: the run has not answered within {PATIENCE_S:g} s; it stays in its inbox")
    return 75


def _who() -> str:
    """Who gives the command, for the journal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "somebody"
