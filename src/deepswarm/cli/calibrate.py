"""deepswarm calibrate."""

from __future__ import annotations

import os
from pathlib import Path

import click


@click.command()
@click.argument("task_argument", metavar="[TASK]", required=False)
@click.option("--task", "task_option", metavar="FILE", help="The task file; default: task.yaml.")
@click.option("--calls", type=click.IntRange(min=1), default=200, show_default=True, help="Most calls to spend.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the task file, for this run.")
@click.option("--simulate", is_flag=True, help="Rehearse with the built-in provider: nothing is spent.")
@click.option("--law", default="rehearsal", metavar="NAME|FILE", help="How the simulated provider behaves.")
@click.option("--proxy", metavar="URL", help="Send all calls through this proxy; default: HTTPS_PROXY and the like.")
@click.option("--ca-file", metavar="FILE", help="Trust this authority as well (PEM); default: SSL_CERT_FILE.")
def command(
    task_argument: str | None,
    task_option: str | None,
    calls: int,
    overrides: tuple[str, ...],
    simulate: bool,
    law: str,
    proxy: str | None,
    ca_file: str | None,
) -> int:
    """Spend a bounded number of calls to find what the endpoint allows, and print the curve.

    The calls ask seeds of the task, and their answers count: `deepswarm run` goes on from there. With --simulate time
    is virtual and nothing is remembered.
    """
    from deepswarm.cli.provider import real_provider, with_account
    from deepswarm.cli.run import NOTICE, simulated_provider, surroundings
    from deepswarm.cli.screen import PlainScreen
    from deepswarm.core.events import PaceChanged, RunStarted
    from deepswarm.engine.folder import RunFolder, simulated
    from deepswarm.engine.pipeline import Wishes, run
    from deepswarm.journals.sqlite import SqliteJournal
    from deepswarm.report.curve import curve, table, verdict
    from deepswarm.taskfile import load, resolve

    task = load(Path(task_option or task_argument or "task.yaml"), ("pace=adaptive", *overrides))
    path = resolve(task, task.spec.output_dir)
    folder = RunFolder(simulated(path) if simulate else path)
    screen = PlainScreen(quiet=True)
    if simulate:
        screen.say(NOTICE.format(folder=folder.path))
        provider = simulated_provider(task, law)
    else:
        provider = with_account(real_provider(task, proxy, ca_file), task, screen.say)
    resume = f"{os.environ.get('DEEPSWARM_COMMAND', 'deepswarm')} run {task.path}{' --simulate' if simulate else ''}"
    summary = run(task, folder, Wishes(calls=calls), provider, screen, surroundings(resume, virtual=simulate))
    journal = SqliteJournal(folder.journal)
    try:
        events = list(journal.replay())
    finally:
        journal.close()
    began = max(place for place, event in enumerate(events) if isinstance(event, RunStarted))
    rows = curve(events[began:])
    paces = [event for event in events[began:] if isinstance(event, PaceChanged)]
    print(table(rows))
    print(verdict(rows, paces[-1] if paces else None))
    print(f"{summary.calls:,} calls were spent; their answers count. Go on: {resume}")
    return 0 if rows else summary.exit_code
