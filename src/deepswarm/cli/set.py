"""deepswarm set."""

from __future__ import annotations

import click


@click.command()
@click.argument("pairs", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--run", default=".", metavar="RUN", help="Its folder or task file; default: the one that is here.")
def command(pairs: tuple[str, ...], run: str) -> int:
    """Change a run at work, until it ends: workers=N or workers=auto."""
    from deepswarm.cli.steering import give
    from deepswarm.core.commands import wanted_of

    try:
        wanted = wanted_of(" ".join(["set", *pairs]))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    return give(run, wanted)
