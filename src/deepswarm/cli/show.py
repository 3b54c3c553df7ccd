"""deepswarm show."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("key", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, with whole raw replies.")
@click.option("--raw/--no-raw", default=True, help="Whether to show raw replies.")
def command(run: str, key: str, as_json: bool, raw: bool) -> int:
    """Show one seed as a conversation, with every attempt and raw reply. RUN is a run's folder or its task file."""
    from deepswarm.core.jsontext import dumps_line
    from deepswarm.engine.filtering import recorded
    from deepswarm.engine.looking import look_at
    from deepswarm.engine.places import run_folder
    from deepswarm.report.showing import shown

    with recorded(run_folder(Path(run))) as found:
        for record, attempts in look_at(found, key):
            if as_json:
                click.echo(dumps_line({**record, "attempts_made": attempts}), nl=False)
            else:
                click.echo(shown(record, attempts, raw=raw))
    return 0
