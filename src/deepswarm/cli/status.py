"""deepswarm status."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deepswarm.engine.watching import Watcher
    from deepswarm.report.status import Status


@click.command()
@click.argument("run", metavar="[RUN]", default=".", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object of at most a kilobyte.")
@click.option("--watch", is_flag=True, help="Again and again, until the run has ended.")
@click.option("--every", type=click.FloatRange(min=0.2), metavar="SECONDS", help="With --watch; default: 2, or 30 s.")
def command(run: str, as_json: bool, watch: bool, every: float | None) -> int:
    """Say how a run stands. RUN is its folder or its task file; default: the task.yaml or the run that is here."""
    from deepswarm.cli.standing import folder_of
    from deepswarm.engine.watching import watched

    folder = folder_of(run)
    live = sys.stdout.isatty()
    beat_s = every or (2.0 if live else 30.0)
    with watched(folder) as watcher:
        while True:
            status = status_of(watcher, folder)
            if watch and live and not as_json:
                click.clear()
            click.echo(status.compact() if as_json else status.text(), nl=not as_json)
            if not watch or status.pid is None:
                return 0
            sys.stdout.flush()
            time.sleep(beat_s)


def status_of(watcher: Watcher, folder: Path) -> Status:
    """How a run stands now."""
    from deepswarm.report.status import Status

    standing = watcher.look(time.time())
    pid = None if standing.holder is None else standing.holder.pid
    return Status(str(folder), standing.seen, pid, len(standing.waiting), standing.keys)
