"""deepswarm doctor."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click


@click.command()
@click.argument("task_argument", metavar="[TASK]", required=False)
@click.option("--task", "task_option", metavar="FILE", help="The task file; default: task.yaml.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the task file, for this look.")
@click.option("--proxy", metavar="URL", help="Send the call through this proxy; default: HTTPS_PROXY and the like.")
@click.option("--ca-file", metavar="FILE", help="Trust this authority as well (PEM); default: SSL_CERT_FILE.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def command(
    task_argument: str | None,
    task_option: str | None,
    overrides: tuple[str, ...],
    proxy: str | None,
    ca_file: str | None,
    as_json: bool,
) -> int:
    """Look whether a run could begin: key, model, balance, disk, open files, clock. Costs one tiny call."""
    from deepswarm.cli.provider import connections, loop, real_provider
    from deepswarm.engine.clock import running_clock
    from deepswarm.engine.opening import dialect_name_of, dialect_of
    from deepswarm.engine.preflight import Check, Verdict, examine
    from deepswarm.taskfile import load, resolve

    task = load(Path(task_option or task_argument or "task.yaml"), overrides)
    provider = real_provider(task, proxy, ca_file)
    folder = resolve(task, task.spec.output_dir)

    async def look() -> list[Check]:
        transport = provider.connect()
        try:
            dialect, name = dialect_of(task.spec), dialect_name_of(task.spec)
            return await examine(task.spec, dialect, name, transport, folder, connections(), running_clock())
        finally:
            await transport.close()

    checks = [Check("task file", Verdict.OK, f"{task.path}: sound"), *loop()(look())]
    if as_json:
        click.echo(json.dumps({"checked_utc": round(time.time(), 3), "checks": [_as_dict(check) for check in checks]}))
    else:
        width = max(len(check.name) for check in checks)
        for check in checks:
            click.echo(f"{check.verdict.value:<8} {check.name:<{width}}  {check.what}")
            if check.hint:
                click.echo(f"{'':<8} {'':<{width}}  hint: {check.hint}")
    verdicts = {check.verdict for check in checks}
    return 2 if Verdict.BAD in verdicts else 75 if Verdict.LATER in verdicts else 0


def _as_dict(check: object) -> dict[str, str]:
    from deepswarm.engine.preflight import Check

    assert isinstance(check, Check)  # noqa: S101 - its only caller gives it nothing else
    return {"name": check.name, "verdict": check.verdict.value, "what": check.what, "hint": check.hint}
