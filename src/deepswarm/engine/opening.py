"""What happens before the first call: is this the run that we think it is, and which seeds are left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from deepswarm.core.changes import Difference, differences, fingerprinted
from deepswarm.core.deadlines import Wanted
from deepswarm.core.errors import JournalMismatch, Problem, TaskFileError
from deepswarm.core.identity import fingerprint
from deepswarm.core.prompt import TemplateProblem
from deepswarm.core.records import Call, Json
from deepswarm.core.section import chosen
from deepswarm.core.spec import ASK, AUTO, TaskSpec
from deepswarm.core.typekeys import with_defaults
from deepswarm.dialects import TABLE as DIALECTS
from deepswarm.dialects import Dialect, dialect_for
from deepswarm.doors import find
from deepswarm.engine.folder import RunFolder
from deepswarm.engine.seeds import enrol
from deepswarm.journals import Enrolment
from deepswarm.journals.sqlite import SqliteJournal
from deepswarm.sources.making import write_seeds
from deepswarm.taskfile import TaskFile, resolve
from deepswarm.tasks import TaskType, made

LONG_TOKENS: Final = 2000
"""Answers that may be as long are streamed: at some 60 tokens a second they take half a minute."""


def task_type_of(task: TaskFile) -> TaskType:
    """The task type with its templates read.

    Raises:
        TaskFileError: If a template cannot be read, or the type's section is of no use.
    """
    spec = task.spec
    try:
        return made(spec)
    except TemplateProblem as problem:
        raise TaskFileError(
            [Problem(f"the template cannot be read: {problem}", str(task.path), hint=_HINT)]
        ) from problem
    except ValueError as problem:
        hint = f"correct the section '{spec.task_type}'"
        raise TaskFileError([Problem(str(problem), str(task.path), hint=hint)]) from problem


_HINT = "placeholders look like {{name}}; text that only looks like one goes into {% raw %}…{% endraw %}"


def dialect_name_of(spec: TaskSpec) -> str:
    """How the task's API wants to be spoken to; by its address, unless the task says it."""
    return dialect_for(spec.worker_api_base) if spec.worker_dialect == AUTO else spec.worker_dialect


def dialect_of(spec: TaskSpec) -> Dialect:
    """The dialect of the task's API."""
    dialect: Dialect = find("dialect", dialect_name_of(spec), DIALECTS)
    return dialect


def call_of(spec: TaskSpec, schema: Mapping[str, Json] | None = None) -> Call:
    """What all calls of the task have in common; the messages come from the seeds.

    Args:
        spec: The task.
        schema: What the answers' JSON fits; None when they are text.
    """
    call = Call(spec.worker_model, (), spec.worker_max_tokens, spec.worker_params, spec.thinking)
    call = with_defaults(call, spec.task_type, dialect_name_of(spec), schema)
    if spec.tools and spec.tool_form == "native":
        call = call._replace(tools=tuple(tool.definition() for tool in spec.tools))
    most = call.max_tokens
    return call._replace(stream=(most is None or most >= LONG_TOKENS) if spec.stream == AUTO else bool(spec.stream))


def wanted_of(spec: TaskSpec) -> Wanted:
    """The deadlines that the task names."""
    return Wanted(
        None if spec.call_timeout == AUTO else spec.call_timeout,
        None if spec.first_token_timeout == AUTO else spec.first_token_timeout,
        spec.stall_timeout,
        spec.connect_timeout,
    )


def fingerprint_of(spec: TaskSpec) -> str:
    """What makes two tasks ask the same."""
    return fingerprint(fingerprinted(spec))


def check_same_task(
    journal: SqliteJournal, spec: TaskSpec, *, simulated: bool, accept_changes: bool, folder: RunFolder
) -> list[str]:
    """The keys that changed what is asked since the journal's newest session; none for a run that asked nothing yet.

    Raises:
        JournalMismatch: If what is asked changed and that was not accepted, or if simulated and real would be mixed.
    """
    before = journal.task()
    totals = journal.totals()
    if not before or not totals.calls:
        return []
    if journal.simulated is not simulated:
        kind, other = ("simulated", "real") if journal.simulated else ("real", "simulated")
        message = f"{folder.path}: holds a {kind} run; a {other} one needs a folder of its own (output_dir)"
        raise JournalMismatch(message)
    if not totals.done + totals.rejected + totals.failed:
        return []
    changes = [change for change in differences(before, as_dict(spec)) if change.part == ASK]
    if changes and not accept_changes:
        raise JournalMismatch(_changed(folder, changes, totals.done, totals.left))
    return [name for name, *_ in changes]


def as_dict(spec: TaskSpec) -> dict[str, Any]:
    """The task as the journal keeps it: what the user wrote, without defaults."""
    return chosen(spec)


def _changed(folder: RunFolder, changes: list[Difference], done: int, left: int) -> str:
    rows = [f"{folder.path}: the task asks something else than when this run began:"]
    rows += [f"  {name}: {_short(old)} -> {_short(new)}" for name, old, new, _ in changes]
    rows += [
        f"{done:,} seeds were answered under the old task, {left:,} are left. Choose:",
        "  --accept-changes   keep those answers, ask the rest under the new task",
        "  --fresh            ask all seeds under the new task; the old run is put aside, not deleted",
    ]
    return "\n".join(rows)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:40]}… ({len(text)} characters)"


def read_seeds(
    journal: SqliteJournal,
    task: TaskFile,
    folder: RunFolder,
    names: frozenset[str],
    total: int | None,
    accepted: tuple[float, float] | None,
    say: Callable[[str], None],
) -> Enrolment | None:
    """Bring the journal's seeds up to date; make the seeds file first when it is missing and the task says how.

    Raises:
        TaskFileError: With all problems of the seeds.
        JournalMismatch: If seeds that were answered have another content now, and that was not accepted.
    """
    path = resolve(task, task.spec.seeds_file)
    if task.spec.seeds is not None and task.spec.seeds.wanted is not None and not path.exists():
        what = "the seeds are not made yet: the task describes them (seeds.wanted), and a model makes them"
        raise TaskFileError([Problem(what, str(path), hint="make them first, which costs calls: deepswarm seed")])
    if task.spec.seeds is not None and not path.exists():
        count = write_seeds(task.spec.seeds, path)
        say(f"made {count:,} seeds: {path}")
    enrolment = enrol(journal, path, folder.spool, names, total, accepted)
    totals = journal.totals()
    if total is not None and total > totals.seeds:
        say(f"--total {total:,}: there are {totals.seeds:,} seeds; all of them are run")
    if enrolment is not None:
        _report(enrolment, path.name, say)
        if enrolment.changed_count and accepted is None:
            raise JournalMismatch(_changed_seeds(folder, enrolment))
    return enrolment


def _report(enrolment: Enrolment, name: str, say: Callable[[str], None]) -> None:
    if enrolment.gone_count:
        say(
            f"{name}: {enrolment.gone_count:,} seeds are no longer in the file; their answers stay, "
            f"those without one are not asked: {_some(enrolment.gone)}"
        )


def _changed_seeds(folder: RunFolder, enrolment: Enrolment) -> str:
    return (
        f"{folder.path}: {enrolment.changed_count:,} seeds that have an answer have another content now under the same "
        f"id: {_some(enrolment.changed)}\n"
        "  --accept-changes   ask these again\n"
        "  --fresh            ask all seeds anew; the old run is put aside, not deleted"
    )


def _some(keys: tuple[str, ...]) -> str:
    return ", ".join(keys[:10]) + (", …" if len(keys) > 10 else "")
