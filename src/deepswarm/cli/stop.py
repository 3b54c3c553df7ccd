"""deepswarm stop."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", metavar="[RUN]", default=".", required=False)
@click.option("--now", is_flag=True, help="Leave at once; calls in flight are noted as possibly billed.")
def command(run: str, now: bool) -> int:
    """End a run so that the same command goes on later; what is in flight ends by itself."""
    from deepswarm.cli.steering import give
    from deepswarm.core.commands import Halt

    return give(run, Halt(now))
