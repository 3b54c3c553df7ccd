"""deepswarm validate."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from deepswarm.core.errors import Problem
    from deepswarm.core.records import Seed
    from deepswarm.taskfile import TaskFile

MOST_SEEDS: Final = 1_000
"""How many seeds are looked at; a run looks at all of them before its first call."""
SHOWN: Final = 20
"""Most problems of seeds that are listed."""


@click.command()
@click.argument("task_argument", metavar="[TASK]", required=False)
@click.option("--task", "task_option", metavar="FILE", help="The task file; default: task.yaml.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the task file, for this look.")
def command(task_argument: str | None, task_option: str | None, overrides: tuple[str, ...]) -> None:
    """Check a task file, and whether its seeds have the fields that it needs. No call is made."""
    from deepswarm.core.errors import TaskFileError
    from deepswarm.engine.opening import task_type_of
    from deepswarm.taskfile import load, resolve

    task = load(task_option or task_argument or "task.yaml", overrides)
    task_type_of(task)
    if task.spec.filters:
        from deepswarm.engine.closing import check_filters

        check_filters(task)
    path = resolve(task, task.spec.seeds_file)
    if path.exists():
        from deepswarm.sources import read_seeds

        count, problems = look_at(read_seeds(path), _needed(task), path)
        if problems:
            raise TaskFileError(problems)
        seeds = f"{path} ({f'the first {count:,}' if count == MOST_SEEDS else f'{count:,}'} checked)"
    else:
        seeds = f"{path} ({'deepswarm run makes it' if task.spec.seeds else 'not there yet'})"
    click.echo(f"{task.path}: sound")
    click.echo(_intent(task, seeds, os.environ))


def look_at(seeds: Iterable[Seed | Problem], names: frozenset[str], path: Path) -> tuple[int, list[Problem]]:
    """How many seeds were looked at, and what is wrong with them.

    Args:
        seeds: As the seeds file shows them, sound or not; no more than MOST_SEEDS are taken.
        names: The fields that every seed must have.
        path: The seeds file, for the problems.

    Returns:
        The number of sound and unsound seeds that were looked at; problems, a missing field once with its first line.
    """
    from itertools import islice

    from deepswarm.core.errors import Problem

    count = 0
    problems: list[Problem] = []
    missing: dict[str, tuple[int, str]] = {}
    for seed in islice(seeds, MOST_SEEDS):
        count += 1
        if isinstance(seed, Problem):
            problems.append(seed)
            continue
        for name in sorted(names - seed.fields.keys()):
            missing.setdefault(name, (seed.line, ", ".join(list(seed.fields)[:20])))
    more = len(problems) - SHOWN
    problems = problems[:SHOWN] + ([Problem(f"and {more:,} more such problems", str(path))] if more > 0 else [])
    problems += [
        Problem(f"the task needs the field '{name}', which this seed lacks", str(path), line, hint=f"it has: {fields}")
        for name, (line, fields) in missing.items()
    ]
    if not count:
        problems.append(Problem("there is no seed in it", str(path), hint="one seed a line; deepswarm seed makes some"))
    return count, problems


def _needed(task: TaskFile) -> frozenset[str]:
    from deepswarm.core.prompt import needed_names

    return needed_names(task.spec.prompt_template) | needed_names(task.spec.system_prompt or "")


def _intent(task: TaskFile, seeds: str, environment: Mapping[str, str]) -> str:
    """One line that says what a run would do."""
    from deepswarm.core.address import api_url, key_env
    from deepswarm.taskfile import resolve

    spec = task.spec
    name = key_env(spec)
    key = "no key" if name is None else f"key: {name}" if environment.get(name) else f"key: {name}, which is not set"
    workers = "as many workers as fit" if spec.workers == "auto" else f"{spec.workers:,} workers"
    output = resolve(task, spec.output_dir)
    return f"asks {spec.worker_model} at {api_url(spec)} ({key}) about {seeds}, {workers}, answers in {output}/"
