"""deepswarm export."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command()
@click.argument("run_dir", default="output")
@click.option("--format", "kind", type=click.Choice(["jsonl", "json", "parquet"]), help="Default: as --output ends.")
@click.option("--output", metavar="FILE", help="Default: export.jsonl (.json, .parquet) in RUN_DIR.")
@click.option(
    "--order",
    type=click.Choice(["completion", "seeds"]),
    default="completion",
    show_default=True,
    help="As the answers came, or as the seeds file has them.",
)
def command(run_dir: str, kind: str | None, output: str | None, order: str) -> int:
    """Write the results of a run, from its journal: at any time, also while it goes on. No call is made."""
    from deepswarm.engine.filtering import explained, recorded, refuse_to_replace, writer_for
    from deepswarm.formats import writer

    folder = Path(run_dir)
    if output is None:
        target = folder / f"export.{kind or 'jsonl'}"
    else:
        target = Path("/dev/stdout" if output == "-" else output)
    with recorded(folder) as run:
        refuse_to_replace(target, (), folder)
        write = writer(kind) if kind else writer_for(target)
        with explained(target):
            count = write(run.records() if order == "completion" else run.records_by_seed(), target)
        totals, is_simulated = run.totals, run.is_simulated
    if is_simulated:
        print("*** SIMULATED: the text was made up by the built-in provider. Do not train on it.", file=sys.stderr)
    others = [f"{number:,} {what}" for what, number in (("failed", totals.failed), ("rejected", totals.rejected))]
    others = [text for text in [*others, f"{totals.left:,} left"] if not text.startswith("0 ")]
    missing = f" (not in it: {', '.join(others)})" if others else ""
    click.echo(f"{count:,} records in {target}{missing}", err=target == Path("/dev/stdout"))
    return 0
