"""deepswarm run."""

from __future__ import annotations

import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deepswarm.engine.pipeline import Provider
    from deepswarm.taskfile import TaskFile

NOTICE = """\
*** SIMULATED: no model is asked, nothing is spent. The answers are made up by the built-in provider.
*** They go into {folder}/ and are marked in every record."""


@click.command()
@click.argument("task_argument", metavar="[TASK]", required=False)
@click.option("--task", "task_option", metavar="FILE", help="The task file; default: task.yaml.")
@click.option("--total", type=click.IntRange(min=1), metavar="N", help="Only the first N seeds of the file.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the task file, for this run.")
@click.option("--fresh", is_flag=True, help="Start anew; the earlier run is put aside, not deleted.")
@click.option("--accept-changes", is_flag=True, help="Go on although task or seeds changed; answers there are stay.")
@click.option("--retry-failed", is_flag=True, help="Ask the seeds that failed again.")
@click.option("--simulate", is_flag=True, help="Rehearse with the built-in provider: nothing is spent.")
@click.option("--law", default="rehearsal", metavar="NAME|FILE", help="How the simulated provider behaves.")
@click.option("--virtual-time", is_flag=True, help="With --simulate: hours of the run pass in moments.")
@click.option("--proxy", metavar="URL", help="Send all calls through this proxy; default: HTTPS_PROXY and the like.")
@click.option("--ca-file", metavar="FILE", help="Trust this authority as well (PEM); default: SSL_CERT_FILE.")
@click.option(
    "--no-memory", is_flag=True, help="Neither use nor keep what runs learn of limits; share none with others."
)
@click.option("--no-code", is_flag=True, help="Refuse a task that names Python code of its own.")
@click.option("--yes", is_flag=True, help="Start although the estimate is more than the budget has left.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the end.")
def command(
    task_argument: str | None,
    task_option: str | None,
    total: int | None,
    overrides: tuple[str, ...],
    fresh: bool,
    accept_changes: bool,
    retry_failed: bool,
    simulate: bool,
    law: str,
    virtual_time: bool,
    proxy: str | None,
    ca_file: str | None,
    no_memory: bool,
    no_code: bool,
    yes: bool,
    quiet: bool,
) -> int:
    """Ask an API about every seed. The same command again resumes; nothing that has an answer is asked again."""
    from deepswarm.cli.collector import spare_the_collector
    from deepswarm.cli.provider import real_provider, with_account, with_orchestrator
    from deepswarm.cli.screen import screen_for
    from deepswarm.engine.folder import RunFolder, simulated
    from deepswarm.engine.pipeline import Wishes, run
    from deepswarm.taskfile import load, resolve

    task = load(Path(task_option or task_argument or "task.yaml"), overrides)
    if no_code:
        refuse_code(task)
    path = resolve(task, task.spec.output_dir)
    folder = RunFolder(simulated(path) if simulate else path)
    if virtual_time and not simulate:
        raise click.UsageError("--virtual-time is for rehearsals: add --simulate")
    screen = screen_for(os.environ, quiet=quiet or virtual_time)
    if simulate:
        screen.say(NOTICE.format(folder=folder.path))
    provider = simulated_provider(task, law) if simulate else real_provider(task, proxy, ca_file)
    if not simulate:
        provider = with_orchestrator(provider, task, proxy, ca_file)
    if not simulate and not no_memory:
        provider = with_account(provider, task, screen.say)
    if not yes and not fresh:
        _expect_room(task, total)
    wishes = Wishes(total, fresh, accept_changes, retry_failed)
    spare_the_collector()
    summary = run(task, folder, wishes, provider, screen, surroundings(resume_command(), virtual=virtual_time))
    _end_with(summary.text())
    return summary.exit_code


def refuse_code(task: TaskFile) -> None:
    """Make sure that the task names no code of its own.

    Raises:
        TaskFileError: If it does; names all of it.
    """
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.core.flaws import named_at
    from deepswarm.core.usercode import uses_code
    from deepswarm.engine.opening import as_dict

    hint = "look at the file, and leave --no-code out if you trust it; or take the key out"
    found = [
        Problem(f"{named_at(path)} runs Python code ({code}), which --no-code refuses", str(task.path), hint=hint)
        for path, code in uses_code(as_dict(task.spec))
    ]
    if found:
        raise TaskFileError(found)


def _expect_room(task: TaskFile, total: int | None) -> None:
    """Refuse a run that can be expected to use up its budget before its end."""
    from deepswarm.core.errors import Problem, TaskFileError
    from deepswarm.engine.affording import beyond_budget

    if why := beyond_budget(task, total, time.time()):
        hint = "raise the budget, take fewer seeds (--total), or start all the same, until it is used up: --yes"
        raise TaskFileError([Problem(f"{why}; no call was made", str(task.path), hint=hint)])


def _end_with(text: str) -> None:
    """Print the summary; that nobody can read it does not change how the run ended."""
    from contextlib import suppress

    try:
        print(text, flush=True)
    except UnicodeEncodeError:
        print(text.encode("ascii", "backslashreplace").decode(), flush=True)
    except OSError:
        with suppress(OSError):
            os.write(2, (text + "\n").encode("utf-8", "replace"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python must not complain at exit


def simulated_provider(task: TaskFile, law_name: str) -> Provider:
    """The built-in provider under a law, which answers as the task wants it."""
    from deepswarm.engine.closing import schema_of
    from deepswarm.engine.opening import task_type_of
    from deepswarm.engine.pipeline import Provider
    from deepswarm.simulator.law import load_law
    from deepswarm.simulator.provider import SimulatedProvider
    from deepswarm.tasks import writes_itself
    from deepswarm.transports.simulated import SimulatedTransport

    law = load_law(law_name)
    kind = task_type_of(task)
    schema = schema_of(task) if kind.schema is None else kind.schema
    if schema is not None:
        law = law.with_schema(schema)
    writer = kind.rehearse if writes_itself(task.spec) else None
    simulated = SimulatedProvider(law, writer=writer)
    return Provider(lambda: SimulatedTransport(simulated), simulated=True)


def surroundings(command: str, *, virtual: bool) -> Any:
    """Time, chance, the loop and the machine; `virtual` lets hours pass in moments."""
    import random

    from deepswarm.cli.provider import connections, loop
    from deepswarm.engine.clock import running_clock, virtual_clock
    from deepswarm.engine.pipeline import Surroundings

    if not virtual:
        return Surroundings(running_clock, time.time, random.random, loop(), command, connections())
    from deepswarm.simulator import virtual_time

    began = time.time()
    return Surroundings(lambda: virtual_clock(began), time.time, random.random, virtual_time.run, command)


def resume_command() -> str:
    """The command that goes on, without the words that must not be repeated."""
    once = {"--fresh", "--accept-changes", "--retry-failed"}
    words = [word for word in sys.argv[1:] if word not in once]
    return f"{os.environ.get('DEEPSWARM_COMMAND', 'deepswarm')} {shlex.join(words)}"
