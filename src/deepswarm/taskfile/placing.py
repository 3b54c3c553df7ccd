"""Flaws that are found after a task file was read, such as a budget smaller than one call, at their lines in it."""

from __future__ import annotations

from collections.abc import Iterable

from deepswarm.core.errors import TaskFileError
from deepswarm.core.flaws import Flaw
from deepswarm.core.secret import masked
from deepswarm.taskfile import TaskFile
from deepswarm.taskfile.text import Sheet, printable
from deepswarm.taskfile.values import Reader


def placed(task: TaskFile, flaws: Iterable[Flaw]) -> TaskFileError:
    """An error that shows each flaw where its key stands; without a line where the command line gave the key."""
    reader = Reader(Sheet(task.text, printable(masked(str(task.path)))))
    reader.section()
    return TaskFileError([reader.problem(flaw) for flaw in flaws])
