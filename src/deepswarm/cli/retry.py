"""deepswarm retry."""

from __future__ import annotations

import click


@click.command()
@click.argument("run", metavar="[RUN]", default=".", required=False)
@click.option("--class", "labels", multiple=True, metavar="CLASS", help="Only seeds of this class; may be repeated.")
def command(run: str, labels: tuple[str, ...]) -> int:
    """Ask the seeds that failed or were rejected again: at once, or at the next start."""
    from deepswarm.cli.steering import give
    from deepswarm.core.commands import Again

    return give(run, Again(frozenset(labels)))
