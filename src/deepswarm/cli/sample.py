"""deepswarm sample."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deepswarm.core.records import Record
    from deepswarm.engine.filtering import RecordedRun


@click.command()
@click.argument("run", metavar="[RUN]", default="output")
@click.option("--kept", "which", flag_value="kept", help="Of what the filters kept (clean.jsonl).")
@click.option("--dropped", "which", flag_value="dropped", help="Of what they dropped (errors.jsonl), with the reason.")
@click.option("--failed", "which", flag_value="failed", help="Of the seeds that failed.")
@click.option("-n", "count", type=click.IntRange(min=1), default=3, show_default=True, help="How many.")
@click.option("--seed", type=int, help="The same number draws the same records again.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def command(run: str, which: str | None, count: int, seed: int | None, as_json: bool) -> int:
    """Show records by chance: of all answers, unless said otherwise. RUN is a run's folder or its task file."""
    import random

    from deepswarm.core.jsontext import dumps_line
    from deepswarm.engine.exporting import Prompts
    from deepswarm.engine.filtering import recorded
    from deepswarm.engine.looking import some_of, with_messages
    from deepswarm.engine.places import run_folder
    from deepswarm.report.showing import shown

    with recorded(run_folder(Path(run))) as found:
        prompts = Prompts(found.journal.tasks())
        chosen = some_of(_records(found, which), count, random.Random(seed).random)
        for record in chosen:
            whole = with_messages(record, prompts)
            click.echo(dumps_line(whole) if as_json else shown(whole, (), raw=False), nl=not as_json)
    if not chosen:
        click.echo(f"nothing to show: no {which or 'answered'} records", err=True)
    return 0


def _records(run: RecordedRun, which: str | None) -> Iterable[Record]:
    from deepswarm.engine.looking import failed_records, filtered_records

    if which == "failed":
        return failed_records(run)
    if which is None:
        return run.records()
    return filtered_records(run, "clean.jsonl" if which == "kept" else "errors.jsonl")
