"""The task file: YAML or JSON text -> TaskSpec. The only room that knows YAML.

    text.py    from a path to a text with numbered lines, which problems point into
    nodes.py   from the text to what the YAML parser sees in it, each piece with its place
    values.py  from these nodes to JSON values that know where they stand
    here       from the values, and what the command line changes of them, to a TaskFile

The parser gives events with their places; the values are made of them in this room, so that every value knows where it
stands and every mistake is found at once: a key written twice, a key that is no text, a tag, an alias that leads
nowhere. No message shows anything that may be a key: what is suspicious is shown as stars.

The environment and the command line are not read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from deepswarm.core.errors import Problem, TaskFileError
from deepswarm.core.flaws import Flaw, Where
from deepswarm.core.records import Json
from deepswarm.core.secret import masked
from deepswarm.core.spec import SeedsSection, TaskSpec, check
from deepswarm.taskfile.text import Sheet, printable, text_of
from deepswarm.taskfile.values import Broken, Reader

MOST_PROBLEMS: Final = 100


@dataclass(frozen=True, slots=True)
class TaskFile:
    """A task file that has been read and is sound.

    Attributes:
        path: As the user gave it.
        text: Its content, all line ends made line feeds.
        spec: What it asks for, with the overrides of the command line.
    """

    path: Path
    text: str = field(repr=False)
    spec: TaskSpec


def load(path: str | Path, overrides: Sequence[str] = ()) -> TaskFile:
    """Read a task file.

    Args:
        path: The file.
        overrides: `key=value` each, as `--set` takes them; a later one wins. The value is read as YAML; a dotted key
            reaches into a section (`worker_params.temperature=0.2`). For a key that takes text, everything but quoted
            text and null is taken as it stands (`worker_model=4.1`, `system_prompt=Be brief: # is not a comment`).

    Raises:
        TaskFileError: With every problem of the file and of the overrides, in the order of the file.
    """
    path = Path(path)
    name = printable(masked(str(path)))
    changes = [Override(text) for text in overrides]
    try:
        text = text_of(path, name)
    except TaskFileError as error:
        raise _refusal(
            [*error.problems, *(problem for change in changes for problem in change.problems)], name
        ) from None
    sheet = Sheet(text, name)
    reader = Reader(sheet)
    values = reader.section()
    spec: TaskSpec | None = None
    problems: list[Problem] = []
    if values is not None:
        for change in changes:
            change.put_into(values)
        checked = check(values)
        if isinstance(checked, TaskSpec):
            spec = checked
        else:
            flaws = [flaw for flaw in checked if not reader.is_broken(flaw.path)]
            sheet.hide(span for flaw in flaws if flaw.secret for span in reader.spans(flaw.path))
            problems = [_placed(flaw, reader, changes) for flaw in flaws]
    problems += reader.problems
    problems += [problem for change in changes for problem in change.problems]
    order = [name, *(change.name for change in changes)]
    problems.sort(key=lambda problem: (order.index(problem.file), problem.line, problem.column))
    if spec is None or problems:
        raise _refusal(problems, name)
    return TaskFile(path, text, spec)


def _refusal(problems: Sequence[Problem], name: str) -> TaskFileError:
    """All problems; of very many, as some other kind of file has, only the first ones."""
    listed = [
        replace(problem, what=printable(problem.what), hint=printable(problem.hint))
        for problem in problems[:MOST_PROBLEMS]
    ]
    if len(problems) > MOST_PROBLEMS:
        what = f"and {len(problems) - MOST_PROBLEMS:,} more problems"
        listed.append(Problem(what, name, hint="is this a task file?"))
    return TaskFileError(listed)


def refused(task: TaskFile, flaws: Sequence[Flaw]) -> TaskFileError:
    """What is wrong with a task that was read, found out later: each flaw at its place in the file."""
    name = printable(masked(str(task.path)))
    reader = Reader(Sheet(task.text, name))
    reader.section()
    return _refusal([reader.problem(flaw) for flaw in flaws], name)


def resolve(task: TaskFile, name: str) -> Path:
    """The path that a task file means by a name (`seeds_file`, `output_dir`).

    A relative name starts at the folder of the task file, not at the working folder, so that
    `deepswarm run examples/stories/task.yaml` does the same from anywhere.
    """
    return task.path.parent / name


# --- overrides -------------------------------------------------------------------------------------------------------


class Override:
    """One `--set key=value`."""

    def __init__(self, text: str) -> None:
        key, sign, value = text.partition("=")
        self.path: Where = tuple(step.strip() for step in key.split("."))
        self.name = "--set"
        self.problems: list[Problem] = []
        self._value: Json = None
        if not sign or not all(self.path):
            self._wrong("this is not key=value", "for example: --set workers=8")
            return
        self.name = printable(f"--set {masked(key.strip())}")
        self._read(value)

    def _read(self, value: str) -> None:
        reader = Reader(Sheet(value, self.name))
        found = reader.read()
        if _takes_text(self.path) and not reader.is_null_or_quoted():
            self._value = value
        elif isinstance(found, Broken) or reader.problems:
            self.problems += [Problem(p.what, self.name, hint=p.hint) for p in reader.problems]
        else:
            self._value = found

    def put_into(self, values: dict[str, Json]) -> None:
        """Change the values of a task file."""
        if self.problems:
            return
        here: Json = values
        for step in self.path[:-1]:
            here = here.setdefault(str(step), {}) if isinstance(here, dict) else here
        if isinstance(here, dict):
            here[str(self.path[-1])] = self._value
        else:
            what = f"'{masked('.'.join(map(str, self.path[:-1])))}' is not a section, so nothing can be set in it"
            self._wrong(what, "leave out the dot and what follows it")

    def is_about(self, path: Where) -> bool:
        """Whether it set the value at a path, or the section around it."""
        return not self.problems and path[: len(self.path)] == self.path

    def is_within(self, path: Where) -> bool:
        """Whether it set something in the section at a path."""
        return not self.problems and self.path[: len(path)] == path

    def _wrong(self, what: str, hint: str) -> None:
        self.problems.append(Problem(what, self.name, hint=hint))


def _takes_text(path: Where) -> bool:
    """Whether the key takes text and nothing else."""
    fields = TaskSpec.model_fields if len(path) == 1 else SeedsSection.model_fields if path[0] == "seeds" else {}
    return str(path[-1]) in fields and fields[str(path[-1])].annotation in (str, str | None)


def _placed(flaw: Flaw, reader: Reader, changes: Sequence[Override]) -> Problem:
    """A flaw as a problem: of the override that made the value, or of the place in the file."""
    for change in reversed(changes):
        made = (part for part in (flaw.path, flaw.path[:1]) if not reader.holds(part))
        if change.is_about(flaw.path) or any(change.is_within(part) for part in made):
            return Problem(flaw.what, change.name, hint=flaw.hint)
    return reader.problem(flaw)
