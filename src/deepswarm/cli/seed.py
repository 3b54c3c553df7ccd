"""deepswarm seed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from deepswarm.cli.described import make_described

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from deepswarm.core.errors import TaskFileError
    from deepswarm.core.records import Json
    from deepswarm.core.spec import SeedsSection
    from deepswarm.taskfile import TaskFile

_VALUES: Final = "NAME=A,B,… or NAME=FIRST..LAST"


@click.command()
@click.argument("task_argument", metavar="[TASK]", required=False)
@click.option("--task", "task_option", metavar="FILE", help="The task file; default: task.yaml.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="How many; default: every combination once.")
@click.option("--template", metavar="TEXT", help="Text of a seed; {{name}} takes a value.")
@click.option(
    "--values", "lists", multiple=True, metavar=_VALUES, help="A list of values, as often as there are lists."
)
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Any key of the task file, for this time.")
@click.option("--output", metavar="FILE|-", help="Default: the task's seeds_file; - is standard output.")
@click.option("--force", is_flag=True, help="Replace a file that holds other seeds.")
def command(
    task_argument: str | None,
    task_option: str | None,
    count: int | None,
    template: str | None,
    lists: tuple[str, ...],
    overrides: tuple[str, ...],
    output: str | None,
    force: bool,
) -> int:
    """Make the seeds that a task file describes in its seeds: section, or that the options describe.

    Every combination of the values, in order; fewer are spread evenly over them. No call is made. With --values and
    --output, and without a task, no task file is read. From a description (seeds.wanted) the orchestrator's model makes
    them, which costs calls; the same command again goes on where it was.
    """
    from deepswarm.sources.making import make_file, write_lines
    from deepswarm.taskfile import load, resolve

    named = task_option or task_argument
    values = dict(map(_named_values, lists))
    alone = values and output and not named
    task = None if alone else load(Path(named or "task.yaml"), overrides)
    if task is not None and task.spec.seeds is not None and task.spec.seeds.wanted is not None:
        if values or template is not None or output == "-":
            raise click.UsageError("the task describes its seeds (seeds.wanted): leave out --values, --template and -")
        return make_described(task, count, output, replace=force)
    section = _section(task, values, template, count)
    if output == "-":
        written = write_lines(section, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        click.echo(f"{written:,} seeds", err=True)
        return 0
    if output is None and task is not None:
        _refuse_unfit(task, section)
        path = resolve(task, task.spec.seeds_file)
    else:
        path = Path(output or "")
    made = make_file(section, path, replace=force)
    click.echo(f"{path}: {'unchanged, ' if made.unchanged else ''}{made.count:,} seeds")
    return 0


def _named_values(text: str) -> tuple[str, list[Json] | str]:
    """A name and its list or range, as --values takes them. A list that begins with [ is JSON."""
    from deepswarm.core.jsontext import loads
    from deepswarm.core.ranges import range_of

    name, sign, choice = text.partition("=")
    name = name.strip()
    if not sign or not name:
        raise click.UsageError(f"--values {text}: write it as {_VALUES}")
    try:
        range_of(choice.strip())
    except ValueError:
        pass
    else:
        return name, choice.strip()
    if choice.lstrip().startswith("["):
        try:
            listed = loads(choice)
        except ValueError as error:
            raise click.UsageError(f"--values {name}: not a JSON list: {error}") from error
        if isinstance(listed, list):
            return name, listed
    return name, [value.strip() for value in choice.split(",") if value.strip()]


def _section(
    task: TaskFile | None, values: Mapping[str, list[Json] | str], template: str | None, count: int | None
) -> SeedsSection:
    """What the task says of its seeds, with what the options say instead.

    Raises:
        TaskFileError: If neither has any values.
    """
    from deepswarm.core.spec import SeedsSection

    given = task.spec.seeds if task else None
    if given is None and not values:
        raise _nothing_to_make(task)
    return SeedsSection(
        template=template if template is not None or given is None else given.template,
        values={**(given.values if given else {}), **values},
        count=count if count is not None or given is None else given.count,
    )


def _nothing_to_make(task: TaskFile | None) -> TaskFileError:
    from deepswarm.core.errors import Problem, TaskFileError

    example = _example(_needed(task) if task else {"seed"})
    hint = f"add a section such as this one, or use --values\n\n{example}"
    what = "the task does not say how its seeds are made: it has no seeds: section"
    return TaskFileError([Problem(what, str(task.path) if task else "", hint=hint)])


def _example(names: Iterable[str]) -> str:
    """A section, ready to be pasted, that makes seeds with these fields."""
    rows = ["seeds:"]
    plain = sorted(set(names) - {"seed", "id"})
    if "seed" in names or not plain:
        plain += [name for name in ("topic", "reader") if name not in plain]
        rows += ['  template: "Write about {{topic}} for {{reader}}."']
    known: Mapping[str, Sequence[str]] = {
        "topic": ("tides", "glaciers", "volcanoes"),
        "reader": ("a child", "an engineer"),
    }
    rows += ["  values:"]
    rows += [f"    {name}: [{', '.join(known.get(name, (f'first {name}', f'second {name}')))}]" for name in plain]
    return "\n".join(rows)


def _needed(task: TaskFile) -> frozenset[str]:
    from deepswarm.core.prompt import needed_names

    return needed_names(task.spec.prompt_template) | needed_names(task.spec.system_prompt or "")


def _refuse_unfit(task: TaskFile, section: SeedsSection) -> None:
    """Refuse to make seeds that the task itself could not use.

    Raises:
        TaskFileError: If its prompt needs a field that these seeds do not have.
    """
    from deepswarm.core.errors import Problem, TaskFileError

    fields = {*section.values, *([] if section.template is None else ["seed"])}
    lacking = sorted(_needed(task) - fields)
    if lacking:
        names = ", ".join(f"{{{{{name}}}}}" for name in lacking)
        what = f"the task's prompt uses {names}, which these seeds would not have"
        hint = f"they have: {', '.join(sorted(fields))}" + (
            "; a template gives them {{seed}}" if "seed" in lacking else ""
        )
        raise TaskFileError([Problem(what, str(task.path), hint=hint)])
