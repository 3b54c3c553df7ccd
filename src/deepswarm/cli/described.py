"""deepswarm seed, for a task that describes its seeds: a model makes them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from deepswarm.engine.seed_making import Written
    from deepswarm.taskfile import TaskFile


def make_described(task: TaskFile, count: int | None, output: str | None, *, replace: bool) -> int:
    """Make the seeds, say what they cost; the exit code.

    Raises:
        TaskFileError: If the prompt cannot be read, the key is missing, or the file cannot be written.
    """
    from dataclasses import replace as changed

    from deepswarm.cli.provider import real_provider
    from deepswarm.cli.run import resume_command, surroundings
    from deepswarm.cli.screen import screen_for
    from deepswarm.engine.opening import task_type_of
    from deepswarm.engine.seed_making import Making
    from deepswarm.taskfile import resolve

    if count is not None and task.spec.seeds is not None:
        seeds = task.spec.seeds.but(count=count)
        task = changed(task, spec=task.spec.but(seeds=seeds))
    path = Path(output) if output is not None else resolve(task, task.spec.seeds_file)
    making = Making(
        task,
        task_type_of(task).names,
        path,
        lambda inner: real_provider(inner, None, None),
        screen_for(os.environ, quiet=False),
        surroundings(resume_command(), virtual=False),
    )
    made = making.write(replace=replace)
    for line in lines_of(made, path, making.folder):
        click.echo(line)
    return made.exit_code


def lines_of(made: Written, path: Path, folder: Path) -> list[str]:
    """What became of it, for people."""
    from deepswarm.core.money import dollars

    cost = "at an unknown price" if made.spent is None else dollars(made.spent)
    paid = f"{made.calls:,} calls to {made.model}, {cost}, all sessions together; they are kept in {folder}"
    if made.stopped is not None:
        return [f"{path}: not written; {made.count:,} of {made.wanted:,} seeds so far", paid, made.stopped.text()]
    spread = f"over {made.topics:,} topics; {made.near:,} near-duplicates left out"
    if made.count < made.wanted:
        hint = "describe more widely (seeds.wanted), lower the count, or raise seeds.distinct"
        return [
            f"{path}: not written; only {made.count:,} of {made.wanted:,} seeds differ enough: {hint}",
            spread,
            paid,
        ]
    same = "unchanged, " if made.unchanged else ""
    return [f"{path}: {same}{made.count:,} seeds {spread}", paid]
