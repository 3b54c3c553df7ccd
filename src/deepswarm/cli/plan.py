"""deepswarm plan."""

from __future__ import annotations

import json
import time

import click


@click.command()
@click.argument("task_argument", metavar="[TASK]", required=False)
@click.option("--task", "task_option", metavar="FILE", help="The task file; default: task.yaml.")
@click.option("--total", type=click.IntRange(min=1), metavar="N", help="Only the first N seeds of the file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the task file, for this look.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs; amounts are texts.")
def command(
    task_argument: str | None, task_option: str | None, total: int | None, overrides: tuple[str, ...], as_json: bool
) -> None:
    """Say what a run would ask, and what it may cost, as ranges with what they assume. No call is made."""
    from deepswarm.core.address import api_url
    from deepswarm.engine.planning import plan_of
    from deepswarm.report.plan import plan_json, plan_text
    from deepswarm.taskfile import load

    task = load(task_option or task_argument or "task.yaml", overrides)
    plan = plan_of(task, total, time.time())
    found = (plan.seeds, plan.ended, plan.first, plan.price, plan.estimate)
    if as_json:
        click.echo(json.dumps(plan_json(*found), ensure_ascii=False))
        return
    click.echo(f"{task.path}: would ask {task.spec.worker_model} at {api_url(task.spec)}; no call was made")
    click.echo(plan_text(*found, task.spec.worker_max_tokens))
