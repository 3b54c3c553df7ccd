"""deepswarm wait."""

from __future__ import annotations

import time
from typing import Final

import click

LOOK_S: Final = 0.5


@click.command()
@click.argument("run", metavar="[RUN]", default=".", required=False)
@click.option("--until", type=click.Choice(["done", "paused"]), default="done", help="What to wait for; default: done.")
@click.option("--timeout", type=click.FloatRange(min=0.0), metavar="SECONDS", help="Wait no longer; then exit code 75.")
@click.option("--json", "as_json", is_flag=True, help="How it stands at the end, as one JSON object.")
def command(run: str, until: str, timeout: float | None, as_json: bool) -> int:
    """Wait until no process is at work on a run, or until it pauses; then say how it stands.

    Exit codes: 0 every seed was answered, or it pauses as wanted; 1 some failed; 75 seeds are left, or time is up.
    """
    from deepswarm.cli.standing import folder_of
    from deepswarm.cli.status import status_of
    from deepswarm.engine.watching import watched

    folder = folder_of(run)
    end = None if timeout is None else time.monotonic() + timeout
    with watched(folder) as watcher:
        status = status_of(watcher, folder)
        paused = False
        while status.pid is not None and not paused and (end is None or time.monotonic() < end):
            time.sleep(LOOK_S)
            status = status_of(watcher, folder)
            paused = until == "paused" and status.seen.paused is not None
    click.echo(status.compact() if as_json else status.text(), nl=not as_json)
    if paused:
        return 0
    if status.pid is not None or status.seen.left:
        return 75
    return 1 if status.seen.failed + status.seen.rejected else 0
