"""deepswarm resume."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", metavar="[RUN]", default=".", required=False)
def command(run: str) -> int:
    """Let a paused run go on; one that the provider paused tries with one call."""
    from deepswarm.cli.steering import give
    from deepswarm.core.commands import Resume

    return give(run, Resume())
