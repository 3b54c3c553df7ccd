"""deepswarm bill."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run_dir", default="output")
@click.option("--task", "task_file", metavar="FILE", help="Take the prices of this task file, for all calls.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs; amounts are texts.")
def command(run_dir: str, task_file: str | None, as_json: bool) -> None:
    """Say what a run has cost, from its journal: at any time, also while it goes on. No call is made."""
    from deepswarm.engine.billing import bill_of_folder
    from deepswarm.engine.opening import as_dict
    from deepswarm.report import bill_text
    from deepswarm.taskfile import load

    task = None if task_file is None else as_dict(load(task_file).spec)
    bill = bill_of_folder(Path(run_dir), task)
    click.echo(json.dumps(bill_text.as_json(bill), ensure_ascii=False) if as_json else bill_text.page(bill))
