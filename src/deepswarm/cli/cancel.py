"""deepswarm cancel."""

from __future__ import annotations

import click


@click.command()
@click.argument("key", metavar="ID")
@click.option("--run", default=".", metavar="RUN", help="Its folder or task file; default: the one that is here.")
def command(key: str, run: str) -> int:
    """Ask no more about one seed: its call is broken off, or never leaves; it has failed as cancelled."""
    from deepswarm.cli.steering import give
    from deepswarm.core.commands import Cancel

    return give(run, Cancel(key))
