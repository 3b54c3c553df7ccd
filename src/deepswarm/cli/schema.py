"""deepswarm schema."""

from __future__ import annotations

import click


@click.command()
def command() -> None:
    """Print the task file's JSON Schema (draft 2020-12): editors complete and check keys with it."""
    import json

    from deepswarm.core.spec import json_schema

    click.echo(json.dumps(json_schema(), indent=2, ensure_ascii=False))
