"""deepswarm report."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("run", metavar="[RUN]", default="output")
@click.option("--into", metavar="FOLDER", help="Where the files go; default: the run's folder.")
@click.option("--json", "as_json", is_flag=True, help="Print summary.json as well.")
def command(run: str, into: str | None, as_json: bool) -> int:
    """Write a run's report: report.html, report.md, summary.json. At any time, without a call.

    RUN is a run's folder or its task file. A damaged journal is reported as far as it can be read; the exit code is 65
    then.
    """
    import time

    from deepswarm.cli.collector import spare_the_collector
    from deepswarm.core.errors import JournalDamaged
    from deepswarm.engine.places import run_folder
    from deepswarm.engine.reporting import write_report

    spare_the_collector()
    report = write_report(run_folder(Path(run)), time.time(), target=None if into is None else Path(into))
    for path in report.files:
        click.echo(str(path), err=as_json)
    if as_json:
        click.echo(report.files[-1].read_text(encoding="utf-8"), nl=False)
    if report.damage:
        click.echo(f"the journal is damaged: {report.damage}", err=True)
        return JournalDamaged.exit_code
    return 0
