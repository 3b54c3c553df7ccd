"""deepswarm pause."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", metavar="[RUN]", default=".", required=False)
def command(run: str) -> int:
    """Let a run start nothing new; what is in flight ends by itself. `deepswarm resume` goes on."""
    from deepswarm.cli.steering import give
    from deepswarm.core.commands import Pause

    return give(run, Pause())
